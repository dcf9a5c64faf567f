"""Where a region shows the photo's drawing, which is not the style's to change."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.painting.problem import at_size
from layered_nst.picture import fit_within, guided, size_of

SEEN = 256
"""Side in px at which a photo is looked at, at most: what is finer is grain as often as drawing."""
AROUND = 0.04
"""Side of the square over which it is averaged, as a share of the photo's: an eye with its lids."""
RELEASE = 2.0
"""Power of its energy over the region's mean by which moments count less there, where contours are
held in full."""
STILL_LEFT = 0.3
"""What a position counts at least. Without it the cathedral's street, all of it trees and cars, and
its building were further from their styles."""
GRAIN = 1e-6
"""Energy that is not seen."""


@torch.no_grad()
def drawn(photo: Tensor, size: tuple[int, int]) -> Tensor:
    """How much there is to see of a photo's drawing: the local energy of its finest light.

    Args:
        photo: shape (3, H, W) in [0, 1].
        size: height and width wanted.

    Returns:
        Shape (h, w), not negative.
    """
    seen = at_size(photo, fit_within(size_of(photo), min(SEEN, max(size_of(photo)))))
    light = seen.mean(0, keepdim=True)
    fine = (light - guided.box_mean(light, 1)).square()
    spread = guided.box_mean(fine, max(1, round(max(size_of(seen)) * AROUND / 2)))
    return F.interpolate(spread[None], size, mode="bilinear", align_corners=False)[0, 0]


def usual(energy: Tensor, masks: Tensor) -> Tensor:
    """The mean of an energy (h, w) in each region of masks (R, h, w), shape (R,)."""
    return (masks * energy).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)


def left_to_style(energy: Tensor, common: Tensor, contours: Tensor) -> Tensor:
    """How much each position counts in the moments of each region, shape (R, h, w).

    Texture is easiest laid where there is some to begin with: on eyes, mouths and lattices. Where a
    region holds its contours, its style is looked for beside them.

    Args:
        energy: of the drawing, shape (h, w), from ``drawn``.
        common: the mean of it in each region, shape (R,); what has no more counts in full.
        contours: how firmly each region holds its contours, shape (R,); 0 leaves all to the style,
            and past 1 nothing changes.

    Returns:
        In [``STILL_LEFT``, 1].
    """
    beyond = ((energy + GRAIN) / (common[:, None, None] + GRAIN)).clamp(min=1)
    left = beyond ** (-RELEASE * contours.clamp(max=1)[:, None, None])
    return left.clamp(min=STILL_LEFT)
