"""Looks from pictures, and libraries from looks."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

import layered_nst
from layered_nst.errors import LibraryError, OutputError
from layered_nst.files.hashes import digest, file_hash
from layered_nst.files.locks import locked
from layered_nst.files.targets import check_target
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.encoder import METHOD
from layered_nst.picture import MAX_PIXELS, fit_within, resize, to_image
from layered_nst.recipe.libraries import SUFFIX
from layered_nst.recipe.values import NAME_PATTERN
from layered_nst.styles.layers import layers_of
from layered_nst.styles.library.records import (
    LookRecord,
    SourceRecord,
    StoredLook,
    read_looks,
    read_records,
    write_library,
)
from layered_nst.styles.moments import Moments, blend
from layered_nst.styles.packing import pack
from layered_nst.styles.reading import read_style_picture
from layered_nst.styles.style import StylePicture, picture_moments, style_color, style_variation

# The levels of the standard preset for results of 256, 512 and 1024 px, and one octave below for
# regions with scale: 0.5.
SIDES = (64, 91, 128, 181, 256, 362, 512, 724, 1024)
THUMBNAIL_SIDE = 256


def build_look(
    encoder: Encoder,
    pictures: Sequence[Path],
    *,
    masks: Sequence[Path | None] = (),
    weights: Sequence[float] = (),
    sides: Collection[int] = SIDES,
    layers: Collection[str] | None = None,
    pooling: Literal["max", "average"] = "max",
    license: str = "",
    keep_pictures: bool = True,
    others: Sequence[Encoder] = (),
    max_pixels: int = MAX_PIXELS,
    on_picture: Callable[[int, int], None] = lambda *_: None,
) -> StoredLook:
    """Look at pictures once, so that they need not be there when their style is used.

    Args:
        pictures: at least one.
        masks: which part of each picture is style; one for each picture, or none.
        weights: share of each picture in the look; one for each, or none for equal shares.
        sides: longest sides in px at which the pictures are seen.
        layers: of the encoder, whose moments are stored; those of styles, if not given.
        pooling: of the encoder.
        license: terms of the pictures, in words.
        keep_pictures: keep the pictures too, at the largest side: for results of any size and for
            ``color: content`` and ``luminance``. Else thumbnails.
        others: further encoders with those layers, whose moments are stored too.
        max_pixels: largest picture that is read.
        on_picture: called with (pictures done, pictures in all).

    Raises:
        LibraryError: masks or weights of another number, a negative weight, all weights 0, no
            sides or none of at least 1 px.
        PictureError: a picture or mask cannot be read.
    """
    masks, weights = masks or [None] * len(pictures), weights or [1.0] * len(pictures)
    _check_numbers(pictures, masks, weights, sides)
    layers, steps = tuple(layers or layers_of(encoder)), sorted(set(sides))
    styles, parts = _read_and_seen(
        zip(pictures, masks, weights, strict=True),
        lambda style: _moments_of_all((encoder, *others), style, steps, layers, pooling),
        max_pixels=max_pixels,
        tell=lambda number: on_picture(number, len(pictures)),
    )
    blended = {key: blend([part[key] for part in parts], weights) for key in parts[0]}
    longest = max(steps[-1], THUMBNAIL_SIDE) if keep_pictures else THUMBNAIL_SIDE
    colors = pack({"rgb": style_color(styles)}, prefix="color/")
    tensors = {**pack(blended, prefix=""), **colors, **_stored_pictures(styles, longest)}
    record = LookRecord(
        **_seen_with((encoder, *others)),
        pooling=pooling,
        layers=layers,
        sides=tuple(steps),
        variation=tuple(style_variation(styles, side) for side in steps),
        kept=_kept(styles, longest) if keep_pictures else "thumbnails",
        license=license,
        sources=tuple(map(_source, pictures, masks, styles)),
        digest=digest(tensors),
    )
    return StoredLook(record, tensors)


def _seen_with(encoders: Sequence[Encoder]) -> dict[str, Any]:
    """What a record says of the networks and the program that have looked."""
    first, *others = encoders
    return {
        "encoder": first.name,
        "weights": first.fingerprint,
        "others": {other.name: other.fingerprint for other in others},
        "method": METHOD,
        "made_with": f"layered-nst {layered_nst.__version__}",
    }


def _read_and_seen(
    sources: Iterable[tuple[Path, Path | None, float]],
    look: Callable[[StylePicture], Mapping[str, Moments]],
    *,
    max_pixels: int,
    tell: Callable[[int], None],
) -> tuple[list[StylePicture], list[Mapping[str, Moments]]]:
    """Pictures with their masks and weights, and what an encoder sees in each."""
    styles: list[StylePicture] = []
    parts: list[Mapping[str, Moments]] = []
    for path, mask, weight in sources:
        styles.append(read_style_picture(path, mask, weight=weight, max_pixels=max_pixels))
        parts.append(look(styles[-1]))
        tell(len(styles))
    return styles, parts


def _moments_of_all(
    encoders: Sequence[Encoder],
    style: StylePicture,
    sides: Sequence[int],
    layers: Collection[str],
    pooling: str,
) -> Mapping[str, Moments]:
    """Moments of all encoders, as a library names them: those of the first come first."""
    first, *others = encoders
    prefixes = {"moments/": first, **{f"others/{other.name}/": other for other in others}}
    return {
        f"{prefix}{key}": value
        for prefix, encoder in prefixes.items()
        for key, value in _moments(encoder, style, sides, layers, pooling).items()
    }


def _kept(styles: Sequence[StylePicture], longest: int) -> Literal["whole", "reduced"]:
    whole = all(max(style.mask.shape) <= longest for style in styles)
    return "whole" if whole else "reduced"


def store_look(path: Path, name: str, look: StoredLook) -> None:
    """Put a look into a library, which is made if need be; a look of that name is replaced.

    Looks that other processes put into it meanwhile stay.

    Raises:
        LibraryError: a name or suffix that recipes cannot use, or a library that cannot be read.
        OutputError: the file cannot be written.
    """
    check_names(path, name)
    with locked(path):
        looks = read_looks(path) if path.exists() else {}
        write_library(path, {**looks, name: look})


def check_names(path: Path, name: str = "look") -> None:
    """Refuse, before the work, what ``store_look`` would refuse after it."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise LibraryError(
            f"look {name!r}: allowed: a name of letters, digits, single spaces, - and _"
        )
    if path.suffix != SUFFIX:
        raise OutputError(f"{path}: the name of a style library ends in {SUFFIX}")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: no such folder {path.absolute().parent}")
    if path.exists():
        read_records(path)
    check_target(path)


def merge_libraries(sources: Sequence[Path], path: Path) -> list[str]:
    """Put the looks of several libraries into one and return their names.

    Raises:
        LibraryError: a library cannot be read, two have different looks of one name, or one that
            is at ``path`` has a look that none of them has, which would be lost.
        OutputError: the file cannot be written.
    """
    check_names(path)
    looks: dict[str, StoredLook] = {}
    for source in sources:
        for name, look in read_looks(source).items():
            if name in looks and looks[name].record.digest != look.record.digest:
                raise LibraryError(
                    f"{source}: look {name!r} is in another of these libraries and not the same; "
                    "build one of them under another name"
                )
            looks[name] = look
    with locked(path):
        _check_none_is_lost(path, looks)
        write_library(path, looks)
    return list(looks)


def _check_none_is_lost(path: Path, looks: Mapping[str, StoredLook]) -> None:
    there = read_records(path) if path.exists() else {}
    for name, record in there.items():
        if name not in looks or looks[name].record.digest != record.digest:
            raise LibraryError(
                f"{path}: is there, and its look {name!r} would be lost; name another file, or "
                "this library among those to merge"
            )


def _check_numbers(
    pictures: Sequence[Path],
    masks: Sequence[Path | None],
    weights: Sequence[float],
    sides: Collection[int],
) -> None:
    for word, given in (("masks", masks), ("weights", weights)):
        if len(given) != len(pictures):
            raise LibraryError(
                f"{len(given)} {word} for {len(pictures)} pictures: give one for each, or none"
            )
    negative = [weight for weight in weights if not 0 <= weight < float("inf")]
    if negative:
        raise LibraryError(f"weight {negative[0]:g}: allowed: a number of at least 0")
    if not any(weights):
        raise LibraryError("the weights are all 0, at least one must be above 0")
    if not sides or min(sides) < 1:
        raise LibraryError(f"sides {sorted(sides)}: allowed: whole numbers of at least 1 px")


def _moments(
    encoder: Encoder,
    style: StylePicture,
    sides: Sequence[int],
    layers: Collection[str],
    pooling: str,
) -> Mapping[str, Moments]:
    device = next(encoder.buffers()).device
    there = replace(style, rgb=style.rgb.to(device), mask=style.mask.to(device))
    return {
        f"{side}/{layer}": value.to("cpu")
        for side in sides
        for layer, value in picture_moments(
            encoder, there, layers, longest=side, pooling=pooling
        ).items()
    }


def _stored_pictures(styles: Sequence[StylePicture], longest: int) -> dict[str, Tensor]:
    stored = {}
    for number, style in enumerate(styles):
        height, width = style.mask.shape
        size = fit_within((height, width), min(longest, max(height, width)))
        stored[f"picture/{number}"] = _png(to_image(resize(style.rgb, size)))
        if bool((style.mask < 1).any()):
            mask = to_image(resize(style.mask, size).expand(3, -1, -1)).convert("L")
            stored[f"mask/{number}"] = _png(mask)
    return stored


def _png(image: Image.Image) -> Tensor:
    data = io.BytesIO()
    image.save(data, "PNG")
    return torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8)


def _source(path: Path, mask: Path | None, style: StylePicture) -> SourceRecord:
    height, width = style.mask.shape
    return SourceRecord(
        name=path.name,
        sha256=file_hash(path),
        weight=style.weight,
        width=width,
        height=height,
        mask=None if mask is None else mask.name,
        mask_sha256=None if mask is None else file_hash(mask),
    )
