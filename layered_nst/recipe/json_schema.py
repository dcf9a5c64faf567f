"""The JSON Schema by which editors complete and check recipes while they are written."""

from __future__ import annotations

from typing import Any

from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.spellings import FLOW

_STYLE = {"properties": {"style": {"not": {"enum": [None, []]}}}, "required": ["style"]}
_PROTECT = {"properties": {"protect": {"const": True}}, "required": ["protect"]}


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of recipes as YAML states them.

    A recipe that ``extends`` another may leave out whatever the other one states.
    """
    schema = Recipe.model_json_schema(by_alias=True, mode="validation")
    definitions = schema["$defs"]
    complete = {
        "required": schema.pop("required"),
        "properties": {
            "regions": {"items": _complete_region(definitions["Region"])},
            "segmentation": {
                "if": {"type": "object"},
                "then": {"required": definitions["CustomSegmenter"].pop("required")},
            },
        },
        **_product_needed(),
    }
    definitions["Output"]["properties"]["size"] = {
        **{k: v for k, v in schema["properties"]["size"].items() if k != "default"},
        "description": "Another way to write the recipe's size.",
    }
    _also_called_blend(definitions["Region"])
    schema["properties"] = {
        "recipe": schema["properties"].pop("recipe"),
        "extends": {
            "type": "string",
            "format": "path",
            "description": "Path of a recipe that this one is laid on.",
        },
        **schema["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "if": {"required": ["extends"]},
        "else": complete,
    }


def _also_called_blend(region: dict[str, Any]) -> None:
    flow = region["properties"]["flow"]
    region["properties"][FLOW] = {**flow, "description": "Another word for flow."}
    region["not"] = {"required": ["flow", FLOW]}


def _complete_region(region: dict[str, Any]) -> dict[str, Any]:
    """Take the demands on a region out of its definition: only a base must meet them."""
    required = region.pop("required")
    region["required"] = ["name"]
    return {"required": required, "oneOf": [_STYLE, _PROTECT]}


def _product_needed() -> dict[str, Any]:
    two_steps = {"properties": {"strategy": {"const": "product-then-style"}}}
    subject = {"properties": {"select": {"type": "object", "required": ["subject"]}}}
    needed = [{"required": ["product"]}, {"properties": {"regions": {"contains": subject}}}]
    return {"if": {**two_steps, "required": ["strategy"]}, "then": {"anyOf": needed}}
