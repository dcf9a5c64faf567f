"""Sheets to look at: pictures on paper in rows, with words that fit below them.

All sheets of this package are laid out here: a tile is a picture with its lines of text, a grid is
tiles in rows, and sheets stand below one another.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Color = (250, 249, 246)
INK: Color = (29, 31, 35)
SOFT: Color = (93, 98, 107)
ALARM: Color = (166, 34, 34)
GAP = 16
"""Space around tiles, px."""
LINE = 19
"""Height of a line of text, px."""
BELOW = 3
"""Space between a picture and the words below it, px."""


@dataclass(frozen=True)
class Words:
    """A text of one size and color.

    Attributes:
        text: cut where the tile ends.
        size: of its font, px.
        color: its ink.
        ends: whether its end is kept where it is cut, as of names that begin alike.
    """

    text: str
    size: int = 13
    color: Color = SOFT
    ends: bool = False


Line = Words | tuple[Words, ...]
"""A line of text; several words of different ink stand after one another."""


OTHERS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf",
    "arial.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "msyh.ttc", "YuGothM.ttc", "malgun.ttf", "NotoSansArabic-Regular.ttf",
)  # fmt: skip
"""Files of typefaces that some systems have, for what ours has no letters for."""
NEAR = str.maketrans("–ı—ł×ŁøØßœŒæÆ‘„", "-i-lxLoOsoOaA'\"")
"""Letters that come near where no typeface has the right one."""


@cache
def font(size: int, name: str = "") -> Font:
    """The typeface of all sheets, in px, or another; ours has English letters alone."""
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


@cache
def _others() -> tuple[str, ...]:
    found = []
    for name in OTHERS:
        with contextlib.suppress(OSError):
            font(16, name)
            found.append(name)
    return tuple(found)


@cache
def _has(name: str, letter: str) -> bool:
    """Whether a typeface draws a letter, and not the box that stands for what it lacks."""
    face = font(16, name)
    drawn, box = face.getmask(letter), face.getmask("\uffff")
    return letter.isspace() or (drawn.size, bytes(drawn)) != (box.size, bytes(box))


@cache
def lettered(text: str, size: int) -> tuple[str, Font]:
    """A text as it can be drawn here, and the typeface that has most of its letters."""
    letters = set(text)
    names = ("", *(() if all(_has("", one) for one in letters) else _others()))
    name = max(names, key=lambda one: sum(_has(one, letter) for letter in letters))
    drawn = "".join(one if _has(name, one) else _near(name, one) for one in text)
    return drawn, font(size, name)


def _near(name: str, letter: str) -> str:
    plain = unicodedata.normalize("NFKD", letter)[0].translate(NEAR)
    return plain if _has(name, plain) else "?"


def fitting(text: str, size: int, width: float, *, ends: bool = False) -> str:
    """A text as it can be drawn, or as much of it as fits with an ellipsis, or the empty text.

    Args:
        ends: its beginning and its end are kept, not its beginning alone.
    """
    text, face = lettered(text, size)
    kept = text
    for count in range(len(text) - 1, -1, -1):
        if face.getlength(kept) <= width:
            return kept
        tail = count // 2 if ends else 0
        kept = f"{text[: count - tail]}…{text[len(text) - tail :]}" if count else ""
    return kept


def wrapped(text: str, size: int, width: float) -> list[str]:
    """Break a text where its lines break and where they would be longer than ``width`` px."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and lettered(longer, size)[1].getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return [fitting(line, size, width) for line in lines]


def blank(width: int, height: int, *, paper: Color = PAPER) -> Image.Image:
    """An empty sheet, or a part of one."""
    return Image.new("RGB", (width, height), paper)


def paste(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int]) -> None:
    """Lay a picture on a sheet; the sheet shows where the picture is transparent."""
    alpha = picture.getchannel("A") if "A" in picture.getbands() else None
    sheet.paste(picture.convert("RGB"), corner, alpha)


def write(sheet: Image.Image, line: Line, corner: tuple[float, float], *, width: float) -> None:
    """Write a line with its upper left corner there, cut after ``width`` px."""
    draw, (left, top), end = ImageDraw.Draw(sheet), corner, corner[0] + width
    words = line if isinstance(line, tuple) else (line,)
    largest = max(part.size for part in words)
    for part in words:
        text = fitting(part.text, part.size, end - left, ends=part.ends)
        face = lettered(part.text, part.size)[1]
        # Smaller letters stand on the line of the larger ones.
        draw.text((left, top + largest - part.size), text, part.color, face)
        left += face.getlength(f"{text}  ")


def tile(
    picture: Image.Image,
    lines: Sequence[Line],
    *,
    width: int = 0,
    line: int = LINE,
    paper: Color = PAPER,
) -> Image.Image:
    """A picture with lines of text below it.

    Args:
        width: the tile is at least as wide, px.
        line: height of a line of text, px.
    """
    width = max(width, picture.width)
    made = blank(width, picture.height + len(lines) * line, paper=paper)
    paste(made, picture, (0, 0))
    for number, words in enumerate(lines):
        write(made, words, (0, picture.height + BELOW + number * line), width=width)
    return made


def beside(pictures: Sequence[Image.Image], *, gap: int = GAP, paper: Color = PAPER) -> Image.Image:
    """Pictures in one row, their upper edges in line."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = blank(width, max(picture.height for picture in pictures), paper=paper)
    left = 0
    for picture in pictures:
        paste(row, picture, (left, 0))
        left += picture.width + gap
    return row


def grid(
    tiles: Sequence[Image.Image], *, columns: int, gap: int = GAP, paper: Color = PAPER
) -> Image.Image:
    """Tiles in their order, row by row, each row as high as its highest.

    Args:
        columns: tiles in a row, at least 1.
        gap: space between them and around all, px.
    """
    across = min(columns, len(tiles))
    width = max(part.width for part in tiles)
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    heights = [max(part.height for part in row) for row in rows]
    sheet = blank(gap + across * (width + gap), gap + sum(heights) + gap * len(rows), paper=paper)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for column, part in enumerate(row):
            sheet.paste(part, (gap + column * (width + gap), top))
        top += height + gap
    return sheet


def stacked(sheets: Sequence[Image.Image], *, paper: Color = PAPER) -> Image.Image:
    """Sheets below one another."""
    whole = blank(max(s.width for s in sheets), sum(s.height for s in sheets), paper=paper)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole
