"""A picture cut into tiles that an encoder reads one after the other and sees as the whole.

Each position of each layer is owned by exactly one tile. A tile is read with a border as wide as
what its units see beyond it, so that no padding but the picture's own reaches a position that it
owns; and it starts at a multiple of the encoder's total stride, so that it is pooled as the whole
picture would be.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.encoders.encoder import Encoder

Window = tuple[slice, slice]
"""Rows and columns."""

Sums = tuple[Tensor, ...]
"""What is wanted to know of one layer: sums over positions, so those of tiles add up."""


def added(one: Mapping[str, Sums], other: Mapping[str, Sums]) -> dict[str, Sums]:
    """What is seen on two parts of a picture, by layer."""
    return {
        layer: tuple(a + b for a, b in zip(parts, other[layer], strict=True))
        for layer, parts in one.items()
    }


@dataclass(frozen=True)
class Tile:
    """A part of a picture, in px.

    Attributes:
        owned: what this tile alone counts.
        read: ``owned`` and what is seen from there.
    """

    owned: Window
    read: Window

    @property
    def pixels(self) -> int:
        """How many are read."""
        return _area(self.read)

    def owned_at(self, stride: int) -> Window:
        """The owned positions of a layer."""
        return _at(self.owned, stride)

    def read_at(self, stride: int) -> Window:
        """The positions of a layer that are read."""
        return _at(self.read, stride)

    def inside(self, stride: int) -> Window:
        """The owned positions of a layer among those that are read."""
        rows, columns = (
            slice(own.start - seen.start, own.stop - seen.start)
            for own, seen in zip(self.owned_at(stride), self.read_at(stride), strict=True)
        )
        return rows, columns

    def placed(self, values: Tensor, stride: int) -> Tensor:
        """Values of the owned positions, shape (…, h, w), among zeros for the others read."""
        borders = [
            width
            for own, seen in zip(self.owned_at(stride), self.read_at(stride), strict=True)
            for width in (own.start - seen.start, seen.stop - own.stop)
        ]
        top, bottom, left, right = borders
        return F.pad(values, (left, right, top, bottom))


def cut(
    size: tuple[int, int], side: int, encoder: Encoder, layers: Collection[str]
) -> tuple[Tile, ...]:
    """Cut a picture into tiles.

    Args:
        size: height and width of the picture in px.
        side: no owned part is longer, px; a multiple of ``grid`` of the layers.
        encoder: that reads them.
        layers: that are wanted of it.
    """
    return laid_out(size, side, grid(encoder, layers), halo(encoder, layers))


def laid_out(size: tuple[int, int], side: int, step: int, border: int) -> tuple[Tile, ...]:
    """Tiles of a picture that start at multiples of ``step`` and are read ``border`` px beyond."""
    down, across = (_spans(length, side, step, border) for length in size)
    return tuple(
        Tile((rows[0], columns[0]), (rows[1], columns[1])) for rows in down for columns in across
    )


def areas(
    size: tuple[int, int], side: int, encoder: Encoder, layers: Collection[str]
) -> tuple[int, int]:
    """Pixels that the largest tile reads, and pixels that all read together; see ``cut``."""
    step, border = grid(encoder, layers), halo(encoder, layers)
    down, across = (
        [seen.stop - seen.start for _, seen in _spans(length, side, step, border)]
        for length in size
    )
    return max(down) * max(across), sum(down) * sum(across)


def grid(encoder: Encoder, layers: Collection[str]) -> int:
    """What tiles start at multiples of, in px: the largest stride of the layers."""
    apart = encoder.strides()
    return max(apart[layer] for layer in layers)


def halo(encoder: Encoder, layers: Collection[str]) -> int:
    """How far beyond its owned part a tile is read, in px: a multiple of ``grid``."""
    apart, fields, step = encoder.strides(), encoder.receptive_fields(), grid(encoder, layers)
    seen = max((fields[layer] - apart[layer]) // 2 for layer in layers)
    return math.ceil(seen / step) * step


def _spans(length: int, side: int, step: int, border: int) -> list[tuple[slice, slice]]:
    """Owned and read parts along one side; the owned ones about equal, so that none is a sliver."""
    count = math.ceil(length / side)
    each = math.ceil(length / count / step) * step
    return [
        (
            slice(start, min(start + each, length)),
            slice(max(0, start - border), min(start + each + border, length)),
        )
        for start in range(0, length, each)
    ]


def _at(window: Window, stride: int) -> Window:
    rows, columns = (slice(part.start // stride, -(-part.stop // stride)) for part in window)
    return rows, columns


def _area(window: Window) -> int:
    rows, columns = window
    return int((rows.stop - rows.start) * (columns.stop - columns.start))
