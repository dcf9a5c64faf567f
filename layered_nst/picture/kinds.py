"""What a file is by its first bytes, for those that are no picture we can read."""

from __future__ import annotations

import re

BEGINNING = 512
"""Bytes that are enough to tell."""

_CONVERT, _DEVELOP = "convert it to JPEG, PNG or TIFF", "develop it first"
_SAVE, _NAME = "save one picture of it", "name a photo or a clip"
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"IIRO", "a camera raw (Olympus)", _DEVELOP),
    (b"IIRS", "a camera raw (Olympus)", _DEVELOP),
    (b"MMOR", "a camera raw (Olympus)", _DEVELOP),
    (b"IIU\0", "a camera raw (Panasonic)", _DEVELOP),
    (b"FUJIFILMCCD-RAW", "a camera raw (Fujifilm)", _DEVELOP),
    (b"FOVb", "a camera raw (Sigma)", _DEVELOP),
    (b"\0MRM", "a camera raw (Minolta)", _DEVELOP),
    (b"\xff\x0a", "a JPEG XL picture", _CONVERT),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
    (b"II\xbc", "a JPEG XR picture", _CONVERT),
    (b"8BPS", "a Photoshop document", _CONVERT),
    (b"gimp xcf", "a GIMP document", _CONVERT),
    (b"SIMPLE  =", "a FITS picture", _CONVERT),
    (b"v/1\x01", "an OpenEXR picture", _CONVERT),
    (b"#?RADIANCE", "a Radiance picture", _CONVERT),
    (b"#?RGBE", "a Radiance picture", _CONVERT),
    (b"DDS ", "a DirectDraw texture", _CONVERT),
    (b"\0\0\1\0", "an icon", _CONVERT),
    (b"%PDF", "a PDF document", _CONVERT),
    (b"%!PS", "a PostScript drawing", _CONVERT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing", _CONVERT),
    (b"PK\3\4", "a zip archive", "unpack it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\x1aE\xdf\xa3", "a video or sound (Matroska)", _SAVE),
    (b"OggS", "sound or a video (Ogg)", _SAVE),
    (b"ID3", "sound", _NAME),
    (b"\xff\xfb", "sound", _NAME),
    (b"fLaC", "sound", _NAME),
    (b"WEBVTT", "subtitles", _NAME),
    (b"[Script Info]", "subtitles", _NAME),
    (b"version https://git-lfs", "a pointer to a picture in Git LFS", "fetch it by git lfs pull"),
)
_BRANDS = (
    (b"crx ", "a camera raw (Canon)", _DEVELOP),
    (b"hei", "a HEIC photo", _CONVERT),
    (b"hev", "a HEIC photo", _CONVERT),
    (b"mif1", "a HEIF photo", _CONVERT),
    (b"msf1", "a HEIF photo", _CONVERT),
    (b"avi", "an AVIF picture", _CONVERT),
    (b"jxl", "a JPEG XL picture", _CONVERT),
    (b"M4A", "sound", _NAME),
    (b"M4B", "sound", _NAME),
)
_RIFF = {b"WAVE": ("sound", _NAME), b"AVI ": ("a video", _SAVE)}
_SUBTITLE = re.compile(rb"\d+\s+\d\d:\d\d:\d\d,\d{3} --> ")


def kind_in_words(start: bytes) -> tuple[str, str] | None:
    """What a file is, and what to do with it: ``("a HEIC photo", "convert it to …")``.

    Args:
        start: its first ``BEGINNING`` bytes.
    """
    if start[4:8] == b"ftyp":
        return _of_brands(brands(start))
    if start[:4] == b"RIFF":
        return _RIFF.get(start[8:12])
    text = start.removeprefix(b"\xef\xbb\xbf")
    for prefix, what, todo in _STARTS:
        if text.startswith(prefix):
            return what, todo
    if _SUBTITLE.match(text):
        return "subtitles", _NAME
    text = re.sub(rb"<!--.*?-->|<\?.*?\?>", b"", text, flags=re.S).strip().lower()
    if text.startswith((b"<svg", b"<!doctype svg")):
        return "an SVG drawing", _CONVERT
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page", "save the picture itself"
    return None


def is_heic(start: bytes) -> bool:
    """Whether a file in the box format of AVIF says that it holds HEVC in place of AV1."""
    named = brands(start)
    return any(b[:3] in (b"hei", b"hev") for b in named) and not any(b[:3] == b"avi" for b in named)


def brands(start: bytes) -> list[bytes]:
    """The brands of an ISO base media file, its own one first."""
    if start[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return [start[8:12], *(start[i : i + 4] for i in range(16, end - 3, 4))]


def _of_brands(named: list[bytes]) -> tuple[str, str]:
    # The first brand may be a container's, such as mif1; the others say what is in it.
    for prefix, what, todo in _BRANDS:
        if any(brand.startswith(prefix) for brand in named):
            return what, todo
    return "a video", _SAVE
