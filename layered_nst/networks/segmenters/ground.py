"""Plain grounds: what a studio's backdrop says of where a subject begins and ends.

Products are photographed before a wall, a sweep of paper, a sky: a smooth surface that can be
fitted. What differs from it is hardly ground, however thin (leaves, antennae, a chain); what equals
it is hardly subject (the inside of a ring). A network that draws at half its size knows neither.
Photos without such a ground are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.picture import fit_within, guided, size_of
from layered_nst.picture.lab import linear_light

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.bool_]

GRID = 320
"""Longer side in px on which the ground is fitted."""

EACH = 3
"""Every so manyth place down and across is fitted to: hundreds for each unknown."""

DEGREE = 3
"""Of the polynomial in place that each channel's logarithm is: light falls off toward corners."""

ROUNDS, WIDE, NARROW = 12, 0.3, 0.06
"""Rounds of the fit, and how far from it a color may be, at first and at last, to count by half."""

BRIGHTEST, LEAST_LIGHT, DARKEST = 0.99, 1e-3, 0.02
"""The quantile of linear light that counts as 1, so that nights are judged as days are, but for
black; and what is added before logarithms are taken: below, a photo is noise."""

TINTED, LIGHTER, SHADED = 0.15, 0.3, -0.8
"""What leaves the ground, as differences of logarithms: a color that is not the ground's in more or
less light, or more light than it has. Less light alone is a shadow; deeper ones may be more tinted.
Past the last, a place is no longer counted as plain."""

LEAST_GROUND, LEAST_PLAIN, LEAST_RING = 0.15, 0.6, 0.96
"""Shares: of the photo that is not the subject's, of that which the fit explains, and of its edge.
Land under a sky, or a floor, reaches that edge; what stands before a backdrop seldom does."""

RING, LEAST_SEEN = 0.03, 0.4
"""Breadth of that edge as a share of the longer side, and how much of it must show the ground."""

SAME, NOISE = 0.08, 3.0
"""Up to where a place equals the ground: this far, and so many times the usual distance from it."""

WHITE, CLEAR, UNSURE = 0.985, 15.0, 0.25
"""As white as a photo can be, ground is not told from white things, but where what surrounds it is
so many times as far from it as counts as equal; or fewer times, where the network is as unsure as
this many logits for each."""

LEAST_COLORED = 0.04
"""Share of what is not as the ground that has to be colored, not the ground in less light: a line
drawing is all ink, and what it draws around is its subject."""

MARGIN = 3
"""Places this near to the subject are mixtures of both, and say nothing."""

LEAST_OTHER, LEAST_SAME = 12, 0.001
"""Of a part that speaks: places, and share of the photo."""

FOR, AGAINST, A_STEP = -2.5, 5.5, 2.0
"""What the network is surer of stays: median logits that a part must have above the one to become
subject, and below the other to become ground; below ``A_STEP`` for each time more that what
surrounds it is as far from the ground as counts as equal. So a ring's hole is one, and a pale fold,
or the part of a plate that is as light as the table, is not."""

ROUGHER, SMOOTH = 3.0, 1e-3
"""How many times the ground's fine texture a hole may have, and what counts as none, of 1: knitted
wool may be as light as a wall."""

STEP = (2, 6)
"""From and up to how many places around a part that is looked at."""

SURE = 2.0
"""Logit of what the ground has said, at least."""

EVEN, LEAST_EVEN, NOT_BLACK = 4 / 255, 0.7, 0.25
"""How far from the middle color of the photo's edge a place may be where a thing was cut out, or
lit so brightly that its ground is one color; how much of that edge must be so; and how light its
color must be: in the dark all that is far off is black."""

STEEP, LEAST_STEEP, EVENLY_FOR = 2e-3, 0.6, -5.0
"""On such a ground, what ends at once is no shadow, which fades: the fine texture at the end, and
on how much of it; and median logits that such a part must have above. Gray bands and white ones
are as colorless as shadows."""

SMOOTH_SHARE, UMBRA, GRAY = 0.9, 0.9, 0.06
"""A hard shadow ends at once too. It is smooth within, for so much of it, has less than this share
of the ground's values, and shares of all channels that differ by less."""


def by_ground(logits: Tensor, rgb: Tensor) -> Tensor:
    """Give to the subject what its plain ground can't be, and to the ground what equals it.

    Args:
        logits: of the subject, shape (h, w), of any size.
        rgb: the photo, shape (3, H, W), in [0, 1].

    Returns:
        Logits of the shape that came in; the same ones where the ground is not plain.
    """
    full, size = size_of(rgb), size_of(logits)
    grid = fit_within(full, min(GRID, max(full)))
    if min(grid) < 4 * MARGIN:
        return logits
    shown = guided.resample(rgb, grid).cpu().double().numpy()
    thought = guided.resample(logits[None], grid)[0].cpu().double().numpy()
    fine = guided.resample(_texture(rgb), grid)[0].cpu().double().numpy()
    cut = _cut_out(shown, thought, fine)
    things, holes = _said(shown, np.where(cut, thought.clip(min=SURE), thought), fine)
    things = things | cut
    if not (things.any() or holes.any()):
        return logits
    subject, ground = (
        guided.enlarge(torch.from_numpy(part)[None].to(logits), size)[0] > 0.5
        for part in (things, holes)
    )
    logits = torch.where(subject, logits.clamp(min=SURE), logits)
    return torch.where(ground, logits.clamp(max=-SURE), logits)


def _texture(rgb: Tensor) -> Tensor:
    """How far lightness is from its mean over 3 × 3 px, shape (1, H, W)."""
    light = rgb.mean(0, keepdim=True)
    return (light - guided.box_mean(light, 1)).abs()


def _said(rgb: Floats, logits: Floats, texture: Floats) -> tuple[Places, Places]:
    """What is subject and what is ground: nothing of either where no ground is plain."""
    subject = logits > 0
    ground = ~ndimage.binary_dilation(subject, np.ones((5, 5)))
    holes = np.zeros_like(subject)
    if ground.mean() < LEAST_GROUND:
        return holes, holes
    apart = _distances(rgb, ground)
    lighter = apart.mean(0)
    tint = np.linalg.norm(apart - lighter, axis=0)
    plain = (tint < TINTED) & (lighter < LIGHTER) & (lighter > SHADED)
    if not _is_plain(plain, ground):
        return holes, holes
    colored = (tint > TINTED * (1 + np.maximum(-lighter, 0))) | (lighter > LIGHTER)
    near = ndimage.uniform_filter(np.hypot(tint, lighter), 3)
    same = min(SAME, max(NARROW / 2, NOISE * float(np.median(near[ground & plain]))))
    rough = ROUGHER * max(SMOOTH, float(np.median(texture[ground & plain])))
    unlike = subject & (near >= 2 * same)
    if (colored & unlike).sum() > LEAST_COLORED * unlike.sum():
        holes = _holes(near / same, texture > rough, rgb.min(0) >= WHITE, logits)
    return _things(colored, logits), holes


def _cut_out(rgb: Floats, logits: Floats, texture: Floats) -> Places:
    """What touches the subject and ends at once on a ground that is all one color; nothing where
    the ground is not."""
    subject = logits > 0
    edge = _edge(subject.shape)
    color = np.median(rgb[:, edge], axis=1)[:, None, None]
    alike = np.abs(rgb - color).max(0) <= EVEN
    if not subject.any() or alike[edge].mean() < LEAST_EVEN or color.max() < NOT_BLACK:
        return np.zeros_like(subject)
    ground = ndimage.binary_propagation(edge & alike, mask=alike)
    beside = ndimage.binary_dilation(ground, np.ones((3, 3)))
    steep = ndimage.maximum_filter(texture, 3) > STEEP
    shares = rgb / np.maximum(color, EVEN)

    def is_shadow(part: Places) -> bool:
        within = ndimage.binary_erosion(part, iterations=2)
        if not within.any() or (texture[within] > STEEP).mean() > 1 - SMOOTH_SHARE:
            return False
        left = np.median(shares[:, within], axis=1)
        return bool(left.max() < UMBRA and np.ptp(left) < GRAY)

    def ends(part: Places) -> bool:
        end = part & beside
        return bool(
            np.median(logits[part]) > EVENLY_FOR
            and end.any()
            and steep[end].mean() >= LEAST_STEEP
            and not is_shadow(part)
        )

    far = ~ground & ~ndimage.binary_dilation(subject, iterations=MARGIN)
    parts = _chosen(far, LEAST_OTHER, ends)
    things = parts | (ndimage.binary_dilation(parts, iterations=MARGIN) & ~ground)
    return _touching(things, subject)


def _things(colored: Places, logits: Floats) -> Places:
    """What is not as the ground, touches the subject and is not the network's ground for sure."""
    subject = logits > 0
    far = _chosen(
        colored & ~ndimage.binary_dilation(subject, iterations=MARGIN),
        LEAST_OTHER,
        lambda part: bool(np.median(logits[part]) > FOR),
    )
    things = far | (ndimage.binary_dilation(far, iterations=MARGIN) & colored)
    return _touching(things, subject)


def _touching(things: Places, subject: Places) -> Places:
    """Those of things that hang together with the subject."""
    together = ndimage.binary_closing(subject | things, iterations=MARGIN) | subject | things
    found: Places = things & ndimage.binary_propagation(subject, np.ones((3, 3)), together)
    return found


def _holes(away: Floats, rough: Places, white: Places, logits: Floats) -> Places:
    """What of the subject is as the ground, and not the network's subject for sure.

    Args:
        away: how far each place is from the ground, 1 where it just counts as equal.
        rough, white: whether it has more texture than the ground, and whether it is quite white.
    """
    subject = logits > 0

    def is_hole(part: Places) -> bool:
        if rough[part].mean() > 0.5:
            return False
        inner, outer = (ndimage.binary_dilation(part, iterations=times) for times in STEP)
        around = outer & ~inner & subject
        step = float(np.median(away[around])) if around.any() else math.inf
        thought = float(np.median(logits[part]))
        if white[part].mean() > 0.5 and step < CLEAR and thought > UNSURE * step:
            return False
        return thought < min(AGAINST, A_STEP * (step - 1))

    equal = ndimage.binary_opening((away < 1) & subject, iterations=2)
    sure = _chosen(equal, LEAST_SAME * equal.size, is_hole)
    holes: Places = ndimage.binary_dilation(sure, iterations=2) & (away < 2) & subject
    return holes


def _is_plain(plain: Places, ground: Places) -> bool:
    edge = _edge(ground.shape)
    seen = edge & ground
    if seen.sum() < LEAST_SEEN * edge.sum():
        return False
    return bool(plain[ground].mean() >= LEAST_PLAIN and plain[seen].mean() >= LEAST_RING)


def _edge(size: tuple[int, ...]) -> Places:
    """The photo's edge, as far in as its breadth."""
    breadth = max(2, round(RING * max(size)))
    edge = np.ones(size, dtype=bool)
    edge[breadth:-breadth, breadth:-breadth] = False
    return edge


def _distances(rgb: Floats, ground: Places) -> Floats:
    """How far each color is from the ground's there, as logarithms of light, shape (3, h, w).

    The fit is one of iterated weights (those of Geman and McClure), so that what stands before the
    ground and is not known as the subject does not count.
    """
    light = linear_light(torch.from_numpy(rgb).clamp(min=0)).numpy()
    light /= max(float(np.quantile(light, BRIGHTEST)), LEAST_LIGHT)
    colors = np.log(light + DARKEST)
    seen = np.ascontiguousarray(colors[:, ::EACH, ::EACH]).reshape(3, -1).T
    surface = _polynomials(*ground.shape)
    points = surface[::EACH, ::EACH].reshape(-1, surface.shape[-1])
    counted = ground[::EACH, ::EACH].ravel().astype(np.float64)
    weights = counted
    for round_ in range(ROUNDS):
        weighted = points * weights[:, None]
        ridge = 1e-6 * np.eye(points.shape[1])
        fitted = np.linalg.solve(weighted.T @ points + ridge, weighted.T @ seen)
        scale = max(NARROW, WIDE * math.pow(0.85, round_))
        weights = counted / (1 + (np.abs(seen - points @ fitted).max(1) / scale) ** 2) ** 2
    apart: Floats = colors - np.moveaxis(surface @ fitted, -1, 0)
    return apart


def _polynomials(height: int, width: int) -> Floats:
    """Products of powers of both coordinates, each in [-1, 1], shape (height, width, n)."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return np.stack([x**i * y**j for i, j in powers], -1)


def _chosen(places: Places, least: float, wanted: Callable[[Places], bool]) -> Places:
    """The connected parts of so many places at least that are wanted."""
    numbers, _ = ndimage.label(places, np.ones((3, 3)))
    sizable = np.flatnonzero(np.bincount(numbers.ravel()) >= least)
    kept = [number for number in sizable if number and wanted(numbers == number)]
    return np.isin(numbers, kept)
