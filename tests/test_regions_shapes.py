"""Boxes, ellipses and polygons against supersampling by brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from layered_nst.regions.shapes import box_coverage, ellipse_coverage, polygon_coverage

SIZE = (23, 31)
FINE = 40


def sampled(
    inside: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Share of each pixel's 40 by 40 points that are inside."""
    height, width = SIZE
    y, x = (np.arange(n * FINE) / FINE + 0.5 / FINE for n in SIZE)
    points = inside(x[None, :], y[:, None])
    return points.reshape(height, FINE, width, FINE).mean((1, 3))


def even_odd(corners: list[tuple[float, float]]) -> NDArray[np.float64]:
    def inside(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        odd = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                between = (y0 <= y) != (y1 <= y)
                odd ^= between & (x > x0 + (x1 - x0) * (y - y0) / (y1 - y0))
        return odd

    return sampled(inside)


STAR = [
    (15 + 11 * math.sin(4 * math.pi * k / 5), 11 - 11 * math.cos(4 * math.pi * k / 5))
    for k in range(5)
]


@pytest.mark.parametrize(
    "corners",
    [
        [(2.3, 3.1), (28.7, 6.4), (11.2, 20.9)],
        [(5, 5), (20, 5), (20, 15), (12, 9), (5, 15)],
        [(-10, -4), (45, 8.5), (9, 60)],
        STAR,
    ],
    ids=["triangle", "concave", "beyond-the-picture", "crossing-itself"],
)
def test_a_polygon_covers_what_even_odd_sampling_says(corners: list[tuple[float, float]]) -> None:
    assert np.abs(polygon_coverage(corners, SIZE) - even_odd(corners)).max() < 0.05


def test_the_area_of_a_polygon_is_that_of_the_shoelace_formula() -> None:
    corners = [(2.3, 3.1), (28.7, 6.4), (24.4, 18.2), (11.2, 20.9)]
    ring = [*corners, corners[0]]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2
    assert polygon_coverage(corners, SIZE).sum() == pytest.approx(area, rel=1e-3)


def test_polygons_that_share_an_edge_cover_every_pixel_once() -> None:
    left = polygon_coverage([(0, 0), (10.3, 0), (17.9, 23), (0, 23)], SIZE)
    right = polygon_coverage([(10.3, 0), (31, 0), (31, 23), (17.9, 23)], SIZE)
    assert np.abs(left + right - 1).max() < 1e-5


@pytest.mark.parametrize("bounds", [(3.2, 4.7, 27.1, 19.4), (-8, 2, 12, 40), (9.1, 9.2, 9.9, 9.8)])
def test_an_ellipse_covers_what_sampling_says(bounds: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = bounds
    expected = sampled(
        lambda x, y: (
            ((2 * x - left - right) / (right - left)) ** 2
            + ((2 * y - top - bottom) / (bottom - top)) ** 2
            <= 1
        )
    )
    assert np.abs(ellipse_coverage(bounds, SIZE) - expected).max() < 0.05


@pytest.mark.parametrize("bounds", [(3.25, 4.5, 27.75, 19.125), (-3, -3, 99, 99), (8.3, 2, 8.8, 9)])
def test_a_box_covers_the_exact_share_of_each_pixel(
    bounds: tuple[float, float, float, float],
) -> None:
    left, top, right, bottom = bounds
    height, width = SIZE
    for i in range(height):
        for j in range(width):
            down = max(0.0, min(i + 1, bottom) - max(i, top))
            across = max(0.0, min(j + 1, right) - max(j, left))
            assert box_coverage(bounds, SIZE)[i, j] == pytest.approx(down * across, abs=1e-6)


def test_shapes_outside_the_picture_cover_nothing() -> None:
    assert not box_coverage((40, 2, 50, 9), SIZE).any()
    assert not ellipse_coverage((2, -20, 9, -1), SIZE).any()
    assert not polygon_coverage([(-9, 1), (-2, 1), (-2, 9)], SIZE).any()
