"""Colors held to a palette, such as a brand's: every color becomes a mixture of a few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture.lab import lab_to_rgb, rgb_to_lab

GRID = 33
"""Points a side of the cube of colors that are looked up; between them colors are mixed."""
STEPS = 300
BANDS = 2**20
"""Pixels that are looked up at once."""

RGB = tuple[int, int, int]


def held_to(rgb: Tensor, palette: Sequence[RGB]) -> Tensor:
    """Move each color of a picture to the nearest mixture of a palette's, in CIE Lab.

    Mixtures are all colors between those of the palette: of two, the line from one to the other,
    of three a triangle. A palette of one color has its tints and shades too, from white to black:
    alone it would leave no drawing.

    Args:
        rgb: shape (3, H, W) in [0, 1].
        palette: at least one color, red, green and blue from 0 to 255.
    """
    table = _table(tuple(palette)).to(rgb)
    flat, found = rgb.flatten(1), torch.empty_like(rgb).flatten(1)
    for first in range(0, flat.shape[1], BANDS):
        part = slice(first, first + BANDS)
        # Red varies fastest in the table's last axis, which grid_sample calls x.
        place = (flat[:, part].clamp(0, 1) * 2 - 1).T[None, None, None]
        lab = F.grid_sample(table[None], place, align_corners=True)[0, :, 0]
        found[:, part] = lab_to_rgb(lab)[:, 0]
    return found.view_as(rgb)


@lru_cache(maxsize=16)
def _table(palette: tuple[RGB, ...]) -> Tensor:
    """Lab of the nearest mixture to each color of a cube, shape (3, blue, green, red).

    It takes about a second, and every frame of a clip asks for it.
    """
    axis = torch.linspace(0, 1, GRID, dtype=torch.float64)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    cube = torch.stack([red, green, blue]).flatten(1)[:, None]
    colors = [*palette, *([(255, 255, 255), (0, 0, 0)] if len(palette) == 1 else [])]
    corners = torch.tensor(colors, dtype=torch.float64).T[:, None] / 255
    wanted, there = rgb_to_lab(cube)[:, 0].T, rgb_to_lab(corners)[:, 0].T
    return (_weights(wanted, there) @ there).T.reshape(3, GRID, GRID, GRID)


def _weights(points: Tensor, corners: Tensor) -> Tensor:
    """Shares of corners (N, 3) in the mixture nearest to each point (P, 3), shape (P, N).

    Accelerated projected gradient (Beck and Teboulle 2009) over the simplex.
    """
    step = 1 / torch.linalg.matrix_norm(corners @ corners.T, 2).clamp(min=1e-9)
    weights = points.new_full((len(points), len(corners)), 1 / len(corners))
    ahead, pace = weights, 1.0
    for _ in range(STEPS):
        slope = (ahead @ corners - points) @ corners.T
        moved = _on_simplex(ahead - step * slope)
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        ahead = moved + (pace - 1) / faster * (moved - weights)
        weights, pace = moved, faster
    return weights


def _on_simplex(values: Tensor) -> Tensor:
    """The nearest shares, at least 0 and 1 in all, to each row (P, N); Duchi et al. 2008."""
    falling, _ = values.sort(1, descending=True)
    excess = falling.cumsum(1) - 1
    count = torch.arange(1, values.shape[1] + 1, dtype=values.dtype, device=values.device)
    last = (falling - excess / count > 0).sum(1, keepdim=True)
    level = excess.gather(1, last - 1) / last
    return (values - level).clamp(min=0)
