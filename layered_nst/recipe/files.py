"""The files that a recipe names: absolute paths, and what to say when one is not there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from layered_nst.files.names import did_you_mean_file
from layered_nst.recipe.libraries import (
    find_look,
    near_library,
    user_libraries,
    with_absolute_library,
)
from layered_nst.recipe.nodes import Node, Place, Steps, from_plain
from layered_nst.recipe.part_paths import part_paths
from layered_nst.recipe.parts import WEIGHTS_SUFFIX
from layered_nst.recipe.photos import is_for_this_photo
from layered_nst.recipe.problems import Mistake, problem_at, spell_path
from layered_nst.recipe.schema import PROFILE, Recipe


def shown(path: Path) -> str:
    """Show a path relative to the current folder if it is below it."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if relative.startswith("..") else relative


def absolute(path: str, folder: Path) -> Path:
    """The absolute path of what ``folder`` calls ``path``; ``~`` is the home folder.

    Links are kept as they are: a link's name may carry the suffix that its target lacks.
    """
    return Path(os.path.abspath(folder / os.path.expanduser(path)))


def why_unusable(path: Path) -> str | None:
    """What keeps ``path`` from being read as a file, or None if nothing does."""
    if os.path.isfile(path):
        return None
    if os.path.isdir(path):
        return f"is a folder, not a file: {shown(path)}"
    if os.path.exists(path):
        return f"is not a plain file: {shown(path)}"
    return f"no such file: {shown(path)}{_where_it_may_be(path)}"


STANDARD_INPUT = "-"
"""What a recipe's path is if it comes through the standard input."""


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a recipe would come through the standard input or a pipe, to be read only once."""
    if os.fspath(path) == STANDARD_INPUT:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def with_absolute_paths(root: Node) -> Node:
    """The recipe with each path made absolute from the folder of whoever stated it."""
    return _absolute(root, (), part_paths(root))


def missing_files(root: Node) -> list[Mistake]:
    """One problem for each file that the recipe names and that cannot be read."""
    found = []
    for steps, path in _paths(root, (), part_paths(root)):
        if not is_for_this_photo(root, steps):
            continue
        # A clip may be a folder of frames, but for the recipe's own, which is what "" means.
        own = root.place_of(steps).folder
        is_frames = steps == ("content",) and Path(path) != own and _has_frames(Path(path))
        reason = None if is_frames else why_unusable(Path(path))
        if reason and steps[-1] == "library":
            reason = _no_library(Path(path))
        if reason:
            found.append(problem_at(root, steps, reason))
    return found


def _has_frames(folder: Path) -> bool:
    """Whether a path is a folder that files lie in, as the frames of a clip do."""
    return os.path.isdir(folder) and any(path.is_file() for path in folder.iterdir())


def named_files(recipe: Recipe) -> dict[str, Path]:
    """The files that a loaded recipe reads, by key path: ``regions.sky.style[0].image``.

    Masks that hold for other photos than its own are not among them.
    """
    root = from_plain(recipe, Place("", None, Path()))
    return {
        spell_path(root, steps): Path(path)
        for steps, path in _paths(root, (), part_paths(root))
        if is_for_this_photo(root, steps)
    }


def with_renamed_files(root: Node, rename: Callable[[Steps, Path], str]) -> Node:
    """The recipe with every file that it names called otherwise.

    Args:
        root: a recipe with absolute paths.
        rename: from where a path stands and the path to its new name.
    """
    return _renamed(root, (), rename, part_paths(root))


def _renamed(
    node: Node, steps: Steps, rename: Callable[[Steps, Path], str], others: Collection[Steps]
) -> Node:
    if isinstance(node.value, dict):
        items = {k: _renamed(v, (*steps, k), rename, others) for k, v in node.value.items()}
        return Node(items, node.place)
    if isinstance(node.value, list):
        parts = [_renamed(item, (*steps, i), rename, others) for i, item in enumerate(node.value)]
        return Node(parts, node.place)
    if isinstance(node.value, str) and _is_path(steps, node.value, others):
        return Node(rename(steps, Path(node.value)), node.place)
    if isinstance(node.value, str) and node.value and _is_library(steps):
        path, look = find_look(node.value, node.place.folder)
        name = rename(steps, path)
        return Node(name if look is None else f"{name}/{look}", node.place)
    return node


def _no_library(path: Path) -> str:
    return f"no such style library: {shown(path)}, nor in {user_libraries()}{near_library(path)}"


def _where_it_may_be(path: Path) -> str:
    if not os.path.isdir(path.parent):
        return f" (there is no folder {shown(path.parent)})"
    return did_you_mean_file(path)


def _is_path(steps: Steps, text: str, others: Collection[Steps]) -> bool:
    """Whether the text at ``steps`` names a file: the recipe's content, a picture, weights or a
    color profile, or one of ``others``, which plug-ins read."""
    if steps in others:
        return True
    if steps in (("encoder",), ("painter",), ("segmentation",)):
        return text.endswith(WEIGHTS_SUFFIX)
    if steps == ("output", "profile"):
        return re.search(PROFILE, text) is not None
    if steps in (("content",), ("approved",), ("output", "proof")) or (
        steps[:1] == ("segmentation",) and steps[-1] == "weights"
    ):
        return True
    if len(steps) < 3 or steps[0] not in ("regions", "photos"):
        return False
    if steps[0] == "photos":
        return steps[-1] == "mask"
    return steps[-1] in ("image", "mask", "weight_mask") or _is_short_style(steps)


def _is_library(steps: Steps) -> bool:
    return len(steps) > 3 and steps[::2][:2] == ("regions", "style") and steps[-1] == "library"


def _is_short_style(steps: Steps) -> bool:
    inside = steps[3:]
    return steps[2] == "style" and (not inside or (len(inside) == 1 and isinstance(inside[0], int)))


def _absolute(node: Node, steps: Steps, others: Collection[Steps]) -> Node:
    if isinstance(node.value, dict):
        items = {k: _absolute(v, (*steps, k), others) for k, v in node.value.items()}
        return Node(_photos_by_path(items) if steps == ("photos",) else items, node.place)
    if isinstance(node.value, list):
        parts = [_absolute(item, (*steps, i), others) for i, item in enumerate(node.value)]
        return Node(parts, node.place)
    if isinstance(node.value, str) and _is_path(steps, node.value, others):
        return Node(str(absolute(node.value, node.place.folder)), node.place)
    if isinstance(node.value, str) and node.value and _is_library(steps):
        return Node(with_absolute_library(node.value, node.place.folder), node.place)
    return node


def _photos_by_path(photos: dict[str, Node]) -> dict[str, Node]:
    """Make the keys of ``photos`` that are more than a file's name absolute."""
    return {
        str(absolute(key, node.place.folder)) if key != Path(key).name else key: node
        for key, node in photos.items()
    }


def _paths(node: Node, steps: Steps, others: Collection[Steps]) -> Iterator[tuple[Steps, str]]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from _paths(child, (*steps, key), others)
    elif isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from _paths(child, (*steps, index), others)
    elif isinstance(node.value, str) and _is_path(steps, node.value, others):
        yield _spelled_out(steps), node.value
    elif isinstance(node.value, str) and node.value and _is_library(steps):
        yield _spelled_out(steps), str(find_look(node.value, node.place.folder)[0])


def _spelled_out(steps: Steps) -> Steps:
    """Name the short forms of a style by what they stand for: ``style[0].image``."""
    if len(steps) < 3 or steps[0] != "regions" or steps[2] != "style":
        return steps
    position, *key = steps[3:] if isinstance((*steps, "")[3], int) else (0, *steps[3:])
    return (*steps[:3], position, *(key or ["image"]))
