"""Layers in 8 bits and cut to what they cover, so that they still flatten to the picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.outputs.layered.layers import Layer, LayeredPicture
from layered_nst.picture import to_image
from layered_nst.picture.color import for_each_band

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

# What XML 1.0 forbids and UTF-16 cannot hold: control characters, halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# The longest name that Photoshop takes.
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Sheet:
    """A layer as files hold it, cut to the box of its visible pixels; never empty.

    Attributes:
        name: without control characters.
        visible: as the layer's.
        left, top: of the box in the picture, px.
        color: shape (h, w, 3).
        alpha: of the pixels, shape (h, w).
        mask: shape (h, w), None for a layer without; black beyond the box.
    """

    name: str
    visible: bool
    left: int
    top: int
    color: Bytes
    alpha: Bytes
    mask: Bytes | None = None


def flat_pixels(picture: LayeredPicture) -> Bytes:
    """The flattened picture as it is written, shape (H, W, 3), with alpha (H, W, 4)."""
    return np.asarray(to_image(picture.rgb, picture.alpha))


def alpha_sheets(picture: LayeredPicture) -> list[Sheet]:
    """Sheets whose pixels carry the soft mask in their alpha, bottom to top."""
    total, regions = _total(picture), _regions(picture)
    opaque = np.full_like(total, 255)
    rounded = iter(covering([layer.alpha.numpy() for layer in regions], opaque, total))
    alphas = [_bytes(la.alpha) if la.mask is None else next(rounded) for la in picture.layers]
    return [
        _cut(layer, color * (alpha > 0)[..., None], alpha)
        for layer, color, alpha in zip(picture.layers, _colors(picture), alphas, strict=True)
    ]


def mask_sheets(picture: LayeredPicture) -> list[Sheet]:
    """Sheets with the picture's alpha in their pixels and the soft mask beside, bottom to top."""
    total = _total(picture)
    masks = [layer.mask.numpy() for layer in _regions(picture) if layer.mask is not None]
    rounded = iter(covering(masks, total, total))
    return [
        _cut(layer, color, _bytes(layer.alpha))
        if layer.mask is None
        else _cut(layer, color, total, next(rounded))
        for layer, color in zip(picture.layers, _colors(picture), strict=True)
    ]


def covering(wanted: Sequence[Floats], pixels: Bytes, total: Bytes) -> NDArray[np.uint8]:
    """Round opacities so that laid over one another they cover exactly ``total``.

    Rounded each by itself they would miss it by several steps where regions meet on soft alpha.
    So the lowest layer at each pixel takes what those above leave.

    Args:
        wanted: opacities in [0, 1] bottom to top, each of shape (H, W).
        pixels: alpha that multiplies each of them.
        total: alpha of the flattened layers.

    Returns:
        Shape (len(wanted), H, W). Flattened in real numbers, 1 − Π (1 − pixels·rounded) is within
        half a step of ``total`` everywhere.
    """
    height, width = total.shape
    rounded = np.empty((len(wanted), height, width), np.uint8)

    def finish(rows: slice) -> None:
        band = np.stack([opacity[rows] for opacity in wanted])
        rounded[:, rows] = _covering(band, pixels[rows] / 255, total[rows] / 255)

    for_each_band(height, width, finish)
    return rounded


def _covering(wanted: Floats, pixels: Floats, total: Floats) -> Floats:
    rounded = np.zeros(wanted.shape)
    lowest, left = (wanted > 0).argmax(0), np.ones_like(total)
    for k in reversed(range(len(wanted))):
        nearest, most = np.rint(wanted[k] * 255), _most(left, pixels, total)
        remainder = (lowest == k) & (wanted[k] > 0) & (pixels > 0)
        # What floating point takes off a whole number is far below a thousandth.
        rounded[k] = np.where(remainder, np.rint(most), np.minimum(nearest, np.floor(most + 1e-3)))
        left *= 1 - pixels * rounded[k] / 255
    return rounded


def _most(left: Floats, pixels: Floats, total: Floats) -> Floats:
    """Steps of opacity after which nothing of ``total`` is left to cover, 0 to 255."""
    room = 1 - (1 - total) / np.maximum(left, 1e-12)
    steps = np.full_like(total, 255)
    np.divide(room * 255, pixels, out=steps, where=pixels > 0)
    return steps.clip(0, 255)


def _regions(picture: LayeredPicture) -> list[Layer]:
    return [layer for layer in picture.layers if layer.mask is not None]


def _total(picture: LayeredPicture) -> Bytes:
    if picture.alpha is None:
        return np.full(picture.size, 255, np.uint8)
    return _bytes(picture.alpha)


def _bytes(plane: Tensor) -> Bytes:
    steps = (plane.float().clamp(0, 1) * 255 + 0.5).floor()
    return np.asarray(steps.numpy().astype(np.uint8))


def _colors(picture: LayeredPicture) -> list[Bytes]:
    """Colors of each layer; regions share one tensor, which is converted once."""
    tensors = {id(layer.rgb): layer.rgb for layer in picture.layers}
    pixels = {key: np.asarray(to_image(rgb)) for key, rgb in tensors.items()}
    return [pixels[id(layer.rgb)] for layer in picture.layers]


def _cut(layer: Layer, color: Bytes, alpha: Bytes, mask: Bytes | None = None) -> Sheet:
    rows, columns = _box(alpha > 0 if mask is None else (alpha > 0) & (mask > 0))
    box = (rows, columns)
    return Sheet(
        name=plain_name(layer.name),
        visible=layer.visible,
        left=columns.start,
        top=rows.start,
        color=color[box],
        alpha=alpha[box],
        mask=None if mask is None else mask[box],
    )


def _box(covered: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that cover something; one pixel where nothing does."""
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def plain_name(name: str) -> str:
    """A name that every layered file can hold: no control characters, not overlong."""
    return _UNPRINTABLE.sub("\ufffd", name)[:_LONGEST_NAME]
