"""Text and bytes: what names may hold that UTF-8 cannot, and halves of characters.

A byte of a file's name that is no UTF-8 comes from the system as a lone surrogate, U+DC80 to
U+DCFF, and goes back to it as that byte. It may go wherever a path goes, but into no file as it is.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_ANY = re.compile("[\ud800-\udfff]")
_BYTE = re.compile("[\udc80-\udcff]")
_PRIVATE = 0xF0000
_PLACEHOLDER = re.compile("[\U000f0080-\U000f00ff]")


def whole_characters(text: str) -> str:
    r"""Join the halves of characters that JSON in ASCII writes apart: ``\ud83c\udf05``."""
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def half_character(text: str) -> str | None:
    r"""A half of a character without its other one, as ``\ud83c``, None if there is none.

    Bytes of a file's name count as whole.
    """
    found = _NO_BYTE.search(text)
    return found and f"\\u{ord(found[0]):04x}"


def is_utf8(text: str) -> bool:
    """Whether a text can be written to a file in UTF-8 as it is."""
    return not _ANY.search(text)


def with_placeholders(text: str) -> str:
    """Put a letter for private use in place of each byte that is no UTF-8."""
    return _BYTE.sub(lambda byte: chr(ord(byte[0]) - 0xDC00 + _PRIVATE), text)


def without_placeholders(text: str) -> str:
    """Undo ``with_placeholders``."""
    return _PLACEHOLDER.sub(lambda letter: chr(ord(letter[0]) - _PRIVATE + 0xDC00), text)


def readable(text: str) -> str:
    r"""A text that can be written as UTF-8; a byte of a file's name that is none is ``\xe9``."""

    def shown(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code < 0xDD00 else f"\\u{code:04x}"

    return _ANY.sub(shown, text)


def json_text(value: Any, **options: Any) -> str:
    """JSON that can be written as UTF-8, with its characters as they are.

    What is none is escaped, so that whoever reads it gets the very path that was written.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return _ANY.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
