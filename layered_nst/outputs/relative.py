"""Paths in ``OUT.json``: relative, so that a folder of photos, recipes and pictures can be moved.

A path is stated from the folder of the manifest if both lie in one tree. The manifest says where it
was written, too: alone in another place it still finds what hasn't moved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from layered_nst.recipe.files import absolute, with_renamed_files
from layered_nst.recipe.nodes import Place, from_plain

FOLDER = "folder"
"""Key of the absolute path of the folder that a manifest was written to."""


def with_relative_paths(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A manifest to be written to a folder: its paths from there, where one tree holds both."""
    home = Path(os.path.abspath(folder))

    def stated(path: Path) -> str:
        return _stated(path, home)

    return {**_renamed(manifest, Path(), stated), FOLDER: str(home)}


def with_absolute_paths(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A manifest as it was read in a folder: its paths from there, or from where it was written."""
    written = manifest.get(FOLDER)
    homes = [folder, *([Path(written)] if isinstance(written, str) else [])]

    def found(path: Path) -> str:
        places = [absolute(str(path), home) for home in homes]
        return str(next((place for place in places if place.exists()), places[0]))

    return _renamed(manifest, folder, found)


def _stated(path: Path, home: Path) -> str:
    if not path.is_absolute():
        return str(path)
    try:
        shared = os.path.commonpath([path, home])
    except ValueError:  # another drive
        return str(path)
    if shared == path.anchor:
        return str(path)
    return Path(os.path.relpath(path, home)).as_posix()


def _renamed(
    manifest: Mapping[str, Any], folder: Path, rename: Callable[[Path], str]
) -> dict[str, Any]:
    """The manifest with every file that it names called otherwise.

    Args:
        folder: from which it names style libraries.
    """
    root = from_plain(manifest["recipe"], Place("", None, folder))
    recipe = with_renamed_files(root, lambda _, path: rename(path)).plain()
    if isinstance(photos := recipe.get("photos"), dict):
        recipe["photos"] = {_photo(key, rename): value for key, value in photos.items()}
    changed: dict[str, Any] = {**manifest, "recipe": recipe}
    if "photo" in manifest:
        changed["photo"] = _entry(manifest["photo"], rename)
    if isinstance(files := manifest.get("files"), dict):
        changed["files"] = {key: _entry(entry, rename) for key, entry in files.items()}
    return changed


def _photo(key: str, rename: Callable[[Path], str]) -> str:
    """A key of ``photos``; the bare name of a file means any photo of that name."""
    return key if key == Path(key).name else rename(Path(key))


def _entry(entry: Any, rename: Callable[[Path], str]) -> Any:
    """A file with its hash; what others have written into a manifest may be anything."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return entry
    return {**entry, "path": rename(Path(entry["path"]))}
