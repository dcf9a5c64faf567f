"""Soft labels: what teachers think of a photo, written beside it for a student to learn from.

A larger network, or several networks that vote, know more than a small one can learn from label
maps alone, and they can look at photos that nobody has labeled (Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", 2015; Xie et al., "Self-training with Noisy
Student", CVPR 2020).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import DataError, ModelError
from layered_nst.files.tensors import read_metadata, read_tensors, write_tensors
from layered_nst.networks.segmenters.segmenter import Segmenter

FOLDER = "soft"
"""Folder of soft labels, beside ``images`` and ``labels``."""


def soft_path(folder: Path, name: str) -> Path:
    """Where the soft label of a photo lies."""
    return folder / FOLDER / f"{name}.safetensors"


def write_soft_label(path: Path, probabilities: Tensor, classes: Sequence[str]) -> None:
    """Store what teachers think of a photo, in steps of 1/255.

    Args:
        probabilities: (K, h, w) in [0, 1], sum 1; any size of the photo's shape.
        classes: their K names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = (probabilities * 255).round().to(torch.uint8).cpu().contiguous()
    write_tensors(path, {"probabilities": stored}, {"classes": json.dumps(list(classes))})


def read_soft_label(path: Path, classes: Sequence[str], size: tuple[int, int]) -> Tensor:
    """A soft label as uint8 (K, height, width), 255 being certainty.

    Args:
        classes: names that it must have, in this order.
        size: (height, width) of its photo.

    Raises:
        DataError: broken file, or one of other classes.
    """
    try:
        stored = read_tensors(path)["probabilities"]
        named = tuple(json.loads(read_metadata(path)["classes"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a soft label, or a broken one") from error
    if named != tuple(classes) or stored.dim() != 3 or len(stored) != len(named):
        raise DataError(
            f"{path}: a soft label of the classes {', '.join(named)}; "
            f"classes.txt names {', '.join(classes)}"
        )
    if stored.shape[1:] == size:
        return stored
    enlarged = F.interpolate(stored[None].float(), size, mode="bilinear", align_corners=False)
    return enlarged[0].round().to(torch.uint8)


def teach(
    teachers: Sequence[Segmenter],
    folder: Path,
    names: Sequence[str],
    *,
    classes: Sequence[str],
    photo: Callable[[str], Tensor],
    on_photo: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Let teachers vote on photos and write their mean opinion as soft labels.

    Photos that have a soft label already are left as they are, so a run that was stopped goes on.

    Args:
        teachers: one or several; each has one vote.
        folder: of the photos; soft labels go into its ``soft``.
        names: of the photos to look at.
        classes: of the folder, in its order; every teacher must know these and no others.
        photo: gives the photo of a name as uint8 (3, H, W).
        on_photo: called with (photos done, photos in all).

    Raises:
        ModelError: a teacher tells other classes apart.
        DataError: a photo is missing or broken.
    """
    for teacher in teachers:
        if set(teacher.classes) != set(classes):
            raise ModelError(
                f"{teacher.name}: tells apart {', '.join(teacher.classes)}; "
                f"the photos are labeled as {', '.join(classes)}"
            )
    orders = [[teacher.classes.index(c) for c in classes] for teacher in teachers]
    for done, name in enumerate(names, start=1):
        path = soft_path(folder, name)
        if not path.exists():
            rgb = photo(name).float() / 255
            votes = [teacher(rgb)[order] for teacher, order in zip(teachers, orders, strict=True)]
            write_soft_label(path, torch.stack(votes).mean(0), classes)
        on_photo(done, len(names))
