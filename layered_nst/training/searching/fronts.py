"""What a search has found, and what of it nothing beats.

Source: Deb et al. 2002, NSGA-II, for what survives: fronts, and within one the loneliest first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from layered_nst.training.searching.spaces import Numbers

COSTS = ("seconds", "error", "size")
"""What is to be small, all of it."""


@dataclass(frozen=True)
class Found:
    """A form and what it is worth.

    Attributes:
        numbers: the form.
        form: the same in words, as commands take it.
        error: on pictures that nothing was taught with, as the training measures it.
        seconds: on this machine.
        size: bytes of its file.
    """

    numbers: Numbers
    form: str
    error: float
    seconds: float
    size: int

    @property
    def costs(self) -> tuple[float, ...]:
        """Its ``COSTS``."""
        return tuple(float(getattr(self, name)) for name in COSTS)

    def as_dict(self) -> dict[str, Any]:
        """As data that JSON can hold."""
        return asdict(self)

    @staticmethod
    def of(said: Mapping[str, Any]) -> Found:
        """What ``as_dict`` said."""
        return Found(
            tuple(map(int, said["numbers"])),
            str(said["form"]),
            float(said["error"]),
            float(said["seconds"]),
            int(said["size"]),
        )


@dataclass(frozen=True)
class Front:
    """What a search has come to.

    Attributes:
        evolved, drawn: all that evolution and chance have evaluated.
        best: what nothing beats in all costs, quickest first.
        volumes: hypervolumes of both, between the worst and the best of all.
        seconds_for: what it is whose seconds are told.
    """

    evolved: Sequence[Found]
    drawn: Sequence[Found]
    best: Sequence[Found]
    volumes: tuple[float, float]
    seconds_for: str = ""


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether costs are nowhere above others; what is equal beats what comes after it."""
    return all(own <= theirs for own, theirs in zip(one, other, strict=True))


def fronts(found: Sequence[Found], *, least: float = math.inf) -> list[list[Found]]:
    """Layers of what is beaten by none but the layers before, each quickest first.

    Args:
        least: no more layers once they hold so many.
    """
    left = sorted(dict.fromkeys(found), key=lambda one: (one.costs, one.numbers))
    layers: list[list[Found]] = []
    while left and sum(map(len, layers)) < least:
        layer: list[Found] = []
        rest: list[Found] = []
        for one in left:  # what beats it has come before it
            beaten = any(beats(other.costs, one.costs) for other in layer)
            (rest if beaten else layer).append(one)
        layers.append(layer)
        left = rest
    return layers


def survivors(found: Sequence[Found], count: int) -> list[Found]:
    """The best layers, of the last of them the loneliest."""
    kept: list[Found] = []
    for layer in fronts(found, least=count):
        room = count - len(kept)
        kept += layer if len(layer) <= room else sorted(layer, key=_crowded(layer).get)[:room]  # type: ignore[arg-type]
    return kept


def _crowded(layer: Sequence[Found]) -> dict[Found, float]:
    """Less for what has more room around it on its layer; the ends come first."""
    room = dict.fromkeys(layer, 0.0)
    for which in range(len(COSTS)):
        ordered = sorted(layer, key=lambda one: one.costs[which])
        values = [one.costs[which] for one in ordered]
        span = values[-1] - values[0] or 1.0
        room[ordered[0]] = room[ordered[-1]] = math.inf
        for number, one in enumerate(ordered[1:-1], 1):
            room[one] += (values[number + 1] - values[number - 1]) / span
    return {one: -free for one, free in room.items()}


def volumes(evolved: Sequence[Found], drawn: Sequence[Found]) -> tuple[float, float]:
    """Hypervolumes of two searches, each from 0 to 1, between the ends of both together."""
    ends = [(min(v), max(v)) for v in zip(*(f.costs for f in (*evolved, *drawn)), strict=True)]

    def gains(one: Found) -> tuple[float, ...]:
        return tuple(
            (high - c) / ((high - low) or 1) for c, (low, high) in zip(one.costs, ends, strict=True)
        )

    first, second = (fronts(found, least=1)[0] for found in (evolved, drawn))
    return _volume([gains(one) for one in first]), _volume([gains(one) for one in second])


def _volume(points: Sequence[tuple[float, ...]]) -> float:
    """What boxes from 0 to these points cover together, slice by slice of their first sides."""
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    total, high = 0.0, sorted(points, reverse=True)
    for number, point in enumerate(high):
        below = high[number + 1][0] if number + 1 < len(high) else 0.0
        if point[0] > below:
            total += (point[0] - below) * _volume([one[1:] for one in high[: number + 1]])
    return total
