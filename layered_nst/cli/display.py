"""Progress on the terminal, and a preview beside the output."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
from rich.table import Column, Table
from rich.text import Text

from layered_nst.cli.console import err, note
from layered_nst.errors import OutputError
from layered_nst.words import duration, pixels

if TYPE_CHECKING:
    from layered_nst.painting.plan import Plan
    from layered_nst.painting.progress import Progress as Step
    from layered_nst.scene.scene import Scene

# Long enough not to slow the work, short enough that a look at the file is worth it; of a print,
# whose previews take seconds, they are rarer.
PREVIEW_SECONDS = 20.0
PREVIEWS_SHARE = 0.02


class _LossColumn(ProgressColumn):
    """Losses by region, cut where the line ends: a second line would make the bar jump."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["losses"], "dim", no_wrap=True, overflow="ellipsis")


class PlainColumn(ProgressColumn):
    """A field that is never cut."""

    def __init__(self, field: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.field = field

    def render(self, task: Task) -> Text:
        return Text(task.fields[self.field])


class Display:
    """A progress bar on the terminal and a preview file beside the output.

    Args:
        quiet: show no progress.
        preview: the file, removed at the end if nobody else has written it since; None for none.
    """

    def __init__(self, *, quiet: bool, preview: Path | None = None) -> None:
        self.file = preview
        self.left: tuple[int, int, int] | None = None
        self.quiet = quiet
        self.level = ("", 0)
        self.preview_due = 0.0
        self.bar = Progress(
            PlainColumn("where"),
            BarColumn(bar_width=24),
            TaskProgressColumn(table_column=Column(no_wrap=True)),
            PlainColumn("left"),
            _LossColumn(),
            console=err,
            disable=quiet or not err.is_terminal,
        )

    def __enter__(self) -> Display:
        self.bar.start()
        self.task = self.bar.add_task("", total=1.0, where="preparing", left="", losses="")
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        with contextlib.suppress(OSError):
            if self.file is not None and self.left == _state(self.file):
                self.file.unlink()

    def scene(self, scene: Scene, plan: Plan) -> None:
        if not self.quiet:
            print_scene(scene)

    def step(self, step: Step) -> None:
        from layered_nst.painting.progress import region_losses

        where = f"{step.stage} {step.level}/{step.levels}  {pixels(step.size)}"
        losses = "  ".join(f"{k} {v:.3f}" for k, v in region_losses(step.losses).items())
        self.bar.update(
            self.task,
            completed=step.done,
            where=f"{where}  step {step.step}/{step.steps}",
            left=f"{duration(step.seconds_left)} left",
            losses=losses,
        )
        is_new_level = self.level != (step.stage, step.level)
        self.level = (step.stage, step.level)
        if is_new_level and self.bar.disable and not self.quiet:
            err.print(escape(f"{where}  {losses}"), style="dim", highlight=False)
        if is_new_level or time.monotonic() >= self.preview_due:
            self._preview(step)

    def _preview(self, step: Step) -> None:
        if self.file is None:
            return
        from layered_nst.picture import write_picture

        started = time.monotonic()
        try:
            write_picture(self.file, step.picture.clamp(0, 1).cpu())
            self.left = _state(self.file)
        except OutputError as error:
            # A look ahead is not worth the hours that went into the picture.
            self.file = None
            note(f"no more previews: {error}")
        now = time.monotonic()
        self.preview_due = now + max(PREVIEW_SECONDS, (now - started) / PREVIEWS_SHARE)


def preview_path(target: Path, reads: Iterable[Path]) -> Path:
    """The name of a preview beside a picture, ``OUT.preview.png`` or the next that is free."""
    from layered_nst.files.targets import free_name
    from layered_nst.picture import is_ours

    name = target.with_name(f"{target.stem}.preview.png")
    return free_name(name, known=is_ours, reads=reads)


def _state(file: Path) -> tuple[int, int, int]:
    """What tells a file from another one that takes its name."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def print_scene(scene: Scene) -> None:
    device = scene.picture.rgb.device.type
    name = escape(scene.recipe.name or "recipe")
    err.print(f"[bold]{name}[/]  {pixels(scene.size)} on {device}", highlight=False)
    err.print(region_table(scene))
    for sentence in scene.notes:
        note(sentence)


def region_table(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("region", "coverage", "style", "strength"):
        table.add_column(heading, justify="right" if heading == "coverage" else "left")
    named = {region.name: region for region in scene.recipe.regions}
    for name, share in scene.masks.coverage.items():
        region = named.get(name)
        styles = scene.styles.get(name) or []
        total = sum(style.weight for style in styles)
        words = ", ".join(
            Path(s.source).name + (f" {s.weight / total:.0%}" if len(styles) > 1 else "")
            for s in styles
        )
        strength = f"{region.strength:g}" if region and styles else ""
        table.add_row(
            escape(name), f"{share:.1%}", escape(words) or "(the photo as it is)", strength
        )
    return table
