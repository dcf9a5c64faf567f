"""A picture as a mask: white is what it takes, and what to say of one that takes nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.picture.value import Picture

LUMINANCE = (0.2126, 0.7152, 0.0722)
# Scanned and JPEG masks are rarely quite black and white; what they miss would be a haze.
MASK_NOISE = 0.02


def coverage_of(drawn: Picture) -> Tensor:
    """How far each pixel of a drawn mask is white and visible, shape (H, W) in [0, 1]."""
    weights = drawn.rgb.new_tensor(LUMINANCE)
    mask = torch.einsum("c,chw->hw", weights, drawn.rgb)
    return mask if drawn.alpha is None else mask * drawn.alpha


def why_blank(drawn: Picture) -> str | None:
    """What keeps a mask from taking anything, in a sentence with its file; None if it does."""
    found = coverage_of(drawn)
    if bool((found > MASK_NOISE).any()):
        return None
    lightest = float(drawn.rgb.max())
    if drawn.alpha is not None and _has_form(drawn.alpha):
        return (
            f"{drawn.source} is black where it is visible and has its form in its alpha; a mask is "
            "what is white"
        )
    if lightest == 0:
        return f"{drawn.source} is black all over; a mask is what is white"
    top = 255 if drawn.depth == 8 else 65535
    return (
        f"the lightest value of {drawn.source} is {round(lightest * top)} of {top}; a mask is what "
        f"is white, {top}"
    )


def _has_form(alpha: Tensor) -> bool:
    return float(alpha.max()) - float(alpha.min()) > 0.5
