"""Layered files of the OpenRaster draft 0.0.5, for Krita, GIMP, MyPaint and others.

Source: https://www.freedesktop.org/wiki/Specifications/OpenRaster/Draft/
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from xml.etree import ElementTree

import imagecodecs
import numpy as np

from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.outputs.layered.sheets import Bytes, Sheet, alpha_sheets, flat_pixels, plain_name
from layered_nst.picture import Picture, fit_within, resize_picture, to_image
from layered_nst.picture.metadata import png_chunk

_THUMBNAIL_SIDE = 256
_INCH = 0.0254
# Where the chunks after PNG's signature and IHDR begin.
_AFTER_HEADER = 8 + 12 + 13
# Perceptual intent, and the gamma and primaries that the PNG standard gives beside it.
_SRGB_CHUNKS = (
    png_chunk(b"gAMA", struct.pack(">I", 45455))
    + png_chunk(
        b"cHRM",
        struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    )
    + png_chunk(b"sRGB", b"\0")
)


def encode(picture: LayeredPicture) -> bytes:
    """The picture as an OpenRaster file: its layers in one stack, merged, and a thumbnail."""
    sheets = alpha_sheets(picture)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # The draft wants it first and not compressed, so that the kind can be read at byte 38.
        _add(archive, "mimetype", b"image/openraster")
        _add(archive, "stack.xml", _stack(picture, sheets), zipfile.ZIP_DEFLATED)
        for number, sheet in enumerate(sheets):
            pixels = np.dstack([sheet.color, sheet.alpha])
            _add(archive, _source(number), _png(pixels, picture.dpi))
        _add(archive, "mergedimage.png", _png(flat_pixels(picture), picture.dpi))
        _add(archive, "Thumbnails/thumbnail.png", _png(_thumbnail(picture)))
    return file.getvalue()


def _add(
    archive: zipfile.ZipFile, name: str, data: bytes, compression: int = zipfile.ZIP_STORED
) -> None:
    # An entry made by hand has a fixed date, so that equal pictures are equal files.
    archive.writestr(zipfile.ZipInfo(name), data, compression)


def _source(number: int) -> str:
    return f"data/layer{number}.png"


def _stack(picture: LayeredPicture, sheets: Sequence[Sheet]) -> bytes:
    height, width = picture.size
    image = ElementTree.Element("image", version="0.0.5", w=str(width), h=str(height))
    if picture.dpi:
        for key, value in zip(("xres", "yres"), picture.dpi, strict=True):
            image.set(key, str(max(1, round(value))))
    root = ElementTree.SubElement(image, "stack")
    group = ElementTree.SubElement(root, "stack", _attributes(plain_name(picture.name), True))
    # Nothing in it blends with what lies below, and Krita exports groups that might as empty.
    group.set("isolation", "isolate")
    for number, sheet in reversed(list(enumerate(sheets))):
        place = {"src": _source(number), "x": str(sheet.left), "y": str(sheet.top)}
        ElementTree.SubElement(group, "layer", place | _attributes(sheet.name, sheet.visible))
    ElementTree.indent(image)
    return bytes(ElementTree.tostring(image, encoding="UTF-8", xml_declaration=True))


def _attributes(name: str, visible: bool) -> dict[str, str]:
    return {
        "name": name,
        "opacity": "1.0",
        "visibility": "visible" if visible else "hidden",
        "composite-op": "svg:src-over",
    }


def _thumbnail(picture: LayeredPicture) -> Bytes:
    flat = Picture(picture.rgb, picture.alpha)
    if max(flat.size) > _THUMBNAIL_SIDE:
        flat = resize_picture(flat, fit_within(flat.size, _THUMBNAIL_SIDE))
    return np.asarray(to_image(flat.rgb, flat.alpha))


def _png(pixels: Bytes, dpi: tuple[float, float] | None = None) -> bytes:
    encoded = imagecodecs.png_encode(pixels, level=3)
    chunks = _SRGB_CHUNKS
    if dpi:
        chunks += png_chunk(b"pHYs", struct.pack(">IIB", *(round(v / _INCH) for v in dpi), 1))
    return b"".join((encoded[:_AFTER_HEADER], chunks, memoryview(encoded)[_AFTER_HEADER:]))
