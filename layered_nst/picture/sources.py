"""Whatever a program may hand over as a picture: its bytes, an open file, an array, a tensor."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.errors import PictureError
from layered_nst.picture.opening import Encoded, on_disk

ALLOWED = "a path, bytes, a binary file, a Pillow picture, an array or a tensor"


def encoded(source: Any) -> Encoded:
    """A path, the bytes of a file, or a file opened in binary mode, as a file to decode.

    Raises:
        PictureError: no such file, a file opened as text or read to its end, or something else.
    """
    if isinstance(source, str | os.PathLike):
        return on_disk(Path(os.fsdecode(source)))
    if isinstance(source, bytes | bytearray | memoryview):
        return Encoded("picture", data=bytes(source))
    if callable(getattr(source, "read", None)):
        return _of_file(source)
    raise PictureError(f"picture: allowed: {ALLOWED}, not {_kind(source)}")


def _kind(source: Any) -> str:
    return "nothing" if source is None else f"a {type(source).__name__}"


def _of_file(source: Any) -> Encoded:
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) and name else "picture"
    if isinstance(source, io.TextIOBase):
        raise PictureError(f"{name} is opened as text; open it in binary mode, 'rb'")
    try:
        data = source.read()
    except (OSError, ValueError) as error:
        raise PictureError(f"{name} cannot be read: {error}") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise PictureError(f"{name}: reading it gives {_kind(data)} and no bytes")
    if not data:
        raise PictureError(f"{name} is empty, or was read to its end before; seek(0) goes back")
    return Encoded(name, data=bytes(data))


def as_array(source: NDArray[Any] | Tensor) -> NDArray[Any]:
    """An array as it is; a tensor as an array with its channels last.

    Of (3, H, 3) the channels are taken to be the first, as torch has them.

    Raises:
        PictureError: a batch, or another shape or type than a picture's.
    """
    if isinstance(source, np.ndarray):
        return source
    shape = tuple(source.shape)
    if source.ndim == 4:
        raise PictureError(
            f"picture: a tensor must be one picture, (channels, height, width), not a batch {shape}"
        )
    if source.is_complex() or source.is_quantized or source.layout != torch.strided:
        raise PictureError(f"picture: a tensor must be dense and real, not {source.dtype}")
    plain = source.detach().cpu()
    if plain.dtype in (torch.bfloat16, torch.float16):
        plain = plain.float()
    if source.ndim == 3 and 1 <= shape[0] <= 4 and (shape[0] >= 3 or shape[2] > 4):
        plain = plain.movedim(0, -1)
    return plain.numpy()
