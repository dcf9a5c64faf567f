"""Where a recipe names files to the parts of plug-ins: by the ``format: path`` of their schemas."""

from __future__ import annotations

from collections.abc import Iterator

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.plugins.parameters import paths_in
from layered_nst.recipe.nodes import Node, Steps

_OURS = {"any", "all", "not"}
"""Selectors that are made of others."""


def part_paths(root: Node) -> frozenset[Steps]:
    """The key paths of all texts that plug-ins take for paths of files."""
    return frozenset(
        (*steps, *inner)
        for kind, steps, node in _said(root)
        for name, value in node.value.items()
        for inner in _within(kind, name, value, (name,))
    )


def _within(kind: str, name: str, said: Node, steps: Steps) -> Iterator[Steps]:
    try:
        part = plugins.find(kind, name)
    except PluginError:
        return  # whoever checks the recipe says so
    if part is not None and not part.is_own:
        yield from paths_in(part.parameters, said.plain(), steps)


def _said(root: Node) -> Iterator[tuple[str, Steps, Node]]:
    """Kind, place and value of every mapping that may name parts of plug-ins."""
    for kind, steps in (
        ("segmenter", ("segmentation",)),
        ("strategy", ("strategy",)),
        ("loss", ("optimize", "losses")),
        ("encoder", ("encoder",)),
        ("output", ("output", "format")),
        ("flow", ("video", "flow")),
    ):
        yield from _mapping(kind, steps, _at(root, steps))
    regions = root.child("regions")
    listed = regions.value if regions is not None and isinstance(regions.value, list) else []
    for index, region in enumerate(listed):
        yield from _selectors(("regions", index, "select"), region.child("select"))
    photos = root.child("photos")
    by_photo = photos.value if photos is not None and isinstance(photos.value, dict) else {}
    for photo, selectors in by_photo.items():
        for name in selectors.value if isinstance(selectors.value, dict) else ():
            yield from _selectors(("photos", photo, name), selectors.child(name))


def _at(node: Node | None, steps: Steps) -> Node | None:
    for step in steps:
        node = None if node is None else node.child(step)
    return node


def _mapping(kind: str, steps: Steps, node: Node | None) -> Iterator[tuple[str, Steps, Node]]:
    if node is not None and isinstance(node.value, dict):
        yield kind, steps, node


def _selectors(steps: Steps, node: Node | None) -> Iterator[tuple[str, Steps, Node]]:
    yield from _mapping("selector", steps, node)
    inner = node.value if node is not None and isinstance(node.value, dict) else {}
    for key in _OURS & inner.keys():
        below = inner[key]
        if isinstance(below.value, list):
            for index, one in enumerate(below.value):
                yield from _selectors((*steps, key, index), one)
        else:
            yield from _selectors((*steps, key), below)
