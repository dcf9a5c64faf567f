"""Clips that Pillow reads: animations, and folders of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from layered_nst.errors import ClipError, PictureError
from layered_nst.picture import Picture, fit_within, read_picture, resize_picture
from layered_nst.video.clips import USUAL_RATE, Clip, ClipFrame, frames_in
from layered_nst.words import pixels

SHORTEST = 20
"""Milliseconds: browsers show frames that say less for a tenth of a second."""
LAZY = 100


def open_animation(path: Path, max_pixels: int) -> Clip:
    """Look at a GIF, an animated WebP or an animated PNG.

    Raises:
        ClipError: it cannot be read.
    """
    try:
        with Image.open(path) as file:
            count, loops = int(getattr(file, "n_frames", 1)), int(file.info.get("loop", 0))
            size, has_alpha = file.size, file.has_transparency_data
            lengths = [_length(file.info) for _ in ImageSequence.Iterator(file)]
    except (OSError, ValueError, SyntaxError) as error:
        raise ClipError(f"{path}: cannot be read as a clip: {error}") from error
    clip = Clip(
        path,
        (size[1], size[0]),
        read=lambda: _animated(clip, max_pixels),
        rate=Fraction(1000 * count, sum(lengths)),
        count=count,
        alpha=has_alpha,
        loops=loops,
    )
    return clip


def _length(info: Mapping[Any, Any]) -> int:
    told = info.get("duration", LAZY)
    length = round(told) if isinstance(told, int | float) else LAZY
    return length if length >= SHORTEST else LAZY


def _animated(clip: Clip, max_pixels: int) -> Iterator[ClipFrame]:
    time = 0
    with Image.open(clip.path) as file:
        for number in range(clip.count or 1):
            try:
                file.seek(number)
                picture = read_picture(file.convert("RGBA"), max_pixels=max_pixels)
            except (OSError, EOFError, SyntaxError, ValueError) as error:
                clip.notes.append(f"{clip.path}: frame {number} is damaged and left out ({error})")
                continue
            length = _length(file.info)
            yield ClipFrame(picture, Fraction(time, 1000), Fraction(length, 1000))
            time += length


def open_folder(folder: Path, max_pixels: int) -> Clip:
    """Look at a folder of frames.

    Raises:
        ClipError: there is no picture in it.
    """
    files = frames_in(folder)
    if not files:
        raise ClipError(f"{folder}: a folder without pictures is no clip")
    first = read_picture(files[0], max_pixels=max_pixels)
    clip = Clip(
        folder,
        first.size,
        read=lambda: _numbered(clip, files, max_pixels),
        rate=USUAL_RATE,
        base=1 / USUAL_RATE,
        count=len(files),
        depth=first.depth,
        alpha=first.alpha is not None,
        is_folder=True,
        seek=lambda time: _numbered(clip, files, max_pixels, first=ceil(time * USUAL_RATE)),
    )
    return clip


def _numbered(
    clip: Clip, files: Sequence[Path], max_pixels: int, *, first: int = 0
) -> Iterator[ClipFrame]:
    for number, file in enumerate(files[first:], first):
        try:
            picture = read_picture(file, max_pixels=max_pixels)
        except PictureError as error:
            clip.notes.append(f"{file.name} is damaged and left out: {error}")
            continue
        time = number / USUAL_RATE
        yield ClipFrame(same_size(clip, picture, time), time, 1 / USUAL_RATE, name=file.name)


def same_size(clip: Clip, picture: Picture, time: Fraction) -> Picture:
    """A frame at the clip's size: those that came otherwise are brought to it, with a note."""
    if picture.size == clip.size:
        return picture
    note = (
        f"{clip.path.name}: frames are {pixels(picture.size)} from {float(time):.2f} s on and are "
        f"brought to the {pixels(clip.size)} of the first"
    )
    if not any(pixels(picture.size) in known for known in clip.notes):
        clip.notes.append(note)
    scale = max(
        1,
        round(max(picture.size) * max(a / b for a, b in zip(clip.size, picture.size, strict=True))),
    )
    larger = resize_picture(picture, fit_within(picture.size, scale))
    return _middle(larger, clip.size)


def _middle(picture: Picture, size: tuple[int, int]) -> Picture:
    """The middle of a picture that is at least as large."""
    from dataclasses import replace

    top, left = (max(0, (a - b) // 2) for a, b in zip(picture.size, size, strict=True))
    window = slice(top, top + size[0]), slice(left, left + size[1])
    cut = replace(
        picture,
        rgb=picture.rgb[:, *window],
        alpha=None if picture.alpha is None else picture.alpha[window],
    )
    return cut if cut.size == size else resize_picture(cut, size)
