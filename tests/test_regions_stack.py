"""Stacking: who gets how much of each pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layered_nst.regions import edges
from layered_nst.regions.edges import antialias, ramp
from layered_nst.regions.shapes import Coverage, box_coverage, ellipse_coverage
from layered_nst.regions.stack import Coat, stack

SIZE = (90, 110)


def box(*bounds: float) -> Coverage:
    left, top, right, bottom = bounds
    return box_coverage((left, top, right, bottom), SIZE)


def blobs(seed: int) -> Coverage:
    noise = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(noise, SIZE, mode="bicubic")[0, 0] - 0.5
    return antialias(field).numpy()


def gradient(start: float, end: float) -> Coverage:
    row = (np.arange(SIZE[1]) - start) / (end - start)
    return np.tile(row.clip(0, 1).astype(np.float32), (SIZE[0], 1))


def random_layers(seed: int) -> list[Coat]:
    draw = np.random.default_rng(seed)
    layers = []
    for number in range(draw.integers(1, 6)):
        kind = draw.integers(4)
        if kind == 0:
            coverage = gradient(*draw.uniform(0, 110, 2))
        elif kind == 1:
            left, top = draw.uniform(-20, 80, 2)
            coverage = ellipse_coverage((left, top, left + 40, top + 30), SIZE)
        else:
            coverage = blobs(10 * seed + number)
        layers.append(Coat.of(coverage, float(draw.choice([0, 0.5, 2, 4, 4, 7.5, 30]))))
    return layers


@pytest.mark.parametrize("seed", range(25))
def test_the_shares_of_random_layers_sum_to_one(seed: int) -> None:
    shares = stack(random_layers(seed))
    assert np.abs(shares.sum(0, dtype=np.float64) - 1).max() < 1e-6
    assert shares.min() >= 0
    assert shares.max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_tiles_leave_no_trace(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [layer for layer in random_layers(seed) if layer.feather < 10] or [
        Coat.of(blobs(seed), 4)
    ]
    whole = stack(layers)
    small = edges.SMALLEST_TILE
    monkeypatch.setattr(edges, "SMALLEST_TILE", 8)
    assert small > 8
    assert np.abs(stack(layers) - whole).max() < 1e-6


def test_an_upper_region_is_cut_out_of_a_lower_one() -> None:
    shares = stack([Coat.of(box(10, 10, 100, 80), 4), Coat.of(box(40, 30, 70, 60), 4)])
    assert shares[1][45, 55] == 1
    assert shares[0][45, 55] == 0
    assert shares[0][20, 20] == 1
    assert shares[2][2, 2] == 1


def test_where_two_regions_meet_the_ground_does_not_shine_through() -> None:
    ground, left, right = box(0, 0, 110, 90), box(0, 0, 55, 60), box(55, 0, 110, 60)
    shares = stack([Coat.of(ground, 4), Coat.of(left, 12), Coat.of(right, 6)])
    assert not shares[0][:40].any()
    expected = ramp(np.arange(110, dtype=np.float32) + 0.5 - 55, 6)
    assert np.abs(shares[2][:40] - expected).max() < 1e-6


def test_classes_that_share_out_the_photo_let_nothing_through() -> None:
    sky = blobs(4)
    shares = stack([Coat.of(box(0, 0, 110, 90), 4), Coat.of(1 - sky, 8), Coat.of(sky, 3)])
    assert not shares[0].any()
    assert not shares[3].any()


def test_a_wide_feather_below_does_not_leak_round_a_sharp_region_on_top() -> None:
    wide, sharp = box(0, 0, 50, 90), box(60, 20, 90, 60)
    shares = stack([Coat.of(wide, 10), Coat.of(sharp, 0)])
    assert not shares[0][:, 56:].any()
    assert (shares[1] == sharp).all()


def test_the_border_of_a_lower_region_runs_on_straight_below_an_upper_one() -> None:
    lower, upper = box(0, 0, 50, 90), box(20, 30, 80, 60)
    alone = stack([Coat.of(lower, 8)])
    below = stack([Coat.of(lower, 8), Coat.of(upper, 16)])
    free = 1 - below[1]
    # Right beside the upper region, half through its feather, the lower one is as if alone.
    assert np.abs(below[0] - alone[0] * free)[:30].max() < 0.02


@pytest.mark.parametrize("feather", [0, 4, 11])
def test_the_order_of_regions_that_do_not_overlap_changes_nothing(feather: float) -> None:
    ground, one, two = box(0, 0, 110, 90), box(0, 0, 50, 40), box(50, 0, 110, 40)
    three = ellipse_coverage((20, 50, 60, 85), SIZE)
    layers = [Coat.of(mask, feather) for mask in (ground, one, two, three)]
    first = stack(layers)
    second = stack([layers[k] for k in (0, 3, 2, 1)])
    assert np.abs(first - second[[0, 3, 2, 1, 4]]).max() < 1e-6


def test_three_regions_share_the_pixels_where_they_meet() -> None:
    layers = [box(0, 45, 110, 90), box(0, 0, 55, 45), box(55, 0, 110, 45)]
    shares = stack([Coat.of(mask, 10) for mask in layers])
    assert (shares[:3, 44:46, 54:56].mean((1, 2)) > 0.25).all()
    assert not shares[3].any()


def test_gradients_painted_to_fit_each_other_fit() -> None:
    ramp_up = gradient(20, 90)
    shares = stack([Coat.of(1 - ramp_up, 4), Coat.of(ramp_up, 4)])
    assert np.abs(shares[1] - ramp_up).max() < 0.02
    assert shares[2].max() < 1e-6


def test_a_half_transparent_mask_shows_what_lies_below() -> None:
    half = np.full(SIZE, 0.6, np.float32)
    shares = stack([Coat.of(box(0, 0, 50, 90), 4), Coat.of(half, 4)])
    assert np.allclose(shares[:, 40, 10], [0.4, 0.6, 0])
    assert np.allclose(shares[:, 40, 90], [0, 0.6, 0.4])
    faint = stack([Coat.of(np.full(SIZE, 0.3, np.float32), 4)])
    assert np.allclose(faint[0], 0.3)


def test_a_feather_never_makes_a_gradient_harder() -> None:
    soft = gradient(30, 80)
    assert np.abs(stack([Coat.of(soft, 4)])[0] - soft).max() < 1e-6
    assert np.abs(stack([Coat.of(soft, 20)])[0] - soft).max() < 0.06


def test_a_single_pixel_can_be_shared() -> None:
    one = np.ones((1, 1), np.float32)
    assert stack([Coat.of(one, 4)]).ravel().tolist() == [1, 0]
    assert stack([Coat.of(one * 0, 4)]).ravel().tolist() == [0, 1]
    assert stack([Coat.of(one, 4), Coat.of(one, 9)]).ravel().tolist() == [0, 1, 0]
