"""Laying one recipe over another.

Mappings merge deeply and regions merge by name, new ones on top; everything else replaces. So do a
region's ``style`` and ``select``, which are one statement each, and a selector under ``photos``:
half of an old selector under half of a new one would mean neither.
"""

from __future__ import annotations

from layered_nst.recipe.nodes import Node, Steps, region_name

_ONE_STATEMENT = {"style", "select"}


def merge(base: Node, over: Node, *, steps: Steps = ()) -> Node:
    """``base`` with ``over`` laid on it; ``steps`` is where in the recipe both stand."""
    if steps == ("regions",) and isinstance(base.value, list) and isinstance(over.value, list):
        return Node(_merge_regions(base.value, over.value), over.place)
    in_region = len(steps) == 3 and steps[0] == "regions"
    if (in_region and steps[2] in _ONE_STATEMENT) or (len(steps) == 3 and steps[0] == "photos"):
        return over
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        old = merged.get(key)
        merged[key] = merge(old, node, steps=(*steps, key)) if old else node
    if len(steps) == 2 and steps[0] == "regions":
        displace(merged, stated=set(over.value))
    return Node(merged, over.place)


def _merge_regions(base: list[Node], over: list[Node]) -> list[Node]:
    merged = list(base)
    free = {region_name(node): index for index, node in reversed(list(enumerate(base)))}
    for node in over:
        # Each region of the base is met once, so that a name stated twice stays a duplicate.
        index = free.pop(region_name(node), None) if region_name(node) else None
        if index is None:
            merged.append(node)
        else:
            merged[index] = merge(base[index], node, steps=("regions", index))
    return merged


def displace(region: dict[str, Node], *, stated: set[str]) -> None:
    """Let a newly stated ``protect: true`` or ``style`` replace the other one from below."""
    protect = region.get("protect")
    if protect is None or protect.value is not True:
        return
    if "protect" in stated and "style" not in stated:
        region.pop("style", None)
    elif "style" in stated and "protect" not in stated and region["style"].value is not None:
        del region["protect"]
