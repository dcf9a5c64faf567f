"""A frozen painter at work: the values of ``Painter.forward``, in less time and memory.

Half of the time that the network would take passes over memory and multiplies nothing. So its two
finest scales are drawn in bands of rows that stay in a processor's caches, and the finest is never
laid out: its four places in each square of 2 × 2 px are channels, and a convolution of 3 × 3 px is
one of 2 × 2 squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.instant.network import Painter, PainterStage, blocks, coarse_colors, places_in
from layered_nst.networks.encoders.rectified import at_once, framed, untouched, with_frame

Mixed = Callable[[int, slice], Tensor]
"""Factors less 1 and summands (1, 2 · width, rows, w) at one of three scales, of some of its rows;
see ``Painter.forward``."""


@dataclass(frozen=True)
class FrozenStage:
    """The weights of a ``PainterStage`` as they are multiplied by.

    Attributes:
        below: those of the four places of a square, as the stage's ``places`` gives them, or None.
        beside: shape (width, given, 3, 3).
        bias: shape (width,).
        more: weight and bias of each further convolution.
    """

    below: Tensor | None
    beside: Tensor
    bias: Tensor
    more: Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class FrozenPainter:
    """A painter's weights in the precision that it draws in.

    Attributes:
        stages: of the three coarser scales.
        squares: weight (4 · width, below + 12, 2, 2) and bias of the finest scale, where no further
            convolution follows; what it gives is one square of places, half a square off.
        last: weight (12, 4 · width, 2, 2) and bias that turn those into squares of colors.
        fine: the finest scale as it is without squares, where convolutions follow.
        final: its last convolution.
    """

    stages: Sequence[FrozenStage]
    squares: tuple[Tensor, Tensor]
    last: tuple[Tensor, Tensor]
    fine: FrozenStage
    final: tuple[Tensor, Tensor]

    @property
    def dtype(self) -> torch.dtype:
        """In which it multiplies."""
        return self.stages[0].bias.dtype


_FROZEN: WeakKeyDictionary[Painter, dict[str, FrozenPainter]] = WeakKeyDictionary()


def frozen(painter: Painter, precision: str = "float32") -> FrozenPainter:
    """The weights of a painter, made ready once for each precision if it is taught no more."""
    if any(parameter.requires_grad for parameter in painter.parameters()):
        return _freeze(painter, getattr(torch, precision))  # it may change yet
    known = _FROZEN.setdefault(painter, {})
    if precision not in known:
        known[precision] = _freeze(painter, getattr(torch, precision))
    return known[precision]


@torch.no_grad()
def _freeze(painter: Painter, dtype: torch.dtype) -> FrozenPainter:
    def ready(weight: Tensor) -> Tensor:
        order = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
        return weight.to(dtype).contiguous(memory_format=order)

    def of(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
        assert layer.bias is not None
        return ready(layer.weight), ready(layer.bias)

    def stage(one: PainterStage) -> FrozenStage:
        below = None if one.below is None else ready(one.places(one.below))
        return FrozenStage(below, ready(one.beside), ready(one.bias), [of(m) for m in one.further])

    *coarser, fine = painter.every_stage
    assert fine.below is not None
    # Of a square that is one px off, the first px is the second of the place before.
    below = torch.cat(blocks(fine.below).chunk(4)[::-1])
    entering = torch.cat([below, _unshuffled(fine.beside)], 1)
    weight, bias = of(painter.last)
    return FrozenPainter(
        [stage(one) for one in coarser],
        (ready(entering), ready(fine.bias.repeat(4))),
        (ready(_squares_of(painter.last.weight)), bias.repeat_interleave(4)),
        stage(fine),
        (weight, bias),
    )


def _unshuffled(weight: Tensor) -> Tensor:
    """A convolution of px (out, in, 3, 3), as of squares of 2 × 2 px, (4 · out, 4 · in, 2, 2).

    The squares that it gives are one px up and left of those that it is given.
    """
    places = []
    for down in (0, 1):
        for across in (0, 1):
            around = F.pad(weight, (across, 1 - across, down, 1 - down))
            # Channels first, then places: the order of ``pixel_unshuffle``.
            squares = around.view(*weight.shape[:2], 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4)
            places.append(squares.flatten(1, 3))
    return torch.cat(places)


def _squares_of(weight: Tensor) -> Tensor:
    """The last convolution (out, in, 3, 3), of places (4 · in) to squares (4 · out), 2 × 2."""
    whole = _unshuffled(weight)  # (place, out), (in, place)
    out, entering = weight.shape[:2]
    ordered = whole.view(4, out, entering, 4, 2, 2).permute(1, 0, 3, 2, 4, 5)
    return ordered.reshape(4 * out, 4 * entering, 2, 2)


@torch.no_grad()
def draw(painter: FrozenPainter, colors: Tensor, carried: Sequence[Tensor], mixed: Mixed) -> Tensor:
    """What ``Painter.forward`` gives, shape (3, H, W), not clamped.

    Args:
        colors, carried: as there, of one picture.
        mixed: gives the modulation of some rows of a scale.
    """
    height, width = colors.shape[2:]
    colors = colors.contiguous()
    coarse = coarse_colors(colors)
    detail = colors - coarse
    half = F.avg_pool2d(colors, 2, ceil_mode=True, count_include_pad=False) - 0.5
    hidden = None
    for number, stage in enumerate(painter.stages[:2]):
        hidden = stage_drawn(stage, hidden, [carried[number]], mixed(number, slice(None)))
    assert hidden is not None
    stage, rows = painter.stages[2], half.shape[2]
    picture = coarse[0]  # on which is drawn
    beyond = 2 * -(-(len(stage.more) + len(painter.fine.more) + 4) // 2)
    each = max(2 * beyond, at_once(colors.device) // half.shape[3] // 2 * 2)
    for start in range(0, rows, each):
        end = min(start + each, rows)
        seen = slice(max(0, start - beyond), min(end + beyond, rows))
        below = hidden[:, :, seen.start // 2 : -(-seen.stop // 2)]
        given = [carried[2][:, :, seen], half[:, :, seen]]
        fine = stage_drawn(stage, below, given, mixed(2, seen))
        part = detail[:, :, 2 * seen.start : 2 * seen.stop]
        drawn = finest(painter, fine, part)
        own = slice(2 * start, min(2 * end, height))
        drawn = drawn[0, :, own.start - 2 * seen.start :, :width]
        picture[:, own] += drawn[:, : own.stop - own.start]
    return picture


def stage_drawn(
    stage: FrozenStage, below: Tensor | None, given: Sequence[Tensor], modulation: Tensor | None
) -> Tensor:
    """What ``PainterStage.forward`` gives; of ``given`` the channels lie beside one another."""
    hidden = F.conv2d(_framed_together(given, stage.bias.dtype), stage.beside, stage.bias)
    if stage.below is not None and below is not None:
        every = F.conv2d(framed(below, below.dtype), stage.below)
        for (down, across), place in places_in(every, stage.below):
            under = hidden[:, :, down::2, across::2]
            under += place[:, :, : under.shape[2], : under.shape[3]]
    if modulation is not None:
        factor, summand = modulation.chunk(2, 1)
        hidden.addcmul_(hidden, factor).add_(summand)
    hidden.relu_()
    for weight, bias in stage.more:
        hidden += F.conv2d(framed(hidden, hidden.dtype), weight, bias).relu_()
    return hidden


def _framed_together(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Features of one size beside one another, with their edge repeated, channels-last."""
    if len(parts) == 1:
        return framed(parts[0], dtype)
    channels = sum(part.shape[1] for part in parts)
    height, width = parts[0].shape[2:]
    whole = untouched((1, channels, height + 2, width + 2), parts[0], dtype)
    start = 0
    for part in parts:
        end = start + part.shape[1]
        whole[:, start:end, 1:-1, 1:-1] = part
        start = end
    return with_frame(whole)


def finest(painter: FrozenPainter, below: Tensor, detail: Tensor) -> Tensor:
    """What is added to the coarse colors, shape (1, 3, H, W), of detail of this size."""
    if painter.fine.more:
        hidden = stage_drawn(painter.fine, below, [detail], None)
        return F.conv2d(framed(hidden, hidden.dtype), *painter.final)
    (height, width), (rows, columns) = detail.shape[2:], below.shape[2:]
    channels = below.shape[1]
    whole = untouched((1, channels + 12, rows + 2, columns + 2), below, below.dtype)
    whole[:, :channels, 1:-1, 1:-1] = below
    with_frame(whole[:, :channels])
    beyond = (2, 2 + 2 * columns - width, 2, 2 + 2 * rows - height)
    whole[:, channels:] = F.pixel_unshuffle(F.pad(detail, beyond, "replicate"), 2)
    places = F.conv2d(whole, *painter.squares).relu_()
    _repeat_edge(places.view(2, 2, -1, *places.shape[2:]), height, width)
    return F.pixel_shuffle(F.conv2d(places, *painter.last).float(), 2)


def _repeat_edge(places: Tensor, height: int, width: int) -> None:
    """Lay a picture's edge around it, in place.

    Args:
        places: shape (2, 2, C, ⌈H/2⌉ + 1, ⌈W/2⌉ + 1), rows and columns of a square first; the
            squares begin one px up and left of the picture.
    """
    for sides, length in ((places, height), (places.permute(1, 0, 2, 4, 3), width)):
        sides[0, :, :, 0] = sides[1, :, :, 0]
        last, odd = divmod(length, 2)
        sides[1 - odd, :, :, last + odd] = sides[odd, :, :, last]
