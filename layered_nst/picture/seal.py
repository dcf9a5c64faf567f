"""A seal in every picture that is written: it tells whether a file is still as it was left.

The seal is a digest of the whole file but for itself. Whoever retouches, crops or converts the
picture breaks it, whatever happens to the other metadata, and the picture is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from layered_nst.errors import PictureError
from layered_nst.files.hashes import bytes_hash
from layered_nst.picture.metadata import SEAL, read_metadata, text_chunks

BLANK = "0" * 64
"""What stands for the seal while the digest is taken."""


def _in_png(value: str) -> bytes:
    return text_chunks({SEAL: value})


def _in_xmp(value: str) -> bytes:
    return f'"{SEAL}": "{value}"'.encode()


_FORMS: tuple[tuple[re.Pattern[bytes], Callable[[str], bytes]], ...] = (
    (re.compile(b"iTXt" + SEAL.encode() + rb"\0{5}([0-9a-f]{64})"), _in_png),
    (re.compile(f'"{SEAL}": "([0-9a-f]{{64}})"'.encode()), _in_xmp),
)


def sealed(data: bytes) -> Iterator[bytes | memoryview]:
    """The parts of an encoded picture, the blank seal in its metadata filled in."""
    view = memoryview(data)
    for _, form in _FORMS:
        place = data.find(form(BLANK))
        if place >= 0:
            seal = form(bytes_hash([view]))
            yield from (view[:place], seal, view[place + len(seal) :])
            return
    yield view


def is_ours(path: Path) -> bool:
    """Whether a picture is one that this program wrote and nobody has changed since.

    Versions that sealed nothing are known by the recipe that they put into their results.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    for pattern, form in _FORMS:
        if found := pattern.search(data):
            return _is_intact(data, found[1].decode(), form)
    # A seal that is not in its place has been moved there by another program.
    return SEAL.encode() not in data and _carries_recipe(path)


def _is_intact(data: bytes, value: str, form: Callable[[str], bytes]) -> bool:
    seal, view = form(value), memoryview(data)
    place = data.find(seal)
    parts = (view[:place], form(BLANK), view[place + len(seal) :])
    return place >= 0 and bytes_hash(parts) == value


def _carries_recipe(path: Path) -> bool:
    try:
        return any(key.startswith("layered-nst ") for key in read_metadata(path))
    except PictureError:
        return False
