"""Weighted first and second moments of features: the statistics that stand for a style.

For features f of shape (N, C), one row a position, and weights m of shape (N,), the moments are
``mean = Σ m f / Σ m`` and ``second = Σ m f fᵀ / Σ m`` (the masked Gram matrix). Sums over disjoint
sets of positions add up, so tiles and pictures are merged by ``merge``, and normalized moments
blend linearly by weight, which finished covariances do not.

Source: Gatys, Ecker, Bethge 2016 (arXiv 1508.06576) for the Gram matrix, Gatys et al. 2017
(1611.07865) for its guided form. Departure: rows are scaled by √m and not by m, because m would
enter the product squared and leave a dead band in the middle of a feather.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = 3e-4
"""Energy of a covariance as a share of its raw second moment's, below which a style is plain: of 32
styles none had less at any layer than three times as much."""


@dataclass(frozen=True)
class MomentSums:
    """Unnormalized moments: total weight (), Σ m f of shape (C,), Σ m f fᵀ of shape (C, C)."""

    weight: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Moments:
    """Normalized moments: mean (C,), second raw moment (C, C) and the total weight ()."""

    mean: Tensor
    second: Tensor
    weight: Tensor

    @property
    def covariance(self) -> Tensor:
        """The centred second moment, shape (C, C)."""
        return covariance(self.mean, self.second)

    def to(self, *args: Any, **kwargs: Any) -> Moments:
        """The same moments on another device or in another dtype, as ``Tensor.to``."""
        return Moments(*(getattr(self, f.name).to(*args, **kwargs) for f in fields(self)))


def covariance(mean: Tensor, second: Tensor) -> Tensor:
    """The centered second moments, shape (…, C, C), of means (…, C) and raw ones (…, C, C)."""
    return second - outer(mean)


def outer(mean: Tensor) -> Tensor:
    """The raw second moments, shape (…, C, C), of what has these means (…, C) and no spread."""
    return mean[..., :, None] * mean[..., None, :]


def update(rows: Tensor, weight: Tensor) -> MomentSums:
    """Sum the moments of features.

    Args:
        rows: features of shape (N, C).
        weight: weights in [0, 1] of shape (N,); rows of weight 0 take no part.
    """
    kept = weight > 0
    if not bool(kept.all()):
        rows, weight = rows[kept], weight[kept]
    # Most styles have no mask, and rows of weight 1 need no copy.
    scaled = rows if bool((weight == 1).all()) else rows * weight.sqrt()[:, None]
    return MomentSums(weight.sum(), rows.T @ weight, scaled.T @ scaled)


def merge(*parts: MomentSums) -> MomentSums:
    """Moments of the union of disjoint sets of positions."""
    return MomentSums(
        *(torch.stack([getattr(p, f.name) for p in parts]).sum(0) for f in fields(MomentSums))
    )


def compute(sums: MomentSums) -> Moments:
    """Normalize by the total weight.

    Raises:
        ValueError: the weight is zero, so there is nothing to describe.
    """
    if not sums.weight > 0:
        raise ValueError("moments of no positions: the total weight is 0")
    return Moments(sums.first / sums.weight, sums.second / sums.weight, sums.weight)


def blend(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Mix styles: raw moments averaged by weight, whatever their number and order.

    Args:
        parts: moments of the same layer.
        weights: one non-negative number each; only their proportions matter. The blend's total
            weight is their sum, so ``blend([blend([a, b], [1, 2]), c], [3, 1])`` groups as
            ``blend([a, b, c], [1, 2, 1])``.

    Raises:
        ValueError: no part, a negative weight, or weights that sum to zero.
    """
    if len(parts) != len(weights) or not parts:
        raise ValueError(f"{len(parts)} styles with {len(weights)} weights")
    total = float(sum(weights))
    if min(weights) < 0 or total <= 0:
        raise ValueError(f"weights {list(weights)}: none may be negative and one must be positive")
    shares = [w / total for w in weights]
    mean = sum((s * p.mean for s, p in zip(shares, parts, strict=True)), torch.zeros(()))
    second = sum((s * p.second for s, p in zip(shares, parts, strict=True)), torch.zeros(()))
    return Moments(mean, second, torch.as_tensor(total, dtype=mean.dtype, device=mean.device))


@dataclass(frozen=True)
class Columns:
    """Which positions of a layer each region reads, prepared once per level.

    The rows that the regions read stand one region after the other, each region's inside, which
    it reads alone and with weight 1, before its feather; a position in a feather stands once for
    each region that it belongs to.

    Attributes:
        index: position of each row, shape (K,).
        root: √m of each row, shape (K, 1).
        spans: for each region where its rows start, where its feather starts, and where they end.
        total: Σ m of each region, shape (R,).
        apart: the positions that are inside no region, shape (E,).
    """

    index: Tensor
    root: Tensor
    spans: tuple[tuple[int, int, int], ...]
    total: Tensor
    apart: Tensor


def columns(masks: Tensor) -> Columns:
    """Prepare the reading of regions.

    Args:
        masks: weights in [0, 1] at the layer's size, shape (R, h, w).
    """
    flat = masks.flatten(1)
    # To compare numbers with others takes a processor seven times as long.
    positive, whole = flat.bool(), flat.floor().bool()
    owned = whole & (positive.sum(0, dtype=torch.int16) == 1)
    inside = [_true_in(row) for row in owned]
    feather = [_true_in(row) for row in positive & ~owned]
    read = [part for pair in zip(inside, feather, strict=True) for part in pair]
    values = [flat[number // 2].index_select(0, part) for number, part in enumerate(read)]
    lengths = [(len(a), len(b)) for a, b in zip(inside, feather, strict=True)]
    spans, start = [], 0
    for solid, soft in lengths:
        spans.append((start, start + solid, start + solid + soft))
        start += solid + soft
    return Columns(
        index=torch.cat(read),
        root=torch.cat(values).sqrt()[:, None],
        spans=tuple(spans),
        total=flat.sum(1),
        apart=_true_in(owned.sum(0, dtype=torch.int16) == 0),
    )


def _true_in(row: Tensor) -> Tensor:
    """Where a row of truths (N,) is true; on a CPU NumPy finds it in a tenth of the time."""
    if row.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(row.numpy()))
    return row.nonzero()[:, 0]


def region_moments(
    features: Tensor, read: Columns, measure: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Moments of all regions in one pass over the features, differentiable.

    Every position is read once for each region it belongs to, so all regions together cost one
    full Gram matrix, however many there are.

    Args:
        features: one layer of one picture, shape (1, C, h, w), of the masks' precision or a lower
            one; channels-last is fastest.
        read: the regions' columns at this layer.
        measure: a linear map (D, C) that the features are to be taken through first.

    Returns:
        Means (R, C) and second raw moments (R, C, C); zero for regions of no weight.
    """
    first, second = _RegionSums.apply(features, read)
    total = read.total.clamp(min=torch.finfo(first.dtype).tiny)
    return measured(first / total[:, None], second / total[:, None, None], measure)


def measured(mean: Tensor, second: Tensor, measure: Tensor | None) -> tuple[Tensor, Tensor]:
    """Moments of ``measure @ f`` from those of f: the same numbers without a pass over all rows.

    Args:
        mean, second: shape (…, C) and (…, C, C).
        measure: shape (D, C), or None for no map.
    """
    if measure is None:
        return mean, second
    return mean @ measure.T, measure @ second @ measure.T


class _RegionSums(torch.autograd.Function):
    """Σ m f and Σ m f fᵀ of every region, with a backward pass of one product per region.

    Autograd alone would multiply twice in the backward pass, once for each factor of f fᵀ, and
    scatter once per region. Rows inside a region have weight 1 and are never scaled: what limits
    this function is how often it passes over its rows, not the products. So it goes block by block,
    and no copy of all rows is ever made.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, read: Columns) -> tuple[Tensor, Tensor]:
        rows = features[0].flatten(1).T
        regions, width = len(read.spans), rows.shape[1]
        first = read.root.new_zeros(regions, width)
        second = read.root.new_zeros(regions, width, width)
        for region in range(regions):
            for block, feather in _blocks(read, region, rows):
                part = _scaled(rows, read, block, feather=feather)
                second[region].addmm_(part.T, part)
                first[region].addmv_(part.T, read.root[block, 0])
        ctx.read = read
        # The encoder keeps its features anyway: scaling them once more takes less time than the
        # memory of a copy is worth.
        ctx.save_for_backward(features)
        return first, second

    @staticmethod
    def backward(ctx: Any, d_first: Tensor, d_second: Tensor) -> tuple[Tensor, None]:
        read: Columns = ctx.read
        (features,) = ctx.saved_tensors
        rows = features[0].flatten(1).T
        # Positions inside a region are that region's alone; only what is apart is added up.
        gradient = rows.new_empty(rows.shape)
        gradient.index_fill_(0, read.apart, 0)
        symmetric = d_second + d_second.transpose(1, 2)
        for region, pull in enumerate(d_first[:, None]):
            for block, feather in _blocks(read, region, rows):
                part, index = _scaled(rows, read, block, feather=feather), read.index[block]
                if feather:
                    root = read.root[block]
                    whole = torch.mm(part, symmetric[region]).addcmul_(root, pull).mul_(root)
                    gradient.index_add_(0, index, whole.to(rows.dtype))
                else:
                    whole = torch.addmm(pull, part, symmetric[region])
                    gradient.index_copy_(0, index, whole.to(rows.dtype))
        # Channels-last like the features: any other order would be converted at every layer below.
        return gradient.view(1, *features.shape[2:], -1).permute(0, 3, 1, 2), None


def _blocks(read: Columns, region: int, rows: Tensor) -> Iterator[tuple[slice, bool]]:
    """Cut what a region reads of rows (N, C) so that a block stays in a processor's caches.

    Yields each block and whether it lies in the region's feather.
    """
    # Other devices have no such caches, and pay for every call.
    numbers = 2**20 if rows.device.type == "cpu" else 2**26
    length = numbers // rows.shape[1]
    start, soft, end = read.spans[region]
    for first, last, feather in ((start, soft, False), (soft, end, True)):
        for at in range(first, last, length):
            yield slice(at, min(at + length, last)), feather


def _scaled(rows: Tensor, read: Columns, block: slice, *, feather: bool) -> Tensor:
    """A block of what a region reads of rows (N, C), each times √m, shape (K, C)."""
    part = rows.index_select(0, read.index[block]).to(read.root.dtype)
    return part.mul_(read.root[block]) if feather else part
