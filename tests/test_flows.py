"""Styles that flow into one another: shares, targets, and no dead band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from torch import Tensor
from workbench import lay_out, run

from layered_nst import apply
from layered_nst.errors import RegionError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.painting.progress import region_losses
from layered_nst.recipe import Flow, Optimize
from layered_nst.scene.flows import shares_along, shares_by_masks
from layered_nst.strategies.problems import split
from layered_nst.styles.moments import Moments, blend, columns, region_moments
from layered_nst.styles.style import StyleBlend, StylePicture, style_moments

LEFT_TO_RIGHT = Flow(from_="left", to="right")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def style(seed: int, weight: float = 1.0) -> StylePicture:
    return StylePicture(random(3, 24, 20, seed=seed), torch.ones(24, 20), weight, f"style {seed}")


def region(mask: Tensor, *styles: StylePicture, **keys: float) -> PaintedRegion:
    return PaintedRegion("sky", mask, styles, **keys)


def objective(
    encoder: Encoder, regions: list[PaintedRegion], *, exponent: float = 1.0
) -> tuple[Objective, Tensor]:
    height, width = regions[0].mask.shape
    photo = random(3, height, width, seed=9)
    problem = Problem(photo, photo, photo, regions, torch.zeros(height, width))
    plan = make_plan(Optimize(area_exponent=exponent), (height, width))
    return Objective(encoder, problem, plan, (height, width)), photo[None]


def test_shares_run_evenly_from_one_side_of_the_region_to_the_other() -> None:
    mask = torch.zeros(10, 30)
    mask[2:8, 10:20] = 1
    shares = shares_along(LEFT_TO_RIGHT, mask, [1, 1])
    wanted = (torch.arange(10) + 0.5) / 10
    assert torch.allclose(shares[1, 5, 10:20], wanted)
    assert (shares[0, :, :10] == 1).all()
    assert (shares[1, :, 20:] == 1).all()


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("left", "right", (4, 0), (4, 8)),
        ("right", "left", (4, 8), (4, 0)),
        ("top", "bottom", (0, 4), (8, 4)),
        ("bottom", "top", (8, 4), (0, 4)),
        ("top-left", "bottom-right", (0, 0), (8, 8)),
        ("bottom-left", "top-right", (8, 0), (0, 8)),
    ],
)
def test_a_flow_goes_from_where_to_where_it_was_told(
    start: str, end: str, first: tuple[int, int], last: tuple[int, int]
) -> None:
    shares = shares_along(Flow(from_=start, to=end), torch.ones(9, 9), [1, 1, 1])
    assert shares[0][first] > 0.85
    assert shares[2][last] > 0.85
    assert shares[1, 4, 4] == pytest.approx(1)
    assert torch.allclose(shares.sum(0), torch.ones(9, 9))


def test_a_style_of_double_weight_has_twice_the_say_where_two_meet() -> None:
    shares = shares_along(LEFT_TO_RIGHT, torch.ones(1, 5), [2, 1])
    assert shares[0, 0, 2] == pytest.approx(2 / 3)


def test_a_painted_weight_leaves_the_rest_to_styles_without_one() -> None:
    mask = torch.tensor([[0.0, 0.25, 1.0]])
    shares = shares_by_masks([None, mask], [1, 1])
    assert torch.allclose(shares[1], mask)
    assert torch.allclose(shares.sum(0), torch.ones(1, 3))
    three = shares_by_masks([None, mask, None], [1, 1, 3])
    assert torch.allclose(three[:, 0, 0], torch.tensor([0.25, 0, 0.75]))


def test_where_nothing_is_painted_the_weights_themselves_count() -> None:
    shares = shares_by_masks([torch.zeros(1, 2), torch.tensor([[0.0, 0.5]])], [3, 1])
    assert torch.allclose(shares[:, 0, 0], torch.tensor([0.75, 0.25]))
    assert torch.allclose(shares[:, 0, 1], torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_shares_that_are_the_same_everywhere_are_an_ordinary_blend(
    encoder: Encoder, exponent: float
) -> None:
    mask = torch.zeros(24, 32)
    mask[:, 4:29] = random(24, 25)
    whole = region(mask, style(1, 0.3), style(2, 0.7))
    shares = torch.tensor([0.3, 0.7])[:, None, None].expand(2, 24, 32)
    parts = split(region(mask, style(1), style(2)), shares, area_exponent=exponent)
    (plain, photo), (flowing, _) = (
        objective(encoder, regions, exponent=exponent) for regions in ([whole], parts)
    )
    first, second = plain(photo), flowing(photo)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name].item() == pytest.approx(value.item(), rel=1e-4)


def test_a_picture_whose_statistics_flow_as_told_meets_all_targets() -> None:
    # Rows drawn from style t with the share meant for it, at every pixel: the moments that the
    # parts see are then those that split asks for.
    generator = torch.Generator().manual_seed(0)
    height, width = 400, 60
    shares = shares_along(LEFT_TO_RIGHT, torch.ones(height, width), [1, 1])
    pure = [torch.randn(3, 3, generator=generator) for _ in range(2)]
    from_second = torch.rand(height, width, generator=generator) < shares[1]
    noise = torch.randn(height, width, 3, generator=generator)
    rows = torch.where(from_second[..., None], noise @ pure[1].T, noise @ pure[0].T)
    parts = split(region(torch.ones(height, width), style(1), style(2)), shares, area_exponent=1)
    masks = torch.stack([part.mask for part in parts])
    _, second = region_moments(rows.permute(2, 0, 1)[None], columns(masks))
    for found, part in zip(second, parts, strict=True):
        total = sum(s.weight for s in part.styles)
        wanted = sum(s.weight / total * m @ m.T for s, m in zip(part.styles, pure, strict=True))
        assert torch.allclose(found, wanted, rtol=0.1, atol=0.15)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_flow_has_no_dead_band(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 16, 64, 512, generator=generator).requires_grad_()
    shares = shares_along(LEFT_TO_RIGHT, torch.ones(64, 512), [1] * count)
    parts = split(region(torch.ones(64, 512), *map(style, range(count))), shares, area_exponent=1)
    read = columns(torch.stack([part.mask for part in parts]))
    _, second = region_moments(features, read)
    energy = second.diagonal(dim1=1, dim2=2).sum(1)
    # Each part pulls by its share of the picture, as it does in the objective.
    (energy * read.total).sum().backward()
    pull = features.grad.square().sum(1).sqrt()[0].mean(0)
    bands = pull.unflatten(0, (16, 32)).mean(1)
    assert (bands / bands.mean() - 1).abs().max() < 0.05


def test_a_flow_costs_no_further_pass_of_the_encoder(encoder: Encoder) -> None:
    mask = torch.ones(24, 32)
    shares = shares_along(LEFT_TO_RIGHT, mask, [1, 1, 1])
    flowing, photo = objective(
        encoder, split(region(mask, style(1), style(2), style(3)), shares, area_exponent=1)
    )
    passes = []
    handle = encoder.register_forward_hook(lambda *_: passes.append(1))
    flowing(photo)
    handle.remove()
    assert len(passes) == 1


def test_parts_without_a_share_are_left_out() -> None:
    shares = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    (part,) = split(region(torch.ones(4, 4), style(1), style(2)), shares, area_exponent=1)
    assert [s.source for s in part.styles] == ["style 1"]


def test_blends_group_whatever_their_number_and_order(encoder: Encoder) -> None:
    def moments(*styles: StylePicture | StyleBlend) -> dict[str, Moments]:
        layers = ("conv1_1", "conv3_1", "conv5_1")
        return dict(style_moments(encoder, styles, layers, longest=24, pooling="max"))

    a, b, c = style(1, 0.2), style(2, 0.5), style(3, 0.3)
    flat = moments(a, b, c)
    grouped = moments(StyleBlend([a, b], 0.7, "both"), c)
    scaled = moments(c, StyleBlend([style(2, 10), style(1, 4)], 0.7, "both"))
    for layer, wanted in flat.items():
        for found in (grouped[layer], scaled[layer]):
            scale = wanted.second.abs().max()
            assert ((found.second - wanted.second).abs().max() / scale) < 1e-5
            assert torch.allclose(found.mean, wanted.mean, rtol=1e-5)
    parts = [style_moments(encoder, [s], ["conv3_1"], longest=24, pooling="max") for s in (a, b, c)]
    first, second, third = (part["conv3_1"] for part in parts)
    inner = blend([first, second], [1, 2])
    assert torch.allclose(
        blend([inner, third], [3, 1]).second, blend([first, second, third], [1, 2, 1]).second,
        rtol=1e-5,
    )  # fmt: skip


def flowing(**keys: object) -> dict[str, object]:
    return {
        "recipe": 1,
        "content": "photo.png",
        "size": 48,
        "regions": [
            {
                "name": "all",
                "select": "rest",
                "style": ["stripes.png", "dots.png"],
                **keys,
            }
        ],
        "optimize": {"steps": 2, "levels": [48]},
    }


def test_a_flowing_region_keeps_its_name_in_the_losses(folder: Path) -> None:
    plain, flow = (
        apply(flowing(**keys)) for keys in ({}, {"flow": {"from": "left", "to": "right"}})
    )
    assert plain.losses[-1].keys() == flow.losses[-1].keys()
    assert "all" in region_losses(flow.losses[-1])
    assert not np.array_equal(np.asarray(plain.image), np.asarray(flow.image))


def save_colored(name: str, color: tuple[int, int, int]) -> str:
    noise = np.random.default_rng(0).integers(-30, 30, (32, 40, 3))
    Image.fromarray((np.array(color) + noise).astype(np.uint8)).save(name)
    return name


def blue_over_red(**keys: object) -> Tensor:
    """How much bluer than red each column of the result is."""
    found = apply(flowing(**keys)).rgb.mean(1)
    return found[2] - found[0]


def test_a_flow_has_the_colors_of_its_styles_on_either_side(folder: Path) -> None:
    styles = [save_colored("red.png", (200, 60, 50)), save_colored("blue.png", (50, 70, 200))]
    found = blue_over_red(style=styles, flow={"from": "left", "to": "right"})
    assert found[:8].mean() < -0.2
    assert found[-8:].mean() > 0.2
    assert found[20:28].mean().abs() < 0.15


def test_a_picture_can_say_where_a_style_counts(folder: Path) -> None:
    right = np.zeros((48, 64), np.uint8)
    right[:, 32:] = 255
    Image.fromarray(right).save("right.png")
    red, blue = save_colored("red.png", (200, 60, 50)), save_colored("blue.png", (50, 70, 200))
    found = blue_over_red(style=[red, {"image": blue, "weight_mask": "right.png"}])
    assert found[:16].mean() < -0.3
    assert found[-16:].mean() > 0.3


def test_a_weight_mask_of_another_shape_than_the_photo_is_refused(folder: Path) -> None:
    Image.new("L", (40, 40), 255).save("square.png")
    styles = ["stripes.png", {"image": "dots.png", "weight_mask": "square.png"}]
    with pytest.raises(RegionError, match=r"square\.png: the mask is 40×40 px"):
        apply(flowing(style=styles))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("flow: {from: left, to: left}", "regions.all.flow: from and to are both left"),
        ("flow: {from: lft, to: right}", "did you mean left?"),
        ("flow: {from: left}", "regions.all.flow.to: is missing"),
        (
            "flow: {from: left, to: right}, style: dots.png",
            "regions.all.flow: flows between styles; found 1 with a weight above 0",
        ),
        (
            "flow: {from: left, to: right}, "
            "style: [stripes.png, {image: dots.png, weight_mask: photo.png}]",
            "regions.all: has both flow and weight_mask, keep one",
        ),
        (
            "style: [stripes.png, {image: dots.png, weight_mask: nowhere.png}]",
            "regions.all.style[1].weight_mask: no such file: nowhere.png",
        ),
        (
            "style: [{image: dots.png, weight: -1}]",
            "regions.all.style[0].weight: found -1, allowed: a number of at least 0",
        ),
        (
            "style: [{image: dots.png, weight: 0}, {image: stripes.png, weight: 0}]",
            "regions.all.style: the weights are all 0, at least one must be above 0",
        ),
    ],
)
def test_what_cannot_flow_is_refused_in_a_sentence(folder: Path, keys: str, sentence: str) -> None:
    styles = "" if "style:" in keys else ", style: [stripes.png, dots.png]"
    one = f"{{name: all, select: rest, {keys}{styles}}}"
    text = f"recipe: 1\ncontent: photo.png\nregions:\n  - {one}\n"
    (folder / "flow.yaml").write_text(text)
    ran = run("check", "flow.yaml")
    assert ran.code == 1
    assert sentence in ran.err
