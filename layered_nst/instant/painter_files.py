"""Painters in files: what ``layered-nst painter train`` writes and recipes name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.files.hashes import digest
from layered_nst.files.tensors import read_tensors, write_tensors
from layered_nst.instant.network import LAYERS, Form, Painter
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.own_files import OwnFiles

FILES = OwnFiles("layered-nst painter 1", "a painter", "layered-nst painter train")
BUNDLED = "instant"
"""The painter that comes with this package."""


@dataclass(frozen=True)
class PainterFile:
    """What a file of a painter holds.

    Attributes:
        tensors: the weights, as ``Painter.state_dict`` names them.
        form: widths and depths.
        encoder: fingerprint of the encoder that it was taught with.
        notes: how it was made: ``encoder``, ``step``, ``plan``, ``scores``.
    """

    tensors: Mapping[str, Tensor]
    form: Form
    encoder: str
    notes: Mapping[str, Any]


def write_painter(
    path: Path, painter: Painter, encoder: Encoder, *, notes: Mapping[str, Any]
) -> None:
    """Write a painter in float16, whole or not at all; the same painter gives the same bytes.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    tensors = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in painter.state_dict().items()
    }
    metadata = {
        "format": FILES.format,
        "form": json.dumps(asdict(painter.form)),
        "encoder": encoder.fingerprint,
        "notes": json.dumps({"encoder": encoder.name, **notes}),
        "digest": digest(tensors),
    }
    write_tensors(path, tensors, metadata)


def read_painter_file(path: Path) -> PainterFile:
    """Read a painter, checked for damage.

    Raises:
        ModelError: the file is missing, broken, no painter, or one of another version.
    """
    metadata = FILES.metadata(path)
    try:
        said = json.loads(metadata["form"])
        form = Form(tuple(said["widths"]), tuple(said["depths"]))
        notes = json.loads(metadata["notes"])
        encoder, sealed = metadata["encoder"], metadata["digest"]
        tensors = read_tensors(path)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: what it says about itself is damaged ({error!r})") from error
    except (OSError, SafetensorError) as error:
        raise FILES.broken(path, error) from error
    if sealed != digest(tensors):
        raise ModelError(f"{path}: is damaged; its data is not what was stored")
    return PainterFile(tensors, form, encoder, notes)


def is_painter(path: Path) -> bool:
    """Whether a file is a painter, of whatever version."""
    return FILES.found_in(path) is not None


def load_painter(
    name: str | Path,
    encoder: Encoder,
    *,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
) -> Painter:
    """Load a painter by the name or path that recipes use, frozen.

    Args:
        name: ``instant`` (bundled), or a ``.safetensors`` file.
        encoder: the one that it is to paint with.

    Raises:
        ModelError: missing or broken weights, or ones that were taught with another encoder.
    """
    path = painter_path(name, weights_dir=weights_dir)
    file = read_painter_file(path)
    if file.encoder != encoder.fingerprint:
        taught = file.notes.get("encoder", "another encoder")
        raise ModelError(
            f"{path}: was taught with the encoder {taught}, whose weights are not those of "
            f"{encoder.name} here"
        )
    painter = Painter(file.form, [encoder.width(layer) for layer in LAYERS])
    try:
        painter.load_state_dict({k: v.float() for k, v in file.tensors.items()})
    except RuntimeError as error:
        raise ModelError(f"{path}: is damaged; its tensors are not those of its form") from error
    for parameter in painter.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return painter.to(device).requires_grad_(False).eval()


def painter_path(name: str | Path, *, weights_dir: Path | None = None) -> Path:
    """The file of a painter's weights; one that is named by its path may be missing."""
    if str(name).endswith(".safetensors"):
        return Path(name)
    return weights_path(str(name), weights_dir=weights_dir)
