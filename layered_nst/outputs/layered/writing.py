"""Layered files by the suffix of their name."""

from __future__ import annotations

import struct
from pathlib import Path

from layered_nst.errors import OutputError
from layered_nst.files.atomic import replacing
from layered_nst.outputs.layered import openraster
from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.words import pixels

LAYERED_FORMATS = (".ora", ".psd")
LONGEST = {".psd": 30_000}
"""Most pixels on a side, by the suffixes of the formats that cannot hold any number."""


def write_layered(path: Path, picture: LayeredPicture) -> None:
    """Write OpenRaster (``.ora``) or Photoshop (``.psd``), 8 bits per channel, sRGB.

    The file appears under its name only when it is complete; until then an older one stays.

    Raises:
        OutputError: unknown suffix, no such folder, no permission, full disk, or more pixels on a
            side than a PSD can hold.
    """
    suffix = path.suffix.lower()
    if suffix not in LAYERED_FORMATS:
        raise OutputError(f"{path}: no known format of layers; use {', '.join(LAYERED_FORMATS)}")
    check_layered_size(path, picture.size)
    try:
        encoded = openraster.encode(picture) if suffix == ".ora" else _psd(picture)
    except struct.error as error:
        raise OutputError(f"{path}: more than the format can hold ({error}); use .ora") from error
    with replacing(path) as file:
        file.write(encoded)


def check_layered_size(path: Path, size: tuple[int, int]) -> None:
    """Refuse layers of (height, width) that the format of the suffix cannot hold.

    Raises:
        OutputError: more pixels on a side than it can.
    """
    suffix = path.suffix.lower()
    most = LONGEST.get(suffix)
    if most is not None and max(size) > most:
        kind = suffix[1:].upper()
        raise OutputError(f"{path}: {kind} holds {most} px a side, not {pixels(size)}; use .ora")


def _psd(picture: LayeredPicture) -> bytes:
    # Every run that writes a picture asks for the names of formats, few for this one's library.
    from layered_nst.outputs.layered import photoshop

    return photoshop.encode(picture)
