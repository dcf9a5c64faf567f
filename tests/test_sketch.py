"""What is composed: small, and alike whatever the size and quality of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from layered_nst import apply
from layered_nst.api import prepare
from layered_nst.errors import Interrupted, LayeredNstWarning
from layered_nst.painting.progress import Progress
from layered_nst.picture import average
from layered_nst.recipe import load_recipe
from layered_nst.regions import RegionMasks
from layered_nst.scene import eyes, resolving
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.looks import planned
from layered_nst.strategies.problems import problem
from layered_nst.strategies.product_first import around, composed_in, cut_out, with_product
from layered_nst.strategies.windows import whole

ASSETS = Path(__file__).parents[1] / "assets"
RECIPE: dict[str, Any] = {
    "recipe": 1,
    "content": str(ASSETS / "photos" / "castle.jpg"),
    "regions": [
        {"name": "land", "select": "rest", "style": str(ASSETS / "styles" / "ink.jpg")},
        {
            "name": "air",
            "select": {"box": [0, 0, 1, 0.4]},
            "style": str(ASSETS / "styles" / "swirl.jpg"),
            "color": "luminance",
        },
    ],
}
SIZE = 220


def steps(size: int) -> dict[str, Any]:
    return {"optimize.levels": [128, size], "optimize.steps": [3, 1], "optimize.tolerance": 0}


def told(size: int, quality: str, recipe: dict[str, Any] = RECIPE) -> list[Progress]:
    """What is told of the last step of each stage's level that lays strokes out."""
    seen: dict[str, Progress] = {}

    def see(progress: Progress) -> None:
        if progress.level == 1:
            seen[progress.stage] = replace(progress, picture=progress.picture.clone())

    apply(recipe, size=size, quality=quality, overrides=steps(size), on_progress=see)
    return list(seen.values())


def composed(size: int, quality: str) -> Tensor:
    """The picture after the level that lays strokes out."""
    return told(size, quality)[-1].picture


def test_results_of_all_sizes_and_qualities_are_composed_alike_to_the_last_bit() -> None:
    wanted = composed(SIZE, "draft")
    assert wanted.shape == (3, 96, 128)
    assert torch.equal(composed(301, "draft"), wanted)
    assert torch.equal(composed(SIZE, "fine"), wanted)


def test_a_run_stopped_while_it_composes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def painted(**options: Any) -> Tensor:
        return apply(RECIPE, size=SIZE, overrides=steps(SIZE), quality="draft", **options).rgb

    def stop(told: Progress) -> None:
        if told.step == 2:
            raise KeyboardInterrupt

    path = tmp_path / "look.checkpoint"
    with pytest.raises(Interrupted):
        painted(checkpoint=path, on_progress=stop)
    with pytest.warns(LayeredNstWarning, match="level 1"):
        found = painted(checkpoint=path, resume=True)
    assert torch.equal(found, painted())


def test_only_what_is_to_be_composed_has_a_sketch(tmp_path: Path) -> None:
    def sketch_of(**keys: Any) -> Any:
        return prepare(load_recipe({**RECIPE, **keys}))[0].sketch

    found = sketch_of(size=700)
    assert max(found.size) == 256
    assert found.notes == ()
    assert sketch_of(size=150) is None
    assert sketch_of(size=700, optimize={"quality": "instant"}) is None
    approved = tmp_path / "approved.png"
    apply(RECIPE, size=64, quality="draft", steps=1).save(approved)
    assert sketch_of(size=700, approved=str(approved)) is None
    assert resolve(load_recipe({**RECIPE, "size": 700})).sketch is None


@pytest.mark.parametrize(("size", "looks"), [(300, 1), (768, 1), (800, 2)])
def test_faces_are_looked_for_again_only_where_the_result_shows_more(
    monkeypatch: pytest.MonkeyPatch, size: int, looks: int
) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(eyes, "load_detector", lambda device: None)
    monkeypatch.setattr(eyes, "detect_faces", lambda _, view: seen.append(tuple(view.shape)) or ())
    face = {**RECIPE["regions"][0], "name": "face", "select": {"face": "all"}, "if_empty": "skip"}
    stated = {**RECIPE, "size": size, "regions": [*RECIPE["regions"], face]}
    assert resolve(load_recipe(stated), sketch=256).sketch is not None
    assert len(seen) == looks
    assert max(seen[-1]) == 768


def test_where_other_regions_are_found_so_small_those_of_the_result_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = resolving.Scenery.find

    def turned(self: Any, selected: Any, photo: Any, picture: Any, seen: Any, **given: Any) -> Any:
        masks = find(self, selected, photo, picture, seen, **given)
        if max(picture.size) > 256:
            return masks
        return RegionMasks(masks.names, masks.masks.flip(1))

    recipe = load_recipe({**RECIPE, "size": 512})
    own = resolve(recipe, sketch=256).sketch
    monkeypatch.setattr(resolving.Scenery, "find", turned)
    found = resolve(recipe, sketch=256).sketch
    assert own is not None
    assert found is not None
    assert (found.masks.masks - own.masks.masks).abs().mean() < 0.01
    assert not torch.equal(found.masks.masks, own.masks.masks)


PRODUCT = {**RECIPE, "strategy": "product-then-style", "product": ["air"]}


def test_a_product_is_painted_and_composed_around_alike_at_all_sizes_and_qualities() -> None:
    wanted = told(170, "draft", PRODUCT)
    assert [(p.stage, p.level) for p in wanted] == [("product", 1), ("style", 1)]
    for found in (told(301, "draft", PRODUCT), told(170, "fine", PRODUCT)):
        for here, there in zip(found, wanted, strict=True):
            assert here.losses == there.losses
        assert torch.equal(found[1].picture, wanted[1].picture)


def test_the_whole_is_given_the_product_of_its_sketch_with_the_photos_detail() -> None:
    scene = resolve(load_recipe({**PRODUCT, "size": 400}), sketch=256)
    asked, air = problem(scene, planned(scene)), scene.mask("air")
    assert asked.sketch is not None
    red = torch.tensor([0.8, 0.3, 0.3])[:, None, None].expand_as(asked.sketch.start)
    given = around(asked, replace(asked.sketch, start=red, content=red), air)
    assert given.at(128) is given.sketch
    assert torch.equal(given.start[:, air == 0], asked.start[:, air == 0])
    assert torch.equal(given.content[:, air > 0], given.start[:, air > 0])
    within = given.start[:, air > 0]
    assert torch.allclose(within.mean(1), red[:, 0, 0], atol=0.02)
    shown, photo = (x[1, :100] - x[1, :100].mean() for x in (given.start, asked.photo))
    fine = [
        x - average(x[None], (50, 200)).repeat_interleave(2, 1).repeat_interleave(2, 2)[0]
        for x in (shown, photo)
    ]
    assert torch.corrcoef(torch.stack(fine).flatten(1))[0, 1] > 0.5


def test_a_product_that_its_sketch_does_not_show_is_painted_at_the_results_size() -> None:
    scene = resolve(load_recipe({**PRODUCT, "size": 200}), sketch=256)
    plan = planned(scene)
    assert composed_in(scene, plan)[0] is scene.sketch
    assert scene.sketch is not None
    none = RegionMasks(("land", "air"), torch.stack([torch.ones(192, 256), torch.zeros(192, 256)]))
    blind = replace(scene, sketch=replace(scene.sketch, masks=none))
    assert composed_in(blind, plan) == (blind, plan)
    coarsest = replace(plan, levels=plan.levels[-1:])
    assert composed_in(scene, coarsest) == (scene, coarsest)
    asked = problem(scene, plan)
    window = whole(scene.size)
    product = cut_out(asked, scene.mask("air"), ("air",), window)
    assert product.sketch is None
    after = with_product(asked, asked.start * 0, product, window)
    assert after.at(128) is after


def test_regions_that_the_sketch_has_lost_are_those_of_the_result() -> None:
    small = torch.zeros(2, 40, 60)
    small[1, :4, :6] = 1  # a hundredth of the picture
    small[0] = 1 - small[1]
    lost = torch.stack([torch.ones(40, 60), torch.zeros(40, 60)])
    names = ("land", "air")
    result = RegionMasks(names, small)
    chosen = resolving._those_of(result, (40, 60), RegionMasks(names, lost))
    assert torch.equal(chosen.masks, small)
    moved = RegionMasks(names, small.roll(1, 2))
    assert resolving._those_of(result, (40, 60), moved) is moved
