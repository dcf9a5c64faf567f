"""Pictures from which an encoder is distilled: found, held in memory, cut and spoiled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import DataError, LayeredNstWarning, PictureError
from layered_nst.files.hashes import bytes_hash
from layered_nst.picture import (
    FORMATS,
    MAX_PIXELS,
    Picture,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize_picture,
)
from layered_nst.picture.opening import existing_file, sniff
from layered_nst.words import pixels

LONGEST = 900
"""Larger pictures are shrunk to so many px on their longer side."""
SMALLEST = 16
"""A picture with a shorter side below this, in px, has too little to cut from."""
HELD_OUT = 24
"""Every so many-th picture is not trained on, and scores the student."""
SUFFIXES = (*FORMATS, ".gif", ".bmp", ".avif")
"""A file in a folder that is called so should be a picture; others may be, by their first bytes."""


def find_pictures(named: Sequence[Path]) -> list[Path]:
    """The pictures of folders and files, in the order of ``named`` and by path in each folder.

    Folders are searched with all that lies below them, but for names that begin with a dot. What
    is named several times is there several times: it counts for as much more in a training.

    Raises:
        PictureError: a file or folder that is not there.
        DataError: a folder without pictures.
    """
    return [
        path
        for place in named
        for path in (_in_folder(place) if place.is_dir() else [existing_file(place)])
    ]


def _in_folder(folder: Path) -> list[Path]:
    below = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    shown = [path for path in below if not any(part.startswith(".") for part in path.parts)]
    found = [folder / path for path in shown if _is_picture(folder / path)]
    if not found:
        raise DataError(f"{folder}: no pictures in it or in a folder below it")
    return found


def _is_picture(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        sniff(path)
    except PictureError:
        return False
    return True


def read_training_pictures(
    paths: Sequence[Path],
    *,
    max_pixels: int = MAX_PIXELS,
    on_picture: Callable[[int, int], None] = lambda *_: None,
) -> list[Tensor]:
    """Read pictures to be cut from, all into memory.

    A picture takes three bytes a pixel after it has been shrunk: 1.8 MB for a photo of 900×675
    px, 1.8 GB for a thousand of them. One that is named again is the same tensor again.

    Args:
        paths: in the order in which they are wanted.
        max_pixels: largest picture that is read, before it is shrunk.
        on_picture: called with (pictures behind, pictures) after each.

    Returns:
        sRGB as uint8, shape (3, H, W), at most 900 px on the longer side and at least 16 px on
        the shorter; what is transparent takes the colors around it. A picture that cannot be read
        or is too small is left out, with a LayeredNstWarning that names it.

    Raises:
        DataError: none is left.
    """
    read: dict[str, Tensor | None] = {}
    for number, path in enumerate(paths, 1):
        where = os.path.realpath(path)
        if where not in read:
            read[where] = _read_or_warn(path, max_pixels)
        on_picture(number, len(paths))
    found = (read[os.path.realpath(path)] for path in paths)
    pictures = [picture for picture in found if picture is not None]
    if not pictures:
        raise DataError(f"none of the {len(paths)} pictures can be used; {paths[0]} is the first")
    return pictures


def _read_or_warn(path: Path, max_pixels: int) -> Tensor | None:
    try:
        return _as_bytes(read_picture(path, max_pixels=max_pixels), path)
    except PictureError as error:
        warnings.warn(f"left out: {error}", LayeredNstWarning, stacklevel=3)
        return None


def _as_bytes(picture: Picture, path: Path) -> Tensor:
    if max(picture.size) > LONGEST:
        picture = resize_picture(picture, fit_within(picture.size, LONGEST))
    if min(picture.size) < SMALLEST:
        raise PictureError(f"{path}: {pixels(picture.size)}, less than {SMALLEST} px on a side")
    rgb = bleed_under_alpha(picture.rgb, picture.alpha)
    return (rgb * 255).round().to(torch.uint8)


def pictures_digest(pictures: Sequence[Tensor]) -> str:
    """SHA-256 of the sizes and pixels of pictures in their order, in hex."""
    parts = ((_shape(picture), picture.contiguous().numpy().data) for picture in pictures)
    return bytes_hash(chain.from_iterable(parts))


def _shape(picture: Tensor) -> bytes:
    return f"{tuple(picture.shape)};".encode()


def split(pictures: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Pictures to train on and pictures to score by: every 24th, and at least one.

    A picture that is there several times is either trained on or scored by, never both.

    Raises:
        DataError: fewer than two different pictures.
    """
    different = list({id(picture): picture for picture in pictures}.values())
    if len(different) < 2:
        raise DataError(f"{len(different)} picture; one is held out to score by: name at least 2")
    held = different[::HELD_OUT]
    left_out = {id(picture) for picture in held}
    return [picture for picture in pictures if id(picture) not in left_out], held


def training_crops(pictures: Sequence[Tensor], *, batch: int, side: int) -> Tensor:
    """A batch of crops, (batch, 3, side, side) in [0, 1], half of them spoiled on purpose.

    Draws from torch's global generator, whose state the checkpoint keeps.
    """
    crops = torch.stack([_crop(pictures, side) for _ in range(batch)])
    return torch.stack([_spoiled(crops, number) for number in range(batch)]).clamp(0, 1)


def _crop(pictures: Sequence[Tensor], side: int) -> Tensor:
    return random_square(pictures, side, lambda *_: side * 2 ** uniform(-0.7, 1.3))


def random_square(
    pictures: Sequence[Tensor],
    side: int,
    span: Callable[[int, int], float],
    *,
    mode: str = "bilinear",
) -> Tensor:
    """A square of a random picture, perhaps mirrored, as floats, shape (3, side, side).

    Args:
        pictures: uint8, shape (3, H, W).
        span: draws the side in px that is cut from a picture of a height and width.
        mode: in which that is resized; what is bicubic may leave [0, 1].
    """
    picture = pictures[integer(len(pictures))]
    height, width = picture.shape[1:]
    cut_side = min(height, width, max(8, round(span(height, width))))
    top, left = integer(height - cut_side + 1), integer(width - cut_side + 1)
    cut = picture[None, :, top : top + cut_side, left : left + cut_side].float() / 255
    if cut_side != side:
        cut = F.interpolate(
            cut, (side, side), mode=mode, align_corners=False, antialias=cut_side > side
        )
    return cut[0].flip(2) if uniform(0, 1) < 0.5 else cut[0]


def _spoiled(crops: Tensor, number: int) -> Tensor:
    """Every second crop mixed with its neighbor, recolored or made grainy, or several of these.

    An optimization wanders through pictures that no camera takes; a student that has not learned
    how the teacher sees grain leaves it in the result.
    """
    crop = crops[number]
    if number % 2 == 0:
        return crop
    if uniform(0, 1) < 0.3:
        crop = crop.lerp(crops[number - 1], uniform(0.1, 0.9))
    if uniform(0, 1) < 0.4:
        mean = crop.mean((1, 2), keepdim=True)
        mixing = torch.eye(3) + 0.25 * torch.randn(3, 3)
        moved = (mixing @ (crop - mean).flatten(1)).view_as(crop)
        crop = moved * uniform(0.4, 1.6) + mean + 0.15 * torch.randn(3, 1, 1)
    if uniform(0, 1) < 0.7:
        side = crop.shape[1]
        coarse = max(2, round(side / 2 ** integer(3)))
        grain = torch.randn(1, 1 if uniform(0, 1) < 0.3 else 3, coarse, coarse)
        grain = F.interpolate(grain, (side, side), mode="bilinear", align_corners=False)
        crop = crop + 0.15 * uniform(0, 1) ** 2 * grain[0]
    return crop


def uniform(low: float, high: float) -> float:
    """A number from ``low`` to ``high``, drawn from torch's global generator."""
    return low + (high - low) * torch.rand(()).item()


def integer(end: int) -> int:
    """A number from 0 and below ``end``, drawn from torch's global generator."""
    return int(torch.randint(end, ()))
