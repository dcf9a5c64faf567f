"""What may be written where: nothing that a user owns is replaced unless he named it.

A file that he names is his to give away, but never one that the same run reads. A name that this
program chose (a preview, a mask, the sheet that nobody named) is taken if it is free, or if what
lies there was written by this program and by no one else since. How that is seen, whoever knows
the kind of file says.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path

from layered_nst.errors import OutputError
from layered_nst.files.atomic import PROTECTED, is_protected

Known = Callable[[Path], bool]
"""Says of a file that is there whether this program wrote it, as the kind that is wanted."""

FOREIGN = "is there and was not written by layered-nst, or was changed since; name another"
"""What is said of a file in the way, after its name."""


def check_target(
    path: Path,
    *,
    formats: Sequence[str] = (),
    reads: Iterable[Path] = (),
    known: Known | None = None,
    otherwise: str = FOREIGN,
) -> None:
    """Refuse an output that cannot or must not be written, before the work and not after it.

    Args:
        path: where a file shall go.
        formats: the suffixes that can be written; () for any.
        reads: files that the run reads.
        known: says whether a file that is there may be replaced; None if the user has named it,
            and so given it away.
        otherwise: what is said of a file that is not known, after its name.

    Raises:
        OutputError: no such folder, a folder in its place, no permission, an unknown suffix, a
            file that is write-protected, one that is read, or one that is not known.
    """
    if formats and path.suffix.lower() not in formats:
        raise OutputError(f"{path}: no known format; use {', '.join(formats)}")
    try:
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, not a file")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: no such folder {path.absolute().parent}")
        probe(path.absolute().parent, path.name)
        if is_protected(path):
            raise OutputError(f"{path}: {PROTECTED}")
        check_unread([path], reads)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if known is not None and os.path.lexists(path) and not known(path):
        raise OutputError(f"{path}: {otherwise}")


def made_folder(
    folder: Path, names: Iterable[str], *, known: Known, reads: Iterable[Path] = ()
) -> list[Path]:
    """Make a folder and say where files of these names go in it; nothing is made if one must not.

    Args:
        names: that this program chose.
        known: says whether a file that is there may be replaced.
        reads: files that the run reads.

    Raises:
        OutputError: the folder cannot be made or written to, or as ``check_target``.
    """
    paths, read = [folder / name for name in names], list(reads)
    check_folder(paths, known=known, reads=read)
    make_folder(folder)
    return paths


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error


def check_unread(paths: Iterable[Path], reads: Iterable[Path]) -> None:
    """Refuse outputs that are read.

    Raises:
        OutputError: one of them is.
    """
    there = [path for path in paths if path.exists()]
    read = list(reads) if there else []
    for path in there:
        if is_read(path, read):
            raise OutputError(f"{path}: would replace a file that is read; name another")


def check_folder(paths: Iterable[Path], *, known: Known, reads: Iterable[Path] = ()) -> None:
    """Refuse, before the work, what ``made_folder`` would refuse after it."""
    read = list(reads)
    for path in paths:
        if os.path.lexists(path):
            check_target(path, known=known, reads=read)


def check_weights_output(
    path: Path, *, known: Known, kind: str, reads: Iterable[Path] = ()
) -> None:
    """Find out before hours of training that their result could not or must not be written.

    Args:
        known: says whether a file that is there is of the kind that is written.
        kind: what it is called.
        reads: weights that the training begins with.

    Raises:
        OutputError: no ``.safetensors`` file, or else as ``check_target``.
    """
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: weights are written as .safetensors")
    otherwise = f"is there and is no {kind}; name another file"
    check_target(path, reads=reads, known=known, otherwise=otherwise)


def probe(folder: Path, name: str = "") -> None:
    """Make a file in a folder and remove it.

    Args:
        name: of the file that shall go there; one of as many bytes is tried.

    Raises:
        OSError: files cannot be made there, or none of such a name.
    """
    stem = "." + secrets.token_hex(6)
    missing = len(os.fsencode(name)) - len(stem) - len(".probe")
    made = folder / f"{stem}{'-' * max(0, missing)}.probe"
    made.touch(exist_ok=False)
    made.unlink()


def is_read(path: Path, reads: Iterable[Path]) -> bool:
    """Whether a file is one of those that are read, by whatever name."""
    return path.exists() and any(file.exists() and path.samefile(file) for file in reads)


def free_name(path: Path, *, known: Known, reads: Iterable[Path] = ()) -> Path:
    """The name itself, or with the next number, ``out.preview.2.png``, that may be taken.

    Args:
        path: a name that this program chose.
        known: says whether a file that is there may be replaced.
        reads: files that the run reads.
    """
    kept = list(reads)
    numbered = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in count(2))
    return next(name for name in chain((path,), numbered) if _may_take(name, known, kept))


def _may_take(path: Path, known: Known, reads: Iterable[Path]) -> bool:
    if not os.path.lexists(path):
        return True
    if not path.is_file() or is_protected(path):
        return False
    return not is_read(path, reads) and known(path)


def beside(picture: Path, suffix: str, *, owner: Callable[[Path], str | None]) -> Path:
    """The name of what belongs to a picture: ``OUT.json`` beside ``OUT.png``.

    Another picture, ``OUT.jpg``, may have taken that name already; then it is ``OUT.png.json``.

    Args:
        owner: the name of the picture that a file which is there belongs to; "" if it does not
            say, None if it is another kind of file.
    """
    usual, whole = picture.with_suffix(suffix), picture.with_name(picture.name + suffix)
    if whole.is_file() and owner(whole) == picture.name:
        return whole
    other = owner(usual) if usual.is_file() else None
    return whole if other and other != picture.name else usual
