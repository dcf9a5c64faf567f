"""What a job's pixels depend on, as hashes: a job whose hash is the same is never done twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from layered_nst import networks
from layered_nst._version import version_of
from layered_nst.errors import PictureError
from layered_nst.files.hashes import file_hash, text_hash
from layered_nst.machine.plugin_code import identities
from layered_nst.recipe import Recipe

FileHash = Callable[[Path], str]
"""SHA-256 of a file; it may remember those of files that have not changed."""

PRECISION_VARIABLE = "LAYERED_NST_PRECISION"


class Hashes:
    """SHA-256 of files, taken once for each state that a file is seen in."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[str, str]] = {}

    def __call__(self, path: Path) -> str:
        """SHA-256 of a file.

        Raises:
            PictureError: it cannot be read.
        """
        state = state_of(path)
        if self._known.get(path, ("", ""))[0] != state:
            self._known[path] = (state, file_hash(path))
        return self._known[path][1]


def state_of(path: Path) -> str:
    """What changes whenever a file's bytes do: its size, times and number.

    Raises:
        PictureError: there is no such file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise PictureError(f"{path}: cannot be read: {error}") from error
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def spec_of(recipe: Recipe, *, crop: str, keep: str, device: str, hashes: FileHash) -> str:
    """Hash of all that decides the pixels of a job but the photo.

    Args:
        recipe: loaded, with its overrides and size; its ``content`` and ``photos`` do not count.
        crop, keep, device: as the job has them.
        hashes: of the files that the recipe names.

    Raises:
        PictureError: one of them cannot be read.
    """
    stated = recipe.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"content", "photos"}
    )
    made_by = {
        "versions": _versions(),
        "networks": _bundled(),
        "precision": os.environ.get(PRECISION_VARIABLE, ""),
        "device": device,
        "plugins": identities(recipe.plugin_parts()),
    }
    crops = [crop, keep] if crop else []
    told = json.dumps([_by_content(stated, hashes), crops, made_by], sort_keys=True)
    return text_hash(told)


def drawn_on(recipe: Recipe, photo: Path, hashes: FileHash) -> str:
    """Hash of what a recipe selects on a photo alone, "" if that is nothing.

    Raises:
        PictureError: a mask cannot be read.
    """
    selectors = {
        region: selector.model_dump(mode="json", by_alias=True, exclude_none=True)
        for region, selector in sorted(recipe.selectors_for(photo).items())
    }
    told = json.dumps(_by_content(selectors, hashes), sort_keys=True)
    return text_hash(told) if selectors else ""


def photo_key(photo_hash: str, drawn: str) -> str:
    """Hash of a photo and of what is drawn on it."""
    return text_hash(f"{photo_hash} {drawn}") if drawn else photo_hash


def _by_content(value: Any, hashes: FileHash) -> Any:
    """Data with the hash of a file, or of a look of a library, in place of its path."""
    if isinstance(value, Mapping):
        return {key: _by_content(item, hashes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_by_content(item, hashes) for item in value]
    if not isinstance(value, str) or not os.path.isabs(value):
        return value
    path = Path(value)
    if path.is_file():
        return hashes(path)
    return f"{hashes(path.parent)}/{path.name}" if path.parent.is_file() else value


@cache
def _versions() -> Mapping[str, str]:
    return {name: version_of(name) for name in ("layered-nst", "torch", "torchvision")}


@cache
def _bundled() -> Mapping[str, str]:
    """The bundled networks; in a clone they may change within a version."""
    folder = Path(networks.__file__).parent / "weights"
    return {file.name: file_hash(file) for file in sorted(folder.glob("*.safetensors"))}
