"""Pixels as the file holds them: 8-bit, 16-bit or float samples, not yet converted.

On broken data these functions let the decoder's own exception out; reading names the file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from layered_nst.errors import LayeredNstWarning, PictureError
from layered_nst.picture import color

_MINISWHITE, _MINISBLACK, _RGB, _SEPARATED = 0, 1, 2, 5
_TIFF_SPACES: dict[int, color.Space] = {
    _MINISWHITE: "gray",
    _MINISBLACK: "gray",
    _RGB: "rgb",
    _SEPARATED: "cmyk",
}
_COLORS: dict[color.Space, int] = {"gray": 1, "rgb": 3, "cmyk": 4}


@dataclass(frozen=True)
class Samples:
    """A decoded picture, lying as it is stored.

    Attributes:
        pixels: (H, W, C) uint8 or uint16 over their full range, or float32 in [0, 1]; C counts the
            channels of ``space``, plus one for alpha. CMYK counts ink.
        source: file name or description, for messages.
        space: what the channels are of, without alpha.
        alpha: whether the last channel is alpha.
        premultiplied: whether colors are times alpha.
        depth: bits per channel, 8 or 16.
        dpi: pixels per inch across and down, if they are stated.
        profile: the ICC profile, if there is one.
        orientation: the EXIF number, 1 to 8, still to be applied.
    """

    pixels: NDArray[Any]
    source: str
    space: color.Space = "rgb"
    alpha: bool = False
    premultiplied: bool = False
    depth: int = 8
    dpi: tuple[float, float] | None = None
    profile: bytes | None = None
    orientation: int = 1


def decode_array(array: NDArray[Any], *, source: str = "picture") -> Samples:
    """Take (H, W) or (H, W, 1..4) bool, uint8, uint16 or float in [0, 1].

    Raises:
        PictureError: another shape, type or range.
    """
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise PictureError(
            f"{source}: an array must be (height, width) or (height, width, 1 to 4 channels), "
            f"not {array.shape}"
        )
    if pixels.dtype.kind == "f":
        pixels = _unit_floats(pixels, source)
    elif pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise PictureError(
            f"{source}: an array must hold uint8, uint16, bool or float in [0, 1], "
            f"not {pixels.dtype}"
        )
    channels = pixels.shape[2]
    return Samples(
        pixels=pixels,
        source=source,
        space="gray" if channels < 3 else "rgb",
        alpha=channels in (2, 4),
        depth=8 if pixels.dtype == np.uint8 else 16,
    )


def _unit_floats(pixels: NDArray[Any], source: str) -> NDArray[np.float32]:
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    # What arithmetic has rounded is as good as 0 and 1.
    if not (low >= -1e-4 and high <= 1.0 + 1e-4):
        raise PictureError(f"{source}: float samples must lie in [0, 1], not {low:g} to {high:g}")
    return pixels.clip(0.0, 1.0).astype(np.float32)


def decode_image(image: Image.Image, *, source: str, frames: int | None = None) -> Samples:
    """Decode a Pillow picture of any mode; animations give their first frame.

    Args:
        frames: how many there are, if that is known; Pillow looks at each to count them.
    """
    frames = getattr(image, "n_frames", 1) if frames is None else frames
    # MPO is how phones store a photo with its preview; nobody thinks of that as an animation.
    if frames > 1 and image.format != "MPO" and image.tell() == 0:
        _warn(f"{source} has {frames} frames; only the first is used")
    image.load()
    pixels, space, alpha = _pixels_of(image, source)
    depth = 8 if pixels.dtype == np.uint8 else 16
    samples = Samples(pixels=pixels, source=source, space=space, alpha=alpha, depth=depth)
    return _described(samples, image, _exif_of(image, source))


def _pixels_of(image: Image.Image, source: str) -> tuple[NDArray[Any], color.Space, bool]:
    mode = image.mode
    if mode.startswith("I;16"):
        pixels = full_range(np.asarray(image).astype(np.uint16), _bits_of(image))
        return pixels[..., None], "gray", False
    if mode in ("I", "F"):
        bring = _whole_range if mode == "I" else _unit_range
        return bring(np.asarray(image), source)[..., None], "gray", False
    if mode == "CMYK":
        return np.asarray(image), "cmyk", False
    if image.has_transparency_data:
        mode = "LA" if mode in ("LA", "La") else "RGBA"
        return np.asarray(image.convert(mode)), "gray" if mode == "LA" else "rgb", True
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None], "gray", False
    try:
        return np.asarray(image.convert("RGB")), "rgb", False
    except ValueError as error:
        raise PictureError(f"{source} is stored as {mode}, which cannot be read") from error


_WHITES = (255.0, 65535.0, 4294967295.0)
# More than a filter adds to white where it overshoots, less than any step from one range to the
# next.
_OVERSHOOT = 1.25
_BRIGHTEST_LIGHT = 32.0
"""Of linear light, what but a sun is brighter."""


def _bits_of(image: Image.Image) -> int:
    """Bits per sample of a gray picture that may be a TIFF of 12, whose numbers Pillow keeps."""
    bits = getattr(image, "tag_v2", {}).get(258)
    return bits[0] if isinstance(bits, tuple) and len(bits) == 1 else 16


def _whole_range(values: NDArray[Any], source: str) -> NDArray[np.float32]:
    """Bring whole numbers that state no range into [0, 1]: by 255, 65535 or 2³²-1, the first that
    covers them."""
    largest = float(values.max()) if values.size else 0.0
    return _by_white(values, next(white for white in _WHITES if largest <= white), source)


def _unit_range(values: NDArray[Any], source: str) -> NDArray[np.float32]:
    """Bring floats into [0, 1], which is their range unless most of them lie far above.

    Highlights and overshoots are no sign of another range: half of what is not black must be above
    1, and either far above or whole. Which range it is, all but the highest hundredth decide.
    """
    lit = values[np.isfinite(values) & (values > 0)].astype(np.float64)
    if not lit.size or float(np.median(lit)) <= _OVERSHOOT:
        return _by_white(values, 1.0, source)
    high = float(np.quantile(lit, 0.99))
    if high < _BRIGHTEST_LIGHT and bool((lit % 1 > 0).any()):
        return _by_white(values, 1.0, source)
    white = next((w for w in _WHITES if high <= w * _OVERSHOOT), float(lit.max()))
    return _by_white(values, white, source)


def _by_white(values: NDArray[Any], white: float, source: str) -> NDArray[np.float32]:
    if white > 1.0:
        _warn(f"{source} does not state its range; {white:g} is taken as white")
    unit = np.nan_to_num(values.astype(np.float64) / white, posinf=1.0)
    above = int((unit > 1.0 + 1e-4).sum())
    if above:
        _warn(f"{source}: {above} samples above white, which is {white:g}, are clipped")
    return unit.clip(0.0, 1.0).astype(np.float32)


def decode_deep_png(source: str, data: bytes, header: Image.Image) -> Samples:
    """Decode a PNG of 16 bits per channel, which Pillow would cut down to 8."""
    pixels = imagecodecs.png_decode(data)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    samples = Samples(
        pixels=pixels,
        source=source,
        space="gray" if pixels.shape[2] < 3 else "rgb",
        alpha=pixels.shape[2] in (2, 4),
        depth=16,
    )
    # Asking Pillow for an EXIF chunk that is not in the header would decode the whole picture.
    exif = _exif_of(header, source) if "exif" in header.info else Image.Exif()
    return _described(samples, header, exif)


def decode_tiff(source: str, file: tifffile.TiffFile, page: Any) -> Samples:
    """Decode a page of a TIFF that is gray, RGB or CMYK, at its own depth."""
    space = _TIFF_SPACES.get(int(page.photometric))
    if space is None:
        raise PictureError(f"{source} is stored as {page.photometric!s}, which cannot be read")
    if len(file.pages) > 1 and page.index == 0:
        _warn(f"{source} has {len(file.pages)} pages; only the first is used")
    pixels = _tiff_pixels(source, file, page)
    if int(page.photometric) == _MINISWHITE:
        pixels = pixels.copy()
        top = np.float32(1) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
        pixels[..., 0] = top - pixels[..., 0]
    extra = [int(kind) for kind in page.extrasamples or ()]
    alpha = bool(extra) and extra[0] in (1, 2)
    if pixels.shape[2] < _COLORS[space] + alpha:
        raise EOFError(f"{pixels.shape[2]} channels do not make {space.upper()}")
    tags = page.tags
    profile = tags.valueof(34675)
    profile = profile if isinstance(profile, bytes) and profile else None
    return Samples(
        pixels=pixels[..., : _COLORS[space] + alpha],
        source=source,
        space=space,
        alpha=alpha,
        premultiplied=alpha and extra[0] == 1,
        depth=8 if pixels.dtype == np.uint8 else 16,
        dpi=_tiff_dpi(tags.valueof(282), tags.valueof(283), tags.valueof(296)),
        profile=profile,
        orientation=_orientation(tags.valueof(274)),
    )


def _tiff_pixels(source: str, file: tifffile.TiffFile, page: Any) -> NDArray[Any]:
    ends = [
        start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    if not ends or max(ends) > file.filehandle.size:
        raise EOFError("pixels are missing at its end")
    pixels = np.asarray(page.asarray())
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.dtype.kind not in "uf":
        raise PictureError(f"{source} holds {page.dtype} samples as {page.axes}, not a picture")
    if pixels.dtype.kind == "f":
        return _unit_range(pixels, source)
    return full_range(pixels, page.bitspersample)


def full_range(pixels: NDArray[Any], bits: object) -> NDArray[Any]:
    """Samples of so many bits, held in whole bytes, over the whole of their type's range.

    Returns:
        uint8 or uint16; float32 in [0, 1] if they have more than 16 bits.
    """
    size = pixels.dtype.itemsize * 8
    bits = bits if isinstance(bits, int) and 0 < bits <= size else size
    if size > 16:
        return (pixels / np.float64(2**bits - 1)).astype(np.float32)
    if bits == size:
        return pixels
    top, full = 2**bits - 1, 2**size - 1
    scaled = (np.minimum(pixels, top).astype(np.uint32) * full + top // 2) // top
    return np.asarray(scaled.astype(pixels.dtype))


def _exif_of(image: Image.Image, source: str) -> Image.Exif:
    """The EXIF tags, with the camera's own folders read; none if they are broken."""
    try:
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.Interop)
        return exif
    except MemoryError:
        raise
    except Exception:  # Broken tags are no reason to refuse whole pixels.
        _warn(f"{source}: the EXIF data is broken and ignored")
        return Image.Exif()


def _described(samples: Samples, image: Image.Image, exif: Image.Exif) -> Samples:
    """Add what the file says beside its pixels."""
    # Pillow reports 72 dpi for a JPEG with EXIF that states none; only JFIF's unit is a statement.
    jpeg = image.format in ("JPEG", "MPO")
    stated = not jpeg or image.info.get("jfif_unit") in (1, 2)
    dpi = (_dpi(image.info.get("dpi")) if stated else None) or _exif_dpi(exif)
    if image.format == "TIFF":
        # Here Pillow reports 1 dpi if none is stated.
        tags = getattr(image, "tag_v2", {})
        dpi = _exif_dpi(tags) if 296 in tags else None
    return replace(
        samples,
        dpi=dpi,
        profile=_profile_of(image, exif),
        orientation=_orientation(exif.get(ExifTags.Base.Orientation)),
    )


def _profile_of(image: Image.Image, exif: Image.Exif) -> bytes | None:
    profile = image.info.get("icc_profile")
    if profile:
        return bytes(profile)
    # Cameras that shoot Adobe RGB often embed no profile; the file format for cameras (DCF 2.0)
    # has them write R03 into the interoperability tags instead.
    index = exif.get_ifd(ExifTags.IFD.Interop).get(1)
    return color.adobe_rgb_profile() if str(index).strip("\0 ") == "R03" else None


def _orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _dpi(pair: object) -> tuple[float, float] | None:
    if not isinstance(pair, Sequence) or len(pair) != 2:
        return None
    try:
        x, y = (_whole_if_near(float(value)) for value in pair)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sane = all(math.isfinite(value) and 1 <= value <= 100_000 for value in (x, y))
    return (x, y) if sane else None


def _whole_if_near(value: float) -> float:
    # PNG counts whole pixels per meter, so 300 dpi comes back as 299.9994.
    return (
        float(round(value)) if math.isfinite(value) and abs(value - round(value)) < 0.02 else value
    )


def _exif_dpi(exif: Mapping[int, Any] | Image.Exif) -> tuple[float, float] | None:
    x, y = (exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    if x is None or y is None:
        return None
    return _in_inches((x, y), exif.get(ExifTags.Base.ResolutionUnit, 2))


def _tiff_dpi(x: Any, y: Any, unit: object) -> tuple[float, float] | None:
    try:
        across, down = (Fraction(*pair) for pair in (x, y))
        return _in_inches((across, down), unit)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _in_inches(pair: tuple[Any, Any], unit: object) -> tuple[float, float] | None:
    # Whatever stands there in place of a number: it is no reason to refuse a photo.
    if not isinstance(unit, int) or unit not in (2, 3):
        return None
    factor = 1.0 if unit == 2 else 2.54
    try:
        return _dpi((float(pair[0]) * factor, float(pair[1]) * factor))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _warn(message: str) -> None:
    warnings.warn(message, LayeredNstWarning, stacklevel=4)
