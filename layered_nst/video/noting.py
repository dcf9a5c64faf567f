"""What is noted of frames beside their pixels: what stands, what changes, what is out of sight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any

from layered_nst.video.earlier import Past
from layered_nst.video.flow import Motion, moved


def still_share(past: Past, before: Past | None) -> float:
    """Share of a frame that was kept from the one before, as it shows the same."""
    if before is None:
        return 0.0
    return round(float((past.photo == before.photo).all(0).float().mean()), 4)


def changes(past: Past, before: Past | None, seen: Motion | None) -> dict[str, float]:
    """How far a frame, and its photo, are from the frame before where that was seen."""
    if before is None or seen is None:
        return {}
    sure = seen.reliability.cpu()
    found = {}
    for name, now, then in (
        ("error", past.canvas, before.canvas),
        ("own", past.photo, before.photo),
    ):
        gap = (now - moved(then, seen.back)).square().mean(0)
        found[name] = float(f"{float((gap * sure).sum() / sure.sum().clamp(min=1)):.4g}")
    return found


def lost_notes(clip: str, lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is to be said of drawn regions whose things are out of sight.

    Args:
        clip: the name of its file.
        lines: what is noted of its frames, in their order.
    """
    for name in dict.fromkeys(name for line in lines for name in line.get("lost", ())):
        numbers = [n for n, line in enumerate(lines) if name in line.get("lost", ())]
        for first, last in _spells(numbers):
            when = f"frame {first}" if first == last else f"frames {first} to {last}"
            yield (
                f"{clip}, {when} ({float(Fraction(lines[first]['time'])):.2f} "
                f"s): what region {name} was drawn on is not to be seen; it stays where it was "
                f"last, and key frames draw it anew (select: {{frames: {{{first}: …}}}})"
            )


def _spells(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of numbers that follow one another."""
    for _, spell in groupby(enumerate(numbers), lambda told: told[1] - told[0]):
        found = [number for _, number in spell]
        yield found[0], found[-1]
