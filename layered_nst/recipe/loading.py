"""From a file, a mapping or a recipe to a checked `Recipe`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from layered_nst.errors import RecipeError
from layered_nst.recipe.beside import with_masks_beside
from layered_nst.recipe.files import (
    STANDARD_INPUT,
    absolute,
    is_stream,
    missing_files,
    shown,
    why_unusable,
    with_absolute_paths,
)
from layered_nst.recipe.merging import merge
from layered_nst.recipe.nodes import Node, Place, from_plain
from layered_nst.recipe.overrides import override
from layered_nst.recipe.photos import foreign_shapes, of_photo
from layered_nst.recipe.problems import Mistake, as_error, problem_at, problems_of, show
from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.spellings import refuse_two_spellings, with_usual_keys
from layered_nst.recipe.yaml_positions import MAX_BYTES, parse_yaml

MAX_BASES = 16
"""Recipes that may extend one another in a chain."""


def load_recipe(
    source: str | Path | Mapping[str, Any] | Recipe,
    *,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    content: os.PathLike[str] | str | None = None,
    check_files: bool = True,
    called: str = "",
    same_photo: Callable[[Path], bool] | None = None,
) -> Recipe:
    """Load a recipe and check all of it.

    Args:
        source: A YAML file, a mapping of the same form, or a recipe. A pipe is read once, and
            ``-`` is the standard input; relative paths in them start at the current folder.
        overrides: ``"regions.sky.strength=0.5"`` texts with YAML values, or a mapping from key
            path to value. Relative paths in them start at the current folder.
        content: Photo to use in place of the recipe's own, which then need not exist.
        check_files: Whether the pictures and weights that the recipe names must exist.
        called: What messages call a mapping, such as the file that it was found in.
        same_photo: For a photo that is used and comes from no file: whether it is the one at a
            path. Shapes that were drawn on another one are refused.

    Returns:
        The recipe with absolute paths. Relative ones start at the folder of the file that states
        them, or at the current folder for a mapping.

    Raises:
        RecipeError: Every problem found, one per line, each with file, line and key path.
    """
    root = override(_read(source, called), overrides)
    root = with_absolute_paths(_with_content(root, content))
    if check_files:
        root = with_masks_beside(root)
    problems = missing_files(root) if check_files else []
    problems += foreign_shapes(root, same_photo)
    try:
        recipe = Recipe.model_validate(root.plain())
    except ValidationError as error:
        raise as_error(problems_of(error, root) + problems) from None
    if problems:
        raise as_error(problems)
    return recipe


def _read(source: str | Path | Mapping[str, Any] | Recipe, called: str) -> Node:
    place = Place(called, None, Path.cwd())
    if isinstance(source, Recipe):
        return _on_its_photo(from_plain(source, place))
    if isinstance(source, Mapping):
        return _on_its_photo(_with_bases(from_plain(source, place), chain=()))
    if os.fspath(source) == STANDARD_INPUT:
        return _streamed(_standard_input(), "standard input", place.folder)
    path = absolute(os.fspath(source), place.folder)
    if is_stream(path):
        return _streamed(read_text(path), str(path), place.folder)
    reason = why_unusable(path)
    if reason:
        raise RecipeError(reason)
    return _read_file(path, chain=())


def _with_content(root: Node, content: os.PathLike[str] | str | None) -> Node:
    if content is None:
        return root
    place = Place("", None, Path.cwd())
    return merge(root, Node({"content": from_plain(os.fspath(content), place)}, root.place))


def _read_file(path: Path, *, chain: tuple[Path, ...]) -> Node:
    root = _parsed(read_text(path), shown(path), path.parent)
    return _on_its_photo(_with_bases(root, chain=(*chain, path)))


def _parsed(text: str, source: str, folder: Path) -> Node:
    root = parse_yaml(text, source=source, folder=folder)
    if root is None or root.value is None:
        raise RecipeError(f"{source}: is empty, a recipe starts with recipe: 1")
    if not isinstance(root.value, dict):
        found = "a list" if isinstance(root.value, list) else show(root.value)
        raise RecipeError(f"{source}: found {found}, allowed: a mapping of keys and values")
    return root


def _streamed(text: str, source: str, folder: Path) -> Node:
    return _on_its_photo(_with_bases(_parsed(text, source, folder), chain=()))


def _on_its_photo(root: Node) -> Node:
    """Note with all that a recipe draws that it holds for the recipe's photo."""
    content = root.child("content")
    if content is None or not isinstance(content.value, str):
        return root
    return of_photo(root, str(absolute(content.value, content.place.folder)))


def read_text(path: Path) -> str:
    """The text of a recipe, or of another file of its size.

    Raises:
        RecipeError: It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            return _text_of(file, shown(path))
    except OSError as error:
        raise RecipeError(f"{shown(path)}: cannot be read: {error.strerror}") from error


def _standard_input() -> str:
    if sys.stdin is None or sys.stdin.closed:
        raise RecipeError("standard input: is closed, so no recipe can be read from it")
    # A stream that a program has put in its place may have no bytes below it.
    file = getattr(sys.stdin, "buffer", None)
    return _text_of(file or io.BytesIO(sys.stdin.read().encode()), "standard input")


def _text_of(file: IO[bytes], source: str) -> str:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{source}: is larger than {MAX_BYTES:,} bytes, no recipe is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = f"byte {error.start} is 0x{data[error.start]:02x}"
        raise RecipeError(f"{source}: is not UTF-8 text ({at})") from error


def _with_bases(root: Node, *, chain: tuple[Path, ...]) -> Node:
    """Lay the recipe on the one it extends, if it extends one."""
    refuse_two_spellings(root)
    root = with_usual_keys(root)
    if "extends" not in root.value:
        return root
    extends = root.value["extends"]
    own = Node({key: node for key, node in root.value.items() if key != "extends"}, root.place)
    if extends.value is None:
        return own
    if not isinstance(extends.value, str):
        raise _refused(root, f"found {show(extends.plain())}, allowed: the path of one recipe")
    base = absolute(extends.value, extends.place.folder)
    reason = why_unusable(base) or _endless(base, chain)
    if reason:
        raise _refused(root, reason)
    return merge(_read_file(base, chain=chain), own)


def _endless(base: Path, chain: tuple[Path, ...]) -> str | None:
    real = [os.path.realpath(path) for path in chain]
    if os.path.realpath(base) in real:
        circle = chain[real.index(os.path.realpath(base)) :]
        return f"recipes extend in a circle: {' -> '.join(map(shown, (*circle, base)))}"
    if len(chain) >= MAX_BASES:
        return f"more than {MAX_BASES} recipes extend one another"
    return None


def _refused(root: Node, sentence: str) -> RecipeError:
    problem: Mistake = problem_at(root, ("extends",), sentence)
    return as_error([problem])
