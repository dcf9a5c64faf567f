"""What a press makes of a picture: a soft proof, and how much of it is out of gamut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from layered_nst.errors import PictureError
from layered_nst.picture import color
from layered_nst.picture.lab import rgb_to_lab

SEEN = 5.0
"""ΔE (CIE 1976) beyond which a color counts as out of gamut: seen by anybody, side by side."""
SPACES: tuple[color.Space, ...] = ("rgb", "cmyk")
MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class Proof:
    """A picture as a profile's device shows it.

    Attributes:
        rgb: shape (3, H, W) in [0, 1], sRGB.
        lost: share of the pixels whose color the device does not have.
    """

    rgb: Tensor
    lost: float


def proof(rgb: Tensor, profile: bytes) -> Proof:
    """A picture's way to a device and back, relative colorimetric with black point compensation.

    Args:
        rgb: sRGB, shape (3, H, W) in [0, 1].
        profile: ICC, of an RGB or a CMYK device; see ``read_profile``.
    """
    space = color.profile_space(profile)
    assert space in SPACES
    pixels = rgb.detach().cpu().float().clamp(0, 1).movedim(0, -1).numpy()
    shown, lost = np.empty_like(pixels), np.zeros(pixels.shape[0], np.int64)

    def pass_through(rows: slice) -> None:
        inks = color.from_srgb(pixels[rows], profile, space)
        shown[rows] = color.to_srgb(inks, profile, space)
        pair = (torch.from_numpy(part[rows]).movedim(-1, 0) for part in (pixels, shown))
        here, there = map(rgb_to_lab, pair)
        lost[rows] = ((here - there).norm(dim=0) > SEEN).sum(1).numpy()

    color.for_each_band(pixels.shape[0], pixels.shape[1], pass_through)
    return Proof(torch.from_numpy(shown).movedim(-1, 0), float(lost.sum() / pixels[..., 0].size))


def read_profile(path: Path) -> tuple[bytes, color.Space]:
    """The bytes of an ICC profile that pictures can be converted to, and what it describes.

    Raises:
        PictureError: it cannot be read, is no ICC profile or a broken one, or describes neither
            RGB nor CMYK.
    """
    try:
        with path.open("rb") as file:
            profile = file.read(MOST_BYTES)
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        space = color.profile_space(profile)
        if space not in SPACES:
            raise color.ProfileError("it describes neither RGB nor CMYK")
        white = np.ones((1, 1, 3), np.float32)
        color.to_srgb(color.from_srgb(white, profile, space), profile, space)
    except color.ProfileError as error:
        raise PictureError(f"{path}: is no profile to print by: {error}") from error
    return profile, space
