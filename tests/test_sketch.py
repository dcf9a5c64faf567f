"""What is composed: small, and alike whatever the size and quality of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from layered_nst import apply
from layered_nst.api import prepare
from layered_nst.errors import Interrupted, LayeredNstWarning
from layered_nst.painting.progress import Progress
from layered_nst.recipe import load_recipe
from layered_nst.regions import RegionMasks
from layered_nst.scene import eyes, resolving
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.looks import planned
from layered_nst.strategies.problems import problem
from layered_nst.strategies.product_first import cut_out, with_product
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
SIZE = 170


def steps(size: int) -> dict[str, Any]:
    return {"optimize.levels": [128, size], "optimize.steps": [3, 1], "optimize.tolerance": 0}


def composed(size: int, quality: str) -> Tensor:
    """The picture after the level that lays strokes out."""
    seen: list[Progress] = []
    apply(RECIPE, size=size, quality=quality, overrides=steps(size), on_progress=seen.append)
    return [told.picture for told in seen if told.level == 1][-1]


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


def test_a_product_that_was_painted_first_is_composed_around_at_the_results_size() -> None:
    scene = resolve(load_recipe({**RECIPE, "size": 200}), sketch=256)
    asked = problem(scene, planned(scene))
    assert asked.sketch is not None
    assert asked.at(128) is asked.sketch
    assert asked.at(200) is asked
    product = cut_out(asked, scene.mask("air"), ("air",), whole(scene.size))
    assert product.sketch is None
    around = with_product(asked, asked.start * 0, product, whole(scene.size))
    assert around.at(128) is around
