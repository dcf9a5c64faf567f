"""Ways through a photo are as long as the changes of color along them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from layered_nst.regions.ways import ways


def by_relaxing(lab: NDArray[np.float64], starts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The same by going over all pixels until no way is shortened."""
    far = np.where(starts, 0.0, np.inf)
    height, width = starts.shape
    changed = True
    while changed:
        changed = False
        for y in range(height):
            for x in range(width):
                for down in (-1, 0, 1):
                    for across in (-1, 0, 1):
                        a, b = y + down, x + across
                        if (down or across) and 0 <= a < height and 0 <= b < width:
                            step = math.dist(lab[:, y, x], lab[:, a, b]) + math.hypot(down, across)
                            if far[a, b] + step < far[y, x] - 1e-9:
                                far[y, x] = far[a, b] + step
                                changed = True
    return far


def test_they_are_what_relaxing_every_pixel_finds() -> None:
    noise = np.random.default_rng(3)
    lab = noise.uniform(0, 20, (3, 9, 7))
    starts = noise.uniform(size=(9, 7)) > 0.95
    assert starts.any()
    np.testing.assert_allclose(ways(lab, starts), by_relaxing(lab, starts), rtol=1e-9)


def test_a_line_parts_what_is_of_one_color() -> None:
    lab = np.zeros((3, 11, 21))
    lab[0, :, 10] = 40.0
    starts = np.zeros((11, 21), dtype=bool)
    starts[5, 0] = True
    far = ways(lab, starts)
    assert far[5, 9] == 9
    assert far[5, 11] == 11 + 80


def test_without_a_start_all_is_infinitely_far() -> None:
    assert np.isinf(ways(np.zeros((3, 4, 5)), np.zeros((4, 5), dtype=bool))).all()


def test_a_row_and_a_single_pixel_have_ways() -> None:
    row = np.zeros((1, 6), dtype=bool)
    row[0, 0] = True
    assert ways(np.zeros((3, 1, 6)), row)[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert ways(np.zeros((3, 1, 1)), np.ones((1, 1), dtype=bool)).tolist() == [[0]]
