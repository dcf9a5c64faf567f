"""Thin lines in two pictures against each other, with some pixels of tolerance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dilated(planes: Tensor, radius: int) -> Tensor:
    """Grow the nonzero parts of (C, H, W) by a disc of ``radius`` px; above 0 is inside."""
    steps = torch.arange(-radius, radius + 1, device=planes.device)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).to(planes)
    return F.conv2d(planes[:, None], disc[None, None], padding=radius)[:, 0].round()


def beside_others(values: Tensor) -> Tensor:
    """Which pixels have a side in common with one of another value, bool, shape (…, H, W).

    Args:
        values: labels or masks, shape (…, H, W).
    """
    beside = torch.zeros_like(values, dtype=torch.bool)
    for along, other in ((beside, values), (beside.mT, values.mT)):
        change = other[..., 1:, :] != other[..., :-1, :]
        along[..., 1:, :] |= change
        along[..., :-1, :] |= change
    return beside


def f_score(predicted: float, true: float, existing: float, found: float) -> float:
    """Harmonic mean of precision and recall in [0, 1]; 0 where nothing is predicted or exists.

    Args:
        predicted, true: how many pixels lie on predicted lines, and how many of them are true.
        existing, found: how many pixels lie on existing lines, and how many of them are found.
    """
    precision, recall = true / max(1, predicted), found / max(1, existing)
    return float(2 * precision * recall / max(1e-12, precision + recall))
