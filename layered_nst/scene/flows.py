"""Styles that flow into one another across a region.

At each pixel the region's styles have shares that sum to 1. The region is painted as one part for
each style: its mask times the style's share. A part's target is not its own style but the mixture
that its weights see when every pixel has the mixture meant for it: of style t, part s sees
``Σ m w_s w_t / Σ m w_s``. So a flow meets all targets at once, where pure styles as targets would
drive both ends beyond themselves, and shares that are the same everywhere are an ordinary blend.
The shares sum to 1 and features are weighted by their root, so every pixel is pulled alike and
there is no dead band; the encoder sees the picture once, as always.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from layered_nst.recipe import Flow

_PLACES = {
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "top-left": (0.0, 0.0),
    "top-right": (1.0, 0.0),
    "bottom-left": (0.0, 1.0),
    "bottom-right": (1.0, 1.0),
}


def shares_along(way: Flow, mask: Tensor, weights: Sequence[float]) -> Tensor:
    """Shares of styles that follow one another at equal distances across a region.

    Args:
        way: from where to where in the bounding box of what is mostly the region.
        mask: the region, shape (H, W).
        weights: of the styles; where two meet, they count in this proportion.

    Returns:
        Shape (S, H, W), sum 1.
    """
    along = _along(way, mask) * (len(weights) - 1)
    stops = torch.arange(len(weights), dtype=along.dtype, device=along.device)
    near = (1 - (along - stops[:, None, None]).abs()).clamp(min=0)
    return _normalized(near * near.new_tensor(weights)[:, None, None], weights)


def shares_by_masks(masks: Sequence[Tensor | None], weights: Sequence[float]) -> Tensor:
    """Shares of styles whose weights are painted.

    Args:
        masks: for each style how much of its weight counts where, shape (H, W) in [0, 1]; styles
            with None, of which one must not be the only kind, divide what the others' masks leave.
        weights: of the styles.

    Returns:
        Shape (S, H, W), sum 1. Where nothing is painted and none could have the rest, the shares
        are those of the weights.
    """
    drawn = [mask for mask in masks if mask is not None]
    rest = (1 - torch.stack(drawn).sum(0)).clamp(min=0)
    counts = torch.stack([rest if mask is None else mask for mask in masks])
    return _normalized(counts * counts.new_tensor(weights)[:, None, None], weights)


def _along(way: Flow, mask: Tensor) -> Tensor:
    """How far each pixel is on the way, 0 to 1, shape (H, W)."""
    inside = mask >= 0.5 if bool((mask >= 0.5).any()) else mask > 0
    start, end = (torch.tensor(_PLACES[place]) for place in (way.from_, way.to))
    step = end - start
    down, across = (_within(inside.any(axis)) for axis in (1, 0))
    x, y = across[None, :] - start[0], down[:, None] - start[1]
    return ((x * step[0] + y * step[1]) / step.square().sum()).clamp(0, 1)


def _within(taken: Tensor) -> Tensor:
    """Where each row or column is between the first and the last one taken, 0 to 1 there."""
    places = torch.arange(len(taken), device=taken.device, dtype=torch.float32)
    found = taken.nonzero().flatten()
    if not len(found):
        return torch.full_like(places, 0.5)
    first, length = int(found[0]), int(found[-1]) + 1 - int(found[0])
    return (places + 0.5 - first) / length


def _normalized(shares: Tensor, weights: Sequence[float]) -> Tensor:
    total = shares.sum(0)
    even = (shares.new_tensor(weights) / sum(weights))[:, None, None]
    return torch.where(total > 1e-6, shares / total.clamp(min=1e-6), even)
