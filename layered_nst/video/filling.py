"""What has come into sight, begun: painted at once, in the colors and strokes of what is around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.errors import LibraryError
from layered_nst.instant.network import Painter
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import INSTANT, LIGHT, Plan
from layered_nst.painting.problem import Problem
from layered_nst.strategies.at_once import paint_problem, painter_for
from layered_nst.video.opencv import box_mean

FAR = (48, 24, 12, 96)
"""How many px off strokes are copied from for what has just come into sight."""
JOINS, LEAST_JOINED = 6, 0.05
"""Px within which colors of what is new are those of what it joins on to, and the share of what is
known around below which they are its own."""
THIN = 7
"""Narrower gaps in what is known, px, have no strokes of their own."""
STROKE = 15
"""Px within which what a painting has beyond what was begun with is a stroke; what is wider is a
color."""
BOLDEST = 0.25
"""How far copied strokes may be from the photo, of 1."""
MARGIN = 3
"""Px from a region's border within which its strokes are not copied."""


@dataclass(frozen=True)
class Filler:
    """Paints at once what has come into sight, so that it has colors and strokes to begin with."""

    painter: Painter
    encoder: Encoder
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, encoders: Mapping[str, Encoder]) -> Filler:
        """That of a clip's plan."""
        level = replace(plan.levels[-1], encoder=LIGHT, steps=1)
        at_once = replace(plan, levels=(level,), painter=INSTANT)
        return cls(painter_for(at_once, encoders[LIGHT]), encoders[LIGHT], at_once)

    def __call__(self, asked: Problem) -> Tensor:
        """The canvas of a problem, shape (3, H, W).

        Looks of a library that the painter's encoder has not seen leave it the moved colors.
        """
        try:
            return paint_problem(self.painter, self.encoder, asked, self.plan)
        except LibraryError:
            return asked.start


def joined(new: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """What is new in the colors of what it joins on to: no border shows.

    Args:
        new: shape (3, H, W).
        known: what is known of the painting, times its share.
        share: how far each pixel is known, shape (H, W).
    """
    gap = known - share * new
    near, weight = (box_mean(box_mean(x, JOINS), JOINS) for x in (gap, share[None]))
    return (new + near / (weight + LEAST_JOINED)).clamp(0, 1)


def with_strokes(plain: Tensor, known: Tensor, share: Tensor, whose: Tensor) -> Tensor:
    """A photo with strokes like those of what was painted nearby.

    A few fine steps make strokes better, but none where there are none. So what a painting has
    beyond its photo is copied from some way off within its region, always as far off: as things
    come into sight, strokes go on from frame to frame.

    Args:
        plain: the photo with its colors moved, shape (3, H, W).
        known: what is known of the painting, times its share.
        share: how far each pixel is known, shape (H, W).
        whose: number of each pixel's region, shape (H, W).
    """
    sure, numbers = (share > 0.5).numpy(), whose.numpy()
    painted = (known / share.clamp(min=0.5)).numpy()
    strokes = _fine(painted - plain.numpy(), sure).clip(-BOLDEST, BOLDEST)
    filled = plain.numpy().copy()
    wide = _wide(~sure)
    for number in np.unique(numbers[wide]):
        own = sure & (numbers == number)
        inner = ndimage.binary_erosion(own, iterations=MARGIN, border_value=1)
        if inner.any():
            here, there = _sources(inner, wide & (numbers == number))
            filled[:, here[0], here[1]] += strokes[:, there[0], there[1]]
    return torch.from_numpy(filled).clamp(0, 1)


def _fine(planes: NDArray[Any], sure: NDArray[np.bool_]) -> NDArray[Any]:
    """What is finer than strokes are wide, of planes that are known in part."""
    sides = (0, STROKE, STROKE)
    weight = ndimage.uniform_filter(sure.astype(np.float32), sides[1:])
    mean = ndimage.uniform_filter(planes * sure, sides) / np.maximum(weight, 1e-3)
    return np.asarray(planes - mean, np.float32)


def _wide(lacking: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is lacking but for thin gaps; it goes on beyond the picture's borders."""
    around = np.pad(lacking, THIN, constant_values=True)
    wide: NDArray[np.bool_] = ndimage.binary_opening(around, np.ones((THIN, THIN)))
    return wide[THIN:-THIN, THIN:-THIN]


Indices = tuple[NDArray[np.intp], NDArray[np.intp]]


def _sources(own: NDArray[np.bool_], lacking: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Where strokes are lacking, and where they are copied from, as rows and columns.

    That is some px towards what is nearest, straight across or down; those that find nothing
    there are left out.
    """
    row, column = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
    here = np.nonzero(lacking)
    # Each piece takes them from one side: from pixel to pixel they would be noise.
    pieces = ndimage.label(lacking, np.ones((3, 3)))[0][here]
    down, across = (
        np.bincount(pieces, (nearest[here] - place).astype(float))[pieces]
        for nearest, place in zip((row, column), here, strict=True)
    )
    upright = np.abs(down) > np.abs(across)
    steps = (
        np.where(upright, np.sign(down), 0).astype(int),
        np.where(upright, 0, np.sign(across)).astype(int),
    )
    found, there = np.zeros(len(here[0]), bool), (here[0].copy(), here[1].copy())
    for far in FAR:
        place = tuple(
            np.clip(at + far * step, 0, length - 1)
            for at, step, length in zip(here, steps, own.shape, strict=True)
        )
        fits = ~found & own[place]
        for part, other in zip(there, place, strict=True):
            part[fits] = other[fits]
        found |= fits
    return (here[0][found], here[1][found]), (there[0][found], there[1][found])
