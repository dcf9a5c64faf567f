"""Every recipe of the gallery is valid for editors and runs on its photo."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from workbench import run

from layered_nst.recipe import json_schema

RECIPES = Path(__file__).parent.parent / "recipes"
GALLERY = sorted(RECIPES.glob("**/*.yaml"))
VALIDATOR = Draft202012Validator(json_schema())

each_recipe = pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)


def test_the_gallery_has_at_least_ten_recipes() -> None:
    assert len(GALLERY) >= 10


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@each_recipe
def test_a_gallery_recipe_agrees_with_the_schema(path: Path) -> None:
    errors = list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text("utf-8"))))
    assert not errors, errors[0].message


@each_recipe
def test_a_gallery_recipe_begins_with_a_comment_that_says_what_it_shows(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# ")


@each_recipe
def test_a_gallery_recipe_finds_all_its_regions(path: Path) -> None:
    ran = run("check", path, "--size", "96", "--strict", "--json")
    assert ran.code == 0, ran.err
    assert all(share > 0.01 for share in ran.json["coverage"].values())
    assert sum(ran.json["coverage"].values()) == pytest.approx(1, abs=1e-3)
    assert not [note for note in ran.json["notes"] if "empty" in note]
