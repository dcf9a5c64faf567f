"""Which photo something was drawn for: shapes and masks hold on their own photo, not on others."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from layered_nst.recipe.nodes import Node, Place, Steps, from_plain, region_name
from layered_nst.recipe.problems import Mistake
from layered_nst.recipe.schema import Recipe
from layered_nst.words import listed

DRAWN = ("box", "ellipse", "polygon", "points", "object_in", "mask", "weight_mask")
"""Keys whose values were drawn on one photo."""


def of_photo(node: Node, photo: str) -> Node:
    """The same data as drawn on a photo, where it does not belong to one already."""
    place = node.place if node.place.photo else replace(node.place, photo=photo)
    if isinstance(node.value, dict):
        return Node({key: of_photo(child, photo) for key, child in node.value.items()}, place)
    if isinstance(node.value, list):
        return Node([of_photo(child, photo) for child in node.value], place)
    return Node(node.value, place)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same photo: to one file, or to copies of it."""
    if not (os.path.isfile(one) and os.path.isfile(other)):
        # A recipe whose photo did not travel with it knows it by name.
        return one.name == other.name
    return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)


def foreign_shapes(root: Node, same_photo: Callable[[Path], bool] | None) -> list[Mistake]:
    """One problem if regions are drawn for another photo than the one that is used.

    Args:
        root: the recipe with absolute paths.
        same_photo: for a photo that comes from no file, whether it is the one at a path.
    """
    photo = _photo(root)
    if photo is not None:
        same_photo = partial(same_file, Path(photo))
    if same_photo is None:
        return []
    same, foreign = cache(same_photo), dict[str, Node]()
    for name, drawn in _drawn_parts(root):
        own = drawn.place.photo
        if own is not None and not same(Path(own)):
            foreign.setdefault(name, drawn)
    if not foreign:
        return []
    sentence = _drawn_for_others(foreign, None if photo is None else Path(photo).name)
    return [Mistake(next(iter(foreign.values())).place, "", sentence)]


def _drawn_for_others(foreign: Mapping[str, Node], photo: str | None) -> str:
    first, *more = foreign
    owners = sorted({Path(node.place.photo or "").name for node in foreign.values()})
    drawn = f"regions {listed([*foreign])} are drawn" if more else f"region {first} is drawn"
    fixed = "say fixed: true where a shape holds for every photo"
    if photo is None:
        return f"{drawn} for {listed(owners)}, not for the photo given: {fixed}"
    return (
        f"{drawn} for {listed(owners)}, not for {photo}: give {photo} its own under photos:, put a "
        f"mask beside it ({Path(photo).stem}.masks/{first}.png), or {fixed}"
    )


def stands_for(key: str, photo: str | None) -> bool:
    """Whether a key under ``photos`` means the photo at an absolute path."""
    return photo is not None and key in (photo, Path(photo).name)


def selected_anew(root: Node) -> set[str]:
    """The names of the regions that have another selector on the recipe's photo."""
    photos, photo = root.child("photos"), _photo(root)
    if photos is None or not isinstance(photos.value, dict):
        return set()
    return {
        name
        for key, regions in photos.value.items()
        if stands_for(key, photo) and isinstance(regions.value, dict)
        for name in regions.value
    }


def is_for_this_photo(root: Node, steps: Steps) -> bool:
    """Whether what stands at ``steps`` of a recipe counts on the recipe's photo."""
    if steps[0] == "photos":
        return stands_for(str(steps[1]), _photo(root))
    if steps[0] != "regions" or steps[2] != "select":
        return True
    region = root.value["regions"].child(steps[1])
    return region is None or region_name(region) not in selected_anew(root)


def is_drawn_on_its_photo(recipe: Recipe) -> bool:
    """Whether a recipe has shapes or masks that hold for its own photo alone."""
    without = recipe.model_copy(update={"content": None, "photos": {}})
    return any(True for _ in _drawn_parts(from_plain(without, Place("", None, Path()))))


def _photo(root: Node) -> str | None:
    content = root.child("content")
    return content.value if content is not None and isinstance(content.value, str) else None


def _drawn_parts(root: Node) -> Iterator[tuple[str, Node]]:
    """The values that were drawn, with the names of their regions; not those of fixed regions."""
    regions = root.child("regions")
    anew = selected_anew(root)
    for region in regions.value if regions is not None and isinstance(regions.value, list) else ():
        name, fixed = region_name(region), region.child("fixed")
        if name is None or (fixed is not None and fixed.value is True):
            continue
        for key in ("select", "style"):
            part = region.child(key)
            if part is not None and not (key == "select" and name in anew):
                keys = DRAWN if key == "select" else ("weight_mask",)
                yield from ((name, node) for node in _values_of(part, keys))


def _values_of(node: Node, keys: tuple[str, ...]) -> Iterator[Node]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            if key in keys and child.value is not None:
                yield child
            else:
                yield from _values_of(child, keys)
    elif isinstance(node.value, list):
        for child in node.value:
            yield from _values_of(child, keys)
