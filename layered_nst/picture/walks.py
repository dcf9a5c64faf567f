"""Random walks through a photo, which seldom cross its edges: what belongs together.

Source: Grady 2006, Random Walks for Image Segmentation; with a prior, Grady 2005.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

LEAST_EASE = 1e-4
"""Of a step, as a share of one between places of one color."""

Plane = NDArray[np.floating[Any]]
Slices = tuple[slice, slice]


def eases(
    lab: Plane, barrier: Callable[[Slices, Slices], Plane] | None = None
) -> sparse.csr_matrix:
    """How easily a walker steps between places that touch: hard across edges of color.

    Args:
        lab: the photo in CIE Lab, shape (3, h, w).
        barrier: what else stands between the places here and those there, added in the exponent.

    Returns:
        Shape (h · w, h · w), symmetric; 0 where places don't touch.
    """
    height, width = lab.shape[1:]
    number = np.arange(height * width).reshape(height, width)
    pairs = []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows = slice(0, height - down), slice(down, height)
        left, right = max(0, -across), width - max(0, across)
        columns = slice(left, right), slice(left + across, right + across)
        here, there = (rows[0], columns[0]), (rows[1], columns[1])
        color = ((lab[:, *here] - lab[:, *there]) ** 2).sum(0)
        beside = np.zeros(color.shape) if barrier is None else barrier(here, there)
        length = np.hypot(down, across)
        pairs.append((number[here].ravel(), number[there].ravel(), color, beside, length))
    usual = (
        sum(color.sum() for _, _, color, _, _ in pairs)
        / max(1, sum(color.size for _, _, color, _, _ in pairs))
        + 1e-6
    )
    ease = [
        ((np.exp(-color / usual - beside) + LEAST_EASE) / length).ravel()
        for _, _, color, beside, length in pairs
    ]
    ends = [np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)]
    one_way = sparse.coo_matrix((np.concatenate(ease), tuple(ends)), shape=(number.size,) * 2)
    return (one_way + one_way.T).tocsr()


def walked(
    steps: sparse.csr_matrix,
    prior: Plane,
    pull: float | Plane,
    *,
    fixed: Plane | None = None,
    start: Plane | None = None,
) -> Plane:
    """Where walks end: the least of edges crossed and prior left, in [0, 1].

    Args:
        steps: see ``eases``.
        prior: what is thought of each place beforehand, shape (h, w), in [0, 1].
        pull: how firmly that holds against the neighbors, one number above 0 or one for each place.
        fixed: what is known, shape (h, w), where it is not negative.
        start: where the solution is looked for from, shape (h, w); the prior if not given.
    """
    known = np.zeros(prior.size, bool) if fixed is None else fixed.ravel() >= 0
    values = np.zeros(prior.size) if fixed is None else np.maximum(fixed.ravel(), 0)
    free = np.flatnonzero(~known)
    rows = steps[free]
    firmly = np.broadcast_to(pull, prior.shape).ravel()[free]
    diagonal = np.asarray(rows.sum(1)).ravel() + firmly
    system = sparse.diags(diagonal) - rows[:, free]
    wanted = firmly * prior.ravel()[free] + rows @ (values * known)
    begin = (prior if start is None else start).ravel()[free]
    found, _ = cg(system, wanted, x0=begin, rtol=1e-4, maxiter=500, M=sparse.diags(1 / diagonal))
    values[free] = np.clip(found, 0, 1)
    surely: Plane = values.reshape(prior.shape)
    return surely
