"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Quality(StrEnum):
    """Presets of ``optimize.quality``."""

    INSTANT = "instant"
    DRAFT = "draft"
    STANDARD = "standard"
    FINE = "fine"
    PRINT = "print"


RecipeArgument = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="Recipe (YAML, - is stdin), or a picture made by one."),
]
PhotoArgument = Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo.")]
ContentOption = Annotated[
    Path | None, typer.Option("--content", "-c", help="Photo, in place of the recipe's own.")
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size", min=1, max=32768, help="Longest side of the result in px. [the recipe's]"
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. regions.sky.strength=0.5."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, mps, or auto for the fastest there is.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", metavar="DIR", help="Folder with fetched weights. [torch's own]"),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="A name that `layered-nst models` lists, or a file that `encoder distill` wrote.",
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="An empty region is an error, not a note.")
]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", min=1, help="Largest picture that is read, in pixels. [100 million]"
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="AMOUNT",
        help="Stay within 6G or 4000M, in tiles where needed. [what is free]",
        show_default=False,
    ),
]
WithinOption = Annotated[
    str | None,
    typer.Option(
        "--within",
        metavar="TIME",
        help="Choose the best quality that is done in 10s or 2min, of which a note tells.",
    ),
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Use and keep nothing that was computed before.")
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=0, help="Steps at each level. [as the quality says]")
]
QualityOption = Annotated[
    Quality | None,
    typer.Option("--quality", help="How long to work on it. [the recipe's, or standard]"),
]
StyleOption = Annotated[
    list[Path] | None,
    typer.Option("--style", help="Style picture; may be given several times."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")]
LayersOption = Annotated[
    str | None, typer.Option("--layers", metavar="NAME,NAME", help="Layers. [the style's own]")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random numbers.")]
DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder with images/, labels/ and lists.")
]
WeightsOutput = Annotated[
    Path, typer.Option("--output", "-o", help="Weights to write (.safetensors).")
]
SegmentersArgument = Annotated[
    list[str],
    typer.Argument(metavar="SEGMENTER...", help="Names, or .safetensors files."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def joined_overrides(texts: list[str] | None, **options: Any) -> list[str]:
    given = [f"optimize.{key}={value}" for key, value in options.items() if value is not None]
    return [*(texts or ()), *given]


def limits(limit: int | None) -> dict[str, Any]:
    return {} if limit is None else {"max_pixels": limit}


def deadline_of_command(within: str | None, **others: Any) -> Any:
    """The deadline of a command, counted from when it was started; None for none.

    Args:
        others: options that stand for what the time would choose.
    """
    if within is None:
        return None
    import time

    import psutil

    from layered_nst.strategies.hurry import Deadline, check_alone, deadline_of

    check_alone(within, others)
    found, behind = deadline_of(within), time.time() - psutil.Process().create_time()
    return None if found is None else Deadline(found.seconds, found.started - behind)
