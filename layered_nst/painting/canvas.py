"""What is painted on: variables that the optimizer moves, and the picture that they make."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


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
    """The plain canvas: the variables are the pixels themselves.

    Where a pixel is free to a share d of 1, its variable is the pixel over √d. So one optimizer
    moves it d times as far as it would, and finds in gradients and steps one and the same function:
    with a gradient that is merely scaled down L-BFGS would learn a curvature that there is not.

    Args:
        start: shape (1, 3, h, w).
        frozen: how far each pixel is not to move, shape (h, w) in [0, 1].
    """

    def __init__(self, start: Tensor, frozen: Tensor) -> None:
        self.variables = start
        self.root: Tensor | None = None
        if bool((frozen > 0).any()):
            self.root = (1 - frozen).clamp(min=0).sqrt()
            self.held = start * (self.root == 0)
            self.variables = start / torch.where(self.root > 0, self.root, 1)

    def picture(self) -> Tensor:
        """See ``Canvas``."""
        if self.root is None:
            return self.variables
        return torch.addcmul(self.held, self.variables, self.root)

    def pull_back(self, gradient: Tensor) -> Tensor:
        """See ``Canvas``."""
        return gradient if self.root is None else gradient.mul_(self.root)
