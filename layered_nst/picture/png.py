"""What a PNG carries beside its pixels: read without being trusted."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow refuses a whole picture for a compressed text above the first limit, or for texts above
# the second.
LONGEST_TEXT = 1 << 20
ALL_TEXTS = 1 << 24
LARGEST_PROFILE = 1 << 26

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_SIZES = {b"pHYs": 9, b"acTL": 8, b"fcTL": 26}
_UNREAD = (b"iCCP", b"gAMA", b"cHRM", b"sRGB")


@dataclass(frozen=True)
class PngFile:
    """A PNG without what could keep a decoder from its pixels.

    Attributes:
        data: the file, its profile and whatever is unusable left out.
        profile: its ICC profile, if it has one.
        left_out: what is unusable, such as "a tEXt with a wrong checksum is ignored".
    """

    data: bytes
    profile: bytes | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    body: memoryview
    whole: memoryview
    intact: bool

    @property
    def is_needed(self) -> bool:
        """Whether no picture can be had without it, as the case of its first letter says."""
        return not self.kind[0] & 0x20


def usable_png(data: bytes) -> PngFile:
    """Leave out the profile, and of what is beside the pixels all that is broken or too large.

    Broken pixels stay, for a decoder to complain of.
    """
    kept: list[bytes | memoryview] = [SIGNATURE]
    left_out: list[str] = []
    profile: bytes | None = None
    room = ALL_TEXTS
    end = len(SIGNATURE)
    for chunk in _chunks(data):
        end += len(chunk.whole)
        length = _length_of_text(chunk)
        fault = None if chunk.is_needed else _fault(chunk, length, room)
        if fault:
            left_out.append(fault)
        elif chunk.kind == b"iCCP":
            profile = profile or _profile(bytes(chunk.body))
        elif chunk.kind not in _UNREAD:
            kept.append(chunk.whole)
            room -= length or 0
        if chunk.kind == b"IEND":
            break
    else:
        kept.append(memoryview(data)[end:])
    return PngFile(b"".join(kept), profile, tuple(dict.fromkeys(left_out)))


def png_size(start: bytes) -> tuple[int, int] | None:
    """Width and height in px, from the first 24 bytes of a file; None if they do not say."""
    if start[12:16] != b"IHDR" or len(start) < 24:
        return None
    width, height = struct.unpack(">II", start[16:24])
    return width, height


def is_deep(start: bytes) -> bool:
    """Whether a PNG has 16 bits per channel, from its first 25 bytes."""
    return start[12:16] == b"IHDR" and len(start) > 24 and start[24] == 16


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks that are all there."""
    view = memoryview(data)
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        checksum = struct.unpack_from(">I", data, end - 4)[0]
        intact = zlib.crc32(view[at + 4 : end - 4]) == checksum
        yield _Chunk(data[at + 4 : at + 8], view[at + 8 : end - 4], view[at:end], intact)
        at = end


def _fault(chunk: _Chunk, length: int | None, room: int) -> str | None:
    """What is wrong with a chunk that a picture can do without, in words."""
    name = "".join(chr(c) if chr(c).isalpha() and c < 128 else "?" for c in chunk.kind)
    if not chunk.intact:
        return f"a {name} with a wrong checksum is ignored"
    if chunk.kind in _SIZES and len(chunk.body) != _SIZES[chunk.kind]:
        return f"a {name} of {len(chunk.body)} bytes is ignored"
    if chunk.kind == b"iCCP" and _profile(bytes(chunk.body)) is None:
        return "a color profile that cannot be unpacked is ignored"
    if chunk.kind in _TEXTS and (length is None or length > room):
        keyword = bytes(chunk.body[:79]).partition(b"\0")[0].decode("latin-1")
        why = "it is broken or longer than a megabyte" if length is None else "it is one too many"
        return f"the text {keyword!r} is ignored: {why}"
    return None


def _length_of_text(chunk: _Chunk) -> int | None:
    """Bytes of a text once it is unpacked; None if that cannot be done, and for other chunks."""
    if chunk.kind not in _TEXTS:
        return None
    body = bytes(chunk.body)
    rest = body.partition(b"\0")[2]
    if chunk.kind == b"zTXt":
        return _unpacked_length(rest[1:])
    if chunk.kind == b"iTXt" and rest[:1] == b"\1":
        return _unpacked_length(rest[2:].split(b"\0", 2)[-1])
    return len(body)


def _unpacked_length(packed: bytes) -> int | None:
    unpacking = zlib.decompressobj()
    try:
        length = len(unpacking.decompress(packed, LONGEST_TEXT))
    except zlib.error:
        return None
    return None if unpacking.unconsumed_tail else length


def _profile(body: bytes) -> bytes | None:
    packed = body.partition(b"\0")[2][1:]
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(packed, LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if profile and unpacking.eof else None
