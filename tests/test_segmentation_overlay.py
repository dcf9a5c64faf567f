from __future__ import annotations

import numpy as np
import pytest
import torch

from layered_nst.regions.overlay import distinct_colors, overlay


def halves(height: int, width: int) -> torch.Tensor:
    right = (torch.arange(width) >= width // 2).expand(height, width)
    return torch.stack([~right, right]).float()


def test_an_overlay_colors_each_mask_and_writes_its_name():
    rgb, masks = torch.full((3, 200, 300), 0.5), halves(200, 300)
    named = np.asarray(overlay(rgb, masks, ("sky", "building")), int)
    bare = np.asarray(overlay(rgb, masks, ("", "")), int)
    assert named.shape == (200, 300, 3)
    expected = (0.4 * 0.5 + 0.6 * distinct_colors(2)) * 255
    assert np.abs(bare[5, 5] - expected[0].numpy()).max() <= 1
    assert np.abs(bare[5, 295] - expected[1].numpy()).max() <= 1
    changed = (named != bare).any(2)
    assert changed[:, :149].any()
    assert changed[:, 151:].any()
    assert not changed[:40].any()


def test_what_no_mask_covers_stays_the_photo():
    rgb = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 30, 40)
    masks[:, :10] = 1
    shown = np.asarray(overlay(rgb, masks, ("",)), int)
    expected = (rgb.permute(1, 2, 0) * 255).round().numpy()
    np.testing.assert_array_equal(shown[11:], expected[11:])
    np.testing.assert_array_equal(
        np.asarray(overlay(rgb, masks[:0], ())), expected.astype(np.uint8)
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (33, 5)])
def test_overlays_of_tiny_and_narrow_photos_are_drawn(size: tuple[int, int]):
    picture = overlay(torch.zeros(3, *size), torch.ones(1, *size), ("a very long name indeed",))
    assert picture.size == size[::-1]


def test_the_first_twelve_colors_differ_clearly():
    colors = distinct_colors(12)
    apart = torch.cdist(colors, colors) + 10 * torch.eye(12)
    assert apart.min() > 0.2


def test_names_must_match_masks():
    with pytest.raises(ValueError, match="1 names"):
        overlay(torch.zeros(3, 4, 4), torch.zeros(2, 4, 4), ("a",))
