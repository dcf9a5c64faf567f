"""Grain for plain ground, where the network would otherwise have nothing to make strokes of."""

from __future__ import annotations

from collections.abc import Callable
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
    around = F.pad(colors.mean(0)[None, None], (1, 1, 1, 1), "replicate")[0, 0]
    spread = _across(around, torch.maximum) - _across(around, torch.minimum)
    plain = (1 - spread / GRAIN).clamp(min=0) * amount
    rows, columns = (
        (start + torch.arange(side, device=colors.device)) % PERIOD
        for start, side in zip(corner, colors.shape[1:], strict=True)
    )
    noise = _noise().to(colors)[:, rows][:, :, columns]
    return (colors + plain * noise).clamp(0, 1)


def _across(around: Tensor, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest of each 3 × 3 neighborhood; several times as fast as a pooling."""
    rows = of(of(around[:-2], around[1:-1]), around[2:])
    return of(of(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


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
