"""Where a recipe's style libraries are: ``teamlook/dusk`` is the look dusk of a library teamlook.

A library is searched beside whoever names it, and then in the user's data directory. Its suffix
may be left out, and so may the look of a library that has only one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from layered_nst.words import did_you_mean

SUFFIX = ".safetensors"


def user_libraries() -> Path:
    """The folder of libraries that recipes find wherever they are."""
    return platformdirs.user_data_path("layered-nst") / "styles"


def find_library(name: str, folder: Path) -> Path:
    """The absolute path of the library that ``folder`` calls ``name``.

    If it is nowhere, the path where it was looked for first.
    """
    places = list(_places(name, folder))
    return next((place for place in places if place.is_file()), places[0])


def find_look(text: str, folder: Path) -> tuple[Path, str | None]:
    """The library and the look that ``folder`` calls ``text``; None is its only look."""
    name, _, look = text.rpartition("/")
    whole = find_library(text, folder)
    if not name or not look or whole.is_file():
        return whole, None
    return find_library(name, folder), look


def with_absolute_library(text: str, folder: Path) -> str:
    """The same library and look by absolute path."""
    path, look = find_look(text, folder)
    return str(path) if look is None else f"{path}/{look}"


def near_library(path: Path) -> str:
    """``" (did you mean teamlook?)"`` if a library nearby is called much like this one."""
    folders = (path.parent, user_libraries())
    return did_you_mean(path.stem, [f.stem for d in folders for f in d.glob(f"*{SUFFIX}")])


def _places(name: str, folder: Path) -> Iterator[Path]:
    suffixes = ("",) if name.endswith(SUFFIX) else (SUFFIX, "")
    for start in (folder, user_libraries()):
        for suffix in suffixes:
            yield Path(os.path.abspath(start / (os.path.expanduser(name) + suffix)))
