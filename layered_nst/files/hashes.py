"""SHA-256 of files, texts and tensors: what tells one from another, all in hex."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from layered_nst.errors import PictureError

if TYPE_CHECKING:
    from torch import Tensor


def bytes_hash(parts: Iterable[bytes | memoryview]) -> str:
    """SHA-256 of bytes that follow one another."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return bytes_hash([text.encode()])


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values."""
    return bytes_hash(_described(tensors))


def _described(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    for name, value in sorted(tensors.items()):
        yield f"{name} {value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().flatten().numpy().data


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, of the names and bytes of the files in it.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file())
            return text_hash("".join(f"{file.name} {file_hash(file)}\n" for file in files))
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
