"""``finish``: an approved picture, larger or better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from layered_nst.cli.options import (
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    MemoryOption,
    NoCacheOption,
    QualityOption,
    SetOption,
    SizeOption,
    StepsOption,
    StrictOption,
    WeightsOption,
)
from layered_nst.cli.painting import apply, check

BETTER = {"instant": "standard", "draft": "standard", "standard": "fine"}
"""What a picture of a quality is finished to if nothing else is asked for."""


_Picture = Annotated[
    Path, typer.Argument(metavar="OUT.png", help="A picture that layered-nst made.")
]
_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Result. [OUT-finished.png, or the next free number]"),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the result's checkpoint, if it is there.")
]
_Check = Annotated[
    bool, typer.Option("--check", help="Say what it would cost in time and memory; paint nothing.")
]


def finish(
    picture: _Picture,
    output: _Output = None,
    size: SizeOption = None,
    quality: QualityOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    memory: MemoryOption = None,
    no_cache: NoCacheOption = False,
    resume: _Resume = False,
    only_check: _Check = False,
    as_json: JsonOption = False,
) -> None:
    """Take an approved picture to its end: larger, better, or ready for print.

    Its composition stays: what is as coarse as the picture is not painted again, and what is finer
    is held to it. Without --size and --quality a draft becomes standard, and standard fine, at the
    same size. `--quality print --size 3508` is A4 at 300 dpi.
    """
    from layered_nst.files.targets import free_name

    approved = f"approved={json.dumps(str(picture.absolute()))}"
    asked: dict[str, Any] = {
        "size": size,
        "set_": [approved, *(set_ or ())],
        "device": device,
        "steps": steps,
        "quality": quality if quality or size else _better(picture),
        "weights": weights,
        "strict": strict,
        "max_pixels": max_pixels,
        "memory": memory,
        "no_cache": no_cache,
        "as_json": as_json,
    }
    if only_check:
        check(picture, **asked)
        return
    name = Path(f"{picture.stem}-finished{picture.suffix}")
    apply(picture, output=output or free_name(name, known=lambda _: False), resume=resume, **asked)


def _better(picture: Path) -> Any:
    """The quality above that of a picture, or its own where there is none."""
    from layered_nst import api

    stated = api.load(picture).optimize.quality
    return BETTER.get(stated, stated)
