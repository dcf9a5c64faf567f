"""Style pictures and blends as moments, against a plain way of writing them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from torch import Tensor
from torch.nn import functional

from layered_nst.networks.encoders import Encoder
from layered_nst.picture import resize
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.variation import variation
from layered_nst.styles.colors import color_moments
from layered_nst.styles.moments import Moments
from layered_nst.styles.style import (
    StylePicture,
    color_share,
    style_color,
    style_moments,
    style_variation,
    weighing,
    with_colors,
)

LAYERS = ("conv1_1", "conv3_1", "conv5_1")


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def style(seed: int, *, size: tuple[int, int] = (32, 48), weight: float = 1.0) -> StylePicture:
    return StylePicture(random(3, *size, seed=seed), torch.ones(size).double(), weight, f"{seed}")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder()


def moments(encoder: Encoder, *styles: StylePicture, longest: int = 48, pooling: str = "max"):
    return style_moments(encoder, styles, LAYERS, longest=longest, pooling=pooling)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_targets_are_the_mean_and_gram_matrix_of_the_styles_features(
    encoder: Encoder, pooling: str
) -> None:
    one = style(1)
    found = moments(encoder, one, pooling=pooling)
    features = encoder(one.rgb[None], LAYERS, pooling=pooling)
    for layer in LAYERS:
        rows = features[layer][0].flatten(1).T.numpy()
        second = sum(np.outer(row, row) for row in rows) / len(rows)
        assert np.allclose(found[layer].mean, rows.mean(0), atol=1e-12)
        assert np.allclose(found[layer].second, second, atol=1e-12)


def test_a_mask_weighs_each_position_by_its_share_of_the_unit(encoder: Encoder) -> None:
    one = style(1)
    mask = torch.zeros(32, 48).double()
    mask[:, :21] = 1
    found = moments(encoder, StylePicture(one.rgb, mask, 1, ""))
    features = encoder(one.rgb[None], LAYERS)
    for step, layer in ((1, "conv1_1"), (4, "conv3_1"), (16, "conv5_1")):
        rows = features[layer][0]
        first, total = np.zeros(len(rows)), 0.0
        for i in range(rows.shape[1]):
            for j in range(rows.shape[2]):
                share = mask[i * step : (i + 1) * step, j * step : (j + 1) * step].mean().item()
                first += share * rows[:, i, j].numpy()
                total += share
        assert np.allclose(found[layer].mean, first / total, atol=1e-12)


def test_what_a_mask_hides_matters_only_as_far_as_units_see(encoder: Encoder) -> None:
    one = style(1, size=(16, 240))
    mask = torch.zeros(16, 240).double()
    mask[:, :80] = 1
    other = one.rgb.clone()
    other[:, :, 160:] = random(3, 16, 80, seed=9)
    a, b = (moments(encoder, StylePicture(p, mask, 1, ""), longest=240) for p in (one.rgb, other))
    for layer in LAYERS:
        assert torch.allclose(a[layer].second, b[layer].second, atol=1e-12)


def test_a_blend_is_the_weighted_mean_of_its_pictures_moments(encoder: Encoder) -> None:
    a, b = style(1, weight=0.6), style(2, size=(48, 24), weight=0.4)
    both, (first, second) = moments(encoder, a, b), (moments(encoder, s) for s in (a, b))
    for layer in LAYERS:
        mean = 0.6 * first[layer].mean + 0.4 * second[layer].mean
        gram = 0.6 * first[layer].second + 0.4 * second[layer].second
        assert torch.allclose(both[layer].mean, mean, atol=1e-12)
        assert torch.allclose(both[layer].second, gram, atol=1e-12)


def test_the_longest_side_sets_the_size_at_which_a_style_is_seen(encoder: Encoder) -> None:
    one = style(1, size=(32, 48))
    small = StylePicture(resize(one.rgb, (16, 24)), torch.ones(16, 24).double(), 1, "")
    found, wanted = moments(encoder, one, longest=24), moments(encoder, small, longest=24)
    for layer in LAYERS:
        assert torch.allclose(found[layer].second, wanted[layer].second, atol=1e-12)


def check_moments(value: Moments) -> None:
    """Moments that pictures can have: of something, and with no variance below 0."""
    scale = value.second.diagonal().max()
    assert scale > 0
    assert torch.linalg.eigvalsh(value.covariance).min() >= -1e-9 * scale
    assert torch.allclose(value.second, value.second.T)


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (500, 2)])
def test_a_style_may_have_any_size(encoder: Encoder, size: tuple[int, int]) -> None:
    for value in moments(encoder, style(1, size=size), longest=40).values():
        check_moments(value)


def test_a_style_of_a_single_visible_pixel_has_moments(encoder: Encoder) -> None:
    mask = torch.zeros(32, 48).double()
    mask[31, 47] = 1
    for longest in (8, 48, 100):
        for value in moments(
            encoder, StylePicture(style(1).rgb, mask, 1, ""), longest=longest
        ).values():
            check_moments(value)


def test_the_color_of_a_blend_is_that_of_its_visible_pixels() -> None:
    mask = torch.zeros(32, 48).double()
    mask[:, :20] = 1
    a, b = StylePicture(random(3, 32, 48, seed=1), mask, 3, ""), style(2, weight=1)
    found = style_color([a, b])
    wanted = 0.75 * a.rgb[:, :, :20].mean((1, 2)) + 0.25 * b.rgb.mean((1, 2))
    # Colors are told from a copy of fixed size, which enlarging blurs a little at the mask's edge.
    assert torch.allclose(found.mean, wanted, atol=0.01)


def test_colors_of_a_large_style_are_those_of_its_small_copy() -> None:
    smooth = functional.interpolate(random(1, 3, 6, 9), (700, 1050), mode="bilinear")[0]
    whole = color_moments(smooth, torch.ones(700, 1050))
    found = style_color([StylePicture(smooth, torch.ones(700, 1050).double(), 1, "")])
    assert torch.allclose(found.mean, whole.mean, atol=1e-3)
    assert torch.allclose(found.second, whole.second, atol=2e-3)


def muted(*size: int, seed: int, low: float) -> Tensor:
    return low + 0.2 * random(3, *size, seed=seed)


@pytest.mark.parametrize(("color", "kept"), [("content", slice(0, 3)), ("luminance", slice(1, 3))])
def test_repainted_styles_have_the_palette_of_the_region(color: str, kept: slice) -> None:
    photo, region = muted(20, 20, seed=1, low=0.5), torch.zeros(20, 20).double()
    region[:, :10] = 1
    look = StylePicture(muted(32, 48, seed=2, low=0.3), torch.ones(32, 48).double(), 2, "look")
    (found,) = with_colors([look], photo, region, color=color)
    assert (found.weight, found.source) == (2, "look")
    assert torch.equal(found.mask, look.mask)
    wanted = color_moments(rgb_to_lab(photo), region)
    seen = color_moments(rgb_to_lab(found.rgb), found.mask)
    assert torch.allclose(seen.mean[kept], wanted.mean[kept], atol=0.05)
    spread = wanted.covariance.diagonal().sqrt()
    assert torch.allclose(seen.covariance.diagonal().sqrt()[kept], spread[kept], rtol=0.15)


def test_luminance_leaves_the_lightness_of_the_style() -> None:
    photo = muted(20, 20, seed=1, low=0.5)
    look = StylePicture(muted(32, 48, seed=2, low=0.3), torch.ones(32, 48).double(), 1, "")
    (found,) = with_colors([look], photo, torch.ones(20, 20).double(), color="luminance")
    assert (rgb_to_lab(found.rgb)[0] - rgb_to_lab(look.rgb)[0]).abs().max() < 0.05


def test_color_style_leaves_the_styles_as_they_are() -> None:
    look = style(1)
    found = with_colors([look], random(3, 4, 4), torch.ones(4, 4).double(), color="style")
    assert found == [look]


def test_repainting_leaves_the_picture_that_was_given_alone() -> None:
    look = style(1)
    before = look.rgb.clone()
    with_colors([look], random(3, 9, 9), torch.ones(9, 9).double(), color="content")
    assert torch.equal(look.rgb, before)


def test_the_variation_of_colors_is_that_of_what_their_light_leaves() -> None:
    one, other = style(1), style(2)
    rgb, mask = one.rgb, one.mask
    same = replace(one, rgb=rgb.mean(0, keepdim=True).expand(3, -1, -1), varied={})
    side = max(rgb.shape[1:])
    chroma = rgb - rgb.mean(0)
    assert one.color_variation(side) == pytest.approx(float(variation(chroma, mask)))
    assert same.color_variation(side) == pytest.approx(0, abs=1e-9)
    assert color_share([same], side) == pytest.approx(0, abs=1e-9)
    assert color_share([replace(one, rgb=0 * rgb, varied={})], side) == 0
    parts = [(s.color_variation(9), s.variation(9)) for s in (one, other)]
    wanted = (3 * parts[0][0] + parts[1][0]) / (3 * parts[0][1] + parts[1][1])
    assert color_share([weighing(one, 3.0), other], 9) == pytest.approx(wanted)


def test_the_variation_of_a_picture_is_taken_once_whatever_it_weighs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, taken = style(1), []

    def counted(*arguments: Tensor) -> Tensor:
        taken.append(arguments)
        return variation(*arguments)

    monkeypatch.setattr("layered_nst.styles.style.variation", counted)
    other = weighing(one, 3.0)
    assert style_variation([one, other], 20) == other.variation(20) == one.variation(20)
    assert color_share([one, other], 20) == one.color_variation(20) / one.variation(20)
    assert len(taken) == 2  # of all channels, and of their light
    assert one.variation(30) != one.variation(20)
    assert len(taken) == 4
    repainted = one.repainted(color_moments(rgb_to_lab(one.rgb / 2) / 100, one.mask), slice(0, 3))
    assert repainted.variation(20) != one.variation(20)
