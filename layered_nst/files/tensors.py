"""Safetensors files that know their own content, so that damage anywhere in them is noticed.

Safetensors checks the sizes of what it stores but not the bytes; a digest of them, in the metadata,
does the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from layered_nst.files.atomic import replacing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all, the same bytes for the same content.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as file:
        file.write(_with_sorted_texts(save(plain, dict(metadata))))


def _with_sorted_texts(data: bytes) -> bytes:
    """A safetensors file with its metadata in order: safetensors itself draws one every time."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries.

    Raises:
        OSError, SafetensorError: it cannot be read, or is no safetensors file or cut short.
    """
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_tensors(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, named without it.

    They are copies: whoever overwrites the file in place does not reach them.

    Raises:
        OSError, SafetensorError: it cannot be read, or is no safetensors file or cut short.
    """
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name).clone() for name in names}
