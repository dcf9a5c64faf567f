"""How long a light encoder takes for a step of an optimization, by a table of its layers.

Each layer is timed at each pair of widths, once, forth and back, as a frozen encoder computes it,
and those that styles are compared at with their maps and moments. An encoder is the sum of its
layers, up to the deepest that styles are compared at; those after it are for contours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.rectified import convolve, convolve_and_pool, max_pool
from layered_nst.training.encoders.matching import MAIN_LAYERS
from layered_nst.training.searching.spaces import Numbers, Space
from layered_nst.training.searching.subjects import least_seconds

SIDE = 320
"""Side in px of the picture that is timed."""


def key_of(layer: str, below: int, width: int) -> str:
    """By which a layer stands in the table: channels that it is given and that it gives."""
    return f"{layer}: {below}, {width}"


def timed_layers(layers: Sequence[str]) -> tuple[str, ...]:
    """Those that a step passes through."""
    return tuple(layers[: 1 + max(layers.index(layer) for layer in MAIN_LAYERS)])


def predicted(layers: Sequence[str], form: Numbers, table: Mapping[str, float]) -> float:
    """Seconds of a step with a picture of 320×320 px."""
    return table["rest"] + table["share"] * _sum_of_layers(layers, form, table)


def _sum_of_layers(layers: Sequence[str], form: Numbers, table: Mapping[str, float]) -> float:
    parts = zip(timed_layers(layers), pairwise((3, *form)), strict=False)
    return sum(table[key_of(layer, *pair)] for layer, pair in parts)


def measured(teacher: Encoder, space: Space) -> dict[str, float]:
    """The table of all layers of a space, in seconds.

    Of layers one after the other each finds some of what it reads in the processor's caches, and so
    they take a ``share`` of what they take alone; that and the ``rest`` are those of the largest
    form and of the smallest.
    """
    table: dict[str, float] = {}
    layers = teacher.layers
    given = ((3,), *space.choices)
    for layer, below, widths in zip(timed_layers(layers), given, space.choices, strict=False):
        for pair in product(below, widths):
            table[key_of(layer, *pair)] = least_seconds(_step_of_layer(teacher, layer, *pair))
    ends = (space.smallest, space.largest)
    low, high = (least_seconds(_step_of(teacher, form)) for form in ends)
    least, most = (_sum_of_layers(layers, form, table) for form in ends)
    table["share"] = max(0.0, (high - low) / (most - least)) if most > least else 1.0
    table["rest"] = max(0.0, low - table["share"] * least)
    return table


def _step_of_layer(teacher: Encoder, layer: str, below: int, width: int) -> Callable[[], None]:
    block = next(block for block in teacher.blocks if layer in block)
    number = teacher.blocks.index(block)
    pooled_before = (
        number > 0 and layer == block[0] and teacher.blocks[number - 1][-1] in MAIN_LAYERS
    )
    side = SIDE // 2**number * (2 if pooled_before else 1)
    hidden = _features(below, side).requires_grad_()
    weight, bias = torch.randn(width, below, 3, 3) / below, torch.zeros(width)
    weight = weight.contiguous(memory_format=torch.channels_last)
    square, seen = torch.eye(width)[:, :, None, None], layer in MAIN_LAYERS
    pooled = layer == block[-1] and not seen

    def run() -> None:
        around = max_pool(hidden) if pooled_before else hidden
        if pooled:
            out = convolve_and_pool(around, weight, bias)
        else:
            out = convolve(around, weight, bias, dtype=weight.dtype)
        given = [out.detach()]
        ends = [out]
        if seen:
            ends.append(_moments(F.conv2d(out, square)))
            given.append(torch.ones_like(ends[1]))
        torch.autograd.backward(ends, given)

    return run


def _step_of(teacher: Encoder, form: Numbers) -> Callable[[], None]:
    """A step of an encoder of a form, with weights that say nothing."""
    encoder, picture = encoder_of(teacher, form), _features(3, SIDE).requires_grad_()

    def run() -> None:
        seen = encoder(picture, MAIN_LAYERS)
        torch.stack([_moments(seen[layer]) for layer in MAIN_LAYERS]).sum().backward()  # type: ignore[no-untyped-call]

    return run


def encoder_of(teacher: Encoder, form: Numbers) -> Encoder:
    """An encoder of these widths whose weights say nothing."""
    tensors: dict[str, Tensor] = {}
    for layer, (below, width) in zip(teacher.layers, pairwise((3, *form)), strict=True):
        tensors[f"{layer}.weight"] = torch.randn(width, below, 3, 3) / below
        tensors[f"{layer}.bias"] = torch.zeros(width)
        tensors[f"{layer}.map"] = torch.eye(width)
    return Encoder("timed", tensors, [len(block) for block in teacher.blocks])


def _moments(features: Tensor) -> Tensor:
    """A number that hangs on the second moments of features (1, C, h, w)."""
    rows = features[0].flatten(1)
    total: Tensor = (rows @ rows.T).square().sum()
    return total


def _features(channels: int, side: int) -> Tensor:
    features = torch.rand(1, channels, side, side)
    return features.contiguous(memory_format=torch.channels_last)
