"""Fit the border of a roughly drawn mask to the photo's edges nearby."""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.picture.guided import guided_filter
from layered_nst.recipe.selectors import AlphaSelector, MaskSelector, Selector, leaves
from layered_nst.regions.edges import antialias, is_gradual, signed_distance

REACH = 0.012
"""How far a border can be off, as a share of the photo's longer side."""

EPS = 1e-3
"""Variance of color, in squares of [0, 1], below which a window shows no edge."""


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
    fitted = guided_filter(rgb, mask[None], radius=radius, eps=EPS)[0]
    distance = signed_distance(coverage >= 0.5, coverage, reach=radius + 1)
    near = torch.from_numpy(distance).to(mask).abs() <= radius
    return torch.where(near, antialias(fitted - 0.5), mask)


def is_drawn(selector: Selector) -> bool:
    """Whether a selector's border is anyone's guess: not taken from a mask or the photo's alpha."""
    return not any(isinstance(leaf, MaskSelector | AlphaSelector) for leaf in leaves(selector))
