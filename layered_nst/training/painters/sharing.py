"""Painters of many forms in one set of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.instant.network import Form, Painter
from layered_nst.training.searching.sharing import first_channels, sharing
from layered_nst.training.searching.spaces import Numbers, Space

SPACE = Space(
    (
        *((48, 72, 96), (24, 36, 48), (16, 24, 32), (8, 12, 16)),
        *((0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1)),
    )
)
"""Widths of the four stages, and depths: the forms among which is searched."""


def form_of(numbers: Numbers) -> Form:
    """The form that is told by four widths and four depths."""
    a, b, c, d, e, f, g, h = numbers
    return Form((a, b, c, d), (e, f, g, h))


def numbers_of(form: Form) -> Numbers:
    """What ``form_of`` makes the form of."""
    return (*form.widths, *form.depths)


def part_of(whole: Painter, form: Form) -> Painter:
    """A painter of a form whose weights are views of a larger one's: gradients reach those.

    Raises:
        ValueError: the form is no part of the whole's.
    """
    larger = zip(numbers_of(form), numbers_of(whole.form), strict=True)
    if any(own > limit for own, limit in larger):
        raise ValueError(f"{form} is no part of {whole.form}")

    def cut(name: str, weight: Tensor, shape: torch.Size) -> Tensor:
        if not name.startswith("modulate"):
            return first_channels(name, weight, shape)
        # Factors and summands share it: of each half the first.
        half = whole.form.widths[int(name.split(".")[1])]
        own = shape[0] // 2
        return torch.cat([weight[:own], weight[half : half + own]])

    return sharing(Painter(form, whole.channels), whole, cut)


def filled(whole: Painter, start: Painter) -> None:
    """Give a painter the weights of a smaller one in its first channels.

    What it adds to them at first adds nothing: it is smaller by a hundred.
    """
    given = dict(start.named_parameters())
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            parameter.mul_(0.01)
            if name in given:
                value = given[name]
                if name.startswith("modulate"):
                    index = int(name.split(".")[1])
                    half, own = whole.form.widths[index], start.form.widths[index]
                    parameter[:own] = value[:own]
                    parameter[half : half + own] = value[own:]
                else:
                    parameter[tuple(slice(0, side) for side in value.shape)] = value
