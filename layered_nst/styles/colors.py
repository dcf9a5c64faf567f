"""Color statistics of regions, and how they are moved to others, on tensors.

Source: Pitié and Kokaram 2007 for the linear Monge-Kantorovich map.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from layered_nst.machine.device import in_float64
from layered_nst.styles.moments import Moments, compute, merge, update

# No color is drawn out more than so many times: gains reached 9 in the gallery and 30 on gray
# skies, where what a JPEG leaves of chroma became a pattern, and the content that is held.
LARGEST_GAIN = 4.0
# Colors that differ by less than 5 of 255 are one color; of what such a swatch is laid on, this
# much of light and dark stays.
ONE_COLOR, LIGHT_KEPT = 3 * 0.02**2, 0.6
PART = 2**20
"""Pixels whose colors are counted or moved at a time."""


def color_moments(rgb: Tensor, weight: Tensor) -> Moments:
    """Mean and second moment of colors, accumulated in float64 and kept on the CPU.

    Args:
        rgb: colors of shape (3, H, W).
        weight: weights in [0, 1] of shape (H, W).
    """
    # In parts: in float64 a print's colors would take four times the memory of the print.
    colored, weighed = torch.split(rgb.flatten(1), PART, 1), torch.split(weight.flatten(), PART)
    parts = zip(colored, weighed, strict=True)
    sums = [update(in_float64(colors.T), in_float64(weights)) for colors, weights in parts]
    return compute(sums[0] if len(sums) == 1 else merge(*sums)).to("cpu")


def transport(source: Moments, target: Moments) -> tuple[Tensor, Tensor]:
    """The linear optimal-transport map that moves one color distribution onto another.

    Returns:
        Matrix (C, C) and offset (C,) with ``target ≈ matrix @ source + offset``; of all linear
        maps with the right mean and covariance the one that moves colors least, but that none is
        drawn out more than ``LARGEST_GAIN`` times.
    """
    root, inverse = _roots(_regular(source.covariance))
    middle, _ = _roots(root @ _regular(target.covariance) @ root)
    matrix = _capped(inverse @ middle @ inverse)
    return matrix, target.mean - matrix @ source.mean


def _capped(matrix: Tensor) -> Tensor:
    """A symmetric matrix with its eigenvalues, which are its gains, at most ``LARGEST_GAIN``."""
    gains, directions = torch.linalg.eigh(matrix)
    if not bool((gains > LARGEST_GAIN).any()):
        return matrix
    capped: Tensor = directions * gains.clamp(max=LARGEST_GAIN) @ directions.T
    return capped


def with_light_of(target: Moments, source: Moments) -> Moments:
    """The colors of a style for what they are laid on; one color alone takes on its light and dark.

    Args:
        target: of the style, in RGB.
        source: of the photo's region, in RGB.
    """
    plain = (1 - target.covariance.trace() / ONE_COLOR).clamp(min=0)
    gray = torch.ones_like(target.mean) / len(target.mean) ** 0.5
    light = plain * LIGHT_KEPT**2 * (gray @ source.covariance @ gray)
    return replace(target, second=target.second + light * torch.outer(gray, gray))


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
    result = torch.empty_like(colors)
    rows = max(1, PART // colors.shape[2])
    for start in range(0, colors.shape[1], rows):
        part = colors[:, start : start + rows]
        moved = torch.einsum("ij,jhw->ihw", matrix, part) + offset[:, None, None]
        result[:, start : start + rows] = part.lerp(moved, amount)
    return result
