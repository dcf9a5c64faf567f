"""Style pictures and their masks, from files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from layered_nst.errors import PictureError
from layered_nst.picture import MAX_PIXELS, Picture, bleed_under_alpha, read_picture, resize
from layered_nst.picture.masks import why_blank
from layered_nst.styles.style import StylePicture
from layered_nst.words import pixels


def read_style_picture(
    path: Path,
    mask: Path | None = None,
    *,
    weight: float = 1.0,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> StylePicture:
    """Read a style picture; what is transparent or masked is not style.

    Args:
        mask: a picture of the same shape; white is used.

    Raises:
        PictureError: a file cannot be read, has another shape, or nothing is left.
    """
    picture = read_picture(path, max_pixels=max_pixels)
    shown = torch.ones(picture.size) if picture.alpha is None else picture.alpha
    if mask is not None:
        shown = shown * _read_mask(mask, picture, max_pixels)
    if not bool((shown > 0).any()):
        raise _unseen(str(path), _why_blank(mask, max_pixels))
    rgb = bleed_under_alpha(picture.rgb, picture.alpha)
    return StylePicture(rgb.to(device), shown.to(device), weight, str(path))


def _why_blank(mask: Path | None, max_pixels: int) -> str:
    blank = None if mask is None else why_blank(read_picture(mask, max_pixels=max_pixels))
    return f"; {blank}" if blank else ""


def check_seen(shown: Tensor, source: str) -> None:
    """Refuse a style of which nothing can be seen.

    Args:
        shown: how much of each pixel, shape (H, W).
        source: where it comes from.

    Raises:
        PictureError: all of it is 0.
    """
    if not bool((shown > 0).any()):
        raise _unseen(source)


def _unseen(source: str, why: str = "") -> PictureError:
    return PictureError(f"{source}: its mask or alpha leaves nothing of it{why}")


def _read_mask(path: Path, style: Picture, max_pixels: int) -> Tensor:
    mask = read_picture(path, max_pixels=max_pixels)
    (height, width), (wanted_height, wanted_width) = mask.size, style.size
    if abs(height * wanted_width / width - wanted_height) > 1 + wanted_width / width:
        raise PictureError(
            f"{path}: {pixels(mask.size)} does not have the shape of its style, "
            f"{pixels(style.size)}"
        )
    gray = mask.rgb.mean(0) if mask.alpha is None else mask.rgb.mean(0) * mask.alpha
    return resize(gray, style.size)
