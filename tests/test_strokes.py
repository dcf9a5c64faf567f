"""Strokes cut out of styles and laid by light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from layered_nst.api import prepare
from layered_nst.painting.plan import COMPOSING, LINES, PRESETS, make_plan
from layered_nst.picture import average
from layered_nst.recipe import Optimize, load_recipe
from layered_nst.strategies.looks import settled
from layered_nst.strategies.problems import problem
from layered_nst.styles.strokes import COARSE, SIDE, chosen, strokes
from layered_nst.styles.style import StylePicture

ASSETS = Path(__file__).parents[1] / "assets"


def lines(size: tuple[int, int] = (192, 256)) -> Tensor:
    """Lines across light that grows darker, the further down the nearer to one another."""
    down = torch.linspace(0, 1, size[0])[:, None]
    across = torch.linspace(0, 1, size[1])[None]
    wave = torch.sin(400 * down * (1 + down / 4) + 3 * across)
    return (0.8 - 0.5 * down + 0.15 * wave).clamp(0, 1).expand(3, -1, -1).contiguous()


def style(rgb: Tensor, mask: Tensor | None = None) -> StylePicture:
    return StylePicture(rgb, torch.ones(rgb.shape[1:]) if mask is None else mask, 1.0, "lines")


def everywhere(rgb: Tensor) -> Tensor:
    return torch.ones(rgb.shape[1:])


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_a_style_laid_on_itself_has_its_own_strokes() -> None:
    rgb = lines()
    laid = chosen(rgb, everywhere(rgb), [style(rgb)])
    fine = rgb - torch.nn.functional.avg_pool2d(rgb, SIDE // COARSE * 2 + 1, 1, SIDE // COARSE)
    found = strokes(laid, [style(rgb)], (192, 256))
    assert correlation(found[:, 16:-16, 16:-16], fine[:, 16:-16, 16:-16]) > 0.95
    assert found.mean().abs() < 0.01


def test_the_same_strokes_are_laid_at_all_sizes() -> None:
    rgb = lines()
    photo = rgb.flip(1).roll(40, 2)
    laid = chosen(photo, everywhere(photo), [style(rgb)])
    small, large = (strokes(laid, [style(rgb)], (h, h * 4 // 3)) for h in (192, 384))
    assert correlation(average(large, (192, 256)), small) > 0.9


def test_dark_parts_get_the_strokes_of_dark_parts() -> None:
    rgb = lines()
    photo = rgb.flip(1)
    laid = chosen(photo, everywhere(photo), [style(rgb)])
    rows = torch.tensor([[row, there] for row, _, _, there, _ in laid.patches]).float()
    assert torch.corrcoef(rows.T)[0, 1] < -0.9


def test_seeds_lay_other_patches_that_are_as_light() -> None:
    rgb = lines()
    photo = rgb.flip(1)
    first, again, other = (
        chosen(photo, everywhere(photo), [style(rgb)], seed=seed) for seed in (0, 0, 1)
    )
    assert first.patches == again.patches
    same = [a == b for a, b in zip(first.patches, other.patches, strict=True)]
    assert sum(same) < 0.7 * len(same)
    rows = torch.tensor([[row, there] for row, _, _, there, _ in other.patches]).float()
    assert torch.corrcoef(rows.T)[0, 1] < -0.9


def test_nothing_is_cut_from_what_is_no_style() -> None:
    rgb, mask = lines(), torch.ones(192, 256)
    mask[:, :100] = 0
    laid = chosen(rgb, everywhere(rgb), [style(rgb, mask)])
    assert laid.patches
    assert min(column for *_, column in laid.patches) >= 100


def test_strokes_are_laid_on_the_region_alone() -> None:
    rgb, mask = lines(), torch.zeros(192, 256)
    mask[:, 200:] = 1
    laid = chosen(rgb, mask, [style(rgb)])
    found = strokes(laid, [style(rgb)], (192, 256))
    assert float(found[:, :, 210:].std()) > 0.05
    assert not bool(found[:, :, :180].any())


@pytest.mark.parametrize(("height", "shown"), [(4, 1.0), (192, 0.0)])
def test_what_cannot_be_cut_adds_nothing(height: int, shown: float) -> None:
    rgb = lines((height, 256))
    laid = chosen(lines(), everywhere(lines()), [style(rgb, torch.full((height, 256), shown))])
    assert not bool(strokes(laid, [style(rgb)], (96, 128)).any())


@pytest.mark.parametrize("quality", PRESETS)
@pytest.mark.parametrize("longest", [512, 1024, 3508])
def test_what_begins_with_lines_is_composed_where_they_are_seen(quality: str, longest: int) -> None:
    wanted = make_plan(Optimize(start="lines"), (512, 300)).levels[0]
    plan = make_plan(Optimize(start="lines", quality=quality), (longest, longest // 2))
    assert plan.levels[0] == wanted
    assert wanted.longest == COMPOSING[LINES].sides[0]


def test_what_is_smaller_than_that_is_composed_at_its_own_size() -> None:
    (small,) = make_plan(Optimize(start="lines", quality="draft"), (350, 300)).levels
    assert small.steps > 4 * PRESETS["draft"].last_steps


def test_strokes_that_lie_there_are_not_melted_by_the_coarsest_level_in_the_same_time() -> None:
    smooth, laid = (
        make_plan(Optimize(start=start), (512, 300)).levels for start in ("color", "strokes")
    )
    assert [level.longest for level in laid] == [level.longest for level in smooth][1:]
    assert laid[2:] == smooth[3:]
    work = [
        sum(level.steps * level.longest**2 for level in levels if level.longest <= 256)
        for levels in (smooth, laid)
    ]
    assert work[1] == pytest.approx(work[0], rel=0.05)


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ({}, "strokes"),
        ({"optimize.start": "color"}, "color"),
        ({"optimize.quality": "instant"}, "color"),
        ({"strategy": "product-then-style", "product": "[thing]"}, "color"),
        (
            {"strategy": "product-then-style", "product": "[thing]", "optimize.start": "content"},
            "content",
        ),
    ],
)
def test_a_recipe_begins_with_strokes_unless_it_has_something_else_there(
    said: dict[str, str], start: str
) -> None:
    recipe = {
        "recipe": 1,
        "content": str(ASSETS / "photos" / "castle.jpg"),
        "regions": [
            {"name": "rest", "select": "rest", "style": str(ASSETS / "styles" / "ink.jpg")},
            {
                "name": "thing",
                "select": {"box": [0, 0, 1, 0.4]},
                "style": str(ASSETS / "styles" / "swirl.jpg"),
            },
        ],
    }
    overrides = [f"{key}={value}" for key, value in said.items()]
    assert settled(load_recipe(recipe, overrides=overrides)).start == start


def test_a_picture_begins_with_strokes_but_where_it_stays_the_photo() -> None:
    recipe: dict[str, Any] = {
        "recipe": 1,
        "content": str(ASSETS / "photos" / "castle.jpg"),
        "size": 120,
        "optimize": {"quality": "draft"},
        "regions": [
            {"name": "land", "select": "rest", "style": str(ASSETS / "styles" / "pencil.jpg")},
            {"name": "air", "select": {"box": [0, 0, 1, 0.4]}, "protect": True, "feather": 0},
        ],
    }
    plain, drawn = (
        problem(*prepare(load_recipe(recipe, overrides=[f"optimize.start={start}"]), cache=False))
        for start in ("color", "strokes")
    )
    assert torch.equal(plain.content, drawn.content)
    assert torch.equal(drawn.start[:, :30], drawn.photo[:, :30])
    assert float((drawn.start - plain.start)[:, 45:].std()) > 0.03
