"""Any picture a designer has, as an upright sRGB tensor."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from layered_nst.errors import LayeredNstWarning, PictureError
from layered_nst.picture import color, decoding
from layered_nst.picture.decoding import Samples
from layered_nst.picture.opening import (
    Encoded,
    check_pixels,
    named_if_broken,
    open_header,
    open_tiff,
    sniff,
    tell_left_out,
)
from layered_nst.picture.png import is_deep, png_size
from layered_nst.picture.sources import as_array, encoded
from layered_nst.picture.tiff import main_page, refuse_camera_raw
from layered_nst.picture.value import MAX_PIXELS, Picture


def read_picture(source: Any, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from wherever it is into a Picture.

    EXIF orientation is applied, colors are converted to sRGB by the embedded profile (relative
    colorimetric with black point compensation), 16 bits stay 16 bits, and an alpha channel that
    is opaque everywhere becomes None. Of an animation the first frame is taken, with a
    LayeredNstWarning; so are profiles that cannot be used, and CMYK without one.

    Args:
        source: a path; the bytes of a file; a file opened in binary mode, read from where it
            stands; a Pillow picture; an array (H, W) or (H, W, 1 to 4), uint8, uint16, bool or
            float in [0, 1]; a tensor like an array, or (1 to 4, H, W), as torch has it.
        max_pixels: more by the header are refused, before anything is decoded.

    Raises:
        PictureError: no such file (naming a near one), not a picture, broken or cut short, too
            many pixels, or nothing that could be a picture.
    """
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "picture")
        check_pixels(*source.size, max_pixels=max_pixels, source=name)
        with named_if_broken(name):
            return _finished(decoding.decode_image(source, source=name))
    if isinstance(source, np.ndarray | Tensor):
        samples = decoding.decode_array(as_array(source))
        height, width = samples.pixels.shape[:2]
        check_pixels(width, height, max_pixels=max_pixels, source=samples.source)
        return _finished(samples)
    file = encoded(source)
    with named_if_broken(file.name):
        return _finished(_decoded_file(file, max_pixels))


def _decoded_file(file: Encoded, max_pixels: int) -> Samples:
    kind = sniff(file)
    if kind == "TIFF":
        return _decoded_tiff(file, max_pixels)
    start = file.read(25)
    if kind == "PNG" and (size := png_size(start)):
        check_pixels(*size, max_pixels=max_pixels, source=file.name)
    with open_header(file, kind) as header:
        check_pixels(*header.size, max_pixels=max_pixels, source=file.name)
        if kind != "PNG":
            return decoding.decode_image(header, source=file.name)
        if is_deep(start):
            samples = decoding.decode_deep_png(file.name, file.png.data, header)
        else:
            samples = decoding.decode_image(header, source=file.name)
    tell_left_out(file)
    return replace(samples, profile=file.png.profile or samples.profile)


def _decoded_tiff(file: Encoded, max_pixels: int) -> Samples:
    with open_tiff(file) as tiff:
        refuse_camera_raw(file.name, tiff)
        number = main_page(tiff)
        page: Any = tiff.pages[number]
        check_pixels(page.imagewidth, page.imagelength, max_pixels=max_pixels, source=file.name)
        # Pillow knows more color models and compressions, but only 8 bits of each.
        bits = page.bitspersample if isinstance(page.bitspersample, int) else 16
        if bits > 8:
            return decoding.decode_tiff(file.name, tiff, page)
        try:
            header = open_header(file, "TIFF")
        except PictureError:
            return decoding.decode_tiff(file.name, tiff, page)
        with header:
            if number:
                header.seek(number)
            return decoding.decode_image(header, source=file.name, frames=len(tiff.pages))


def _finished(samples: Samples) -> Picture:
    pixels = _upright(samples.pixels, samples.orientation)
    profile = _usable_profile(samples)
    height, width = pixels.shape[:2]
    rgb = torch.empty(3, height, width)
    alpha = torch.empty(height, width) if samples.alpha else None

    def finish(rows: slice) -> None:
        band = unit(pixels[rows])
        if alpha is not None:
            alpha[rows] = torch.from_numpy(band[..., -1])
            band = _straight(band) if samples.premultiplied else band[..., :-1]
        rgb[:, rows] = torch.from_numpy(_as_srgb(band, samples.space, profile)).movedim(-1, 0)

    color.for_each_band(height, width, finish)
    return Picture(
        rgb=rgb,
        alpha=_unless_opaque(alpha),
        dpi=_turned(samples.dpi, samples.orientation),
        profile=samples.profile,
        depth=samples.depth,
        source=samples.source,
        native=_native(pixels, samples, profile),
    )


def _native(pixels: NDArray[Any], samples: Samples, profile: bytes | None) -> NDArray[Any] | None:
    """The file's own colors, (H, W, 3), where converting them may have lost some."""
    if profile is None or samples.premultiplied or color.profile_space(profile) != "rgb":
        return None
    colors = pixels[..., :-1] if samples.alpha else pixels
    return np.broadcast_to(colors, (*colors.shape[:2], 3))


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8) to (H, W, C), as a view."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _turned(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    return dpi if dpi is None or orientation < 5 else (dpi[1], dpi[0])


def unit(band: NDArray[Any]) -> color.FloatArray:
    """Samples over their full range as float32 in [0, 1]."""
    if band.dtype.kind == "f":
        return np.ascontiguousarray(band, dtype=np.float32)
    return np.ascontiguousarray(band, dtype=np.float32) / np.float32(np.iinfo(band.dtype).max)


def _straight(band: color.FloatArray) -> color.FloatArray:
    """Undo the multiplication by alpha (the last channel), and drop that channel."""
    alpha = band[..., -1:]
    return np.divide(
        band[..., :-1], alpha, out=np.zeros_like(band[..., :-1]), where=alpha > 0
    ).clip(0.0, 1.0)


def _as_srgb(band: color.FloatArray, space: color.Space, profile: bytes | None) -> color.FloatArray:
    if profile is not None:
        if space == "gray" and color.profile_space(profile) == "rgb":
            return color.to_srgb(band.repeat(3, axis=-1), profile, "rgb")
        return color.to_srgb(band, profile, space)
    if space == "cmyk":
        return (1 - band[..., :3]) * (1 - band[..., 3:])
    return band.repeat(3, axis=-1) if space == "gray" else band


def _usable_profile(samples: Samples) -> bytes | None:
    """The profile to convert by; None where the pixels count as sRGB already."""
    if samples.profile is None:
        if samples.space == "cmyk":
            _warn(f"{samples.source} is CMYK without a profile; its colors are approximate")
        return None
    try:
        described = color.profile_space(samples.profile)
        if described == "rgb" and samples.space != "cmyk":
            return None if color.is_srgb(samples.profile) else samples.profile
        if described != samples.space:
            raise color.ProfileError(f"it does not describe {samples.space.upper()} pixels")
        probe = np.zeros((1, 1, 4 if described == "cmyk" else 1), np.float32)
        color.to_srgb(probe, samples.profile, samples.space)
        return samples.profile
    except color.ProfileError as error:
        _warn(f"{samples.source}: the color profile is ignored: {error}")
        return None


def _unless_opaque(alpha: Tensor | None) -> Tensor | None:
    return None if alpha is None or bool((alpha >= 1).all()) else alpha


def _warn(message: str) -> None:
    warnings.warn(message, LayeredNstWarning, stacklevel=4)
