"""Layered files by the suffix of their name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from layered_nst import plugins
from layered_nst.errors import OutputError
from layered_nst.files.atomic import replacing
from layered_nst.outputs.layered import openraster
from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.words import pixels


@dataclass(frozen=True)
class LayeredFormat:
    """A format that holds layers.

    Attributes:
        encode: makes the bytes of a file.
        longest: most pixels on a side.
    """

    encode: Callable[[LayeredPicture], bytes]
    longest: int = 2**31 - 1


def write_layered(path: Path, picture: LayeredPicture) -> None:
    """Write OpenRaster (``.ora``) or Photoshop (``.psd``), 8 bits per channel, sRGB.

    The file appears under its name only when it is complete; until then an older one stays.

    Raises:
        OutputError: unknown suffix, no such folder, no permission, full disk, or more pixels on a
            side than a PSD can hold.
    """
    form = layered_format(path)
    _check_size(path, form, picture.size)
    try:
        with plugins.blamed():
            encoded = form.encode(picture)
    except struct.error as error:
        raise OutputError(f"{path}: more than the format can hold ({error}); use .ora") from error
    with replacing(path) as file:
        file.write(encoded)


def check_layered_size(path: Path, size: tuple[int, int]) -> None:
    """Refuse layers of (height, width) that the format of the suffix cannot hold.

    Raises:
        OutputError: more pixels on a side than it can.
    """
    _check_size(path, layered_format(path), size)


def _check_size(path: Path, form: LayeredFormat, size: tuple[int, int]) -> None:
    if max(size) > form.longest:
        kind, most = path.suffix[1:].upper(), form.longest
        raise OutputError(f"{path}: {kind} holds {most} px a side, not {pixels(size)}; use .ora")


def layered_format(path: Path) -> LayeredFormat:
    """The format of the suffix.

    Raises:
        OutputError: no format, or one that holds no layers.
    """
    suffix = path.suffix.lower()
    for part in plugins.outputs(suffix, "layers"):
        if part.holds or isinstance(plugins.object_of(part), LayeredFormat):
            return plugins.made_of(part, LayeredFormat)
    known = ", ".join(plugins.suffixes("layers"))
    raise OutputError(f"{path}: no known format of layers; use {known}")


def _psd(picture: LayeredPicture) -> bytes:
    # Every run that writes a picture asks for the names of formats, few for this one's library.
    from layered_nst.outputs.layered import photoshop

    return photoshop.encode(picture)


# 30 000 is what Photoshop opens.
BUILT_IN: Mapping[str, LayeredFormat] = {
    ".ora": LayeredFormat(openraster.encode),
    ".psd": LayeredFormat(_psd, longest=30_000),
}
"""The formats of this package by the suffixes of their files."""
