"""Grain for plain ground, where the network would otherwise have nothing to make strokes of."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

GRAIN = 0.02
"""Of 1, from the darkest to the lightest: hardly to be seen, and enough to begin strokes with."""
CELLS = (2, 8)
"""Sides in px of the cells of the grain, one for each octave."""
PERIOD = 256
"""The grain repeats after so many px, so that every part of a picture has that of the whole."""


def grained(colors: Tensor, amount: Tensor, *, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """A picture with grain where it has none of its own.

    Args:
        colors: shape (3, H, W) in [0, 1].
        amount: how far each pixel is to be painted, shape (H, W); 0 gets no grain.
        corner: row and column in the whole picture of the part that is given.
    """
    gray = colors.mean(0)[None, None]
    largest, smallest = (F.max_pool2d(sign * gray, 3, 1, 1)[0, 0] for sign in (1, -1))
    plain = (1 - (largest + smallest) / GRAIN).clamp(min=0) * amount
    rows, columns = (
        (start + torch.arange(side, device=colors.device)) % PERIOD
        for start, side in zip(corner, colors.shape[1:], strict=True)
    )
    noise = _noise().to(colors)[:, rows][:, :, columns]
    return (colors + plain * noise).clamp(0, 1)


@cache
def _noise() -> Tensor:
    """Noise that repeats, shape (3, PERIOD, PERIOD), in [-GRAIN, GRAIN]."""
    generator = torch.Generator().manual_seed(0)
    octaves = []
    for cell in CELLS:
        count = PERIOD // cell
        coarse = torch.rand((1, 3, count, count), generator=generator) - 0.5
        around = F.pad(coarse, (1, 1, 1, 1), "circular")
        fine = F.interpolate(around, scale_factor=cell, mode="bilinear", align_corners=False)
        octaves.append(fine[0, :, cell:-cell, cell:-cell])
    return GRAIN * torch.stack(octaves).sum(0)
