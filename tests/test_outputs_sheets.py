"""Rounding layers to 8 bits and cutting them, measured against flattening in real numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from flattening import layered, ramp_alpha, random_shares

from layered_nst.outputs.layered.layers import LayeredPicture, region_layers, soft_masks
from layered_nst.outputs.layered.sheets import (
    Sheet,
    alpha_sheets,
    covering,
    mask_sheets,
    plain_name,
)

SIZE = (40, 64)
SheetsOf = Callable[[LayeredPicture], list[Sheet]]


def covered(rounded: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Alpha of layers laid over one another, in steps of 255, not rounded."""
    return 255 * (1 - np.prod(1 - rounded / 255.0 * pixels / 255.0, axis=0))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("masked", [False, True], ids=["alpha", "mask"])
def test_rounded_layers_cover_the_alpha_bit_for_bit(count: int, masked: bool) -> None:
    for seed in range(5):
        alpha = ramp_alpha(*SIZE) if seed else torch.rand(SIZE)
        masks = soft_masks(random_shares(count, *SIZE, seed=seed), alpha)
        total = np.floor(alpha.numpy() * 255 + np.float32(0.5)).astype(np.uint8)
        pixels = total if masked else np.full_like(total, 255)
        wanted = masks if masked else masks * alpha
        rounded = covering(list(wanted.numpy()), pixels, total)
        assert np.abs(covered(rounded, pixels) - total).max() < 0.5 + 1e-6


def test_rounding_each_layer_by_itself_would_miss_the_alpha() -> None:
    alpha = torch.rand(SIZE, generator=torch.Generator().manual_seed(1))
    wanted = soft_masks(random_shares(7, *SIZE), alpha) * alpha
    naive = covered(np.rint(wanted.numpy() * 255), np.full(SIZE, 255))
    assert np.abs(naive - np.rint(alpha.numpy() * 255)).max() > 0.5


def test_a_rounded_layer_stays_within_a_step_of_what_was_wanted_where_it_is_opaque() -> None:
    masks = soft_masks(random_shares(4, *SIZE), None).numpy()
    opaque = np.full(SIZE, 255, np.uint8)
    assert np.abs(covering(list(masks), opaque, opaque) / 255 - masks).max() <= 0.5 / 255 + 1e-6


def boxed(alpha: torch.Tensor | None) -> LayeredPicture:
    """A picture of a ground, a box of rows 10 to 19 and columns 5 to 29, and an empty region."""
    box = torch.zeros(SIZE)
    box[10:20, 5:30] = 1
    shares = torch.stack([1 - box, box, torch.zeros(SIZE)])
    rgb = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
    layers = region_layers(("ground", "box", "empty"), shares, rgb=rgb, alpha=alpha)
    return LayeredPicture(layers, rgb, alpha)


@pytest.mark.parametrize("sheets_of", [alpha_sheets, mask_sheets])
def test_sheets_are_cut_to_the_pixels_that_cover(sheets_of: SheetsOf) -> None:
    cut_out = torch.ones(SIZE)
    cut_out[:, :12] = 0
    for alpha, left in ((None, 5), (cut_out, 12)):
        ground, box, empty = sheets_of(boxed(alpha))
        assert (ground.top, ground.left) == (0, 0 if alpha is None else 12)
        assert (box.top, box.left) == (10, left)
        assert box.color.shape == (10, 30 - left, 3)
        assert box.alpha.shape == (10, 30 - left)
        assert (box.alpha == 255).all()
        assert empty.alpha.shape == (1, 1)
        assert not (empty.alpha if empty.mask is None else empty.mask).any()


def test_a_mask_goes_on_under_transparent_pixels() -> None:
    alpha = torch.ones(SIZE)
    alpha[12:14, 8:10] = 0
    (box,) = (sheet for sheet in mask_sheets(boxed(alpha)) if sheet.name == "box")
    assert box.mask is not None
    assert (box.mask == 255).all()
    assert not box.alpha[2:4, 3:5].any()


def test_colors_under_no_alpha_are_not_written_into_alpha_sheets() -> None:
    for sheet in alpha_sheets(layered(alpha=ramp_alpha(*SIZE))):
        assert not sheet.color[sheet.alpha == 0].any()


def test_names_lose_only_what_files_cannot_hold() -> None:
    assert plain_name("Ä/ö \\ 🦊 <&>\"'") == "Ä/ö \\ 🦊 <&>\"'"
    assert plain_name("a\x00b\nc\ud800d\uffff") == "a�b�c�d�"
    assert len(plain_name("x" * 400)) == 255
