"""Two strategies: everything at once, or the product first and the styles around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow import narrow_encoder
from torch import Tensor
from workbench import lay_out

from layered_nst.errors import RecipeError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.levels import optimize, work
from layered_nst.painting.plan import LIGHT, Level, Plan, make_plan
from layered_nst.painting.problem import Problem
from layered_nst.painting.progress import Progress
from layered_nst.recipe import Optimize, load_recipe
from layered_nst.scene.resolving import resolve
from layered_nst.scene.scene import Scene
from layered_nst.strategies import problems, product_first
from layered_nst.strategies import run as running
from layered_nst.strategies.problems import problem
from layered_nst.strategies.run import Run, paint, stages
from layered_nst.strategies.stages import Stage
from layered_nst.styles.style import picture_moments

RECIPE = {
    "recipe": 1,
    "content": "photo.png",
    "size": 64,
    "strategy": "product-then-style",
    "product": ["cup"],
    "regions": [
        {"name": "table", "select": "rest", "style": "stripes.png"},
        {"name": "cup", "select": {"box": [0.4, 0.3, 0.7, 0.7]}, "style": "dots.png"},
    ],
}


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


@pytest.fixture
def scene(look: Path) -> Callable[..., Scene]:
    def make(**keys: Any) -> Scene:
        return resolve(load_recipe({**RECIPE, **keys}, overrides={}))

    return make


def plan_of(*levels: tuple[int, int], **keys: Any) -> Plan:
    plan = make_plan(Optimize(**keys), (48, 64))
    return replace(plan, levels=tuple(Level(*level) for level in levels))


PLAN = plan_of((16, 3), (32, 3), (64, 2))


def run(scene: Scene, encoder: Encoder, plan: Plan = PLAN) -> tuple[Tensor, list[Progress]]:
    seen: list[Progress] = []

    def keep(progress: Progress) -> None:
        seen.append(replace(progress, picture=progress.picture.clone()))

    return paint(scene, encoder, plan, on_progress=keep), seen


def test_joint_is_one_stage_over_the_whole_picture(
    scene: Callable[..., Scene], encoder: Encoder
) -> None:
    found = scene(strategy="joint")
    picture, seen = run(found, encoder)
    assert {progress.stage for progress in seen} == {"joint"}
    asked = problem(found, PLAN)
    assert torch.equal(picture, problems.finished(optimize(encoder, asked, PLAN), found))


def test_the_product_comes_first_and_the_progress_names_the_stage(
    scene: Callable[..., Scene], encoder: Encoder
) -> None:
    _, seen = run(scene(), encoder)
    names = [progress.stage for progress in seen]
    assert names == ["product"] * len(names[:-8]) + ["style"] * 8
    assert names[0] == "product"
    terms = {name.split(".")[1] for name in seen[0].losses if name.startswith("style.")}
    assert terms == {"cup"}
    assert any(name.startswith("contour.") for name in seen[0].losses)
    assert {n.split(".")[1] for n in seen[-1].losses if n.startswith("style.")} == {"table", "cup"}


def test_progress_speaks_of_the_whole_work(scene: Callable[..., Scene], encoder: Encoder) -> None:
    _, seen = run(scene(), encoder)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    parts = stages(scene(), PLAN)
    last = max(i for i, progress in enumerate(seen) if progress.stage == "product")
    assert done[last] == pytest.approx(parts[0].work / (parts[0].work + parts[1].work))
    assert all(progress.seconds_left >= 0 for progress in seen)


def test_previews_of_the_product_show_the_whole_picture(
    scene: Callable[..., Scene], encoder: Encoder
) -> None:
    found = scene()
    _, seen = run(found, encoder)
    asked = problem(found, PLAN)
    for progress in seen:
        height, width = progress.size
        assert progress.picture.shape == (3, height, width)
        assert width / height == pytest.approx(64 / 48, rel=0.1)
    # Far from the cup nothing has been painted yet.
    corner = seen[0].picture[:, :4, :4].mean((1, 2))
    assert torch.allclose(corner, asked.start[:, :16, :16].mean((1, 2)), atol=0.06)


def test_the_style_stage_starts_from_the_painted_product(
    scene: Callable[..., Scene], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Problem] = {}
    usual = running.optimize

    def remember(encoder: Encoder, problem: Problem, plan: Plan, **keys: Any) -> Tensor:
        asked[keys["stage"]] = problem
        return usual(encoder, problem, plan, **keys)

    monkeypatch.setattr(running, "optimize", remember)
    found = scene()
    run(found, encoder)
    before, cup = problem(found, PLAN), found.mask("cup")
    change = (asked["style"].start - before.start).abs().mean(0)
    assert change[cup > 0.99].mean() > 0.01
    assert torch.equal(asked["style"].start[:, cup == 0], before.start[:, cup == 0])
    assert torch.equal(asked["style"].content[:, cup > 0.99], asked["style"].start[:, cup > 0.99])
    assert torch.equal(asked["style"].photo, before.photo)
    assert [region.name for region in asked["product"].regions] == ["cup"]
    assert asked["product"].regions[0].contour == 1


def test_a_photo_without_the_product_is_painted_in_one_stage(scene: Callable[..., Scene]) -> None:
    regions = [RECIPE["regions"][0], {**RECIPE["regions"][1], "select": {"color": "#ff00ff"}}]
    found = scene(regions=regions)
    assert [stage.name for stage in stages(found, PLAN)] == ["style"]


@pytest.mark.parametrize("quality", ["draft", "standard", "fine"])
@pytest.mark.parametrize("size", [256, 400, 512, 768, 1024, 2048])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_painting_the_product_first_costs_at_most_four_tenths_more(
    quality: str, size: int, share: float
) -> None:
    """Steps times pixels, even if the product is the whole picture."""
    whole = (size * 3 // 4, size)
    plan = make_plan(Optimize(quality=quality), whole)
    window = (slice(0, round(whole[0] * share)), slice(0, round(whole[1] * share)))
    own = product_first.plan_for_window(plan, window, whole)
    cost = Stage("product", own, window).work / sum(work(plan, whole))
    assert cost <= 0.4
    # A small product is painted at every level, and what is left out was too dear.
    if share == 0.1:
        assert len(own.levels) == len(plan.levels)
    elif len(own.levels) < len(plan.levels):
        assert cost > 0.1


def test_a_level_that_is_too_dear_is_tuned_like_the_others_of_the_light_encoder() -> None:
    whole = (768, 1024)
    plan = make_plan(Optimize(), whole)
    light = {v.style for v in plan.levels if v.encoder == LIGHT}
    window = (slice(0, 700), slice(0, 900))
    own = product_first.plan_for_window(plan, window, whole)
    assert len(own.levels) == len(plan.levels)
    assert own.levels[-1].encoder == LIGHT
    assert {v.style for v in own.levels} == light
    assert light != {1.0}


def _box(corners: list[float]) -> dict[str, Any]:
    return {"name": "cup", "select": {"box": corners}, "style": "dots.png"}


@pytest.mark.parametrize("box", [[0.4, 0.3, 0.6, 0.6], [0.1, 0.3, 0.4, 0.5], [0, 0, 1, 0.9]])
def test_strokes_keep_their_size_in_the_window(
    scene: Callable[..., Scene], encoder: Encoder, box: list[float]
) -> None:
    """The product's stage asks for styles at the very sides of the whole picture's levels."""
    asked: dict[str, set[int]] = {"product": set(), "style": set()}
    now: list[str] = []

    def record(*arguments: Any, longest: int, **keys: Any) -> Any:
        asked[now[-1]].add(longest)
        return picture_moments(*arguments, longest=longest, **keys)

    sides = (23, 31, 45, 160)
    plan, cup = plan_of(*((side, 1) for side in sides)), {**_box(box), "scale": 1.3}
    found = replace(scene(regions=[RECIPE["regions"][0], cup], size=160), moments=record)
    run_ = Run(found, encoder, plan, lambda _: None, lambda _: None, {}, None)
    usual = run_.optimize
    run_.optimize = lambda stage, part: now.append(stage.name) or usual(stage, part)
    product_first.paint(run_)
    assert asked["product"]
    assert asked["product"] <= {round(side * 1.3) for side in sides}


def test_a_product_keeps_its_drawing_unless_the_recipe_says_otherwise(
    scene: Callable[..., Scene],
) -> None:
    def contours(**keys: Any) -> dict[str, float]:
        return {region.name: region.contour for region in problem(scene(**keys), PLAN).regions}

    assert contours() == {"table": 0, "cup": 1}
    assert contours(strategy="joint") == {"table": 0, "cup": 0}
    regions = [RECIPE["regions"][0], {**RECIPE["regions"][1], "contour": 0.3}]
    assert contours(regions=regions) == {"table": 0, "cup": pytest.approx(0.3**2.5)}


def test_content_and_contour_weigh_by_powers_so_that_steps_look_alike(
    scene: Callable[..., Scene],
) -> None:
    def weights(**keys: float) -> tuple[float, float]:
        regions = [{**RECIPE["regions"][0], **keys}, RECIPE["regions"][1]]
        (table, _) = problem(scene(regions=regions), PLAN).regions
        return table.content, table.contour

    assert weights() == weights(content=1, contour=0) == (1, 0)
    assert weights(content=0, contour=1) == (0, 1)
    assert weights(content=0.5, contour=0.5) == pytest.approx((1 / 8, 2**-2.5))
    assert weights(content=4, contour=4) == (8, 4)
    assert weights(content=1e300, contour=1e300) == (1e3**1.5, 1e300)  # no overflow


@pytest.mark.parametrize("start", ["noise", "strokes", "lines"])
def test_neither_noise_nor_strokes_have_a_product_to_start_from(look: Path, start: str) -> None:
    sentence = rf"optimize\.start: found {start}, allowed: color, content"
    with pytest.raises(RecipeError, match=sentence):
        load_recipe({**RECIPE, "optimize": {"start": start}})


def test_same_recipe_same_bytes(scene: Callable[..., Scene], encoder: Encoder) -> None:
    first, _ = run(scene(), encoder)
    second, _ = run(scene(), encoder)
    assert torch.equal(first, second)
