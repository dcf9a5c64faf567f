"""How much neighboring pixels differ."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional


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


def changes(picture: Tensor) -> Tensor:
    """Squared difference of each pixel from the next one down, plus that from the next one across,
    the mean of the channels; shape (H, W). Over a picture's edge there is none.

    Args:
        picture: shape (C, H, W).
    """
    found = picture.new_zeros(picture.shape[1:])
    for dim in _dims(found):
        beyond = (0, 0, 0, 1) if dim == -2 else (0, 1)
        found = found + functional.pad(_squared(picture, dim).mean(0), beyond)
    return found


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
    pairs = picture.shape[dim] - 1
    return (picture.narrow(dim, 1, pairs) - picture.narrow(dim, 0, pairs)).square()


def _lesser(weight: Tensor, dim: int) -> Tensor:
    pairs = weight.shape[dim] - 1
    return torch.minimum(weight.narrow(dim, 1, pairs), weight.narrow(dim, 0, pairs))
