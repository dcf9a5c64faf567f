"""Frames that are kept in memory, in a quarter of it."""

from __future__ import annotations

from torch import Tensor


def as_bytes(picture: Tensor) -> Tensor:
    """Values in [0, 1], of any shape, as bytes on the CPU."""
    return (picture.cpu() * 255 + 0.5).byte()


def as_floats(stored: Tensor) -> Tensor:
    """The same in [0, 1] again."""
    return stored.float() / 255
