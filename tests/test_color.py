"""Colors against scikit-image, scipy and numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import OnlyFloat32, there
from scipy.linalg import sqrtm
from skimage import color as reference
from torch import Tensor

from layered_nst.machine import device
from layered_nst.painting.problem import PaintedRegion
from layered_nst.picture.lab import lab_to_rgb, restore_chroma, rgb_to_lab
from layered_nst.regions.build import RegionMasks
from layered_nst.strategies.problems import split
from layered_nst.styles.colors import (
    LARGEST_GAIN,
    color_moments,
    move_colors,
    transport,
    with_light_of,
)
from layered_nst.styles.style import StylePicture


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def tinted(seed: int) -> Tensor:
    """A picture whose channels hang together, in gamut."""
    mixing = random(3, 3, seed=seed)
    return torch.einsum("ij,jhw->ihw", mixing / mixing.sum(1, keepdim=True), random(3, 20, 30))


CORNERS = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).double()


def test_lab_is_that_of_scikit_image() -> None:
    picture = torch.cat([random(3, 12, 16), CORNERS.T[:, None].repeat(1, 12, 1)], 2)
    wanted = reference.rgb2lab(picture.permute(1, 2, 0).numpy())
    found = rgb_to_lab(picture).permute(1, 2, 0).numpy()
    assert np.abs(found - wanted).max() < 0.02


def test_white_black_and_grey_have_no_chroma() -> None:
    greys = torch.linspace(0, 1, 11, dtype=torch.float64).expand(3, 1, 11)
    lab = rgb_to_lab(greys)
    assert lab[1:].abs().max() < 0.01
    assert lab[0, 0, 0].item() == pytest.approx(0, abs=1e-9)
    assert lab[0, 0, -1].item() == pytest.approx(100, abs=1e-4)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_lab_and_back_is_the_same_picture(dtype: torch.dtype, within: float) -> None:
    picture = torch.cat([random(3, 12, 16), CORNERS.T[:, None].repeat(1, 12, 1)], 2).to(dtype)
    picture[:, 0] = picture[:, 0] / 255
    assert (lab_to_rgb(rgb_to_lab(picture)) - picture).abs().max() < within


def test_colors_outside_the_gamut_are_clamped() -> None:
    vivid = torch.tensor([50.0, 120.0, -120.0]).reshape(3, 1, 1)
    assert ((lab_to_rgb(vivid) >= 0) & (lab_to_rgb(vivid) <= 1)).all()


def test_colors_outside_the_gamut_keep_lightness_and_hue_and_lose_chroma() -> None:
    """A light yellow of L 96 came out at 85 where each channel was clipped by itself."""
    wanted = torch.tensor([[96.0, -20.0, 110.0], [50.0, 120.0, -120.0], [8.0, 60.0, 40.0]]).double()
    found = rgb_to_lab(lab_to_rgb(wanted.T[:, None]))[:, 0].T
    assert torch.allclose(found[:, 0], wanted[:, 0], atol=0.2)
    hues = [torch.atan2(lab[:, 2], lab[:, 1]) for lab in (found, wanted)]
    assert torch.allclose(*hues, atol=0.02)
    chroma = [lab[:, 1:].norm(dim=1) for lab in (found, wanted)]
    assert (chroma[0] < chroma[1]).all()
    # As much as fits: some channel is at its end.
    rgb = lab_to_rgb(wanted.T[:, None])[:, 0].T
    assert torch.minimum(rgb, 1 - rgb).amin(1).max() < 0.01


def test_restored_chroma_leaves_lightness_where_the_gamut_ends() -> None:
    light = torch.full((3, 4, 5), 0.97).double()
    photo = torch.tensor([0.9, 0.75, 0.1]).double()[:, None, None].expand(3, 4, 5)
    found = restore_chroma(light, photo, torch.ones(4, 5).double())
    assert (rgb_to_lab(found)[0] - rgb_to_lab(light)[0]).abs().max() < 0.2


def test_color_moments_are_those_of_numpy() -> None:
    picture, weight = random(3, 9, 11).float(), (2 * random(9, 11, seed=1) - 1).clamp(min=0).float()
    found = color_moments(picture, weight)
    rows, flat = picture.flatten(1).numpy().astype(float), weight.flatten().numpy().astype(float)
    assert found.mean.dtype == torch.float64
    assert np.allclose(found.mean, np.average(rows, axis=1, weights=flat), atol=1e-12)
    assert np.allclose(found.covariance, np.cov(rows, aweights=flat, ddof=0), atol=1e-12)


def test_the_map_is_the_closed_form_of_optimal_transport() -> None:
    weight = torch.ones(20, 30)
    source, target = (color_moments(tinted(seed), weight) for seed in (1, 2))
    matrix, offset = transport(source, target)
    floor = 1e-4 * np.eye(3)
    here, there = source.covariance.numpy() + floor, target.covariance.numpy() + floor
    root = sqrtm(here)
    inverse = np.linalg.inv(root)
    assert np.allclose(matrix, (inverse @ sqrtm(root @ there @ root) @ inverse).real, atol=1e-7)
    assert np.allclose(matrix @ source.mean + offset, target.mean, atol=1e-12)
    assert np.allclose(matrix, matrix.T, atol=1e-9)
    assert (np.linalg.eigvalsh(matrix) > 0).all()


def test_moved_colors_have_the_statistics_of_the_target() -> None:
    weight, picture = torch.ones(20, 30), random(3, 20, 30, seed=4)
    source, target = color_moments(picture, weight), color_moments(tinted(2), weight)
    moved = color_moments(move_colors(picture, source, target), weight)
    assert torch.allclose(moved.mean, target.mean, atol=1e-10)
    # The floor that keeps flat pictures stable costs next to nothing of the spread.
    assert torch.allclose(moved.covariance, target.covariance, atol=3e-4)


def test_the_amount_leads_from_the_picture_to_the_moved_one() -> None:
    weight, picture = torch.ones(20, 30), tinted(1)
    source, target = color_moments(picture, weight), color_moments(tinted(2), weight)
    whole = move_colors(picture, source, target)
    assert torch.equal(move_colors(picture, source, target, amount=0), picture)
    half = move_colors(picture, source, target, amount=0.5)
    assert torch.allclose(half, (picture + whole) / 2, atol=1e-12)
    assert torch.allclose(move_colors(picture, source, source), picture, atol=1e-9)


def test_flat_pictures_move_without_blowing_up() -> None:
    weight, flat = torch.ones(20, 30), torch.full((3, 20, 30), 0.3).double()
    lively = tinted(2)
    for picture, look in ((flat, lively), (lively, flat), (flat, flat + 0.4)):
        source, target = color_moments(picture, weight), color_moments(look, weight)
        moved = move_colors(picture, source, target)
        assert moved.isfinite().all()
        assert torch.allclose(moved.mean((1, 2)), look.mean((1, 2)), atol=1e-9)


def muted(seed: int) -> Tensor:
    """A picture of little chroma, so that any lightness near its own stays in gamut."""
    return 0.5 + 0.15 * (random(3, 10, 12, seed=seed) - 0.5)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-3), (torch.float64, 1e-8)])
def test_restored_chroma_is_the_photos_and_lightness_the_pictures(
    dtype: torch.dtype, within: float
) -> None:
    picture, photo = muted(1).to(dtype), muted(2).to(dtype)
    found = rgb_to_lab(restore_chroma(picture, photo, torch.ones(10, 12, dtype=dtype)))
    assert (found[1:] - rgb_to_lab(photo)[1:]).abs().max() < within
    assert (found[0] - rgb_to_lab(picture)[0]).abs().max() < within


def test_chroma_is_restored_by_amount() -> None:
    picture, photo = muted(1), muted(2)
    amount = torch.linspace(0, 1, 12, dtype=torch.float64).expand(10, 12)
    found, own, wanted = (
        rgb_to_lab(p)[1:] for p in (restore_chroma(picture, photo, amount), picture, photo)
    )
    assert (found - (own + amount * (wanted - own))).abs().max() < 1e-8


def test_pixels_of_no_amount_keep_their_exact_values() -> None:
    picture, photo = muted(1), muted(2)
    amount = torch.zeros(10, 12).double()
    assert torch.equal(restore_chroma(picture, photo, amount), picture)
    amount[:, 6:] = 1
    found = restore_chroma(picture, photo, amount)
    assert torch.equal(found[:, :, :6], picture[:, :, :6])
    assert not torch.equal(found[:, :, 6:], picture[:, :, 6:])


def test_restored_chroma_stays_a_picture_where_the_gamut_ends() -> None:
    picture, photo = random(3, 10, 12, seed=1), CORNERS.T[:, None].repeat(1, 10, 2)[:, :, :12]
    found = restore_chroma(picture, photo, torch.ones(10, 12).double())
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_no_color_is_drawn_out_beyond_the_largest_gain() -> None:
    """What a JPEG leaves of chroma in a gray sky would become a pattern."""
    weight = torch.ones(20, 30)
    gray = 0.6 + 0.1 * random(1, 20, 30) + 0.002 * (random(3, 20, 30, seed=1) - 0.5)
    source, target = color_moments(gray, weight), color_moments(tinted(2), weight)
    matrix, _ = transport(source, target)
    assert torch.linalg.eigvalsh(matrix).max() <= LARGEST_GAIN + 1e-9
    moved = move_colors(gray, source, target)
    assert torch.allclose(moved.mean((1, 2)), target.mean, atol=1e-9)
    before, after = ((p - p.mean(0)).flatten(1).std(1).max() for p in (gray, moved))
    assert after <= LARGEST_GAIN * before + 1e-9


def test_one_color_takes_on_the_light_and_dark_of_what_it_is_laid_on() -> None:
    weight, photo = torch.ones(20, 30), tinted(3)
    swatch = torch.tensor([0.8, 0.1, 0.1]).double()[:, None, None].expand(3, 20, 30)
    source, red = color_moments(photo, weight), color_moments(swatch, weight)
    moved = move_colors(photo, source, with_light_of(red, source))
    assert torch.allclose(moved.mean((1, 2)), red.mean, atol=1e-9)
    light, drawn = moved.mean(0).flatten(), photo.mean(0).flatten()
    assert torch.corrcoef(torch.stack([light, drawn]))[0, 1] > 0.95
    assert light.std() > 0.3 * drawn.std()
    # No hue but its own.
    assert (moved - moved.mean((1, 2), keepdim=True)).std(0).max() < 0.02
    lively = color_moments(tinted(4), weight)
    assert torch.equal(with_light_of(lively, source).second, lively.second)


def test_no_float64_is_asked_of_a_device_that_does_not_know_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo, mask = random(3, 9, 11).float(), random(9, 11, seed=1).float()
    shares = torch.stack([mask, 1 - mask])
    styles = [StylePicture(photo, mask, 1.0, name) for name in "ab"]
    region = PaintedRegion("r", torch.ones(9, 11), styles)
    source, target = color_moments(photo, mask), color_moments(1 - photo, mask)
    wanted = move_colors(photo, source, target)
    repainted = restore_chroma(photo, photo.flip(0), mask)
    parts = [part.mask for part in split(region, shares, area_exponent=0)]
    coverage = RegionMasks(("a", "b"), shares, ()).coverage
    monkeypatch.setattr(device, "WITHOUT_FLOAT64", ("meta",))
    with OnlyFloat32():
        away = there(photo)
        with pytest.raises(TypeError, match="knows no float64"):
            away.double()
        assert torch.equal(color_moments(away, there(mask)).second, source.second)
        moved = move_colors(away, source, target)
        assert moved.device.type == "meta"
        assert torch.equal(moved.cpu(), wanted)
        assert torch.equal(restore_chroma(away, away.flip(0), there(mask)).cpu(), repainted)
        found = split(replace(region, mask=there(region.mask)), there(shares), area_exponent=0)
        assert all(torch.equal(a.mask.cpu(), b) for a, b in zip(found, parts, strict=True))
        assert RegionMasks(("a", "b"), there(shares), ()).coverage == coverage
