"""Light encoders of many widths in one set of weights."""

from __future__ import annotations

import torch

from layered_nst.networks.encoders import Encoder
from layered_nst.training.encoders.students import STEP, Student
from layered_nst.training.searching.sharing import sharing
from layered_nst.training.searching.spaces import Numbers, Space

SHARES = (1 / 8, 3 / 16, 1 / 4, 3 / 8)
"""Of the teacher's channels; of the first layer's twice as many, on which colors hang."""


def space_of(teacher: Encoder) -> Space:
    """The widths of all layers among which is searched: multiples of 8, shallow to deep."""

    def widths(layer: str) -> Numbers:
        whole = teacher.width(layer) * (2 if layer == teacher.layers[0] else 1)
        several = {max(STEP, round(whole * share / STEP) * STEP) for share in SHARES}
        return tuple(sorted(width for width in several if width <= teacher.width(layer)))

    return Space(tuple(widths(layer) for layer in teacher.layers))


def student_part(whole: Student, form: Numbers) -> Student:
    """A student of these widths whose weights are views of a wider one's.

    Raises:
        ValueError: it is nowhere the narrower one.
    """
    layers = list(whole.convolutions)
    wide = {layer: len(whole.maps[layer]) for layer in layers}
    part = Student(whole.blocks, dict(zip(layers, form, strict=True)), wide)
    for layer, width in zip(layers, form, strict=True):
        if width > whole.maps[layer].shape[1]:
            raise ValueError(
                f"{layer}: {width} channels are no part of {whole.maps[layer].shape[1]}"
            )
    return sharing(part, whole)


@torch.no_grad()
def filled_student(whole: Student, start: Encoder) -> None:
    """Give a student the weights of a narrower encoder in its first channels.

    What it adds to them at first adds little: it is smaller by a hundred.
    """
    for layer in start.layers:
        for own, given in zip(whole.kernels(layer), start.convolution(layer), strict=True):
            shape = [min(pair) for pair in zip(own.shape, given.shape, strict=True)]
            first = tuple(slice(0, side) for side in shape)
            own[: shape[0]] *= 0.01
            own[first] = given[first]
