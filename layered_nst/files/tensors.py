"""Safetensors files that know their own content, so that damage anywhere in them is noticed.

Safetensors checks the sizes of what it stores but not the bytes. A seal among the metadata is the
digest of all other texts, and who writes tensors puts a digest of them into those texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from layered_nst.files.atomic import replacing
from layered_nst.files.hashes import text_hash
from layered_nst.files.texts import is_utf8

SEAL = "seal"
"""Key of the digest of all other metadata; files of before it was written have none."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all, the same bytes for the same content.

    Args:
        metadata: texts to go with them; a seal is added.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    sealed = {**metadata, SEAL: _seal(metadata)}
    with replacing(path) as file:
        file.write(_with_sorted_texts(save(plain, sealed)))


def _seal(texts: Mapping[str, str]) -> str:
    return text_hash(json.dumps(dict(texts), sort_keys=True))


def _with_sorted_texts(data: bytes) -> bytes:
    """A safetensors file with its metadata in order: safetensors itself draws one every time."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


@contextmanager
def openable(path: Path) -> Iterator[Path]:
    """A name by which safetensors can open a file: it knows none that is not UTF-8."""
    if is_utf8(str(path)):
        yield path
        return
    # Only systems that have such names have such files, and they have this folder too.
    with path.open("rb") as file:
        yield Path(f"/dev/fd/{file.fileno()}")


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries, without the seal.

    Raises:
        OSError, SafetensorError: it cannot be read, or is no safetensors file or cut short, or
            its texts are not those that were sealed.
    """
    with openable(path) as name, safe_open(name, framework="pt") as file:
        texts = file.metadata() or {}
    seal = texts.pop(SEAL, None)
    if seal is not None and seal != _seal(texts):
        raise SafetensorError("its header is damaged")
    return texts


def read_tensors(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, named without it.

    They are copies: whoever overwrites the file in place does not reach them.

    Raises:
        OSError, SafetensorError: it cannot be read, or is no safetensors file or cut short.
    """
    with openable(path) as name, safe_open(name, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        return {key.removeprefix(prefix): file.get_tensor(key).clone() for key in keys}
