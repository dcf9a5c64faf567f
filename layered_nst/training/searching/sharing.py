"""Networks of many forms in one set of weights: a narrower one is the first channels of a wider.

Source: Yu et al. 2019, Slimmable Neural Networks (arXiv 1812.08928). A network without
normalization needs no statistics of its own for each width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Cut = Callable[[str, Tensor, torch.Size], Tensor]
"""Of a parameter by its name the part of a shape."""


def first_channels(name: str, weight: Tensor, shape: torch.Size) -> Tensor:
    """The first channels of a weight, along all its dimensions."""
    return weight[tuple(slice(0, side) for side in shape)]


def sharing(part: Network, whole: nn.Module, cut: Cut = first_channels) -> Network:
    """A network whose weights become views of a larger one's: gradients reach those."""
    given = dict(whole.named_parameters())
    for name, parameter in list(part.named_parameters()):
        _give(part, name, cut(name, given[name], parameter.shape))
    return part


def _give(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter."""
    *path, last = name.split(".")
    for step in path:
        module = getattr(module, step)
    delattr(module, last)
    setattr(module, last, value)
