"""Other sizes of a picture, and colors under transparency that nothing can pick up."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from layered_nst.picture.reading import unit
from layered_nst.picture.value import Picture

# Below this alpha a color is too coarse to divide back out of its product with alpha.
_VISIBLE = 1 / 510


def size_of(planes: Tensor) -> tuple[int, int]:
    """Height and width in px of pictures or masks, shape (…, H, W)."""
    return planes.shape[-2], planes.shape[-1]


def fit_within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Height and width scaled so that the longer one is ``longest``, each at least 1 px."""
    if min(size) < 1 or longest < 1:
        raise ValueError(f"sizes must be at least 1 px, not {size} and {longest}")
    # Whole numbers all the way: half a pixel is rounded up, on every machine alike.
    longer = max(size)
    height, width = ((2 * side * longest + longer) // (2 * longer) for side in size)
    return max(1, height), max(1, width)


def resize(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, H, W) or (H, W) to (C, *size) or size, clamped to [0, 1]; always a new tensor.

    Bicubic (a = -0.5); along a side that shrinks the kernel widens with the factor, so that
    nothing aliases. Constant pictures stay constant.
    """
    planes = tensor if tensor.ndim == 3 else tensor[None]
    if planes.shape[1:] != tuple(size):
        planes = functional.interpolate(
            planes[None], size=tuple(size), mode="bicubic", align_corners=False, antialias=True
        )[0]
    return planes.clamp(0.0, 1.0).reshape(*tensor.shape[:-2], *size)


def average(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean of (…, H, W) over the cells of another grid of any size, shape (…, *size).

    Cell i of n along a side of L px spans the px from ⌊iL/n⌋ to ⌈(i+1)L/n⌉, so that cells share px
    at their borders where n is no divisor of L. Masks that sum to 1 still do afterwards.
    """
    if planes.device.type == "mps":
        # Older releases of torch take nothing but divisors there (its pull request 169973).
        return _average_by_matrices(planes, size)
    return functional.adaptive_avg_pool2d(planes, size)


def _average_by_matrices(planes: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        _shares_of_cells(length, cells).to(planes)
        for length, cells in zip(planes.shape[-2:], size, strict=True)
    )
    return rows @ planes @ columns.T


def _shares_of_cells(length: int, cells: int) -> Tensor:
    """How much each px of a side (column) counts in each cell (row), shape (cells, length)."""
    number, px = torch.arange(cells)[:, None], torch.arange(length)
    start, end = number * length // cells, ((number + 1) * length + cells - 1) // cells
    return ((px >= start) & (px < end)) / (end - start).double()


def resize_picture(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize colors and alpha together; colors hidden under alpha reach no visible pixel.

    Colors are weighted by alpha while resizing; where the result is transparent they are filled
    from the nearest visible ones.
    """
    if picture.size == tuple(size):
        return picture
    if picture.alpha is None:
        return replace(picture, rgb=resize(picture.rgb, size), native=None)
    alpha = resize(picture.alpha, size)
    weighted = functional.interpolate(
        torch.cat([picture.rgb * picture.alpha, picture.alpha[None]])[None],
        size=tuple(size),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )[0]
    visible = weighted[3] > _VISIBLE
    rgb = (weighted[:3] / weighted[3].clamp_min(_VISIBLE)).clamp(0.0, 1.0)
    return replace(picture, rgb=_fill(rgb, visible), alpha=alpha, native=None)


def native_colors(picture: Picture, size: tuple[int, int]) -> Tensor | None:
    """The colors of a picture in the numbers of its profile, (3, *size) in [0, 1].

    None if ``rgb`` says all there is to say: the file was sRGB, or no RGB.
    """
    if picture.native is None:
        return None
    colors = torch.from_numpy(unit(picture.native)).movedim(-1, 0)
    return resize_picture(Picture(colors, picture.alpha), size).rgb


def bleed_under_alpha(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Replace the colors of fully transparent pixels by those of the nearest visible ones.

    rgb (3, H, W), alpha (H, W) -> (3, H, W). Visible pixels keep their exact values; where
    nothing is visible at all the result is mid grey. So no filter, however wide, ever picks up a
    color that the eye does not see. Method: push-pull, Gortler et al. 1996, The Lumigraph.
    """
    return rgb if alpha is None else _fill(rgb, alpha > 0)


def _fill(rgb: Tensor, visible: Tensor) -> Tensor:
    if bool(visible.all()):
        return rgb
    if not bool(visible.any()):
        return torch.full_like(rgb, 0.5)
    height, width = visible.shape
    weight = visible.to(rgb.dtype)
    # Channel by channel: at full size every temporary of all channels together would count.
    sums = torch.stack([_sums(plane * weight) for plane in rgb] + [_sums(weight)])
    del weight
    coarse = _pushed_and_pulled(sums)
    filled = torch.empty_like(rgb)
    for channel, plane in enumerate(rgb):
        smooth = _twice(coarse[channel : channel + 1], height, width)[0].clamp_(0.0, 1.0)
        torch.where(visible, plane, smooth, out=filled[channel])
    return filled


def _pushed_and_pulled(sums: Tensor) -> Tensor:
    """Colors (3, H, W) without holes, from colors times weight and the weight itself (4, H, W)."""
    # One visible pixel is enough to settle its cell; the average counts from there on.
    sums = sums / sums[3:].clamp_min(1.0)
    color, weight = sums[:3], sums[3:]
    height, width = weight.shape[1:]
    if height == width == 1 or bool((weight >= 1).all()):
        return color / weight
    coarse = _pushed_and_pulled(torch.stack([_sums(plane) for plane in sums]))
    return color + (1 - weight) * _twice(coarse, height, width)


def _sums(plane: Tensor) -> Tensor:
    """Sum (H, W) over cells of 2 x 2, rounding sizes up; what lies outside counts nothing."""
    height, width = plane.shape
    padded = functional.pad(plane[None], (0, width % 2, 0, height % 2))
    return functional.avg_pool2d(padded, 2)[0] * 4


def _twice(planes: Tensor, height: int, width: int) -> Tensor:
    enlarged = functional.interpolate(
        planes[None], scale_factor=2, mode="bilinear", align_corners=False
    )
    return enlarged[0, :, :height, :width]
