"""Sheets of photos with predicted and true masks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.segmenters.segmenter import Segmenter, segment
from layered_nst.picture.guided import resample
from layered_nst.regions.overlay import overlay
from layered_nst.training.segmenters.dataset import IGNORED, LabelledPhotos
from layered_nst.training.segmenters.scoring import SegmentationScore, confusion, matching_segmenter

GAP, LINE = 8, 22
WIDTH, HEIGHT = 340, 260
"""Largest size of one picture on a sheet, px."""


def score_sheet(
    segmenter: Segmenter | Path,
    data: LabelledPhotos,
    *,
    names: Sequence[str] | None = None,
    limit: int = 24,
    on_photo: Callable[[int, int], None] = lambda *_: None,
    **options: Any,
) -> Image.Image:
    """Draw one row a photo: the photo, its predicted masks, its true masks, with class names.

    Args:
        segmenter: a segmenter, or a ``.safetensors`` file that ``train_segmenter`` wrote.
        data: photos whose classes are the segmenter's.
        names: photos to show; default is ``limit`` of ``data.val``, evenly spaced.
        limit: number of rows at most.
        on_photo: called with (photos done, photos in all) after each photo.
        options: ``scales``, ``mirror`` or ``refine``, as ``segment`` takes them.

    Raises:
        DataError: the data has other classes than the segmenter.
        ModelError: the weights are missing or broken.
    """
    segmenter = matching_segmenter(segmenter, data)
    chosen = _evenly(data.val if names is None else names, limit)
    sheet = Image.new(
        "RGB", (GAP + 3 * (WIDTH + GAP), len(chosen) * (HEIGHT + LINE + GAP)), "white"
    )
    for row, name in enumerate(chosen):
        image, truth = data.pair(name)
        winner = segment(segmenter, image / 255, **options).winner
        _draw_row(
            sheet, row * (HEIGHT + LINE + GAP), name, image / 255, winner, truth, data.classes
        )
        on_photo(row + 1, len(chosen))
    return sheet


def _draw_row(
    sheet: Image.Image,
    top: int,
    name: str,
    rgb: Tensor,
    winner: Tensor,
    truth: Tensor,
    classes: Sequence[str],
) -> None:
    score = SegmentationScore(confusion(winner, truth, len(classes)))
    title = f"{name}: accuracy {score.accuracy:.2f}, mean IoU {score.mean_iou:.2f}"
    font = ImageFont.load_default(14)
    ImageDraw.Draw(sheet).text((GAP, top + 3), title, "black", font)
    bare = torch.full_like(truth, IGNORED)
    for column, label in enumerate((bare, winner, truth)):
        sheet.paste(_masked(rgb, label, classes), (GAP + column * (WIDTH + GAP), top + LINE))


def _evenly(names: Sequence[str], limit: int) -> list[str]:
    count = min(limit, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def _masked(rgb: Tensor, label: Tensor, classes: Sequence[str]) -> Image.Image:
    """The photo, with each class of a label map in its color; what is not labelled stays bare."""
    # Shrunk before it is drawn on, so that names are as large on every sheet.
    height, width = label.shape
    scale = min(WIDTH / width, HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(label[None, None].float(), size, mode="nearest")[0, 0]
    masks = torch.stack([small == index for index in range(len(classes))]).float()
    return overlay(resample(rgb, size), masks, classes)
