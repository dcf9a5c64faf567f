"""Styles, alone and in blends, as target moments."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Tile, cut
from layered_nst.picture import average, fit_within, resize, size_of
from layered_nst.picture.lab import lab_to_rgb, rgb_to_lab
from layered_nst.picture.variation import variation
from layered_nst.styles.colors import color_moments, move_colors
from layered_nst.styles.moments import Moments, MomentSums, blend, compute, measured, merge, update

# Colors are told from statistics alone, which a small copy gives as well.
COLOR_SIDE = 512
WIDEST = 4.0
"""Aspect ratio up to which strokes are sized by a picture's longest side."""


class PictureMoments(Protocol):
    """How the moments of one picture are come by: computed, or remembered."""

    def __call__(
        self,
        encoder: Encoder,
        style: StylePicture,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        tile: int | None = None,
    ) -> Mapping[str, Moments]:
        """See ``picture_moments``."""


class Style(Protocol):
    """One style of a blend: a picture, a look of a library, or a blend itself."""

    @property
    def weight(self) -> float:
        """Its share of the blend; only proportions matter."""

    @property
    def source(self) -> str:
        """Where it came from, for messages."""

    @property
    def pictures(self) -> Sequence[StylePicture]:
        """What it is made of, to look at; their weights sum to its own."""

    def moments(
        self,
        encoder: Encoder,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        of: PictureMoments,
    ) -> Mapping[str, Moments]:
        """Raw moments by layer; see ``style_moments``."""

    def variation(self, longest: int) -> float:
        """Its mean squared difference of neighboring pixels at a longest side in px."""

    def color(self) -> Moments:
        """Moments of its colors, in RGB, float64."""

    def repainted(self, wanted: Moments, kept: slice) -> Style:
        """The same style with other statistics of the channels ``kept`` of its Lab / 100."""


@dataclass(frozen=True)
class StylePicture:
    """One picture of a blend.

    Attributes:
        rgb: the picture, shape (3, H, W) in [0, 1], at its own size.
        mask: which of it is style, shape (H, W) in [0, 1].
        weight: its share of the blend; only proportions matter.
        source: where it came from, for messages.
        varied: its variation and that of its colors by the longest side at which it was asked for:
            known once, whatever weight it has and however many regions it serves.
        colored: the moments of its colors, once they are known.
    """

    rgb: Tensor
    mask: Tensor
    weight: float
    source: str
    varied: dict[int, tuple[float, float]] = field(default_factory=dict, repr=False, compare=False)
    colored: list[Moments] = field(default_factory=list, repr=False, compare=False)

    @property
    def pictures(self) -> tuple[StylePicture, ...]:
        """Itself."""
        return (self,)

    def moments(
        self,
        encoder: Encoder,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        of: PictureMoments,
    ) -> Mapping[str, Moments]:
        """What ``of`` gives for it."""
        return of(encoder, self, layers, longest=longest, pooling=pooling)

    def variation(self, longest: int) -> float:
        """That of what its mask shows."""
        return self._variations(longest)[0]

    def color_variation(self, longest: int) -> float:
        """The part of its variation that changes no light, the mean of the channels."""
        return self._variations(longest)[1]

    def _variations(self, longest: int) -> tuple[float, float]:
        if longest not in self.varied:
            seen = _at_side(self, longest)
            whole = float(variation(seen.rgb, seen.mask))
            light = float(variation(seen.rgb.mean(0, keepdim=True), seen.mask))
            self.varied[longest] = whole, max(0.0, whole - light)
        return self.varied[longest]

    def color(self) -> Moments:
        """Moments of its visible colors."""
        if not self.colored:
            small = _at_side(self, COLOR_SIDE)
            self.colored.append(color_moments(small.rgb, small.mask))
        return self.colored[0]

    def repainted(self, wanted: Moments, kept: slice) -> StylePicture:
        """The picture with its colors moved."""
        lab = rgb_to_lab(self.rgb) / 100
        lab[kept] = move_colors(lab[kept], color_moments(lab[kept], self.mask), wanted)
        return replace(self, rgb=lab_to_rgb(lab * 100), varied={}, colored=[])


@dataclass(frozen=True)
class StyleBlend:
    """Several styles that count as one within a larger blend.

    Attributes:
        styles: at least one; only the proportions of their weights matter.
        weight, source: of the whole.
    """

    styles: Sequence[Style]
    weight: float
    source: str

    @property
    def pictures(self) -> tuple[StylePicture, ...]:
        """The pictures of all its styles."""
        total = sum(style.weight for style in self.styles)
        return tuple(
            replace(picture, weight=picture.weight * self.weight / total)
            for picture in pictures_of(self.styles)
        )

    def moments(
        self,
        encoder: Encoder,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        of: PictureMoments,
    ) -> Mapping[str, Moments]:
        """Those of its styles, blended."""
        return style_moments(encoder, self.styles, layers, longest=longest, pooling=pooling, of=of)

    def variation(self, longest: int) -> float:
        """Those of its styles, blended."""
        return style_variation(self.styles, longest)

    def color(self) -> Moments:
        """Moments of the colors of its styles, blended."""
        return style_color(self.styles)

    def repainted(self, wanted: Moments, kept: slice) -> StyleBlend:
        """Each of its styles repainted."""
        return replace(self, styles=[style.repainted(wanted, kept) for style in self.styles])


def weighing(style: Style, weight: float) -> Style:
    """The same style with another weight."""
    copy: Style = replace(style, weight=weight)  # type: ignore[type-var]  # all are dataclasses
    return copy


def pictures_of(styles: Sequence[Style]) -> list[StylePicture]:
    """All pictures of a blend, to look at."""
    return [picture for style in styles for picture in style.pictures]


def style_color(styles: Sequence[Style]) -> Moments:
    """Moments of the colors of a blend, in RGB."""
    return blend([style.color() for style in styles], [style.weight for style in styles])


def style_variation(styles: Sequence[Style], longest: int) -> float:
    """Mean squared difference of neighboring pixels of a blend, seen at a longest side in px.

    Not that of a mixture of the pictures, which would be flatter: like second moments, it is the
    mean over the strokes of all of them.
    """
    total = sum(style.weight for style in styles)
    return sum(style.weight / total * style.variation(longest) for style in styles)


def color_share(styles: Sequence[Style], longest: int) -> float:
    """The share of a blend's variation that is of its colors and changes no light, 0 to 1.

    Of most photographs it is 0.02 to 0.1, of most paintings 0.15 to 0.3.
    """
    seen = [
        (p.weight, p.variation(longest), p.color_variation(longest)) for p in pictures_of(styles)
    ]
    whole, color = (sum(weight * part[k] for weight, *part in seen) for k in (0, 1))
    return color / whole if whole > 0 else 0.0


def with_colors(
    styles: Sequence[Style], photo: Tensor, weight: Tensor, *, color: str
) -> list[Style]:
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
    return [style.repainted(wanted, kept) for style in styles]


def stroked_by(size: tuple[int, int], longest: int | None = None) -> int:
    """Side in px by which strokes are sized in a picture of this height and width.

    That is its longest side. In a picture wider than 4:1, or as high, it is that of one of 4:1
    with the same area: by the side of a narrow band, strokes would be larger than the band, and
    styles would be read at many times its pixels.

    Args:
        longest: side of a level of the picture; its own longest side if not given.
    """
    side = max(size) if longest is None else longest
    aspect = max(size) / min(size)
    return side if aspect <= WIDEST else max(1, round(side * math.sqrt(WIDEST / aspect)))


def stroke_side(longest: int, scale: float) -> int:
    """Longest side in px at which a style is seen where strokes are sized by ``longest``."""
    return max(8, round(longest * scale))


@torch.no_grad()
def picture_moments(
    encoder: Encoder,
    style: StylePicture,
    layers: Collection[str],
    *,
    longest: int,
    pooling: str,
    tile: int | None = None,
) -> Mapping[str, Moments]:
    """Moments of one style picture under its mask.

    Args:
        longest: longest side in px at which the encoder sees it.
        tile: side in px of the tiles in which a picture is read that is too large to be seen at
            once; the same moments but for rounding.

    Returns:
        Raw moments by layer; second moments are exactly symmetric.
    """
    seen = _at_side(style, longest)
    size = size_of(seen.rgb)
    sums = (
        _sums(encoder, seen, layers, pooling)
        if tile is None
        else _sums_of_tiles(encoder, seen, layers, pooling, cut(size, tile, encoder, layers))
    )
    moments = {}
    for layer, total in sums.items():
        found = compute(total)
        mean, second = measured(found.mean, found.second, encoder.measure(layer))
        # Not every matrix product gives both triangles the same last bit; one is kept on disk.
        second = second.triu() + second.triu(1).T
        moments[layer] = replace(found, mean=mean, second=second)
    return moments


def _sums(
    encoder: Encoder, seen: StylePicture, layers: Collection[str], pooling: str
) -> dict[str, MomentSums]:
    features = encoder(seen.rgb[None], layers, pooling=pooling, measured=False)
    return {
        layer: update(
            value[0].flatten(1).T, _mask_at(seen.mask, (value.shape[2], value.shape[3])).flatten()
        )
        for layer, value in features.items()
    }


def _sums_of_tiles(
    encoder: Encoder,
    seen: StylePicture,
    layers: Collection[str],
    pooling: str,
    tiles: Sequence[Tile],
) -> dict[str, MomentSums]:
    sizes, apart = encoder.layer_sizes(size_of(seen.rgb)), encoder.strides()
    weights = {layer: _mask_at(seen.mask, sizes[layer]) for layer in layers}
    sums: dict[str, MomentSums] = {}
    for tile in tiles:
        part = seen.rgb[None][:, :, *tile.read]
        features = encoder(part, layers, pooling=pooling, measured=False)
        for layer, value in features.items():
            owned = value[0][:, *tile.inside(apart[layer])]
            weight = weights[layer][tile.owned_at(apart[layer])]
            found = update(owned.flatten(1).T, weight.flatten())
            sums[layer] = merge(sums[layer], found) if layer in sums else found
    return sums


def style_moments(
    encoder: Encoder,
    styles: Sequence[Style],
    layers: Collection[str],
    *,
    longest: int,
    pooling: str,
    of: PictureMoments = picture_moments,
) -> Mapping[str, Moments]:
    """Target moments of a blend at one level.

    Args:
        longest: longest side in px at which the encoder sees the pictures: it sets the size of the
            strokes.
        of: gives the moments of each picture.

    Returns:
        Blended raw moments by layer.
    """
    parts = [s.moments(encoder, layers, longest=longest, pooling=pooling, of=of) for s in styles]
    weights = [style.weight for style in styles]
    return {layer: blend([part[layer] for part in parts], weights) for layer in layers}


def _mask_at(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return average(mask[None], size)[0]


def _at_side(style: StylePicture, longest: int) -> StylePicture:
    size = fit_within(size_of(style.rgb), longest)
    mask = F.interpolate(style.mask[None, None], size, mode="area")[0, 0]
    return StylePicture(resize(style.rgb, size), mask, style.weight, style.source)
