"""One picture, painted at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst.instant.grain import grained
from layered_nst.instant.network import LAYERS, Painter, deviations
from layered_nst.instant.transport import Carriers, carriers
from layered_nst.networks.encoders import Encoder
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import Columns, columns, region_moments

Stacked = tuple[Tensor, Tensor]
"""Means (R, C) and raw second moments (R, C, C) of all regions at one layer."""


@dataclass(frozen=True)
class Asked:
    """What each region is to become.

    Attributes:
        targets: moments of the regions' styles, by layer.
        amount: how far each region is carried, shape (R,) in [0, 1].
    """

    targets: Mapping[str, Stacked]
    amount: Tensor


@dataclass(frozen=True)
class Settled:
    """All that has to be known of a whole picture before any part of it can be painted."""

    carriers: Mapping[str, Carriers]
    modulation: Sequence[Tensor]


def painted(
    painter: Painter, encoder: Encoder, picture: Tensor, masks: Tensor, asked: Asked
) -> Tensor:
    """Paint a picture that fits into memory.

    Args:
        encoder: the one that the painter was taught with.
        picture: the photo in the palette of its styles, shape (3, H, W) in [0, 1], any size.
        masks: of the regions, shape (R, H, W), sum 1 at most; what is left keeps its features.
        asked: styles and strengths, region by region.

    Returns:
        Shape (3, H, W) in [0, 1].
    """
    laid = torch.einsum("rhw,r->hw", masks, asked.amount)
    features = encoder(grained(picture, laid)[None], LAYERS)
    parts = read_columns(encoder, masks)
    settled = settle(painter, moments_of(features, parts), asked, parts)
    result: Tensor = painter(picture[None], *ready(features, masks, parts, settled))
    return result[0].clamp(0, 1)


def read_columns(encoder: Encoder, masks: Tensor) -> dict[str, Columns]:
    """What each region reads at each layer."""
    sizes = encoder.layer_sizes((masks.shape[1], masks.shape[2]))
    at = layer_masks(masks, {layer: sizes[layer] for layer in LAYERS})
    return {layer: columns(at[layer]) for layer in LAYERS}


def moments_of(features: Mapping[str, Tensor], parts: Mapping[str, Columns]) -> dict[str, Stacked]:
    """The regions' own moments."""
    return {layer: region_moments(features[layer], parts[layer]) for layer in LAYERS}


def settle(
    painter: Painter, own: Mapping[str, Stacked], asked: Asked, parts: Mapping[str, Columns]
) -> Settled:
    """How features are carried, from the moments of the whole picture."""
    found = {
        layer: carriers(
            *own[layer], *asked.targets[layer], count=parts[layer].total, amount=asked.amount
        )
        for layer in LAYERS
    }
    amount = asked.amount[:, None]
    means = [torch.lerp(own[k][0], asked.targets[k][0], amount) for k in LAYERS]
    spread = [
        torch.lerp(deviations(*own[k]), deviations(*asked.targets[k]), amount) for k in LAYERS
    ]
    return Settled(found, painter.code(means, spread))


def ready(
    features: Mapping[str, Tensor],
    masks: Tensor,
    parts: Mapping[str, Columns],
    settled: Settled,
) -> tuple[list[Tensor], list[Tensor]]:
    """What the painter takes of a picture or of a part of it: carried features and modulation."""
    carried = [carry(features[k], parts[k], settled.carriers[k]) for k in LAYERS]
    sizes = {layer: (features[layer].shape[2], features[layer].shape[3]) for layer in LAYERS}
    at = layer_masks(masks, sizes)
    modulation = [
        torch.einsum("rhw,rc->chw", at[layer], values)[None]
        for layer, values in zip(LAYERS, settled.modulation, strict=True)
    ]
    return carried, modulation


def carry(features: Tensor, read: Columns, by: Carriers) -> Tensor:
    """Features (1, C, h, w), each region's carried by its own map, mixed by the masks.

    What belongs to no region, wholly or in part, stays to that extent as it is.
    """
    rows = features[0].flatten(1).T
    carried = rows.clone()
    for region, (start, soft, end) in enumerate(read.spans):
        matrix, offset = by.matrix[region].to(rows.dtype), by.offset[region].to(rows.dtype)
        inside, feather = read.index[start:soft], read.index[soft:end]
        if len(inside):
            carried.index_copy_(0, inside, torch.addmm(offset, rows[inside], matrix.T))
        if len(feather):
            part = rows[feather]
            change = torch.addmm(offset, part, matrix.T) - part
            share = read.root[soft:end].square().to(rows.dtype)
            carried.index_add_(0, feather, change * share)
    return carried.view(1, *features.shape[2:], -1).permute(0, 3, 1, 2)
