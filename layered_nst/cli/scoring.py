"""``score``: how good a result is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from layered_nst.cli.console import out, print_json, printed_notes
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    SetOption,
    WeightsOption,
    limits,
)

if TYPE_CHECKING:
    from layered_nst.judge import Score


def score(
    picture: Annotated[Path, typer.Argument(metavar="OUT", help="Result, from any program.")],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", "-r", help="Recipe (YAML). [the one that OUT carries]"),
    ] = None,
    content: ContentOption = None,
    judge: Annotated[
        str,
        typer.Option(
            "--judge", help="Who judges: efficientnet-lite0, or a plug-in's; {NAME: {KEY: VALUE}}."
        ),
    ] = "efficientnet-lite0",
    set_: SetOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a result by a network that took no part in painting it.

    By region: style distance (0 is the style itself), gain (share of the way from the photo to the
    style), the style it is nearest to, content (0 is the photo), and edges kept (1 is all); and, by
    three bands from fine to coarse, result over style: grain (lightness) and relief (chroma). Where
    relief is far below grain, strokes look embossed.
    """
    from layered_nst.judge import score_file

    with printed_notes():
        found = score_file(
            picture,
            recipe,
            content,
            judge=judge,
            overrides=set_ or (),
            device=device,
            weights_dir=weights,
            **limits(max_pixels),
        )
    if as_json:
        print_json(found.as_dict())
        return
    out.print(_table(found))
    out.print(_strokes(found))
    for line in _lines(found):
        out.print(line, highlight=False)


def _table(score: Score) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("region")
    for heading in ("coverage", "distance", "gain", "content", "edges"):
        table.add_column(heading, justify="right")
    table.add_column("nearest style")
    for region in score.regions:
        table.add_row(
            escape(region.name),
            f"{region.coverage:.1%}",
            *map(_number, (region.distance, region.gain, region.content, region.edges)),
            "its own" if region.nearest == region.name else f"that of {escape(region.nearest)}",
        )
    whole = (score.distance, score.gain, score.content, score.edges)
    table.add_row("all", "", *map(_number, whole), "")
    return table


def _strokes(score: Score) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("strokes", "grain", "relief"):
        table.add_column(heading)
    for region in score.regions:
        table.add_row(escape(region.name), _bands(region.grain), _bands(region.relief))
    table.add_row("all", _bands(score.grain), _bands(score.relief))
    return table


def _lines(score: Score) -> list[str]:
    by = "".join(f" ({name} {known['version']})" for name, known in score.plugins.items())
    lines = [
        f"judge     {escape(score.judge + by)}",
        f"leak      {score.leak:.0%} of the regions",
        f"seam      {_number(score.seam)} (photo {_number(score.photo_seam)})",
    ]
    if score.product is not None:
        product = score.product
        lines += [
            f"product   contour kept {_number(product.contour)}, halo "
            f"{_number(product.halo)} ΔE (photo {_number(product.photo_halo)})",
        ]
    return lines


def _bands(values: Sequence[float]) -> str:
    return " ".join("-" if math.isnan(value) else f"{value:.2f}" for value in values)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
