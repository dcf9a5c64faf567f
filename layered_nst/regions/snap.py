"""Fit the border of a roughly drawn mask to the photo's edges nearby."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture.guided import guided_filter
from layered_nst.recipe.selectors import AlphaSelector, MaskSelector, Selector, leaves
from layered_nst.regions.edges import antialias, is_gradual, signed_distance

REACH = 0.012
"""How far a border can be off, as a share of the photo's longer side."""

EPS = 1e-3
"""Variance of color, in squares of [0, 1], below which a window shows no edge."""

MOST_AT_ONCE = 2**20
"""Pixels of a photo that is filtered at once: 0.2 GB."""
TILE = 512
"""Side in px of the parts in which larger photos are filtered."""


def snap(mask: Tensor, rgb: Tensor, *, reach: float = REACH) -> Tensor:
    """Move a mask's border onto the photo's edges, where there are any within reach.

    A guided filter fits the mask to the photo's color in every window and the border is drawn
    anew where the fit is one half. Gradients that someone painted stay as they are.

    Args:
        mask: shape (H, W) in [0, 1].
        rgb: the photo, shape (3, H, W) in [0, 1].
        reach: how far the border can be off, as a share of the longer side.

    Returns:
        Shape (H, W) in [0, 1], the same as ``mask`` farther than twice ``reach`` from its border.
    """
    coverage = mask.cpu().numpy()
    # Measured: a border moves by up to half the radius of the window that its fit is made in.
    radius = max(2, round(2 * reach * max(mask.shape)))
    if is_gradual(coverage):
        return mask
    distance = signed_distance(coverage >= 0.5, coverage, reach=radius + 1)
    near = torch.from_numpy(distance).to(mask).abs() <= radius
    fitted = _fitted(mask, rgb, near, radius=radius)
    return torch.where(near, antialias(fitted - 0.5), mask)


def _fitted(mask: Tensor, rgb: Tensor, near: Tensor, *, radius: int) -> Tensor:
    """The mask as the photo's colors draw it, shape (H, W), where that is near its border.

    Of a large photo it is drawn tile by tile, with what a window and the windows around it see.
    """
    height, width = mask.shape
    if height * width <= MOST_AT_ONCE:
        return guided_filter(rgb, mask[None], radius=radius, eps=EPS)[0]
    fitted = torch.zeros_like(mask)
    # A line of pixels more, for the antialiasing looks at neighbors.
    wanted = F.max_pool2d(near[None].float(), 3, 1, 1)[0] > 0
    for top, left in product(range(0, height, TILE), range(0, width, TILE)):
        own = (slice(top, top + TILE), slice(left, left + TILE))
        if not bool(wanted[own].any()):
            continue
        seen = tuple(slice(max(0, p.start - 2 * radius), p.stop + 2 * radius) for p in own)
        part = guided_filter(rgb[:, *seen], mask[seen][None], radius=radius, eps=EPS)[0]
        down, across = (p.start - s.start for p, s in zip(own, seen, strict=True))
        fitted[own] = part[down : down + TILE, across : across + TILE]
    return fitted


def is_drawn(selector: Selector) -> bool:
    """Whether a selector's border is anyone's guess: not taken from a mask or the photo's alpha."""
    return not any(isinstance(leaf, MaskSelector | AlphaSelector) for leaf in leaves(selector))
