"""Masks at the size of an encoder's layers, against explicit loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from layered_nst.regions import layer_masks, thin_layers, thin_notes

FIELDS = {"conv1_1": 3, "conv2_1": 10, "conv3_1": 24, "conv4_1": 60, "conv5_1": 132}


def vgg_sizes(height: int, width: int) -> dict[str, tuple[int, int]]:
    return {f"conv{k + 1}_1": (-(-height // 2**k), -(-width // 2**k)) for k in range(5)}


def random_masks(regions: int, height: int, width: int) -> Tensor:
    noise = torch.randn(regions, height, width, generator=torch.Generator().manual_seed(0))
    return (3 * noise).softmax(0)


@pytest.mark.parametrize("size", [(48, 64), (37, 61), (5, 90), (1, 1)])
def test_each_value_is_the_mean_of_the_pixels_that_its_unit_was_pooled_from(
    size: tuple[int, int],
) -> None:
    masks = random_masks(3, *size)
    for level, (layer, found) in enumerate(layer_masks(masks, vgg_sizes(*size)).items()):
        step = 2**level
        assert found.shape == (3, *vgg_sizes(*size)[layer])
        for i in range(found.shape[1]):
            for j in range(found.shape[2]):
                patch = masks[:, i * step : (i + 1) * step, j * step : (j + 1) * step]
                assert torch.allclose(found[:, i, j], patch.mean((1, 2)), atol=1e-6)


def test_any_other_size_is_an_equal_division_of_the_picture() -> None:
    masks = random_masks(2, 30, 50)
    found = layer_masks(masks, {"odd": (7, 9)})["odd"]
    for i in range(7):
        for j in range(9):
            rows = slice(i * 30 // 7, -(-(i + 1) * 30 // 7))
            columns = slice(j * 50 // 9, -(-(j + 1) * 50 // 9))
            assert torch.allclose(found[:, i, j], masks[:, rows, columns].mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("size", [(48, 64), (101, 77), (13, 200)])
def test_masks_sum_to_one_at_every_layer(size: tuple[int, int]) -> None:
    masks = random_masks(5, *size)
    for found in layer_masks(masks, vgg_sizes(*size) | {"odd": (3, 5)}).values():
        assert (found.sum(0) - 1).abs().max() < 1e-6


def test_plain_masks_stay_exactly_zero_and_one() -> None:
    masks = torch.zeros(2, 77, 90)
    masks[0] = 1
    for found in layer_masks(masks, vgg_sizes(77, 90) | {"odd": (10, 11)}).values():
        assert (found[0] == 1).all()
        assert (found[1] == 0).all()


def test_a_region_is_thin_where_no_unit_sees_it_alone() -> None:
    masks = torch.zeros(2, 256, 256)
    masks[1, :, 100:130] = 1  # 30 px wide: conv3_1 sees 24, conv4_1 sees 60
    masks[0] = 1 - masks[1]
    thin = thin_layers(masks, vgg_sizes(256, 256), FIELDS)
    assert thin == {1: ("conv4_1", "conv5_1")}


def test_thin_regions_are_those_that_loops_over_all_units_find() -> None:
    draw = np.random.default_rng(1)
    for _ in range(6):
        masks = torch.zeros(2, 75, 98)
        top, left = draw.integers(0, 50, 2)
        high, wide = draw.integers(2, 60, 2)
        masks[1, top : top + high, left : left + wide] = 1
        masks[0] = 1 - masks[1]
        sizes = vgg_sizes(75, 98)
        expected = {
            region: tuple(
                layer
                for level, (layer, size) in enumerate(sizes.items())
                if not any(
                    sees_only(masks[region], (i, j), step=2**level, field=FIELDS[layer])
                    for i in range(size[0])
                    for j in range(size[1])
                )
            )
            for region in range(2)
        }
        assert thin_layers(masks, sizes, FIELDS) == {k: v for k, v in expected.items() if v}


def sees_only(mask: Tensor, unit: tuple[int, int], *, step: int, field: int) -> bool:
    windows = []
    for position, length in zip(unit, mask.shape, strict=True):
        center = (position + 0.5) * step
        pixels = [p for p in range(length) if center - field / 2 < p + 1 and p < center + field / 2]
        windows.append(slice(pixels[0], pixels[-1] + 1))
    return bool((mask[windows[0], windows[1]] > 0.99).all())


def test_the_edge_of_the_picture_makes_no_region_thin() -> None:
    masks = torch.ones(1, 40, 40)
    assert thin_layers(masks, vgg_sizes(40, 40), FIELDS) == {}


def test_empty_regions_are_not_called_thin() -> None:
    masks = torch.stack([torch.ones(20, 20), torch.zeros(20, 20)])
    assert thin_layers(masks, vgg_sizes(20, 20), FIELDS) == {}


def test_thin_regions_are_named_with_their_layers() -> None:
    (note,) = thin_notes(["sky", "logo"], {1: ("conv4_1", "conv5_1")})
    assert "'logo'" in note
    assert "conv4_1 or conv5_1" in note
