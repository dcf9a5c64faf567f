"""Layered files by the suffix of their name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from layered_nst.errors import OutputError
from layered_nst.outputs import openraster, photoshop
from layered_nst.outputs.layers import LayeredPicture
from layered_nst.picture import replacing

_ENCODERS: Mapping[str, Callable[[LayeredPicture], bytes]] = {
    ".ora": openraster.encode,
    ".psd": photoshop.encode,
}

LAYERED_FORMATS = tuple(_ENCODERS)


def write_layered(path: Path, picture: LayeredPicture) -> None:
    """Write OpenRaster (``.ora``) or Photoshop (``.psd``), 8 bits per channel, sRGB.

    The file appears under its name only when it is complete; until then an older one stays.

    Raises:
        OutputError: unknown suffix, no such folder, no permission, full disk, or more pixels on a
            side than a PSD can hold.
    """
    suffix = path.suffix.lower()
    if suffix not in _ENCODERS:
        raise OutputError(f"{path}: no known format of layers; use {', '.join(LAYERED_FORMATS)}")
    height, width = picture.size
    if suffix == ".psd" and max(height, width) > photoshop.LONGEST:
        most = photoshop.LONGEST
        raise OutputError(f"{path}: PSD holds {most} px a side, not {width}×{height}; use .ora")
    try:
        encoded = _ENCODERS[suffix](picture)
    except struct.error as error:
        raise OutputError(f"{path}: more than the format can hold ({error}); use .ora") from error
    with replacing(path) as file:
        file.write(encoded)
