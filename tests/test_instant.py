"""Pictures painted at once: moments carried, strips without seams, odd pictures, odd weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from workbench import lay_out, photo, run

from layered_nst import apply, check
from layered_nst.errors import ModelError
from layered_nst.instant.drawing import draw, frozen
from layered_nst.instant.grain import GRAIN, PERIOD, grained
from layered_nst.instant.network import (
    DEFAULT_FORM,
    LAYERS,
    Form,
    Painter,
    blocks,
    coarse_colors,
    enlarged_and_convolved,
    smooth,
)
from layered_nst.instant.painter_files import load_painter, write_painter
from layered_nst.instant.painting import (
    Asked,
    WholeSight,
    border,
    carry,
    moments_of,
    painted,
    shares_of,
    strips,
)
from layered_nst.instant.recoloring import LARGEST_GAIN as COLOR_GAIN
from layered_nst.instant.recoloring import color_sums, recolored
from layered_nst.instant.transport import LARGEST_GAIN, Carriers, carriers
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting.problem import PaintedRegion
from layered_nst.picture import read_picture
from layered_nst.strategies.at_once import amount_of
from layered_nst.styles.colors import color_moments
from layered_nst.styles.moments import columns, region_moments

FORM = Form((12, 10, 8, 6), (1, 1, 0, 1))


@pytest.fixture(scope="module")
def light() -> Encoder:
    return load_encoder("light")


@pytest.fixture(scope="module")
def painter(light: Encoder) -> Painter:
    """A small one that draws something, and not the same for all styles."""
    torch.manual_seed(3)
    made = Painter(FORM, [light.width(layer) for layer in LAYERS])
    for part in (made.last, *made.modulate):
        torch.nn.init.normal_(part.weight, std=0.05)
    return made.requires_grad_(False).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Path()


def rows_of(seed: int, count: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + mixing[0]


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows.mean(0)[None], (rows.T @ rows / len(rows))[None]


def halves(height: int, width: int, count: int = 2) -> Tensor:
    """Upright bands of equal width."""
    band = torch.arange(width) * count // width
    return F.one_hot(band, count).T[:, None].expand(count, height, width).float().contiguous()


def asked_of(encoder: Encoder, styles: Tensor, amount: float = 1.0) -> Asked:
    """Moments of style pictures (R, 3, H, W)."""
    found = []
    for style in styles:
        features = encoder(style[None], LAYERS)
        shares = shares_of(encoder, torch.ones(1, *style.shape[1:]))
        found.append(moments_of(features, shares.columns))
    targets = {
        layer: tuple(torch.cat([part[layer][k] for part in found]) for k in (0, 1))
        for layer in LAYERS
    }
    return Asked(targets, torch.full((len(styles),), amount))  # type: ignore[arg-type]


def test_a_region_is_carried_to_the_moments_of_its_style() -> None:
    own, style = rows_of(0, 4000, 6) + 3 * torch.randn(4000, 6), rows_of(1, 4000, 6)
    by = carriers(*moments(own), *moments(style), count=torch.tensor([1e9]), amount=torch.ones(1))
    carried = (own @ by.matrix[0].T + by.offset[0]).numpy()
    assert np.allclose(carried.mean(0), style.mean(0), atol=1e-3)
    wanted = np.cov(style.numpy().T)
    # A sixteenth of the style counts as there already, which lowers what is carried by a little.
    assert np.abs(np.cov(carried.T) - wanted).max() < 0.2 * np.abs(wanted).max()


def test_one_channel_is_stretched_by_the_ratio_of_the_deviations() -> None:
    own, style = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.0]])
    by = carriers(*moments(own), *moments(style), count=torch.tensor([1e9]), amount=torch.ones(1))
    expected = 0.5 / (1 + 0.25 / LARGEST_GAIN**2) ** 0.5
    assert float(by.matrix) == pytest.approx(expected, rel=5e-3)
    assert float(by.offset) == pytest.approx(1.5 - expected, rel=5e-3)


def test_transport_is_the_symmetric_map_of_two_covariances() -> None:
    own, style = rows_of(2, 3000, 5), rows_of(4, 3000, 5)
    by = carriers(*moments(own), *moments(style), count=torch.tensor([1e9]), amount=torch.ones(1))
    matrix = by.matrix[0].double()
    assert torch.allclose(matrix, matrix.T, atol=1e-4)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0
    # T Σ T = Σ*, with the share of Σ* that limits the gain.
    a, b = np.cov(own.numpy().T), np.cov(style.numpy().T)
    left = matrix.numpy() @ (a + b / LARGEST_GAIN**2) @ matrix.numpy()
    assert np.abs(left - b).max() < 0.02 * np.abs(b).max()


def test_no_direction_is_drawn_out_more_than_the_largest_gain() -> None:
    own, style = 1e-3 * rows_of(0, 500, 4), rows_of(1, 500, 4)
    by = carriers(*moments(own), *moments(style), count=torch.tensor([1e9]), amount=torch.ones(1))
    spread = own - own.mean(0)
    carried, wanted = (spread @ by.matrix[0].T).square().sum(), (style - style.mean(0)).square()
    assert float(carried) < float(wanted.sum())
    # Of what is in the style in the same measure, at most so many times as much.
    assert float(torch.linalg.eigvalsh(by.matrix[0]).max()) <= 1e3


def test_nothing_asked_is_nothing_carried() -> None:
    own, style = rows_of(0, 500, 4), rows_of(1, 500, 4)
    by = carriers(*moments(own), *moments(style), count=torch.tensor([9.0]), amount=torch.zeros(1))
    assert torch.allclose(by.matrix[0], torch.eye(4), atol=1e-5)
    assert float(by.offset.abs().max()) < 1e-4


def test_a_style_of_one_color_moves_the_mean_and_leaves_the_drawing() -> None:
    own, style = rows_of(0, 500, 4), torch.full((500, 4), 2.0)
    by = carriers(*moments(own), *moments(style), count=torch.tensor([1e9]), amount=torch.ones(1))
    carried = own @ by.matrix[0].T + by.offset[0]
    assert torch.allclose(carried.mean(0), torch.full((4,), 2.0), atol=1e-2)
    assert torch.allclose(carried.std(0), own.std(0), rtol=0.1)


def test_a_region_of_few_positions_borrows_from_the_picture() -> None:
    small, large, style = rows_of(0, 3, 4), rows_of(5, 5000, 4), rows_of(1, 500, 4)
    pair = [torch.cat(parts) for parts in zip(moments(small), moments(large), strict=True)]
    wanted = [part.repeat(2, *[1] * (part.dim() - 1)) for part in moments(style)]
    by = carriers(*pair, *wanted, count=torch.tensor([3.0, 5000.0]), amount=torch.ones(2))
    alone = carriers(*moments(small), *moments(style), count=torch.tensor([3.0]),
                     amount=torch.ones(1))  # fmt: skip
    far = (alone.matrix[0] - by.matrix[1]).norm()
    assert float((by.matrix[0] - by.matrix[1]).norm()) < 0.7 * float(far)


def test_carrying_mixes_regions_as_a_loop_over_positions_does() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 3, 4, 5)
    masks = torch.rand(2, 4, 5)
    masks = masks / masks.sum(0) * 0.9  # a tenth belongs to no region
    masks[:, :2, :2] = torch.tensor([1.0, 0.0])[:, None, None]
    by = carriers(
        torch.randn(2, 3), torch.eye(3).repeat(2, 1, 1) * 4,
        torch.randn(2, 3), torch.eye(3).repeat(2, 1, 1) * 9,
        count=torch.tensor([50.0, 50.0]), amount=torch.tensor([1.0, 0.5]),
    )  # fmt: skip
    found = carry(features, columns(masks), by)
    for i in range(4):
        for j in range(5):
            f = features[0, :, i, j]
            expected = f * (1 - masks[:, i, j].sum())
            for r in range(2):
                expected = expected + masks[r, i, j] * (by.matrix[r] @ f + by.offset[r])
            assert torch.allclose(found[0, :, i, j], expected, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 14), (7, 13)])
@pytest.mark.parametrize(("places", "mode"), [(blocks, "nearest"), (smooth, "bilinear")])
def test_convolving_what_is_not_yet_enlarged_is_convolving_what_is(
    size: tuple[int, int], places: Callable[[Tensor], Tensor], mode: str
) -> None:
    torch.manual_seed(0)
    below, weight = torch.randn(2, 5, 4, 7).double(), torch.randn(6, 5, 3, 3).double()
    enlarged = F.interpolate(below, scale_factor=2, mode=mode)
    expected = F.conv2d(F.pad(enlarged, (1, 1, 1, 1), "replicate"), weight)
    found = enlarged_and_convolved(below, places(weight), size)
    assert torch.allclose(found, expected[:, :, : size[0], : size[1]], atol=1e-12)


@pytest.mark.parametrize("depths", [(1, 1, 1, 0), (0, 2, 2, 0), (1, 1, 0, 1)])
@pytest.mark.parametrize("size", [(64, 64), (97, 83), (1, 1), (1, 9), (3, 5), (150, 1001)])
def test_what_is_drawn_in_bands_and_squares_is_what_the_network_gives(
    light: Encoder, depths: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(4)
    form = Form((12, 10, 8, 6), depths)
    network = Painter(form, [light.width(layer) for layer in LAYERS]).requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    colors = torch.rand(1, 3, *size)
    features = light(colors, LAYERS)
    carried = [features[layer] for layer in LAYERS]
    modulation = [
        torch.rand(1, 2 * width, *part.shape[2:])
        for width, part in zip(form.widths, carried, strict=False)
    ]
    expected = network(colors, carried, modulation)[0]
    drawn = draw(frozen(network), colors, carried, lambda n, rows: modulation[n][:, :, rows])
    assert drawn.shape == expected.shape
    assert torch.allclose(drawn, expected, atol=2e-5 * float(expected.abs().max()))


def test_features_carried_before_their_measure_are_those_carried_after_it() -> None:
    torch.manual_seed(0)
    features, measure = torch.randn(1, 4, 6, 5).abs(), torch.randn(4, 4)
    masks = torch.rand(2, 6, 5)
    masks = masks / masks.sum(0) * 0.8
    masks[:, :3] = torch.tensor([0.0, 1.0])[:, None, None]
    by = Carriers(torch.randn(2, 4, 4), torch.randn(2, 4))
    read = columns(masks)
    raw, _ = region_moments(features, read)
    expected = carry(torch.einsum("ij,bjhw->bihw", measure, features), read, by)
    found = carry(features, read, by.reading(measure, raw, torch.float32))
    assert torch.allclose(found, expected, atol=1e-5)
    # In bfloat16 no region's mean is moved by how the map is rounded.
    narrow = by.reading(measure, raw, torch.bfloat16)
    for region in range(2):
        wanted = by.matrix[region] @ measure @ raw[region] + by.offset[region]
        rounded = narrow.matrix[region].float() @ raw[region] + narrow.offset[region].float()
        assert torch.allclose(rounded, wanted, rtol=1e-2, atol=1e-2)


def test_shares_of_halved_masks_are_means_over_what_each_position_was_pooled_from(
    light: Encoder,
) -> None:
    masks = halves(48, 64, 3) * torch.rand(48, 64)
    for layer, stride in (("conv2_1", 2), ("conv3_1", 4), ("conv4_1", 8)):
        cells = masks.unflatten(1, (-1, stride)).unflatten(3, (-1, stride))
        assert torch.allclose(shares_of(light, masks).masks[layer], cells.mean((2, 4)), atol=1e-6)


def test_coarse_colors_are_the_means_of_cells_between_their_centers() -> None:
    colors = torch.rand(1, 3, 24, 32)
    coarse = coarse_colors(colors)
    means = colors.unflatten(2, (3, 8)).unflatten(4, (4, 8)).mean((3, 5))
    # Around a cell's center its own color counts 15/16 along each side.
    share = (0.5 + 3.5) / 8, (0.5 + 4.5) / 8
    assert torch.allclose(coarse[:, :, 0, 0], means[:, :, 0, 0], atol=1e-6)
    between = means[:, :, 0, 0].lerp(means[:, :, 0, 1], 0.5 / 8)
    assert torch.allclose(coarse[:, :, 0, 4], between, atol=1e-6), share


def test_strips_are_painted_as_the_whole(light: Encoder, painter: Painter) -> None:
    torch.manual_seed(1)
    height, width = 210, 150
    picture = F.interpolate(torch.rand(1, 3, 30, 30), (height, width), mode="bicubic")[0].clamp(
        0, 1
    )
    masks = halves(height, width, 3)
    masks = F.avg_pool2d(F.pad(masks[None], (4, 4, 4, 4), "replicate"), 9, 1)[0]
    asked = asked_of(light, torch.rand(3, 3, 40, 40))
    sight = WholeSight(painter, light, picture, masks, asked, frozen(painter))
    (everything,) = strips((height, width), height * width, border(painter, light))
    parts = strips((height, width), 64 * 64, border(painter, light))
    assert len(parts) > 4
    settled = sight.settle(parts)
    whole = sight.paint(everything, settled)
    for tile in parts:
        part = sight.paint(tile, settled)
        assert torch.allclose(part, whole[:, *tile.owned], atol=1e-4)
    assert float((whole - picture).abs().mean()) > 0.01  # something was painted
    # Moments of strips add up to those of the whole but for rounding.
    again = painted(painter, light, picture, masks, asked)
    assert float((whole - again).abs().mean()) < 5e-4


def test_strips_own_every_pixel_once() -> None:
    size = (211, 149)
    owned = torch.zeros(size)
    for tile in strips(size, 64 * 64, 48):
        owned[tile.owned] += 1
        assert tile.read[0].start % 16 == tile.read[1].start % 16 == 0
    assert bool((owned == 1).all())


def test_no_pixel_sees_farther_than_the_border(light: Encoder, painter: Painter) -> None:
    """Measured: a changed pixel changes nothing beyond, once the moments are settled."""
    reach = border(painter, light)
    picture = torch.full((3, 16, 2 * reach + 32), 0.4)
    features = light(picture[None], LAYERS)
    torch.manual_seed(2)
    modulation = [torch.zeros(1, 2 * width, 1, 1) for width in FORM.widths[:3]]

    def drawn(seen: Tensor) -> Tensor:
        features = light(seen[None], LAYERS)
        return painter(seen[None], [features[layer] for layer in LAYERS], modulation)

    other = picture.clone()
    other[:, 8, reach + 16] = 1.0
    assert {k: v.shape for k, v in features.items()}
    changed = (drawn(picture) - drawn(other)).abs().amax((0, 1, 2)).nonzero()[:, 0]
    assert len(changed)
    assert int(changed.min()) > 16
    assert int(changed.max()) < 2 * reach + 16


def test_grain_lies_on_plain_ground_alone_and_is_the_same_in_every_part() -> None:
    picture = torch.full((3, 40, 60), 0.5)
    picture[:, :, 30:] = torch.rand(3, 40, 30)
    whole = grained(picture, torch.ones(40, 60))
    assert 0 < float((whole - picture)[:, :, :29].abs().max()) <= GRAIN
    assert float((whole - picture)[:, :, 32:].abs().mean()) < 1e-3
    part = grained(picture[:, 10:, 5:], torch.ones(30, 55), corner=(10, 5))
    assert torch.equal(part[:, 1:, 1:], whole[:, 11:, 6:])
    assert torch.equal(grained(picture, torch.zeros(40, 60)), picture)
    flat = grained(torch.full((3, PERIOD + 20, 20), 0.5), torch.ones(PERIOD + 20, 20))
    assert torch.equal(flat[:, 1:19, 1:19], flat[:, PERIOD + 1 : PERIOD + 19, 1:19])


ODD = {
    "constant": torch.full((3, 33, 47), 0.3),
    "black": torch.zeros(3, 40, 40),
    "one pixel": torch.tensor([0.2, 0.5, 0.9])[:, None, None],
    "one row": torch.rand(3, 1, 90, generator=torch.Generator().manual_seed(0)),
    "16 px": torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)),
    "gray": torch.rand(1, 50, 31, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1),
}


def colored(seed: int, height: int = 20, width: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    colors = 0.08 * torch.randn(3, height, width, generator=generator)
    return (0.5 + colors.cumsum(0) + 0.1 * torch.rand(3, 1, 1, generator=generator)).clamp(0, 1)


def test_colors_of_regions_are_what_each_region_alone_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layered_nst.instant.recoloring.PART", 64)  # many parts
    picture = colored(0)
    masks = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1)) / 3
    count, mean, second = color_sums(picture, list(masks))
    for region, mask in enumerate(masks):
        expected = color_moments(picture, mask)
        assert float(count[region]) == pytest.approx(float(expected.weight), rel=1e-5)
        assert torch.allclose(mean[region].double(), expected.mean, atol=1e-5)
        assert torch.allclose(second[region].double(), expected.second, atol=1e-5)


def test_drawn_regions_take_the_colors_that_are_wanted() -> None:
    masks, styles = halves(20, 30), [colored(2), 0.3 + 0.5 * colored(3)]
    ones = torch.ones(20, 30)
    wanted = [color_moments(style, ones) for style in styles]
    targets = [torch.stack([getattr(m, k) for m in wanted]).float() for k in ("mean", "second")]
    found = recolored(colored(4), list(masks), *targets)
    for region, mask in enumerate(masks):
        seen, aim = color_moments(found, mask), wanted[region]
        assert torch.allclose(seen.mean, aim.mean, atol=0.01)
        # Along no direction more than all of it, nor less than what the limit leaves.
        share = torch.linalg.eigvals(seen.covariance @ aim.covariance.inverse()).real.sqrt()
        assert 0.3 < float(share.min()) <= float(share.max()) < 1.25


def test_what_has_its_colors_is_calmer_by_the_limit_and_what_is_no_regions_stays() -> None:
    picture, ones = colored(5), torch.ones(20, 30)
    own = color_moments(picture, ones)
    targets = [part[None].float() for part in (own.mean, own.second)]
    calmer = recolored(picture.clone(), [ones], *targets)
    share = color_moments(calmer, ones).covariance.trace() / own.covariance.trace()
    assert float(share) == pytest.approx(1 / (1 + COLOR_GAIN**-2), rel=0.02)
    left = halves(20, 30)[0]
    other = [part[None].float() for part in (own.mean / 2, own.second / 4)]
    found = recolored(picture.clone(), [left], *other)
    assert torch.equal(found[:, :, 15:], picture[:, :, 15:])
    assert not torch.equal(found[:, :, :15], picture[:, :, :15])


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_one_color_is_recolored_in_numbers(value: float) -> None:
    plain, ones = torch.full((3, 1, 5), value), torch.ones(1, 5)
    for wanted in (colored(6), torch.zeros(3, 4, 4)):
        aim = color_moments(wanted, torch.ones_like(wanted[0]))
        targets = [part[None].float() for part in (aim.mean, aim.second)]
        found = recolored(plain.clone(), [ones, 0 * ones], *[t.repeat(2, *[1] * (t.dim() - 1))
                          for t in targets])  # fmt: skip
        assert bool(found.isfinite().all())
        assert torch.allclose(found.mean((1, 2)).double(), aim.mean, atol=0.02)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("style", ["noise", "one color", "black"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_odd_pictures_are_painted_in_numbers(
    light: Encoder, painter: Painter, name: str, style: str, precision: str
) -> None:
    picture = ODD[name]
    shown = {
        "noise": torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1)),
        "one color": torch.tensor([0.9, 0.1, 0.1])[None, :, None, None].expand(1, 3, 24, 24),
        "black": torch.zeros(1, 3, 24, 24),
    }[style]
    masks = torch.ones(1, *picture.shape[1:])
    result = painted(painter, light, picture, masks, asked_of(light, shown), precision=precision)
    assert result.shape == picture.shape
    assert bool(result.isfinite().all())
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1


def test_a_region_of_nine_pixels_and_twenty_regions_are_painted(
    light: Encoder, painter: Painter
) -> None:
    picture = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    few = torch.zeros(2, 40, 60)
    few[1, 20:23, 30:33] = 1
    few[0] = 1 - few[1]
    many = torch.cat([halves(40, 60, 19), torch.zeros(1, 40, 60)])  # one of them is empty
    for masks in (few, many):
        styles = torch.rand(len(masks), 3, 20, 20, generator=torch.Generator().manual_seed(1))
        other = styles.clone()
        other[1] = styles[1].flip(0) / 2
        first, second = (
            painted(painter, light, picture, masks, asked_of(light, shown))
            for shown in (styles, other)
        )
        assert bool(first.isfinite().all())
        assert float(first.amin()) >= 0
        assert float(first.amax()) <= 1
        changed = (second - first).abs().mean(0)
        beside = F.max_pool2d(masks[1][None], 33, 1, 16)[0] > 0  # what a coarse position sees
        assert float(changed[masks[1] > 0].mean()) > 0.01, "its own style is what it gets"
        assert float(changed[masks[1] > 0].mean()) > 5 * float(changed[~beside].mean())


def test_content_says_how_far_a_region_is_carried() -> None:
    mask = torch.ones(2, 2)
    assert amount_of(PaintedRegion("a", mask, strength=0.3)) == 1
    assert amount_of(PaintedRegion("a", mask, content=4)) == pytest.approx(0.5)
    assert amount_of(PaintedRegion("a", mask, content=0.1)) == 1


def test_a_file_gives_the_painter_back(light: Encoder, painter: Painter, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    write_painter(path, painter, light, notes={"step": 1})
    first = path.read_bytes()
    write_painter(path, painter, light, notes={"step": 1})
    assert path.read_bytes() == first
    loaded = load_painter(path, light)
    assert loaded.form == FORM
    for name, value in painter.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


def _shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-50] ^= 0x10
    path.write_bytes(data)


def _unsealed(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors, path, metadata={"format": "layered-nst painter 1"})


def _foreign(path: Path) -> None:
    save_file({"a": torch.ones(2)}, path)


def _newer(path: Path) -> None:
    save_file({"a": torch.ones(2)}, path, metadata={"format": "layered-nst painter 7"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_shortened, "is broken, cut short"),
        (_flipped, "is damaged; its data is not what was stored"),
        (_unsealed, "what it says about itself is damaged"),
        (_foreign, "is no painter; `layered-nst painter train` writes such files"),
        (_newer, "written as 'layered-nst painter 7'"),
        (Path.unlink, "no such file of a painter's weights"),
    ],
)
def test_spoiled_weights_are_told_in_a_sentence(
    light: Encoder, painter: Painter, tmp_path: Path, spoil: object, said: str
) -> None:
    path = tmp_path / "own.safetensors"
    write_painter(path, painter, light, notes={})
    spoil(path)  # type: ignore[operator]
    with pytest.raises(ModelError, match=said) as caught:
        load_painter(path, light)
    assert str(path) in str(caught.value)


def test_a_painter_serves_no_other_encoder(
    light: Encoder, painter: Painter, tmp_path: Path
) -> None:
    write_painter(tmp_path / "own.safetensors", painter, light, notes={})
    with pytest.raises(ModelError, match="was taught with the encoder light, whose weights"):
        load_painter(tmp_path / "own.safetensors", narrow_encoder())


def test_the_bundled_painter_is_small_and_of_its_form(light: Encoder) -> None:
    painter = load_painter("instant", light)
    assert painter.form == DEFAULT_FORM
    assert sum(value.numel() for value in painter.parameters()) * 2 < 3_000_000


def test_a_recipe_is_painted_at_once_and_says_by_what(folder: Path) -> None:
    told: list[dict[str, object]] = []
    result = apply("look.yaml", quality="instant", on_progress=lambda s: told.append(s.as_dict()))
    assert [(step["step"], step["steps"], step["done"]) for step in told] == [(1, 1, 1.0)]
    assert result.manifest["models"]["painter"]["name"] == "instant"
    again = apply("look.yaml", quality="instant", cache=False)
    assert torch.equal(result.rgb, again.rgb)
    assert check("look.yaml", quality="instant").seconds < 60


def test_protected_pixels_are_the_photos(folder: Path) -> None:
    result = apply(
        "look.yaml",
        quality="instant",
        size=64,
        overrides=["regions.sky.style=", "regions.sky.protect=true", "regions.sky.feather=0"],
    )
    kept = result.masks["sky"] == 1
    assert torch.equal(result.rgb[:, kept], read_picture(photo()).rgb[:, kept])
    assert float((result.rgb - read_picture(photo()).rgb)[:, ~kept].abs().mean()) > 0.01


def test_strength_is_a_way_from_the_photo_to_the_style(folder: Path) -> None:
    def away(strength: float) -> float:
        keys = [f"regions.{name}.strength={strength}" for name in ("sky", "ground")]
        rgb = apply("look.yaml", quality="instant", size=64, overrides=keys).rgb
        return float((rgb - read_picture(photo()).rgb).abs().mean())

    found = [away(strength) for strength in (0.0, 0.3, 0.6, 1.0)]
    assert found == sorted(found)


def test_luminance_keeps_the_chroma_of_the_photo(folder: Path) -> None:
    keys = [f"regions.{name}.color=luminance" for name in ("sky", "ground")]
    plain = apply("look.yaml", quality="instant", size=64)
    kept = apply("look.yaml", quality="instant", size=64, overrides=keys)

    def chroma(rgb: Tensor) -> Tensor:
        return rgb - rgb.mean(0)

    own = chroma(read_picture(photo()).rgb)
    assert (chroma(kept.rgb) - own).abs().mean() < 0.5 * (chroma(plain.rgb) - own).abs().mean()


def test_a_library_is_enough_without_its_pictures(folder: Path) -> None:
    for name in ("stripes", "dots"):
        words = ("-o", "team.safetensors", "--scale", "48,64", "--encoder", "light")
        built = run("styles", "build", name, f"{name}.png", *words, "--no-pictures")
        assert built.code == 0, built.err
    Path("stripes.png").unlink()
    Path("dots.png").unlink()
    keys = [
        "regions.ground.style={library: team.safetensors/stripes}",
        "regions.sky.style={library: team.safetensors/dots}",
    ]
    result = apply("look.yaml", quality="instant", overrides=keys)
    assert bool(result.rgb.isfinite().all())


def test_an_own_painter_is_named_by_its_path(
    folder: Path, light: Encoder, painter: Painter
) -> None:
    write_painter(Path("own.safetensors"), painter, light, notes={})
    result = apply("look.yaml", quality="instant", overrides=["painter=own.safetensors"])
    assert result.manifest["models"]["painter"]["name"] == "own"
    assert not torch.equal(result.rgb, apply("look.yaml", quality="instant").rgb)
    _flipped(Path("own.safetensors"))
    ran = run("apply", "look.yaml", "--quality", "instant", "--set", "painter=own.safetensors")
    assert ran.code == 1
    assert "is damaged" in ran.error


def test_a_named_encoder_that_the_painter_does_not_know_is_not_in_its_way(folder: Path) -> None:
    result = apply("look.yaml", quality="instant", overrides=["encoder=hed-vgg16"])
    assert result.manifest["models"]["encoder"]["name"] == "light"


def test_a_report_and_layers_of_what_was_painted_at_once(folder: Path) -> None:
    ran = run("apply", "look.yaml", "--quality", "instant", "-o", "out.png", "--report", "site",
              "--layers", "out.ora")  # fmt: skip
    assert ran.code == 0, ran.err
    assert Path("site/index.html").is_file()
    assert Path("out.ora").is_file()
