"""A look as one file: a recipe with its styles and masks in a zip, ``look.lnst``.

Everything in it has a relative path. The photo stays out; of a recipe with shapes that were drawn
on it, its name is kept, so that they are refused on other photos as ever.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from layered_nst import _version
from layered_nst.errors import RecipeError
from layered_nst.files.atomic import replacing
from layered_nst.recipe.dumping import Dumper
from layered_nst.recipe.files import with_renamed_files
from layered_nst.recipe.nodes import Place, Steps, from_plain
from layered_nst.recipe.photos import is_drawn_on_its_photo
from layered_nst.recipe.schema import Recipe

SUFFIX = ".lnst"
FORMAT_KEY, FORMAT = "layered-nst look", 1
"""Version of the form of looks, under a key of `ABOUT`."""
RECIPE, ABOUT, THUMBNAIL = "recipe.yaml", "look.json", "thumbnail.jpg"

LICENSES = ("LICEN[CS]E*", "COPYING*", "NOTICE*")
"""Names of the notices that go along with the files of their folder."""
LARGEST_NOTICE = 1_000_000
THUMBNAIL_SIDE, MOST_SHOWN = 256, 4
SAME_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry, so that the same look is the same bytes."""


def pack_recipe(recipe: Recipe, target: Path, *, thumbnail: Path | None = None) -> list[str]:
    """Write a look.

    Args:
        recipe: loaded, all its files there.
        target: the file to write.
        thumbnail: a picture that shows the look; without it, its styles side by side.

    Returns:
        The names of what is in it.

    Raises:
        RecipeError: a file that the recipe names is not there.
        OutputError: the look cannot be written.
    """
    box = _Box()
    stated = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    root = from_plain(_without_photo(stated, recipe), Place("", None, Path()))
    packed = with_renamed_files(root, box.add).plain()
    shown = [thumbnail] if thumbnail is not None else box.pictures("styles")
    entries = {
        RECIPE: yaml.dump(packed, Dumper=Dumper, sort_keys=False, allow_unicode=True).encode(),
        **{name: _read(path) for path, name in box.names.items()},
        **_notices(box.names),
        **_thumbnail(shown),
    }
    entries[ABOUT] = _about(recipe, entries)
    _write(target, entries)
    return sorted(entries)


class _Box:
    """Gives each file a name in the look, and one name only."""

    def __init__(self) -> None:
        self.names: dict[Path, str] = {}

    def add(self, steps: Steps, path: Path) -> str:
        if steps == ("content",):
            return path.name
        if path not in self.names:
            self.names[path] = self._free(_folder(steps), path)
        return self.names[path]

    def pictures(self, folder: str) -> list[Path]:
        return [path for path, name in self.names.items() if name.startswith(f"{folder}/")]

    def _free(self, folder: str, path: Path) -> str:
        stem = re.sub(r"[^\w.\- ]", "_", path.stem).strip(". ")[:60] or "file"
        suffix = re.sub(r"[^\w.]", "", path.suffix)
        names = (f"{folder}/{stem}{'' if n == 1 else f'-{n}'}{suffix}" for n in count(1))
        taken = {name.casefold() for name in self.names.values()}
        return next(name for name in names if name.casefold() not in taken)


def _folder(steps: Steps) -> str:
    if steps[-1] in ("mask", "weight_mask"):
        return "masks"
    folders = {"regions": "styles", "output": "profiles"}
    return folders.get(str(steps[0]), "models")


def _without_photo(stated: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    if recipe.content is not None and not is_drawn_on_its_photo(recipe):
        stated.pop("content", None)
    stated.pop("approved", None)
    photos: dict[str, Any] = {}
    for key, selectors in stated.pop("photos", {}).items():
        photos.setdefault(Path(key).name, {}).update(selectors)
    return {**stated, "photos": photos} if photos else stated


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be packed: {error.strerror}") from error


def _notices(names: dict[Path, str]) -> dict[str, bytes]:
    """The licenses that lie beside files, each once."""
    found: dict[bytes, str] = {}
    for path in names:
        for notice in _notices_of(path):
            data = notice.read_bytes()
            kept = re.sub(r"[^\w.\-]", "_", notice.name)
            found.setdefault(data, f"licenses/{len(found) + 1}-{kept}")
    return {name: data for data, name in found.items()}


def _notices_of(path: Path) -> Iterator[Path]:
    for pattern in (*LICENSES, f"{_plain(path.stem)}.LICENSE*", f"{_plain(path.name)}.license"):
        for notice in sorted(path.parent.glob(pattern)):
            if notice.is_file() and notice.stat().st_size <= LARGEST_NOTICE:
                yield notice


def _plain(name: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", name)


def _thumbnail(pictures: Sequence[Path]) -> dict[str, bytes]:
    shown = [picture for path in pictures[:MOST_SHOWN] if (picture := _small(path))]
    if not shown:
        return {}
    sheet = Image.new("RGB", (sum(p.width for p in shown), max(p.height for p in shown)), "white")
    left = 0
    for picture in shown:
        sheet.paste(picture, (left, 0))
        left += picture.width
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return {THUMBNAIL: file.getvalue()}


def _small(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # a style library
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return picture


def _about(recipe: Recipe, entries: dict[str, bytes]) -> bytes:
    stated = {
        FORMAT_KEY: FORMAT,
        "name": recipe.name,
        "version": _version.__version__,
        "files": sorted(entries),
    }
    return json.dumps(stated, indent=2, ensure_ascii=False).encode() + b"\n"


def _write(target: Path, entries: dict[str, bytes]) -> None:
    with replacing(target) as file, zipfile.ZipFile(file, "w") as look:
        for name, data in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, SAME_DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            look.writestr(entry, data)
