"""The same photos from a few px further along and with noise, which are to be painted the same.

Frames of a clip differ by no more than that, and yet a decoder that draws up from an eighth of the
side paints each of the 64 places of a cell in its own way: of the change along a pan nearly all is
that. What depends on the place in a cell is also what lies on plain ground like a mesh. Source:
Gupta et al. 2017 (arXiv 1705.02092) for what noise changes, Zhang 2019 (1904.11486) for what a
shift does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from layered_nst.training.encoders.pictures import integer, uniform
from layered_nst.training.painters.samples import Sample

CELL = 8
"""Px from position to position where the encoder sees the least: shifts are less than that."""
NOISE = 4 / 255
"""Standard deviation of the strongest noise, that of a dim sensor."""
EDGE = 8
"""Px along the edges of the square that are not compared: there the edge itself has moved."""


@dataclass(frozen=True)
class Moved:
    """Photos seen from further along.

    Attributes:
        samples: with noise, shapes (3, S − 8, S − 8).
        given: what the encoder sees of them, shape (B, 3, S − 8, S − 8).
        corner: row and column of theirs in the photos as they were.
    """

    samples: list[Sample]
    given: Tensor
    corner: tuple[int, int]

    def change(self, pictures: Tensor, again: Tensor) -> Tensor:
        """Mean difference of what was painted of the photos and of what is painted of these.

        Args:
            pictures: of the photos as they were, shape (B, 3, S, S).
            again: of these, shape (B, 3, S − 8, S − 8).
        """
        row, column = self.corner
        before = pictures[:, :, row : row + again.shape[2], column : column + again.shape[3]]
        inside = slice(EDGE, -EDGE)
        return (again - before)[:, :, inside, inside].abs().mean()


def further_along(samples: Sequence[Sample], given: Tensor) -> Moved:
    """Squares of photos, less wide by a cell, somewhere in them, with noise of any strength.

    Draws from torch's global generator.

    Args:
        given: what the encoder sees of them, shape (B, 3, S, S).
    """
    row, column = integer(CELL), integer(CELL)
    side = given.shape[2] - CELL
    window = (slice(row, row + side), slice(column, column + side))
    noise = torch.stack([uniform(0, NOISE) * torch.randn(3, side, side) for _ in samples])
    noise = noise.to(given.device)
    seen = [_seen(sample, window, part) for sample, part in zip(samples, noise, strict=True)]
    return Moved(seen, (given[:, :, *window] + noise).clamp(0, 1), (row, column))


def _seen(sample: Sample, window: tuple[slice, slice], noise: Tensor) -> Sample:
    masks = sample.masks[:, *window]
    there = masks.flatten(1).sum(1) > 0  # of the others nothing is to be seen from here
    return replace(
        sample,
        photo=sample.photo[:, *window],
        colors=(sample.colors[:, *window] + noise).clamp(0, 1),
        masks=masks[there],
        styles=tuple(s for s, kept in zip(sample.styles, there.tolist(), strict=True) if kept),
        amount=sample.amount[there],
    )
