"""What a result is measured by: pure functions from features, masks and pixels to numbers.

They share nothing with the losses, so that tuning the engine can never move the judge. Where a
number is a quotient, a thin class holds the sums that it is made of: ``of`` takes them from a
picture, ``+`` joins those of several pictures, such as the frames of a clip, and ``value`` is the
number. The sums of all pictures together say more than the mean of their numbers, in which a
picture with ten edge pixels counts as much as one with ten thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.picture import size_of
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.lines import beside_others, dilated, f_score
from layered_nst.regions.edges import signed_distance
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import Moments

SEAM_REACH = 3
"""How many pixels on each side of a border count as beside it."""
HALO_BAND = 6.0
"""How far from the product's outline a halo is looked for, px."""
HALO_REACH = 18.0
"""How far from a pixel the colors of the two sides are taken, px."""

BANDS = (0.7, 1.4, 2.8)
"""Widths of the Gaussians between which grain is looked for, px."""
FAINTEST = 0.15
"""Root mean square in Lab of a band below which a style has none of it: an eighth of what 8 bits
tell apart, over a picture."""


@dataclass(frozen=True)
class Sums:
    """Sums over pixels; those of several pictures add up."""

    def __add__(self, other: Self) -> Self:
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = (vars(part).values() for part in (self, other))
        return type(self)(*(a + b for a, b in zip(mine, theirs, strict=True)))


def quotient(total: float, count: float) -> float:
    """A mean, NaN of nothing."""
    return total / count if count else float("nan")


def style_distance(found: Sequence[Moments], target: Sequence[Moments]) -> float:
    """How far a region is from a style.

    ``1/L Σ_l ‖Σ_l − Σ*_l‖² / ‖Σ*_l‖² + ‖μ_l − μ*_l‖² / ‖μ*_l‖²`` with μ the mean and Σ the centered
    second moment of the features in map l. 0 is the style itself; there is no upper end, as a
    style of little energy is easily overshot.

    Args:
        found, target: moments in each map.
    """
    parts = [
        _relative(here.covariance, there.covariance) + _relative(here.mean, there.mean)
        for here, there in zip(found, target, strict=True)
    ]
    return sum(parts) / len(parts)


def _relative(value: Tensor, target: Tensor) -> float:
    energy = target.double().square().sum().clamp(min=1e-12)
    return float((value.double() - target).square().sum() / energy)


def gain(result: float, photo: float) -> float:
    """``1 − distance(result) / distance(photo)``: 1 is the style itself, 0 no nearer than before.

    NaN where the photo was at no distance to begin with.
    """
    return 1 - result / photo if photo > 0 else float("nan")


def nearest(distances: NDArray[np.float64], alike: NDArray[np.bool_]) -> list[int]:
    """The style that each region is nearest to, its own where several are equally near.

    Args:
        distances: from each region (row) to the style of each region (column), shape (R, R).
        alike: which regions have the same style, shape (R, R).

    Returns:
        For each region the index of a region; its own if that style, or one like it, is nearest.
    """
    found = []
    for region, row in enumerate(distances):
        closest = int(row.argmin())
        own = alike[region, closest] or row[region] <= row[closest]
        found.append(region if own else closest)
    return found


def leak(owners: Sequence[int]) -> float:
    """Share of regions nearest to a style that isn't theirs, from what ``nearest`` found."""
    return Leak.of(owners).value


@dataclass(frozen=True)
class Leak(Sums):
    """Of regions: how many are nearest to a style that isn't theirs, and how many there are."""

    strays: int
    regions: int

    @classmethod
    def of(cls, owners: Sequence[int]) -> Leak:
        """As ``leak``."""
        strays = sum(owner != region for region, owner in enumerate(owners))
        return cls(strays, len(owners))

    @property
    def value(self) -> float:
        """A share, 0 to 1; NaN without a region."""
        return quotient(self.strays, self.regions)


def seam(rgb: Tensor, masks: Tensor) -> float:
    """How much borders of regions stand out: mean gradient beside them over that elsewhere.

    The gradient is ``|∂x g| + |∂y g|`` of the mean g of the channels. Beside a border are the
    ``SEAM_REACH`` pixels on each of its sides; a border runs where another region has the largest
    share. 1 is a border that doesn't show. NaN without a border, or without anything else.

    Args:
        rgb: picture of shape (3, H, W).
        masks: shape (R, H, W).
    """
    return Seam.of(rgb, masks).value


@dataclass(frozen=True)
class Seam(Sums):
    """Gradients and pixels, beside borders and elsewhere."""

    beside: float
    pixels_beside: int
    elsewhere: float
    pixels_elsewhere: int

    @classmethod
    def of(cls, rgb: Tensor, masks: Tensor) -> Seam:
        """As ``seam``."""
        gray = rgb.double().mean(0)
        gradient = torch.zeros_like(gray)
        gradient[:, 1:] += gray.diff(dim=1).abs()
        gradient[1:] += gray.diff(dim=0).abs()
        near = dilated(beside_others(masks.argmax(0))[None].float(), SEAM_REACH - 1)[0] > 0
        beside, elsewhere = gradient[near], gradient[~near]
        return cls(float(beside.sum()), beside.numel(), float(elsewhere.sum()), elsewhere.numel())

    @property
    def value(self) -> float:
        """1 is a border that doesn't show; NaN without a border, or without anything else."""
        there = quotient(self.beside, self.pixels_beside)
        return there / max(quotient(self.elsewhere, self.pixels_elsewhere), 1e-9)


def content_distance(found: Sequence[Tensor], photo: Sequence[Tensor], mask: Tensor) -> float:
    """How far a picture's features have moved from the photo's.

    ``1/L Σ_l Σ_n m_n ‖f_ln − p_ln‖² / Σ_n m_n ‖p_ln‖²`` with m the mask at map l.

    Args:
        found, photo: feature maps of the two pictures, each (C, h, w).
        mask: weight of every pixel, shape (H, W); not empty.
    """
    return Content.of(found, photo, mask).value


@dataclass(frozen=True, eq=False)
class Content(Sums):
    """In each map: how far features have moved, squared, and the photo's energy, shape (L,)."""

    moved: NDArray[np.float64]
    energy: NDArray[np.float64]

    @classmethod
    def of(cls, found: Sequence[Tensor], photo: Sequence[Tensor], mask: Tensor) -> Content:
        """As ``content_distance``."""
        sizes = {str(number): size_of(part) for number, part in enumerate(photo)}
        weights = layer_masks(mask[None].double(), sizes)
        sums = [
            [
                float((part.double().square().sum(0) * weights[str(number)][0]).sum())
                for part in (here - there, there)
            ]
            for number, (here, there) in enumerate(zip(found, photo, strict=True))
        ]
        moved, energy = np.array(sums, dtype=np.float64).T
        return cls(moved, energy)

    @property
    def value(self) -> float:
        """Relative, mean over the maps; 0 is the photo itself."""
        return float(np.mean(self.moved / np.maximum(self.energy, 1e-12)))


def edges_kept(found: Tensor, photo: Tensor, inside: Tensor, *, tolerance: int) -> float:
    """F-score of a picture's edges against the photo's, inside a region.

    An edge pixel inside is true, or found, if the other picture has one within ``tolerance`` px,
    wherever that lies: an outline that moved across the border by a pixel is kept.

    Args:
        found, photo: thin edges of the two pictures, boolean, shape (H, W).
        inside: which pixels count, boolean, shape (H, W).

    Returns:
        In [0, 1]; NaN where the photo has no edge inside.
    """
    return EdgesKept.of(found, photo, inside, tolerance=tolerance).value


@dataclass(frozen=True)
class EdgesKept(Sums):
    """Edge pixels: the picture's, those of them that are true, the photo's, those found again."""

    predicted: int
    true: int
    existing: int
    found: int

    @classmethod
    def of(cls, found: Tensor, photo: Tensor, inside: Tensor, *, tolerance: int) -> EdgesKept:
        """As ``edges_kept``."""
        predicted, existing = found & inside, photo & inside
        near = dilated(torch.stack([photo, found]).float(), tolerance) > 0
        counts = predicted, predicted & near[0], existing, existing & near[1]
        return cls(*(int(part.sum()) for part in counts))

    @property
    def value(self) -> float:
        """F-score, 0 to 1; NaN where the photo has no edge."""
        if not self.existing:
            return float("nan")
        return f_score(self.predicted, self.true, self.existing, self.found)


@dataclass(frozen=True, eq=False)
class Bands(Sums):
    """Energy of the finest bands inside a region, and the pixels that it is of.

    A band is what one Gaussian leaves of a picture that the one before has not, in CIE Lab; their
    widths are ``BANDS``, and the first is seen against the picture itself.

    Attributes:
        energy: squared lightness and squared chroma of each band, fine to coarse, shape (2, 3).
        pixels: that have a share in it.
    """

    energy: NDArray[np.float64]
    pixels: float

    @classmethod
    def of(cls, rgb: Tensor, mask: Tensor) -> Bands:
        """Look at a picture (3, H, W) in [0, 1] where a mask (H, W) admits it."""
        lab = rgb_to_lab(rgb.detach().cpu().double()).numpy()
        weight = mask.cpu().double().numpy()
        energy = np.zeros((2, len(BANDS)))
        for channel, plane in enumerate(lab):
            before = plane
            for band, width in enumerate(BANDS):
                blurred = ndimage.gaussian_filter(plane, width)
                energy[min(channel, 1), band] += float((weight * (before - blurred) ** 2).sum())
                before = blurred
        return cls(energy, float(weight.sum()))

    @property
    def value(self) -> NDArray[np.float64]:
        """Root mean squares, shape (2, 3); NaN without a pixel."""
        value: NDArray[np.float64] = np.sqrt(self.energy / (self.pixels or np.nan))
        return value


def against(found: NDArray[np.float64], style: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bands of a result over those of its style, shape (2, 3).

    The first row is its ``grain``, of lightness; the second its ``relief``, of chroma: where it is
    far below the first, strokes are told apart by light alone, as if they were embossed. NaN where
    the style has less than ``FAINTEST`` there, as a drawing in ink has of chroma.
    """
    known = np.where(style >= FAINTEST, style, np.nan)
    ratio: NDArray[np.float64] = found / known
    return ratio


def halo(rgb: Tensor, product: Tensor) -> float:
    """Mean color difference around a product to the nearer of its two sides.

    Over all pixels p at most ``HALO_BAND`` px from the outline, the mean of ``min_q ΔE(p, q)``,
    where q runs over the pixels of the product and of the background that are farther from the
    outline than that and at most ``HALO_REACH`` px from p. ΔE is the distance in CIE Lab (1976).
    A pixel that looks like the product or like the background beside it is at about 0, whatever
    their textures; a fringe, a ghost of an older outline, or a blend of both sides is not.

    Args:
        rgb: picture of shape (3, H, W) in [0, 1].
        product: its mask, shape (H, W); the outline is where it crosses 0.5.

    Returns:
        ΔE; NaN where the picture shows no outline, or nothing beyond the band.
    """
    return Halo.of(rgb, product).value


@dataclass(frozen=True)
class Halo(Sums):
    """Color differences around a product, and the pixels that they are of."""

    difference: float
    pixels: int

    @classmethod
    def of(cls, rgb: Tensor, product: Tensor) -> Halo:
        """As ``halo``."""
        differences = _differences(rgb, product)
        known = differences[np.isfinite(differences)]
        return cls(float(known.sum()), known.size)

    @property
    def value(self) -> float:
        """ΔE; NaN without a pixel."""
        return quotient(self.difference, self.pixels)


def _differences(rgb: Tensor, product: Tensor) -> NDArray[np.float64]:
    """ΔE of each pixel of the band to the nearer side, infinite where there is none."""
    coverage = product.float().cpu().numpy()
    away = np.abs(signed_distance(coverage >= 0.5, coverage, reach=HALO_BAND))
    band = np.argwhere(away <= HALO_BAND)
    lab = rgb_to_lab(rgb.double()).permute(1, 2, 0).cpu().numpy()
    return _nearest_color(lab, away > HALO_BAND, band)


def _nearest_color(
    lab: NDArray[np.float64], sides: NDArray[np.bool_], pixels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """For each pixel the least ΔE to those of ``sides`` within reach; infinite without any."""
    own = lab[pixels[:, 0], pixels[:, 1]]
    least = np.full(len(pixels), np.inf)
    for offset in _disc(HALO_REACH):
        row, column = (pixels + offset).T
        there = (row >= 0) & (row < lab.shape[0]) & (column >= 0) & (column < lab.shape[1])
        index = np.flatnonzero(there)
        index = index[sides[row[index], column[index]]]
        difference = lab[row[index], column[index]] - own[index]
        least[index] = np.minimum(least[index], (difference**2).sum(1))
    nearest_color: NDArray[np.float64] = np.sqrt(least)
    return nearest_color


def _disc(radius: float) -> NDArray[np.int64]:
    steps = np.arange(-int(radius), int(radius) + 1)
    offsets = [(down, right) for down in steps for right in steps]
    return np.array([o for o in offsets if o[0] ** 2 + o[1] ** 2 <= radius**2], dtype=np.int64)
