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
from layered_nst.networks.encoders.tiles import cut

MOST_AT_ONCE = 2**20
"""Pixels of a picture that is seen at once: 0.4 GB."""
TILE, BAND = 512, 256
"""Sides in px of the parts in which larger pictures are seen."""


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
    found = picture.new_empty(6, *picture.shape[1:])
    for number, side in enumerate(_sides(encoder, picture), 1):
        found[number] = F.interpolate(
            side, picture.shape[1:], mode="bilinear", align_corners=False
        )[0, 0]
    # In bands, as all else that is made at the picture's size: a print must not take gigabytes.
    for top in range(0, picture.shape[1], BAND):
        band = slice(top, top + BAND)
        found[0, band] = F.conv2d(found[None, 1:, band], *encoder.head("fuse"))[0, 0]
    return found.sigmoid_()


def _sides(encoder: Encoder, picture: Tensor) -> list[Tensor]:
    """The logits of ``contour_logits``; of a large picture, seen tile by tile."""
    layers, size = contour_layers(encoder), (picture.shape[1], picture.shape[2])
    if size[0] * size[1] <= MOST_AT_ONCE:
        return contour_logits(encoder, encoder(picture[None], layers))
    sizes, apart = encoder.layer_sizes(size), encoder.strides()
    found = [picture.new_empty(1, 1, *sizes[layer]) for layer in layers]
    for tile in cut(size, TILE, encoder, layers):
        seen = contour_logits(encoder, encoder(picture[None][:, :, *tile.read], layers))
        for layer, whole, part in zip(layers, found, seen, strict=True):
            stride = apart[layer]
            whole[:, :, *tile.owned_at(stride)] = part[:, :, *tile.inside(stride)]
    return found
