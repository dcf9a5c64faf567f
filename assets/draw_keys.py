"""The handbook's picture of what a region's keys do: one photo, one key turned in each row.

    python assets/draw_keys.py [--quality draft] [--size 216] [--only strength] [--output FILE]

Every picture is painted by the package itself, from a recipe with one region.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from layered_nst import apply
from layered_nst.picture import read_picture, to_image

ASSETS = Path(__file__).parent
PHOTO = ASSETS / "photos" / "castle.jpg"
STYLE = str(ASSETS / "styles" / "swirl.jpg")
TWO = [STYLE, str(ASSETS / "styles" / "autumn.jpg")]
ROWS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("strength", (0.25, 0.5, 0.75, 1, 2)),
    ("scale", (0.5, 1, 2, 4)),
    ("content", (0, 0.5, 1, 2, 8)),
    ("contour", (0, 0.3, 0.6, 1, 4)),
    ("realism", (0, 0.5, 1)),
    ("palette", (None, ["#E4002B", "#FFF4E0", "#101020"], ["#0050A0"])),
    ("color", ("style", "content", "luminance")),
    ("flow", (None, {"from": "left", "to": "right"}, {"from": "bottom", "to": "top"})),
)
"""Each key with its values; the first picture of a row is the photo."""
DEFAULTS = {"color": "style", "contour": 0, "realism": 0}
"""Of keys that are not 1 where nobody turns them."""
TILE, GAP, LINE = (200, 150), 8, 18
PAPER, INK = (250, 249, 246), (29, 31, 35)


def painted(key: str, value: Any, options: tuple[int, str]) -> Image.Image:
    """The photo with one key turned from its default."""
    styles = TWO if key == "flow" else [STYLE]
    turned = {} if value in (None, DEFAULTS.get(key, 1)) else {key: value}
    return _painted(tuple(styles), repr(turned), options)


@cache  # three rows have the picture in which nothing is turned
def _painted(styles: tuple[str, ...], turned: str, options: tuple[int, str]) -> Image.Image:
    size, quality = options
    region = {"name": "all", "select": "rest", "style": list(styles), **ast.literal_eval(turned)}
    recipe = {"recipe": 1, "size": size, "regions": [region], "optimize": {"quality": quality}}
    return apply(recipe, PHOTO).image


def said(key: str, value: Any) -> str:
    """What stands below a picture, as a recipe has it."""
    if key == "palette":
        return "no palette" if value is None else f"palette of {len(value)}"
    if key == "flow":
        return "no flow" if value is None else f"from {value['from']} to {value['to']}"
    return f"{key}: {value}"


def sheet(options: tuple[int, str], keys: Collection[str]) -> Image.Image:
    """The rows of some keys, one below the other, a line of text below each picture."""
    rows = [row for row in ROWS if row[0] in keys]
    columns = 1 + max(len(values) for _, values in rows)
    width, height = columns * (TILE[0] + GAP) + GAP, len(rows) * (TILE[1] + LINE + GAP) + GAP
    paper = Image.new("RGB", (width, height), PAPER)
    photo = to_image(read_picture(PHOTO).rgb)
    for row, (key, values) in enumerate(rows):
        _paste(paper, (0, row), photo, "the photo")
        for column, value in enumerate(values, 1):
            _paste(paper, (column, row), painted(key, value, options), said(key, value))
    return paper


def _paste(paper: Image.Image, cell: tuple[int, int], picture: Image.Image, text: str) -> None:
    left, top = GAP + cell[0] * (TILE[0] + GAP), GAP + cell[1] * (TILE[1] + LINE + GAP)
    paper.paste(picture.resize(TILE, Image.Resampling.LANCZOS), (left, top))
    font = ImageFont.load_default(13)
    ImageDraw.Draw(paper).text((left, top + TILE[1] + 2), text, INK, font)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quality", default="standard", choices=("draft", "standard", "fine"))
    parser.add_argument("--size", type=int, default=216)
    parser.add_argument("--output", type=Path, default=ASSETS / "readme" / "keys.jpg")
    names = [key for key, _ in ROWS]
    parser.add_argument("--only", action="append", choices=names, help="a key; [all]")
    options = parser.parse_args()
    picture = sheet((options.size, options.quality), options.only or names)
    picture.save(options.output, quality=80, optimize=True)
    print(options.output)


if __name__ == "__main__":
    main()
