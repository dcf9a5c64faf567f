"""Painters of many forms in one set of weights: a narrower one is the first channels of a wider.

Source: Yu et al. 2019, Slimmable Neural Networks (arXiv 1812.08928) and the sandwich rule of Yu and
Huang 2019 (1903.05134): each step teaches the widest, the narrowest and one in between. A network
without normalization needs no statistics of its own for each width.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from layered_nst.instant.network import Form, Painter

DEEPEST = 2
"""Further convolutions of a stage, at most."""


@dataclass(frozen=True)
class Space:
    """The forms among which is searched.

    Attributes:
        widths: of each of the four stages, rising.
        depths: of each of them, rising.
    """

    widths: tuple[tuple[int, ...], ...] = ((48, 72, 96), (24, 36, 48), (16, 24, 32), (8, 12, 16))
    depths: tuple[tuple[int, ...], ...] = ((0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1))

    @property
    def largest(self) -> Form:
        """The form of which all others are parts."""
        return _form([w[-1] for w in self.widths], [d[-1] for d in self.depths])

    @property
    def smallest(self) -> Form:
        """The least of all."""
        return _form([w[0] for w in self.widths], [d[0] for d in self.depths])

    def draw(self, chance: random.Random) -> Form:
        """Any form."""
        return _form(
            [chance.choice(w) for w in self.widths], [chance.choice(d) for d in self.depths]
        )

    def crossed(self, first: Form, second: Form, chance: random.Random) -> Form:
        """Each number from one of two forms, and one in eight drawn anew."""
        anew = self.draw(chance)
        numbers = [
            c if chance.random() < 1 / 8 else chance.choice((a, b))
            for a, b, c in zip(*map(_numbers, (first, second, anew)), strict=True)
        ]
        return _form(numbers[:4], numbers[4:])

    def __len__(self) -> int:
        count = 1
        for choices in (*self.widths, *self.depths):
            count *= len(choices)
        return count

    def __iter__(self) -> Iterator[Form]:
        for numbers in product(*self.widths, *self.depths):
            yield _form(numbers[:4], numbers[4:])


def _form(widths: Sequence[int], depths: Sequence[int]) -> Form:
    a, b, c, d = widths
    e, f, g, h = depths
    return Form((a, b, c, d), (e, f, g, h))


def _numbers(form: Form) -> tuple[int, ...]:
    return (*form.widths, *form.depths)


def part_of(whole: Painter, form: Form) -> Painter:
    """A painter of a form whose weights are views of a larger one's: gradients reach those.

    Raises:
        ValueError: the form is no part of the whole's.
    """
    larger = zip(_numbers(form), _numbers(whole.form), strict=True)
    if any(own > limit for own, limit in larger):
        raise ValueError(f"{form} is no part of {whole.form}")
    part = Painter(form, whole.channels)
    given = dict(whole.named_parameters())
    for name, parameter in list(part.named_parameters()):
        _give(part, name, _cut(name, given[name], parameter.shape, whole.form))
    return part


def _cut(name: str, weight: Tensor, shape: torch.Size, whole: Form) -> Tensor:
    """The first channels of a weight, those of each half where factors and summands share it."""
    if not name.startswith("modulate"):
        return weight[tuple(slice(0, side) for side in shape)]
    half = whole.widths[int(name.split(".")[1])]
    own = shape[0] // 2
    return torch.cat([weight[:own], weight[half : half + own]])


def _give(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter."""
    *path, last = name.split(".")
    for step in path:
        module = getattr(module, step)
    delattr(module, last)
    setattr(module, last, value)


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
