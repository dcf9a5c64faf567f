"""Boxes, ellipses and polygons as the share of each pixel that they cover.

All lengths are px of the raster: the pixel in row i and column j is the square from (j, i) to
(j + 1, i + 1). Every function returns float32 of shape (H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]
Bounds = tuple[float, float, float, float]

# Coverage is exact along a row; down a pixel it is the mean of this many lines.
LINES = 16


def box_coverage(bounds: Bounds, size: tuple[int, int]) -> Coverage:
    """Coverage of the box (left, top, right, bottom); exact."""
    left, top, right, bottom = bounds
    down, across = _overlap(top, bottom, size[0]), _overlap(left, right, size[1])
    return np.asarray(down[:, None] * across, dtype=np.float32)


def _overlap(start: float, end: float, count: int) -> NDArray[np.float64]:
    first = np.arange(count)
    overlap: NDArray[np.float64] = np.minimum(first + 1, end) - np.maximum(first, start)
    return overlap.clip(0, 1)


def ellipse_coverage(bounds: Bounds, size: tuple[int, int]) -> Coverage:
    """Coverage of the ellipse that fills the box (left, top, right, bottom)."""
    left, top, right, bottom = bounds
    center, radius = (left + right) / 2, (right - left) / 2
    lines = _lines_between(top, bottom, size[0])
    height = 2 * (lines + 0.5) / LINES - top - bottom
    half = radius * np.sqrt(np.clip(1 - (height / (bottom - top)) ** 2, 0, None))
    return _fill(np.tile(lines, 2), np.concatenate([center - half, center + half]), size)


def polygon_coverage(corners: Sequence[tuple[float, float]], size: tuple[int, int]) -> Coverage:
    """Coverage of the closed polygon through ``corners`` (x, y), by the even-odd rule."""
    lines, crossings = [], []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        crossed = _lines_between(min(y0, y1), max(y0, y1), size[0])
        slope = (x1 - x0) / (y1 - y0) if y1 != y0 else 0.0
        lines.append(crossed)
        crossings.append(x0 + slope * ((crossed + 0.5) / LINES - y0))
    return _fill(np.concatenate(lines), np.concatenate(crossings), size)


def _lines_between(top: float, bottom: float, height: int) -> NDArray[np.int64]:
    """Numbers of the lines with top ≤ y < bottom, so that edges which touch share none."""
    first, end = np.ceil(np.clip([top, bottom], 0, height) * LINES - 0.5).astype(int)
    return np.arange(first, end)


def _fill(
    lines: NDArray[np.int64], crossings: NDArray[np.float64], size: tuple[int, int]
) -> Coverage:
    """Fill between the first and second, third and fourth … crossing of each line."""
    height, width = size
    order = np.lexsort((crossings, lines))
    # A closed outline crosses each line an even number of times, so in and out alternate over
    # the sorted list as a whole.
    sign = np.where(np.arange(len(order)) % 2 == 0, 1.0, -1.0) / LINES
    crossing = np.clip(crossings[order], 0, width)
    column = crossing.astype(int)
    share = crossing - column
    cell = lines[order] // LINES * (width + 2) + column
    steps = np.bincount(
        np.concatenate([cell, cell + 1]),
        np.concatenate([sign * (1 - share), sign * share]),
        minlength=height * (width + 2),
    )
    filled = steps.reshape(height, width + 2).cumsum(1)[:, :width]
    # Sums of sixteenths and their fractions leave noise of 1e-16 where a pixel is full or empty.
    return np.asarray(filled.round(6).clip(0, 1), dtype=np.float32)
