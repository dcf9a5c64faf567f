"""A sheet that shows what is in a library."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image
from torch import Tensor

from layered_nst.picture import fit_within, resize, size_of, to_image
from layered_nst.picture.layout import GAP, INK, LINE, Words, blank, grid, stacked, tile, write
from layered_nst.styles.library.records import LookRecord, StoredLook

SIDE = 160
"""Longest side of a picture, px."""
COLUMNS = 5


def library_sheet(looks: Mapping[str, StoredLook], *, size: int = SIDE) -> Image.Image:
    """Draw each look: its name and license, and its pictures with their shares.

    What a mask hides is shown pale.

    Args:
        size: longest side of a picture in px.
    """
    return stacked([_strip(name, look, size) for name, look in looks.items()])


def _strip(name: str, look: StoredLook, size: int) -> Image.Image:
    width = GAP + COLUMNS * (size + GAP)
    head = blank(width, GAP + 2 * LINE)
    for number, line in enumerate((Words(name, 17, INK), Words(described(look.record)))):
        write(head, line, (GAP, GAP + number * LINE), width=width - 2 * GAP)
    total = sum(source.weight for source in look.record.sources)
    tiles = []
    for source, (rgb, mask) in zip(look.record.sources, look.pictures, strict=True):
        share = f"{source.weight / total:.0%} " if len(look.pictures) > 1 else ""
        tiles.append(
            tile(_thumbnail(rgb, mask, size), [Words(f"{share}{source.name}")], width=size)
        )
    return stacked([head, grid(tiles, columns=COLUMNS)])


def described(record: LookRecord) -> str:
    """What a look is made with, in a line."""
    license = record.license or "no license stated"
    sides = f"{record.sides[0]} to {record.sides[-1]} px"
    kept = {"thumbnails": "without pictures"}.get(record.kept, "with pictures")
    encoders = " and ".join(record.encoders)
    return f"{license} · {encoders}, {record.pooling} pooling · {sides}, {kept}"


def _thumbnail(rgb: Tensor, mask: Tensor, longest: int) -> Image.Image:
    size = fit_within(size_of(rgb), longest)
    pale = 0.75 * (1 - resize(mask, size))
    return to_image(resize(rgb, size).lerp(rgb.new_ones(()), pale))
