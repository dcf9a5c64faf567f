"""What the commands that train have in common: options, a bar, and what Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from layered_nst.cli.console import err, printed_notes
from layered_nst.cli.options import limits
from layered_nst.errors import Interrupted

if TYPE_CHECKING:
    from torch import Tensor

Plan = TypeVar("Plan")

StepsOption = Annotated[int, typer.Option("--steps", min=1, help="Steps of the training.")]
BatchOption = Annotated[int, typer.Option("--batch", min=1, help="Crops in a step.")]
RateOption = Annotated[float, typer.Option("--learning-rate", help="Learning rate at its highest.")]
Bfloat16Option = Annotated[
    bool,
    typer.Option(
        "--bfloat16/--no-bfloat16",
        help="Multiply in bfloat16, twice as fast where there is hardware.",
    ),
]
EveryOption = Annotated[
    int, typer.Option("--every", min=1, help="Steps from checkpoint to checkpoint.")
]

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


@contextmanager
def training(output: Path, every: int) -> Iterator[tuple[Progress, list[str]]]:
    """The bar of a training by steps, and the notes that it leaves; says how to go on, and what to
    do where memory runs out.

    Args:
        output: what is trained.
        every: steps from checkpoint to checkpoint.
    """
    with (
        printed_notes() as notes,
        resumable(output, f"step {every}"),
        training_bar() as bar,
        enough_memory(),
    ):
        yield bar, notes


@contextmanager
def enough_memory() -> Iterator[None]:
    """Say what to do where memory runs out."""
    from layered_nst.machine.memory import memory_errors

    with memory_errors(_too_much):
        yield


def _too_much() -> str:
    return (
        "out of memory: the pictures and a step of the training do not fit; name fewer pictures, "
        "or take a smaller --batch or --crop"
    )


def planned(make: Callable[..., Plan], **options: Any) -> Plan:
    """The plan that options make.

    Raises:
        BadParameter: a number is out of its range.
    """
    try:
        return make(**options)
    except ValueError as error:
        raise typer.BadParameter(f"--{str(error).replace('_', '-', 1)}") from error


def read_pictures(paths: list[Path], bar: Progress, max_pixels: int | None) -> list[Tensor]:
    """Pictures to be taught with, with a task on the bar while they are read."""
    from layered_nst.training.encoders.pictures import read_training_pictures

    with counted(bar, "reading pictures") as tell:
        return read_training_pictures(paths, on_picture=tell, **limits(max_pixels))


def _how_to_go_on(output: Path, first: str) -> str:
    from layered_nst.training.checkpoints import training_path

    checkpoint = training_path(output)
    if checkpoint.exists():
        return f"interrupted; the same command goes on from the last checkpoint, {checkpoint}"
    return f"interrupted before the first checkpoint, which {first} writes; nothing is kept"
