"""How much neighboring pixels differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def variation(picture: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels inside a mask, down plus across.

    Args:
        picture: shape (C, H, W).
        mask: weight of each pixel, shape (H, W).
    """
    return sum((_along(dim, picture, mask) for dim in _dims(mask)), picture.new_zeros(()))


def _along(dim: int, picture: Tensor, mask: Tensor) -> Tensor:
    # Channel by channel: at a print's size the temporaries of all together would be the peak.
    squared = torch.zeros_like(_lesser(mask, dim))
    for plane in picture:
        squared += _squared(plane, dim)
    lesser = _lesser(mask, dim)
    return (squared.div_(len(picture)).mul_(lesser)).sum() / lesser.sum().clamp(min=1e-6)


def color_changes(picture: Tensor) -> Tensor:
    """Squared difference of each pixel from the next one down, plus that from the next one across,
    so far as it changes no light: the mean of the channels less the square of their mean. Over
    a picture's edge there is none.

    Args:
        picture: shape (C, H, W).

    Returns:
        Shape (H, W).
    """
    found: Tensor = _ColorChanges.apply(picture)
    return found


class _ColorChanges(torch.autograd.Function):
    """With its gradient by hand: of a print, what autograd would keep is half a gigabyte."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        ctx.save_for_backward(picture)
        found = picture.new_zeros(picture.shape[1:])
        for dim in _dims(found):
            differ = _colored(picture, dim)
            found.narrow(dim, 0, differ.shape[dim]).add_(differ.square_().mean(0))
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (picture,) = ctx.saved_tensors
        found = torch.zeros_like(picture)
        for dim in _dims(gradient):
            differ = _colored(picture, dim)
            pairs = differ.shape[dim]
            differ.mul_(gradient.narrow(dim, 0, pairs)).mul_(2 / len(picture))
            found.narrow(dim, 1, pairs).add_(differ)
            found.narrow(dim, 0, pairs).sub_(differ)
        return found


def _colored(picture: Tensor, dim: int) -> Tensor:
    """Differences of neighbors less the mean of the channels'."""
    differ = _differences(picture, dim)
    return differ.sub_(differ.mean(0))


def neighbors(picture: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Squared differences of neighbors and the lesser of their weights, down and then across.

    Args:
        picture: shape (…, H, W).
        weight: shape (H, W).
    """
    for dim in _dims(weight):
        yield _squared(picture, dim), _lesser(weight, dim)


def _dims(weight: Tensor) -> list[int]:
    return [dim for dim in (-2, -1) if weight.shape[dim] > 1]


def _squared(picture: Tensor, dim: int) -> Tensor:
    return _differences(picture, dim).square()


def _differences(picture: Tensor, dim: int) -> Tensor:
    pairs = picture.shape[dim] - 1
    return picture.narrow(dim, 1, pairs) - picture.narrow(dim, 0, pairs)


def _lesser(weight: Tensor, dim: int) -> Tensor:
    pairs = weight.shape[dim] - 1
    return torch.minimum(weight.narrow(dim, 1, pairs), weight.narrow(dim, 0, pairs))
