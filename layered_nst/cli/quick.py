"""``paint``: a photo in a style, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from layered_nst.cli.options import (
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    MemoryOption,
    NoCacheOption,
    PhotoArgument,
    QualityOption,
    SetOption,
    SizeOption,
    StepsOption,
    StrictOption,
    WeightsOption,
    WithinOption,
)
from layered_nst.cli.painting import apply


def paint(
    photo: PhotoArgument,
    style: Annotated[
        str, typer.Argument(metavar="STYLE", help="Style picture, or LIBRARY/LOOK of a library.")
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="WHAT",
            help="What stays the photo: subject, face, eyes, mouth, skin, hair, or a class such as "
            "sky; may be given several times.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Result. [PHOTO-STYLE.png, or the next free number]"),
    ] = None,
    strength: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="How far to go from the photo to the style, 0.6 or 60%. [1]"
        ),
    ] = None,
    size: SizeOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    memory: MemoryOption = None,
    within: WithinOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint a photo, or a clip, in a style, without a recipe.

    The photo's lines are held; `--set regions.style.contour=0` leaves them to the style. OUT.json
    beside the picture holds the recipe: `layered-nst apply OUT.json` paints it again, and with -c
    another photo.
    """
    from layered_nst.cli.clips import suffix_for
    from layered_nst.files.targets import free_name
    from layered_nst.recipe.at_once import recipe_at_once

    recipe = recipe_at_once(photo, style, keep=keep or ())
    if strength is not None:
        recipe["regions"][0]["strength"] = _number(strength)
    name = Path(f"{photo.stem}-{Path(style).stem}{suffix_for(photo)}")
    apply(
        cast(Any, recipe),
        output=output or free_name(name, known=lambda _: False),
        size=size,
        set_=set_,
        device=device,
        steps=steps,
        quality=quality,
        weights=weights,
        strict=strict,
        max_pixels=max_pixels,
        memory=memory,
        within=within,
        no_cache=no_cache,
        as_json=as_json,
    )


def _number(text: str) -> float | str:
    """A number as it was typed; whatever else it is, the recipe's own check will say."""
    try:
        return float(text)
    except ValueError:
        return text
