"""Other ways to write a key: ``output.size`` is ``size``, a region's ``blend`` is its ``flow``, and
``mask: {0: a.png}`` are ``frames: {0: {mask: a.png}}``."""

from __future__ import annotations

from dataclasses import replace

from layered_nst.recipe.merging import merge
from layered_nst.recipe.nodes import Node
from layered_nst.recipe.problems import Mistake, as_error, problem_at, show

FLOW = "blend"
"""How recipes called a region's ``flow`` once."""
SIZE = "output.size"
"""Where those look for ``size`` who think of it as a matter of the file."""


def refuse_two_spellings(root: Node) -> None:
    """Refuse a recipe that states a key in both of its spellings.

    Raises:
        RecipeError: naming both.
    """
    mistakes = [*_two_sizes(root), *_two_flows(root)]
    if mistakes:
        raise as_error(mistakes)


def with_usual_keys(root: Node) -> Node:
    """The recipe with each key as `Recipe` calls it; messages call it as it was written.

    That is done before recipes are merged and again after each override, so that whoever speaks
    last is heard, however it is spelled.
    """
    return _with_frames(_with_flows(_with_one_size(root)))


def _two_sizes(root: Node) -> list[Mistake]:
    size, other = root.child("size"), _inner_size(root)
    if size is None or other is None or None in (size.value, other.value):
        return []
    if size.value == other.value:
        return []
    sentence = f"found {show(other.plain())} and size: {show(size.plain())}, keep one"
    return [problem_at(root, ("output", "size"), sentence)]


def _two_flows(root: Node) -> list[Mistake]:
    sentence = f"has both flow and {FLOW}, which is another word for it, keep one"
    return [
        problem_at(root, ("regions", index, FLOW), sentence)
        for index, region in enumerate(_regions(root))
        if region.child("flow") is not None and region.child(FLOW) is not None
    ]


def _with_one_size(root: Node) -> Node:
    inner = _inner_size(root)
    if inner is None:
        return root
    output = root.value["output"]
    rest = {key: node for key, node in output.value.items() if key != "size"}
    size = {} if inner.value is None else {"size": _called(inner, SIZE)}
    return Node({**root.value, "output": Node(rest, output.place), **size}, root.place)


def _with_flows(root: Node) -> Node:
    if not any(region.child(FLOW) for region in _regions(root)):
        return root
    regions = [_with_flow(region) for region in _regions(root)]
    return Node({**root.value, "regions": Node(regions, root.value["regions"].place)}, root.place)


def _with_flow(region: Node) -> Node:
    stated = region.child(FLOW)
    if stated is None:
        return region
    below = region.child("flow")
    flow = _called(stated if below is None else merge(below, stated), FLOW)
    rest = {key: node for key, node in region.value.items() if key != FLOW}
    return Node({**rest, "flow": flow}, region.place)


def _with_frames(root: Node) -> Node:
    """Masks by the numbers of frames as selectors by the numbers of frames."""
    if not any(_frames_of_mask(region) for region in _regions(root)):
        return root
    regions = [
        _selecting_frames(region, frames) if (frames := _frames_of_mask(region)) else region
        for region in _regions(root)
    ]
    return Node({**root.value, "regions": Node(regions, root.value["regions"].place)}, root.place)


def _frames_of_mask(region: Node) -> Node | None:
    selector = region.child("select")
    mask = None if selector is None else selector.child("mask")
    return mask if mask is not None and isinstance(mask.value, dict) else None


def _selecting_frames(region: Node, masks: Node) -> Node:
    select = region.value["select"]
    frames = {key: Node({"mask": mask}, mask.place) for key, mask in masks.value.items()}
    rest = {key: node for key, node in select.value.items() if key != "mask"}
    anew = Node({**rest, "frames": Node(frames, masks.place)}, select.place)
    return Node({**region.value, "select": anew}, region.place)


def _called(node: Node, key: str) -> Node:
    return Node(node.value, replace(node.place, key=key))


def _inner_size(root: Node) -> Node | None:
    output = root.child("output")
    return output.child("size") if output is not None else None


def _regions(root: Node) -> list[Node]:
    regions = root.child("regions")
    return regions.value if regions is not None and isinstance(regions.value, list) else []
