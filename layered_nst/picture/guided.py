"""Edge-aware refinement of soft masks by a fast guided filter with a color guide.

After He, Sun and Tang, "Guided Image Filtering" (2013), and He and Sun, "Fast Guided Filter"
(arXiv 1505.00996, 2015): in every window a mask is fitted as a linear function of the picture's
color; the fits are averaged, and the picture at full size then draws the mask's edges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture.resizing import size_of

RADIUS = 0.04
"""Window radius as a share of the photo's longer side."""

EPS = 3e-3
"""Variance of color, in squares of [0, 1], below which a window counts as flat."""

SHARPNESS = 2.0
"""Power that probabilities are raised to before they are filtered.

Where two classes are nearly as likely, the filter would let the photo's texture decide between
them, pixel by pixel; the power keeps such speckles down.
"""

GRID = 128
"""Longer side in px of the grid on which masks are fitted; finer ones take longer for nothing."""


AFFINE_GRID, AFFINE_RADIUS, AFFINE_EPS = 512, 0.03, 1e-4
"""Of `locally_affine`: longer side of its grid in px, radius of its windows as a share of that, and
the variance of color below which a window counts as flat."""


def box_mean(planes: Tensor, radius: int) -> Tensor:
    """Mean over the (2 radius + 1)² window around each pixel, cut off at the border.

    Args:
        planes: shape (C, H, W).
        radius: in px, at least 0.
    """
    side = 2 * radius + 1
    rows = F.avg_pool2d(planes, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, radius), count_include_pad=False)


def locally_affine(photo: Tensor, picture: Tensor, weight: Tensor) -> Tensor:
    """The picture nearest to another whose colors are a photo's, moved alike all around.

    Around each pixel colors are fitted as an affine function of the photo's (Luan et al. 2017,
    arXiv 1703.07511, who penalize what is not, by the matting Laplacian); the fits of neighboring
    windows are averaged, as in a guided filter. So edges are the photo's, and texture that the
    photo does not have is gone.

    Args:
        photo, picture: shape (3, H, W) in [0, 1].
        weight: what counts in the fits, shape (H, W) in [0, 1]: a region is fitted by itself.

    Returns:
        Shape (3, H, W) in [0, 1]; of use where the weight is above 0.
    """
    size = size_of(photo)
    scale = min(1.0, AFFINE_GRID / max(size))
    grid = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    guide, signal, mask = (resample(p, grid) for p in (photo, picture, weight[None]))
    radius = max(1, round(AFFINE_RADIUS * max(grid)))
    total = box_mean(mask, radius).clamp(min=1e-6)

    def mean(planes: Tensor) -> Tensor:
        return box_mean(planes * mask, radius) / total

    guides, signals = mean(guide), mean(signal)
    inverse = _inverse_covariance(guide, guides, eps=AFFINE_EPS, mean_of=mean)
    shared = mean((guide[:, None] * signal[None]).flatten(0, 1)).view(3, 3, *grid)
    slopes = torch.einsum("cdhw,dkhw->kchw", inverse, shared - guides[:, None] * signals[None])
    offsets = signals - (slopes * guides[None]).sum(1)
    fits = enlarge(mean(torch.cat([slopes.flatten(0, 1), offsets])), size)
    found: Tensor = (fits[:9].view(3, 3, *size) * photo[None]).sum(1) + fits[9:]
    return found.clamp(0, 1)


def guided_filter(
    guide: Tensor, signal: Tensor, *, radius: int, eps: float, full: Tensor | None = None
) -> Tensor:
    """Filter planes so that their edges follow the guide's.

    Args:
        guide: the picture, RGB in [0, 1], shape (3, h, w).
        signal: planes to filter, shape (K, h, w); the filter is linear in them, and planes that
            sum to 1 still do afterwards, but values may leave [0, 1] slightly.
        radius: window radius in px of ``guide``.
        eps: variance of color, in squares of [0, 1], below which a window counts as flat.
        full: the picture at full size (3, H, W); the result then has its size, while the fits
            are made at the guide's.

    Returns:
        Planes of shape (K, h, w), or (K, H, W) with ``full``.
    """
    mean_guide = box_mean(guide, radius)
    inverse = _inverse_covariance(
        guide, mean_guide, eps=eps, mean_of=partial(box_mean, radius=radius)
    )
    picture = guide if full is None else full
    result = picture.new_empty(len(signal), *picture.shape[-2:])
    for index, plane in enumerate(signal):
        # Plane by plane: the fits of all planes at full size would take four times the result.
        mean = box_mean(plane[None], radius)
        shared = box_mean(guide * plane, radius) - mean_guide * mean
        slope = torch.einsum("ijhw,jhw->ihw", inverse, shared)
        offset = mean - (slope * mean_guide).sum(0, keepdim=True)
        fit = box_mean(torch.cat([slope, offset]), radius)
        if full is not None:
            fit = enlarge(fit, size_of(picture))
        result[index] = (fit[:3] * picture).sum(0) + fit[3]
    return result


def refine(
    probabilities: Tensor, rgb: Tensor, *, radius: float = RADIUS, eps: float = EPS
) -> Tensor:
    """Sharpen class probabilities to the edges of the photo.

    Args:
        probabilities: shape (K, h, w), sum 1, of any size up to the photo's.
        rgb: the photo, shape (3, H, W), in [0, 1].
        radius: window radius as a share of the photo's longer side.
        eps: see ``guided_filter``.

    Returns:
        Probabilities of shape (K, H, W), in [0, 1], sum 1, more decided than before: see
        ``SHARPNESS``.
    """
    height, width = full = size_of(rgb)
    scale = min(1.0, GRID / max(full))
    grid = (max(1, round(height * scale)), max(1, round(width * scale)))
    probabilities = probabilities**SHARPNESS
    probabilities = probabilities / probabilities.sum(0, keepdim=True)
    result = enlarge(probabilities, full)
    # A class that is hardly anywhere needs no outline, and filtering is the cost here.
    present = (probabilities.amax((1, 2)) > 0.1).nonzero().flatten()
    result[present] = guided_filter(
        resample(rgb, grid),
        resample(probabilities[present], grid),
        radius=max(1, round(radius * max(grid))),
        eps=eps,
        full=rgb,
    )
    result.clamp_(0, 1)
    return result.div_(result.sum(0, keepdim=True).clamp_(min=1e-6))


def enlarge(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, h, w) bilinearly; a new tensor even when the size stays."""
    if planes.shape[-2:] == size:
        return planes.clone()
    return F.interpolate(planes[None], size, mode="bilinear", align_corners=False)[0]


def resample(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, H, W) bilinearly, antialiased where it shrinks; may return its input."""
    if planes.shape[-2:] == size:
        return planes
    resized: Tensor = F.interpolate(
        planes[None], size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0]


def _inverse_covariance(
    guide: Tensor, mean: Tensor, *, eps: float, mean_of: Callable[[Tensor], Tensor]
) -> Tensor:
    """Inverse of the guide's regularised color covariance per window, shape (3, 3, h, w)."""
    products = torch.stack([guide[i] * guide[j] for i in range(3) for j in range(i, 3)])
    outer = torch.stack([mean[i] * mean[j] for i in range(3) for j in range(i, 3)])
    rr, rg, rb, gg, gb, bb = mean_of(products) - outer
    rr, gg, bb = rr + eps, gg + eps, bb + eps
    # Cofactors written out: a batched solver takes ten times as long on 3x3 matrices.
    c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c00 + rg * c01 + rb * c02
    cofactors = torch.stack([c00, c01, c02, c01, c11, c12, c02, c12, c22])
    inverse: Tensor = (cofactors / determinant).reshape(3, 3, *determinant.shape)
    return inverse
