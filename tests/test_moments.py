"""Moments against explicit loops in float64, finite differences and each other."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.styles.moments import (
    Moments,
    MomentSums,
    blend,
    columns,
    compute,
    merge,
    region_moments,
    update,
)

Array = NDArray[np.float64]


def random_rows(positions: int, channels: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(positions, channels, generator=generator, dtype=torch.float64)


def random_weight(positions: int, *, seed: int = 1) -> Tensor:
    """Weights in [0, 1], a third of them 0 and a third 1."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(positions, generator=generator, dtype=torch.float64)
    return (3 * weight - 1).clamp(0, 1)


def random_moments(seed: int, channels: int = 5) -> Moments:
    return compute(update(random_rows(40, channels, seed=seed), torch.ones(40).double()))


def slow_sums(rows: Tensor, weight: Tensor) -> tuple[float, Array, Array]:
    """``Σ m``, ``Σ m f`` and ``Σ m f fᵀ``, number by number."""
    channels = rows.shape[1]
    total, first, second = 0.0, np.zeros(channels), np.zeros((channels, channels))
    for row, m in zip(rows.tolist(), weight.tolist(), strict=True):
        total += m
        for i in range(channels):
            first[i] += m * row[i]
            for j in range(channels):
                second[i, j] += m * row[i] * row[j]
    return total, first, second


def assert_same(found: Moments, wanted: Moments, *, within: float = 1e-12) -> None:
    for name in ("mean", "second", "weight"):
        a, b = getattr(found, name), getattr(wanted, name)
        assert (a - b).abs().max() <= within * b.abs().max(), name


def test_sums_are_those_of_explicit_loops() -> None:
    rows, weight = random_rows(50, 4), random_weight(50)
    sums = update(rows, weight)
    total, first, second = slow_sums(rows, weight)
    assert sums.weight.item() == pytest.approx(total, rel=1e-13)
    assert np.allclose(sums.first, first, rtol=1e-12, atol=1e-12)
    assert np.allclose(sums.second, second, rtol=1e-12, atol=1e-12)


def test_moments_are_the_weighted_mean_and_covariance_of_numpy() -> None:
    rows, weight = random_rows(60, 3), random_weight(60)
    found = compute(update(rows, weight))
    assert np.allclose(found.mean, np.average(rows, axis=0, weights=weight), atol=1e-13)
    assert np.allclose(found.covariance, np.cov(rows.T, aweights=weight, ddof=0), atol=1e-12)


def test_rows_of_no_weight_take_no_part_whatever_they_hold() -> None:
    rows, weight = random_rows(20, 3), random_weight(20)
    poisoned = rows.clone()
    poisoned[weight == 0] = torch.nan
    assert_same(compute(update(poisoned, weight)), compute(update(rows, weight)), within=0)


def test_tiles_merge_to_the_whole() -> None:
    rows, weight = random_rows(90, 4), random_weight(90)
    ends = [0, 10, 11, 50, 90]
    tiles = [update(rows[a:b], weight[a:b]) for a, b in pairwise(ends)]
    whole = compute(update(rows, weight))
    assert_same(compute(merge(*tiles)), whole)
    assert_same(compute(merge(merge(tiles[3], tiles[0]), merge(tiles[2], tiles[1]))), whole)


def test_a_tile_that_a_region_does_not_touch_adds_nothing() -> None:
    rows, weight = random_rows(12, 3), random_weight(12)
    sums = update(rows, weight)
    nothing = update(random_rows(5, 3, seed=9), torch.zeros(5).double())
    assert_same(compute(merge(nothing, sums)), compute(sums), within=0)


def test_moments_of_nothing_are_an_error() -> None:
    zero = torch.zeros(())
    with pytest.raises(ValueError, match="total weight is 0"):
        compute(update(torch.ones(3, 2), torch.zeros(3)))
    with pytest.raises(ValueError, match="total weight is 0"):
        compute(MomentSums(zero, torch.zeros(2), torch.zeros(2, 2)))


def test_scaling_all_weights_changes_no_moment() -> None:
    rows, weight = random_rows(30, 3), random_weight(30)
    one, half = compute(update(rows, weight)), compute(update(rows, weight / 2))
    assert torch.allclose(one.mean, half.mean, atol=1e-13)
    assert torch.allclose(one.second, half.second, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_blend_does_not_depend_on_order(dtype: torch.dtype) -> None:
    parts, weights = [random_moments(k).to(dtype) for k in range(4)], [0.6, 0.4, 2.0, 0.0]
    wanted = blend(parts, weights)
    for order in permutations(range(4)):
        found = blend([parts[k] for k in order], [weights[k] for k in order])
        assert_same(found, wanted, within=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_blend_does_not_depend_on_grouping(dtype: torch.dtype) -> None:
    a, b, c, d = (random_moments(k).to(dtype) for k in range(4))
    flat = blend([a, b, c, d], [1, 2, 3, 4])
    nested = blend([blend([a, b], [1, 2]), blend([c, d], [3, 4])], [3, 7])
    chained = blend([blend([blend([a, b], [1, 2]), c], [3, 3]), d], [6, 4])
    for found in (nested, chained):
        assert_same(found, flat, within=1e-5 if dtype == torch.float32 else 1e-12)


def test_only_the_proportions_of_a_blend_count() -> None:
    parts = [random_moments(k) for k in range(2)]
    assert_same(blend([parts[0], parts[0]], [60, 40]), blend([parts[0]], [100]), within=1e-12)
    found, wanted = blend(parts, [60, 40]), blend(parts, [0.6, 0.4])
    assert torch.allclose(found.mean, wanted.mean, atol=1e-13)
    assert torch.allclose(found.second, wanted.second, atol=1e-13)


def test_a_blend_is_the_moments_of_both_pictures_side_by_side() -> None:
    first, second = random_rows(30, 4, seed=3), 2 + random_rows(10, 4, seed=4)
    side_by_side = compute(update(torch.cat([first, second]), torch.ones(40).double()))
    apart = [compute(update(rows, torch.ones(len(rows)).double())) for rows in (first, second)]
    found = blend(apart, [30, 10])
    assert_same(found, side_by_side)
    finished = (3 * apart[0].covariance + apart[1].covariance) / 4
    assert (finished - found.covariance).abs().max() > 0.1


@pytest.mark.parametrize(
    ("count", "weights"), [(0, []), (2, [1.0]), (2, [1.0, -0.5]), (2, [0.0, 0.0])]
)
def test_weights_that_mean_nothing_are_refused(count: int, weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        blend([random_moments(k) for k in range(count)], weights)


def region_masks(height: int, width: int) -> Tensor:
    """A partition with feathers, then overlapping, empty, whole and one-pixel regions."""
    soft = (4 * random_rows(3, height * width, seed=5)).softmax(0).reshape(3, height, width)
    soft = soft * (soft > 0.1)
    partition = soft / soft.sum(0)
    extra = torch.zeros(4, height, width, dtype=torch.float64)
    extra[0, : height // 2] = 0.7
    extra[2] = 1
    extra[3, height // 2, width // 2] = 0.01
    return torch.cat([partition, extra])


@pytest.mark.parametrize("size", [(6, 9), (1, 1), (1, 12)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_all_regions_in_one_pass_are_each_region_alone(
    size: tuple[int, int], order: torch.memory_format
) -> None:
    features = random_rows(size[0] * size[1], 5).T.reshape(1, 5, *size)
    features = features.contiguous(memory_format=order)
    masks = region_masks(*size)
    mean, second = region_moments(features, columns(masks))
    rows = features[0].flatten(1).T
    for region, mask in enumerate(masks):
        total, sum_first, sum_second = slow_sums(rows, mask.flatten())
        wanted = max(total, 1e-300)
        assert np.allclose(mean[region], sum_first / wanted, atol=1e-12)
        assert np.allclose(second[region], sum_second / wanted, atol=1e-12)
        if total > 0:
            alone = compute(update(rows, mask.flatten()))
            assert torch.allclose(second[region], alone.second, atol=1e-12)


def test_a_region_of_no_weight_has_zero_moments_and_no_gradient() -> None:
    features = random_rows(12, 3).T.reshape(1, 3, 3, 4).requires_grad_()
    mean, second = region_moments(features, columns(torch.zeros(2, 3, 4).double()))
    assert not mean.any()
    assert not second.any()
    (gradient,) = torch.autograd.grad(mean.sum() + second.sum(), features)
    assert not gradient.any()


def test_every_reading_has_its_row() -> None:
    masks = region_masks(6, 9)
    read = columns(masks)
    assert len(read.index) == (masks > 0).sum()
    assert [end for _, _, end in read.spans] == (masks > 0).sum((1, 2)).cumsum(0).tolist()
    assert torch.allclose(read.total, masks.sum((1, 2)), atol=1e-13)
    inside = torch.cat([read.index[start:soft] for start, soft, _ in read.spans])
    assert sorted([*inside.tolist(), *read.apart.tolist()]) == list(range(54))


def test_regions_may_lie_on_top_of_each_other() -> None:
    features = random_rows(12, 3).T.reshape(1, 3, 3, 4).requires_grad_()
    masks = torch.zeros(3, 3, 4).double()
    masks[0, :2], masks[1, 1:], masks[2, :, 1:3] = 1, 1, 0.5
    read = columns(masks)
    rows = features[0].flatten(1).T
    assert [soft - start for start, soft, _ in read.spans] == [2, 2, 0]
    _, second = region_moments(features, read)
    for region, mask in enumerate(masks.flatten(1)):
        plain = (mask[:, None, None] * rows[:, :, None] * rows[:, None, :]).sum(0) / mask.sum()
        assert torch.allclose(second[region], plain)
    assert torch.autograd.gradcheck(lambda f: region_moments(f, read), features)


def test_moments_in_a_measure_are_those_of_features_taken_to_it() -> None:
    features = random_rows(30, 4).T.reshape(1, 4, 5, 6).requires_grad_()
    measure = random_rows(6, 4, seed=5) - 0.5
    read = columns(region_masks(5, 6))
    there = torch.einsum("dc,bchw->bdhw", measure, features)
    for found, wanted in zip(
        region_moments(features, read, measure), region_moments(there, read), strict=True
    ):
        assert torch.allclose(found, wanted, atol=1e-12)
    assert torch.autograd.gradcheck(lambda f: region_moments(f, read, measure), features)


def test_the_gradient_agrees_with_finite_differences() -> None:
    features = random_rows(20, 3).T.reshape(1, 3, 4, 5).requires_grad_()
    masks = region_masks(4, 5)
    masks[:, 1, 2] = 0
    read = columns(masks)
    assert torch.autograd.gradcheck(lambda f: region_moments(f, read), features)


def test_the_gradient_is_that_of_the_plain_formula() -> None:
    features = random_rows(30, 4).T.reshape(1, 4, 5, 6).requires_grad_()
    masks = region_masks(5, 6)
    weights = [random_rows(len(masks), 4, seed=7), random_rows(len(masks) * 4, 4, seed=8)]

    def pulled(mean: Tensor, second: Tensor) -> Tensor:
        return (mean * weights[0]).sum() + (second * weights[1].reshape(-1, 4, 4)).sum()

    flat, total = masks.flatten(1), masks.sum((1, 2)).clamp(min=1e-300)
    rows = features[0].flatten(1).T
    mean = flat @ rows / total[:, None]
    second = torch.einsum("rn,ni,nj->rij", flat, rows, rows) / total[:, None, None]
    (wanted,) = torch.autograd.grad(pulled(mean, second), features)
    (found,) = torch.autograd.grad(pulled(*region_moments(features, columns(masks))), features)
    assert torch.allclose(found, wanted, atol=1e-12)


def test_positions_outside_all_regions_get_no_gradient() -> None:
    features = random_rows(20, 3).T.reshape(1, 3, 4, 5).requires_grad_()
    masks = region_masks(4, 5)[:2]
    masks[:, :, 3:] = 0
    mean, second = region_moments(features, columns(masks))
    (gradient,) = torch.autograd.grad(mean.square().sum() + second.square().sum(), features)
    assert not gradient[..., 3:].any()
    assert gradient[..., :3].any()


def test_a_mask_rounded_just_above_one_is_still_read() -> None:
    masks = torch.ones(1, 2, 2)
    masks[0, 0, 0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    mean, _ = region_moments(torch.arange(4.0).reshape(1, 1, 2, 2), columns(masks))
    assert mean.item() == pytest.approx(1.5)
    assert len(columns(masks).index) == 4


def test_single_precision_agrees_with_double() -> None:
    features, masks = random_rows(400, 8).T.reshape(1, 8, 20, 20), region_masks(20, 20)
    double = region_moments(features, columns(masks))
    single = region_moments(features.float(), columns(masks.float()))
    for found, wanted in zip(single, double, strict=True):
        assert (found - wanted).abs().max() < 2e-6 * wanted.abs().max()


def test_a_feather_loses_no_energy_with_root_weights_and_a_third_with_plain_ones() -> None:
    """Two styles meet in a ramp over the whole picture: what do their moments see of it?

    Each position's energy should be shared out whole, ``m + (1 − m) = 1``. Features weighted by m
    put m² into the product, and ``m² + (1 − m)²`` falls to 1/2 in the middle of the ramp: a third
    of a linear ramp's energy is in nobody's statistics.
    """
    length = 201
    ramp = torch.linspace(0, 1, length, dtype=torch.float64)
    masks = torch.stack([ramp, 1 - ramp])[:, None]
    features = torch.ones(1, 1, 1, length, dtype=torch.float64)
    read = columns(masks)
    _, second = region_moments(features, read)
    by_root = (second[:, 0, 0] * read.total).sum().item()
    by_plain = sum((features[0, 0, 0] * m).square().sum().item() for m in masks[:, 0])
    assert by_root / length == pytest.approx(1, abs=1e-12)
    assert by_plain / length == pytest.approx(2 / 3, abs=5e-3)

    middle = torch.zeros(2, 1, length, dtype=torch.float64)
    middle[:, 0, length // 2] = masks[:, 0, length // 2]
    at_middle = region_moments(features, columns(middle))[1][:, 0, 0] * middle.sum((1, 2))
    assert at_middle.sum().item() == pytest.approx(1, abs=1e-12)
    assert middle.square().sum().item() == pytest.approx(0.5, abs=1e-12)


def test_regions_that_share_out_a_picture_add_up_to_its_whole_gram_matrix() -> None:
    features, masks = random_rows(54, 4).T.reshape(1, 4, 6, 9), region_masks(6, 9)[:3]
    read = columns(masks)
    mean, second = region_moments(features, read)
    rows = features[0].flatten(1).T
    assert torch.allclose((second * read.total[:, None, None]).sum(0), rows.T @ rows, atol=1e-11)
    assert torch.allclose((mean * read.total[:, None]).sum(0), rows.sum(0), atol=1e-12)
