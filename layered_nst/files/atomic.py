"""Writing files so that the final name only ever holds a whole one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from layered_nst.errors import OutputError
from layered_nst.files.hashes import bytes_hash

PROTECTED = "cannot be written: it is write-protected"
"""What is said of such a file, after its name."""

LONGEST_NAME = 200
"""Bytes of a file's name that its part can carry: most disks hold 255."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name ``path`` only once it is complete and on disk.

    The bytes go into a hidden ``.part`` file in the same folder, which is synced and renamed at
    the end. On any failure that file is removed and an older ``path`` stays untouched; a process
    killed in the middle leaves only the ``.part`` file. Who may read an older ``path`` may read
    the new one, and nobody else.

    Raises:
        OutputError: the folder is missing or closed to us, the file is write-protected, or the
            disk is full.
    """
    target = Path(os.path.realpath(path))
    _refuse_impossible(target, str(path))
    part = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}.part")
    try:
        with _exclusively(part) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # no older file, or a disk without modes
            shutil.copymode(target, part)
        os.replace(part, target)
        _sync_folder(target.parent)
    except OutputError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def unfinished(path: str | Path) -> list[Path]:
    """The ``.part`` files that processes killed while they wrote ``path`` have left beside it."""
    target = Path(os.path.realpath(path))
    stem = _stem(target)
    beside = [file for file in target.parent.glob("*.part") if file.name.startswith(stem)]
    return [file for file in beside if re.fullmatch("[0-9a-f]{8}.part", file.name[len(stem) :])]


def _stem(target: Path) -> str:
    """What the names of parts begin with; those of two files never begin alike."""
    name = target.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f"{name[:40]}~{bytes_hash([os.fsencode(name)])[:16]}"
    return f".{name}."


def _refuse_impossible(target: Path, name: str) -> None:
    if not target.parent.is_dir():
        raise OutputError(f"{name}: cannot be written: no such folder: {Path(name).parent}")
    with contextlib.suppress(FileNotFoundError):
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            raise OutputError(f"{name}: cannot be written: it is a folder")
        if not stat.S_ISREG(mode):
            raise OutputError(f"{name}: cannot be written: it is not an ordinary file")
    if is_protected(target):
        raise OutputError(f"{name}: {PROTECTED}")


def is_protected(path: Path) -> bool:
    """Whether a file is there that must not be written to; a rename would replace it even so."""
    return path.exists() and not os.access(path, os.W_OK)


def _exclusively(part: Path) -> BinaryIO:
    # os.open rather than tempfile: the file then gets the user's usual permissions, not 0600.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(part, flags, 0o666), "wb")


def _sync_folder(folder: Path) -> None:
    # Not every system can sync a folder; the rename itself is already done.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
