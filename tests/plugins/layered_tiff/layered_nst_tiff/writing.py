"""Layers as Photoshop keeps them in a TIFF: the flattened picture, and all layers in a tag.

Source: Adobe Photoshop TIFF Technical Notes, March 2002; written by tifffile and psdtags.
"""

from __future__ import annotations

import io

import numpy as np
import tifffile
from psdtags import (
    PsdBlendMode,
    PsdChannel,
    PsdChannelId,
    PsdClippingType,
    PsdCompressionType,
    PsdFormat,
    PsdKey,
    PsdLayer,
    PsdLayerFlag,
    PsdLayerMask,
    PsdLayers,
    PsdRectangle,
    PsdString,
    PsdUserMask,
    TiffImageSourceData,
)

from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.outputs.layered.sheets import Bytes, Sheet, flat_pixels, mask_sheets
from layered_nst.outputs.layered.writing import LayeredFormat
from layered_nst.picture.color import srgb_profile

# Photoshop's own files have ZIP there too, and opens what has been packed by rows faster.
_PACKED = PsdCompressionType.ZIP
_COLORS = (PsdChannelId.CHANNEL0, PsdChannelId.CHANNEL1, PsdChannelId.CHANNEL2)


def encode(picture: LayeredPicture) -> bytes:
    """The picture as a TIFF of 8 bits, sRGB: flattened, with its layers and masks beside."""
    layers = [_layer(sheet) for sheet in mask_sheets(picture)]
    source = TiffImageSourceData(
        psdformat=PsdFormat.BE32BIT,
        layers=PsdLayers(PsdKey.LAYER, layers, has_transparency=picture.alpha is not None),
        usermask=PsdUserMask(),
    )
    pixels, file = flat_pixels(picture), io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        byteorder=">",  # as that of the layers
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="adobe_deflate",
        predictor=True,
        iccprofile=srgb_profile(),
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        extratags=[source.tifftag()],
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _layer(sheet: Sheet) -> PsdLayer:
    height, width = sheet.alpha.shape
    box = PsdRectangle(sheet.top, sheet.left, sheet.top + height, sheet.left + width)
    planes = [(PsdChannelId.TRANSPARENCY_MASK, sheet.alpha)]
    planes += [(name, sheet.color[..., k]) for k, name in enumerate(_COLORS)]
    mask = None
    if sheet.mask is not None:
        planes.append((PsdChannelId.USER_LAYER_MASK, sheet.mask))
        mask = PsdLayerMask(default_color=0, rectangle=box)
    hidden = PsdLayerFlag.BASE if sheet.visible else PsdLayerFlag.VISIBLE  # the bit is turned round
    return PsdLayer(
        name=sheet.name.encode("ascii", "replace").decode()[:63],
        channels=[_channel(name, plane) for name, plane in planes],
        rectangle=box,
        mask=mask,
        blendmode=PsdBlendMode.NORMAL,
        clipping=PsdClippingType.BASE,
        flags=PsdLayerFlag.PHOTOSHOP5 | hidden,
        info=[PsdString(PsdKey.UNICODE_LAYER_NAME, sheet.name)],
    )


def _channel(name: PsdChannelId, plane: Bytes) -> PsdChannel:
    return PsdChannel(channelid=name, compression=_PACKED, data=np.ascontiguousarray(plane))


FORMAT = LayeredFormat(encode, longest=30_000)
