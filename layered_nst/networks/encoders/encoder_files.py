"""Encoders in files of their own: what ``layered-nst encoder distill`` writes and recipes name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.files.hashes import digest
from layered_nst.files.tensors import read_tensors, write_tensors
from layered_nst.networks.own_files import OwnFiles

FILES = OwnFiles("layered-nst encoder 1", "an encoder", "layered-nst encoder distill")

SHAPES = ((2, 2, 3, 3, 3), (2, 2, 4, 4, 4))
"""Convolutions in each block of VGG-16 and VGG-19: recipes name the layers of no others."""

NUMBERS = (torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class EncoderFile:
    """What a file of an encoder holds.

    Attributes:
        tensors: ``conv1_1.weight``, ``conv1_1.bias`` and so on; ``conv1_1.map`` (c, c) takes a
            layer's features to its teacher's measure; ``side1.weight`` … ``fuse.bias`` are the
            heads for contours, if it has them.
        blocks: number of convolutions before each pooling.
        notes: how it was made: ``teacher``, ``step``, ``plan`` and ``unexplained``.
    """

    tensors: Mapping[str, Tensor]
    blocks: tuple[int, ...]
    notes: Mapping[str, Any]


def write_encoder_file(path: Path, file: EncoderFile) -> None:
    """Write an encoder, whole or not at all; the same encoder gives the same bytes.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    metadata = {
        "format": FILES.format,
        "blocks": json.dumps(file.blocks),
        "notes": json.dumps(dict(file.notes)),
        "digest": digest(file.tensors),
    }
    write_tensors(path, file.tensors, metadata)


def read_encoder_file(path: Path) -> EncoderFile:
    """Read an encoder, checked for damage.

    Raises:
        ModelError: the file is missing, broken, no encoder, or one of another version; or a value
            in it is no number.
    """
    metadata = FILES.metadata(path)
    try:
        blocks = tuple(json.loads(metadata["blocks"]))
        notes = json.loads(metadata.get("notes", "{}"))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: what it says about itself is damaged ({error!r})") from error
    if blocks not in SHAPES or not isinstance(notes, dict):
        raise ModelError(f"{path}: what it says about itself is damaged (blocks {blocks})")
    try:
        tensors = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise FILES.broken(path, error) from error
    _check_shapes(path, tensors, blocks)
    _check_values(path, tensors, metadata.get("digest"))
    return EncoderFile(tensors, blocks, notes)


def is_distilled(path: Path) -> bool:
    """Whether a file is an encoder that was distilled, by whatever version."""
    return "notes" in (FILES.found_in(path) or {})


def _check_shapes(path: Path, tensors: Mapping[str, Tensor], blocks: Sequence[int]) -> None:
    wanted = _shapes(tensors, blocks)
    odd = sorted(tensors.keys() ^ wanted.keys())
    if odd:
        what = "is missing" if odd[0] in wanted else "belongs to no such encoder"
        raise ModelError(f"{path}: {odd[0]} {what}")
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            found = "×".join(map(str, tensors[name].shape)) or "one number"
            raise ModelError(f"{path}: {name} is {found}, not {'×'.join(map(str, shape))}")


def _shapes(tensors: Mapping[str, Tensor], blocks: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The tensors that an encoder of these blocks has, each as wide as its own bias says."""
    layers = [[f"conv{b}_{i}" for i in range(1, depth + 1)] for b, depth in enumerate(blocks, 1)]
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for layer in chain.from_iterable(layers):
        width = tensors[f"{layer}.bias"].numel() if f"{layer}.bias" in tensors else 0
        shapes |= {f"{layer}.weight": (width, channels, 3, 3), f"{layer}.bias": (width,)}
        if f"{layer}.map" in tensors:
            shapes[f"{layer}.map"] = (width, width)
        channels = width
    if "fuse.weight" in tensors:
        for number, block in enumerate(layers, 1):
            width = shapes[f"{block[-1]}.bias"][0]
            shapes |= {f"side{number}.weight": (1, width, 1, 1), f"side{number}.bias": (1,)}
        shapes |= {"fuse.weight": (1, len(blocks), 1, 1), "fuse.bias": (1,)}
    return shapes


def _check_values(path: Path, tensors: Mapping[str, Tensor], sealed: str | None) -> None:
    for name, value in tensors.items():
        if value.dtype not in NUMBERS:
            raise ModelError(f"{path}: {name} is stored as {value.dtype}, which is not read here")
        if not bool(value.isfinite().all()):
            raise ModelError(f"{path}: {name} holds values that are no numbers")
    # Files of before the digest was stored have none.
    if sealed is not None and sealed != digest(tensors):
        raise ModelError(f"{path}: is damaged; its data is not what was stored")
