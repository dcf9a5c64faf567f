"""Color statistics of regions and the CIE Lab space, on tensors.

Sources: Pitié and Kokaram 2007 for the linear Monge-Kantorovich map; CIE 15 and IEC 61966-2-1 for
Lab (D65) and sRGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.styles.moments import Moments, compute, update


def color_moments(rgb: Tensor, weight: Tensor) -> Moments:
    """Mean and second moment of colors, accumulated in float64.

    Args:
        rgb: colors of shape (3, H, W).
        weight: weights in [0, 1] of shape (H, W).
    """
    return compute(update(rgb.flatten(1).T.double(), weight.flatten().double()))


def transport(source: Moments, target: Moments) -> tuple[Tensor, Tensor]:
    """The linear optimal-transport map that moves one color distribution onto another.

    Returns:
        Matrix (C, C) and offset (C,) with ``target ≈ matrix @ source + offset``; of all linear
        maps with the right mean and covariance the one that moves colors least.
    """
    root, inverse = _roots(_regular(source.covariance))
    middle, _ = _roots(root @ _regular(target.covariance) @ root)
    matrix = inverse @ middle @ inverse
    return matrix, target.mean - matrix @ source.mean


def _regular(covariance: Tensor) -> Tensor:
    # A flat sky or a one-color style has no spread to divide by.
    floor = 1e-4 * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return covariance + floor


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=1e-12).sqrt()
    return vectors * values @ vectors.T, vectors / values @ vectors.T


def move_colors(colors: Tensor, source: Moments, target: Moments, *, amount: float = 1) -> Tensor:
    """Move the color statistics of a picture.

    Args:
        colors: picture of shape (C, H, W).
        source, target: where its statistics are and where they should go.
        amount: 0 leaves the picture as it is, 1 moves it all the way.
    """
    matrix, offset = (part.to(colors) for part in transport(source, target))
    moved = torch.einsum("ij,jhw->ihw", matrix, colors) + offset[:, None, None]
    return colors.lerp(moved, amount)
