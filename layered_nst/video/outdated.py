"""Paint that is no longer of what is seen: a title that fades in, what a slow pan draws along.

From one frame to the next hardly anything changes, so a flow explains all. But what was painted
can be held to what it was painted of, which goes along with it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from layered_nst.video.flow import Motion, beyond, contrast, lit_alike, moved
from layered_nst.video.opencv import box_mean

SOFT = 2
"""Px by which photos are softened: flows are not exact, and what goes along grows softer."""
OTHER, FRESH = 28 / 255, 16 / 255
"""What differs by more, by three times what is usual, and by half the contrast around, is not what
was painted; of paint that has had no steps yet, what differs by the other and what is usual."""
DOUBTFUL = 8 / 255
"""What differs by more, and by three times what is usual, is not what was painted either, if it
joins on to that."""
SPECK = 2
"""Px that something has to measure across."""
FADES = 0.02
"""Share by which what was painted of goes over into what is seen, from frame to frame: slow light
is nothing new."""

COMES_IN = 0.5
"""Px that the paint at an edge may be drawn along before what has come in there is painted."""
MOST_DRAWN = 2 * COMES_IN
"""Px above which it makes no difference how far."""


def painted_of(photo: Tensor) -> Tensor:
    """What is kept of a photo (3, H, W) that has been painted."""
    return box_mean(photo.cpu(), SOFT)


def outdated(found: Motion, now: Tensor, of: Tensor, ripe: Tensor) -> Tensor:
    """Where what was painted before is not what is seen now, shape (H, W), bool.

    Args:
        found: the motion from then to now.
        now, of: what is seen and what was painted of, where it was then, by ``painted_of``.
        ripe: how far what was painted is to be held, shape (H, W): of what has few strokes little
            is lost.
    """
    back = found.back.cpu()
    then = moved(lit_alike(of, now, back, found.reliability.cpu()), back, smooth=True)
    gap = (then - now).abs().mean(0)
    usual = 3 * gap.median()
    held = moved(ripe[None], back, smooth=True)[0].clamp(0, 1)
    most = FRESH + (OTHER - FRESH + contrast(now) / 2) * held
    sure = (gap > most + usual).numpy()
    square = np.ones((2 * SPECK + 1, 2 * SPECK + 1), bool)
    sure = ndimage.binary_opening(sure, square)
    if not sure.any():
        return torch.from_numpy(sure)
    grown = ndimage.binary_propagation(sure, mask=sure | (gap > DOUBTFUL + usual).numpy())
    return torch.from_numpy(ndimage.binary_dilation(grown, square))


def led_on(of: Tensor, found: Motion, now: Tensor, share: Tensor) -> Tensor:
    """What a frame is painted of: as far as it is what was painted before, that; else the photo.

    Args:
        of, found, now: as ``outdated`` takes them.
        share: how far it is, shape (H, W).
    """
    then = moved(of, found.back.cpu(), smooth=True)
    return now + (1 - FADES) * share * (then - now)


def drawn_along(found: Motion, before: Tensor) -> Tensor:
    """How far what is at each pixel was drawn in over the picture's edge, down and across, px.

    A slow pan leads less than half a pixel outside, frame after frame: by the flow alone the last
    row would be drawn along as a comb.

    Args:
        found: the motion from then to now.
        before: the same of then, shape (2, H, W), 0 for what was painted where it was.

    Returns:
        Shape (2, H, W), half floats.
    """
    back = found.back.cpu()
    return (moved(before.float(), back, smooth=True) + beyond(back)).clamp(0, MOST_DRAWN).half()


def comes_in(drawn: Tensor) -> Tensor:
    """What was drawn along too far, over the top or bottom and over the sides, (2, H, W), bool."""
    return drawn > COMES_IN


def left_drawn(drawn: Tensor) -> Tensor:
    """``drawn_along`` of a frame once what has come in is painted."""
    return drawn.masked_fill(comes_in(drawn).any(0), 0)
