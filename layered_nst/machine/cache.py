"""What was computed before on this machine, in files that many processes may share.

An entry is a safetensors file named by the hash of everything that its content depends on, so a
changed input is another entry and nothing is ever out of date. Entries are written beside and
renamed; one that is damaged counts as missing. Whatever goes wrong, a run only computes again.
The folder may be shared with other files: only those that are named like entries are counted and
removed. Looks that were unpacked lie there too, each in a folder named by its hash.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

import layered_nst
from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.files.hashes import digest, text_hash
from layered_nst.files.tensors import read_metadata, read_tensors, write_tensors
from layered_nst.machine.folders import cache_folder
from layered_nst.words import amount

FORMAT = 1
"""Version of the entries; a change of what is computed under the same key needs another."""

SIZE_VARIABLE = "LAYERED_NST_CACHE_SIZE"
DEFAULT_SIZE = 2 * 10**9
# An entry larger than this share of the whole would push all others out.
LARGEST_SHARE = 1 / 4
# Room is made for more than one entry at a time.
KEPT_SHARE = 0.9
# What a killed process left half-written is nobody's after this many seconds.
ABANDONED_AFTER = 3600.0

KINDS = ("segmentation", "style")
"""What entries hold. Only files that are named by one of these words belong to the cache."""
_NAMED = rf"({'|'.join(KINDS)})-[0-9a-f]"
_ENTRY = re.compile(rf"{_NAMED}{{64}}\.safetensors")
# Older versions cut the name of an entry that they were writing.
_UNFINISHED = re.compile(
    rf"\.({_NAMED}{{27,64}}(\.safetensors)?\.[0-9a-f]{{8}}|[0-9a-f]{{12}})\.part"
)


LOOKS = "looks"
"""Folder of unpacked looks within the cache's."""
_LOOK = re.compile(r"[0-9a-f]{64}")
# A run that reads an unpacked look reads it within so many seconds.
_IN_USE = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheInfo:
    """Where a cache is, how many entries it has, their size and the size it is bounded to."""

    folder: Path
    entries: int
    bytes: int
    limit: int


@dataclass(frozen=True)
class Cache:
    """A folder of entries, the least recently used of which go first.

    Attributes:
        folder: made when first needed.
        limit: size in bytes that the entries may have together; 0 stores nothing.
    """

    folder: Path
    limit: int = DEFAULT_SIZE

    def get(self, kind: str, key: Mapping[str, Any]) -> tuple[dict[str, Tensor], str] | None:
        """Tensors and text of an entry, None if it is not there or damaged.

        Args:
            kind: what it holds, one of ``KINDS``.
            key: everything that its content depends on, as JSON can hold it.
        """
        path = self._path(kind, key)
        found = _entry(path)
        log.debug("%s: %s", path.name, "not there" if found is None else "served")
        return found

    def put(
        self, kind: str, key: Mapping[str, Any], tensors: Mapping[str, Tensor], text: str = ""
    ) -> None:
        """Store an entry, if there is room and permission."""
        if sum(t.nbytes for t in tensors.values()) > LARGEST_SHARE * self.limit:
            return
        path = self._path(kind, key)
        metadata = {"digest": digest(tensors), "text": text, "entry": path.stem}
        with contextlib.suppress(OSError, OutputError, SafetensorError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_tensors(path, tensors, metadata)
            self._make_room()

    def info(self) -> CacheInfo:
        """What is there now."""
        sizes = [entry.bytes for entry in (*self._entries(), *self._looks())]
        return CacheInfo(self.folder, len(sizes), sum(sizes), self.limit)

    @property
    def looks(self) -> Path:
        """Folder that packed looks are unpacked to."""
        return self.folder / LOOKS

    def clear(self) -> CacheInfo:
        """Remove all entries and return what was there.

        Raises:
            OutputError: an entry cannot be removed.
        """
        before = self.info()
        for entry in [*self._entries(), *self._unfinished(), *self._looks()]:
            try:
                entry.remove()
            except OSError as error:
                reason = f"{entry.path}: cannot be removed ({error.strerror})"
                raise OutputError(reason) from error
        return before

    def _entries(self) -> list[_File]:
        found = _files(self.folder, "*.safetensors")
        return [file for file in found if _ENTRY.fullmatch(file.path.name)]

    def _unfinished(self) -> list[_File]:
        """What processes are writing, or were when they were killed."""
        found = [*_files(self.folder, ".*.part"), *_files(self.looks, ".*.part")]
        return [file for file in found if _UNFINISHED.fullmatch(file.path.name)]

    def _looks(self) -> list[_File]:
        """The looks that were unpacked, each as one entry as large as all that is in it."""
        return [
            _File(file.path, file.used, sum(f.bytes for f in _files(file.path, "**/*")))
            for file in _files(self.looks, "*")
            if _LOOK.fullmatch(file.path.name) and not file.path.is_symlink()
        ]

    def _path(self, kind: str, key: Mapping[str, Any]) -> Path:
        whole = {
            "format": FORMAT,
            "kind": kind,
            "layered-nst": layered_nst.__version__,
            "torch": torch.__version__,
            **key,
        }
        name = text_hash(json.dumps(whole, sort_keys=True))
        return self.folder / f"{kind}-{name}.safetensors"

    def _make_room(self) -> None:
        now = time.time()
        for entry in self._unfinished():
            if now - entry.used > ABANDONED_AFTER:
                entry.remove()
        looks = self._looks()
        idle = [look for look in looks if now - look.used > _IN_USE]
        entries = self._entries()
        total = sum(entry.bytes for entry in (*entries, *looks))
        if total <= self.limit:
            return
        for entry in sorted([*entries, *idle], key=lambda entry: entry.used):
            if total <= KEPT_SHARE * self.limit:
                return
            entry.remove()
            total -= entry.bytes


def _entry(path: Path) -> tuple[dict[str, Tensor], str] | None:
    """What a file of the cache holds, None if it is not there or damaged."""
    try:
        metadata, tensors = read_metadata(path), read_tensors(path)
        if _is_another(metadata, path) or metadata["digest"] != digest(tensors):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return tensors, metadata["text"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def _is_another(metadata: Mapping[str, str], path: Path) -> bool:
    """Whether an entry is not what its name says.

    Those of older versions do not name themselves, and nothing vouches for their texts.
    """
    if "entry" not in metadata:
        return bool(metadata["text"])
    return metadata["entry"] != path.stem


@dataclass(frozen=True)
class _File:
    """Something in the cache, when it was last used, in s, and how large it is."""

    path: Path
    used: float
    bytes: int

    def remove(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def _files(folder: Path, pattern: str) -> Iterator[_File]:
    """Files of a folder, but for those that another process removes meanwhile."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            found = path.lstat()
            yield _File(path, found.st_mtime, found.st_size)


def open_cache(choice: bool | str | Path | Cache = True) -> Cache | None:
    """The cache that a caller means.

    Args:
        choice: True for the user's own, False for none, or the folder of another.
    """
    if isinstance(choice, Cache):
        return choice
    if choice is False:
        return None
    own = own_cache()
    return own if choice is True else replace(own, folder=Path(choice).expanduser().absolute())


def own_cache() -> Cache:
    """The user's own cache.

    It lies where the system keeps caches, or in ``LAYERED_NST_CACHE_DIR``, and is bounded by
    ``LAYERED_NST_CACHE_SIZE``, as ``500MB`` or ``2GB``.
    """
    limit = _limit(os.environ.get(SIZE_VARIABLE, ""))
    return Cache(cache_folder(), limit)


def _limit(text: str) -> int:
    if not text.strip():
        return DEFAULT_SIZE
    found = amount(text)
    if found is None:
        sentence = f"{SIZE_VARIABLE}: found {text!r}, allowed: a size such as 500MB or 2GB"
        warnings.warn(sentence, LayeredNstWarning, stacklevel=4)
        return DEFAULT_SIZE
    return round(found)
