"""``--set regions.sky.strength=0.5``: changing one value of a recipe by its key path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layered_nst.errors import RecipeError
from layered_nst.files.texts import whole_characters, with_placeholders, without_placeholders
from layered_nst.recipe.merging import displace, merge
from layered_nst.recipe.nodes import MAX_DEPTH, Node, Place, Steps, from_plain, region_name
from layered_nst.recipe.spellings import with_usual_keys
from layered_nst.recipe.yaml_positions import parse_yaml
from layered_nst.words import did_you_mean

FLAG = "`overrides`"
"""What messages call the source of an override; see ``LayeredNstError``."""


def override(root: Node, overrides: Sequence[str] | Mapping[str, Any]) -> Node:
    """Lay overrides on a recipe, in order.

    Each is text like ``regions.sky.style[0].weight=0.5``, its value in YAML, or an entry of a
    mapping from key path to value. Regions go by name or by position. Mappings merge as those of
    an extending recipe do. Relative paths start at the current folder.

    Raises:
        RecipeError: An override has no ``=``, no valid YAML, or leads to a region or position
            that is not there.
    """
    if isinstance(overrides, str):
        overrides = [overrides]
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_split, overrides)
    for key_path, value in pairs:
        place = Place(FLAG, None, Path.cwd())
        node = value if isinstance(value, Node) else from_plain(value, place)
        root = with_usual_keys(_laid_on(root, _steps(key_path), node, key_path=key_path))
    return root


def as_mapping(texts: Sequence[str]) -> dict[str, Any]:
    """Overrides that are texts, as key paths with their values.

    Raises:
        RecipeError: One has no ``=``, or no valid YAML.
    """
    return {key_path: node.plain() for key_path, node in map(_split, texts)}


def _split(text: str) -> tuple[str, Node]:
    key_path, equals, value = text.partition("=")
    key_path = key_path.strip()
    if not equals or not key_path:
        raise RecipeError(f"{FLAG} {text}: allowed: KEY=VALUE, such as regions.sky.strength=0.5")
    source = f"{FLAG} {key_path}"
    if value.strip().startswith("#"):  # a color; YAML would take it for a comment
        return key_path, from_plain(value.strip(), Place(FLAG, None, Path.cwd()))
    # A shell hands over names of files as they are, and YAML reads no such bytes.
    text = with_placeholders(whole_characters(value))
    node = parse_yaml(text, source=source, folder=Path.cwd(), numbered=False)
    return key_path, _from_flag(node) if node else Node(None, Place(FLAG, None, Path.cwd()))


def _from_flag(node: Node) -> Node:
    """Call the source of all values by the flag alone; the key path is in every message anyway."""
    return from_plain(_as_given(node.plain()), Place(FLAG, None, node.place.folder))


def _as_given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_given(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_given(item) for item in value]
    return without_placeholders(value) if isinstance(value, str) else value


def _steps(key_path: str) -> Steps:
    """Cut ``regions.sky.style[0]`` into its steps."""
    key, position = r"[^.\[\]]+", r"\[-?\d{1,9}\]"
    pieces = re.findall(f"{position}|{key}", key_path)
    plain = re.fullmatch(f"{key}(?:[.]{key}|{position})*", key_path)
    if not plain or len(pieces) > MAX_DEPTH:
        raise RecipeError(f"{FLAG} {key_path}: allowed: keys joined by dots, such as output.dpi")
    return tuple(int(piece[1:-1]) if piece[0] == "[" else piece for piece in pieces)


def _laid_on(node: Node, steps: Steps, value: Node, *, key_path: str, done: Steps = ()) -> Node:
    if not steps:
        return merge(node, value, steps=done)
    step: str | int = steps[0]
    if isinstance(node.value, list) or isinstance(step, int):
        node = _as_list(node)
        step = _position(node.value, step, in_regions=done == ("regions",), key_path=key_path)
        items = list(node.value)
        items[step] = _laid_on(items[step], steps[1:], value, key_path=key_path, done=(*done, step))
        return Node(items, node.place)
    return _laid_on_key(node, step, steps[1:], value, key_path=key_path, done=done)


def _laid_on_key(
    node: Node, key: str, rest: Steps, value: Node, *, key_path: str, done: Steps
) -> Node:
    mapping = _as_mapping(node, done)
    below = mapping.get(key, Node({} if rest else None, value.place))
    new = _laid_on(below, rest, value, key_path=key_path, done=(*done, key))
    changed = {**mapping, key: new}
    if len(done) == 2 and done[0] == "regions":
        displace(changed, stated={key})
    return Node(changed, node.place)


def _as_list(node: Node) -> Node:
    return node if isinstance(node.value, list) else Node([node], node.place)


def _as_mapping(node: Node, done: Steps) -> dict[str, Node]:
    if isinstance(node.value, dict):
        return node.value
    in_style = len(done) >= 3 and done[0] == "regions" and done[2] == "style"
    return {"image": node} if in_style and isinstance(node.value, str) else {}


def _position(items: list[Node], step: str | int, *, in_regions: bool, key_path: str) -> int:
    names = [region_name(item) for item in items] if in_regions else []
    if step in names:
        return names.index(str(step))
    if isinstance(step, str) and step.isdecimal() and len(step) < 10:
        step = int(step)
    if isinstance(step, int) and 0 <= step < len(items):
        return step
    if in_regions:
        known = [name for name in names if name]
        hint = did_you_mean(str(step), known) or f"; the regions are {', '.join(known)}"
        raise RecipeError(f"{FLAG} {key_path}: no region {step}{hint}")
    allowed = f"positions 0 to {len(items) - 1}" if items else "nothing, the list is empty"
    raise RecipeError(f"{FLAG} {key_path}: found {step}, allowed: {allowed}")
