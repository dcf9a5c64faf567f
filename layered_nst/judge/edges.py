"""Thin edges of a picture, as evaluations on the Berkeley segmentation data set draw them.

The contour network's fused map is thinned by non-maximum suppression and cut at a threshold, as for
BSDS500 (Arbeláez et al. 2011) with the code of structured edges (Dollár and Zitnick 2013, arXiv
1406.5549), which HED's own evaluation uses. Departures: the threshold is fixed, since the photo's
map has no human truth against which the best one could be chosen; edge pixels are matched within a
number of pixels and not one to one; the frame's edges are not faded out, because the encoder
repeats the picture's edge where it enters.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.networks.encoders import Encoder, contour_map

THRESHOLD = 0.5
"""Probability from which a contour counts: where the network itself decides."""
TOLERANCE = 2
"""Distance in px within which two edges are the same."""
# Structured edges' own constants: triangle filters of these radii before thinning and for the
# direction, and a hundredth of slack, so that a ridge two pixels wide doesn't vanish.
_SMOOTH, _COARSE, _SLACK = 1, 4, 1.01


def thin_edges(encoder: Encoder, rgb: Tensor) -> Tensor:
    """Where the contour network sees edges, boolean, shape (H, W).

    Args:
        encoder: one that has contour heads.
        rgb: picture of shape (3, H, W) in [0, 1].
    """
    seen = rgb.to(next(encoder.buffers()).device)
    # Not all devices know float64.
    probability = contour_map(encoder, seen)[0].cpu().double().numpy()
    return torch.from_numpy(thinned(probability) >= THRESHOLD)


def thinned(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the ridges of a contour map, shape (H, W), and set all else to 0.

    A pixel stays if, across the ridge, neither of the two values one pixel away is larger.
    """
    smooth = _triangle(probability, _SMOOTH)
    angle = across_ridges(_triangle(probability, _COARSE))
    rows, columns = np.indices(smooth.shape)
    kept = np.ones(smooth.shape, dtype=bool)
    for side in (-1, 1):
        place = rows + side * np.sin(angle), columns + side * np.cos(angle)
        beside = ndimage.map_coordinates(smooth, place, order=1, mode="nearest")
        kept &= smooth * _SLACK >= beside
    return np.where(kept, smooth, 0.0)


def across_ridges(smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in radians, from along the rows, of the direction in which a map is most arched.

    It is that of the Hessian's lowest eigenvalue. Structured edges takes the arc tangent of a
    ratio of second derivatives, which is the same but for ridges that run exactly along a row.
    """
    down, right = _gradient(smooth)
    down_down, down_right = _gradient(down)
    _, right_right = _gradient(right)
    angle: NDArray[np.float64] = 0.5 * np.arctan2(-2 * down_right, down_down - right_right)
    return angle


def _gradient(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Central differences down and to the right; 0 along a side of a single pixel."""
    return [
        np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
        for axis in (0, 1)
    ]


def _triangle(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    kernel = np.minimum(np.arange(1, 2 * radius + 2), np.arange(2 * radius + 1, 0, -1)).astype(
        float
    )
    for axis in (0, 1):
        values = ndimage.convolve1d(values, kernel / kernel.sum(), axis=axis, mode="reflect")
    return values
