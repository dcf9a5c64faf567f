"""Losses of a frame of a clip: what earlier frames, moved to where things are now, say of it.

They look at pixels, so pictures in tiles have them as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst.painting.problem import Colors, Earlier, PaintedRegion, area, at_size

# A spread of colors below this, of 1, is that of a plain region.
PLAIN_SPREAD = 1e-4


@dataclass(frozen=True)
class Steadiness:
    """How far a picture is from earlier ones where these can be relied on.

    ``Σ_j weight · mean(c_j ‖x − x_j‖²)``, the mean over pixels and channels, so that one weight
    means the same at every size.

    Source: Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610), equations 7 and 9.

    Attributes:
        weight: of the whole.
        pictures: earlier pictures as they would look now, shape (J, 3, h, w).
        reliability: how far each of their pixels counts, shape (J, h, w) in [0, 1].
    """

    weight: float
    pictures: Tensor
    reliability: Tensor
    by_channel = False

    @classmethod
    def of(cls, earlier: Sequence[Earlier], size: tuple[int, int], weight: float) -> Steadiness:
        """That of a level of this height and width."""
        return cls(
            weight,
            torch.stack([at_size(one.picture, size) for one in earlier]),
            area(torch.stack([one.reliability for one in earlier]), size),
        )

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        gap = (picture - self.pictures).square().mean(1)
        return {"temporal": self.weight * (gap * self.reliability).mean((1, 2)).sum()}


@dataclass(frozen=True)
class Anchor:
    """How far the colors of regions have drifted from those of their shot's first painting.

    ``Σ_r share_r (‖μ − μ*‖² + ‖Σ − Σ*‖² / tr Σ*) `` of the colors' means and covariances.

    Attributes:
        weight: of the whole.
        masks: of the regions, shape (R, h, w).
        wanted: their colors, one for each.
    """

    weight: float
    masks: Tensor
    wanted: Sequence[Colors]
    by_channel = False

    @classmethod
    def of(
        cls, regions: Sequence[PaintedRegion], size: tuple[int, int], weight: float
    ) -> Anchor | None:
        """That of a level of this height and width; None if no region has an anchor."""
        held = [region for region in regions if region.anchor is not None]
        if not held:
            return None
        masks = area(torch.stack([region.mask for region in held]), size)
        return cls(weight, masks, [r.anchor for r in held if r.anchor is not None])

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``."""
        total = picture.new_zeros(())
        for mask, wanted in zip(self.masks, self.wanted, strict=True):
            mean, spread = colors_under(picture[0], mask)
            gap = (mean - wanted.mean).square().sum()
            measure = wanted.spread.diagonal().sum().clamp(min=PLAIN_SPREAD)
            total = total + mask.mean() * (gap + (spread - wanted.spread).square().sum() / measure)
        return {"anchor": self.weight * total}


def colors_under(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3) of the colors of a picture (3, h, w) under a mask (h, w)."""
    weight = mask / mask.sum().clamp(min=1e-6)
    mean = (picture * weight).sum((1, 2))
    apart = (picture - mean[:, None, None]).flatten(1)
    return mean, (apart * weight.flatten()) @ apart.T
