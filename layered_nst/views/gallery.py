"""Many recipes painted small, on one sheet: the photo and the result of each, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from layered_nst import api
from layered_nst.errors import Interrupted, LayeredNstError, RecipeError
from layered_nst.machine.cache import Cache
from layered_nst.outputs.result import Result, files_of
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.picture import MAX_PIXELS, check_size, to_image, write_image
from layered_nst.picture.layout import (
    ALARM,
    BELOW,
    GAP,
    INK,
    LINE,
    Words,
    beside,
    blank,
    grid,
    tile,
    wrapped,
    write,
)
from layered_nst.recipe import Recipe
from layered_nst.recipe.packing import SUFFIX

RECIPES = (".yaml", ".yml", SUFFIX)
"""What recipes and packed looks are called."""
BETWEEN = 4
"""Space between photo and result, px."""
NARROWEST = 300
"""A tile is at least so wide, px, or its captions could not be read."""
SHEET_QUALITY = 75
"""Of a JPEG or WebP: a sheet is for looking at, and brush strokes make large files."""


@dataclass(frozen=True)
class Cell:
    """What became of a recipe.

    Attributes:
        file: the recipe.
        label: its path in the gallery without the suffix, such as ``poster/night``.
        name: the recipe's own name, empty if it has none or cannot be read.
        photo, picture: of one size, before and after; None for a recipe that failed.
        coverage: share of each region, 0 to 1, bottom to top.
        notes: the run's sentences for the user.
        seconds: time the optimization took.
        error: the sentence it failed with.
    """

    file: Path
    label: str
    name: str = ""
    photo: Image.Image | None = None
    picture: Image.Image | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""


def default_folder() -> Path:
    """The gallery that is meant when nobody names one.

    Returns:
        ``recipes`` in the current folder, else the one of the clone that this package runs from.

    Raises:
        RecipeError: there is neither.
    """
    clone = Path(__file__).absolute().parents[2]
    # Beside an installed package, a folder of that name would be somebody else's.
    beside = [clone / "recipes"] if (clone / "pyproject.toml").is_file() else []
    for folder in (Path("recipes"), *beside):
        if folder.is_dir():
            return folder
    raise RecipeError("recipes: no such folder here; name one: layered-nst gallery DIR")


def find_recipes(folder: Path) -> list[Path]:
    """The recipes and packed looks of a folder by name, then those of its subfolders.

    Names that begin with ``.`` or ``_`` are left out; so may be bases that others only extend.

    Raises:
        RecipeError: no such folder, or none in it.
    """
    if not folder.is_dir():
        found = "is a file, a gallery is a folder" if folder.exists() else "no such folder"
        raise RecipeError(f"{folder}: {found}")
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in RECIPES]
    shown = [path.relative_to(folder) for path in paths if path.is_file()]
    shown = [path for path in shown if not any(part[0] in "._" for part in path.parts)]
    if not shown:
        endings = " or ".join((", ".join(RECIPES[:-1]), RECIPES[-1]))
        raise RecipeError(f"{folder}: no recipe in it, none of its files ends in {endings}")
    return [folder / path for path in sorted(shown, key=lambda path: (path.parent, path.name))]


def files_read(folder: Path, content: Path | None = None) -> list[Path]:
    """The recipes of a folder and what they read, as far as they can be loaded."""
    recipes = find_recipes(folder)
    return [*recipes, *(file for recipe in recipes for file in _named_in(recipe, content))]


def _named_in(recipe: Path, content: Path | None) -> list[Path]:
    try:
        return files_of(api.load(recipe, content))
    except LayeredNstError:
        return []


def paint_gallery(
    folder: Path,
    content: Any = None,
    *,
    size: int = 256,
    overrides: Sequence[str] = ("optimize.quality=draft",),
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    on_tile: Callable[[Cell], None] = lambda _: None,
    on_progress: OnProgress = lambda _: None,
) -> list[Cell]:
    """Paint every recipe of a folder; one that fails doesn't keep the others from being painted.

    Args:
        content: a photo in place of those of the recipes.
        size: longest side of each result in px.
        overrides: for all recipes.
        device, weights_dir, max_pixels, cache: as ``apply``.
        on_tile: called with each tile when it is done.
        on_progress: called after each step; ``stage`` names the recipe, ``done`` counts all.

    Raises:
        RecipeError: no recipes there.
        Interrupted: ``partial`` holds the tiles so far, None before the first.
    """
    files, tiles = find_recipes(folder), list[Cell]()
    run = partial(
        api.apply, device=device, weights_dir=weights_dir, max_pixels=max_pixels, cache=cache
    )
    try:
        for number, file in enumerate(files):
            label = file.relative_to(folder).with_suffix("").as_posix()
            tell = _among(on_progress, label, number, len(files))
            load = partial(api.load, file, content, size=size, overrides=overrides)
            paint = partial(run, content=content, on_progress=tell)
            tiles.append(_paint(Cell(file, label), load, paint))
            on_tile(tiles[-1])
    except (Interrupted, KeyboardInterrupt) as stop:
        raise Interrupted("interrupted", partial=tiles or None) from stop
    return tiles


def _paint(tile: Cell, load: Callable[[], Recipe], paint: Callable[[Recipe], Result]) -> Cell:
    try:
        recipe = load()
        tile = replace(tile, name=recipe.name, coverage=_unknown(recipe))
        return _painted(tile, paint(recipe))
    except Interrupted:
        raise
    except LayeredNstError as error:
        return replace(tile, error=str(error))


def _unknown(recipe: Recipe) -> dict[str, float]:
    """The regions of a recipe, before anybody has looked for them."""
    return {region.name: 0.0 for region in recipe.regions}


def _painted(tile: Cell, result: Result) -> Cell:
    return replace(
        tile,
        photo=to_image(result.scene.picture.rgb, result.alpha),
        picture=result.image,
        coverage=result.coverage,
        notes=result.notes,
        seconds=result.seconds,
    )


def _among(tell: OnProgress, label: str, number: int, count: int) -> OnProgress:
    """Tell a recipe's progress as part of that of all, which take about as long each."""

    def told(progress: Progress) -> None:
        took = progress.seconds_left / max(1 - progress.done, 1e-3)
        tell(
            replace(
                progress,
                stage=f"{label} ({number + 1} of {count}) {progress.stage}",
                done=(number + progress.done) / count,
                seconds_left=progress.seconds_left + (count - number - 1) * took,
            )
        )

    return told


def gallery_sheet(tiles: Sequence[Cell], *, size: int = 256, columns: int = 2) -> Image.Image:
    """Draw the tiles in their order, row by row.

    Each shows photo and result at their own pixels, below them the recipe and its regions; or the
    sentence with which it failed.

    Args:
        size: longest side that a picture may have, px.
        columns: tiles in a row, at least 1.
    """
    width = max(2 * size + BETWEEN, NARROWEST)
    return grid([_tile(cell, width, size) for cell in tiles], columns=columns)


def check_sheet(path: Path, count: int, *, size: int = 256, columns: int = 2) -> None:
    """Refuse a sheet that a format may not hold, before hours of work and not after them.

    Args:
        count: recipes on it, each at most ``size`` px high.

    Raises:
        OutputError: more pixels on a side than the format of the suffix can hold.
    """
    across = min(columns, count)
    rows = -(-count // across)
    width = max(2 * size + BETWEEN, NARROWEST)
    height = size + BELOW + 2 * LINE
    check_size(path, (GAP + rows * (height + GAP), GAP + across * (width + GAP)))


def _tile(cell: Cell, width: int, size: int) -> Image.Image:
    if cell.photo is None or cell.picture is None:
        # As high as most photos would be.
        shown = _failure(cell.error, width, size * 2 // 3)
    else:
        shown = beside([cell.photo, cell.picture], gap=BETWEEN)
    title = (Words(cell.label, 15, INK), Words(cell.name))
    return tile(shown, [title, Words(", ".join(cell.coverage))], width=width)


def _failure(error: str, width: int, height: int) -> Image.Image:
    """The sentence within a frame, as much of it as fits."""
    shown = blank(width, height)
    ImageDraw.Draw(shown).rectangle((0, 0, width - 1, height - 1), outline=ALARM)
    inner = width - 2 * BETWEEN
    lines, room = wrapped(error, 13, inner), max(1, (height - BETWEEN) // LINE)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"{lines[room - 1]} …"]
    for number, text in enumerate(lines):
        write(shown, Words(text, color=ALARM), (BETWEEN, BETWEEN + number * LINE), width=inner)
    return shown


def write_gallery(
    tiles: Sequence[Cell], path: Path, *, size: int = 256, columns: int = 2
) -> Image.Image:
    """Draw the sheet and write it in the format of the suffix.

    Raises:
        OutputError: it cannot be written.
    """
    sheet = gallery_sheet(tiles, size=size, columns=columns)
    write_image(path, sheet, quality=SHEET_QUALITY)
    return sheet
