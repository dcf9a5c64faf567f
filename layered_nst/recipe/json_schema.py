"""The JSON Schema by which editors complete and check recipes while they are written."""

from __future__ import annotations

from typing import Any

from layered_nst.recipe.parts import (
    PluginSegmenter,
    PluginStrategy,
    plugin_parts,
    schema_of_parts,
)
from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.selectors import PluginSelector
from layered_nst.recipe.spellings import FLOW

_STYLE = {"properties": {"style": {"not": {"enum": [None, []]}}}, "required": ["style"]}
_PROTECT = {"properties": {"protect": {"const": True}}, "required": ["protect"]}


def json_schema(*, installed: bool = True) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of recipes as YAML states them.

    A recipe that ``extends`` another may leave out whatever the other one states.

    Args:
        installed: whether it knows the parts of plug-ins that are installed here.
    """
    schema = Recipe.model_json_schema(by_alias=True, mode="validation")
    definitions = schema["$defs"]
    if installed:
        _with_named_parts(schema)
    schema = _without(schema, _nothing_of(definitions, installed))
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


def _with_named_parts(schema: dict[str, Any]) -> None:
    """Add the plug-ins' parts to keys that are texts otherwise."""
    definitions = schema["$defs"]
    for kind, properties, key in (
        ("encoder", schema["properties"], "encoder"),
        ("output", definitions["Output"]["properties"], "format"),
        ("flow", definitions["Video"]["properties"], "flow"),
    ):
        if plugin_parts(kind):
            stated = properties[key]
            about = {k: stated[k] for k in ("default", "description", "title") if k in stated}
            own = stated.get("anyOf") or [{k: v for k, v in stated.items() if k not in about}]
            properties[key] = {"anyOf": [*own, *schema_of_parts(kind)["anyOf"]], **about}
    others = [name for part in plugin_parts("encoder") for name in part.layer_names]
    for key in ("layers", "content_layers"):
        for form in definitions["Optimize"]["properties"][key]["anyOf"]:
            if others and "propertyNames" in form:
                form["propertyNames"]["enum"] += others


def _nothing_of(definitions: dict[str, Any], installed: bool) -> set[str]:
    """References to kinds of parts that no plug-in brings."""
    kinds = (PluginSelector, PluginSegmenter, PluginStrategy)
    empty = [k.__name__ for k in kinds if not installed or not plugin_parts(k.kind)]
    return {f"#/$defs/{name}" for name in empty if definitions.pop(name, None)}


def _without(value: Any, references: set[str]) -> Any:
    """A schema without what is referred to so; one alternative is none."""
    if isinstance(value, list):
        return [_without(v, references) for v in value if _reference(v) not in references]
    if not isinstance(value, dict):
        return value
    found = {key: _without(item, references) for key, item in value.items()}
    several = found.get("oneOf")
    if isinstance(several, list) and len(several) == 1 and len(value["oneOf"]) > 1:
        return {**several[0], **{key: item for key, item in found.items() if key != "oneOf"}}
    return found


def _reference(value: Any) -> Any:
    return value.get("$ref") if isinstance(value, dict) else None


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
