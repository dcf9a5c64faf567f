"""``apply`` and ``check``: run a recipe, or look what it would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from layered_nst.cli.clips import (
    ClipAsked,
    ClipPart,
    EveryOption,
    FromOption,
    PreviewOption,
    ToOption,
    apply_clip,
    check_of_clip,
    is_clip_of,
    refuse_deadline,
    refuse_film_of_photo,
    refuse_part_of_photo,
    wants_still,
)
from layered_nst.cli.console import err, note, out, print_json, printed_notes, spelled
from layered_nst.cli.display import Display, preview_path, region_table
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    MemoryOption,
    NoCacheOption,
    QualityOption,
    RecipeArgument,
    SetOption,
    SizeOption,
    StepsOption,
    StrictOption,
    WeightsOption,
    WithinOption,
    deadline_of_command,
    joined_overrides,
    limits,
)
from layered_nst.cli.signals import undisturbed
from layered_nst.errors import Interrupted, OutputError
from layered_nst.words import duration, gigabytes, pixels

if TYPE_CHECKING:
    from layered_nst.outputs.leaving import Targets, Written
    from layered_nst.outputs.result import Result
    from layered_nst.painting.plan import Plan
    from layered_nst.recipe import Recipe
    from layered_nst.scene.scene import Scene
    from layered_nst.strategies.checking import Check
    from layered_nst.video.looking import ClipCheck


_Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Result; its suffix names the format. [RECIPE.png, or RECIPE-PHOTO.png with -c]",
    ),
]
_Layers = Annotated[
    Path | None,
    typer.Option("--layers", help="Also write the layers: a name ending in .ora or .psd."),
]
_Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="DIR", help="Also write a page that shows the run, DIR/index.html."
    ),
]
_Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of the random numbers. [the recipe's]"),
]
_NoManifest = Annotated[
    bool, typer.Option("--no-manifest", help="Write no OUT.json of how the picture was made.")
]
_NoPreview = Annotated[
    bool, typer.Option("--no-preview", help="Keep no OUT.preview.png while working.")
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from OUT.checkpoint, if it is there.")
]


def apply(
    recipe: RecipeArgument,
    content: ContentOption = None,
    output: _Output = None,
    layers: _Layers = None,
    report: _Report = None,
    size: SizeOption = None,
    set_: SetOption = None,
    seed: _Seed = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    memory: MemoryOption = None,
    within: WithinOption = None,
    no_cache: NoCacheOption = False,
    no_manifest: _NoManifest = False,
    no_preview: _NoPreview = False,
    resume: _Resume = False,
    start: FromOption = None,
    end: ToOption = None,
    every: EveryOption = 1,
    preview: PreviewOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restyle a photo, or a clip, and write the picture, or the film.

    RECIPE may be a picture made before, or its OUT.json: it is made again.

    A picture that nobody names takes no other's place: what is there of another photo stays, and
    the new one is RECIPE.2.png.

    A preview that grows sharper is kept beside the output. Ctrl-C saves the picture so far as
    OUT.partial.png.

    OUT.checkpoint holds where the run stands until the picture has been written: after Ctrl-C, a
    crash or a full disk, the same command with --resume goes on from there.
    """
    from layered_nst import api

    deadline = deadline_of_command(within, quality=quality, steps=steps, resume=resume)
    overrides = joined_overrides(set_, seed=seed, steps=steps, quality=quality)
    asked = ClipAsked(recipe, output, layers, report, not no_manifest, content is not None, as_json)
    part = ClipPart(start, end, every, preview)
    options: dict[str, Any] = {
        "device": device,
        "strict": strict,
        "weights_dir": weights,
        **limits(max_pixels),
        "cache": not no_cache,
        "resume": resume,
        "memory": memory,
    }
    with printed_notes() as notes:
        if not (content or size or overrides):
            _use_its_threads(recipe)
        loaded = api.load(recipe, content, size=size, overrides=overrides)
        if is_clip_of(loaded) and not wants_still(output):
            refuse_deadline(within)
            apply_clip(loaded, asked, part, notes=notes, options=options)
        else:
            refuse_part_of_photo(part)
            refuse_film_of_photo(loaded.content, output)
            options["within"] = deadline
            _apply_photo(
                loaded, content, asked, notes=notes, options=options, previews=not no_preview
            )


def _use_its_threads(recipe: Path | Any) -> None:
    """Of a picture that is made again as it was: as many threads give the same bytes. What is made
    another way, as when it is finished, has all that there are."""
    if not isinstance(recipe, Path):
        return  # made up on the way, as by `paint`
    from layered_nst.machine.processes import use_threads
    from layered_nst.outputs.rerun import read_record

    record = read_record(recipe)
    if record is not None and record.threads:
        use_threads(record.threads)


def _apply_photo(
    loaded: Recipe,
    content: Path | None,
    asked: ClipAsked,
    *,
    notes: list[str],
    options: dict[str, Any],
    previews: bool,
) -> None:
    """Paint a photo and write all that its run leaves."""
    from layered_nst import api
    from layered_nst.outputs.leaving import Targets
    from layered_nst.outputs.rerun import default_target
    from layered_nst.outputs.result import files_of

    picture = asked.output or default_target(asked.recipe, loaded, named_photo=asked.is_named)
    # Of a recipe made up on the way, as by `paint`, there is no file.
    reads = (*(p for p in (asked.recipe,) if isinstance(p, Path)), *files_of(loaded))
    targets = Targets(picture, asked.layers, asked.report, asked.manifest, reads)
    targets.check(loaded)
    shown = preview_path(picture, reads) if previews else None
    with Display(quiet=asked.as_json, preview=shown) as display:
        leaving = _Leaving(targets, display, notes)
        with leaving.partial_when_stopped():
            result = api.apply(
                loaded,
                content,
                checkpoint=targets.checkpoint,
                output=picture,
                on_scene=leaving.scene,
                on_progress=leaving.watch.step,
                **options,
            )
        written = leaving.all_of(result)
    _told(result, written, notes, as_json=asked.as_json)


class _Leaving:
    """Watches a run, and writes what it leaves however it ends."""

    def __init__(self, targets: Targets, display: Display, notes: list[str]) -> None:
        from layered_nst.outputs.report.recorder import Recorder

        self.targets, self.notes = targets, notes
        self.recorder = None if targets.report is None else Recorder(display)
        self.watch = self.recorder or display

    def scene(self, scene: Scene, plan: Plan) -> None:
        self.targets.check_size(scene.size)
        self.watch.scene(scene, plan)

    def all_of(self, result: Result) -> Written:
        from layered_nst.outputs.leaving import write_all

        with undisturbed():
            return write_all(result, self.targets, recording=self.recorder, notes=self.notes)

    @contextmanager
    def partial_when_stopped(self) -> Iterator[None]:
        try:
            yield
        except Interrupted as stop:
            raise self._partial_of(stop) from None
        except KeyboardInterrupt:
            raise self._partial_of(Interrupted("interrupted")) from None
        except Exception as error:
            if left := _interrupted_behind(error):
                self._kept_of(left)
            raise

    def _kept_of(self, stop: Interrupted) -> None:
        """Write and tell what is left of a run that ended by an error."""
        from layered_nst.outputs.leaving import write_partial

        with undisturbed(), suppress(OutputError):
            if found := write_partial(
                stop, self.targets, recording=self.recorder, notes=self.notes
            ):
                note(f"the picture so far is {found.picture}")
        if stop.checkpoint:
            note(f"the work so far is kept; --resume goes on from {stop.checkpoint}")

    def _partial_of(self, stop: Interrupted) -> Interrupted:
        from layered_nst.outputs.leaving import write_partial

        with undisturbed():
            found = write_partial(stop, self.targets, recording=self.recorder, notes=self.notes)
        goes_on = f"--resume goes on from {stop.checkpoint}" if stop.checkpoint else ""
        if found is None:
            left = goes_on or "nothing was written"
            return Interrupted(f"interrupted before the first step; {left}")
        page = "" if found.report is None else f", its report {found.report}"
        rest = f"; {goes_on}" if goes_on else ""
        return Interrupted(f"interrupted; the picture so far is {found.picture}{page}{rest}")


def _interrupted_behind(error: BaseException | None) -> Interrupted | None:
    """What a run left which ended by an error, if it left anything."""
    while error is not None:
        if isinstance(error, Interrupted):
            return error
        error = error.__cause__
    return None


def _told(result: Result, written: Written, notes: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(_as_data(result, written, notes))
        return
    size, took = pixels(result.scene.size), duration(result.seconds)
    err.print(f"[bold]{escape(str(written.picture))}[/]  {size}  {took}", highlight=False)
    for path in (written.layers, written.report, written.proof):
        if path is not None:
            err.print(f"[bold]{escape(str(path))}[/]", highlight=False)


def _as_data(result: Result, written: Written, notes: list[str]) -> dict[str, Any]:
    height, width = result.scene.size
    return {
        "output": str(written.picture),
        "layers": None if written.layers is None else str(written.layers),
        "report": None if written.report is None else str(written.report),
        "proof": None if written.proof is None else str(written.proof),
        "width": width,
        "height": height,
        "seconds": round(result.seconds, 2),
        "coverage": result.coverage,
        "losses": dict(result.losses[-1]) if result.losses else {},
        "notes": [*notes, *map(spelled, result.notes)],
        "seed": result.recipe.optimize.seed,
    }


def check(
    recipe: RecipeArgument,
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    memory: MemoryOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a recipe finds in its photo, or in a clip's first frame, and what it would cost;
    nothing is optimized."""
    from layered_nst import api

    overrides = joined_overrides(set_, steps=steps, quality=quality)
    options: dict[str, Any] = {
        "device": device,
        "strict": strict,
        "weights_dir": weights,
        **limits(max_pixels),
        "memory": memory,
        "cache": not no_cache,
    }
    with printed_notes() as warned:
        loaded = api.load(recipe, content, size=size, overrides=overrides)
        if is_clip_of(loaded):
            _print_clip_check(check_of_clip(loaded, options), recipe, warned, as_json=as_json)
            return
        found = api.check(loaded, content, **options)
    if as_json:
        notes = [*warned, *map(spelled, found.notes)]
        print_json({**found.as_dict(), "notes": notes})
        return
    _print_check(found, recipe)


def _print_clip_check(found: ClipCheck, recipe: Path, warned: list[str], *, as_json: bool) -> None:
    from layered_nst.video.looking import in_words

    if as_json:
        print_json({**found.as_dict(), "notes": [*warned, *map(spelled, found.notes)]})
        return
    _print_check(found.first, recipe)
    for line in in_words(found):
        out.print(line, highlight=False)


def _print_check(found: Check, recipe: Path) -> None:
    scene = found.scene
    name = escape(scene.recipe.name or str(recipe))
    where = f"{pixels(scene.size)} on {scene.picture.rgb.device}"
    out.print(f"[bold]{name}[/]  {where}", highlight=False)
    out.print(region_table(scene))
    levels = ", ".join(f"{level.longest} px × {level.steps}" for level in found.plan.levels)
    out.print(f"levels    {levels}", highlight=False)
    out.print(f"time      about {duration(found.seconds)}", highlight=False)
    out.print(f"memory    about {gigabytes(found.megabytes * 1e6)}", highlight=False)
    if used := found.as_dict()["plugins"]:
        named = ", ".join(f"{name} {version}" for name, version in used.items())
        out.print(f"plug-ins  {escape(named)}", highlight=False)
    for sentence in found.notes:
        note(sentence)
