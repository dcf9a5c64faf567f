"""Safetensors files that know their own content, so that damage anywhere in them is noticed.

Safetensors checks the sizes of what it stores but not the bytes; a digest of them, in the metadata,
does the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from layered_nst.moments import Moments
from layered_nst.picture import replacing


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in hex."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        total.update(value.detach().cpu().flatten().numpy().data)
    return total.hexdigest()


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


def pack(moments: Mapping[str, Moments], *, prefix: str = "") -> dict[str, Tensor]:
    """Moments by name as tensors to store: of a symmetric matrix the upper triangle is enough."""
    packed = {}
    for name, value in moments.items():
        rows, columns = torch.triu_indices(*value.second.shape)
        packed[f"{prefix}{name}/mean"] = value.mean
        packed[f"{prefix}{name}/second"] = value.second[rows, columns]
        packed[f"{prefix}{name}/weight"] = value.weight
    return packed


def unpack(packed: Mapping[str, Tensor], *, prefix: str = "") -> dict[str, Moments]:
    """The moments that ``pack`` took apart, bit for bit.

    Raises:
        ValueError: sizes that do not fit each other.
        KeyError: a part is missing.
    """
    ends = (prefix, "/mean")
    names = [k[len(prefix) : -5] for k in packed if k.startswith(ends[0]) and k.endswith(ends[1])]
    return {name: _unpacked(packed, f"{prefix}{name}") for name in names}


def _unpacked(packed: Mapping[str, Tensor], key: str) -> Moments:
    mean, triangle = packed[f"{key}/mean"], packed[f"{key}/second"]
    rows, columns = torch.triu_indices(len(mean), len(mean))
    if mean.dim() != 1 or triangle.shape != rows.shape:
        raise ValueError(f"{key}: {tuple(triangle.shape)} does not fit {tuple(mean.shape)}")
    second = mean.new_empty(len(mean), len(mean))
    second[rows, columns] = triangle
    second[columns, rows] = triangle
    return Moments(mean, second, packed[f"{key}/weight"])
