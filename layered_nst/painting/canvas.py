"""What is painted on: variables that the optimizer moves, and the picture that they make."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

LIVELY = 2.0
FINE = 1.0
"""By how much the steps of fine chroma are longer, and up to which size in px it is fine."""


class Canvas(Protocol):
    """Variables and the picture that they make.

    Whoever moves them puts a new tensor in their place and never writes into the old one, which
    may be held as the best so far, or by a state.
    """

    variables: Tensor
    """Any shape."""

    def picture(self) -> Tensor:
        """The picture of the variables as they are, shape (1, 3, h, w), without a gradient."""

    def pull_back(self, gradient: Tensor) -> Tensor:
        """A loss's gradient by the variables.

        Args:
            gradient: the loss's by the picture; it may be written into.
        """


class Pixels:
    """The canvas of a picture: its variables are what is added to the pixels that it starts with.

    Fine chroma is drawn out: of what the variables add, what is finer than ``FINE`` px and changes
    no light counts ``LIVELY`` times. A style pulls little at it, so steps that are as long for it
    as for all else hardly come to it, and strokes were told apart by light alone, as an emboss
    filter does it.

    Where a pixel is free to a share d of 1, what is added counts √d. So one optimizer moves it d
    times as far as it would, and finds in gradients and steps one and the same function: with a
    gradient that is merely scaled down L-BFGS would learn a curvature that there is not.

    Args:
        start: shape (1, 3, h, w).
        frozen: how far each pixel is not to move, shape (h, w) in [0, 1].
    """

    def __init__(self, start: Tensor, frozen: Tensor) -> None:
        self.start = start
        self.variables = torch.zeros_like(start)
        moving = bool((frozen > 0).any())
        self.root = (1 - frozen).clamp(min=0).sqrt() if moving else None

    def picture(self) -> Tensor:
        """See ``Canvas``."""
        added = _livelier(self.variables)
        return (added if self.root is None else added.mul_(self.root)).add_(self.start)

    def pull_back(self, gradient: Tensor) -> Tensor:
        """See ``Canvas``."""
        return _livelier(gradient if self.root is None else gradient.mul_(self.root))


def _livelier(planes: Tensor) -> Tensor:
    """Draw out the fine chroma of (1, 3, h, w): a symmetric map, so it pulls gradients back too.

    One channel at a time: of a print, what comes between would be the peak of the whole run.
    """
    light, found = planes.mean(1, keepdim=True), torch.empty_like(planes)
    for channel in range(planes.shape[1]):
        plane = planes.narrow(1, channel, 1)
        chroma = plane - light
        found.narrow(1, channel, 1).copy_(chroma).sub_(_blurred(chroma)).mul_(LIVELY - 1).add_(
            plane
        )
    return found


def _blurred(planes: Tensor) -> Tensor:
    """A Gaussian of ``FINE`` px, near enough: the mean of neighbors, twice along each side.

    Whatever lies beyond the frame mirrors what lies within, so the map is symmetric there too.
    """
    for pad in ((1, 1, 0, 0), (0, 0, 1, 1)):
        for _ in range(2):
            dim, length = (3, planes.shape[3]) if pad[0] else (2, planes.shape[2])
            wide = F.pad(planes, pad, "replicate")
            ends = wide.narrow(dim, 0, length) + wide.narrow(dim, 2, length)
            del wide
            planes = ends.add_(planes, alpha=2).mul_(0.25)
    return planes
