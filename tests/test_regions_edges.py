"""Distances, feathers and growth against brute force and plain geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from layered_nst.regions.components import closed, keep_largest
from layered_nst.regions.edges import antialias, grow, is_gradual, ramp, signed_distance
from layered_nst.regions.shapes import Coverage, ellipse_coverage, polygon_coverage
from layered_nst.regions.stack import Coat, stack


def half_plane(size: tuple[int, int], *, angle: float) -> tuple[Coverage, NDArray[np.float64]]:
    """An anti-aliased half plane through the middle, and each pixel's true distance inside."""
    height, width = size
    x, y = np.arange(width) + 0.5 - width / 2, np.arange(height)[:, None] + 0.5 - height / 2
    c, s = math.cos(angle), math.sin(angle)
    middle, far = np.array([width / 2, height / 2]), 4 * max(size)
    along, inward = far * np.array([-s, c]), far * np.array([c, s])
    corners = [middle + along, middle - along, middle - along + inward, middle + along + inward]
    return polygon_coverage([(p[0], p[1]) for p in corners], size), c * x + s * y


def smoothstep(t: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.minimum(np.maximum(t, 0), 1)
    return 3 * t**2 - 2 * t**3


def random_blobs(size: tuple[int, int], seed: int) -> Coverage:
    noise = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(noise, size, mode="bicubic")[0, 0] - 0.5
    return antialias(field).numpy()


@pytest.mark.parametrize("radius", [1, 3.5, 9])
def test_bays_are_filled_as_far_as_no_disk_fits_in(radius: float) -> None:
    mask = random_blobs((60, 80), seed=4)
    far = math.ceil(radius)
    y, x = np.mgrid[-far : far + 1, -far : far + 1]
    disk = np.hypot(x, y) <= radius
    wide = ndimage.binary_dilation(mask >= 0.5, disk)
    wanted = ndimage.binary_erosion(wide, disk, border_value=1) & ~(mask >= 0.5)
    found = closed(mask, radius)
    assert wanted.any()
    assert np.array_equal((found > mask) & (mask < 0.5), wanted & (found > mask))
    assert np.all(found[wanted] > 0)
    assert np.all(found >= mask)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_one_value_has_no_bays(value: float) -> None:
    flat = np.full((5, 6), value, dtype=np.float32)
    assert np.array_equal(closed(flat, 2), flat)


def distance_to_sides(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance from each pixel's centre to the nearest side between in and out, by trying all."""
    height, width = inside.shape
    y, x = np.indices(inside.shape) + 0.5
    nearest = np.full(inside.shape, np.inf)
    for i in range(height):
        for j in range(width):
            if i and inside[i, j] != inside[i - 1, j]:
                beyond = np.maximum(np.abs(x - j - 0.5) - 0.5, 0)
                nearest = np.minimum(nearest, np.hypot(y - i, beyond))
            if j and inside[i, j] != inside[i, j - 1]:
                beyond = np.maximum(np.abs(y - i - 0.5) - 0.5, 0)
                nearest = np.minimum(nearest, np.hypot(x - j, beyond))
    return nearest


@pytest.mark.parametrize("seed", range(4))
def test_the_feather_is_that_of_brute_force_distances_up_to_the_corners_of_pixels(
    seed: int,
) -> None:
    mask = (random_blobs((28, 33), seed) >= 0.5).astype(np.float32)
    inside = mask >= 0.5
    distance = distance_to_sides(inside)
    found = signed_distance(inside, mask)
    assert ((found > 0) == inside).all()
    # The border cuts the corners of pixels, so it may pass half a diagonal from their sides.
    assert np.abs(np.abs(found) - distance).max() < 0.42
    expected = smoothstep(np.where(inside, distance, -distance) / 9 + 0.5)
    assert np.abs(stack([Coat.of(mask, 9)])[0] - expected).max() < 1.5 * 0.42 / 9


def test_beside_a_straight_edge_the_distance_is_exact() -> None:
    mask = np.zeros((9, 20), np.float32)
    mask[:, 7:] = 1
    assert np.allclose(signed_distance(mask > 0.5, mask), np.arange(20) + 0.5 - 7)


@pytest.mark.parametrize("degrees", [0, 17, 30, 45, 71, 200, 303])
def test_a_slanted_edge_is_located_to_a_fifth_of_a_pixel(degrees: int) -> None:
    mask, true = half_plane((60, 60), angle=math.radians(degrees))
    found = signed_distance(mask >= 0.5, mask)
    near = (np.abs(true) < 12) & (np.hypot(*(np.indices((60, 60)) - 29.5)) < 20)
    assert np.abs(found - true)[near].max() < 0.2


@pytest.mark.parametrize("feather", [2, 4, 9.5, 20])
@pytest.mark.parametrize("degrees", [0, 30, 45, 71])
def test_a_feather_is_a_smoothstep_of_its_width_centred_on_the_border(
    feather: float, degrees: int
) -> None:
    mask, true = half_plane((64, 64), angle=math.radians(degrees))
    shares = stack([Coat.of(mask, feather)])
    middle = np.hypot(*(np.indices((64, 64)) - 31.5)) < 18
    gap = np.abs(shares[0] - smoothstep(true / feather + 0.5))[middle]
    assert gap.max() < 0.2 * 1.5 / feather


def test_a_feather_round_a_disk_follows_the_circle() -> None:
    mask = ellipse_coverage((12.3, 10.8, 52.3, 50.8), (64, 64))
    y, x = np.indices((64, 64)) + 0.5
    true = 20 - np.hypot(x - 32.3, y - 30.8)
    shares = stack([Coat.of(mask, 8)])
    assert np.abs(shares[0] - smoothstep(true / 8 + 0.5)).max() < 0.04


def test_away_from_the_feather_a_mask_is_exactly_zero_or_one() -> None:
    mask = random_blobs((70, 90), 5)
    distance = signed_distance(mask >= 0.5, mask)
    shares = stack([Coat.of(mask, 6)])
    assert (shares[0][distance >= 3] == 1).all()
    assert (shares[0][distance <= -3] == 0).all()


def test_a_feather_does_not_fade_at_the_edge_of_the_picture() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[:, 20:] = 1
    shares = stack([Coat.of(mask, 8)])
    assert (shares == shares[:, :1]).all()
    assert (shares[0][:, 24:] == 1).all()


def test_a_feather_is_the_same_wherever_the_mask_lies() -> None:
    shape = random_blobs((60, 60), 2)
    shape[:12], shape[-12:], shape[:, :12], shape[:, -12:] = 0, 0, 0, 0
    found = []
    for top, left in ((0, 0), (37, 111), (140, 71)):
        mask = np.zeros((200, 200), np.float32)
        mask[top : top + 60, left : left + 60] = shape
        found.append(stack([Coat.of(mask, 10)])[0][top : top + 60, left : left + 60])
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_without_a_feather_a_black_and_white_mask_stays_as_it_is() -> None:
    mask = (random_blobs((50, 50), 3) >= 0.5).astype(np.float32)
    assert (stack([Coat.of(mask, 0)])[0] == mask).all()


def test_without_a_feather_an_anti_aliased_edge_keeps_its_coverage() -> None:
    mask, _ = half_plane((40, 40), angle=math.radians(25))
    assert np.abs(stack([Coat.of(mask, 0)])[0] - mask).max() < 0.05


@pytest.mark.parametrize("distance", [3, 1.5, 0.3, -0.7, -4])
def test_growing_moves_a_circle_by_that_many_pixels(distance: float) -> None:
    mask = ellipse_coverage((15, 15, 65, 65), (80, 80))
    expected = ellipse_coverage(
        (15 - distance, 15 - distance, 65 + distance, 65 + distance), (80, 80)
    )
    grown = grow(mask, distance)
    assert grown.sum() == pytest.approx(expected.sum(), rel=3e-3)
    assert np.abs(grown - expected).max() < 0.25


def test_growing_a_black_and_white_mask_by_whole_pixels_leaves_it_black_and_white() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[8:12, 5:15] = 1
    grown = grow(mask, 3)
    assert grown[10].tolist() == [0.0] * 2 + [1.0] * 16 + [0.0] * 2
    assert ((grow(grown, -3) >= 0.5) == (mask >= 0.5)).all()


def test_shrinking_leaves_a_mask_whole_where_it_touches_the_picture_edge() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[:, :10] = 1
    assert (grow(mask, -4)[:, :6] == 1).all()
    assert not grow(mask, -4)[:, 6:].any()


def test_a_painted_gradient_is_kept_and_grows_as_a_whole() -> None:
    gradient = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (30, 1))
    assert is_gradual(gradient)
    assert np.allclose(grow(gradient, 6)[:, :-6], gradient[:, 6:], atol=1e-6)
    assert np.allclose(grow(gradient, -6)[:, 6:], gradient[:, :-6], atol=1e-6)
    between = (grow(gradient, 2) + grow(gradient, 3)) / 2
    assert np.allclose(grow(gradient, 2.5), between, atol=1e-6)


def test_growing_a_gradient_takes_the_largest_value_within_a_disk() -> None:
    noise = np.random.default_rng(0).random((14, 17)).astype(np.float32) * 0.9 + 0.05
    grown = grow(noise, 3)
    for i in range(14):
        for j in range(17):
            y, x = np.indices(noise.shape)
            near = (y - i) ** 2 + (x - j) ** 2 <= 9
            assert grown[i, j] == noise[near].max()


def test_thin_soft_edges_are_no_gradient() -> None:
    assert not is_gradual(half_plane((50, 50), angle=0.4)[0])
    assert not is_gradual(random_blobs((50, 50), 1))
    assert is_gradual(np.full((1, 1), 0.5, np.float32))


def test_antialias_is_crisp_where_a_field_crosses_zero_slowly() -> None:
    field = torch.linspace(-0.05, 0.05, 200).repeat(10, 1)
    mask = antialias(field)
    assert ((mask > 0) & (mask < 1)).sum(1).max() <= 2
    assert (mask[:, 101:] == 1).all()
    assert (mask[:, :99] == 0).all()


def test_a_tie_counts_as_inside() -> None:
    assert (antialias(torch.zeros(4, 4)) == 1).all()


def test_the_ramp_is_half_on_the_border_and_complete_at_its_ends() -> None:
    ends = np.array([-4, -2, 0, 2, 4], np.float32)
    assert ramp(ends, 4).tolist() == [0, 0, 0.5, 1, 1]


def test_the_largest_components_are_kept_with_their_pinholes_filled() -> None:
    mask = np.zeros((60, 60), np.float32)
    mask[2:32, 2:32] = 1  # 900 px with a pinhole and an arch
    mask[10, 10] = 0
    mask[20:28, 20:28] = 0
    mask[40:50, 40:50] = 1  # 100 px
    mask[50, 50] = 1  # touches it at a corner
    mask[40:44, 2:6] = 1  # 16 px
    largest, two = keep_largest(mask, 1), keep_largest(mask, 2)
    assert largest[10, 10] == 1
    assert largest[24, 24] == 0
    assert largest.sum() == 900 - 64
    assert two.sum() == 900 - 64 + 101
    assert keep_largest(mask, 9).sum() == 900 - 64 + 101 + 16


def test_the_soft_fringe_of_a_kept_component_stays() -> None:
    mask = ellipse_coverage((5.3, 5.3, 24.1, 24.1), (40, 40))
    other = ellipse_coverage((30, 30, 36, 36), (40, 40))
    assert (keep_largest(np.maximum(mask, other), 1) == mask).all()


def test_no_component_at_all_stays_nothing() -> None:
    assert not keep_largest(np.zeros((5, 5), np.float32), 1).any()
