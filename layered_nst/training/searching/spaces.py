"""Forms of a network as numbers: which there are, and how new ones come of known ones."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

Numbers = tuple[int, ...]
"""A form: widths, depths, or whatever a network's form is told by."""


@dataclass(frozen=True)
class Space:
    """The forms among which is searched.

    Attributes:
        choices: for each number of a form what it may be, rising.
    """

    choices: tuple[Numbers, ...]

    @property
    def largest(self) -> Numbers:
        """The form of which all others are parts."""
        return tuple(choice[-1] for choice in self.choices)

    @property
    def smallest(self) -> Numbers:
        """The least of all."""
        return tuple(choice[0] for choice in self.choices)

    def draw(self, chance: random.Random) -> Numbers:
        """Any form."""
        return tuple(chance.choice(choice) for choice in self.choices)

    def crossed(self, first: Numbers, second: Numbers, chance: random.Random) -> Numbers:
        """Each number from one of two forms, and one in eight drawn anew."""
        anew = self.draw(chance)
        return tuple(
            new if chance.random() < 1 / 8 else chance.choice((one, other))
            for one, other, new in zip(first, second, anew, strict=True)
        )

    def __contains__(self, form: object) -> bool:
        return (
            isinstance(form, tuple)
            and len(form) == len(self.choices)
            and all(number in choice for number, choice in zip(form, self.choices, strict=True))
        )

    def __len__(self) -> int:
        return math.prod(map(len, self.choices))

    def __iter__(self) -> Iterator[Numbers]:
        return product(*self.choices)
