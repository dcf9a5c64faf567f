"""What is painted on: variables that the optimizer moves, and the picture that they make."""

from __future__ import annotations

from typing import Protocol

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

    Args:
        start: shape (1, 3, h, w).
        frozen: how far each pixel is not to move, shape (h, w) in [0, 1].
    """

    def __init__(self, start: Tensor, frozen: Tensor) -> None:
        self.variables, self.free = start, 1 - frozen

    def picture(self) -> Tensor:
        """The variables; see ``Canvas``."""
        return self.variables

    def pull_back(self, gradient: Tensor) -> Tensor:
        """The gradient where pixels are free; see ``Canvas``."""
        return gradient.mul_(self.free)
