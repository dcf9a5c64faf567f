"""Contours as the network of holistically-nested edge detection sees them.

Source: Xie and Tu 2015 (arXiv 1504.06375). The encoder's own features feed five side outputs, one
per block, so contours cost nothing beyond a pass that is made anyway.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import ModelError
from layered_nst.networks.encoders.encoder import Encoder


def contour_layers(encoder: Encoder, sides: Collection[int] = range(1, 6)) -> tuple[str, ...]:
    """The layers that these side outputs (1 to 5, fine to coarse) read: the last of each block."""
    return tuple(block[-1] for side, block in enumerate(encoder.blocks, 1) if side in sides)


def contour_logits(encoder: Encoder, features: dict[str, Tensor]) -> list[Tensor]:
    """Side outputs at their layers' own sizes.

    Args:
        encoder: one that has HED's heads.
        features: of one picture, from which the layers of ``contour_layers`` are taken; blocks
            whose layer is missing are left out.

    Returns:
        Logits of shape (1, 1, h, w), fine to coarse.

    Raises:
        ModelError: the encoder has no side outputs.
    """
    if not encoder.has_contours:
        raise ModelError(f"encoder {encoder.name} sees no contours; hed-vgg16 does")
    return [
        F.conv2d(features[block[-1]], *encoder.head(f"side{number}"))
        for number, block in enumerate(encoder.blocks, 1)
        if block[-1] in features
    ]


@torch.no_grad()
def contour_map(encoder: Encoder, picture: Tensor) -> Tensor:
    """Probability of a contour at every pixel, fused and per scale.

    Args:
        picture: RGB in [0, 1], shape (3, H, W).

    Returns:
        Shape (6, H, W) in [0, 1]: the fused map, then the five side outputs, fine to coarse.
    """
    features = encoder(picture[None], contour_layers(encoder))
    sides = [
        F.interpolate(side, picture.shape[1:], mode="bilinear", align_corners=False)
        for side in contour_logits(encoder, features)
    ]
    stacked = torch.cat(sides, 1)
    fused = F.conv2d(stacked, *encoder.head("fuse"))
    return torch.cat([fused, stacked], 1)[0].sigmoid()
