"""How much neighboring pixels differ."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def variation(picture: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels inside a mask, down plus across.

    Args:
        picture: shape (C, H, W).
        mask: weight of each pixel, shape (H, W).
    """
    found = (
        (squared.mean(0) * lesser).sum() / lesser.sum().clamp(min=1e-6)
        for squared, lesser in neighbors(picture, mask)
    )
    return sum(found, picture.new_zeros(()))


def neighbors(picture: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Squared differences of neighbors and the lesser of their weights, down and then across.

    Args:
        picture: shape (…, H, W).
        weight: shape (H, W).
    """
    for dim in (-2, -1):
        pairs = weight.shape[dim] - 1
        if pairs:
            later, earlier = (picture.narrow(dim, start, pairs) for start in (1, 0))
            lesser = torch.minimum(weight.narrow(dim, 1, pairs), weight.narrow(dim, 0, pairs))
            yield (later - earlier).square(), lesser
