"""Losses that look at the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.painting.problem import (
    PaintedRegion,
    Problem,
    area,
    at_size,
    laid_out,
)
from layered_nst.picture import average, fit_within, size_of
from layered_nst.picture.variation import color_changes, neighbors
from layered_nst.styles.style import Style, color_share, stroke_side, style_variation

RANGE_WEIGHT = 100.0
# The total variation of neighbors that differ by 2 of 255 both ways: no style is flatter than this.
FLAT = 1.2e-4
# A style below this has hardly any texture, such as a swatch of a color; and what most styles have.
PLAIN, USUAL = 5e-4, 0.02
COLORS_SMOOTHED, LEAST_COLOR = 0.05, 0.03
"""How firmly colors are smoothed beside light, by the share of a style's variation that is of its
colors, and the least that this is taken for. Styles pull little at fine color. Smoothed like light
it was missing from paintings; smoothed like that of paintings, pictures in the style of photographs
had two to three times as much as the photographs: speckle."""
EXCESS, ENOUGH_COLOR = 0.5, 0.6
"""How firmly a region is held to the variation of its style's colors, and the share of that from
which it is. Some styles come out with too much fine color, which is speckle, others with too
little: what smooths both evenly takes from these what is in the way in those."""
MASKS_SEEN = 512
"""Side in px at which regions are told apart where their variation is taken."""
# Encoders without HED's heads hold contours by the Laplacian of Li et al. 2017. More than this
# shows the squares that it pools by, and it keeps lines less well than the side outputs.
LAPLACIAN_POOLS = (4, 16)
LAPLACIAN_WEIGHT = 0.2


class PixelLoss(Protocol):
    """A loss of pixels."""

    @property
    def by_channel(self) -> bool:
        """Whether its terms are the means of what they are of each channel alone."""

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name, of a picture (1, C, h, w) at the level's size."""


@dataclass(frozen=True)
class Smoothness:
    """Total variation of light, the mean of the channels, and the part that light has in what
    ``ColorSmoothness`` finds.

    The variation of colors is, of neighbors that differ by d in each channel, mean(d²) − mean(d)²,
    which is never negative. The first part is found channel by channel there; the second is a term
    of the same name here, below zero until both are added.

    Attributes:
        weight: of the plan.
        firmness: of each pixel, shape (h, w); see ``firmness``.
        in_color: that of colors, shape (h, w), as ``ColorSmoothness`` has it.
    """

    weight: float
    firmness: Tensor
    in_color: Tensor
    by_channel = False

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        light = picture.mean(1, keepdim=True)
        return {
            "total_variation.light": self.weight * total_variation(light, self.firmness),
            "total_variation.color": -self.weight * total_variation(light, self.in_color),
        }


@dataclass(frozen=True)
class ColorSmoothness:
    """Total variation of the channels. Less that of their light, in ``Smoothness``, it is that of
    colors; so one channel at a time will do.

    Attributes:
        weight: of the plan.
        in_color: how firmly each pixel's colors are smoothed, shape (h, w); see ``firmness``.
    """

    weight: float
    in_color: Tensor
    by_channel = True

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        return {"total_variation.color": self.weight * total_variation(picture, self.in_color)}


@dataclass(frozen=True)
class ColorExcess:
    """How much more the colors of neighbors differ in a region than in its style, both by their
    means: as long as that is within what the style has nothing is pulled.

    Attributes:
        masks: share of each region in each pixel, seen small, shape (R, h, w).
        own: the variation of each region's colors that is wanted, shape (R,).
        pull: weight of each region, shape (R,).
    """

    masks: Tensor
    own: Tensor
    pull: Tensor
    by_channel = False

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        excess = (_colored(picture, self.masks) / self.own - ENOUGH_COLOR).clamp(min=0)
        return {"total_variation.excess": (self.pull * excess.square()).sum()}


@dataclass(frozen=True)
class Composition:
    """How far light and dark of the picture, seen as small as it was when it was composed, are from
    those that were composed.

    Attributes:
        light: of what was composed, the mean of its channels, shape (1, h, w).
        weight: how much each pixel of it matters, shape (h, w).
        pull: weight of the whole.
    """

    light: Tensor
    weight: Tensor
    pull: float
    by_channel = False

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        seen = average(picture[0].mean(0, keepdim=True), size_of(self.light))
        error = ((seen - self.light).square()[0] * self.weight).mean()
        return {"composition": self.pull * error / self.light.var().clamp(min=FLAT)}


@dataclass(frozen=True)
class Range:
    """How far values are out of range."""

    by_channel = True

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        return {"range": RANGE_WEIGHT * out_of_range(picture)}


@dataclass(frozen=True)
class Laplacian:
    """How encoders hold contours that have no side outputs.

    Attributes:
        photo: shape (1, 3, h, w).
        weight: how much each pixel matters, shape (h, w).
        pull: weight of the whole.
    """

    photo: Tensor
    weight: Tensor
    pull: float
    by_channel = False

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        return {
            f"contour.laplacian_{pool}": LAPLACIAN_WEIGHT
            * self.pull
            * laplacian_loss(picture, self.photo, self.weight, pool)
            for pool in LAPLACIAN_POOLS
        }


def laplacian_of(
    problem: Problem, regions: Sequence[PaintedRegion], size: tuple[int, int], pull: float
) -> Laplacian:
    """The Laplacian loss of a problem at a level's height and width."""
    weight = laid_out(regions, [r.contour for r in regions])[None]
    photo = at_size(problem.photo, size)[None]
    return Laplacian(photo, area(weight, size)[0], pull)


def excess_of(
    problem: Problem,
    regions: Sequence[PaintedRegion],
    size: tuple[int, int],
    longest: int,
    *,
    pull: float,
) -> ColorExcess:
    """The excess of color of a problem at a level's height and width.

    Args:
        longest: side in px at which a style of scale 1 is seen there.
        pull: weight of the whole.
    """
    photo = at_size(problem.photo, size)[None]
    whole = torch.stack([region.mask for region in regions])
    masks = area(whole, fit_within(size, min(max(size), MASKS_SEEN)))
    own = photo.new_tensor([_color_of(r, stroke_side(longest, r.scale)) for r in regions])
    share = photo.new_tensor([float(region.mask.mean()) for region in regions])
    return ColorExcess(masks, own, pull * EXCESS * share)


def _colored(picture: Tensor, masks: Tensor) -> Tensor:
    """The variation of a picture's colors (1, 3, H, W) in each region (R, h, w), shape (R,): what
    its channels vary less what their mean does."""
    varied = average(color_changes(picture[0])[None], size_of(masks))
    return (varied * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1e-6)


def firmness(regions: Sequence[PaintedRegion], size: tuple[int, int], longest: int) -> Tensor:
    """How firmly each pixel is smoothed, shape (h, w).

    Against what a style itself varies: one weight for all would blur the dots of a pointillist
    and leave noise in a clear sky.

    Args:
        size: height and width of the level.
        longest: side in px at which a style of scale 1 is seen there.
    """
    return _laid(regions, size, longest, lambda styles, side: 1.0)


def firmness_in_color(
    regions: Sequence[PaintedRegion], size: tuple[int, int], longest: int
) -> Tensor:
    """How firmly colors are smoothed at each pixel, shape (h, w), as ``firmness`` has it."""
    return _laid(regions, size, longest, lambda *seen: COLORS_SMOOTHED / _share(*seen))


def _share(styles: Sequence[Style], side: int) -> float:
    return max(LEAST_COLOR, color_share(styles, side))


def _color_of(region: PaintedRegion, side: int) -> float:
    """The variation of the colors of a region's style, as ``_firmness`` takes it."""
    return _share(region.styles, side) / _firmness(style_variation(region.styles, side))


def _laid(
    regions: Sequence[PaintedRegion],
    size: tuple[int, int],
    longest: int,
    share: Callable[[Sequence[Style], int], float],
) -> Tensor:
    """The firmness of each pixel times a share that depends on its region's styles."""
    values = []
    for r in regions:
        side = stroke_side(longest, r.scale)
        values.append(share(r.styles, side) * _firmness(style_variation(r.styles, side)))
    return area(laid_out(regions, values)[None], size)[0]


def _firmness(variation: float) -> float:
    """How firmly a style of this variation wants its region smoothed.

    What has no texture says nothing of smoothness, and would wipe out what it is laid on.
    """
    told = min(1.0, variation / PLAIN)
    return told / (variation + FLAT) + (1 - told) / USUAL


def total_variation(picture: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the squared differences of neighboring pixels, down plus across.

    Args:
        picture: shape (1, C, H, W).
        weight: of each pixel, shape (H, W), not negative; two neighbors count by the lesser of
            theirs. One over the mean of a style (``variation``) makes the result 1 where a picture
            varies like the style.
    """
    found = ((squared * lesser).mean() for squared, lesser in neighbors(picture, weight))
    return sum(found, picture.new_zeros(()))


def out_of_range(picture: Tensor) -> Tensor:
    """Mean squared distance of the values of a picture, of any shape, to [0, 1]; keeps clipping
    from making flat patches."""
    return (picture - picture.clamp(0, 1)).square().mean()


def laplacian_loss(picture: Tensor, target: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Difference of the Laplacians of two pictures after pooling by ``pool``, relative.

    Source: Li et al. 2017, Laplacian-Steered Neural Style Transfer (arXiv 1707.01253). Departure:
    relative to the energy of the target's Laplacian, so that it needs no tuning by picture.

    Args:
        picture, target: shape (1, 3, H, W).
        weight: how much each pixel matters, shape (H, W); 0 where it doesn't.
        pool: side of the averaged squares in px, cut at the picture's shorter side; those that
            stick out of it are averaged over what they have of it.
    """
    pool = max(1, min(pool, *picture.shape[2:]))
    here, there = laplacian(picture, pool), laplacian(target, pool)
    mask = _pooled(weight[None, None], pool)[0, 0]
    energy = (there.square() * (mask > 0)).sum().clamp(min=1e-6)
    return ((here - there).square() * mask).sum() / energy


def laplacian(picture: Tensor, pool: int) -> Tensor:
    """The 5-point Laplacian of a pooled picture, summed over channels, shape (h, w)."""
    gray = _pooled(picture, pool).sum(1, keepdim=True)
    gray = F.pad(gray, (1, 1, 1, 1), "replicate")
    around = gray[..., :-2, 1:-1] + gray[..., 2:, 1:-1] + gray[..., 1:-1, :-2] + gray[..., 1:-1, 2:]
    return (4 * gray[..., 1:-1, 1:-1] - around)[0, 0]


def _pooled(planes: Tensor, pool: int) -> Tensor:
    return F.avg_pool2d(planes, pool, ceil_mode=True, count_include_pad=False)
