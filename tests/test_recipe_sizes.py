"""``output.size`` is ``size``: whoever states it last is heard, and one recipe states it once."""

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
