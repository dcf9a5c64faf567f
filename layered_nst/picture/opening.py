"""From a path to an open picture file of a known kind, with nothing decoded yet."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import tifffile
from PIL import Image

from layered_nst.errors import LayeredNstError, PictureError
from layered_nst.files.names import did_you_mean_file

# Without a handler, Python prints what tifffile logs about every odd tag to standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Only kinds that hold photos or drawings. Pillow knows more, among them PostScript, which would
# run a program on the file.
READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF")


def existing_file(path: Path) -> Path:
    """Return ``path`` if a file is there; else raise PictureError with a near name, if any."""
    if path.is_file():
        return path
    if path.is_dir():
        raise PictureError(f"{path} is a folder, not a picture")
    if not path.parent.is_dir():
        raise PictureError(f"no such picture: {path} (there is no folder {path.parent})")
    raise PictureError(f"no such picture: {path}{did_you_mean_file(path)}")


def sniff(path: Path) -> str:
    """The kind of picture by its first bytes, whatever its name. Raises PictureError."""
    try:
        with path.open("rb") as file:
            prefix = file.read(64)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PictureError(f"{path} cannot be read: {reason}") from error
    if not prefix:
        raise PictureError(f"{path} is empty")
    Image.init()
    for kind in READABLE:
        accepts = Image.OPEN[kind][1] if kind in Image.OPEN else None
        # A string instead of True is Pillow's way to say that this build lacks the decoder.
        if accepts is not None and accepts(prefix) is True:
            return kind
    allowed = ", ".join(READABLE)
    raise PictureError(f"{path} is not a picture in a format that can be read ({allowed})")


def open_header(path: Path, kind: str) -> Image.Image:
    """Open with Pillow and parse the header alone. Raises PictureError.

    Goes straight to the plugin, because ``Image.open`` enforces a limit on pixels that can only
    be changed for the whole process; the caller checks its own limit next.
    """
    with named_if_broken(path):
        # Plugins take paths too, and then close the file themselves; the hints forget that.
        return Image.OPEN[kind][0](cast(IO[bytes], path), str(path))


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF with its tags parsed and no pixel read. Raises PictureError."""
    with named_if_broken(path):
        file = tifffile.TiffFile(path)
    if len(file.pages) == 0:
        file.close()
        raise PictureError(f"{path} is broken: it has no pages")
    return file


def check_pixels(width: int, height: int, *, max_pixels: int, source: str) -> None:
    """Raise PictureError for an empty picture, or one with more than ``max_pixels``."""
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
