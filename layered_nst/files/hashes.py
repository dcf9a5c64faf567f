"""SHA-256 of files and tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from layered_nst.errors import PictureError

if TYPE_CHECKING:
    pass


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in hex."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        total.update(value.detach().cpu().flatten().numpy().data)
    return total.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises PictureError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
