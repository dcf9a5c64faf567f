from __future__ import annotations

import numpy as np
import pytest
import torch

from layered_nst.networks.segmenters.labels import SCENES
from layered_nst.regions.overlay import colors_of, overlay


def halves(height: int, width: int) -> torch.Tensor:
    right = (torch.arange(width) >= width // 2).expand(height, width)
    return torch.stack([~right, right]).float()


def test_an_overlay_colors_each_mask_and_writes_its_name():
    rgb, masks = torch.full((3, 200, 300), 0.5), halves(200, 300)
    named = np.asarray(overlay(rgb, masks, ("left", "right")), int)
    bare = np.asarray(overlay(rgb, masks, ("", "")), int)
    assert named.shape == (200, 300, 3)
    expected = (0.4 * 0.5 + 0.6 * colors_of(("", ""))) * 255
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
    colors = colors_of([f"region {number}" for number in range(12)])
    apart = torch.cdist(colors, colors) + 10 * torch.eye(12)
    assert apart.min() > 0.2


def test_names_must_match_masks():
    with pytest.raises(ValueError, match="1 names"):
        overlay(torch.zeros(3, 4, 4), torch.zeros(2, 4, 4), ("a",))


def test_a_class_has_its_color_on_every_photo():
    sky = colors_of(["sky"])[0]
    assert torch.equal(colors_of(["person", "cup", "sky"])[2], sky)
    assert torch.equal(colors_of(SCENES)[SCENES.index("sky")], sky)
    several = colors_of(["cup", "sky", "product", "building", "logo", *"abcdefghij"])
    apart = torch.cdist(several, several) + 10 * torch.eye(len(several))
    assert apart.min() > 0.02, "no two masks of one photo have the same color"


def test_shares_stand_beside_the_names():
    rgb, masks = torch.full((3, 200, 300), 0.5), halves(200, 300)
    plain = np.asarray(overlay(rgb, masks, ("a", "b")), int)
    shares = np.asarray(overlay(rgb, masks, ("a", "b"), shares=True), int)
    assert 2 * (plain.min(2) == 255).sum() < 3 * (shares.min(2) == 255).sum()
    assert (plain != shares).any()
    assert (
        np.asarray(overlay(rgb, masks, ("", ""), shares=True)) == overlay(rgb, masks, ("", ""))
    ).all()


def test_names_do_not_cover_one_another():
    masks = torch.zeros(3, 120, 400)
    masks[0, 58:62, :], masks[1, 62:66, :], masks[2, 54:58, :] = 1, 1, 1
    rgb = torch.full((3, 120, 400), 0.5)
    alone = [
        np.asarray(overlay(rgb, masks, [n if i == k else "" for i, n in enumerate("XYZ")]), int)
        for k in range(3)
    ]
    together = np.asarray(overlay(rgb, masks, ("XXXX", "YYYY", "ZZZZ")), int)
    bare = np.asarray(overlay(rgb, masks, ("", "", "")), int)
    rows = np.flatnonzero((together != bare).any((1, 2)))
    rows_alone = np.flatnonzero((alone[0] != bare).any((1, 2)))
    assert len(rows) > 2.5 * len(rows_alone), "the three stand below one another"
