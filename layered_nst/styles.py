"""Style pictures and blends of them, as target moments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.color import color_moments, lab_to_rgb, move_colors, rgb_to_lab
from layered_nst.features import Encoder
from layered_nst.moments import Moments, blend, compute, update
from layered_nst.picture import fit_within, resize

# Colors are told from statistics alone, which a small copy gives as well.
COLOR_SIDE = 512


@dataclass(frozen=True)
class StylePicture:
    """One picture of a blend.

    Attributes:
        rgb: the picture, shape (3, H, W) in [0, 1], at its own size.
        mask: which of it is style, shape (H, W) in [0, 1].
        weight: its share of the blend; only proportions matter.
        source: where it came from, for messages.
    """

    rgb: Tensor
    mask: Tensor
    weight: float
    source: str


def style_color(styles: Sequence[StylePicture]) -> Moments:
    """Moments of the colors of a blend, in RGB."""
    small = [_at_side(style, COLOR_SIDE) for style in styles]
    return blend([color_moments(s.rgb, s.mask) for s in small], [s.weight for s in styles])


def with_colors(
    styles: Sequence[StylePicture], photo: Tensor, weight: Tensor, *, color: str
) -> list[StylePicture]:
    """Repaint a blend in the palette of a region of the photo, keeping its texture.

    Args:
        photo: the photo, shape (3, H, W).
        weight: the region, shape (H, W).
        color: ``content`` moves lightness and chroma of the styles to the region's statistics,
            ``luminance`` their chroma alone, ``style`` nothing.
    """
    if color == "style":
        return list(styles)
    kept = slice(0, 3) if color == "content" else slice(1, 3)
    wanted = color_moments(rgb_to_lab(photo)[kept] / 100, weight)
    return [_repainted(style, wanted, kept) for style in styles]


def _repainted(style: StylePicture, wanted: Moments, kept: slice) -> StylePicture:
    lab = rgb_to_lab(style.rgb) / 100
    lab[kept] = move_colors(lab[kept], color_moments(lab[kept], style.mask), wanted)
    return StylePicture(lab_to_rgb(lab * 100), style.mask, style.weight, style.source)


def stroke_side(longest: int, scale: float) -> int:
    """Longest side in px at which a style is seen for a picture of this longest side."""
    return max(8, round(longest * scale))


def style_moments(
    encoder: Encoder,
    styles: Sequence[StylePicture],
    layers: Collection[str],
    *,
    longest: int,
    pooling: str,
) -> Mapping[str, Moments]:
    """Target moments of a blend at one level.

    Args:
        longest: longest side in px at which the encoder sees the pictures: it sets the size of the
            strokes.

    Returns:
        Blended raw moments by layer.
    """
    parts = [_picture_moments(encoder, _at_side(s, longest), layers, pooling) for s in styles]
    weights = [style.weight for style in styles]
    return {layer: blend([part[layer] for part in parts], weights) for layer in layers}


@torch.no_grad()
def _picture_moments(
    encoder: Encoder, style: StylePicture, layers: Collection[str], pooling: str
) -> dict[str, Moments]:
    features = encoder(style.rgb[None], layers, pooling=pooling)
    moments = {}
    for layer, value in features.items():
        weight = _mask_at(style.mask, (value.shape[2], value.shape[3]))
        moments[layer] = compute(update(value[0].flatten(1).T, weight))
    return moments


def _mask_at(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(mask[None, None], size).flatten()


def _at_side(style: StylePicture, longest: int) -> StylePicture:
    size = fit_within((style.rgb.shape[1], style.rgb.shape[2]), longest)
    mask = F.interpolate(style.mask[None, None], size, mode="area")[0, 0]
    return StylePicture(resize(style.rgb, size), mask, style.weight, style.source)
