"""Spaces that are none: they look like spaces, or like nothing, and YAML takes them for letters."""

from __future__ import annotations

import re
import unicodedata

_NAMES = {
    "\u00a0": "a no-break space",
    "\u202f": "a narrow no-break space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
    "\u2060": "a word joiner",
    "\u00ad": "a soft hyphen",
    "\u3000": "an ideographic space",
}
ODD = (
    "\u00a0\u00ad\u061c\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2066"
    "\u2067\u2068\u2069\u3000\ufeff"
)
# Where YAML looks for structure: in the indentation, before and after a colon, after a dash.
_STRUCTURAL = re.compile(rf"^[ \t]*[{ODD}]|[{ODD}]:(?=\s|$)|(?::|^[ \t]*-)[ \t]*[{ODD}]")


def odd_space(text: str, *, until: int) -> str | None:
    """The first odd space in a place where YAML looks for structure, in words.

    Args:
        text: of a recipe.
        until: the number of the line, from 0, in which reading it came to an end.

    Returns:
        ``line 5 has a no-break space (U+00A0) in place of a plain one``, None if there is none.
    """
    for number, line in enumerate(text.splitlines()[: until + 1], 1):
        found = _STRUCTURAL.search(line)
        if found:
            odd = next(letter for letter in found[0] if letter in ODD)
            return f"line {number} has {in_words(odd)} where a plain space belongs"
    return None


def odd_edge(text: str) -> str | None:
    """The odd space at the beginning or end of a text, in words, None if there is none."""
    if text.strip(ODD) == text:
        return None
    odd = text[0] if text[0] in ODD else text[-1]
    return in_words(odd)


def in_words(letter: str) -> str:
    """``a no-break space (U+00A0)``."""
    name = _NAMES.get(letter) or f"the character {unicodedata.name(letter, '').lower()}".strip()
    return f"{name} (U+{ord(letter):04X})"
