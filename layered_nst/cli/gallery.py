"""``gallery``: many recipes on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from layered_nst.cli.console import err, note, print_json, printed_notes
from layered_nst.cli.display import Display
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    NoCacheOption,
    Quality,
    StepsOption,
    WeightsOption,
    joined_overrides,
    limits,
)
from layered_nst.cli.signals import undisturbed
from layered_nst.errors import Interrupted
from layered_nst.words import duration, pixels

if TYPE_CHECKING:
    from layered_nst.views.gallery import Cell


def gallery(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Folder with recipes. [recipes, here or in the clone]"
        ),
    ] = None,
    content: ContentOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Sheet. [gallery.png]")
    ] = None,
    columns: Annotated[int, typer.Option("--columns", min=1, help="Recipes in a row.")] = 2,
    size: Annotated[
        int, typer.Option("--size", min=16, max=1024, help="Longest side of each result in px.")
    ] = 256,
    quality: Annotated[
        Quality, typer.Option("--quality", help="How long to work on each.")
    ] = Quality.DRAFT,
    steps: StepsOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint all recipes of a folder small, and show photo and result of each on one sheet.

    With --content, all of them paint that photo: which look suits it? A recipe that fails is shown
    with its reason, and the exit code is 1. Files that begin with _ or . are left out.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.views.gallery import default_folder, files_read, paint_gallery, write_gallery

    place = folder or default_folder()
    target, reads = output or Path("gallery.png"), files_read(place, content)
    _check(target, place, reads, named=output is not None, size=size, columns=columns)
    with printed_notes(), Display(quiet=as_json) as display:
        try:
            tiles = paint_gallery(
                place,
                content,
                size=size,
                overrides=joined_overrides(None, quality=quality, steps=steps),
                on_tile=_say_nothing if as_json else _say,
                on_progress=display.step,
                device=choose_device(device),
                weights_dir=weights,
                cache=not no_cache,
                **limits(max_pixels),
            )
        except Interrupted as stop:
            raise _saved_partial(stop, target, reads, size, columns) from None
        with undisturbed():
            sheet = write_gallery(tiles, target, size=size, columns=columns)
    _report(tiles, target, sheet.size, as_json)
    if any(tile.error for tile in tiles):
        raise typer.Exit(1)


def _check(
    target: Path, place: Path, reads: list[Path], *, named: bool, size: int, columns: int
) -> None:
    from layered_nst.outputs.result import check_writable
    from layered_nst.views.gallery import check_sheet, find_recipes

    check_writable(target, keep=reads, named=named)
    check_sheet(target, len(find_recipes(place)), size=size, columns=columns)


def _say_nothing(tile: Cell) -> None:
    pass


def _say(tile: Cell) -> None:
    said = f"[red]failed:[/] {escape(tile.error)}" if tile.error else duration(tile.seconds)
    err.print(f"[bold]{escape(tile.label)}[/]  {said}", highlight=False)
    for sentence in tile.notes:
        note(f"{tile.label}: {sentence}")


def _saved_partial(
    stop: Interrupted, target: Path, reads: list[Path], size: int, columns: int
) -> Interrupted:
    from layered_nst.files.targets import free_name
    from layered_nst.picture import is_ours
    from layered_nst.views.gallery import write_gallery

    if not stop.partial:
        return Interrupted("interrupted before the first recipe was done; nothing was written")
    partial = target.with_name(f"{target.stem}.partial{target.suffix}")
    path = free_name(partial, known=is_ours, reads=reads)
    with undisturbed():
        write_gallery(stop.partial, path, size=size, columns=columns)
    return Interrupted(f"interrupted; the recipes so far are on {path}")


def _report(tiles: list[Cell], output: Path, size: tuple[int, int], as_json: bool) -> None:
    failed = sum(bool(tile.error) for tile in tiles)
    if as_json:
        print_json(
            {
                "sheet": str(output),
                "width": size[0],
                "height": size[1],
                "recipes": [_entry(tile) for tile in tiles],
                "failed": failed,
            }
        )
        return
    rest = f", {failed} of them failed" if failed else ""
    err.print(
        f"[bold]{escape(str(output))}[/]  {pixels(size[::-1])}  {len(tiles)} recipes{rest}",
        highlight=False,
    )


def _entry(tile: Cell) -> dict[str, Any]:
    return {
        "recipe": tile.label,
        "file": str(tile.file),
        "name": tile.name,
        "coverage": dict(tile.coverage),
        "seconds": round(tile.seconds, 2),
        "notes": list(tile.notes),
        "error": tile.error or None,
    }
