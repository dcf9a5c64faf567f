"""Presets, and how a recipe's ``optimize`` overrides them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from layered_nst.painting.plan import (
    COMPOSING_STEPS,
    HEAVY,
    LIGHT,
    LIGHT_TUNING,
    NEAREST,
    PRESETS,
    Composing,
    Level,
    Tuning,
    composing,
    make_plan,
)
from layered_nst.recipe import Optimize
from layered_nst.styles.layers import STYLE_LAYERS

COMPOSED = Composing().sides


def sides(size: tuple[int, int], **keys: object) -> list[int]:
    return [level.longest for level in make_plan(Optimize(**keys), size).levels]


def steps(size: tuple[int, int], **keys: object) -> list[int]:
    return [level.steps for level in make_plan(Optimize(**keys), size).levels]


@pytest.mark.parametrize("quality", PRESETS)
@pytest.mark.parametrize("longest", [1, 60, 128, 129, 400, 512, 1024, 3000])
def test_levels_rise_to_the_size_of_the_result(quality: str, longest: int) -> None:
    found = sides((longest, max(1, longest // 2)), quality=quality)
    assert found[-1] == longest
    widest = max(PRESETS[quality].ratio, COMPOSED[-1] / COMPOSED[-2]) * NEAREST
    for low, high in pairwise(found):
        assert low < high
        assert low in COMPOSED or high / low >= NEAREST
        assert high / low <= widest * 1.01


@pytest.mark.parametrize("start", ["color", "strokes", "lines"])
@pytest.mark.parametrize("longest", [370, 400, 768, 1024, 1536, 3508])
def test_all_qualities_and_sizes_are_composed_at_the_same_levels(longest: int, start: str) -> None:
    composed = composing(start).sides
    wanted = make_plan(Optimize(start=start), (2000, 1000)).levels[: len(composed)]
    assert [level.longest for level in wanted] == [*composed]
    assert {level.encoder for level in wanted} == {LIGHT}
    for quality in PRESETS:
        plan = make_plan(Optimize(quality=quality, start=start), (longest, longest // 2))
        assert plan.levels[: len(composed)] == wanted
        assert plan.levels[len(composed)].longest > composed[-1]


@pytest.mark.parametrize("quality", PRESETS)
@pytest.mark.parametrize("longest", [129, 320, 512, 1024, 3000])
@pytest.mark.parametrize("encoder", [None, "light", "hed-vgg16", "vgg19"])
def test_a_level_has_what_its_encoder_is_tuned_for_where_the_quality_chooses(
    quality: str, longest: int, encoder: str | None
) -> None:
    preset, plan = PRESETS[quality], make_plan(Optimize(quality=quality), (longest, 100), encoder)
    plain = make_plan(Optimize(quality=quality), (longest, 100), "vgg19")
    tunings = {LIGHT: LIGHT_TUNING, HEAVY: preset.finish} if encoder is None else {}
    for level, untuned in zip(plan.levels, plain.levels, strict=True):
        tuned = tunings.get(level.encoder, Tuning())
        assert level.steps == round(untuned.steps * tuned.steps_at(level.longest))
        there = plan.at(level)
        assert there.style == pytest.approx(plan.style * tuned.style)
        assert there.contour == pytest.approx(plan.contour * tuned.style)
        assert there.total_variation == pytest.approx(plan.total_variation * tuned.total_variation)
        assert there.content == pytest.approx(plan.content * tuned.content)


@pytest.mark.parametrize("quality", PRESETS)
def test_steps_fall_from_the_coarsest_level_to_the_finest(quality: str) -> None:
    preset = PRESETS[quality]
    counts = [
        level.steps for level in make_plan(Optimize(quality=quality), (700, 1024), "x").levels
    ]
    composing, finer = counts[: len(COMPOSED)], counts[len(COMPOSED) :]
    assert composing[0] == COMPOSING_STEPS[0]
    assert finer[-1] == preset.last_steps
    for falling in (composing, finer):
        assert all(low >= high for low, high in pairwise(falling))


def test_the_larger_a_standard_picture_the_fewer_steps_it_takes_at_its_own_size() -> None:
    counts = [steps((side, side))[-1] for side in (400, 640, 1024, 2000)]
    assert counts == [40, 28, 20, 20]


@pytest.mark.parametrize("encoder", ["hed-vgg16", "light"])
def test_levels_of_an_encoder_that_is_named_have_the_weights_of_the_plan(encoder: str) -> None:
    plan = make_plan(Optimize(), (320, 240), encoder)
    assert all((level.style, level.content) == (1, 1) for level in plan.levels)
    assert plan.levels[0].steps == COMPOSING_STEPS[0]


def test_who_gives_the_steps_gets_just_these() -> None:
    assert steps((320, 240), steps=20) == [20, 20, 20, 20]
    assert steps((320, 240), steps=(40, 20)) == [40, 40, 40, 20]


def test_a_plan_at_a_level_has_its_weights_and_no_other_change() -> None:
    keys = {"style": 10.0, "contour": 4.0, "total_variation": 0.5}
    plan = make_plan(Optimize(**keys), (320, 240))
    there = plan.at(Level(100, 5, "light", style=3.0))
    found = (there.style, there.contour, there.total_variation, there.pull)
    assert found == pytest.approx((30.0, 12.0, 0.5, 3.0))
    assert replace(there, **keys, pull=1.0) == plan


def test_a_better_quality_takes_more_levels_and_steps() -> None:
    plans = [make_plan(Optimize(quality=q), (700, 1024)) for q in ("draft", "standard", "fine")]
    counts = [len(plan.levels) for plan in plans]
    assert counts == sorted(counts)
    work = [sum(level.steps for level in plan.levels) for plan in plans]
    assert work == sorted(set(work))


@pytest.mark.parametrize(
    ("quality", "heavy"), [("draft", 0), ("standard", 1), ("fine", 3), ("print", 0)]
)
def test_the_finest_levels_see_with_the_heavy_encoder(quality: str, heavy: int) -> None:
    plan = make_plan(Optimize(quality=quality), (700, 1024))
    encoders = [level.encoder for level in plan.levels]
    light = len(encoders) - heavy
    assert light >= len(COMPOSED)
    assert encoders == ["light"] * light + ["hed-vgg16"] * heavy
    assert plan.encoders == tuple(dict.fromkeys(encoders))


def test_a_picture_of_one_level_is_seen_by_the_encoder_of_the_finest() -> None:
    assert make_plan(Optimize(), (90, 100)).encoders == ("hed-vgg16",)
    assert make_plan(Optimize(quality="draft"), (90, 100)).encoders == ("light",)


@pytest.mark.parametrize("quality", PRESETS)
def test_an_encoder_that_is_named_sees_at_all_levels(quality: str) -> None:
    named = make_plan(Optimize(quality=quality), (700, 1024), "vgg19")
    chosen = make_plan(Optimize(quality=quality), (700, 1024))
    assert named.encoders == ("vgg19",)
    assert [v.longest for v in named.levels] == [v.longest for v in chosen.levels]
    assert [v.steps for v in named.levels[:-1]] == [v.steps for v in chosen.levels[:-1]]


def test_a_step_of_the_light_encoder_costs_an_eighth() -> None:
    assert Level(100, 8, "light").cost == pytest.approx(1)
    assert Level(100, 8, "hed-vgg16").cost == Level(100, 8, "vgg19").cost == 8


def test_the_longer_side_counts_whichever_it_is() -> None:
    assert sides((300, 700)) == sides((700, 300)) == sides((700, 700))


def test_a_tiny_picture_is_one_level() -> None:
    assert sides((1, 1)) == [1]
    assert steps((1, 1)) == [round(COMPOSING_STEPS[0] * PRESETS["standard"].finish.steps)]
    assert sides((3, 100)) == [100]


def test_levels_of_the_recipe_end_at_the_size_of_the_result() -> None:
    assert sides((400, 300), levels=(100, 200)) == [100, 200, 400]
    assert sides((400, 300), levels=(100, 400)) == [100, 400]
    assert sides((150, 90), levels=(100, 200, 400)) == [100, 150]
    assert sides((50, 50), levels=(100, 200)) == [50]


def test_one_number_of_steps_is_for_every_level() -> None:
    assert steps((400, 300), levels=(100, 200), steps=7) == [7, 7, 7]
    assert steps((400, 300), levels=(100, 200), steps=0) == [0, 0, 0]


def test_a_list_of_steps_is_for_the_finest_levels() -> None:
    assert steps((400, 300), levels=(100, 400), steps=(9, 4)) == [9, 4]
    assert steps((400, 300), levels=(100, 200), steps=(9, 4)) == [9, 9, 4]
    assert steps((150, 90), levels=(100, 200, 400), steps=(9, 6, 3)) == [6, 3]


def test_layer_weights_sum_to_one_and_those_of_no_weight_are_not_computed() -> None:
    plan = make_plan(
        Optimize(layers={"conv1_1": 3, "conv2_1": 0, "conv4_3": 1}, content_layers={"conv4_2": 9}),
        (64, 64),
    )
    assert plan.layers == {"conv1_1": 0.75, "conv4_3": 0.25}
    assert plan.content_layers == {"conv4_2": 1}
    default = make_plan(Optimize(), (64, 64)).layers
    assert sum(default.values()) == pytest.approx(1)
    assert default["conv1_1"] / default["conv5_1"] == pytest.approx(256)
    assert list(default) == list(STYLE_LAYERS)


def test_every_key_of_the_recipe_arrives_in_the_plan() -> None:
    keys = {
        "style": 5.0,
        "content": 0.0,
        "total_variation": 0.0,
        "area_exponent": 0.5,
        "pooling": "average",
        "start": "noise",
        "optimizer": "adam",
        "learning_rate": 0.3,
        "history": 4,
        "tolerance": 0.0,
        "seed": 11,
    }
    plan = make_plan(Optimize(**keys), (64, 64))
    assert {key: getattr(plan, key) for key in keys} == keys


def test_each_optimizer_has_its_own_learning_rate() -> None:
    assert make_plan(Optimize(), (64, 64)).learning_rate == 1
    assert make_plan(Optimize(optimizer="adam"), (64, 64)).learning_rate == 0.02


@pytest.mark.parametrize("size", [(750, 3000), (3000, 750), (768, 1024), (1, 4), (600, 600)])
def test_strokes_are_sized_by_the_longest_side_up_to_four_to_one(size: tuple[int, int]) -> None:
    levels = make_plan(Optimize(), size).levels
    assert {level.strokes for level in levels} == {None}
    assert [level.strokes_for for level in levels] == [level.longest for level in levels]


@pytest.mark.parametrize("size", [(1, 8000), (8000, 1), (400, 4000), (40, 4000), (99, 400)])
def test_in_wider_pictures_strokes_are_those_of_four_to_one_with_the_same_area(
    size: tuple[int, int],
) -> None:
    for level in make_plan(Optimize(), size).levels:
        pixels = size[0] * size[1] * (level.longest / max(size)) ** 2
        assert level.strokes_for == pytest.approx(2 * math.sqrt(pixels), abs=0.5)
        # A style that has the aspect ratio of a square is read at 4 times the picture's pixels.
        assert level.strokes_for**2 <= 4 * pixels + 2 * level.strokes_for + 1
