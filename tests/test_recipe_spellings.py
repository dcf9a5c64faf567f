"""Two spellings of a key are one: whoever states it last is heard, one recipe states it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from layered_nst.errors import RecipeError
from layered_nst.recipe import dump_recipe, json_schema, load_recipe

RECIPE: dict[str, Any] = {
    "recipe": 1,
    "regions": [{"name": "all", "select": "rest", "protect": True}],
}
BODY = "recipe: 1\nregions: [{name: all, select: rest, protect: true}]\n"


def test_the_size_may_stand_in_output() -> None:
    recipe = load_recipe({**RECIPE, "output": {"size": 900, "dpi": 300}})
    assert (recipe.size, recipe.output.dpi) == (900, 300)
    assert load_recipe(recipe) == recipe
    assert "  size:" not in dump_recipe(recipe)


def test_stating_the_same_size_twice_is_no_mistake() -> None:
    assert load_recipe({**RECIPE, "size": 7, "output": {"size": 7}}).size == 7
    assert load_recipe({**RECIPE, "size": 7, "output": {"size": None}}).size == 7


def test_two_sizes_in_one_recipe_are_refused_with_both(tmp_path: Path) -> None:
    look = tmp_path / "look.yaml"
    look.write_text(f"{BODY}size: 800\noutput:\n  size: 900\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(look)
    assert str(caught.value).endswith("look.yaml:5: output.size: found 900 and size: 800, keep one")


def test_an_extending_recipe_has_the_last_word_however_it_spells_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"{BODY}size: 800\n")
    (tmp_path / "look.yaml").write_text("extends: base.yaml\noutput: {size: 900}\n")
    assert load_recipe(tmp_path / "look.yaml").size == 900
    (tmp_path / "more.yaml").write_text("extends: look.yaml\nsize: 700\n")
    assert load_recipe(tmp_path / "more.yaml").size == 700


def test_an_override_has_the_last_word_however_it_spells_it() -> None:
    stated = {**RECIPE, "output": {"size": 900}}
    assert load_recipe(stated, overrides=["size=500"]).size == 500
    assert load_recipe(stated, overrides=["output.size=400"]).size == 400
    assert load_recipe({**RECIPE, "size": 9}, overrides={"output.size": 300}).size == 300


def test_a_size_out_of_range_is_refused() -> None:
    with pytest.raises(RecipeError, match="size: found 0, allowed: a whole number from 1 to 32768"):
        load_recipe({**RECIPE, "output": {"size": 0}})


def test_editors_know_the_size_in_output() -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid({**RECIPE, "output": {"size": 900}})
    assert not validator.is_valid({**RECIPE, "output": {"size": "large"}})
    assert not validator.is_valid({**RECIPE, "output": {"size": 0}})


def flowing(**keys: Any) -> dict[str, Any]:
    """A recipe with one region of two styles and these keys."""
    region = {"name": "land", "select": "rest", "style": ["a.png", "b.png"], **keys}
    return {"recipe": 1, "regions": [region]}


def ends(source: Any, **options: Any) -> tuple[str, str] | None:
    """Between which sides the only region of a recipe flows."""
    flow = load_recipe(source, check_files=False, **options).regions[0].flow
    return None if flow is None else (flow.from_, flow.to)


UP = {"from": "bottom", "to": "top"}


def test_a_flow_may_be_called_blend_as_it_was_once() -> None:
    assert ends(flowing(blend=UP)) == ends(flowing(flow=UP)) == ("bottom", "top")
    assert "flow:" in dump_recipe(load_recipe(flowing(blend=UP), check_files=False))


def test_one_region_has_one_flow() -> None:
    both = (
        r"^regions\.land\.blend: has both flow and blend, which is another word for it, keep one$"
    )
    with pytest.raises(RecipeError, match=both):
        load_recipe(flowing(blend=UP, flow=UP), check_files=False)


@pytest.mark.parametrize(("below", "above"), [("flow", "blend"), ("blend", "flow")])
def test_a_flow_has_its_last_word_however_it_is_spelled(
    below: str, above: str, tmp_path: Path
) -> None:
    base = f"{{name: land, select: rest, style: [a.png, b.png], {below}: {{from: left, to: top}}}}"
    (tmp_path / "base.yaml").write_text(f"recipe: 1\nregions: [{base}]\n")
    look = tmp_path / "look.yaml"
    look.write_text(f"extends: base.yaml\nregions: [{{name: land, {above}: {{from: bottom}}}}]\n")
    assert ends(look) == ("bottom", "top")
    look.write_text(f"extends: base.yaml\nregions: [{{name: land, {above}: }}]\n")
    assert ends(look) is None
    asked = [f"regions.land.{above}.to=right", f"regions.land.{below}.to=bottom"]
    assert ends(tmp_path / "base.yaml", overrides=asked[:1]) == ("left", "right")
    assert ends(tmp_path / "base.yaml", overrides=asked) == ("left", "bottom")


def test_a_message_calls_a_key_as_it_was_written() -> None:
    with pytest.raises(RecipeError, match=r"^regions\.land\.blend\.from: found 'lft', allowed"):
        ends(flowing(blend={"from": "lft", "to": "right"}))
    with pytest.raises(RecipeError, match=r"^regions\.land\.flow\.to: is missing$"):
        ends(flowing(flow={"from": "left"}))
    with pytest.raises(
        RecipeError, match=r"^`overrides` regions\.land\.blend\.to: found 5, allowed"
    ):
        ends(flowing(flow=UP), overrides=["regions.land.blend.to=5"])
    with pytest.raises(RecipeError, match=r"^output\.size: found 'big', allowed: a whole number"):
        load_recipe({**RECIPE, "output": {"size": "big"}})


def test_the_last_of_several_overrides_is_heard_however_it_is_spelled() -> None:
    sizes = ["output.size=400", "size=500"]
    assert load_recipe(RECIPE, overrides=sizes).size == 500
    assert load_recipe(RECIPE, overrides=sizes[::-1]).size == 400


def test_editors_know_both_words_for_a_flow() -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid(flowing(flow=UP))
    assert validator.is_valid(flowing(blend=UP))
    assert not validator.is_valid(flowing(blend={"from": "lft", "to": "right"}))
    assert not validator.is_valid(flowing(blend=UP, flow=UP))
