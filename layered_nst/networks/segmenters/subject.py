"""The subject head: what a photo was taken of, beside the classes and in the same pass.

It hangs on the early, shared half of the class network's encoder (down to an eighth of the photo's
side), goes on from there with deep blocks of its own, and draws the mask through skip connections
from a half, a quarter and an eighth of the side, so that outlines are crisp and holes stay holes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.networks.segmenters.network import LITE0_MEAN, LITE0_STD
from layered_nst.picture import fit_within, guided, size_of
from layered_nst.picture.lab import rgb_to_lab

SHARED = 3
"""Blocks of the encoder, from its start, that classes and subject share."""

LAST_LAYERS = 3
"""Layers kept of the last of the head's own blocks."""

RATES = (1, 4, 8)
"""Dilations of the convolutions that look around, at a sixteenth of the photo's side."""

PREFIX = "subject."
"""What the names of the head's tensors begin with in a segmenter's file."""

RADIUS, EPS, GRID = 0.02, 1e-3, 400
"""Of the guided filter that draws the outline: its window as a share of the longer side, the
variance of color that counts as flat, and the longer side in px on which fits are made."""

COLORS = (12, 16, 16)
"""Bins of L, a and b in which colors are counted."""

LAB = ((0.0, 100.0), (-80.0, 80.0), (-80.0, 80.0))
"""What these bins span; stronger colors count as the strongest."""

COLOR_GRID, COLOR_SAY, SUREST = 200, 0.7, 1.5
"""Longer side in px on which colors are counted, the weight of what they say beside the head, both
as logits, and how surely they may say it: what the head is sure of, no color changes."""

LEAST_SHARE = 1e-5
"""Colors rarer than this say little."""


class SubjectHead(nn.Module):
    """Logits of the subject at half the side of what the encoder was shown.

    Args:
        deep: the head's own deep blocks, from an eighth to a sixteenth of the side.
        early: channels of the shared features at a half, a quarter and an eighth of the side.
        channels: channels that ``deep`` ends with.
        width: channels of what looks around.
        drawing: channels of the decoder at an eighth, a quarter and a half of the side.
    """

    def __init__(
        self,
        deep: nn.Module,
        *,
        early: Sequence[int] = (16, 24, 40),
        channels: int = 192,
        width: int = 96,
        drawing: Sequence[int] = (48, 32, 24),
    ) -> None:
        super().__init__()
        self.deep = deep
        self.narrow = _convolution(channels, width, 1)
        self.around = nn.ModuleList(_separable(width, width, rate) for rate in RATES)
        self.whole = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU())
        self.joined = _convolution(width * (len(RATES) + 1), width, 1)
        self.draw = nn.ModuleList()
        below = width
        for skip, out in zip(reversed(early), drawing, strict=True):
            self.draw.append(_convolution(below + skip, out, 3))
            below = out
        self.last = nn.Conv2d(below, 1, 3, padding=1)

    def forward(self, early: Sequence[Tensor]) -> Tensor:
        """Logits (B, 1, h / 2, w / 2).

        Args:
            early: the encoder's features at a half, a quarter and an eighth of the side.
        """
        deep = self.deep(early[-1])
        near = self.narrow(deep)
        whole = self.whole(deep.mean((2, 3), keepdim=True))
        seen = [near, *(look(near) for look in self.around)]
        x = self.joined(torch.cat(seen, 1)) + whole
        for skip, draw in zip(reversed(early), self.draw, strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = draw(torch.cat([x, skip.to(x.dtype)], 1))
        logits: Tensor = self.last(x)
        return logits


def subject_head(encoder: nn.Module) -> SubjectHead:
    """A head whose deep blocks begin as copies of the encoder's.

    Args:
        encoder: of segmentation-models-pytorch around an EfficientNet-Lite1 of timm.
    """
    blocks = copy.deepcopy(encoder.get_submodule("model.blocks"))
    assert isinstance(blocks, nn.Sequential)
    last = blocks[5]
    assert isinstance(last, nn.Sequential)
    return SubjectHead(nn.Sequential(*blocks[SHARED:5], last[:LAST_LAYERS]))


def shared_features(encoder: Any, rgb: Tensor, blocks: int = SHARED) -> list[Tensor]:
    """What the first blocks of the encoder see, at a half, a quarter and an eighth of the side.

    Args:
        encoder: of segmentation-models-pytorch around an EfficientNet-Lite1 of timm.
        rgb: shape (B, 3, h, w), in [0, 1].
        blocks: how many; classes and subject share all of these.
    """
    model = encoder.model
    x = model.bn1(model.conv_stem((rgb - LITE0_MEAN) / LITE0_STD))
    found = []
    for block in model.blocks[:blocks]:
        x = block(x)
        found.append(x)
    return found


def by_colors(logits: Tensor, rgb: Tensor) -> Tensor:
    """Give what is unsure to the subject or to the rest by the colors that each has elsewhere.

    The wall between a chair's legs is colored as the wall around it, the shaded half of a bowl as
    the other half. These are the color models of GrabCut (Rother et al. 2004), as histograms.

    Args:
        logits: of the subject, shape (h, w), of any size.
        rgb: the photo, shape (3, H, W), in [0, 1].

    Returns:
        Logits of the shape that came in, each changed by ``COLOR_SAY * SUREST`` at most.
    """
    full, size = size_of(rgb), size_of(logits)
    grid = fit_within(full, min(COLOR_GRID, max(full)))
    bins = _color_bins(rgb_to_lab(guided.resample(rgb, grid))).cpu()
    subject = guided.resample(logits[None], grid)[0].sigmoid().cpu()
    ratio = (_color_shares(bins, subject) / _color_shares(bins, 1 - subject)).log()[bins]
    said = COLOR_SAY * ratio.clamp(-SUREST, SUREST)
    return logits + guided.enlarge(said[None].to(logits), size)[0]


def _color_bins(lab: Tensor) -> Tensor:
    """Number of the bin that each color of (3, h, w) falls into, shape (h, w)."""
    low, high = (lab.new_tensor(ends)[:, None, None] for ends in zip(*LAB, strict=True))
    count = torch.tensor(COLORS, device=lab.device)[:, None, None]
    at = ((lab - low) / (high - low) * count).floor().long()
    lightness, a, b = torch.minimum(at.clamp(min=0), count - 1)
    number: Tensor = (lightness * COLORS[1] + a) * COLORS[2] + b
    return number


def _color_shares(bins: Tensor, weights: Tensor) -> Tensor:
    """The share of each bin, smoothed over its neighbors, so that no share is 0."""
    counted = torch.bincount(bins.flatten(), weights.flatten(), math.prod(COLORS))
    smooth = torch.from_numpy(ndimage.gaussian_filter(counted.reshape(COLORS).numpy(), 1)).flatten()
    return smooth / smooth.sum() + LEAST_SHARE


def outlined(rough: Tensor, rgb: Tensor) -> Tensor:
    """Draw a rough mask's outline along the photo's edges.

    Args:
        rough: shape (h, w), in [0, 1], of any size.
        rgb: the photo, shape (3, H, W), in [0, 1].

    Returns:
        Shape (H, W), in [0, 1].
    """
    full = size_of(rgb)
    grid = fit_within(full, min(GRID, max(full)))
    fitted = guided.guided_filter(
        guided.resample(rgb, grid),
        guided.resample(rough[None], grid),
        radius=max(1, round(RADIUS * max(grid))),
        eps=EPS,
        full=rgb,
    )
    return fitted[0].clamp(0, 1)


def _convolution(into: int, out: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, side, padding=side // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def _separable(into: int, out: int, rate: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, into, 3, padding=rate, dilation=rate, groups=into, bias=False),
        nn.Conv2d(into, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )
