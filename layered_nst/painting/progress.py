"""What is told after each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

TOTAL = "total"
"""Name of the sum of all terms."""


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step.

    Attributes:
        stage: ``joint``, or the stage of a layered strategy.
        level, levels: from 1.
        size: height and width of the level in px.
        step, steps: of the level, from 1.
        done: share of the whole work that is behind, 0 to 1.
        seconds_left: estimate for the rest.
        losses: weighted terms by dotted name (``style.sky.conv3_1``) and their ``total``.
        picture: the picture so far, shape (3, h, w); a copy is taken by ``detach().clone()``.
    """

    stage: str
    level: int
    levels: int
    size: tuple[int, int]
    step: int
    steps: int
    done: float
    seconds_left: float
    losses: Mapping[str, float]
    picture: Tensor = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All but the picture, as data that JSON can hold; a loss that is no number is None."""
        told = {part.name: getattr(self, part.name) for part in fields(self)}
        del told["picture"]
        return {**told, "size": [*self.size], "losses": finite(self.losses)}


def finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    """Losses by name; None for what is infinite or no number, for which JSON has no word."""
    return {name: value if math.isfinite(value) else None for name, value in losses.items()}


OnProgress = Callable[[Progress], None]


def region_losses(losses: Mapping[str, float]) -> dict[str, float]:
    """Sum the terms of a step by region: ``style.sky.conv3_1`` and the like to ``sky``; the rest
    by the first part of their name, ``total`` left out. A region that is called like one of these
    parts is ``style of content``."""
    terms = [(name.split("."), value) for name, value in losses.items() if name != TOTAL]
    held = {parts[0].replace("_", " ") for parts, _ in terms if parts[0] != "style"}
    sums: dict[str, float] = {}
    for parts, value in terms:
        key = _in_words(parts, held)
        sums[key] = sums.get(key, 0.0) + value
    return sums


def _in_words(parts: Sequence[str], held: Collection[str]) -> str:
    if parts[0] != "style":
        return parts[0].replace("_", " ")
    return f"style of {parts[1]}" if parts[1] in held else parts[1]
