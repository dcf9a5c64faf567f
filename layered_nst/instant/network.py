"""The network that paints: a decoder that turns carried features into a picture.

It mirrors the encoder from conv4_1 up. At each of three scales it is given features that have been
carried to their styles' moments, and a style's moments also scale and shift what it computes, so
that it knows whose strokes to draw. It adds to the coarse colors of the photo in the styles'
palette, which is where the color is right from the first step of its training. Sources: Li et al.
2017 (arXiv 1705.08086) for moments carried at several depths, Perez et al. 2018 (1709.07871) for
scaling and shifting. No layer normalizes: that would make a picture depend on its tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = ("conv4_1", "conv3_1", "conv2_1")
"""Where features are carried, deep to shallow."""
COARSE = 8
"""Side in px of the cells whose colors the network adds to."""
CODE = 32
"""Numbers to which a style's moments are condensed."""


@dataclass(frozen=True)
class Form:
    """How wide and deep a painter is.

    Attributes:
        widths: channels at an eighth, a quarter, half and the whole of the picture's side.
        depths: further convolutions at each, with what they are given added to what they give.
    """

    widths: tuple[int, int, int, int] = (96, 48, 32, 16)
    depths: tuple[int, int, int, int] = (1, 1, 1, 0)


DEFAULT_FORM = Form()


class Painter(nn.Module):
    """Paints carried features.

    Args:
        form: its widths and depths.
        channels: of the encoder at ``LAYERS``.
    """

    def __init__(self, form: Form, channels: Sequence[int]) -> None:
        super().__init__()
        self.form, self.channels = form, tuple(channels)
        deep, middle, fine, full = form.widths
        first, second, third = channels
        entering = (first, deep + second, middle + third + 3, fine)
        self.stages = nn.ModuleList(
            Stage(given, width, depth)
            for given, width, depth in zip(entering, form.widths, form.depths, strict=True)
        )
        self.last = nn.Conv2d(full, 3, 3)
        self.condense = nn.Linear(2 * sum(channels), CODE)
        modulate = [nn.Linear(CODE, 2 * width) for width in form.widths[:3]]
        self.modulate = nn.ModuleList(modulate)
        # It begins with the coarse colors, and alike for all styles.
        for layer in (self.last, *modulate):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def code(self, means: Sequence[Tensor], deviations: Sequence[Tensor]) -> list[Tensor]:
        """What styles are to the network, from their moments at ``LAYERS``.

        Args:
            means, deviations: by layer, shape (R, C) each.

        Returns:
            Factors less 1 and summands of the channels at each of three scales, (R, 2 · width).
        """
        known = [
            part / part.norm(dim=1, keepdim=True).clamp(min=1e-6) * part.shape[1] ** 0.5
            for pair in zip(means, deviations, strict=True)
            for part in pair
        ]
        condensed = F.relu(self.condense(torch.cat(known, 1)))
        return [layer(condensed) for layer in self.modulate]

    def forward(
        self, colors: Tensor, carried: Sequence[Tensor], modulation: Sequence[Tensor]
    ) -> Tensor:
        """The picture, not clamped.

        Args:
            colors: the photo in the palette of its styles, shape (B, 3, H, W) in [0, 1].
            carried: features at ``LAYERS``, shapes (B, C, h, w), in the encoder's sizes.
            modulation: at each of them factors less 1 and summands, (B, 2 · width, h, w) or
                (B, 2 · width, 1, 1).

        Returns:
            Shape (B, 3, H, W).
        """
        size = (colors.shape[2], colors.shape[3])
        half = F.avg_pool2d(colors, 2, ceil_mode=True, count_include_pad=False) - 0.5
        hidden = self.stages[0](carried[0], modulation[0])
        hidden = self.stages[1](_above(hidden, carried[1]), modulation[1])
        hidden = self.stages[2](torch.cat([_above(hidden, carried[2]), half], 1), modulation[2])
        hidden = self.stages[3](_twice(hidden, size), None)
        drawn: Tensor = self.last(_edged(hidden))
        return coarse_colors(colors) + drawn


class Stage(nn.Module):
    """The convolutions at one scale."""

    def __init__(self, given: int, width: int, depth: int) -> None:
        super().__init__()
        self.enter = _convolution(given, width, slope=0)
        self.more = nn.ModuleList(_convolution(width, width, slope=3) for _ in range(depth))

    def forward(self, given: Tensor, modulation: Tensor | None) -> Tensor:
        hidden = self.enter(_edged(given))
        if modulation is not None:
            factor, summand = modulation.to(hidden.dtype).chunk(2, 1)
            hidden = torch.addcmul(summand + hidden, hidden, factor)
        hidden = F.relu(hidden)
        for layer in self.more:
            hidden = hidden + F.relu(layer(_edged(hidden)))
        return hidden


def _convolution(given: int, width: int, *, slope: float) -> nn.Conv2d:
    """A convolution that begins the smaller the steeper the slope behind it is told to be."""
    layer = nn.Conv2d(given, width, 3)
    nn.init.kaiming_normal_(layer.weight, a=slope)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def coarse_colors(colors: Tensor) -> Tensor:
    """A picture (B, 3, H, W) without anything finer than its colors in cells of 8 × 8 px."""
    cells = F.avg_pool2d(colors, COARSE, ceil_mode=True, count_include_pad=False)
    smooth = F.interpolate(cells, scale_factor=COARSE, mode="bilinear", align_corners=False)
    return smooth[:, :, : colors.shape[2], : colors.shape[3]]


def _edged(hidden: Tensor) -> Tensor:
    """With its edge repeated: zeros would stand around the picture as a frame."""
    return F.pad(hidden, (1, 1, 1, 1), "replicate")


def _twice(hidden: Tensor, size: tuple[int, int]) -> Tensor:
    """Every position twice along each side: transposed convolutions draw checkerboards."""
    enlarged = F.interpolate(hidden, scale_factor=2, mode="nearest")
    return enlarged[:, :, : size[0], : size[1]]


def _above(hidden: Tensor, carried: Tensor) -> Tensor:
    enlarged = _twice(hidden, (carried.shape[2], carried.shape[3]))
    return torch.cat([enlarged, carried.to(hidden.dtype)], 1)


def deviations(mean: Tensor, second: Tensor) -> Tensor:
    """Standard deviations (R, C) of means (R, C) and raw second moments (R, C, C)."""
    return (second.diagonal(dim1=1, dim2=2) - mean.square()).clamp(min=0).sqrt()
