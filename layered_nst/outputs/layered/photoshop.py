"""Layered files for Photoshop and all that read its format, written by psd-tools."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image
from psd_tools import PSDImage
from psd_tools.api.layers import Group
from psd_tools.constants import BlendMode, Compression, Resource
from psd_tools.psd.image_data import ImageData
from psd_tools.psd.image_resources import ImageResource

from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.outputs.layered.sheets import Bytes, Sheet, flat_pixels, mask_sheets, plain_name
from layered_nst.picture.color import srgb_profile

_PIXELS_PER_INCH, _INCHES = 1, 1


def encode(picture: LayeredPicture) -> bytes:
    """The picture as a PSD file of 8 bits: its layers with masks in one group, and merged."""
    height, width = picture.size
    psd = PSDImage.new("RGB" if picture.alpha is None else "RGBA", (width, height))
    # Not passing through: nothing in it blends with what lies below, and Krita exports groups
    # that might as empty.
    group = psd.create_group(blend_mode=BlendMode.NORMAL)
    group.name = plain_name(picture.name)
    for sheet in mask_sheets(picture):
        _add(group, sheet)
    _add_resources(psd, picture)
    _merge(psd, picture)
    file = io.BytesIO()
    # PSDImage.save would compose the merged picture anew from the layers.
    psd._record.write(file)
    return file.getvalue()


def _add(group: Group, sheet: Sheet) -> None:
    layer = group.create_pixel_layer_from_array(
        np.dstack([sheet.color, sheet.alpha]), top=sheet.top, left=sheet.left
    )
    layer.name = sheet.name
    layer.visible = sheet.visible
    if sheet.mask is not None:
        layer.create_mask(Image.fromarray(sheet.mask), top=sheet.top, left=sheet.left)


def _add_resources(psd: PSDImage, picture: LayeredPicture) -> None:
    resources = {Resource.ICC_PROFILE: srgb_profile()}
    if picture.dpi:
        resources[Resource.RESOLUTION_INFO] = _resolution(*picture.dpi)
    for key, data in resources.items():
        psd.image_resources[key] = ImageResource(key=key, data=data)


def _resolution(across: float, down: float) -> bytes:
    # Pixels per inch in fixed point with 16 bits behind the point.
    x, y = (min(round(value * 65536), 2**32 - 1) for value in (across, down))
    units = (_PIXELS_PER_INCH, _INCHES)
    return struct.pack(">IHHIHH", x, *units, y, *units)


def _merge(psd: PSDImage, picture: LayeredPicture) -> None:
    pixels = flat_pixels(picture)
    if picture.alpha is not None:
        pixels = _on_white(pixels)
        layers = psd._record.layer_and_mask_information.layer_info
        assert layers is not None
        # Less than zero says that the fourth channel is the picture's alpha, not a spot color.
        layers.layer_count = -abs(layers.layer_count)
    merged = ImageData(Compression.RLE)
    planes = [pixels[..., channel].tobytes() for channel in range(pixels.shape[2])]
    merged.set_data(planes, psd._record.header)
    psd._record.image_data = merged


def _on_white(pixels: Bytes) -> Bytes:
    """The format keeps the merged colors laid on white; readers take the white off again."""
    alpha = pixels[..., 3:].astype(np.float32) / 255
    color = pixels[..., :3] * alpha + 255 * (1 - alpha)
    return np.dstack([np.rint(color).astype(np.uint8), pixels[..., 3]])
