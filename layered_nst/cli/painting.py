"""``apply`` and ``check``: run a recipe, or look what it would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

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
    joined_overrides,
    limits,
)
from layered_nst.cli.signals import undisturbed
from layered_nst.errors import Interrupted, OutputError
from layered_nst.words import duration, gigabytes, pixels

if TYPE_CHECKING:
    from layered_nst.outputs.report.recorder import Recorder
    from layered_nst.outputs.result import Result
    from layered_nst.painting.plan import Plan
    from layered_nst.scene.scene import Scene
    from layered_nst.strategies.checking import Check


def apply(
    recipe: RecipeArgument,
    content: ContentOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Result; its suffix names the format. [RECIPE.png, or RECIPE-PHOTO.png with -c]",
        ),
    ] = None,
    layers: Annotated[
        Path | None,
        typer.Option("--layers", help="Also write the layers: a name ending in .ora or .psd."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="DIR", help="Also write a page that shows the run, DIR/index.html."
        ),
    ] = None,
    size: SizeOption = None,
    set_: SetOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the random numbers.")] = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    memory: MemoryOption = None,
    no_cache: NoCacheOption = False,
    no_manifest: Annotated[
        bool, typer.Option("--no-manifest", help="Write no OUT.json of how the picture was made.")
    ] = False,
    no_preview: Annotated[
        bool, typer.Option("--no-preview", help="Keep no OUT.preview.png while working.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from OUT.checkpoint, if it is there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restyle a photo and write the picture.

    RECIPE may be a picture made before, or its OUT.json: it is made again.

    A picture that nobody names takes no other's place: what is there of another photo stays, and
    the new one is RECIPE.2.png.

    A preview that grows sharper is kept beside the output. Ctrl-C saves the picture so far as
    OUT.partial.png.

    OUT.checkpoint holds where the run stands until the picture has been written: after Ctrl-C, a
    crash or a full disk, the same command with --resume goes on from there.
    """
    from layered_nst import api
    from layered_nst.machine.memory import parse_memory
    from layered_nst.outputs.layered.writing import LAYERED_FORMATS
    from layered_nst.outputs.manifest import check_manifest_path, manifest_path, write_manifest
    from layered_nst.outputs.report.page import check_report_folder
    from layered_nst.outputs.report.recorder import Recorder
    from layered_nst.outputs.rerun import default_target
    from layered_nst.outputs.result import check_format, check_sizes, check_writable, files_of
    from layered_nst.strategies.checkpoints import checkpoint_path, discard

    overrides = joined_overrides(set_, seed=seed, steps=steps, quality=quality)
    allowed = None if memory is None else parse_memory(memory)
    with printed_notes() as changes:
        loaded = api.load(recipe, content, size=size, overrides=overrides)
        target = output or default_target(recipe, loaded, named_photo=content is not None)
    reads = [recipe, *files_of(loaded)]
    check_writable(target, keep=reads)
    check_format(target, loaded)
    if not no_manifest:
        check_manifest_path(manifest_path(target))
    if layers is not None:
        check_writable(layers, formats=LAYERED_FORMATS, keep=reads)
    if report is not None:
        written = [target, *([] if layers is None else [layers])]
        check_report_folder(report, keep=[*written, *reads])
    preview = None if no_preview else preview_path(target, reads)
    shown = Display(quiet=as_json, preview=preview)
    with printed_notes() as notes, shown as display:
        recorder = None if report is None else Recorder(display)
        watch = recorder or display

        def begin(scene: Scene, plan: Plan) -> None:
            check_sizes(scene.size, target, layers)
            watch.scene(scene, plan)

        def write_page(painted: Result) -> Path | None:
            return _page(report, painted, recorder, [*changes, *notes])

        try:
            result = api.apply(
                loaded,
                content,
                device=device,
                strict=strict,
                weights_dir=weights,
                **limits(max_pixels),
                cache=not no_cache,
                checkpoint=checkpoint_path(target),
                resume=resume,
                output=target,
                memory=allowed,
                on_scene=begin,
                on_progress=watch.step,
            )
        except Interrupted as stop:
            raise _saved_partial(stop, target, reads, write_page) from None
        except KeyboardInterrupt:
            raise _saved_partial(Interrupted("interrupted"), target, reads, write_page) from None
        with undisturbed(), _resumable(result.checkpoint):
            # Not the picture alone must be safe before the checkpoint goes.
            replace(result, checkpoint=None).save(target)
            if not no_manifest:
                write_manifest(result, target, notes=[*changes, *notes])
            if layers is not None:
                result.save_layers(layers)
            page = write_page(result)
            if result.checkpoint is not None:
                discard(result.checkpoint)
    _report(result, target, layers, page, as_json, [*changes, *notes])


@contextmanager
def _resumable(checkpoint: Path | None) -> Iterator[None]:
    """Say of what cannot be written that its work is not lost."""
    try:
        yield
    except OutputError as error:
        if checkpoint is None:
            raise
        kept = f"the work is kept in {checkpoint}, and --resume will write it"
        raise OutputError(f"{error}; {kept}") from error


def _page(
    folder: Path | None, result: Result, recorder: Recorder | None, notes: list[str]
) -> Path | None:
    """Write the page that ``--report`` asks for, if it does."""
    if folder is None:
        return None
    from layered_nst.outputs.report.page import write_report

    return write_report(result, folder, recording=recorder, notes=notes)


def _saved_partial(
    stop: Interrupted,
    target: Path,
    reads: list[Path],
    write_page: Callable[[Result], Path | None],
) -> Interrupted:
    from layered_nst.files.targets import free_name
    from layered_nst.picture import is_ours

    goes_on = f"--resume goes on from {stop.checkpoint}"
    if stop.partial is None:
        return Interrupted(
            "interrupted before the first step; "
            + ("nothing was written" if stop.checkpoint is None else goes_on)
        )
    with undisturbed(), _resumable(stop.checkpoint):
        partial = target.with_name(f"{target.stem}.partial{target.suffix}")
        path = stop.partial.save(free_name(partial, known=is_ours, reads=reads))
        page = write_page(stop.partial)
    shown = "" if page is None else f", its report {page}"
    rest = "" if stop.checkpoint is None else f"; {goes_on}"
    return Interrupted(f"interrupted; the picture so far is {path}{shown}{rest}")


def _report(
    result: Result,
    target: Path,
    layers: Path | None,
    page: Path | None,
    as_json: bool,
    notes: list[str],
) -> None:
    width, height = result.image.size
    if not as_json:
        size, took = pixels(result.scene.size), duration(result.seconds)
        err.print(f"[bold]{escape(str(target))}[/]  {size}  {took}", highlight=False)
        for path in (layers, page):
            if path is not None:
                err.print(f"[bold]{escape(str(path))}[/]", highlight=False)
        return
    print_json(
        {
            "output": str(target),
            "layers": None if layers is None else str(layers),
            "report": None if page is None else str(page),
            "width": width,
            "height": height,
            "seconds": round(result.seconds, 2),
            "coverage": result.coverage,
            "losses": dict(result.losses[-1]) if result.losses else {},
            "notes": [*notes, *map(spelled, result.notes)],
            "seed": result.recipe.optimize.seed,
        }
    )


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
    """Show what a recipe finds in its photo and what it would cost; nothing is optimized."""
    from layered_nst import api

    with printed_notes() as warned:
        found = api.check(
            recipe,
            content,
            size=size,
            overrides=joined_overrides(set_, steps=steps, quality=quality),
            device=device,
            strict=strict,
            weights_dir=weights,
            **limits(max_pixels),
            memory=memory,
            cache=not no_cache,
        )
    if as_json:
        notes = [*warned, *map(spelled, found.notes)]
        print_json({**found.as_dict(), "notes": notes})
        return
    _print_check(found, recipe)


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
    for sentence in found.notes:
        note(sentence)
