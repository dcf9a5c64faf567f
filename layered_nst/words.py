"""The "did you mean" part of a message."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like ``word`` whatever its case, or None if none is near."""
    by_lower = {option.lower(): option for option in options}
    matches = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return ``" (did you mean sky?)"``, or the empty string if no option is near ``word``."""
    match = closest(word, options)
    return f" (did you mean {match}?)" if match else ""
