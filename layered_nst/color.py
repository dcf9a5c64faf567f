"""Color statistics of regions and the CIE Lab space, on tensors.

Sources: Pitié and Kokaram 2007 for the linear Monge-Kantorovich map; CIE 15 and IEC 61966-2-1 for
Lab (D65) and sRGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.moments import Moments, compute, update

_RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)
_CUT, _SLOPE = (6 / 29) ** 3, (29 / 6) ** 2 / 3


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


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to CIE Lab (D65), shape (3, H, W); L in 0 to 100."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,jhw->ihw", rgb.new_tensor(_RGB_TO_XYZ), linear)
    ratio = xyz / rgb.new_tensor(_WHITE)[:, None, None]
    root = torch.where(ratio > _CUT, ratio.clamp(min=_CUT) ** (1 / 3), ratio * _SLOPE + 4 / 29)
    x, y, z = root
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE Lab (D65) to sRGB, shape (3, H, W), clamped to [0, 1]."""
    y = (lab[0] + 16) / 116
    root = torch.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    ratio = torch.where(root > 6 / 29, root**3, (root - 4 / 29) / _SLOPE)
    xyz = ratio * lab.new_tensor(_WHITE)[:, None, None]
    to_rgb = torch.linalg.inv(lab.new_tensor(_RGB_TO_XYZ).double()).to(lab.dtype)
    linear = torch.einsum("ij,jhw->ihw", to_rgb, xyz).clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055
    ).clamp(0, 1)


def restore_chroma(rgb: Tensor, photo: Tensor, amount: Tensor) -> Tensor:
    """Give a picture the photo's chroma and keep its own lightness.

    Args:
        rgb, photo: pictures of shape (3, H, W) in [0, 1].
        amount: how much of the photo's chroma at each pixel, shape (H, W) in [0, 1].
    """
    if not bool((amount > 0).any()):
        return rgb
    lab, wanted = rgb_to_lab(rgb), rgb_to_lab(photo)
    recolored = torch.cat([lab[:1], lab[1:].lerp(wanted[1:], amount)])
    return torch.where(amount > 0, lab_to_rgb(recolored), rgb)
