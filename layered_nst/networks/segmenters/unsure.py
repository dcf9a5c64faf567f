"""What a network is unsure of goes to the side that no edge of the photo divides it from.

A network that sees half of a plate, or a plate and a piece of the cloth under it, ends in the
middle of something. Where it is unsure of a whole area, and not only along an outline, a walk from
there tells whether subject or ground is nearer, across the fewest edges.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from layered_nst.picture import fit_within, guided, size_of
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.walks import Plane, eases, walked

GRID = 160
"""Longer side in px of the grid that is walked on."""

PULL, SURELY, LEAST = 0.05, 3, 0.02
"""How firmly a place that the network is sure of holds against its neighbors, the power of sureness
by which others do, and the share by which all do."""

UNSURE, BREADTH, RIM = 0.4, 6, 2
"""How far from one half is unsure, half the breadth in places that such an area has, and how many
around its middle belong to it: what is narrower is an outline, of which the network knows more."""

DOUBT = 1e-3
"""Nothing is surer than this."""


def by_edges(logits: Tensor, rgb: Tensor) -> Tensor:
    """Give unsure areas to the subject or to the rest by the photo's edges.

    Args:
        logits: of the subject, shape (h, w), of any size.
        rgb: the photo, shape (3, H, W), in [0, 1].

    Returns:
        Logits of the shape that came in; the same ones where no area is unsure.
    """
    full, size = size_of(rgb), size_of(logits)
    grid = fit_within(full, min(GRID, max(full)))
    thought = guided.resample(logits[None].float(), grid)[0].sigmoid().cpu().double().numpy()
    unsure = np.abs(thought - 0.5) < UNSURE
    areas = ndimage.binary_opening(unsure, iterations=BREADTH)
    if not areas.any():
        return logits
    areas = ndimage.binary_dilation(areas, iterations=RIM) & unsure
    sure = np.abs(2 * thought - 1) ** SURELY + LEAST
    lab = rgb_to_lab(guided.resample(rgb, grid)).cpu().double().numpy()
    change = _logits(walked(eases(lab), thought, PULL * sure)) - _logits(thought)
    change *= ndimage.uniform_filter(areas.astype(np.float64), 3)
    return logits + guided.enlarge(torch.from_numpy(change)[None].to(logits), size)[0]


def _logits(shares: Plane) -> Plane:
    held = shares.clip(DOUBT, 1 - DOUBT)
    found: Plane = np.log(held / (1 - held))
    return found
