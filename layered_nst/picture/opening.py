"""From a path, or bytes, to an open picture file of a known kind, with nothing decoded yet."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO, cast

import tifffile
from PIL import Image

from layered_nst.errors import LayeredNstError, LayeredNstWarning, PictureError
from layered_nst.files.names import did_you_mean_file
from layered_nst.picture.kinds import BEGINNING, is_heic, kind_in_words
from layered_nst.picture.png import PngFile, usable_png

# Without a handler, Python prints what tifffile logs about every odd tag to standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Only kinds that hold photos or drawings. Pillow knows more, among them PostScript, which would
# run a program on the file.
READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF")


@dataclass(frozen=True)
class Encoded:
    """A picture as a file holds it: on disk, or its bytes in memory.

    Attributes:
        name: what messages call it.
        path: where it lies; None if it is ``data``.
        data: its bytes, where it lies in no file.
    """

    name: str
    path: Path | None = None
    data: bytes = b""

    def open(self) -> BinaryIO:
        """Its bytes, to be read from the first on."""
        return io.BytesIO(self.data) if self.path is None else self.path.open("rb")

    def read(self, count: int = -1) -> bytes:
        """Its first bytes, or all of them.

        Raises:
            PictureError: it cannot be read.
        """
        try:
            with self.open() as file:
                return file.read(count)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PictureError(f"{self.name} cannot be read: {reason}") from error

    @cached_property
    def png(self) -> PngFile:
        """It as a PNG, without what is unusable beside its pixels."""
        return usable_png(self.read())


def on_disk(path: Path) -> Encoded:
    """A picture's file.

    Raises:
        PictureError: there is none; with a near name, if any.
    """
    return Encoded(str(path), existing_file(path))


def existing_file(path: Path) -> Path:
    """``path``, if a file is there.

    Raises:
        PictureError: there is none; with a near name, if any.
    """
    if path.is_file():
        return path
    if path.is_dir():
        raise PictureError(f"{path} is a folder, not a picture")
    if path.exists():
        raise PictureError(f"{path} is not a plain file, as a picture must be")
    if not path.parent.is_dir():
        raise PictureError(f"no such picture: {path} (there is no folder {path.parent})")
    raise PictureError(f"no such picture: {path}{did_you_mean_file(path)}")


def sniff(source: Path | Encoded) -> str:
    """The kind of picture by its first bytes, whatever its name.

    Raises:
        PictureError: it cannot be read, or is of no kind that is read here.
    """
    file = source if isinstance(source, Encoded) else Encoded(str(source), source)
    start = file.read(BEGINNING)
    if not start:
        raise PictureError(f"{file.name} is empty")
    if not is_heic(start) and (kind := _readable_kind(start)):
        return kind
    allowed = ", ".join(READABLE)
    found = kind_in_words(start)
    what, advice = ("", "") if found is None else (f"{found[0]}, ", f"; {found[1]}")
    raise PictureError(
        f"{file.name} is {what}not a picture in a format that can be read ({allowed}){advice}"
    )


def _readable_kind(start: bytes) -> str | None:
    Image.init()
    for kind in READABLE:
        accepts = Image.OPEN[kind][1] if kind in Image.OPEN else None
        # A string instead of True is Pillow's way to say that this build lacks the decoder.
        if accepts is not None and accepts(start[:64]) is True:
            return kind
    return None


def open_header(file: Encoded, kind: str) -> Image.Image:
    """Open with Pillow and parse the header alone.

    Goes straight to the plugin, because ``Image.open`` enforces a limit on pixels that can only
    be changed for the whole process; the caller checks its own limit next.

    Raises:
        PictureError: the header is broken.
    """
    with named_if_broken(file.name):
        # Plugins take paths too, and then close the file themselves; the hints forget that.
        place = cast(IO[bytes], io.BytesIO(file.data) if file.path is None else file.path)
        if kind == "PNG":
            place = io.BytesIO(file.png.data)
        return Image.OPEN[kind][0](place, file.name)


def tell_left_out(file: Encoded) -> None:
    """Warn of what is unusable in a PNG beside its pixels."""
    for sentence in file.png.left_out:
        warnings.warn(f"{file.name}: {sentence}", LayeredNstWarning, stacklevel=4)


def open_tiff(file: Encoded) -> tifffile.TiffFile:
    """Open a TIFF with its tags parsed and no pixel read.

    Raises:
        PictureError: it is broken, or has no pages.
    """
    with named_if_broken(file.name):
        tiff = tifffile.TiffFile(io.BytesIO(file.data) if file.path is None else file.path)
    if len(tiff.pages) == 0:
        tiff.close()
        raise PictureError(f"{file.name} is broken: it has no pages")
    return tiff


def check_pixels(width: int, height: int, *, max_pixels: int, source: str) -> None:
    """Refuse an empty picture, or one with more than ``max_pixels``.

    Raises:
        PictureError: naming both numbers.
    """
    if width < 1 or height < 1:
        raise PictureError(f"{source} is empty: {width} x {height} px")
    if width * height > max_pixels:
        raise PictureError(
            f"{source} has {width * height / 1e6:.4g} megapixels ({width} x {height}), more than "
            f"the limit of {max_pixels / 1e6:.4g} (raise it with `max_pixels`)"
        )


@contextlib.contextmanager
def named_if_broken(source: object) -> Iterator[None]:
    """Turn whatever a decoder raises on broken data into one sentence, a PictureError.

    Decoders meet broken data with every exception there is, so all are caught but ours, warnings
    that were made errors, and MemoryError, which says nothing about the file.
    """
    try:
        yield
    except (LayeredNstError, MemoryError, Warning):
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{source} has too many pixels to be decoded: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{source} is broken or cut short: {reason}") from error
