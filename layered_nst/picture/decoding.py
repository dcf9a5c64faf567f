"""Pixels as the file holds them: 8-bit, 16-bit or float samples, not yet converted.

On broken data these functions let the decoder's own exception out; reading names the file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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

    pixels: (H, W, C) uint8 or uint16 over their full range, or float32 in [0, 1]; C counts the
        channels of ``space``, plus one for alpha. CMYK counts ink.
    alpha: whether the last channel is alpha; premultiplied: whether colors are times alpha.
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
    """Take (H, W) or (H, W, 1..4) bool, uint8, uint16 or float in [0, 1]. Raises PictureError."""
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
    if not (low >= 0.0 and high <= 1.0):
        raise PictureError(f"{source}: float samples must lie in [0, 1], not {low:g} to {high:g}")
    return pixels.astype(np.float32)


def decode_image(image: Image.Image, *, source: str) -> Samples:
    """Decode a Pillow picture of any mode; animations give their first frame."""
    frames = getattr(image, "n_frames", 1)
    # MPO is how phones store a photo with its preview; nobody thinks of that as an animation.
    if frames > 1 and image.format != "MPO":
        _warn(f"{source} has {frames} frames; only the first is used")
    image.load()
    pixels, space, alpha = _pixels_of(image, source)
    depth = 8 if pixels.dtype == np.uint8 else 16
    samples = Samples(pixels=pixels, source=source, space=space, alpha=alpha, depth=depth)
    return _described(samples, image, _exif_of(image, source))


def _pixels_of(image: Image.Image, source: str) -> tuple[NDArray[Any], color.Space, bool]:
    mode = image.mode
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], "gray", False
    if mode in ("I", "F"):
        return _open_range(np.asarray(image), source)[..., None], "gray", False
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


def _open_range(values: NDArray[Any], source: str) -> NDArray[np.float32]:
    """Bring numbers that state no range into [0, 1]: by 1, 255, 65535 or 2³²-1, the first that
    covers them. Whole numbers are never read as 0 to 1."""
    largest = float(np.nan_to_num(values, posinf=0.0).max()) if values.size else 0.0
    ranges = [255.0, 65535.0, 4294967295.0]
    ranges = [1.0, *ranges] if values.dtype.kind == "f" else ranges
    top = next((limit for limit in ranges if largest <= limit), max(largest, 1.0))
    if top > 1.0:
        _warn(f"{source} does not state its range; {top:g} is taken as white")
    scaled = np.nan_to_num(values.astype(np.float64) / top)
    return scaled.clip(0.0, 1.0).astype(np.float32)


def decode_deep_png(path: Path, header: Image.Image) -> Samples:
    """Decode a PNG of 16 bits per channel, which Pillow would cut down to 8."""
    pixels = imagecodecs.png_decode(path.read_bytes())
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    samples = Samples(
        pixels=pixels,
        source=str(path),
        space="gray" if pixels.shape[2] < 3 else "rgb",
        alpha=pixels.shape[2] in (2, 4),
        depth=16,
    )
    # Asking Pillow for an EXIF chunk that is not in the header would decode the whole picture.
    exif = _exif_of(header, str(path)) if "exif" in header.info else Image.Exif()
    return _described(samples, header, exif)


def decode_tiff(path: Path, file: tifffile.TiffFile) -> Samples:
    """Decode the first page of a TIFF that is grey, RGB or CMYK, at its own depth."""
    page = file.pages.first
    space = _TIFF_SPACES.get(int(page.photometric))
    if space is None:
        raise PictureError(f"{path} is stored as {page.photometric!s}, which cannot be read")
    if len(file.pages) > 1:
        _warn(f"{path} has {len(file.pages)} pages; only the first is used")
    pixels = _tiff_pixels(path, file, page)
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
    return Samples(
        pixels=pixels[..., : _COLORS[space] + alpha],
        source=str(path),
        space=space,
        alpha=alpha,
        premultiplied=alpha and extra[0] == 1,
        depth=8 if pixels.dtype == np.uint8 else 16,
        dpi=_tiff_dpi(tags.valueof(282), tags.valueof(283), tags.valueof(296)),
        profile=bytes(profile) if profile else None,
        orientation=_orientation(tags.valueof(274)),
    )


def _tiff_pixels(path: Path, file: tifffile.TiffFile, page: Any) -> NDArray[Any]:
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
        raise PictureError(f"{path} holds {page.dtype} samples as {page.axes}, not a picture")
    if pixels.dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return pixels
    if pixels.dtype == np.uint32:
        return (pixels / np.float64(4294967295)).astype(np.float32)
    return _open_range(pixels, str(path))


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
    return replace(
        samples,
        dpi=(_dpi(image.info.get("dpi")) if stated else None) or _exif_dpi(exif),
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


def _exif_dpi(exif: Image.Exif) -> tuple[float, float] | None:
    x, y = (exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    if x is None or y is None:
        return None
    return _in_inches((x, y), exif.get(ExifTags.Base.ResolutionUnit, 2))


def _tiff_dpi(x: object, y: object, unit: object) -> tuple[float, float] | None:
    if not (isinstance(x, tuple) and isinstance(y, tuple)) or not (x[1] and y[1]):
        return None
    return _in_inches((x[0] / x[1], y[0] / y[1]), 2 if unit is None else unit)


def _in_inches(pair: tuple[Any, Any], unit: Any) -> tuple[float, float] | None:
    factor = {2: 1.0, 3: 2.54}.get(int(unit))
    if factor is None:
        return None
    try:
        return _dpi((float(pair[0]) * factor, float(pair[1]) * factor))
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _warn(message: str) -> None:
    warnings.warn(message, LayeredNstWarning, stacklevel=4)
