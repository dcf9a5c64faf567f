"""Where a soft mask's border runs, to a fraction of a pixel, and how far each pixel is from it.

The border of a mask is the line on which it is 0.5. Distances are Euclidean, in px. What lies
beyond the picture is unknown, so its edge is no border: a mask that touches it stays whole there.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.regions.shapes import Coverage

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]

# Farther from a border a pixel more or less is 3 % of a feather at most.
NEAR = 24.0
SMALLEST_TILE = 128


def antialias(field: Tensor) -> Tensor:
    """The mask of the pixels whose ``field`` is at least 0, with a border one pixel wide.

    Dividing by the local slope makes the border as wide as a pixel however slowly the field
    changes, and puts it where the field crosses 0. A fixed smoothstep would leave a haze wherever a
    segmenter hesitates: every style would then take part in every region's statistics and in
    each other's ground. Certainty is no blend of styles; softness is the feather's business.

    Args:
        field: any units, shape (H, W).
    """
    slope = torch.hypot(_steepest(field), _steepest(field.T).T)
    return ((field + 1e-6) / slope.clamp(min=1e-6) + 0.5).clamp(0, 1)


def _steepest(field: Tensor) -> Tensor:
    """Largest step from each pixel to one of its two neighbors in the column."""
    steps = field.new_zeros(field.shape[0] + 1, field.shape[1])
    steps[1:-1] = field.diff(dim=0).abs()
    return torch.maximum(steps[:-1], steps[1:])


def signed_distance(inside: Mask, coverage: Coverage, *, reach: float = math.inf) -> Coverage:
    """Distance of each pixel's centre from the border, positive inside, ±inf without a border.

    Up to ``reach`` and ``NEAR`` px it is measured to where the border crosses pixels, so that a
    slanted edge has no stairs: within 0.15 px, and exact beside straight edges. Farther away it is
    measured to the pixels beside the border, within 1 px.

    Args:
        inside: which pixels belong to the mask, shape (H, W).
        coverage: the mask itself, at least 0.5 inside and at most 0.5 outside, shape (H, W).
        reach: the largest distance that matters, px.
    """
    # A tenth of a second of every start that measures no distance.
    from scipy.spatial import KDTree

    if inside.all() or not inside.any():
        return np.full(inside.shape, np.inf if inside.all() else -np.inf, dtype=np.float32)
    beside = beside_border(inside)
    distance = ndimage.distance_transform_edt(~beside)
    near = distance <= min(reach, NEAR) + 1
    down, across = _to_border(inside, coverage)
    border = np.argwhere(beside) + np.stack([down[beside], across[beside]], axis=1)
    distance[near], _ = KDTree(border).query(np.argwhere(near))
    return np.asarray(np.where(inside, distance, -distance), dtype=np.float32)


def beside_border(inside: Mask) -> Mask:
    """Which pixels have a side in common with one of the other kind."""
    beside = np.zeros_like(inside)
    for along, other in ((beside, inside), (beside.T, inside.T)):
        change = other[1:] != other[:-1]
        along[1:] |= change
        along[:-1] |= change
    return beside


def _to_border(inside: Mask, coverage: Coverage) -> tuple[Coverage, Coverage]:
    """Step down and across from the centre of each pixel beside the border to the border.

    One Newton step to where the coverage is 0.5; what it says of other pixels means nothing.
    """
    down = _slope(inside, coverage)
    across = _slope(inside.T, coverage.T).T
    length = (0.5 - coverage) / np.maximum(down**2 + across**2, 1e-6)
    return np.clip(length * down, -1, 1), np.clip(length * across, -1, 1)


def _slope(inside: Mask, coverage: Coverage) -> Coverage:
    """Rise of the coverage down each column across the border; the steeper if there are two."""
    rise = np.where(inside[1:] != inside[:-1], coverage[1:] - coverage[:-1], 0)
    rise = np.pad(rise, ((1, 1), (0, 0)))
    above, below = rise[:-1], rise[1:]
    return np.where(np.abs(above) > np.abs(below), above, below)


def ramp(distance: Coverage, feather: float) -> Coverage:
    """The mask ``distance`` px inside a border that is ``feather`` px wide and centred on it.

    A smoothstep, so that no crease shows where the feather ends.
    """
    share = np.clip(distance / np.float32(feather) + 0.5, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def is_gradual(coverage: Coverage) -> bool:
    """Whether a mask is soft over more than the fringe of an anti-aliased edge.

    True if it has a square of 5 by 5 pixels that are neither in nor out: a gradient that someone
    painted, which a feather must not turn into an edge.
    """
    soft = np.pad((coverage > 0.02) & (coverage < 0.98), 2, mode="edge")
    for _ in range(4):
        soft = soft[1:] & soft[:-1]
    for _ in range(4):
        soft = soft[:, 1:] & soft[:, :-1]
    return bool(soft.any())


def grow(coverage: Coverage, distance: float) -> Coverage:
    """Move a mask's border outwards by ``distance`` px, or inwards if that is negative.

    Painted gradients move as a whole, by the largest value within the distance; other borders
    move exactly, to a fraction of a pixel.
    """
    if distance == 0:
        return coverage
    if is_gradual(coverage):
        return _spread(coverage, distance) if distance > 0 else 1 - _spread(1 - coverage, -distance)
    moved = np.empty_like(coverage)
    inside = coverage >= 0.5

    def move(block: Block) -> None:
        part = signed_distance(inside[block.seen], coverage[block.seen], reach=abs(distance) + 1)
        moved[block.own] = np.clip(part + distance + 0.5, 0, 1)[block.inner]

    for_each_block(coverage.shape, move, reach=abs(distance) + 2)
    return moved


def _spread(coverage: Coverage, distance: float) -> Coverage:
    distance = min(distance, math.hypot(*coverage.shape))
    below = _largest_within(coverage, math.floor(distance))
    rest = distance - math.floor(distance)
    if rest == 0:
        return below
    return below + np.float32(rest) * (_largest_within(coverage, math.ceil(distance)) - below)


def _largest_within(coverage: Coverage, radius: int) -> Coverage:
    """Largest value within a disk, as the maximum of its rows, each a running maximum."""
    height = coverage.shape[0]
    largest = coverage.copy()
    for offset in range(min(radius, height - 1) + 1):
        half = math.isqrt(radius**2 - offset**2)
        row = ndimage.maximum_filter1d(coverage, 2 * half + 1, axis=1, mode="nearest")
        upper, lower = slice(0, height - offset), slice(offset, height)
        largest[upper] = np.maximum(largest[upper], row[lower])
        largest[lower] = np.maximum(largest[lower], row[upper])
    return largest


@dataclass(frozen=True)
class Block:
    """A tile of a picture with everything that can reach into it.

    Attributes:
        own: the tile.
        seen: the tile and its surroundings.
        inner: the tile's place in ``seen``.
    """

    own: Window
    seen: Window
    inner: Window


def for_each_block(size: tuple[int, ...], work: Callable[[Block], None], *, reach: float) -> None:
    """Cut a picture into tiles and work on them, on as many cores as there are (at most 8).

    Tiles without a border are skipped cheaply, and the others stay in cache.

    Args:
        size: height and width.
        work: called once for each tile; must write to nothing but its ``own``.
        reach: how far the result at a pixel depends on others, px.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(work, _blocks(size, reach)):
            pass


def _blocks(size: tuple[int, ...], reach: float) -> Iterator[Block]:
    height, width = size
    halo = math.ceil(min(reach, max(size)))
    side = max(SMALLEST_TILE, 4 * halo)
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows = _span(top, side, halo, height)
            columns = _span(left, side, halo, width)
            yield Block(*zip(rows, columns, strict=True))


def _span(start: int, side: int, halo: int, length: int) -> tuple[slice, slice, slice]:
    end, first = min(start + side, length), max(start - halo, 0)
    seen = slice(first, min(end + halo, length))
    return slice(start, end), seen, slice(start - first, end - first)
