"""Ways through a photo: how far one place is from another by the changes of color between them.

What a color can't tell, such as a pale wall from skin, a line between both can: no way from one to
the other is without it. Source: Criminisi et al. 2008, GeoS (ECCV), geodesic distances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

STEP = 1.0
"""What a px counts by itself, in units of CIE Lab."""
NEIGHBORS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Down and across to half of the eight neighbors; the others are met from there."""


def ways(
    lab: NDArray[np.float64], starts: NDArray[np.bool_], step: float = STEP
) -> NDArray[np.float64]:
    """How far each pixel is from the nearest start.

    A step to one of the eight neighbors counts its change of color and ``step`` for each px.

    Args:
        lab: the photo in CIE Lab, shape (3, H, W).
        starts: shape (H, W).

    Returns:
        Shape (H, W), in units of CIE Lab; infinite without a start.
    """
    size = starts.shape
    if not starts.any():
        return np.full(size, np.inf)
    number = np.arange(starts.size).reshape(size)
    ends, lengths = [], []
    for down, across in NEIGHBORS:
        here = (slice(0, size[0] - down), slice(max(0, -across), size[1] - max(0, across)))
        there = (slice(down, size[0]), slice(max(0, across), size[1] - max(0, -across)))
        change = np.linalg.norm(lab[:, *here] - lab[:, *there], axis=0)
        ends.append((number[here].ravel(), number[there].ravel()))
        lengths.append((change + step * np.hypot(down, across)).ravel())
    places = tuple(np.concatenate(side) for side in zip(*ends, strict=True))
    graph = coo_array((np.concatenate(lengths), places), shape=(starts.size,) * 2)
    far = dijkstra(graph.tocsr(), directed=False, indices=np.flatnonzero(starts), min_only=True)
    found: NDArray[np.float64] = far.reshape(size)
    return found
