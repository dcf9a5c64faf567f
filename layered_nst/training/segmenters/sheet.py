"""Sheets of photos with predicted and true masks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.segmenters.segmenter import Segmenter, segment
from layered_nst.picture.guided import resample
from layered_nst.picture.layout import INK, Words, beside, grid, tile
from layered_nst.regions.overlay import overlay
from layered_nst.training.segmenters.dataset import IGNORED, LabeledPhotos
from layered_nst.training.segmenters.scoring import SegmentationScore, confusion, matching_segmenter

SIDE = 340
"""Longest side of a picture on a sheet, px."""


def score_sheet(
    segmenter: Segmenter | Path,
    data: LabeledPhotos,
    *,
    names: Sequence[str] | None = None,
    limit: int = 24,
    size: int = SIDE,
    on_photo: Callable[[int, int], None] = lambda *_: None,
) -> Image.Image:
    """Draw one row a photo: the photo, its predicted masks, its true masks, with class names.

    Args:
        segmenter: a segmenter, or a ``.safetensors`` file that ``train_segmenter`` wrote.
        data: photos whose classes are the segmenter's.
        names: photos to show; default is ``limit`` of ``data.val``, evenly spaced.
        limit: number of rows at most.
        size: longest side of a picture in px.
        on_photo: called with (photos done, photos in all) after each photo.

    Raises:
        DataError: the data has other classes than the segmenter.
        ModelError: the weights are missing or broken.
    """
    segmenter = matching_segmenter(segmenter, data)
    chosen = _evenly(data.val if names is None else names, limit)
    rows = []
    for number, name in enumerate(chosen, 1):
        image, truth = data.pair(name)
        winner = segment(segmenter, image / 255).winner.cpu()
        rows.append(_row(name, image / 255, winner, truth, data.classes, size))
        on_photo(number, len(chosen))
    return grid(rows, columns=1)


def _row(
    name: str, rgb: Tensor, winner: Tensor, truth: Tensor, classes: Sequence[str], size: int
) -> Image.Image:
    score = SegmentationScore(confusion(winner, truth, len(classes)))
    said = f"accuracy {score.accuracy:.2f}, mean IoU {score.mean_iou:.2f}"
    shown = (
        (torch.full_like(truth, IGNORED), Words(name, color=INK)),
        (winner, Words(f"found: {said}")),
        (truth, Words("as labeled")),
    )
    tiles = [tile(_masked(rgb, label, classes, size), [line], width=size) for label, line in shown]
    return beside(tiles)


def _evenly(names: Sequence[str], limit: int) -> list[str]:
    count = min(limit, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def _masked(rgb: Tensor, label: Tensor, classes: Sequence[str], longest: int) -> Image.Image:
    """The photo, with each class of a label map in its color; what is not labeled stays bare."""
    # Drawn on at its own size, so that names are as large on every sheet.
    height, width = label.shape
    scale = longest / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(label[None, None].float(), size, mode="nearest")[0, 0]
    masks = torch.stack([small == index for index in range(len(classes))]).float()
    return overlay(resample(rgb, size), masks, classes)
