"""What has come into sight, begun: painted as what looked like it before, or else at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import hypot

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.errors import LibraryError
from layered_nst.instant.network import Painter
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import INSTANT, LIGHT, Plan
from layered_nst.painting.problem import Problem
from layered_nst.strategies.at_once import paint_problem, painter_for
from layered_nst.video.fusion import GRAY, scaled
from layered_nst.video.opencv import box_mean, cv2

JOINS, LEAST_JOINED = 6, 0.05
"""Px within which colors of what is new are those of what it joins on to, and the share of what is
known around below which they are its own."""
NEAR = (-8, -4, 0, 4, 8)
FAR = (-0.6, -0.3, -0.15, 0, 0.15, 0.3, 0.6)
"""How far off, across and down, a place may lie that looked as what is new looks now: near by, in
px, only behind what has gone out of sight, since strokes next to themselves make bands; and else in
longer sides."""
INWARD = 0.1
"""Longer sides by which the place of what comes in over an edge lies further in, at least: else all
that comes in over many frames would be one and the same strip again and again."""
LARGEST = 160
"""Longest side in px at which places are compared."""
AROUND = 4
"""Px there around each that are compared with it."""
BETTER = 0.01
"""By how much a place has to be more alike than one that was asked before, so that neighbors come
from the same."""
MOST = 0.3
"""A pixel that differs by more, of 1, is no less alike."""
SEAM, SHARP = 7, 4
"""Px there within which neighbors settle where they come from, and by how much the most are right:
places are joined in seams, not pixel by pixel."""
ALIKE = 0.06
"""What differs by less in the mean looks alike; what differs by half as much again does not."""


Step = tuple[int, int]
Part = tuple[slice, slice]
WHOLE: Part = (slice(None), slice(None))


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


@dataclass(frozen=True)
class Sighted:
    """A frame as it was seen, on the CPU.

    Attributes:
        photo: shape (3, H, W).
        whose: number of each pixel's region, shape (H, W).
    """

    photo: Tensor
    whose: Tensor


def painted_as_before(
    now: Sighted,
    before: Sighted,
    canvas: Tensor,
    lacking: Tensor,
    gone: Tensor,
    *,
    comes_in: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What is new, painted as what looked like it was in the frame before.

    A few fine steps make strokes better, but none where there are none, and what is painted at
    once has other colors than a shot's first painting gave to the same things. So the painting of
    places whose photo was alike is taken over, lighter or darker by as much as the photo is now.
    Whole neighborhoods come from places equally far off: strokes stay in one piece.

    Source: Hertzmann et al. 2001, Image Analogies (SIGGRAPH).

    Args:
        now, before: the frame and the one before it.
        canvas: that was painted of the one before, shape (3, H, W).
        lacking: where something is new, shape (H, W), bool.
        gone: what of the one before is no longer in sight, shape (H, W), bool.
        comes_in: what has come in over the top or bottom of the frame, and over its sides, shape
            (2, H, W), bool; None for nothing.

    Returns:
        The painting, shape (3, H, W), and how far what it was made of was alike, (H, W) in [0, 1].
    """
    size = lacking.shape
    scale = min(1.0, LARGEST / max(size))
    over = torch.zeros(2, *size, dtype=torch.bool) if comes_in is None else comes_in
    hidden, wanted, *edges = (
        scaled(part.numpy().astype(np.float32), scale) for part in (gone, lacking, *over)
    )
    within = [edge == 0 for edge in edges]
    which, steps, gap = _alike(now, before, hidden, within, scale)
    which[wanted == 0] = -1
    there = canvas - box_mean(before.photo, JOINS)
    taken, votes = torch.zeros_like(canvas), torch.zeros(size)
    for number in np.unique(which[which >= 0]):
        vote = cv2().blur((which == number).astype(np.float32), (SEAM, SEAM)) ** SHARP
        of = torch.from_numpy(cv2().resize(vote, size[::-1], interpolation=cv2().INTER_LINEAR))
        far = tuple(round(part / scale) for part in steps[number])
        here, place = _overlap(far, size, _around(vote, scale))
        taken[:, *here] += of[here] * there[:, *place]
        votes[here] += of[here]
    taken = (taken / votes.clamp(min=1e-9) + box_mean(now.photo, JOINS)).clamp(0, 1)
    apart = torch.from_numpy(cv2().resize(gap, size[::-1], interpolation=cv2().INTER_LINEAR))
    alike = ((1.5 - apart / ALIKE) * 2).clamp(0, 1) * (votes > 1e-9)
    return taken, alike


def _alike(
    now: Sighted,
    before: Sighted,
    hidden: NDArray[np.float32],
    within: Sequence[NDArray[np.bool_]],
    scale: float,
) -> tuple[NDArray[np.int32], list[Step], NDArray[np.float32]]:
    """Which of some steps leads from each pixel to its likeness in the frame before, -1 where
    there is none within its region; these steps, down and across; and how far the likeness is from
    the pixel, of 1. All of pictures that are smaller by a scale, as ``hidden`` is."""
    photos = [scaled(seen.photo.movedim(0, -1).numpy(), scale) for seen in (now, before)]
    regions = [scaled(seen.whose.numpy().astype(np.float32), scale) for seen in (now, before)]
    unseen = cv2().blur(hidden, (5, 5)) > 0.5
    best = np.ones(hidden.shape, np.float32)
    which = np.full(hidden.shape, -1, np.int32)
    steps: list[Step] = []
    for step, is_near in _steps(scale, hidden.shape):
        here, there = _overlap(step, hidden.shape)
        apart = cv2().transform(cv2().absdiff(photos[0][here], photos[1][there]), GRAY)
        cost = cv2().blur(np.minimum(apart, MOST), (2 * AROUND + 1, 2 * AROUND + 1))
        fits = cost < best[here] - BETTER
        fits &= np.abs(regions[0][here] - regions[1][there]) < 0.5
        if is_near:
            fits &= unseen[there]
        for far, inside in zip(step, within, strict=True):
            if abs(far) < INWARD * max(hidden.shape):
                fits &= inside[here]
        best[here][fits], which[here][fits] = cost[fits], len(steps)
        steps.append(step)
    return which, steps, best


def _steps(scale: float, size: Sequence[int]) -> Iterator[tuple[Step, bool]]:
    """How far down and across likenesses are looked for, px of pictures of a size that are so
    much smaller than the frame, and whether that is near."""
    tried = set()
    for reach, unit, order in ((NEAR, scale, _nearest), (FAR, max(size), _furthest_aside)):
        for far in sorted(product(reach, reach), key=order):
            step = round(far[0] * unit), round(far[1] * unit)
            if step not in tried and all(abs(s) < n for s, n in zip(step, size, strict=True)):
                tried.add(step)
                yield step, reach is NEAR


def _nearest(far: tuple[float, float]) -> tuple[float, ...]:
    return (hypot(*far),)


def _furthest_aside(far: tuple[float, float]) -> tuple[float, ...]:
    """Straight beside or above come first, the furthest of them: what comes in over many frames
    repeats what it is taken from."""
    less, more = sorted(map(abs, far))
    return less, -more


def _overlap(step: Step, size: Sequence[int], part: Part = WHOLE) -> tuple[Part, Part]:
    """What of a picture, or of a part of it, has a place so far from it within the picture, and
    those places."""
    here, there = [], []
    for far, length, within in zip(step, size, part, strict=True):
        start, stop, _ = within.indices(length)
        start = max(start, -far, 0)
        stop = max(start, min(stop, length - max(0, far)))
        here.append(slice(start, stop))
        there.append(slice(start + far, stop + far))
    return (here[0], here[1]), (there[0], there[1])


def _around(vote: NDArray[np.float32], scale: float) -> Part:
    """The part of a picture in which votes are found, of one that is smaller by a scale."""
    rows, columns = (
        slice(max(0, int((found[0] - 1) / scale)), int((found[-1] + 2) / scale) + 1)
        for found in (np.flatnonzero(vote.any(axis)) for axis in (1, 0))
    )
    return rows, columns
