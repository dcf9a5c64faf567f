"""Numbers, lists and near misses in words: one way to say each, for all messages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def closest(word: str, options: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The option most like ``word`` whatever its case, or None if none is near.

    Args:
        cutoff: how alike they must be, 0 to 1.
    """
    by_lower = {option.casefold(): option for option in options}
    matches = get_close_matches(word.casefold(), by_lower, n=1, cutoff=cutoff)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """``" (did you mean sky?)"``, or the empty string if no option is near ``word``."""
    return _hint(closest(word, options))


def _hint(match: str | None) -> str:
    return f" (did you mean {match}?)" if match else ""


def duration(seconds: float) -> str:
    """A time to wait, as ``7 s``, ``2 min 5 s`` or ``1 h 4 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(hours?|h|ms|minutes?|min|m|seconds?|sec|s|)\s*")
_SECONDS = {"h": 3600.0, "ms": 1e-3, "m": 60.0, "s": 1.0, "": 1.0}


def seconds_in(text: str) -> float | None:
    """Seconds of ``10``, ``10s``, ``60ms``, ``1.5 min`` or ``1h30m``, None if that is no time."""
    total, rest = 0.0, text.strip().lower()
    while found := _TIME.match(rest):
        unit = found[2] if found[2] == "ms" else found[2][:1]
        total += float(found[1]) * _SECONDS[unit]
        rest = rest[found.end() :]
    return None if rest or not text.strip() or not math.isfinite(total) else total


def fine_duration(seconds: float) -> str:
    """A time that something took, as ``0.42 s``, ``7.3 s``, then as ``duration`` says it."""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2f} s"
    return duration(seconds)


def pixels(size: Sequence[int]) -> str:
    """Height and width as designers read them, width first: ``640×480 px``."""
    height, width = size
    return f"{width}×{height} px"


def storage(amount: float) -> str:
    """Bytes on disk as ``0.4 MB``, ``29.4 MB`` or ``1.8 GB``; units are powers of 1000."""
    # What would round to 1000.0 MB is a gigabyte.
    return f"{amount / 1e6:.1f} MB" if amount < 999.95e6 else f"{amount / 1e9:.1f} GB"


_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(?:(i)?b)?", re.IGNORECASE)
_UNITS = ("", "k", "m", "g", "t")


def amount(text: str) -> float | None:
    """Bytes from ``6G``, ``6 GB``, ``4000M`` or ``500``, None if that is no amount.

    Units are powers of 1000; ``GiB`` and the like are powers of 1024.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        return None
    number, unit, binary = match.groups()
    found = float(number) * (1024 if binary else 1000) ** _UNITS.index(unit.lower())
    return found if math.isfinite(found) else None


def gigabytes(amount: float) -> str:
    """Bytes of memory, always in gigabytes, since that is how machines are known: ``0.9 GB``."""
    return f"{amount / 1e9:.1f} GB"


def listed(words: Sequence[str]) -> str:
    """``"a, b and c"``."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
