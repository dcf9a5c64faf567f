"""ICC profiles: pixels to sRGB and back, in floating point.

Little CMS converts 8- and 16-bit pixels through interpolated tables unless told otherwise; on
saturated Adobe RGB colors those were measured to be wrong by up to 0.08. In floating point the
same conversion is within 0.001 of the closed formula, so that is the only way taken here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Space = Literal["gray", "rgb", "cmyk"]
FloatArray = NDArray[np.float32]

_SPACES: dict[bytes, Space] = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
_CHANNELS: dict[Space, int] = {"gray": 1, "rgb": 3, "cmyk": 4}
# Pixels per band: large enough to keep Little CMS busy, small enough that the float copies of
# the bands under way stay far below the picture itself.
_BAND_PIXELS = 1 << 20


class ProfileError(ValueError):
    """A profile is broken or cannot be used in the wanted direction."""


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The sRGB profile that is embedded in every picture written; the same bytes every time."""
    return _without_date(imagecodecs.cms_profile("srgb"))


@lru_cache(maxsize=1)
def adobe_rgb_profile() -> bytes:
    """A profile of Adobe RGB (1998), for cameras that only name it in their EXIF."""
    return _without_date(imagecodecs.cms_profile("adobergb"))


def _without_date(profile: bytes) -> bytes:
    # Bytes 24 to 35 hold the moment of creation, which would make equal pictures differ.
    moment = np.array([2000, 1, 1, 0, 0, 0], dtype=">u2").tobytes()
    return profile[:24] + moment + profile[36:]


def profile_space(profile: bytes) -> Space | None:
    """The pixels a profile describes; None for anything other than grey, RGB and CMYK.

    Raises:
        ProfileError: the bytes are no ICC profile.
    """
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("it is not an ICC profile")
    return _SPACES.get(profile[16:20])


@lru_cache(maxsize=32)
def is_srgb(profile: bytes) -> bool:
    """Whether converting from this RGB profile to sRGB changes no color by half an 8-bit step."""
    steps = np.linspace(0.0, 1.0, 9, dtype=np.float32)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = _transform(cube, profile, srgb_profile(), source="rgb", target="rgb")
    return bool(np.abs(moved - cube).max() < 0.5 / 255)


def to_srgb(band: FloatArray, profile: bytes, space: Space) -> FloatArray:
    """Convert (h, w, C) samples in [0, 1] to sRGB (h, w, 3), relative colorimetric.

    CMYK counts ink: 0 is bare paper. Out-of-gamut colors are clipped.

    Raises:
        ProfileError: the profile cannot be read from.
    """
    return _transform(band, profile, srgb_profile(), source=space, target="rgb").clip(0.0, 1.0)


def from_srgb(band: FloatArray, profile: bytes, space: Space = "rgb") -> FloatArray:
    """Convert sRGB (h, w, 3) in [0, 1] to a profile's own numbers (h, w, C), in [0, 1].

    CMYK counts ink: 0 is bare paper.

    Raises:
        ProfileError: the profile cannot be written to.
    """
    return _transform(band, srgb_profile(), profile, source="rgb", target=space).clip(0.0, 1.0)


def _transform(
    band: FloatArray, profile: bytes, onto: bytes, *, source: Space, target: Space
) -> FloatArray:
    flags = imagecodecs.CMS.FLAGS
    samples = np.ascontiguousarray(band, dtype=np.float32)
    if source == "cmyk":
        samples = samples * np.float32(100)  # Little CMS takes float ink in percent.
    samples = samples[..., 0] if source == "gray" else samples
    moved: Any = np.empty((*samples.shape[:2], _CHANNELS[target]), np.float32)
    try:
        imagecodecs.cms_transform(
            samples,
            profile,
            onto,
            colorspace=source,
            outcolorspace=target,
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            # The cache of the last pixel is shared state; NOCACHE keeps threads independent.
            flags=int(flags.BLACKPOINTCOMPENSATION | flags.NOCACHE | flags.NOOPTIMIZE),
            out=moved,
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise ProfileError(f"it cannot be used: {error}") from error
    # Of CMYK it gives ink in percent too.
    return np.asarray(moved / 100 if target == "cmyk" else moved, dtype=np.float32)


def bands(height: int, width: int) -> Iterator[slice]:
    """Cut a picture into runs of rows of about a million pixels."""
    rows = max(1, _BAND_PIXELS // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def for_each_band(height: int, width: int, work: Callable[[slice], None]) -> None:
    """Run ``work`` on every band of rows, on as many cores as there are (at most 8).

    Bands must not depend on each other; the first exception is raised.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(work, bands(height, width)):
            pass
