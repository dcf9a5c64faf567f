"""The network that paints: a decoder that turns carried features into a picture.

It mirrors the encoder from conv4_1 up. At each of three scales it is given features that have been
carried to their styles' moments, and a style's moments also scale and shift what it computes, so
that it knows whose strokes to draw. It adds to the coarse colors of the photo in the styles'
palette, which is where the color is right from the first step of its training. Sources: Li et al.
2017 (arXiv 1705.08086) for moments carried at several depths, Perez et al. 2018 (1709.07871) for
scaling and shifting. No layer normalizes: that would make a picture depend on its tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

    def __str__(self) -> str:
        return "/".join(",".join(map(str, part)) for part in (self.widths, self.depths))

    @staticmethod
    def of(text: str) -> Form:
        """A form as ``str`` gives it: ``96,48,32,16/1,1,1,0``.

        Raises:
            ValueError: no four widths of at least 1 and four depths of at least 0.
        """
        parts = [tuple(int(n) for n in part.split(",")) for part in text.split("/")]
        if [len(part) for part in parts] != [4, 4] or min(parts[0]) < 1 or min(parts[1]) < 0:
            raise ValueError(f"{text}: allowed: four widths and four depths: {DEFAULT_FORM}")
        (a, b, c, d), (e, f, g, h) = parts
        return Form((a, b, c, d), (e, f, g, h))


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
        # What each stage gets from the one below it, and what it is given beside that.
        entering = ((0, first), (deep, second), (middle, third + 3), (fine, 3))
        self.stages = nn.ModuleList(
            PainterStage(below, given, width, depth, places)
            for (below, given), width, depth, places in zip(
                entering, form.widths, form.depths, PLACES, strict=True
            )
        )
        self.last = nn.Conv2d(full, 3, 3)
        self.condense = nn.Linear(2 * sum(channels), CODE)
        modulate = [nn.Linear(CODE, 2 * width) for width in form.widths[:3]]
        self.modulate = nn.ModuleList(modulate)
        # It begins with the coarse colors, and alike for all styles.
        for layer in (self.last, *modulate):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    @property
    def every_stage(self) -> list[PainterStage]:
        """The stages, coarse to fine."""
        return [stage for stage in self.stages if isinstance(stage, PainterStage)]

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
        half = F.avg_pool2d(colors, 2, ceil_mode=True, count_include_pad=False) - 0.5
        given = [carried[0], carried[1], torch.cat([carried[2], half], 1)]
        hidden = None
        for stage, part, scaled in zip(self.stages, given, modulation, strict=False):
            hidden = stage(hidden, part, scaled)
        coarse = coarse_colors(colors)
        # What is finer than the encoder sees: without it, edges would have steps of two pixels.
        hidden = self.stages[3](hidden, colors - coarse, None)
        drawn: Tensor = self.last(_edged(hidden))
        return coarse + drawn


class PainterStage(nn.Module):
    """The convolutions at one scale.

    Args:
        below: channels that come from the stage below, 0 for none.
        given: channels that come from beside.
        width: channels that it gives.
        depth: further convolutions.
        places: how what comes from below is enlarged, ``blocks`` or ``smooth``.
    """

    def __init__(
        self, below: int, given: int, width: int, depth: int, places: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.places = places
        enter = nn.Conv2d(below + given, width, 3)
        nn.init.kaiming_normal_(enter.weight)
        self.below = nn.Parameter(enter.weight.detach()[:, :below].clone()) if below else None
        self.beside = nn.Parameter(enter.weight.detach()[:, below:].clone())
        self.bias = nn.Parameter(torch.zeros(width))
        self.more = nn.ModuleList(_small(width) for _ in range(depth))

    @property
    def further(self) -> list[nn.Conv2d]:
        """The further convolutions, in order."""
        return [layer for layer in self.more if isinstance(layer, nn.Conv2d)]

    def forward(self, below: Tensor | None, given: Tensor, modulation: Tensor | None) -> Tensor:
        """What the stage gives, shape (B, width, H, W).

        Args:
            below: half as large as what is given, rounded up.
            given: shape (B, given, H, W).
            modulation: factors less 1 and summands, see ``Painter``.
        """
        hidden = F.conv2d(_edged(given), self.beside, self.bias)
        if self.below is not None and below is not None:
            size = (given.shape[2], given.shape[3])
            hidden = enlarged_and_convolved(below, self.places(self.below), size) + hidden
        if modulation is not None:
            factor, summand = modulation.to(hidden.dtype).chunk(2, 1)
            hidden = torch.addcmul(hidden + summand, hidden, factor)
        hidden = F.relu(hidden)
        for layer in self.more:
            hidden = hidden + F.relu(layer(_edged(hidden)))
        return hidden


def _small(width: int) -> nn.Conv2d:
    """A convolution that begins as a small change."""
    layer = nn.Conv2d(width, width, 3)
    nn.init.kaiming_normal_(layer.weight, a=3)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def enlarged_and_convolved(below: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """Twice as large along each side, and a 3 × 3 convolution of that; the edge is repeated.

    Transposed convolutions draw checkerboards; this cannot. But of nine taps several lie on the
    same positions: they are summed first, which takes less products and nothing enlarged.

    Args:
        below: shape (B, in, h, w).
        places: the convolution as ``blocks`` or ``smooth`` gives it.
        size: height and width of the result, twice those of ``below`` or one less.

    Returns:
        Shape (B, out, *size).
    """
    height, width = below.shape[2:]
    every = F.conv2d(_edged(below), places)
    result = every.new_empty((len(below), len(places) // 4, 2 * height, 2 * width)).contiguous(
        memory_format=torch.channels_last
    )
    for (down, across), place in places_in(every, places):
        result[:, :, down::2, across::2] = place[:, :, :height, :width]
    return result[:, :, : size[0], : size[1]]


def places_in(every: Tensor, places: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """The four places of squares of 2 × 2 in what a convolution by ``places`` gives.

    Yields row and column in the square, and what is there, shape (B, out, h, w) or larger.
    """
    # Taps of 2 × 2 positions begin at another one for each place, those of 3 × 3 at the same.
    apart = 3 - places.shape[2]
    for number, place in enumerate(every.chunk(4, 1)):
        down, across = divmod(number, 2)
        yield (down, across), place[:, :, apart * down :, apart * across :]


def blocks(weight: Tensor) -> Tensor:
    """What a convolution (out, in, 3, 3) of every position twice is to what is not yet enlarged.

    Each of the four places in a square of 2 × 2 sees no more than 2 × 2 positions.

    Returns:
        Shape (4 · out, in, 2, 2): for each of the four places, row by row.
    """
    firsts = (weight[:, :, :1], weight[:, :, :2].sum(2, keepdim=True))
    rows = [torch.cat([f, weight.sum(2, keepdim=True) - f], 2) for f in firsts]
    taps = []
    for part in rows:
        for first in (part[..., :1], part[..., :2].sum(3, keepdim=True)):
            taps.append(torch.cat([first, part.sum(3, keepdim=True) - first], 3))
    return torch.cat(taps)


def smooth(weight: Tensor) -> Tensor:
    """The same of what is enlarged linearly, of which each place sees 3 × 3 positions.

    Returns:
        Shape (4 · out, in, 3, 3).
    """
    taps = weight.new_tensor(LINEAR)
    rows = torch.einsum("dpt,oitu->doipu", taps, weight)
    found = torch.einsum("aqu,doipu->daoipq", taps, rows)
    return found.flatten(0, 2)


LINEAR = (
    ((0.75, 0.25, 0.0), (0.25, 0.75, 0.75), (0.0, 0.0, 0.25)),
    ((0.25, 0.0, 0.0), (0.75, 0.75, 0.25), (0.0, 0.25, 0.75)),
)
"""Of what is enlarged linearly, in either place of two: how much of three positions (row) each of a
convolution's taps (column) sees."""
PLACES = (blocks, smooth, smooth, blocks)
"""How each stage's below is enlarged. Smooth steps are drawn nearer to styles and calmer, but the
finest ones have been taught as blocks and grow pale."""


def coarse_colors(colors: Tensor) -> Tensor:
    """A picture (B, 3, H, W) without anything finer than its colors in cells of 8 × 8 px."""
    cells = F.avg_pool2d(colors, COARSE, ceil_mode=True, count_include_pad=False)
    smooth = F.interpolate(cells, scale_factor=COARSE, mode="bilinear", align_corners=False)
    return smooth[:, :, : colors.shape[2], : colors.shape[3]]


def _edged(hidden: Tensor) -> Tensor:
    """With its edge repeated: zeros would stand around the picture as a frame."""
    return F.pad(hidden, (1, 1, 1, 1), "replicate")


def deviations(mean: Tensor, second: Tensor) -> Tensor:
    """Standard deviations (R, C) of means (R, C) and raw second moments (R, C, C)."""
    return (second.diagonal(dim1=1, dim2=2) - mean.square()).clamp(min=0).sqrt()
