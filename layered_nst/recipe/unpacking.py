"""Opening a look that somebody sent: nothing in it may reach out of its folder or fill the disk."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from layered_nst.errors import OutputError, RecipeError
from layered_nst.files.hashes import file_hash
from layered_nst.recipe.files import named_files, shown
from layered_nst.recipe.loading import load_recipe
from layered_nst.recipe.packing import ABOUT, FORMAT, FORMAT_KEY, RECIPE, SUFFIX
from layered_nst.recipe.yaml_positions import parse_yaml
from layered_nst.words import storage

MOST_FILES = 1000
MOST_BYTES = 1_000_000_000
MOST_RATIO = 200
"""How many times its own size a packed file may have; pictures hardly shrink."""
HARMLESS = 10_000_000
"""Bytes up to which no ratio is looked at: a plain mask shrinks a lot."""
LONGEST_ABOUT = 1_000_000
_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_look(path: Path) -> bool:
    """Whether a file is a packed look, by its name."""
    return path.suffix.lower() == SUFFIX


def is_packed(path: Path) -> bool:
    """Whether a file is a look, whatever its name and version."""
    try:
        with zipfile.ZipFile(path) as look:
            return FORMAT_KEY in _about(look)
    except (OSError, zipfile.BadZipFile):
        return False


def unpack_look(path: Path, shelf: Path) -> Path:
    """Unpack a look once.

    Args:
        path: the look.
        shelf: folder that looks are unpacked to, each to a folder named by its hash.

    Returns:
        The recipe in it.

    Raises:
        RecipeError: it is missing, damaged, of another version, lacks a file, or holds what might
            do harm: paths out of it, links, or far more data than its size.
        OutputError: it cannot be unpacked there.
    """
    if not path.is_file():
        raise RecipeError(f"no such file: {path}")
    folder = shelf / file_hash(path)
    if not folder.is_dir():
        part = shelf / f".{secrets.token_hex(6)}.part"
        try:
            _unpack(path, part)
            _check_recipe(path, part / RECIPE)
            _take_place(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    # Those that nobody has used for long are the first to go when the cache is full.
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder / RECIPE


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as look:
            entries = look.infolist()
            _check_entries(path, entries)
            _check_version(path, look)
            for entry in entries:
                _write(folder / entry.filename, look.read(entry))
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        zlib.error,
    ) as error:
        raise RecipeError(f"{path}: is no packed look, or is damaged") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be unpacked to {folder.parent}: {error}") from error


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_FILES:
        raise RecipeError(f"{path}: has {len(entries)} files in it, allowed: {MOST_FILES}")
    for entry in entries:
        reason = _why_refused(entry)
        if reason:
            raise RecipeError(f"{path}: {reason}: {entry.filename!r}")
    names = [entry.filename.casefold() for entry in entries]
    if len({*names}) < len(names):
        raise RecipeError(f"{path}: has two files of one name in it")
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if total > MOST_BYTES or (total > HARMLESS and total > MOST_RATIO * packed):
        sizes = f"{storage(packed)} that would become {storage(total)}"
        raise RecipeError(f"{path}: is no look but a trap: {sizes}")


def _why_refused(entry: zipfile.ZipInfo) -> str:
    name = entry.filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ":" in name or "\0" in name:
        return "has an absolute path in it"
    if ".." in parts or not parts:
        return "has a path in it that leads out of it"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or entry.is_dir():
        return "has a link or a folder in it, where there may be files only"
    if entry.flag_bits & 1 or entry.compress_type not in _STORED:
        return "has a file in it that is locked or packed in an unusual way"
    return ""


def _check_version(path: Path, look: zipfile.ZipFile) -> None:
    about = _about(look)
    if FORMAT_KEY not in about or RECIPE not in look.namelist():
        raise RecipeError(f"{path}: is no packed look, it has no {ABOUT} and {RECIPE} of one")
    if about[FORMAT_KEY] != FORMAT:
        raise RecipeError(
            f"{path}: is a look of version {about[FORMAT_KEY]!r}; this program reads {FORMAT}"
        )


def _about(look: zipfile.ZipFile) -> dict[str, Any]:
    try:
        short = look.getinfo(ABOUT).file_size <= LONGEST_ABOUT
        stated = json.loads(look.read(ABOUT)) if short else None
    except (KeyError, ValueError, RecursionError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _check_recipe(path: Path, packed: Path) -> None:
    """Refuse a recipe that names what is not in the look, before anything of it is read."""
    folder = Path(os.path.realpath(packed.parent))
    text = packed.read_bytes().decode("utf-8", "replace")
    node = parse_yaml(text, source=f"{path}: {RECIPE}", folder=packed.parent)
    if node is not None and node.child("extends") is not None:
        raise RecipeError(f"{path}: its recipe extends another one, which no look may")
    try:
        recipe = load_recipe(packed, check_files=False)
    except RecipeError as error:
        raise RecipeError(str(error).replace(shown(packed), f"{path}: {RECIPE}")) from None
    for key, file in named_files(recipe.model_copy(update={"content": None})).items():
        inside = Path(os.path.realpath(file))
        if not inside.is_relative_to(folder):
            raise RecipeError(f"{path}: {key}: names a file that is not in the look: {file.name}")
        if not inside.is_file():
            raise RecipeError(f"{path}: {key}: lacks {inside.relative_to(folder).as_posix()}")


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _take_place(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError as error:
        # Another run was quicker with the same look.
        if not folder.is_dir():
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
