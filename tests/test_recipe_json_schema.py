"""The JSON Schema agrees with the loader about what a recipe is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from layered_nst.errors import RecipeError
from layered_nst.recipe import dump_recipe, json_schema, load_recipe
from layered_nst.recipe.yaml_positions import parse_yaml

GALLERY = sorted((Path(__file__).parent.parent / "recipes").glob("**/*.yaml"))
VALIDATOR = Draft202012Validator(json_schema())

SKY = {"name": "sky", "select": {"class": "sky"}, "style": "a.png"}
GOOD: dict[str, dict[str, Any]] = {
    "short": {"recipe": 1, "regions": [SKY]},
    "styles": {
        "recipe": 1,
        "regions": [
            {"name": "a", "select": "rest", "style": {"image": "a.png", "mask": "m.png"}},
            {"name": "b", "select": "rest", "style": ["a.png", {"library": "x", "weight": 2}]},
            {"name": "c", "select": "rest", "protect": True},
            {"name": "d", "select": "rest", "style": "a.png", "protect": False},
        ],
    },
    "selectors": {
        "recipe": 1,
        "regions": [
            {"name": str(i), "style": "a.png", "select": select}
            for i, select in enumerate(
                [
                    "rest",
                    {"class": ["a", "b"], "largest": 2, "threshold": 0.5},
                    {"mask": "m.png"},
                    {"box": [0, 0, 1, 1], "unit": "px"},
                    {"ellipse": [0, 0, 1, 1]},
                    {"polygon": [[0, 0], [1, 0], [1, 1]]},
                    {"color": "#ff0000", "tolerance": 3},
                    {"color": [255, 0, 0]},
                    {"alpha": True},
                    {"any": [{"all": [{"not": {"class": "sky"}}, "rest"]}]},
                ]
            )
        ],
    },
    "everything": {
        "recipe": 1,
        "name": "x",
        "content": "a.jpg",
        "size": 64,
        "encoder": "vgg19",
        "segmentation": {
            "architecture": "DeepLabV3",
            "encoder": "resnet18",
            "weights": "w.pth",
            "classes": ["a", "b"],
            "mean": [0.1, 0.2, 0.3],
            "std": 0.5,
        },
        "strategy": "product-then-style",
        "product": "sky",
        "regions": [{**SKY, "strength": 2, "scale": 0.5, "color": "content", "grow": -3}],
        "optimize": {
            "optimizer": "adam",
            "layers": {"conv1_1": 1, "conv5_4": 0},
            "levels": [64, 96],
            "steps": [5, 4],
            "pooling": "average",
            "learning_rate": 0.1,
        },
        "output": {"dpi": 300, "format": "tiff", "depth": 16, "background": "white"},
    },
}
BAD: dict[str, dict[str, Any]] = {
    "no version": {"regions": [SKY]},
    "version 2": {"recipe": 2, "regions": [SKY]},
    "no regions": {"recipe": 1},
    "empty regions": {"recipe": 1, "regions": []},
    "unknown key": {"recipe": 1, "regions": [SKY], "sise": 3},
    "unknown key in a region": {"recipe": 1, "regions": [{**SKY, "colour": "style"}]},
    "unknown key in a selector": {
        "recipe": 1,
        "regions": [{**SKY, "select": {"class": "sky", "larges": 1}}],
    },
    "unknown key in optimize": {"recipe": 1, "regions": [SKY], "optimize": {"stepps": 3}},
    "wrong type": {"recipe": 1, "regions": [SKY], "size": "big"},
    "out of range": {"recipe": 1, "regions": [{**SKY, "strength": 101}]},
    "a word for a boolean": {"recipe": 1, "regions": [{**SKY, "protect": "yes"}]},
    "two kinds of selector": {
        "recipe": 1,
        "regions": [{**SKY, "select": {"class": "a", "alpha": True}}],
    },
    "no kind of selector": {"recipe": 1, "regions": [{**SKY, "select": {}}]},
    "a class without name": {"recipe": 1, "regions": [{**SKY, "select": {"class": []}}]},
    "a short box": {"recipe": 1, "regions": [{**SKY, "select": {"box": [0, 0, 1]}}]},
    "no selector": {"recipe": 1, "regions": [{"name": "a", "style": "a.png"}]},
    "no name": {"recipe": 1, "regions": [{"select": "rest", "style": "a.png"}]},
    "a name with a dot": {"recipe": 1, "regions": [{**SKY, "name": "a.b"}]},
    "neither style nor protect": {"recipe": 1, "regions": [{"name": "a", "select": "rest"}]},
    "an empty style": {"recipe": 1, "regions": [{**SKY, "style": []}]},
    "both style and protect": {"recipe": 1, "regions": [{**SKY, "protect": True}]},
    "image and library": {
        "recipe": 1,
        "regions": [{**SKY, "style": {"image": "a.png", "library": "x"}}],
    },
    "unknown layer": {"recipe": 1, "regions": [SKY], "optimize": {"layers": {"conv9_1": 1}}},
    "an unfinished segmenter": {"recipe": 1, "regions": [SKY], "segmentation": {"encoder": "a"}},
    "product-then-style without product": {
        "recipe": 1,
        "regions": [SKY],
        "strategy": "product-then-style",
    },
}


def test_the_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_each_call_returns_a_schema_of_its_own() -> None:
    first = json_schema()
    before = copy.deepcopy(first)
    first["properties"].clear()
    assert json_schema() == before


@pytest.mark.parametrize("name", GOOD)
def test_schema_and_loader_accept_good_recipes(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(GOOD[name])] == []
    load_recipe(GOOD[name], check_files=False)


@pytest.mark.parametrize("name", BAD)
def test_schema_and_loader_refuse_bad_recipes(name: str) -> None:
    assert not VALIDATOR.is_valid(BAD[name])
    with pytest.raises(RecipeError):
        load_recipe(BAD[name], check_files=False)


@pytest.mark.parametrize(
    "recipe",
    [
        {"extends": "b.yaml"},
        {"extends": "b.yaml", "regions": [{"name": "sky", "strength": 2}]},
        {"extends": "b.yaml", "segmentation": {"weights": "w.pth"}},
        {"extends": "b.yaml", "strategy": "product-then-style"},
    ],
)
def test_an_extending_recipe_may_leave_things_out(recipe: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(recipe)


@pytest.mark.parametrize(
    "recipe",
    [{"extends": 3}, {"extends": "b.yaml", "sise": 3}, {"extends": "b.yaml", "regions": [{}]}],
)
def test_an_extending_recipe_is_checked_all_the_same(recipe: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(recipe)


@pytest.mark.parametrize("name", GOOD)
def test_a_dumped_recipe_passes_the_schema(name: str) -> None:
    dumped = dump_recipe(load_recipe(GOOD[name], check_files=False))
    assert VALIDATOR.is_valid(yaml.safe_load(dumped))


@pytest.mark.parametrize("path", GALLERY, ids=[path.name for path in GALLERY])
def test_every_recipe_of_the_gallery_loads_and_passes_the_schema(path: Path) -> None:
    stated = parse_yaml(path.read_text(encoding="utf-8"), source=path.name, folder=path.parent)
    assert stated is not None
    assert [error.message for error in VALIDATOR.iter_errors(stated.plain())] == []
    load_recipe(path)


def test_every_key_has_a_description_for_the_editor() -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    keys = [(key, value) for item in objects for key, value in item.get("properties", {}).items()]
    assert [key for key, value in keys if "description" not in value and "$ref" not in value] == []
