"""What the commands that train have in common: a bar, and what Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from layered_nst.cli.console import err
from layered_nst.errors import Interrupted

SPEED_SECONDS = 120.0
"""The time left is told by the steps of so many seconds; a step takes up to some."""


def training_bar() -> Progress:
    """A bar on the terminal; nothing where standard error is none."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
        speed_estimate_period=SPEED_SECONDS,
    )


@contextmanager
def counted(bar: Progress, name: str) -> Iterator[Any]:
    """A task on the bar while it is worked on; gives what to call with (done, of)."""
    task = bar.add_task(name, total=None)
    try:
        yield lambda done, of: bar.update(task, completed=done, total=of)
    finally:
        bar.remove_task(task)


@contextmanager
def counted_by_name(bar: Progress) -> Iterator[Any]:
    """A task on the bar that is called otherwise as it goes; gives what to call with (done, of,
    name)."""
    tasks: dict[str, Any] = {}

    def tell(done: int, of: int, name: str) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=of)
        bar.update(tasks[name], completed=done, total=of)

    try:
        yield tell
    finally:
        for task in tasks.values():
            bar.remove_task(task)


@contextmanager
def resumable(output: Path, first: str) -> Iterator[None]:
    """Say after Ctrl-C where the same command goes on.

    Args:
        output: what is trained.
        first: what writes the first checkpoint.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(output, first)) from None


def _how_to_go_on(output: Path, first: str) -> str:
    from layered_nst.training.checkpoints import training_path

    checkpoint = training_path(output)
    if checkpoint.exists():
        return f"interrupted; the same command goes on from the last checkpoint, {checkpoint}"
    return f"interrupted before the first checkpoint, which {first} writes; nothing is kept"
