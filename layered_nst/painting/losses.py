"""What a picture is judged by: pure functions from features and targets to numbers.

Each loss is relative, so that a weight means the same at every size, layer and area.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture.variation import neighbors


def style_losses(
    mean: Tensor, second: Tensor, target_mean: Tensor, target_second: Tensor
) -> Tensor:
    """Distance of each region's moments to its style's, at one layer.

    ``‖Σ − Σ*‖² / ‖Σ*‖² + ‖μ − μ*‖² / ‖μ*‖²`` with Σ the centred second moment. The centred form
    separates contrast from brightness, which the raw Gram matrix trades against each other
    (Risser et al. 2017, arXiv 1701.08893).

    Args:
        mean, target_mean: shape (R, C).
        second, target_second: raw second moments, shape (R, C, C).

    Returns:
        One number a region, shape (R,).
    """
    spread = second - mean[:, :, None] * mean[:, None, :]
    wanted = target_second - target_mean[:, :, None] * target_mean[:, None, :]
    return _relative(spread - wanted, wanted) + _relative(mean - target_mean, target_mean)


def _relative(error: Tensor, target: Tensor) -> Tensor:
    energy = target.square().flatten(1).sum(1).clamp(min=1e-12)
    return error.square().flatten(1).sum(1) / energy


def content_loss(features: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``Σ w ‖f − f*‖² / Σ ‖f*‖²`` over the positions that w admits.

    Args:
        features, target: shape (1, C, h, w).
        weight: how much each position matters, shape (h, w); 0 where it doesn't.
    """
    return content_error(features, target, weight) / content_energy(target, weight)


def content_error(features: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The numerator of ``content_loss``; those of tiles add up."""
    return ((features - target).square().sum(1)[0] * weight).sum()


def content_energy(target: Tensor, weight: Tensor) -> Tensor:
    """The denominator of ``content_loss``."""
    return (target.square().sum(1)[0] * (weight > 0)).sum().clamp(min=1e-12)


def total_variation(picture: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the squared differences of neighboring pixels, down plus across.

    Args:
        picture: shape (1, C, H, W).
        weight: of each pixel, shape (H, W), not negative; two neighbors count by the lesser of
            theirs. One over the mean of a style (``variation``) makes the result 1 where a picture
            varies like the style.
    """
    found = ((squared * lesser).mean() for squared, lesser in neighbors(picture, weight))
    return sum(found, picture.new_zeros(()))


def out_of_range(picture: Tensor) -> Tensor:
    """Mean squared distance of pixel values to [0, 1]; keeps clipping from making flat patches."""
    return (picture - picture.clamp(0, 1)).square().mean()


def laplacian_loss(picture: Tensor, target: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Difference of the Laplacians of two pictures after pooling by ``pool``, relative.

    Source: Li et al. 2017, Laplacian-Steered Neural Style Transfer (arXiv 1707.01253). Departure:
    relative to the energy of the target's Laplacian, so that it needs no tuning by picture.

    Args:
        picture, target: shape (1, 3, H, W).
        weight: how much each pixel matters, shape (H, W); 0 where it doesn't.
        pool: side of the averaged squares in px, cut at the picture's shorter side.
    """
    pool = max(1, min(pool, *picture.shape[2:]))
    here, there = laplacian(picture, pool), laplacian(target, pool)
    mask = F.avg_pool2d(weight[None, None], pool)[0, 0]
    energy = (there.square() * (mask > 0)).sum().clamp(min=1e-6)
    return ((here - there).square() * mask).sum() / energy


def laplacian(picture: Tensor, pool: int) -> Tensor:
    """The 5-point Laplacian of a pooled picture, summed over channels, shape (h, w)."""
    grey = F.avg_pool2d(picture, pool).sum(1, keepdim=True)
    grey = F.pad(grey, (1, 1, 1, 1), "replicate")
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return (4 * grey[..., 1:-1, 1:-1] - around)[0, 0]


def contour_loss(logits: list[Tensor], targets: list[Tensor], weights: list[Tensor]) -> Tensor:
    """How far contours have moved: mean squared difference of edge probabilities, relative.

    Args:
        logits: side outputs of the picture, each (1, 1, h, w).
        targets: edge probabilities of the photo, the same shapes.
        weights: how much each position matters at each scale, each (h, w); 0 where it doesn't.
    """
    errors = contour_errors(logits, targets, weights)
    return contour_mean(
        errors, [contour_energy(t, w) for t, w in zip(targets, weights, strict=True)]
    )


def contour_errors(
    logits: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """The numerator of ``contour_loss`` at each scale; those of tiles add up."""
    return [
        ((logit.sigmoid() - target).square()[0, 0] * weight).sum()
        for logit, target, weight in zip(logits, targets, weights, strict=True)
    ]


def contour_energy(target: Tensor, weight: Tensor) -> Tensor:
    """The denominator of ``contour_loss`` at one scale."""
    return (target.square()[0, 0] * (weight > 0)).sum().clamp(min=1e-6)


def contour_mean(errors: Sequence[Tensor], energies: Sequence[Tensor]) -> Tensor:
    """``contour_loss`` from its parts."""
    total = errors[0].new_zeros(())
    for error, energy in zip(errors, energies, strict=True):
        total = total + error / energy
    return total / len(errors)
