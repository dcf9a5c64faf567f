"""Region masks at the size of an encoder's layers, and regions too thin for a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture import average, size_of

# A unit counts as inside if its whole receptive field is, but for the foot of a feather.
INSIDE = 0.99


def layer_masks(masks: Tensor, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """Shrink masks to each layer by area averaging.

    Where a layer's size is the picture's halved and rounded up some number of times, each value is
    the mean over exactly the pixels that its unit was pooled from; for any other size, the mean
    over an equal division of the picture.

    Args:
        masks: shape (R, H, W), sum over R 1.
        sizes: height and width of each layer.

    Returns:
        Shape (R, h, w) for each layer, sum over R 1. Layers of one size share one tensor.
    """
    by_size = {size: _average(masks, size) for size in set(sizes.values())}
    return {layer: by_size[size] for layer, size in sizes.items()}


def _average(masks: Tensor, size: tuple[int, int]) -> Tensor:
    stride = _stride(size_of(masks), size)
    if stride is None:
        return average(masks, size)
    if stride == 1:
        return masks
    return F.avg_pool2d(masks, stride, ceil_mode=True, count_include_pad=False)


def _stride(picture: tuple[int, int], layer: tuple[int, int]) -> int | None:
    """The power of two that leads from one size to the other by rounding up, if there is one."""
    for power in range(max(picture).bit_length() + 1):
        stride = 1 << power
        if all(-(-side // stride) == length for side, length in zip(picture, layer, strict=True)):
            return stride
    return None


def thin_layers(
    masks: Tensor, sizes: Mapping[str, tuple[int, int]], receptive: Mapping[str, int]
) -> dict[int, tuple[str, ...]]:
    """Find the regions that are too thin for a layer.

    A region is thin at a layer if the layer has no unit that sees nothing but the region. What lies
    beyond the picture's edge doesn't count. Empty regions are left out.

    Args:
        masks: shape (R, H, W), at the size of the picture that the encoder sees.
        sizes: height and width of each layer.
        receptive: side of the square of the picture that one unit of each layer sees, px.

    Returns:
        For each thin region, by its index, the layers at which it is thin.
    """
    thin: dict[int, tuple[str, ...]] = {}
    for index, mask in enumerate(masks):
        if not bool((mask > 0).any()):
            continue
        blind = _without_unit(_summed(mask.cpu().numpy() < INSIDE), sizes, receptive)
        if blind:
            thin[index] = tuple(layer for layer in sizes if layer in blind)
    return thin


def _summed(outside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number of pixels above and left of each corner, shape (H + 1, W + 1)."""
    sums = np.zeros((outside.shape[0] + 1, outside.shape[1] + 1), dtype=np.int32)
    np.cumsum(outside, axis=1, dtype=np.int32, out=sums[1:, 1:])
    np.cumsum(sums, axis=0, out=sums)
    return sums


def _without_unit(
    outside: NDArray[np.int32], sizes: Mapping[str, tuple[int, int]], receptive: Mapping[str, int]
) -> set[str]:
    blind: set[str] = set()
    for layer in sorted(sizes, key=lambda layer: -receptive[layer]):
        # The unit in the middle of a field that lies inside sees less, so it is inside as well.
        if _has_unit(outside, sizes[layer], receptive[layer]):
            break
        blind.add(layer)
    return blind


def _has_unit(outside: NDArray[np.int32], size: tuple[int, int], field: int) -> bool:
    """Whether some unit's receptive field has no pixel outside the region."""
    picture = (outside.shape[0] - 1, outside.shape[1] - 1)
    stride = _stride(picture, size)
    (top, bottom), (left, right) = (
        _fields(length, units, stride or length / units, field)
        for length, units in zip(picture, size, strict=True)
    )
    rows = outside[bottom] - outside[top]
    return bool((rows[:, right] == rows[:, left]).any())


def _fields(
    length: int, units: int, stride: float, field: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel of each unit's receptive field along one side, and the one after its last."""
    center = (np.arange(units) + 0.5) * stride
    first, end = np.floor(center - field / 2), np.ceil(center + field / 2)
    return first.clip(0, length).astype(np.int64), end.clip(0, length).astype(np.int64)


def thin_notes(names: Sequence[str], thin: Mapping[int, Sequence[str]]) -> tuple[str, ...]:
    """Say what ``thin_layers`` found, one sentence per region.

    Args:
        names: of all regions, in the order of the masks.
        thin: layers at which each region is thin, by the region's index.
    """
    return tuple(
        f"region {names[index]!r} is thinner than what a unit of {' or '.join(layers)} sees, so "
        "its style mixes with its neighbors' there"
        for index, layers in thin.items()
    )
