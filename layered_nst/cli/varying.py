"""``vary``: some values of a recipe turned, on one sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from layered_nst.cli.campaign import ThreadsOption, WorkersOption
from layered_nst.cli.console import SaidCode, err, print_json
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    NoCacheOption,
    Quality,
    SetOption,
)
from layered_nst.cli.watching import CampaignDisplay

if TYPE_CHECKING:
    from layered_nst.campaign.ledger import Entry
    from layered_nst.campaign.variations import Variations


_Source = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="Recipe, or a sheet made before, with --cell.")
]
_Values = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE,VALUE]...", help="Values that are turned; all are combined."
    ),
]
_Sheet = Annotated[
    Path | None, typer.Option("--output", "-o", help="Sheet. [RECIPE.variations.png]")
]
_Cell = Annotated[
    int | None,
    typer.Option(
        "--cell", min=1, help="Paint this cell alone, as large as the recipe says. [all, small]"
    ),
]
_Size = Annotated[
    int, typer.Option("--size", min=16, max=1024, help="Longest side of each cell in px.")
]
_Quality = Annotated[Quality, typer.Option("--quality", help="How long to work on each cell.")]


def vary(
    recipe: _Source,
    values: _Values = None,
    content: ContentOption = None,
    output: _Sheet = None,
    cell: _Cell = None,
    size: _Size = 256,
    quality: _Quality = Quality.DRAFT,
    set_: SetOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint a recipe with some of its values turned, small, on one sheet with numbers.

    `layered-nst vary SHEET.png --cell 4 -o four.png` makes cell 4 again at the recipe's own size
    and quality. The cells lie in SHEET.vary beside the sheet; a value more paints its cells alone.
    """
    from layered_nst.campaign.variations import SUFFIX, read_sheet, write_variations
    from layered_nst.outputs.result import check_writable

    made = None if values else read_sheet(recipe)
    made = made or _asked(recipe, values or [], content, set_)
    if cell is not None:
        _paint_cell(made, cell, output, device=device, no_cache=no_cache, as_json=as_json)
        return
    target = output or Path(f"{recipe.stem}.variations.png")
    check_writable(target, keep=[made.recipe, *([content] if content else [])], named=bool(output))
    folder = target.with_suffix(SUFFIX).absolute()
    campaign = made.campaign(
        folder, size=size, quality=str(quality), device=device, cache=not no_cache
    )
    with CampaignDisplay(quiet=as_json) as display:
        summary = campaign.run(
            workers=workers, threads=threads, on_event=display.tell, on_start=display.start
        )
    entries = write_variations(made, folder, target, side=size)
    display.tell_unseen(campaign.status().failed)
    if summary.interrupted and not as_json:
        err.print("interrupted; the same command paints the cells that are missing")
    _tell(made, target, entries, as_json=as_json)
    if summary.exit_code:
        raise typer.Exit(SaidCode(summary.exit_code))


def _asked(
    recipe: Path, values: list[str], content: Path | None, set_: list[str] | None
) -> Variations:
    from layered_nst.campaign.variations import Variations, read_axes
    from layered_nst.recipe.overrides import as_mapping

    photo = None if content is None else content.absolute()
    return Variations(recipe.absolute(), photo, read_axes(values), as_mapping(set_ or []))


def _paint_cell(
    made: Variations,
    cell: int,
    output: Path | None,
    *,
    device: str,
    no_cache: bool,
    as_json: bool,
) -> None:
    from layered_nst.cli.painting import apply

    values = made.cell(cell)
    apply(
        made.recipe,
        made.content,
        output or Path(f"{made.recipe.stem}-{cell}.png"),
        set_=[f"{key}={json.dumps(value)}" for key, value in values.items()],
        device=device,
        no_cache=no_cache,
        as_json=as_json,
    )


def _tell(made: Variations, target: Path, entries: list[Entry], *, as_json: bool) -> None:
    if as_json:
        print_json({"sheet": str(target), "cells": [_cell(made, entry) for entry in entries]})
        return
    err.print(f"[bold]{escape(str(target))}[/]  {len(entries)} cells", highlight=False)


def _cell(made: Variations, entry: Entry) -> dict[str, Any]:
    return {
        "cell": entry.number,
        "values": made.cell(entry.number),
        "state": entry.state.value,
        "seconds": round(entry.seconds, 2),
        "error": entry.sentence if entry.state.value in ("failed", "poisoned") else None,
    }
