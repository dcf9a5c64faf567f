"""Pictures to files: PNG and TIFF with 8 or 16 bits, JPEG and WebP with 8."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.files.atomic import replacing
from layered_nst.picture import color
from layered_nst.picture.metadata import (
    JPEG_XMP_BYTES,
    SEAL,
    check_keys,
    png_chunk,
    text_chunks,
    xmp_packet,
)
from layered_nst.picture.reading import read_picture
from layered_nst.picture.seal import BLANK, sealed
from layered_nst.words import pixels

_WHITE = (255, 255, 255)
_INCH = 0.0254


@dataclass(frozen=True)
class Kept:
    """A photo whose pixels shall leave as they came, also in colors that sRGB does not have.

    Attributes:
        native: (3, H, W) in [0, 1], in the numbers of the profile that is written.
        rgb: the same pixels as they were converted to sRGB, (3, H, W).
        share: how far each pixel of the picture is the photo's, (H, W) in [0, 1].
    """

    native: Tensor
    rgb: Tensor
    share: Tensor

    def lost(self, rows: slice, profile: bytes) -> color.FloatArray:
        """What the way to sRGB and back takes from these rows, (h, w, 3), times their share.

        Adding it to converted pixels gives exactly ``native`` where the share is 1, and in a
        feather no edge between colors inside and outside of sRGB.
        """
        back = color.from_srgb(_band(self.rgb, rows), profile)
        gap = _band(self.native, rows) - back
        return np.asarray(gap * _clean(self.share[rows]).numpy()[..., None], dtype=np.float32)


@dataclass(frozen=True)
class Finished:
    """What every format's encoder needs.

    Attributes:
        pixels: shape (H, W, 3 or 4), uint8 or uint16.
        profile: ICC profile, in whose numbers they are.
        dpi: pixels per inch across and down, None if nothing is to be said of it.
        quality: 1 to 100, for formats that lose something.
        metadata: texts by name.
        inks: whether the four channels are cyan, magenta, yellow and black and not RGB with alpha.
    """

    pixels: NDArray[Any]
    profile: bytes
    dpi: tuple[float, float] | None
    quality: int
    metadata: Mapping[str, str]
    inks: bool = False


@dataclass(frozen=True)
class PictureFormat:
    """A format of pictures.

    Attributes:
        encode: makes the bytes of a file.
        deep: whether it holds 16 bits per channel.
        alpha: whether it can be transparent.
        longest: most pixels on a side.
        inks: whether it holds CMYK.
    """

    encode: Callable[[Finished], bytes]
    deep: bool = False
    alpha: bool = True
    longest: int = 2**31 - 1
    inks: bool = False


def write_picture(
    path: str | Path,
    rgb: Tensor,
    *,
    alpha: Tensor | None = None,
    dpi: float | tuple[float, float] | None = None,
    depth: int = 8,
    profile: bytes | None = None,
    inks: bytes | None = None,
    quality: int = 95,
    background: tuple[int, int, int] | None = None,
    metadata: Mapping[str, str] | None = None,
    kept: Kept | None = None,
    form: PictureFormat | None = None,
) -> None:
    """Write sRGB (3, H, W) in [0, 1] to a file whose suffix names the format (see FORMATS).

    The file appears under its name only when it is complete; until then an older one stays.

    Args:
        alpha: (H, W) in [0, 1]. With ``background`` (sRGB, 0 to 255) the picture is laid on it and
            alpha goes; JPEG has no alpha and uses white if nothing is given.
        dpi: pixels per inch, one number or (x, y).
        depth: 8 or 16 bits per channel; JPEG and WebP hold 8, with a LayeredNstWarning for 16.
        profile: an RGB ICC profile to convert to and embed; None embeds sRGB. One that cannot be
            written to (CMYK, gray, broken) gives sRGB and a LayeredNstWarning.
        inks: a CMYK ICC profile, as ``read_profile`` gives it, to convert to in its place; alpha
            goes as it does for JPEG.
        quality: 1 to 100, for JPEG and WebP; 100 makes WebP lossless.
        metadata: strings to store, for ``read_metadata``; keys are printable ASCII.
        kept: pixels of the photo among these, to leave in the very numbers of ``profile``.
        form: what makes the file, in place of the format of the suffix.

    Raises:
        OutputError: unknown suffix, no such folder, no permission, disk full, or more pixels on a
            side than the format can hold; ``inks`` for a format without CMYK.
    """
    form = form or picture_format(path)
    if inks is not None:
        check_inks(path, form)
    _check(rgb, alpha, depth, quality)
    check_keys(metadata or {})
    if depth == 16 and not form.deep:
        _warn(f"{path}: {_kind(path)} holds 8 bits per channel, so 16 become 8")
        depth = 8
    if alpha is not None and (background is not None or inks is not None or not form.alpha):
        kept = kept and replace(kept, share=kept.share * alpha.to(kept.share))
        rgb, alpha = _laid_on(rgb, alpha, background or _WHITE), None
    kept = None if inks is not None else kept  # its numbers are those of RGB
    onto = inks or _writable_profile(profile, path)
    finished = Finished(
        pixels=_quantized(rgb, alpha, depth=depth, profile=onto, inks=inks is not None, kept=kept),
        profile=onto or color.srgb_profile(),
        inks=inks is not None,
        dpi=(dpi, dpi) if isinstance(dpi, (int, float)) else dpi,
        quality=quality,
        metadata={**(metadata or {}), SEAL: BLANK},
    )
    encoded = _encoded(form, finished, path)
    with replacing(path) as file:
        file.writelines(sealed(encoded))


def write_image(path: str | Path, image: Image.Image, *, quality: int = 95) -> None:
    """Write a sheet that was drawn here, however large, as ``write_picture`` does.

    Raises:
        OutputError: as ``write_picture``.
    """
    # The limit of pixels is for files of others, not for what hours have gone into.
    drawn = read_picture(image, max_pixels=image.width * image.height)
    write_picture(path, drawn.rgb, quality=quality)


def check_size(path: str | Path, size: tuple[int, int], form: PictureFormat | None = None) -> None:
    """Refuse a picture of (height, width) that the format of the suffix, or ``form``, cannot hold.

    Raises:
        OutputError: more pixels on a side than it can.
    """
    most = (form or picture_format(path)).longest
    if max(size) > most:
        kind = _kind(path)
        raise OutputError(f"{path}: {kind} holds {most} px a side, not {pixels(size)}; use .png")


def check_inks(path: str | Path, form: PictureFormat | None = None) -> None:
    """Refuse CMYK for a format that has no such pixels.

    Raises:
        OutputError: it is not TIFF or JPEG.
    """
    if not (form or picture_format(path)).inks:
        raise OutputError(
            f"{path}: {_kind(path)} holds no CMYK, and that is what output.profile describes; "
            "name it .tif or .jpg"
        )


def picture_format(path: str | Path, named: str | None = None) -> PictureFormat:
    """The format of the suffix, or that of a plug-in which is named.

    Args:
        named: what a recipe's ``output.format`` says.

    Raises:
        OutputError: no format, or one that holds layers.
        PluginError: a plug-in's format cannot be had.
    """
    if named is not None and "/" in plugins.name_in(named):
        part, said = plugins.meant("output", named)
        return plugins.made_of(part, PictureFormat, said)
    suffix = Path(path).suffix.lower()
    for part in plugins.outputs(suffix, "picture"):
        if part.holds or isinstance(plugins.object_of(part), PictureFormat):
            return plugins.made_of(part, PictureFormat)
    named = f"the suffix {suffix}" if suffix else "a name without suffix"
    known = ", ".join(plugins.suffixes("picture"))
    raise OutputError(f"{path}: {named} names no format; use {known}")


def _kind(path: str | Path) -> str:
    return Path(path).suffix[1:].upper()


def to_image(rgb: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """(3, H, W) in [0, 1] as an 8-bit Pillow picture, RGB or, with alpha (H, W), RGBA.

    Halves round up, values outside [0, 1] are clipped, NaN becomes 0.
    """
    return Image.fromarray(_quantized(rgb, alpha, depth=8, profile=None))


def _check(rgb: Tensor, alpha: Tensor | None, depth: int, quality: int) -> None:
    if rgb.ndim != 3 or rgb.shape[0] != 3 or rgb.numel() == 0:
        raise ValueError(f"rgb must be (3, H, W), not {tuple(rgb.shape)}")
    if alpha is not None and alpha.shape != rgb.shape[1:]:
        raise ValueError(f"alpha {tuple(alpha.shape)} does not fit rgb {tuple(rgb.shape)}")
    if depth not in (8, 16):
        raise ValueError(f"depth must be 8 or 16, not {depth}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, not {quality}")


def _laid_on(rgb: Tensor, alpha: Tensor, background: tuple[int, int, int]) -> Tensor:
    paper = torch.tensor(background, dtype=rgb.dtype, device=rgb.device)[:, None, None] / 255
    return torch.lerp(paper.expand_as(rgb), rgb, alpha.to(rgb).expand_as(rgb))


def _writable_profile(profile: bytes | None, path: str | Path) -> bytes | None:
    """The profile to convert to; None for sRGB."""
    if profile is None:
        return None
    try:
        space = color.profile_space(profile)
        if space != "rgb":
            raise color.ProfileError("it does not describe RGB pixels")
        color.from_srgb(np.zeros((1, 1, 3), np.float32), profile)
        return profile
    except color.ProfileError as error:
        _warn(f"{path}: the color profile is replaced by sRGB: {error}")
        return None


def _quantized(
    rgb: Tensor,
    alpha: Tensor | None,
    *,
    depth: int,
    profile: bytes | None,
    inks: bool = False,
    kept: Kept | None = None,
) -> NDArray[Any]:
    """(H, W, 3 or 4) uint8 or uint16, in the numbers of ``profile``: of an opaque picture its
    ``inks``, from none to all of each."""
    height, width = int(rgb.shape[1]), int(rgb.shape[2])
    dtype = np.uint8 if depth == 8 else np.uint16
    colors = 4 if inks else 3
    pixels = np.empty((height, width, colors + (alpha is not None)), dtype)
    convert = profile is not None and (inks or not color.is_srgb(profile))

    def finish(rows: slice) -> None:
        band = _band(rgb, rows)
        if convert and profile is not None:
            band = color.from_srgb(band, profile, "cmyk" if inks else "rgb")
            band = band if kept is None else (band + kept.lost(rows, profile)).clip(0.0, 1.0)
        pixels[rows, :, :colors] = _whole(band, dtype)
        if alpha is not None:
            pixels[rows, :, 3] = _whole(_clean(alpha[rows]).numpy(), dtype)

    color.for_each_band(height, width, finish)
    return pixels


def _band(rgb: Tensor, rows: slice) -> color.FloatArray:
    return np.asarray(_clean(rgb[:, rows]).movedim(0, -1).numpy())


def _clean(band: Tensor) -> Tensor:
    return band.detach().to("cpu", torch.float32).nan_to_num(nan=0.0).clamp(0.0, 1.0)


def _whole(band: color.FloatArray, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    scaled: NDArray[Any] = np.floor(band * np.float32(np.iinfo(dtype).max) + np.float32(0.5))
    return scaled.astype(dtype)


def _encoded(form: PictureFormat, finished: Finished, path: str | Path) -> bytes:
    check_size(path, (finished.pixels.shape[0], finished.pixels.shape[1]), form)
    try:
        with plugins.blamed():
            return form.encode(finished)
    except (OSError, RuntimeError, struct.error) as error:
        raise OutputError(f"{path}: cannot be encoded: {error}") from error


def _png(picture: Finished) -> bytes:
    # Pillow writes no 16-bit color, so both depths take the same road.
    # Level 3 was measured to be 2 % larger than 6 and to take half the time.
    encoded = imagecodecs.png_encode(picture.pixels, level=3)
    header = len(b"\x89PNG\r\n\x1a\n") + 12 + 13
    chunks = png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.profile, 9))
    if picture.dpi:
        meter = [round(value / _INCH) for value in picture.dpi]
        chunks += png_chunk(b"pHYs", struct.pack(">IIB", *meter, 1))
    chunks += text_chunks(picture.metadata)
    return b"".join((encoded[:header], chunks, memoryview(encoded)[header:]))


def _tiff(picture: Finished) -> bytes:
    file = io.BytesIO()
    tags: list[tuple[int, int, int, bytes, bool]] = []
    if picture.metadata:
        packet = xmp_packet(picture.metadata)
        tags.append((700, 1, len(packet), packet, True))
    tifffile.imwrite(
        file,
        picture.pixels,
        photometric="separated" if picture.inks else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if picture.pixels.shape[2] == 4 and not picture.inks else None,
        compression="adobe_deflate",
        predictor=True,
        rowsperstrip=max(1, min(64, picture.pixels.shape[0])),
        iccprofile=picture.profile,
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        extratags=tags,
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _jpeg(picture: Finished) -> bytes:
    plain = _jpeg_file(picture, optimize=False)
    height, width = picture.pixels.shape[:2]
    # Optimized tables save 15 %, but Pillow's buffer for them holds a byte for each pixel only.
    fits = len(plain) < min(height * width, 20_000_000)
    return _jpeg_file(picture, optimize=True) if fits else plain


def _jpeg_file(picture: Finished, *, optimize: bool) -> bytes:
    file = io.BytesIO()
    options: dict[str, Any] = {}
    if picture.dpi:
        options["dpi"] = tuple(max(1, round(value)) for value in picture.dpi)
    if packet := _xmp_for_jpeg(picture.metadata):
        options["xmp"] = packet
    _pillow(picture).save(
        file,
        "JPEG",
        quality=picture.quality,
        # Halved color channels smear exactly the strokes that this package is for.
        subsampling="4:4:4" if picture.quality >= 90 else "4:2:0",
        optimize=optimize,
        icc_profile=picture.profile,
        **options,
    )
    return file.getvalue()


def _pillow(picture: Finished) -> Image.Image:
    if not picture.inks:
        return Image.fromarray(picture.pixels)
    height, width = picture.pixels.shape[:2]
    return Image.frombytes("CMYK", (width, height), picture.pixels.tobytes())


def _xmp_for_jpeg(metadata: Mapping[str, str]) -> bytes | None:
    """The packet with as many strings as a JPEG can hold, the shortest first."""
    kept: dict[str, str] = {}
    for key, value in sorted(metadata.items(), key=lambda item: len(item[1])):
        if len(xmp_packet({**kept, key: value})) > JPEG_XMP_BYTES:
            _warn(f"metadata {key!r} is left out: a JPEG holds 64 kB of it")
        else:
            kept[key] = value
    return xmp_packet(kept) if kept else None


def _webp(picture: Finished) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    if picture.dpi:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = picture.dpi
        exif[ExifTags.Base.ResolutionUnit] = 2
    Image.fromarray(picture.pixels).save(
        file,
        "WEBP",
        quality=picture.quality,
        lossless=picture.quality == 100,
        icc_profile=picture.profile,
        exif=exif.tobytes() if picture.dpi else b"",
        xmp=xmp_packet(picture.metadata) if picture.metadata else b"",
    )
    return file.getvalue()


_JPEG = PictureFormat(_jpeg, alpha=False, longest=65535, inks=True)
_TIFF = PictureFormat(_tiff, deep=True, inks=True)
BUILT_IN: Mapping[str, PictureFormat] = {
    ".png": PictureFormat(_png, deep=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": PictureFormat(_webp, longest=16383),
}
"""The formats of this package by the suffixes of their files."""

FORMATS = tuple(BUILT_IN)
"""Suffixes of the files that can be written without any plug-in."""


def _warn(message: str) -> None:
    warnings.warn(message, LayeredNstWarning, stacklevel=3)
