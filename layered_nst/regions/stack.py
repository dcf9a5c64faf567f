"""Stacking: who is seen where, and how neighbors share the pixels along their borders.

Blending soft masks one over the other leaves a seam: where two regions meet, each is at one half,
and a quarter of whatever lies below shines through. So the picture is first divided by who is on
top, and then the borders of that division are feathered, each by the feather of its upper region.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from layered_nst.regions.edges import (
    Block,
    Mask,
    beside_border,
    for_each_block,
    is_gradual,
    ramp,
    signed_distance,
)
from layered_nst.regions.shapes import Coverage

Labels = NDArray[np.int16]
NOBODY = -1


@dataclass(frozen=True)
class Coat:
    """One region before stacking.

    Attributes:
        coverage: its selection, grown, shape (H, W) in [0, 1].
        feather: total width of its border, px.
        gradual: whether the selection is a painted gradient, which is kept.
    """

    coverage: Coverage
    feather: float
    gradual: bool

    @classmethod
    def of(cls, coverage: Coverage, feather: float) -> Coat:
        """Make a layer and see whether it is gradual."""
        return cls(coverage, feather, is_gradual(coverage))


@dataclass(frozen=True)
class _Group:
    """Neighbors in the stack that are feathered alike, so that their order cannot matter."""

    members: range
    feather: float
    gradual: bool


def stack(layers: Sequence[Coat]) -> NDArray[np.float32]:
    """Share every pixel among layers.

    Args:
        layers: bottom to top, at least one, all of one size (H, W).

    Returns:
        Shape (len(layers) + 1, H, W), in [0, 1], sum 1 at each pixel; the last is what no layer
        covers. Exactly 0 and 1 farther from a border than half its feather.
    """
    size = layers[0].coverage.shape
    labels = _topmost(layers, range(len(layers)))
    shares = np.zeros((len(layers) + 1, *size), dtype=np.float32)
    groups = _groups(layers)

    def share(block: Block) -> None:
        seen = [replace(layer, coverage=layer.coverage[block.seen]) for layer in layers]
        top = labels[block.seen]
        if _is_plain(top, seen):
            shares[(top[0, 0], *block.own)] = 1
        else:
            shares[(slice(None), *block.own)] = _share(seen, groups)[:, *block.inner]

    for_each_block(size, share, reach=sum(group.feather + 4 for group in groups))
    return shares


def _topmost(layers: Sequence[Coat], numbers: Iterable[int]) -> Labels:
    """Which of the layers with these rising numbers is on top at each pixel."""
    labels = np.full(layers[0].coverage.shape, NOBODY, dtype=np.int16)
    for number in numbers:
        labels[layers[number].coverage >= 0.5] = number
    return labels


def _is_plain(labels: Labels, layers: Sequence[Coat]) -> bool:
    gradients = [layer.coverage for layer in layers if layer.gradual]
    return bool((labels == labels[0, 0]).all()) and all(
        bool(((gradient == 0) | (gradient == 1)).all()) for gradient in gradients
    )


def _groups(layers: Sequence[Coat]) -> list[_Group]:
    """Runs of layers with one feather, top to bottom; a painted gradient stands alone."""
    groups: list[_Group] = []
    for number in reversed(range(len(layers))):
        layer = layers[number]
        last = groups[-1] if groups else None
        if last and last.feather == layer.feather and not (last.gradual or layer.gradual):
            groups[-1] = _Group(range(number, last.members.stop), last.feather, False)
        else:
            groups.append(_Group(range(number, number + 1), layer.feather, layer.gradual))
    return groups


def _share(layers: Sequence[Coat], groups: Sequence[_Group]) -> NDArray[np.float32]:
    left = np.ones_like(layers[0].coverage)
    shares = np.zeros((len(layers) + 1, *left.shape), dtype=np.float32)
    for group in groups:
        if not left.any():
            break
        members = slice(group.members.start, group.members.stop)
        weights = _weights(layers, group)
        if group.gradual:
            # The smaller of the two, not their product: gradients painted to fit each other
            # must add up to 1, with nothing from below between them.
            shares[members] = np.minimum(weights[:-1], left)
            left = left - shares[members][0]
        else:
            shares[members] = left * weights[:-1]
            left = left * weights[-1]
    shares[-1] = left
    return shares


def _weights(layers: Sequence[Coat], group: _Group) -> NDArray[np.float32]:
    """Shares of a group's members and of all that lies below, as if nothing lay above.

    Returns:
        Shape (members + 1, H, W), sum 1.
    """
    owners, parts = _owners(layers, group)
    weights = _feathered(owners, _visible(parts), group.feather)
    if not group.gradual:
        return weights
    # The softer of feather and gradient; both are at one half on the border.
    inside, outside = np.minimum(weights[0], parts[0]), np.maximum(weights[0], parts[0])
    softer = np.where(owners[0], inside, outside)
    return np.stack([softer, 1 - softer])


def _owners(layers: Sequence[Coat], group: _Group) -> tuple[list[Mask], list[Coverage]]:
    """Who is seen where: each member, and all that lies below; and the members' coverage."""
    start, stop = group.members.start, group.members.stop
    # Below a painted gradient everything shows through, so it hides nobody.
    above = (k for k in range(stop, len(layers)) if not layers[k].gradual)
    below = start - 1
    labels = np.maximum(_topmost(layers, (*range(stop), *above)), np.int16(below))
    parts = [layers[k].coverage for k in group.members]
    covered = labels >= stop
    seen = labels[~covered]
    if not seen.size or (not group.gradual and (seen == seen[0]).all()):
        # One owner has all that is seen here, or nothing is seen: no borders, no distances.
        labels = np.full_like(labels, seen[0] if seen.size else below)
    elif covered.any():
        labels, parts = _uncover(labels, parts, covered)
    return [labels == owner for owner in (*group.members, below)], parts


def _feathered(
    owners: Sequence[Mask], visible: Sequence[Coverage], feather: float
) -> NDArray[np.float32]:
    """Feather the borders between owners that together have every pixel; sum 1."""
    weights = np.zeros((len(owners), *owners[0].shape), dtype=np.float32)
    present = [k for k, owner in enumerate(owners) if owner.any()]
    # Most borders are between two, and one distance serves both.
    last = present.pop() if len(present) == 2 else None
    for k in present:
        weights[k] = _soften(owners[k], visible[k], feather)
    if last is not None:
        weights[last] = 1 - weights[present[0]]
        return weights
    shares: NDArray[np.float32] = weights / weights.sum(0)
    return shares


def _soften(owner: Mask, coverage: Coverage, feather: float) -> Coverage:
    if feather > 1:
        return ramp(signed_distance(owner, coverage, reach=feather / 2), feather)
    # No softer than a pixel: the border keeps the anti-aliasing it came with.
    return np.where(beside_border(owner), coverage, owner.astype(np.float32))


def _visible(parts: Sequence[Coverage]) -> list[Coverage]:
    """What is seen of each part beside those above it, and at last of what lies below."""
    visible, free = [], np.ones_like(parts[0])
    for part in reversed(parts):
        visible.append(np.minimum(part, free))
        free = np.minimum(free, 1 - part)
    return [*reversed(visible), free]


def _uncover(
    labels: Labels, parts: Sequence[Coverage], covered: Mask
) -> tuple[Labels, list[Coverage]]:
    """Continue what is seen under what covers it: each covered pixel takes its nearest neighbor's.

    Otherwise a region that ends at an upper one would have a border there, and let the ground
    through in the upper one's feather.
    """
    row, column = ndimage.distance_transform_edt(
        covered, return_distances=False, return_indices=True
    )
    return labels[row, column], [part[row, column] for part in parts]
