"""Losses against explicit loops, scipy and finite differences; what must leave them unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from scipy import ndimage
from torch import Tensor

from layered_nst.networks.encoders import Encoder, contour_logits, load_encoder
from layered_nst.painting.losses.content import (
    ContentLoss,
    content_energy,
    content_error,
    held_energy,
)
from layered_nst.painting.losses.contours import ContourLoss, contour_energy, contour_error
from layered_nst.painting.losses.drawing import STILL_LEFT, drawn, left_to_style, usual
from layered_nst.painting.losses.loss import FeatureLoss
from layered_nst.painting.losses.pixels import (
    COLORS_SMOOTHED,
    ENOUGH_COLOR,
    EXCESS,
    FLAT,
    LEAST_COLOR,
    ColorSmoothness,
    Composition,
    excess_of,
    firmness,
    firmness_in_color,
    laplacian,
    laplacian_loss,
    out_of_range,
    total_variation,
)
from layered_nst.painting.losses.style import StyleLoss, style_losses
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.picture.variation import color_changes, variation
from layered_nst.recipe import Optimize
from layered_nst.styles.moments import region_moments
from layered_nst.styles.style import StylePicture, color_share, stroke_side, style_variation


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def random_moments(regions: int, channels: int, *, seed: int) -> tuple[Tensor, Tensor]:
    rows = random(regions, 30, channels, seed=seed)
    return rows.mean(1), rows.mT @ rows / 30


def test_the_style_loss_is_that_of_explicit_loops() -> None:
    mean, second = random_moments(3, 4, seed=1)
    wanted_mean, wanted_second = random_moments(3, 4, seed=2)
    found = style_losses(mean, second, wanted_mean, wanted_second)
    for r in range(3):
        error, energy, shift, size = 0.0, 0.0, 0.0, 0.0
        for i in range(4):
            for j in range(4):
                here = second[r, i, j] - mean[r, i] * mean[r, j]
                there = wanted_second[r, i, j] - wanted_mean[r, i] * wanted_mean[r, j]
                error += float(here - there) ** 2
                energy += float(there) ** 2
            shift += float(mean[r, i] - wanted_mean[r, i]) ** 2
            size += float(wanted_mean[r, i]) ** 2
        assert found[r].item() == pytest.approx(error / energy + shift / size, rel=1e-10)


def test_the_style_loss_is_zero_at_its_target_and_means_the_same_at_every_scale() -> None:
    mean, second = random_moments(2, 5, seed=1)
    target = random_moments(2, 5, seed=2)
    assert not style_losses(mean, second, mean, second).any()
    louder = style_losses(10 * mean, 100 * second, 10 * target[0], 100 * target[1])
    assert torch.allclose(louder, style_losses(mean, second, *target), rtol=1e-10)


def test_a_style_of_one_color_asks_for_its_mean_alone() -> None:
    """It says nothing of texture, and would erase the drawing of whatever it is laid on."""
    mean, second = random_moments(1, 3, seed=1)
    color = random(1, 3, seed=2)
    flat = color, color[:, :, None] * color[:, None, :]
    wanted = (mean - color).square().sum() / color.square().sum()
    assert style_losses(mean, second, *flat).item() == pytest.approx(wanted.item())
    # Where the mean is next to nothing, distances are measured by what is.
    faint = style_losses(mean, second, *flat, least=100.0)
    assert faint.item() == pytest.approx((mean - color).square().sum().item() / 100)
    # The plainer the style, the less of its texture is asked for.
    told = []
    for grain in (0.03, 0.01, 0.003):
        rows = color + grain * (random(1, 40, 3, seed=3) - 0.5)
        target = rows.mean(1), rows.mT @ rows / 40
        told.append(style_losses(target[0], second, *target).item())
    assert told[0] > 4 * told[1] > 16 * told[2]


def test_the_content_loss_is_that_of_explicit_loops() -> None:
    features, target = random(1, 3, 4, 5, seed=1), random(1, 3, 4, 5, seed=2)
    weight = (2 * random(4, 5, seed=3) - 1).clamp(min=0)
    error = energy = 0.0
    for i in range(4):
        for j in range(5):
            for c in range(3):
                error += float(weight[i, j] * (features - target)[0, c, i, j] ** 2)
                energy += float(target[0, c, i, j] ** 2) if weight[i, j] > 0 else 0.0
    assert content_error(features, target, weight).item() == pytest.approx(error, rel=1e-10)
    assert content_energy(target, weight).item() == pytest.approx(energy, rel=1e-10)
    assert content_error(features, target, torch.zeros(4, 5).double()) == 0
    assert content_error(target, target, weight) == 0


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_content_is_held_alike_on_every_pixel_however_few_are_painted(share: float) -> None:
    """What lies beyond a region is no reason to hold it more firmly."""
    photo, width = random(3, 32, 64, seed=5), int(64 * share)
    gradients = []
    for painted in (64, width):
        mask = torch.zeros(32, 64, dtype=torch.float64)
        mask[:, :painted] = 1
        problem = Problem(
            photo, photo, photo, [PaintedRegion("r", mask, [style(1, 16, 16)])], 1 - mask
        )
        plan = plan_of(style=0.0, total_variation=0.0, content_layers={"conv1_2": 1.0})
        objective = Objective(narrow_encoder(), problem, plan, (32, 64))
        gradients.append(objective.backward(photo[None] + 0.1 * random(1, 3, 32, 64))[1])
    inside = slice(4, width - 4)
    whole, part = (g[..., inside].norm().item() for g in gradients)
    # The energy of the features is not the same everywhere.
    assert part == pytest.approx(whole, rel=0.1)


def test_a_photograph_s_colors_are_smoothed_more_firmly_than_a_painting_s() -> None:
    """By the share of a style's variation that is in its colors, but not without end."""
    ones, light = torch.ones(16, 16).double(), random(1, 16, 16)
    left, *others = problem_of(16, 16).regions
    whole = left.mask >= 1
    found = []
    for colorful in (0.0, 0.3, 1.0):
        color = random(3, 16, 16, seed=1) - random(3, 16, 16, seed=1).mean(0)
        style = StylePicture(light + colorful * color, ones, 1, "")
        seen = [replace(left, styles=[style]), *others], (16, 16), 16
        ratio = firmness_in_color(*seen)[whole] / firmness(*seen)[whole]
        share = max(LEAST_COLOR, color_share([style], 16))
        assert ratio.numpy() == pytest.approx(COLORS_SMOOTHED / share)
        found.append(float(ratio[0]))
    assert found[0] == pytest.approx(COLORS_SMOOTHED / LEAST_COLOR)
    assert found[0] > found[1] > 4 * found[2]


def test_smoothness_in_color_is_the_variation_that_changes_no_light() -> None:
    problem, plan = problem_of(16, 20), plan_of(total_variation=2.0)
    objective = Objective(narrow_encoder(), problem, plan, (16, 20))
    (firm,) = (part.in_color for part in objective.pixels if isinstance(part, ColorSmoothness))
    picture = random(1, 3, 16, 20, seed=5)
    found = objective(picture)["total_variation.color"].item()
    wanted = 2 * total_variation(picture - picture.mean(1, keepdim=True), firm).item()
    assert found == pytest.approx(wanted)
    gray = picture.mean(1, keepdim=True).expand(1, 3, 16, 20)
    assert objective(gray)["total_variation.color"].item() == pytest.approx(0, abs=1e-9 * wanted)


def test_colors_are_pulled_only_where_they_vary_more_than_the_style_s() -> None:
    """By the mean of a region; one that keeps to its style's share is left alone."""
    (size, problem), plan = ((16, 20), problem_of(16, 20)), plan_of(total_variation=2.0)
    calm, wild = 0.5 + 0.001 * random(1, 3, *size), random(1, 3, *size, seed=5)
    region = replace(problem.regions[0], mask=torch.zeros(size).double(), strength=1)
    region.mask[4:, :9] = 1
    loss = excess_of(problem, [region], size, max(size), pull=plan.total_variation)
    assert loss.terms(calm)["total_variation.excess"].item() == 0
    assert loss.terms(wild.mean(1, keepdim=True).expand(1, 3, *size)) == loss.terms(calm)

    color = (wild - wild.mean(1, keepdim=True))[0].numpy()
    down, across = (np.diff(color, axis=axis) ** 2 for axis in (1, 2))
    changed = np.pad(down, ((0, 0), (0, 1), (0, 0))) + np.pad(across, ((0, 0), (0, 0), (0, 1)))
    side = stroke_side(max(size), region.scale)
    seen = [region], size, side
    own = COLORS_SMOOTHED / float(firmness_in_color(*seen)[8, 4])
    varied = changed.mean(0)[4:, :9].mean() / own
    assert varied > 1.5
    wanted = 2 * EXCESS * float(region.mask.mean()) * (varied - ENOUGH_COLOR) ** 2
    assert loss.terms(wild)["total_variation.excess"].item() == pytest.approx(wanted)


@pytest.mark.parametrize("size", [(5, 7), (1, 6), (1, 1)])
def test_the_change_of_colors_has_its_gradient_by_hand(size: tuple[int, int]) -> None:
    picture = random(3, *size, seed=3).double().requires_grad_()
    assert torch.autograd.gradcheck(color_changes, picture)
    channels, light = picture.detach().numpy(), picture.detach().mean(0).numpy()
    wanted = np.zeros(size)
    for axis in (0, 1):
        squared = (np.diff(channels, axis=axis + 1) ** 2).mean(0) - np.diff(light, axis=axis) ** 2
        wanted[: squared.shape[0], : squared.shape[1]] += squared
    np.testing.assert_allclose(color_changes(picture).detach().numpy(), wanted, atol=1e-12)


def test_where_all_is_held_the_measure_of_content_is_its_energy() -> None:
    target, weight = random(1, 3, 4, 5, seed=2), random(4, 5) + 0.1
    energy = content_energy(target, weight)
    assert held_energy(energy, weight) == energy
    assert held_energy(energy * 0, weight * 0).item() == pytest.approx(1e-12)


def test_total_variation_is_that_of_explicit_loops() -> None:
    picture, weight = random(1, 3, 4, 6), random(4, 6, seed=3)
    down = [float(picture[0, c, i + 1, j] - picture[0, c, i, j]) ** 2
            * min(float(weight[i, j]), float(weight[i + 1, j]))
            for c in range(3) for i in range(3) for j in range(6)]  # fmt: skip
    across = [float(picture[0, c, i, j + 1] - picture[0, c, i, j]) ** 2
              * min(float(weight[i, j]), float(weight[i, j + 1]))
              for c in range(3) for i in range(4) for j in range(5)]  # fmt: skip
    found = total_variation(picture, weight).item()
    assert found == pytest.approx(np.mean(down) + np.mean(across))


def test_total_variation_of_lines_and_single_pixels_is_finite() -> None:
    row, one = random(1, 3, 1, 7), torch.ones(1, 7).double()
    assert total_variation(row, one) == (row[..., 1:] - row[..., :-1]).square().mean()
    assert total_variation(random(1, 3, 1, 1), one[:, :1]) == 0
    assert variation(random(3, 1, 1), one[:, :1]) == 0


def test_the_variation_of_a_style_is_that_of_what_its_mask_shows() -> None:
    picture, mask = random(3, 5, 8), torch.zeros(5, 8).double()
    mask[1:4, 2:7] = 1
    seen = picture[:, 1:4, 2:7].numpy()
    wanted = np.mean(np.diff(seen, axis=1) ** 2) + np.mean(np.diff(seen, axis=2) ** 2)
    assert variation(picture, mask).item() == pytest.approx(wanted)
    assert variation(picture, 0.3 * mask).item() == pytest.approx(wanted)


def test_total_variation_is_one_where_a_picture_varies_like_its_style() -> None:
    picture, mask = random(1, 3, 9, 7), torch.ones(9, 7).double()
    own = variation(picture[0], mask)
    assert total_variation(picture, mask / own).item() == pytest.approx(1)


def test_only_values_out_of_range_cost() -> None:
    picture = torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.2, 0.3]).reshape(1, 3, 1, 2)
    assert out_of_range(picture).item() == pytest.approx((0.25 + 0.04) / 6)
    assert out_of_range(random(1, 3, 4, 4)) == 0


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_the_laplacian_is_that_of_scipy(pool: int) -> None:
    picture = random(1, 3, 8, 12)
    blocks = picture[0].sum(0).numpy().reshape(8 // pool, pool, 12 // pool, pool).mean((1, 3))
    assert np.allclose(laplacian(picture, pool), -ndimage.laplace(blocks, mode="nearest"))


def test_the_laplacian_sees_the_rows_and_columns_that_pooling_leaves_over() -> None:
    picture = random(1, 3, 9, 14)
    gray = picture[0].sum(0).numpy()
    blocks = np.array(
        [[gray[i : i + 4, j : j + 4].mean() for j in (0, 4, 8, 12)] for i in (0, 4, 8)]
    )
    assert np.allclose(laplacian(picture, 4), -ndimage.laplace(blocks, mode="nearest"))
    other = picture.clone()
    other[:, :, -1, -2:] += 0.5
    assert laplacian_loss(other, picture, torch.ones(9, 14).double(), 4) > 0


def test_the_laplacian_loss_is_relative_and_masked() -> None:
    picture, target = random(1, 3, 8, 8, seed=1), random(1, 3, 8, 8, seed=2)
    weight = torch.zeros(8, 8).double()
    weight[:, 4:] = 1
    here, there = (
        -ndimage.laplace(p[0].sum(0).numpy().reshape(4, 2, 4, 2).mean((1, 3)), mode="nearest")[
            :, 2:
        ]
        for p in (picture, target)
    )
    found = laplacian_loss(picture, target, weight, 2)
    assert found.item() == pytest.approx(((here - there) ** 2).sum() / (there**2).sum())
    assert laplacian_loss(target, target, weight, 2) == 0


@pytest.mark.parametrize(("size", "cells"), [((1, 1), 1), ((3, 200), 67), ((2, 2), 1)])
def test_the_laplacian_loss_takes_any_size(size: tuple[int, int], cells: int) -> None:
    """A negative's Laplacian is that of the picture turned over: twice as far, squared."""
    picture, weight = random(1, 3, *size), torch.ones(size).double()
    found = laplacian_loss(picture, 1 - picture, weight, 16)
    # A single cell has no curvature, and a picture without any has nothing to lose.
    assert found.item() == pytest.approx(4 if cells > 1 else 0)


def test_the_contour_loss_is_that_of_explicit_loops() -> None:
    logits, target = random(1, 1, 4, 5, seed=1) - 0.5, random(1, 1, 4, 5, seed=3)
    weight = (2 * random(4, 5, seed=5) - 1).clamp(min=0)
    error = energy = 0.0
    for i in range(4):
        for j in range(5):
            seen = 1 / (1 + np.exp(-float(logits[0, 0, i, j])))
            apart = seen - float(target[0, 0, i, j])
            error += float(weight[i, j]) * (0.2 if apart > 0 else 1) * apart**2
            energy += float(weight[i, j] > 0) * float(target[0, 0, i, j]) ** 2
    assert contour_error(logits, target, weight).item() == pytest.approx(error, rel=1e-10)
    assert contour_energy(target, weight).item() == pytest.approx(energy, rel=1e-10)
    assert contour_error(target.logit(), target, weight).item() == pytest.approx(0, abs=1e-20)


def plan_of(**keys: object) -> Plan:
    return make_plan(Optimize(**{"content_layers": {"conv4_2": 1.0}, **keys}), (48, 48))


def style(seed: int, *size: int) -> StylePicture:
    rgb = random(3, *size, seed=seed)
    return StylePicture(rgb, torch.ones(size).double(), 1.0, f"style {seed}")


def feathered(height: int, width: int) -> Tensor:
    """Left, middle and right of a picture with feathers between them."""
    at = torch.linspace(0, 3, width, dtype=torch.float64).expand(height, width)
    left, right = (1.5 - at).clamp(0, 1), (at - 1.5).clamp(0, 1)
    return torch.stack([left, 1 - left - right, right])


def problem_of(height: int, width: int, *, contour: float = 0.7, side: int = 16) -> Problem:
    masks = feathered(height, width)
    regions = [
        PaintedRegion("left", masks[0], [style(1, side, side)], strength=2.0),
        PaintedRegion("middle", masks[1], [style(2, side, side + 4), style(3, side, side)]),
        PaintedRegion("right", masks[2], [style(4, side, side)], content=3, contour=contour),
    ]
    photo = random(3, height, width, seed=5)
    return Problem(photo, photo, photo, regions, torch.zeros(height, width).double())


Loss = TypeVar("Loss", bound=FeatureLoss)


def loss_of(objective: Objective, kind: type[Loss]) -> Loss:
    (found,) = (loss for loss in objective.losses if isinstance(loss, kind))
    return found


def total(objective: Objective) -> Callable[[Tensor], Tensor]:
    return lambda picture: torch.stack(list(objective(picture).values())).sum()


def test_each_region_is_smoothed_against_its_own_style() -> None:
    """Grain that one style has is noise in another."""
    problem = problem_of(16, 16)
    ones = torch.ones(16, 16).double()
    calm = StylePicture(0.5 + 0.05 * random(3, 16, 16), ones, 1, "")
    grainy = StylePicture(random(3, 16, 16), ones, 1, "")
    left, *others = problem.regions
    found = [
        firmness([replace(left, styles=[style]), *others], (16, 16), 16) for style in (calm, grainy)
    ]
    whole = left.mask >= 1
    assert whole.any()
    for smoothed, style in zip(found, (calm, grainy), strict=True):
        wanted = 1 / (style_variation([style], 16) + FLAT)
        assert smoothed[whole].numpy() == pytest.approx(wanted)
    elsewhere = left.mask <= 0
    assert elsewhere.any()
    assert torch.equal(found[0][elsewhere], found[1][elsewhere])


@pytest.mark.parametrize("heads", [True, False])
def test_the_gradient_of_everything_agrees_with_finite_differences(heads: bool) -> None:
    problem = problem_of(8, 9)
    objective = Objective(narrow_encoder(heads=heads), problem, plan_of(), (8, 9))
    picture = (1.4 * random(1, 3, 8, 9, seed=6) - 0.2).requires_grad_()
    terms = objective(picture)
    assert not [name for name, value in terms.items() if value <= 0]
    assert any(name.startswith("contour.") for name in terms)
    assert torch.autograd.gradcheck(total(objective), picture, atol=1e-6, rtol=1e-5)


def test_the_gradient_through_the_bundled_encoder_agrees_with_finite_differences() -> None:
    encoder = load_encoder("hed-vgg16", dtype=torch.float64)
    objective = Objective(encoder, problem_of(20, 24), plan_of(), (20, 24))
    loss = total(objective)
    picture = random(1, 3, 20, 24, seed=6).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(picture), picture)
    for seed in range(3):
        direction = random(1, 3, 20, 24, seed=10 + seed) - 0.5
        step = 1e-6 * direction
        with torch.no_grad():
            slope = (loss(picture + step) - loss(picture - step)) / 2e-6
        assert slope.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("heads", "contours"),
    [
        (True, {"contour.sides"}),
        (False, {"contour.laplacian_4", "contour.laplacian_16"}),
    ],
)
def test_terms_carry_dotted_names(heads: bool, contours: set[str]) -> None:
    """Contours are held by HED's heads where the encoder has them."""
    encoder = narrow_encoder(heads=heads)
    terms = Objective(encoder, problem_of(16, 16), plan_of(), (16, 16))(random(1, 3, 16, 16))
    layers = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    styles = {f"style.{r}.{la}" for r in ("left", "middle", "right") for la in layers}
    assert set(terms) == styles | contours | {
        "content.conv4_2",
        "total_variation.light",
        "total_variation.color",
        "total_variation.excess",
        "range",
    }


def test_a_recipe_without_contours_has_no_contour_terms() -> None:
    problem = problem_of(16, 16, contour=0)
    terms = Objective(narrow_encoder(), problem, plan_of(), (16, 16))(random(1, 3, 16, 16))
    assert not [name for name in terms if name.startswith("contour")]


def test_a_stronger_contour_weighs_more() -> None:
    """The weight of the contours is what a recipe says, not divided out again."""
    sums = []
    for contour in (0.5, 1.0, 2.0):
        problem = problem_of(16, 16, contour=contour)
        terms = Objective(narrow_encoder(), problem, plan_of(), (16, 16))(random(1, 3, 16, 16))
        sums.append(sum(v.item() for k, v in terms.items() if k.startswith("contour")))
    assert sums[1] == pytest.approx(2 * sums[0], rel=1e-6)
    assert sums[2] == pytest.approx(4 * sums[0], rel=1e-6)


def with_an_eye(side: int) -> Tensor:
    """A gray photo with something drawn in its middle."""
    photo = torch.full((3, side, side), 0.5, dtype=torch.float64)
    low, high = side * 3 // 8, side * 5 // 8
    y, x = np.mgrid[low:high, low:high]
    photo[:, low:high, low:high] = torch.from_numpy(((x + y) % 4 < 2).astype(float))
    return photo


@pytest.mark.parametrize("side", [64, 400])
def test_where_contours_are_held_the_photo_s_drawing_counts_little_for_the_style(side: int) -> None:
    photo, masks = with_an_eye(side), torch.ones(2, side, side, dtype=torch.float64)
    energy = drawn(photo, (side, side))
    left = left_to_style(energy, usual(energy, masks), masks.new_tensor([0.0, 1.0]))
    assert bool((left[0] == 1).all())
    assert float(left[1, side // 2, side // 2]) == STILL_LEFT
    assert float(left[1, : side // 4].min()) == 1
    firmer = left_to_style(energy, usual(energy, masks), masks.new_tensor([0.3, 3.0]))
    assert bool((firmer[1] == left[1]).all())
    assert bool((firmer[0] >= left[1]).all())


def test_a_photo_without_any_drawing_is_all_left_to_the_style() -> None:
    masks = torch.ones(1, 20, 30, dtype=torch.float64)
    energy = drawn(torch.full((3, 20, 30), 0.3, dtype=torch.float64), (20, 30))
    left = left_to_style(energy, usual(energy, masks), masks.new_tensor([1.0]))
    assert bool((left == 1).all())


def test_a_style_pulls_less_at_an_eye_where_contours_are_held() -> None:
    photo, mask = with_an_eye(32), torch.ones(32, 32, dtype=torch.float64)
    shares = []
    for contour in (0.0, 1.0):
        region = PaintedRegion("dog", mask, [style(3, 20, 20)], contour=contour)
        problem = Problem(photo, photo, photo, [region], torch.zeros_like(mask))
        objective = Objective(narrow_encoder(), problem, plan_of(contour=0.0), (32, 32))
        leaf = (photo[None] + 0.1 * random(1, 3, 32, 32, seed=8)).requires_grad_()
        terms = [value for name, value in objective(leaf).items() if name.startswith("style.")]
        (gradient,) = torch.autograd.grad(torch.stack(terms).sum(), leaf)
        shares.append(float(gradient[..., 13:19, 13:19].norm() / gradient.norm()))
    assert shares[1] < 0.8 * shares[0]


def test_contours_pull_alike_on_every_pixel_of_a_region_of_any_size() -> None:
    """As large as the share of the picture that they are drawn on."""
    sides = []
    for share in (0.25, 0.5):
        mask = torch.zeros(16, 16, dtype=torch.float64)
        mask[:, : int(16 * share)] = 1
        regions = [
            PaintedRegion("cup", mask, [style(1, 12, 12)], contour=1),
            PaintedRegion("table", 1 - mask, [style(2, 12, 12)]),
        ]
        photo = random(3, 16, 16, seed=5)
        problem = Problem(photo, photo, photo, regions, torch.zeros(16, 16).double())
        objective = Objective(narrow_encoder(), problem, plan_of(contour=3.0), (16, 16))
        sides.append(loss_of(objective, ContourLoss).pull)
    assert sides == pytest.approx([0.75, 1.5])


def test_style_terms_are_weights_times_the_loss_of_each_region() -> None:
    plan, problem, encoder = plan_of(style=7.0), problem_of(16, 20), narrow_encoder()
    objective = Objective(encoder, problem, plan, (16, 20))
    own, (tile,) = loss_of(objective, StyleLoss), objective.tiles
    picture = random(1, 3, 16, 20)
    terms, features = objective(picture), encoder(picture, ["conv1_1", "conv3_1"])
    for number, region in enumerate(problem.regions):
        for layer in features:
            mean, second = region_moments(features[layer], own.columns(tile)[layer])
            loss = style_losses(mean, second, *own.targets[layer], least=own.least[layer])[number]
            share = region.mask.mean()
            wanted = 7 * plan.layers[layer] * region.pull * share * loss
            found = terms[f"style.{region.name}.{layer}"]
            assert found.item() == pytest.approx(wanted.item(), rel=1e-10)


def test_strengths_above_one_pull_harder_at_the_same_style() -> None:
    bold = PaintedRegion("a", torch.ones(2, 2), strength=2.0, share=0.5)
    assert bold.pull == 4.0
    assert PaintedRegion("a", torch.ones(2, 2), strength=0.25).pull == 1.0


@pytest.mark.parametrize("name", ["hed-vgg16", "light"])
def test_all_terms_are_those_of_features_in_the_encoders_measure(name: str) -> None:
    """Whatever the objective spares itself for encoders that compare through a map."""
    encoder, problem = load_encoder(name, dtype=torch.float64), problem_of(32, 40)
    objective = Objective(encoder, problem, plan_of(), (32, 40))
    picture, plan = random(1, 3, 32, 40), objective.plan
    terms, features = objective(picture), encoder(picture, objective.layers)
    style, (tile,) = loss_of(objective, StyleLoss), objective.tiles
    for layer in plan.layers:
        moments = region_moments(features[layer], style.columns(tile)[layer])
        losses = style.pull[layer] * style_losses(
            *moments, *style.targets[layer], least=style.least[layer]
        )
        found = [terms[f"style.{region.name}.{layer}"].item() for region in problem.regions]
        assert found == pytest.approx(losses.tolist(), rel=1e-8)
    content = loss_of(objective, ContentLoss)
    held, weight = content.held(tile)["conv4_2"], content.weight["conv4_2"]
    error = content_error(features["conv4_2"], held, weight)
    wanted = plan.content * (error / held_energy(content_energy(held, weight), weight)).item()
    assert terms["content.conv4_2"].item() == pytest.approx(wanted, rel=1e-8)
    contours = loss_of(objective, ContourLoss)
    ratios = [
        contour_error(side, contours.kept[layer], contours.weight[layer]) / contours.energy[layer]
        for layer, side in zip(
            contours.layers,
            contour_logits(encoder, {layer: features[layer] for layer in contours.layers}),
            strict=True,
        )
    ]
    wanted = contours.pull * float(sum(ratios)) / len(ratios)
    assert terms["contour.sides"].item() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("exponent", "ratio"), [(1.0, 0.25), (0.0, 1.0), (0.5, 0.5)])
def test_the_area_exponent_sets_the_pull_of_small_regions(exponent: float, ratio: float) -> None:
    masks = torch.zeros(2, 20, 20).double()
    masks[0, :, :4], masks[1, :, 4:] = 1, 1
    regions = [PaintedRegion(n, m, [style(1, 16, 16)]) for n, m in zip("ab", masks, strict=True)]
    photo = random(3, 20, 20)
    problem = Problem(photo, photo, photo, regions, torch.zeros(20, 20).double())
    plan = plan_of(area_exponent=exponent)
    objective = Objective(narrow_encoder(), problem, plan, (20, 20))
    small, large = loss_of(objective, StyleLoss).pull["conv1_1"]
    assert (small / large).item() == pytest.approx(ratio)


def island(padding: int, encoder: Encoder, *, masked: bool = True) -> dict[str, Tensor]:
    """Style terms of a 32 px island in a plain sea, its style at the same size whatever the sea."""
    dtype = next(encoder.buffers()).dtype
    side = 32 + 2 * padding
    inside = slice(padding, padding + 32)
    picture = torch.full((3, side, side), 0.4, dtype=dtype)
    picture[:, inside, inside] = random(3, 32, 32, seed=1)
    mask = torch.full((side, side), 0.0 if masked else 1.0, dtype=dtype)
    mask[inside, inside] = 1
    look = StylePicture(random(3, 48, 48, seed=2).to(dtype), torch.ones(48, 48).to(dtype), 1, "")
    region = PaintedRegion("island", mask, [look], scale=64 / side)
    problem = Problem(picture, picture, picture, [region], torch.zeros_like(mask))
    objective = Objective(encoder, problem, plan_of(area_exponent=0.0), (side, side))
    with torch.no_grad():
        terms = objective(picture[None])
    return {name: value for name, value in terms.items() if name.startswith("style")}


@pytest.mark.parametrize("padding", [64, 80])
def test_doubling_the_padding_around_a_region_changes_none_of_its_style_losses(
    padding: int,
) -> None:
    encoder = narrow_encoder()
    once, twice = island(padding, encoder), island(2 * padding, encoder)
    assert len(once) == 5
    for name, loss in once.items():
        assert abs(twice[name] / loss - 1) < 1e-9, name


def test_doubling_the_padding_changes_the_bundled_encoders_style_loss_by_less_than_1e_4() -> None:
    encoder = load_encoder("hed-vgg16")
    # Nearer than half of conv5_1's receptive field, the frame itself is seen from the region.
    once, twice = (sum(island(p, encoder).values()).item() for p in (64, 128))
    assert twice == pytest.approx(once, rel=1e-4)


def test_without_masks_the_padding_would_matter() -> None:
    encoder = narrow_encoder()
    once, twice = (sum(island(p, encoder, masked=False).values()).item() for p in (80, 160))
    assert abs(twice / once - 1) > 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_swapping_regions_that_do_not_overlap_changes_nothing(dtype: torch.dtype) -> None:
    masks = torch.zeros(3, 24, 32, dtype=dtype)
    masks[0, :, :10], masks[1, :12, 10:], masks[2, 12:, 10:] = 1, 1, 1
    regions = [
        PaintedRegion(
            str(k),
            mask,
            [
                StylePicture(
                    random(3, 20, 20, seed=k).to(dtype), torch.ones(20, 20).to(dtype), 1, ""
                )
            ],
            strength=k + 1.0,
            contour=float(k),
        )
        for k, mask in enumerate(masks)
    ]
    photo = random(3, 24, 32, seed=7).to(dtype)
    encoder, frozen = narrow_encoder(dtype=dtype), torch.zeros(24, 32, dtype=dtype)
    picture = random(1, 3, 24, 32, seed=8).to(dtype).requires_grad_()
    seen = []
    for order in ([0, 1, 2], [2, 0, 1]):
        problem = Problem(photo, photo, photo, [regions[k] for k in order], frozen)
        terms = Objective(encoder, problem, plan_of(), (24, 32))(picture)
        (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), picture)
        seen.append((terms, gradient))
    rounding = 1e-5 if dtype == torch.float32 else 1e-12
    (terms, gradient), (swapped, other) = seen
    for name, value in terms.items():
        assert swapped[name].item() == pytest.approx(value.item(), rel=rounding), name
    assert (gradient - other).abs().max() < rounding * gradient.abs().max()


def test_an_empty_region_changes_nothing() -> None:
    problem = problem_of(16, 16)
    empty = PaintedRegion("empty", torch.zeros(16, 16).double(), [style(9, 16, 16)])
    with_empty = Problem(
        problem.content, problem.photo, problem.start, [empty, *problem.regions], problem.frozen
    )
    picture = random(1, 3, 16, 16)
    wanted = Objective(narrow_encoder(), problem, plan_of(), (16, 16))(picture)
    found = Objective(narrow_encoder(), with_empty, plan_of(), (16, 16))(picture)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_composition_is_the_light_of_the_small_picture_against_what_was_composed() -> None:
    """By explicit loops; color and what is finer are free."""
    light, weight = random(1, 3, 4), random(3, 4, seed=1)
    loss = Composition(light, weight, pull=2.0)
    picture = random(1, 3, 6, 8, seed=2)
    error = 0.0
    for row in range(3):
        for column in range(4):
            square = picture[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            found = square.sum().item() / 12
            error += weight[row, column].item() * (found - light[0, row, column].item()) ** 2
    wanted = 2 * error / 12 / light.var().item()
    assert loss.terms(picture)["composition"].item() == pytest.approx(wanted)
    free = light.repeat_interleave(2, 1).repeat_interleave(2, 2).expand(3, 6, 8).clone()
    free[0] += 0.1
    free[2] -= 0.1
    free[:, ::2] += 0.2
    free[:, 1::2] -= 0.2
    assert loss.terms(free[None])["composition"].item() == pytest.approx(0, abs=1e-12)


def test_finer_levels_are_held_to_what_was_composed_and_the_others_are_not() -> None:
    problem = problem_of(16, 20)
    encoder, picture = narrow_encoder(), random(1, 3, 16, 20)
    assert "composition" not in Objective(encoder, problem, plan_of(), (16, 20))(picture)
    small = replace(problem, composed=random(3, 8, 10, seed=3))
    assert "composition" in Objective(encoder, small, plan_of(), (16, 20))(picture)
    same = replace(problem, composed=random(3, 16, 20, seed=3))
    assert "composition" not in Objective(encoder, same, plan_of(), (16, 20))(picture)
