"""A sheet that shows what is in a library."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from layered_nst.picture import fit_within, resize, to_image
from layered_nst.styles.library.records import LookRecord, StoredLook

SIDE, GAP, LINE = 160, 12, 20
"""Longest side of a thumbnail, space between them and height of a line of text, px."""
COLUMNS = 5
_FONT = ImageFont.load_default(14)


def library_sheet(looks: Mapping[str, StoredLook]) -> Image.Image:
    """Draw each look: its name and license, and its pictures with their shares.

    What a mask hides is shown pale.
    """
    width = GAP + COLUMNS * (SIDE + GAP)
    strips = [_strip(name, look, width) for name, look in looks.items()]
    sheet = Image.new("RGB", (width, GAP + sum(strip.height for strip in strips)), "white")
    top = GAP
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(name: str, look: StoredLook, width: int) -> Image.Image:
    thumbnails = [_thumbnail(rgb, mask) for rgb, mask in look.pictures]
    tallest = max(thumbnail.height for thumbnail in thumbnails)
    rows, cell = -(-len(thumbnails) // COLUMNS), tallest + LINE + GAP
    strip = Image.new("RGB", (width, 2 * LINE + rows * cell + GAP), "white")
    draw = ImageDraw.Draw(strip)
    draw.text((GAP, 0), _fitting(name, width - 2 * GAP), "black", ImageFont.load_default(17))
    draw.text((GAP, LINE + 2), _fitting(described(look.record), width - 2 * GAP), "#666", _FONT)
    total = sum(source.weight for source in look.record.sources)
    for number, thumbnail in enumerate(thumbnails):
        source = look.record.sources[number]
        left = GAP + number % COLUMNS * (SIDE + GAP)
        top = 2 * LINE + GAP // 2 + number // COLUMNS * cell
        strip.paste(thumbnail, (left, top))
        share = f"{source.weight / total:.0%} " if len(thumbnails) > 1 else ""
        draw.text(
            (left, top + tallest + 1), _fitting(f"{share}{source.name}", SIDE), "black", _FONT
        )
    return strip


def described(record: LookRecord) -> str:
    """What a look is made with, in a line."""
    license = record.license or "no license stated"
    sides = f"{record.sides[0]} to {record.sides[-1]} px"
    kept = {"thumbnails": "without pictures"}.get(record.kept, "with pictures")
    encoders = " and ".join(record.encoders)
    return f"{license} · {encoders}, {record.pooling} pooling · {sides}, {kept}"


def _thumbnail(rgb: Tensor, mask: Tensor) -> Image.Image:
    size = fit_within((rgb.shape[1], rgb.shape[2]), SIDE)
    pale = 0.75 * (1 - resize(mask, size))
    return to_image(resize(rgb, size).lerp(rgb.new_ones(()), pale))


def _fitting(text: str, width: int) -> str:
    if _FONT.getlength(text) <= width:
        return text
    while text and _FONT.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
