"""What a clip is, whatever it comes from: frames with their times, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from layered_nst.errors import ClipError
from layered_nst.files.names import did_you_mean_file
from layered_nst.picture import MAX_PIXELS, Picture
from layered_nst.recipe.files import shown

FILMS = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".y4m", ".vob",
)  # fmt: skip
"""Names that end so are films, whatever else is in them."""
ANIMATIONS = (".gif", ".webp", ".png", ".apng")
"""Names that end so are clips if there is more than one picture in them."""
FRAMES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Names of pictures that a folder of frames is made of."""
HARDLY_SOONER = Fraction(1, 10**6)
"""Seconds by which a frame may be sooner than was asked for."""
USUAL_RATE = Fraction(25)
"""Frames a second of a folder of pictures, which says none."""


def needed(name: str) -> Any:
    """A package that only clips need.

    Raises:
        ClipError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ClipError("clips need PyAV and OpenCV: pip install 'layered-nst[video]'") from error


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip.

    Attributes:
        picture: upright.
        time: when it is first seen, seconds on the clip's own clock.
        length: how long it is seen, seconds; 0 if the clip does not say.
        is_damaged: whether some of it could not be decoded.
        name: of its file, in a folder of frames.
    """

    picture: Picture
    time: Fraction
    length: Fraction = Fraction(0)
    is_damaged: bool = False
    name: str = ""


@dataclass(frozen=True)
class ColorTags:
    """How a film's numbers become colors, as containers say it (ISO/IEC 23091-2); 2 is unsaid."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False


@dataclass(frozen=True)
class Clip:
    """A clip that can be read.

    Attributes:
        path: the file or folder.
        size: height and width of its frames in px, upright.
        rate: frames a second, about; None if it does not say.
        base: seconds of one tick of its clock.
        count: frames as far as it says, None if it does not.
        depth: bits per channel.
        alpha: whether frames may be transparent.
        tags: of its colors.
        aspect: width of a pixel over its height.
        sounds, captions: codecs of its audio and subtitle streams.
        loops: how often an animation is shown, 0 for ever; None if it is none.
        is_folder: whether it is a folder of frames.
        notes: sentences for the user; reading adds to them.
        read: gives the frames.
        begins: when the first of them is seen, seconds on its own clock.
        seek: gives the frames from a time on, the same as ``read`` does; None where they can but
            be read from the first on.
    """

    path: Path
    size: tuple[int, int]
    read: Callable[[], Iterator[ClipFrame]]
    rate: Fraction | None = None
    base: Fraction = Fraction(1, 1000)
    count: int | None = None
    depth: int = 8
    alpha: bool = False
    tags: ColorTags = ColorTags()
    aspect: Fraction = Fraction(1)
    sounds: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    loops: int | None = None
    is_folder: bool = False
    notes: list[str] = field(default_factory=list, compare=False)
    begins: Fraction = Fraction(0)
    seek: Callable[[Fraction], Iterator[ClipFrame]] | None = None

    def since(self, time: Fraction) -> Iterator[ClipFrame]:
        """The frames that are first seen then or later, seconds on the clip's own clock."""
        if self.seek is not None and time > self.begins:
            return self.seek(time)
        return (frame for frame in self.read() if frame.time >= time)

    @property
    def seconds(self) -> float | None:
        """About how long it lasts."""
        return float(self.count / self.rate) if self.count and self.rate else None


@dataclass(frozen=True)
class Excerpt:
    """Which frames of a clip are taken.

    Attributes:
        start, end: seconds since the clip's first frame; None for its own.
        every: of those, every so manyth.
    """

    start: float | None = None
    end: float | None = None
    every: int = 1

    def of(self, clip: Clip, *, since: Fraction | None = None) -> Iterator[ClipFrame]:
        """The frames of a clip that are taken; each lasts until the next one that is, and the last
        one as long as what is passed over behind it.

        Args:
            since: when one of them is seen, seconds on the clip's own clock: they begin with it.
        """
        if since is None and self.start is not None:
            since = clip.begins + Fraction(self.start).limit_denominator(10**6) - HARDLY_SOONER
        frames = clip.read() if since is None else clip.since(since)
        held, last = None, None
        for number, frame in enumerate(frames):
            if self.end is not None and float(frame.time - clip.begins) >= self.end:
                break
            last = frame
            if self.every == 1:
                yield frame
            elif number % self.every == 0:
                if held is not None:
                    yield replace(held, length=frame.time - held.time)
                held = frame
        if held is not None and last is not None:
            yield replace(held, length=last.time + last.length - held.time)

    def count(self, clip: Clip) -> int | None:
        """About how many frames those are."""
        if clip.count is None:
            return None
        rate = float(clip.rate or USUAL_RATE)
        end = clip.count if self.end is None else min(clip.count, round(self.end * rate))
        start = 0 if self.start is None else round(self.start * rate)
        return max(0, -(-(end - start) // self.every))


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a clip: a film by its name, an animation, or a folder of frames."""
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir():
        return True
    if suffix in FILMS:
        return True
    return suffix in ANIMATIONS and path.is_file() and _pictures_in(path) > 1


def _pictures_in(path: Path) -> int:
    try:
        with Image.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1


def open_clip(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Clip:
    """Look at a clip; its frames are read when they are asked for.

    Args:
        path: a film, an animation (GIF, WebP, APNG) or a folder of frames.
        max_pixels: largest frame that is read.

    Raises:
        ClipError: there is no such clip, it has no picture, or what reads it is not installed.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ClipError(f"no such clip: {shown(path)}{did_you_mean_file(path)}")
    if path.is_dir() or path.suffix.lower() in ANIMATIONS:
        from layered_nst.video.sequences import open_animation, open_folder

        return open_folder(path, max_pixels) if path.is_dir() else open_animation(path, max_pixels)
    from layered_nst.video.films import open_film

    return open_film(path, max_pixels)


def frames_in(folder: Path) -> Sequence[Path]:
    """The pictures of a folder in the order of the numbers in their names."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in FRAMES and p.is_file()]
    return sorted(found, key=_by_number)


def _by_number(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Names in order: ``2.png`` before ``10.png``."""
    import re

    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.casefold()) for p in parts], path.name
