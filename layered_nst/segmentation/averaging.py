"""One segmenter from several: the mean of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.segmentation.checkpoints import (
    Description,
    checked_output,
    fill,
    folded,
    read_described,
    read_tensors,
    save_segmenter,
)
from layered_nst.segmentation.network import build_network


def average_segmenters(paths: Sequence[Path], output: Path) -> None:
    """Write the segmenter whose weights are the mean of others'.

    Trainings that went on from the same weights (``segmenter train --start``) end in one valley of
    the loss, and its middle serves photos that none of them has seen better than each of them does
    (model soups, Wortsman et al. 2022). Of networks that began apart the mean is good for nothing.

    Args:
        paths: files that ``train_segmenter`` wrote, two or more; one that is named twice counts
            twice.
        output: a ``.safetensors`` file.

    Raises:
        ModelError: fewer than two, a file that is missing, broken or of another network, classes or
            normalization than the first.
        OutputError: ``output`` cannot be written.
    """
    checked_output(output)
    if len(paths) < 2:
        raise ModelError(f"{len(paths)} segmenter; a mean needs at least two")
    first = read_described(paths[0])
    total: dict[str, Tensor] = {}
    for path in paths:
        described = read_described(path)
        _must_be_alike(described, path, first, paths[0])
        for name, value in _tensors(described, path).items():
            total[name] = total[name] + value if name in total else value
    network = build_network(
        architecture=first.architecture,
        encoder=first.encoder,
        classes=len(first.classes),
        decoder_channels=first.decoder_channels,
    )
    mean = {name: value / len(paths) for name, value in total.items()}
    fill(network, mean, path=output, classes=len(first.classes))
    save_segmenter(
        network,
        output,
        architecture=first.architecture,
        encoder=first.encoder,
        decoder_channels=first.decoder_channels,
        classes=first.classes,
        mean=first.mean,
        std=first.std,
        notes={"mean_of": [{"file": p.name, **read_described(p).notes} for p in paths]},
    )


def _must_be_alike(described: Description, path: Path, first: Description, like: Path) -> None:
    for key in ("architecture", "encoder", "decoder_channels", "classes", "mean", "std"):
        found, wanted = getattr(described, key), getattr(first, key)
        if found != wanted:
            raise ModelError(f"{path}: {key} {_said(found)}, but {like} has {_said(wanted)}")


def _said(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@torch.no_grad()
def _tensors(described: Description, path: Path) -> dict[str, Tensor]:
    """Float32 weights without the statistics of normalizations, which means would not honour."""
    network = build_network(
        architecture=described.architecture,
        encoder=described.encoder,
        classes=len(described.classes),
        decoder_channels=described.decoder_channels,
    )
    fill(network, read_tensors(path), path=path, classes=len(described.classes))
    return folded(network)
