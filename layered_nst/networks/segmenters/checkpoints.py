"""Segmenter weights: our safetensors files that describe themselves, and those of others."""

from __future__ import annotations

import json
import pickle
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from layered_nst.errors import ModelError
from layered_nst.files import tensors as stored
from layered_nst.files.hashes import digest
from layered_nst.files.tensors import read_metadata, write_tensors
from layered_nst.networks.segmenters.subject import PREFIX

# Files of version 1 have the statistics of normalizations beside their weights.
FORMATS = ("layered-nst segmenter 1", "layered-nst segmenter 2")
FORMAT = FORMATS[-1]
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Description:
    """What a segmenter file of this project says about itself.

    Attributes:
        architecture, encoder, decoder_channels: as ``build_network`` takes them.
        classes: names, in the order of the network's outputs.
        mean, std: of the input, subtracted from and dividing RGB in [0, 1].
        notes: how it was trained, anything JSON can say.
    """

    architecture: str
    encoder: str
    decoder_channels: int
    classes: tuple[str, ...]
    mean: float
    std: float
    notes: Mapping[str, Any]


def save_segmenter(
    network: nn.Module, path: Path, described: Description, *, subject: nn.Module | None = None
) -> None:
    """Write float16 weights, and in the metadata what ``described`` says of them.

    What batch normalization has learned of its input's statistics is stored in its weights and
    biases, which makes the file smaller and changes no result. The file is written beside ``path``
    and renamed, so a reader never sees half of it.

    Args:
        subject: a ``SubjectHead`` on the network's encoder, to go into the same file.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    head = {} if subject is None else folded(subject)
    named = {**folded(network), **{f"{PREFIX}{name}": value for name, value in head.items()}}
    tensors = {name: _stored(value) for name, value in named.items()}
    metadata = {
        "format": FORMAT,
        "architecture": described.architecture,
        "encoder": described.encoder,
        "decoder_channels": str(described.decoder_channels),
        "classes": json.dumps(list(described.classes)),
        "mean": str(described.mean),
        "std": str(described.std),
        "notes": json.dumps(dict(described.notes)),
        "digest": digest(tensors),
    }
    write_tensors(path, tensors, metadata)


def is_segmenter(path: Path) -> bool:
    """Whether a file is a segmenter that this project wrote, in whatever version."""
    try:
        return _is_ours(read_metadata(path))
    except (OSError, SafetensorError):
        return False


def _is_ours(metadata: Mapping[str, str]) -> bool:
    return metadata.get("format", "").startswith("layered-nst segmenter")


def folded(network: nn.Module) -> dict[str, Tensor]:
    """All tensors of a network without the statistics of its batch normalizations.

    Their weights and biases are those with which normalizations of mean 0 and variance 1 do what
    theirs do.
    """
    tensors = {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith(("num_batches_tracked", *STATISTICS))
    }
    for name, module in _normalizations(network):
        scale = module.weight * (module.running_var + module.eps).rsqrt()
        tensors[f"{name}.weight"] = scale.detach()
        tensors[f"{name}.bias"] = (module.bias - module.running_mean * scale).detach()
    return tensors


def _neutral(network: nn.Module) -> dict[str, Tensor]:
    """Statistics with which a normalization multiplies by its weight and adds its bias alone."""
    neutral = {}
    for name, module in _normalizations(network):
        neutral[f"{name}.running_mean"] = torch.zeros_like(module.running_mean)
        neutral[f"{name}.running_var"] = torch.ones_like(module.running_var) - module.eps
    return neutral


def _normalizations(network: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            yield name, module


def _stored(value: Tensor) -> Tensor:
    value = value.half() if value.is_floating_point() else value
    return value.cpu().clone(memory_format=torch.contiguous_format)


def read_description(path: Path) -> Description | None:
    """What a file says about itself; None if this project didn't write it.

    Raises:
        ModelError: missing or broken file, or a description that this version cannot read.
    """
    if path.suffix != ".safetensors":
        return None
    metadata = _read_safetensors(path)[1]
    if not _is_ours(metadata):
        return None
    if metadata["format"] not in FORMATS:
        raise ModelError(
            f"{path}: written as {metadata['format']!r}; this version reads {FORMAT!r}"
        )
    try:
        return Description(
            metadata["architecture"],
            metadata["encoder"],
            int(metadata["decoder_channels"]),
            tuple(str(c) for c in json.loads(metadata["classes"])),
            float(metadata["mean"]),
            float(metadata["std"]),
            json.loads(metadata["notes"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: its description is damaged: {error!r}") from error


def read_described(path: Path) -> Description:
    """What a file of this project says about itself.

    Raises:
        ModelError: as ``read_description``, or the file is of others.
    """
    described = read_description(path)
    if described is None:
        raise ModelError(f"{path}: not written by `layered-nst segmenter train`")
    return described


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` file or of a ``.pth`` state dict, never unpickling code.

    State dicts one level down, as training frameworks save them, are found.

    Raises:
        ModelError: missing file, broken file, or a file that holds no state dict.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    _must_exist(path)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds more than tensors, or is no checkpoint, and is not opened for safety; "
            "save the network's state_dict() alone"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: broken, or no checkpoint of torch: {error}") from error
    return _state_dict(saved, path)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, path: Path, classes: int) -> None:
    """Load tensors into a network, whatever prefix their names carry.

    Args:
        network: the network, changed in place.
        tensors: names and values as stored.
        path: their file, for messages.
        classes: number of classes that the caller named.

    Raises:
        ModelError: another number of classes, or tensors that are missing, left over or of
            another shape.
    """
    named = _without_prefix(tensors, path)
    _check_classes(named, path=path, classes=classes)
    parts = dict(network.named_children())
    # What lies beside the network's own parts (losses, auxiliary heads) served training alone.
    fill_part(network, {k: v for k, v in named.items() if k.split(".")[0] in parts}, path=path)


def fill_part(network: nn.Module, own: Mapping[str, Tensor], *, path: Path) -> None:
    """Load tensors, named as the network names them, with neutral statistics if they have none.

    Raises:
        ModelError: tensors that are missing, left over or of another shape.
    """
    counters = {
        k: torch.zeros_like(v)
        for k, v in network.state_dict().items()
        if k.endswith("num_batches_tracked")
    }
    statistics = {} if any(k.endswith(STATISTICS) for k in own) else _neutral(network)
    try:
        network.load_state_dict({**counters, **statistics, **own})
    except RuntimeError as error:
        detail = textwrap.shorten(" ".join(str(error).splitlines()[1:]), 160)
        raise ModelError(f"{path}: does not fit this architecture and encoder: {detail}") from error


_LAST_LAYERS = ("segmentation_head.0.weight", "classifier.4.weight")


def _without_prefix(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    ends = [k for k in tensors if k.endswith(_LAST_LAYERS) and "aux_classifier" not in k]
    if not ends:
        raise ModelError(f"{path}: holds no segmentation network ({len(tensors)} tensors)")
    last = next(name for name in _LAST_LAYERS if ends[0].endswith(name))
    prefix = ends[0].removesuffix(last)
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _check_classes(named: Mapping[str, Tensor], *, path: Path, classes: int) -> None:
    found = next(len(named[name]) for name in _LAST_LAYERS if name in named)
    if found != classes:
        raise ModelError(
            f"{path}: tells {found} classes apart, but {classes} class names are given"
        )


def _state_dict(saved: object, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(saved, Mapping) and isinstance(saved.get(key), Mapping):
            saved = saved[key]
    if isinstance(saved, Mapping):
        tensors = {str(k): v for k, v in saved.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise ModelError(f"{path}: holds no state dict")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _must_exist(path)
    try:
        metadata = read_metadata(path)
        tensors = stored.read_tensors(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: broken, or no safetensors file: {error}") from error
    # Files of before the digest was stored have none, and those of others another one.
    if _is_ours(metadata) and metadata.get("digest", "") not in ("", digest(tensors)):
        raise ModelError(f"{path}: is damaged; its data is not what was stored")
    return tensors, metadata


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
