"""``apply`` and ``check``: run a recipe, or look what it would do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from layered_nst.cli.console import duration, err, note, out, print_json, printed_notes
from layered_nst.cli.display import Display, region_table
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
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
from layered_nst.errors import Interrupted

if TYPE_CHECKING:
    from layered_nst.result import Result


def apply(
    recipe: RecipeArgument,
    content: ContentOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Result; its suffix names the format. [RECIPE.png]"),
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
    no_preview: Annotated[
        bool, typer.Option("--no-preview", help="Keep no OUT.preview.png while working.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restyle a photo and write the picture.

    A preview that grows sharper is kept beside the output. Ctrl-C saves the picture so far as
    OUT.partial.png.
    """
    from layered_nst import api
    from layered_nst.result import check_writable, files_of

    overrides = joined_overrides(set_, seed=seed, steps=steps, quality=quality)
    loaded = api.load(recipe, content, size=size, overrides=overrides)
    target = output or Path(f"{recipe.stem}.{loaded.output.format or 'png'}")
    check_writable(target, keep=files_of(loaded))
    shown = Display(target, quiet=as_json, preview=not no_preview)
    with printed_notes() as notes, shown as display:
        try:
            result = api.apply(
                loaded,
                content,
                device=device,
                strict=strict,
                weights_dir=weights,
                **limits(max_pixels),
                on_scene=display.scene,
                on_progress=display.step,
            )
        except Interrupted as stop:
            raise _saved_partial(stop, target) from None
        except KeyboardInterrupt:
            raise _saved_partial(Interrupted("interrupted"), target) from None
        with undisturbed():
            result.save(target)
    _report(result, target, as_json, notes)


def _saved_partial(stop: Interrupted, target: Path) -> Interrupted:
    if stop.partial is None:
        return Interrupted("interrupted before the first step; nothing was written")
    with undisturbed():
        path = stop.partial.save(target.with_name(f"{target.stem}.partial.png"))
    return Interrupted(f"interrupted; the picture so far is {path}")


def _report(result: Result, target: Path, as_json: bool, notes: list[str]) -> None:
    width, height = result.image.size
    if not as_json:
        err.print(
            f"[bold]{escape(str(target))}[/]  {width}×{height} px  {duration(result.seconds)}",
            highlight=False,
        )
        return
    print_json(
        {
            "output": str(target),
            "width": width,
            "height": height,
            "seconds": round(result.seconds, 2),
            "coverage": result.coverage,
            "losses": dict(result.losses[-1]) if result.losses else {},
            "notes": [*notes, *result.notes],
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
    as_json: JsonOption = False,
) -> None:
    """Show what a recipe finds in its photo and what it would cost; nothing is optimized."""
    from layered_nst import api
    from layered_nst.device import choose_device
    from layered_nst.estimate import estimate
    from layered_nst.features import load_encoder
    from layered_nst.scene import thin_notes

    loaded = api.load(
        recipe, content, size=size, overrides=joined_overrides(set_, steps=steps, quality=quality)
    )
    chosen = choose_device(device)
    started = time.perf_counter()
    with printed_notes() as warned:
        scene, plan = api.prepare(
            loaded,
            content,
            device=chosen,
            strict=strict,
            weights_dir=weights,
            **limits(max_pixels),
        )
        encoder = load_encoder(loaded.encoder, weights_dir=weights, device=chosen)
        preparation = time.perf_counter() - started
        cost = estimate(scene, plan, encoder)
    notes = scene.notes + thin_notes(scene, encoder, plan)
    if as_json:
        print_json(
            {
                "width": scene.size[1],
                "height": scene.size[0],
                "coverage": scene.masks.coverage,
                "levels": [[level.longest, level.steps] for level in plan.levels],
                "seconds": round(preparation + cost.seconds, 1),
                "megabytes": round(cost.memory / 1e6),
                "notes": [*warned, *notes],
            }
        )
        return
    name, (height, width) = escape(loaded.name or str(recipe)), scene.size
    out.print(f"[bold]{name}[/]  {width}×{height} px on {chosen}", highlight=False)
    out.print(region_table(scene))
    levels = ", ".join(f"{level.longest} px × {level.steps}" for level in plan.levels)
    out.print(f"levels    {levels}", highlight=False)
    out.print(f"time      about {duration(preparation + cost.seconds)}", highlight=False)
    out.print(f"memory    about {cost.memory / 1e9:.1f} GB", highlight=False)
    for sentence in notes:
        note(sentence)
