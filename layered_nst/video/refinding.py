"""What a drawn region was drawn on: whether it is still there, and where else it may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.video.opencv import cv2

SIDE = 240
"""Longest side in px at which things are looked for."""
FEWEST, LARGEST = 40, 0.4
"""Pixels there, and share of the frame, of what can be told from what is around."""
PLAIN = 0.02
"""Standard deviation, of 1, below which a thing looks like any plain place."""
AROUND = np.ones((3, 3), np.uint8)
"""What is about a border may be of what is behind it."""
THERE = 0.5
"""A thing is where the flow has led it if it looks like it as much, from -1 to 1, in any light."""
ASTRAY = 3
"""Px by which a flow may be wrong."""
FOUND, BETTER = 0.7, 0.2
"""And it is elsewhere if it looks like it as much there, and by so much more than where it was."""


@dataclass(frozen=True)
class Thing:
    """What a region was drawn on, as it was seen last.

    Attributes:
        gray: the whole frame, small, shape (h, w).
        mask: the region in it, shape (H, W) in [0, 1].
    """

    gray: Tensor
    mask: Tensor

    @classmethod
    def of(cls, photo: Tensor, mask: Tensor) -> Thing:
        """A thing in a photo (3, H, W)."""
        return cls(_small(photo.mean(0).cpu(), photo.shape[1:]), mask.clone())

    def followed(self, photo: Tensor, led: Tensor) -> tuple[Tensor, bool]:
        """Where it is in the next photo (3, H, W).

        Args:
            led: the region where the flow has led it, shape (H, W).

        Returns:
            The region, and False if it is to be seen neither there nor elsewhere.
        """
        size = photo.shape[1:]
        drawn = _small(self.mask, size).numpy()
        inside = cv2().erode((drawn > 0.5).view(np.uint8), AROUND) > 0
        if not FEWEST <= inside.sum() <= LARGEST * inside.size:
            return led, True
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        looks = np.ascontiguousarray(self.gray.numpy()[box])
        if looks[inside[box]].std() < PLAIN:
            return led, True
        likeness = _likeness(_small(photo.mean(0).cpu(), size).numpy(), looks, inside[box])
        way = _center(_small(led, size).numpy()) - _center(drawn)
        corner = np.array((rows[0], columns[0]), np.float64)
        near = _best_near(likeness, corner + way)
        if near >= THERE:
            return led, True
        if likeness.max() < max(FOUND, near + BETTER):
            return led, False
        scale = max(size) / max(self.gray.shape)
        return _shifted(self.mask, (_peak(likeness) - corner) * scale), True

    def state(self) -> dict[str, Tensor]:
        """All that the next frame depends on."""
        return {"gray": self.gray, "mask": self.mask}


def _small(plane: Tensor, size: torch.Size) -> Tensor:
    """A plane (H, W) of a frame of a size, small."""
    scale = min(1.0, SIDE / max(size))
    wanted = max(1, round(size[1] * scale)), max(1, round(size[0] * scale))
    found = cv2().resize(plane.float().numpy(), wanted, interpolation=cv2().INTER_AREA)
    return torch.from_numpy(found)


def _center(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row and column of the middle of a plane's weight; the upper left corner if it has none."""
    total = max(float(plane.sum()), 1e-6)
    return np.array(
        [
            float((plane.sum(1 - axis) * np.arange(plane.shape[axis])).sum()) / total
            for axis in (0, 1)
        ]
    )


def _likeness(
    gray: NDArray[np.float32], looks: NDArray[np.float32], inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How like a thing the frame is at each place of its upper left corner, from -1 to 1."""
    found = cv2().matchTemplate(gray, looks, cv2().TM_CCOEFF_NORMED, mask=inside.astype(np.float32))
    found = np.where(np.isfinite(found) & (np.abs(found) < 1.01), found, -1)
    return np.asarray(found, np.float32)


def _best_near(likeness: NDArray[np.float32], place: NDArray[np.float64]) -> float:
    """The likeness at a place, or near by."""
    row, column = np.rint(place).astype(int).clip(0, np.array(likeness.shape) - 1)
    rows, columns = (slice(max(0, at - ASTRAY), at + ASTRAY + 1) for at in (row, column))
    return float(likeness[rows, columns].max())


def _peak(likeness: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row and column of what is most alike, to parts of a pixel by a parabola through it."""
    at = np.unravel_index(likeness.argmax(), likeness.shape)
    best = np.array(at, np.float64)
    for axis in (0, 1):
        line: NDArray[np.float32] = np.take(likeness, at[1 - axis], 1 - axis)
        place = int(at[axis])
        if 0 < place < len(line) - 1:
            before, here, behind = (float(value) for value in line[place - 1 : place + 2])
            best[axis] += 0.5 * (before - behind) / min(before - 2 * here + behind, -1e-6)
    return best


def _shifted(mask: Tensor, way: NDArray[np.float64]) -> Tensor:
    """A mask (H, W) so far down and across."""
    down, across = (round(float(step)) for step in way)
    moved = torch.zeros_like(mask)
    height, width = mask.shape
    rows = slice(max(0, down), min(height, height + down))
    columns = slice(max(0, across), min(width, width + across))
    moved[rows, columns] = mask[
        rows.start - down : rows.stop - down, columns.start - across : columns.stop - across
    ]
    return moved
