"""The affine maps that carry a region's features to its style's moments, in closed form.

Of all linear maps with the right mean and covariance, the optimal transport between two normal
distributions moves features least:

    T = S (S Σ S)^-½ S        S = Σ*^½

with Σ the region's covariance and Σ* its style's. Sources: Lu et al. 2019 (arXiv 1906.00668), Li et
al. 2017 (1705.08086) for whitening and coloring. Departures: a region of few positions borrows from
the whole picture's covariance, no direction is drawn out more than ``LARGEST_GAIN`` times, and a
style without texture leaves the drawing as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from layered_nst.styles.moments import PLAIN, covariance

LARGEST_GAIN = 4.0
"""What a JPEG leaves in a flat sky is no drawing to be painted."""
FLOOR = 1e-3
"""Of a covariance's mean eigenvalue: below it a direction holds rounding and nothing else."""


@dataclass(frozen=True)
class Carriers:
    """For each region the map that carries features f to ``matrix @ f + offset``.

    Attributes:
        matrix: shape (R, C, C).
        offset: shape (R, C).
        still: the map of what belongs to no region, shape (C, C); None leaves it as it is.
    """

    matrix: Tensor
    offset: Tensor
    still: Tensor | None = None

    def reading(self, measure: Tensor | None, mean: Tensor, dtype: torch.dtype) -> Carriers:
        """The same maps for features before they are taken to their measure, in a precision.

        Args:
            measure: the map (C, C) to the measure, None for none.
            mean: of the regions' features before it, shape (R, C): rounding moves no mean.
        """
        exact = self.matrix if measure is None else self.matrix @ measure
        matrix = exact.to(dtype)
        offset = self.offset + ((exact - matrix) @ mean[:, :, None])[:, :, 0]
        return Carriers(matrix, offset.to(dtype), None if measure is None else measure.to(dtype))


def carriers(
    mean: Tensor,
    second: Tensor,
    target_mean: Tensor,
    target_second: Tensor,
    *,
    count: Tensor,
    amount: Tensor,
    largest: float = LARGEST_GAIN,
) -> Carriers:
    """The maps of all regions at one layer.

    Args:
        mean, target_mean: of regions and of their styles, shape (R, C).
        second, target_second: raw second moments, shape (R, C, C).
        count: how many positions each region has, shape (R,).
        amount: how far each region is carried, shape (R,): 0 leaves it, 1 carries it all the way.
        largest: how far any direction is drawn out at most.

    Returns:
        Maps without a NaN for any moments that are numbers.
    """
    own, wanted = covariance(mean, second), covariance(target_mean, target_second)
    own = _borrowed(own, count, mean.shape[1])
    texture, whole = _energy(wanted), _energy(target_second)
    told = (texture / texture.maximum(PLAIN * whole).clamp(min=1e-20)).square()[:, None, None]
    # Not every device finds eigenvalues, and those of a hundred channels are soon found.
    matrix = _transport(own.cpu(), torch.lerp(own, wanted, told).cpu(), largest).to(mean)
    unmoved = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
    matrix = torch.lerp(unmoved, matrix, amount[:, None, None])
    center = torch.lerp(mean, target_mean, amount[:, None])
    return Carriers(matrix, center - (matrix @ mean[:, :, None])[:, :, 0])


def _borrowed(own: Tensor, count: Tensor, width: int) -> Tensor:
    """Covariances of regions, the fewer positions they have the nearer to that of all."""
    share = count / count.sum().clamp(min=1)
    everywhere = (share[:, None, None] * own).sum(0)
    return torch.lerp(everywhere, own, (count / (count + width))[:, None, None])


def _energy(values: Tensor) -> Tensor:
    return values.square().flatten(1).sum(1)


def _transport(own: Tensor, wanted: Tensor, largest: float) -> Tensor:
    """The map from covariances to covariances, both (R, C, C)."""
    # What is wanted, in a small share, is taken for there already: that limits the gain along every
    # direction, since T (Σ + ρ Σ*) T = Σ*.
    mixed = own + wanted / largest**2
    size = mixed.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    eye = torch.eye(own.shape[1], dtype=own.dtype, device=own.device)
    mixed = mixed + (FLOOR * size).clamp(min=1e-8) * eye
    values, vectors = _decomposed(wanted)
    raised = (values + (FLOOR * size[:, :, 0]).clamp(min=1e-8)).clamp(min=0)
    root = vectors * raised.sqrt()[:, None, :] @ vectors.mT
    return root @ _power(root @ mixed @ root, -0.5) @ root


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of symmetric matrices (R, C, C) that are not negative."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    floor = 1e-7 * values[:, -1:].clamp(min=1e-20)
    power: Tensor = vectors * values.maximum(floor)[:, None, :].pow(exponent) @ vectors.mT
    return power


def _decomposed(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (R, C) and vectors (R, C, C) of styles, which are the same time and again."""
    if matrix.requires_grad:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    parts = [_remembered(one.numpy().tobytes(), one.dtype) for one in matrix.contiguous()]
    values, vectors = (torch.stack(found) for found in zip(*parts, strict=True))
    return values, vectors


@lru_cache(maxsize=256)
def _remembered(data: bytes, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    side = math.isqrt(len(flat))
    values, vectors = torch.linalg.eigh(flat.view(side, side))
    return values, vectors
