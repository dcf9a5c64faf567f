"""``apply`` where a clip stands in place of a photo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn
from rich.table import Column

from layered_nst.cli.console import err, note, print_json, spelled
from layered_nst.cli.display import PlainColumn, print_scene
from layered_nst.cli.signals import undisturbed
from layered_nst.errors import Interrupted, LayeredNstError, OutputError
from layered_nst.words import duration, fine_duration, pixels, seconds_in

if TYPE_CHECKING:
    from layered_nst.recipe import Recipe
    from layered_nst.scene.scene import Scene
    from layered_nst.video.clips import Clip
    from layered_nst.video.leaving import ClipTargets, ClipWritten
    from layered_nst.video.looking import ClipCheck
    from layered_nst.video.progress import FrameProgress
    from layered_nst.video.result import VideoResult


def place_in_time(text: str) -> float:
    """Seconds of ``2.5``, ``90s``, ``1m30s``, ``1:30`` or ``0:01:30.5``.

    Raises:
        BadParameter: it is no time.
    """
    *hours, last = text.strip().split(":")
    found = seconds_in(last)
    if hours:
        clock = found is not None and found < 60 and last[-1:].isdigit() and len(hours) < 3
        whole = clock and all(part.isdecimal() for part in hours)
        minutes = sum(60**n * int(part) for n, part in enumerate(reversed(hours))) if whole else 0
        found = 60 * minutes + found if whole and found is not None else None
    if found is None:
        raise typer.BadParameter(f"found {text!r}, allowed: a time such as 2.5, 90s or 1:30")
    return found


FromOption = Annotated[
    float | None,
    typer.Option(
        "--from",
        parser=place_in_time,
        metavar="TIME",
        help="Of a clip, where to begin: 2.5, 90s or 1:30. [its beginning]",
    ),
]
ToOption = Annotated[
    float | None,
    typer.Option(
        "--to",
        parser=place_in_time,
        metavar="TIME",
        help="Of a clip, where to end. [its end]",
    ),
]
EveryOption = Annotated[
    int, typer.Option("--every", min=1, help="Of a clip, take every so manyth frame.")
]
PreviewOption = Annotated[
    int | None,
    typer.Option(
        "--preview",
        min=1,
        metavar="N",
        help="Of a clip, paint every Nth frame, small and as a draft, into OUT.preview.mp4.",
    ),
]
PREVIEW_SIDE = 320
"""Longest side in px of a preview."""


@dataclass(frozen=True)
class ClipPart:
    """Which part of a clip is painted, and whether as a preview.

    Attributes:
        start, end: seconds since the clip's first frame; None for its own.
        every: of those, every so manyth.
        preview: in its place for a small draft; None for the clip itself.
    """

    start: float | None = None
    end: float | None = None
    every: int = 1
    preview: int | None = None


def is_clip_of(recipe: Recipe) -> bool:
    """Whether what a recipe is applied to is a clip."""
    from layered_nst.video.clips import is_clip

    return recipe.content is not None and is_clip(recipe.content)


def suffix_for(source: Path) -> str:
    """How the name of what is painted from a photo or a clip ends, if nobody names it."""
    from layered_nst.video.clips import is_clip
    from layered_nst.video.leaving import usual_suffix

    return usual_suffix(source) if is_clip(source) else ".png"


def check_of_clip(loaded: Recipe, options: dict[str, Any]) -> ClipCheck:
    """What a recipe finds in its clip, and what it would cost."""
    from layered_nst.video.looking import check_video

    return check_video(loaded, **options)


def wants_still(output: Path | None) -> bool:
    """Whether a picture was asked for by its name, of an animation the first one."""
    return output is not None and output.suffix.lower() in (
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
    )


def refuse_part_of_photo(part: ClipPart) -> None:
    """Refuse options of clips where there is none.

    Raises:
        BadParameter: one was given.
    """
    given = [
        f"--{name}" for name, value in (("from", part.start), ("to", part.end)) if value is not None
    ]
    given += ["--every"] if part.every != 1 else []
    given += ["--preview"] if part.preview is not None else []
    if given:
        raise typer.BadParameter(f"{given[0]} is for clips, and this is a photo")


def refuse_film_of_photo(photo: Path | None, output: Path | None) -> None:
    """Refuse a film's name for what is painted from something that is none.

    Raises:
        PictureError: the photo is no picture at all.
        OutputError: it is one.
    """
    from layered_nst.picture.opening import on_disk, sniff
    from layered_nst.video.clips import FILMS

    if photo is None or output is None or output.suffix.lower() not in FILMS:
        return
    sniff(on_disk(photo))
    raise OutputError(
        f"{output}: is a film's name, and {photo} is one picture; name a .png, .jpg or .tif, or "
        "give a clip"
    )


def refuse_deadline(within: object) -> None:
    """Refuse a time for the whole of a clip.

    Raises:
        BadParameter: one was given.
    """
    if within is not None:
        raise typer.BadParameter("--within is for photos, and this is a clip")


@dataclass(frozen=True)
class ClipAsked:
    """What the command line asked for.

    Attributes:
        recipe: the file; whatever a program has made up in its place.
        output, layers, report: where it shall go, if that was said.
        manifest: whether ``OUT.json`` is written.
        is_named: whether the photo or clip was named beside the recipe.
        as_json: whether one JSON object is printed.
    """

    recipe: Any
    output: Path | None
    layers: Path | None
    report: Path | None
    manifest: bool
    is_named: bool
    as_json: bool


def apply_clip(
    loaded: Recipe,
    asked: ClipAsked,
    part: ClipPart,
    *,
    notes: list[str],
    options: dict[str, Any],
) -> None:
    """Paint a clip and write all that its run leaves."""
    from layered_nst.outputs.result import files_of
    from layered_nst.video.clips import Excerpt
    from layered_nst.video.leaving import ClipTargets, default_clip, write_clip_and_more
    from layered_nst.video.run import apply_video

    if asked.layers is not None:
        raise OutputError(f"{asked.layers}: a clip has no layered file; leave --layers out")
    if part.start is not None and part.end is not None and part.end <= part.start:
        raise typer.BadParameter(f"--to {part.end:g} is not behind --from {part.start:g}")
    source = asked.recipe if isinstance(asked.recipe, Path) else None
    clip = asked.output or default_clip(source, loaded, named_clip=asked.is_named)
    if part.preview is not None:
        clip = clip.with_name(f"{clip.stem}.preview{clip.suffix}")
        loaded = _small(loaded)
    reads = (*([] if source is None else [source]), *files_of(loaded))
    targets = ClipTargets(clip, asked.report, asked.manifest, reads)
    targets.check()
    with ClipDisplay(quiet=asked.as_json) as display, _partial_when_stopped(targets, notes):
        result = apply_video(
            loaded,
            output=clip,
            part=Excerpt(part.start, part.end, part.preview or part.every),
            on_scene=display.scene,
            on_frame=display.frame,
            **options,
        )
    with undisturbed():
        written = write_clip_and_more(result, targets, notes=notes)
    _tell(result, written, notes, as_json=asked.as_json)


def _small(recipe: Recipe) -> Recipe:
    """A recipe for a preview."""
    draft = {"quality": "draft", "levels": None, "steps": None}
    optimize = recipe.optimize.model_copy(update=draft)
    size = min(recipe.size, PREVIEW_SIDE)
    return recipe.model_copy(update={"size": size, "optimize": optimize})


class ClipDisplay:
    """A progress bar on the terminal: frame, shot, seconds a frame, time left."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.bar = Progress(
            PlainColumn("where"),
            BarColumn(bar_width=24),
            TaskProgressColumn(table_column=Column(no_wrap=True)),
            PlainColumn("left"),
            console=err,
            disable=quiet or not err.is_terminal,
        )

    def __enter__(self) -> ClipDisplay:
        self.bar.start()
        self.task = self.bar.add_task("", total=1.0, where="preparing", left="")
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def scene(self, scene: Scene, clip: Clip) -> None:
        """Hear of the regions of the first frame."""
        if not self.quiet:
            print_scene(scene)

    def frame(self, told: FrameProgress) -> None:
        """Hear of a frame."""
        of = f"/{told.frames}" if told.frames else ""
        where = f"frame {told.frame}{of}  shot {told.shot}"
        left = f"{fine_duration(told.seconds)} a frame"
        if told.seconds_left is not None:
            left += f", {duration(told.seconds_left)} left"
        done = told.frame / max(told.frame, told.frames or told.frame + 1)
        self.bar.update(self.task, completed=done, where=where, left=left)
        if self.bar.disable and not self.quiet and (told.frame - 1) % 25 == 0:
            err.print(escape(f"{where}  {left}"), style="dim", highlight=False)


@contextmanager
def _partial_when_stopped(targets: ClipTargets, notes: list[str]) -> Iterator[None]:
    from layered_nst.video.leaving import write_partial_clip

    try:
        yield
    except Interrupted as stop:
        with undisturbed():
            try:
                path = write_partial_clip(stop, targets, notes=notes)
            except LayeredNstError as error:
                note(f"the frames so far could not be made a clip: {error}")
                path = None
        goes_on = (
            f"--resume goes on from {stop.checkpoint}" if stop.checkpoint else "nothing was kept"
        )
        so_far = f"the {len(stop.partial)} frames so far are {path}; " if path else ""
        raise Interrupted(f"interrupted; {so_far}{goes_on}") from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted before the first frame; nothing was written") from None


def _tell(result: VideoResult, written: ClipWritten, notes: list[str], *, as_json: bool) -> None:
    if not as_json:
        for sentence in result.notes[len(result.scene.notes) :]:
            note(sentence)
        told = f"{len(result)} frames  {pixels(result.size)}  {duration(result.seconds)}"
        err.print(f"[bold]{escape(str(written.clip))}[/]  {told}", highlight=False)
        if written.report is not None:
            err.print(f"[bold]{escape(str(written.report))}[/]", highlight=False)
        return
    height, width = result.size
    print_json(
        {
            "output": str(written.clip),
            "poster": None if written.poster is None else str(written.poster),
            "report": None if written.report is None else str(written.report),
            "width": width,
            "height": height,
            "frames": len(result),
            "shots": result.shots,
            "seconds": round(result.seconds, 2),
            "coverage": result.scene.masks.coverage,
            "notes": [*notes, *map(spelled, result.notes)],
            "seed": result.recipe.optimize.seed,
        }
    )
