"""One segmenter from several: the mean of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from layered_nst.errors import ModelError
from layered_nst.files.targets import check_weights_output
from layered_nst.networks.segmenters.checkpoints import (
    Description,
    fill,
    folded,
    is_segmenter,
    read_described,
    save_segmenter,
)
from layered_nst.networks.segmenters.segmenter import load_segmenter


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
        OutputError: ``output`` cannot be written, is one of ``paths``, or a file of another kind.
    """
    check_weights_output(output, known=is_segmenter, kind="segmenter of ours", reads=paths)
    if len(paths) < 2:
        raise ModelError(f"{len(paths)} segmenter; a mean needs at least two")
    described = [read_described(path) for path in paths]
    first = described[0]
    for path, found in zip(paths, described, strict=True):
        _must_be_alike(found, path, first, paths[0])
    networks = [load_segmenter(str(path)).network for path in paths]
    # A mean of variances is no variance of anything, so the statistics are folded away before.
    tensors = [folded(network) for network in networks]
    mean = {name: torch.stack([each[name] for each in tensors]).mean(0) for name in tensors[0]}
    fill(networks[0], mean, path=output, classes=len(first.classes))
    members = [
        {"file": path.name, **found.notes} for path, found in zip(paths, described, strict=True)
    ]
    save_segmenter(networks[0], output, replace(first, notes={"mean_of": members}))


def _must_be_alike(described: Description, path: Path, first: Description, like: Path) -> None:
    for key in ("architecture", "encoder", "decoder_channels", "classes", "mean", "std"):
        found, wanted = getattr(described, key), getattr(first, key)
        if found != wanted:
            raise ModelError(f"{path}: {key} {_said(found)}, but {like} has {_said(wanted)}")


def _said(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
