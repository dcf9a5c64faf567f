"""Places of like color agree on their class: a fully connected CRF on a coarse grid.

After Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials" (2011, arXiv 1210.5644): mean-field inference with Potts compatibility. Two departures.
The grid is so coarse that the kernel fits into memory as it is, and the guided filter draws the
edges afterwards; and colors are compared in Lab, chroma more strictly than lightness, since light
and shade fall across things. Each place's messages are a mean over the others, not a sum, so that
the grid's size and a photo's evenness do not change how much they weigh.
"""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.picture import average, fit_within, size_of
from layered_nst.picture.guided import enlarge, resample
from layered_nst.picture.lab import rgb_to_lab

GRID = 64
"""Cells on the photo's longer side."""

REACH = 0.15
"""Standard deviation of the kernel in place, as a share of the photo's longer side."""

LIGHTNESS, CHROMA = 5.0, 2.0
"""Standard deviations of the kernel in L and in a and b of CIE Lab."""

PULL = 4.0
"""Weight of what the like places say beside the logarithm of what the network says."""

TRUST = 2.0
"""Power that the network's probabilities are raised to.

With 1.25 and a pull of 3.5 the validation photos came out the same, but black glass before black
was taken for the backdrop though the network had been sure of it.
"""

ROUNDS = 5
"""Mean-field updates; more change next to nothing."""

FLOOR = 1e-4
"""Probabilities below this count as this: a class that the network rules out stays possible."""


def dense_crf(probabilities: Tensor, rgb: Tensor) -> Tensor:
    """Let places of like color agree on their class.

    Args:
        probabilities: shape (K, h, w), sum 1, of any size up to the photo's.
        rgb: the photo, shape (3, H, W), in [0, 1].

    Returns:
        Probabilities of the shape that came in, sum 1, mostly more decided than before.
    """
    size = size_of(probabilities)
    cells = fit_within(size, min(GRID, max(size)))
    known = probabilities.clamp(min=FLOOR)
    seen = average(known, cells).log().flatten(1)
    messages = PULL * _kernel(resample(rgb, cells).clamp(0, 1))
    trusted = TRUST * seen
    agreed = trusted.softmax(0)
    for _ in range(ROUNDS):
        agreed = (trusted + agreed @ messages.T).softmax(0)
    # What changes is smooth and can be enlarged; the network's own detail stays.
    change = (agreed.clamp(min=FLOOR).log() - seen).reshape(-1, *cells)
    return (known.log() + enlarge(change, size)).softmax(0)


def _kernel(rgb: Tensor) -> Tensor:
    """How much each place (row) listens to each other one, shape (h·w, h·w); rows sum to 1."""
    height, width = rgb.shape[-2:]
    step = 1 / (max(height, width) * REACH)
    rows = torch.arange(height, device=rgb.device) * step
    columns = torch.arange(width, device=rgb.device) * step
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).to(rgb)
    lab = rgb_to_lab(rgb)
    points = torch.cat([place, lab[:1] / LIGHTNESS, lab[1:] / CHROMA]).flatten(1).T
    kernel = torch.cdist(points, points).square_().div_(-2).exp_()
    kernel.fill_diagonal_(0)
    # A place that is like no other hears nothing.
    return kernel.div_(kernel.sum(1, keepdim=True).clamp_(min=1e-6))
