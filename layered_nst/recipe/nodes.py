"""Recipe data that knows where each value was written.

A recipe may come from several files, the command line and a script at once. Every value is kept
as a `Node` with its `Place`, so that a message can name the line at fault and a relative path can
start from the folder of the file that states it, whatever was merged onto what.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from layered_nst.errors import RecipeError
from layered_nst.files.texts import whole_characters

MAX_DEPTH = 32
"""Levels of nesting that a recipe may have."""

MAX_NODES = 50_000
"""Values that a recipe may have once its YAML aliases are written out."""

Steps = tuple[str | int, ...]
"""A key path: names of keys and positions in lists."""


@dataclass(frozen=True)
class Place:
    """Where a value was written.

    ``source`` is what a message calls it: a file name, `` `overrides` ``, or empty for data
    from Python. Lines count from 1; ``None`` means that no line can be named. Relative paths
    start at ``folder``. ``key`` is how the value's key was written, if not as usual. ``photo`` is
    the absolute path of the photo that its recipe is for, on which its shapes were drawn; None
    for a recipe of no photo and for values that were given beside a recipe.
    """

    source: str
    line: int | None
    folder: Path
    key: str = ""
    photo: str | None = None


@dataclass(frozen=True)
class Node:
    """A value and its place: ``dict[str, Node]``, ``list[Node]`` or a scalar."""

    value: Any
    place: Place

    def child(self, step: str | int) -> Node | None:
        """The value under a key or at a position, or None if there is none."""
        if isinstance(step, str) and isinstance(self.value, dict):
            return self.value.get(step)
        if isinstance(step, int) and isinstance(self.value, list) and step < len(self.value):
            return self.value[step]  # type: ignore[no-any-return]
        return None

    def plain(self) -> Any:
        """The value as ordinary dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def place_of(self, steps: Steps) -> Place:
        """The place of the value at ``steps``, or of its nearest ancestor that is there."""
        node = self
        for step in steps:
            child = node.child(step)
            if child is None and step != 0:
                break
            # A single value may stand for a list of one, so position 0 of a non-list is itself.
            node = child or node
        return node.place


def from_plain(value: Any, place: Place, *, depth: int = 0) -> Node:
    """Give every value of ordinary data the same place; models are written out.

    Raises:
        RecipeError: The data is nested more than `MAX_DEPTH` levels deep.
    """
    if depth > MAX_DEPTH:
        raise RecipeError(f"the recipe is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, Mapping):
        items = {str(key): from_plain(v, place, depth=depth + 1) for key, v in value.items()}
        return Node(items, place)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Node([from_plain(item, place, depth=depth + 1) for item in value], place)
    if isinstance(value, str):
        return Node(whole_characters(value), place)
    return Node(os.fspath(value) if isinstance(value, os.PathLike) else value, place)


def region_name(node: Node) -> str | None:
    """The name that a region states, or None if it states none."""
    name = node.child("name")
    return name.value if name is not None and isinstance(name.value, str) else None
