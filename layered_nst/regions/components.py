"""Connected components of a mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from layered_nst.regions.edges import Mask
from layered_nst.regions.shapes import Coverage

Areas = NDArray[np.intp]
"""Of components, px, in the order of their numbers."""

# A hole larger than this share of the region, such as a gate's arch, is part of its shape.
PINHOLE = 0.005


# A piece smaller than this share of the largest one is a crumb, not another thing.
CRUMB = 0.01

# A piece that the photo's frame cuts off is a neighbor that came into the picture, unless it is at
# least so large beside the largest one.
NEIGHBOR = 0.2

# A piece that is nowhere so sure beside the surest one is something that the segmenter wondered at.
SURE = 0.9


def keep_largest(coverage: Coverage, count: int) -> Coverage:
    """Keep the ``count`` largest connected components of a mask and fill their pinholes.

    Pixels that touch at a corner are connected. A pinhole is a hole smaller than 0.5 % of what is
    kept. The soft fringe of what is kept stays.

    Args:
        coverage: shape (H, W) in [0, 1]; at least 0.5 is inside.
    """
    # Stable, so that of two equal components the upper one is always kept.
    return _keep(coverage, lambda _, areas: np.argsort(-areas, kind="stable")[:count])


def keep_sizable(coverage: Coverage, surely: Coverage) -> Coverage:
    """Keep the largest connected component of a mask and those that belong with it.

    Neither crumbs beside it do, nor smaller pieces that the photo's frame cuts off, nor what is
    nowhere sure. See ``keep_largest`` for the rest.

    Args:
        surely: how surely each pixel is inside, shape (H, W) in [0, 1].
    """

    def choose(numbers: NDArray[np.int32], areas: Areas) -> NDArray[np.intp]:
        every = np.arange(1, len(areas) + 1)
        cut = np.isin(every, np.concatenate(_frame(numbers)))
        surest = np.asarray(ndimage.maximum(surely, numbers, every))
        belongs = areas >= np.where(cut, NEIGHBOR, CRUMB) * areas.max()
        belongs &= surest >= SURE * surest.max()
        return np.flatnonzero(belongs | (areas == areas.max()))

    return _keep(coverage, choose)


def whole(coverage: Coverage) -> Coverage:
    """The largest connected component of a mask without a hole, however large.

    Args:
        coverage: shape (H, W) in [0, 1]; at least 0.5 is inside.
    """
    kept = keep_largest(coverage, 1)
    filled = ndimage.binary_fill_holes(kept >= 0.5)
    # With the soft rim of each hole, which would stay as a line.
    holes = ndimage.binary_dilation(filled & (kept < 0.5), structure=np.ones((3, 3), dtype=bool))
    return np.where(filled & holes, np.float32(1), kept)


def closed(coverage: Coverage, radius: float) -> Coverage:
    """A mask whose bays narrower than a disk of this radius in px are filled, their rims soft.

    Args:
        coverage: shape (H, W) in [0, 1]; at least 0.5 is inside.
    """
    inside = coverage >= 0.5
    if not inside.any():
        return coverage
    reached = ndimage.distance_transform_edt(~inside) <= radius
    if reached.all():
        return np.ones_like(coverage)
    depth = ndimage.distance_transform_edt(reached) - radius
    filled: Coverage = np.maximum(coverage, np.clip(depth, 0, 1).astype(np.float32))
    return filled


def _keep(
    coverage: Coverage, choose: Callable[[NDArray[np.int32], Areas], NDArray[np.intp]]
) -> Coverage:
    """Keep components that are chosen by the numbers of their pixels, from 1 on, and their areas.

    Those chosen are counted from 0, as areas are.
    """
    touching = np.ones((3, 3), dtype=bool)
    numbers, found = ndimage.label(coverage >= 0.5, structure=touching)
    if found == 0:
        return coverage
    areas = np.bincount(numbers.ravel())[1:]
    kept = np.isin(numbers, choose(numbers, areas) + 1)
    fringe = ndimage.binary_dilation(kept, structure=touching)
    return np.where(_pinholes(kept), np.float32(1), np.where(fringe, coverage, np.float32(0)))


def _pinholes(kept: Mask) -> Mask:
    numbers, _ = ndimage.label(~kept)
    areas = np.bincount(numbers.ravel())
    small = areas < PINHOLE * kept.sum()
    small[0] = False
    small[np.unique(np.concatenate(_frame(numbers)))] = False
    return np.asarray(small[numbers])


def _frame(numbers: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """What stands in the first and last rows and columns."""
    return numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]
