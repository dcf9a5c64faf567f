"""Strokes cut out of styles and laid by light: what a picture in thin lines starts from.

What is pulled to a style's moments has its strokes wherever it takes the fewest steps to come to
them, and from a smooth start that is relief: edges and plain ground embossed. What begins with
lines keeps them.

Source: Efros and Freeman 2001, Image Quilting. Departure: rims are mixed, steeply, not cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.picture import average, fit_within, resize, size_of
from layered_nst.styles.style import Style, StylePicture, pictures_of, stroke_side

SIDE = 256
"""Side in px at which it is chosen what is laid where, whatever the size of the result; that of a
smaller one."""
PATCH, APART = 16, 8
"""Side of what is cut out, and how far apart it is laid, in px of ``SIDE``."""
CELLS = 4
"""Patches are compared by their light in so many cells a side."""
CHOICE = 64
"""Of so many that are as light the one is laid that goes on best from those beside it."""
DRAWN = 0.25
"""Share of them among which a seed chooses."""
COARSE = 64
"""Side in px of what is none of a stroke: the light that they are laid by."""
LEAST_OWN = 1e-3
"""Where less of a cell is the region's, its light is the region's usual one."""
SHARP = 6
"""Power of the weight of a patch, from its middle to its rim: lines that are mixed turn gray."""


@dataclass(frozen=True)
class Laid:
    """What is laid where.

    Attributes:
        size: height and width of the picture at ``SIDE``.
        patches: of each its row and column there, the number of the style's picture, and row and
            column in that, all in px of ``SIDE``.
    """

    size: tuple[int, int]
    patches: Sequence[tuple[int, int, int, int, int]]


@torch.no_grad()
def chosen(
    picture: Tensor, mask: Tensor, styles: Sequence[Style], *, scale: float = 1.0, seed: int = 0
) -> Laid:
    """Choose what is laid on a region of a picture.

    Args:
        picture: shape (3, H, W) in [0, 1]; its light and dark choose, by their rank in the region.
        mask: the region, shape (H, W).
        styles: the blend that it gets; all pictures are cut from alike.
        scale: of its strokes.
        seed: 0 lays what goes on best; others choose among a part that they draw.

    Returns:
        No patches where picture or styles are too small to be cut.
    """
    side = min(SIDE, max(size_of(picture)))
    size = fit_within(size_of(picture), side)
    seen, own = resize(picture.cpu(), size), average(mask.cpu()[None], size)[0]
    light = _light(seen, own)
    cut = [_seen(picture, side, scale) for picture in pictures_of(styles)]
    coarse = [_coarse(rgb).mean(0) for rgb, _ in cut]
    places = [
        (number, row, column)
        for number, (_, shown) in enumerate(cut)
        for row, column in _wholly(shown, step=max(2, round(2 * scale)))
    ]
    here = [(row, column) for row, column in _grid(size) if bool((_at(own, row, column) > 0).any())]
    if not places or not here or not bool((own > 0.5).any()):
        return Laid(size, ())
    ranked = _as_dark(light, light[own > 0.5], torch.cat([c.flatten() for c in coarse]))
    known = torch.tensor(places)
    there = _cells(_cut([c[None] for c in coarse], known))
    wanted = _cells(_cut([ranked[None]], torch.tensor([(0, *place) for place in here])))
    nearest = torch.cdist(wanted, there).topk(min(CHOICE, len(places)), largest=False).indices
    if seed:
        drawn = torch.rand(nearest.shape, generator=torch.Generator().manual_seed(seed))
        few = max(1, round(DRAWN * nearest.shape[1]))
        nearest = nearest.gather(1, drawn.topk(few).indices)
    fine = [rgb - _coarse(rgb) for rgb, _ in cut]
    sheet = _Sheet(size, PATCH)
    patches = []
    for (row, column), numbers in zip(here, nearest, strict=True):
        best = int(numbers[sheet.lay_best(row, column, _cut(fine, known[numbers]))])
        patches.append((row, column, *places[best]))
    return Laid(size, patches)


@torch.no_grad()
def strokes(
    laid: Laid, styles: Sequence[Style], size: tuple[int, int], *, scale: float = 1.0
) -> Tensor:
    """The strokes that were chosen, at a size: what they add to the light that they lie on.

    Args:
        styles, scale: as they were chosen from.
        size: height and width.

    Returns:
        Shape (3, h, w), on the CPU, about 0 in the mean.
    """
    grown = max(size) / max(laid.size)
    side = round(PATCH * grown) + 1
    sheet = _Sheet(size, side)
    cut = [_seen(picture, max(size), scale)[0] for picture in pictures_of(styles)]
    fine = [F.pad((rgb - _coarse(rgb))[None], (0, side, 0, side), "replicate")[0] for rgb in cut]
    for row, column, number, *place in laid.patches:
        down, across = (round(at * grown) for at in place)
        patch = fine[number][:, down : down + side, across : across + side]
        sheet.lay(round(row * grown), round(column * grown), patch)
    return sheet.shown()


class _Sheet:
    """Patches laid over one another: in each pixel those whose middles are near count most."""

    def __init__(self, size: tuple[int, int], side: int) -> None:
        self.size, self.side = size, side
        across = (1 - torch.linspace(-1, 1, side).abs()).clamp(min=0) + 1e-3
        self.window = torch.outer(across, across) ** SHARP
        self.window /= self.window.max()
        self.sum = torch.zeros(3, size[0] + side, size[1] + side)
        self.weight = torch.full_like(self.sum[0], 1e-30)

    def lay_best(self, row: int, column: int, patches: Tensor) -> int:
        """Lay the one of several (N, 3, h, w) that is most like what lies there; its number."""
        there = _at(self.sum, row, column) / _at(self.weight, row, column)
        covered = _at(self.weight, row, column) > 1e-20
        apart = ((patches - there).square().sum(1) * covered).sum((1, 2))
        best = int(apart.argmin())
        self.lay(row, column, patches[best])
        return best

    def lay(self, row: int, column: int, patch: Tensor) -> None:
        height, width = patch.shape[1:]
        window = self.window[:height, :width]
        self.sum[:, row : row + height, column : column + width] += patch * window
        self.weight[row : row + height, column : column + width] += window

    def shown(self) -> Tensor:
        """Shape (3, h, w)."""
        self.sum /= self.weight
        return self.sum[:, : self.size[0], : self.size[1]]


def _seen(style: StylePicture, side: int, scale: float) -> tuple[Tensor, Tensor]:
    """A style's picture (3, h, w) and its mask (h, w) where strokes are sized by ``side``."""
    size = fit_within(size_of(style.rgb), stroke_side(side, scale))
    return resize(style.rgb.cpu(), size), average(style.mask.cpu()[None], size)[0]


def _light(rgb: Tensor, own: Tensor) -> Tensor:
    """The coarse light of a region of a picture (3, h, w) by its own pixels, shape (h, w): what
    stands beside it changes nothing far off."""
    gray = rgb.mean(0)
    usual = (gray * own).sum() / own.sum().clamp(min=1e-6)
    # Resizing overshoots: beside a border there would be less than nothing of a region.
    lit, there = _coarse(torch.stack([gray * own, own])).clamp(min=0)
    light: Tensor = (lit + LEAST_OWN * usual) / (there + LEAST_OWN)
    return light


def _coarse(rgb: Tensor) -> Tensor:
    """A picture (3, h, w) without what is finer than ``COARSE``."""
    size = rgb.shape[1], rgb.shape[2]
    return resize(resize(rgb, fit_within(size, min(COARSE, max(size)))), size)


def _grid(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Where patches are laid on a picture, the last ones at its edge."""
    if min(size) < PATCH:
        return []
    rows, columns = ([*range(0, side - PATCH, APART), side - PATCH] for side in size)
    return [(row, column) for row in rows for column in columns]


def _wholly(shown: Tensor, step: int) -> list[tuple[int, int]]:
    """Where a patch of a style is all style, by its mask (h, w)."""
    if min(shown.shape) < PATCH:
        return []
    part = F.avg_pool2d(shown[None], PATCH, step)[0]
    found: list[list[int]] = ((part > 0.99).nonzero() * step).tolist()
    return [(row, column) for row, column in found]


def _at(planes: Tensor, row: int, column: int) -> Tensor:
    return planes[..., row : row + PATCH, column : column + PATCH]


def _cut(pictures: Sequence[Tensor], places: Tensor) -> Tensor:
    """Patches (N, C, side, side) of pictures (C, h, w) of any sizes.

    Args:
        places: of each patch the number of its picture, its row and its column, shape (N, 3).
    """
    patches = pictures[0].new_empty(len(places), len(pictures[0]), PATCH, PATCH)
    for number, picture in enumerate(pictures):
        own = places[:, 0] == number
        if own.any():
            there = picture.unfold(1, PATCH, 1).unfold(2, PATCH, 1)
            patches[own] = there[:, places[own, 1], places[own, 2]].transpose(0, 1)
    return patches


def _cells(light: Tensor) -> Tensor:
    """Light of patches (N, 1, side, side) in their cells, shape (N, cells)."""
    return F.avg_pool2d(light, PATCH // CELLS).flatten(1)


def _as_dark(light: Tensor, own: Tensor, style: Tensor) -> Tensor:
    """Light that has the style's values, by its rank among its own."""
    # Not torch's quantiles: some of its versions refuse many values.
    shares = np.linspace(0, 1, 257)
    known, wanted = (np.quantile(values.numpy(), shares) for values in (own, style))
    return torch.from_numpy(np.interp(light.numpy(), known, wanted)).float()
