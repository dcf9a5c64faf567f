"""From clicks to the thing that was clicked at.

A random walk (Grady 2006, "Random Walks for Image Segmentation"; with priors, Grady 2005) on a
small grid of the photo: from every place, does a walker who avoids edges first reach a click inside
or one outside? What the networks have seen is where the walk begins: places that are of the class
that was clicked at, or of the subject if that was, are likely in. Later clicks speak for what lies
near them and looks like them, so each mends its own neighborhood and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import fit_within, size_of
from layered_nst.picture.guided import enlarge, guided_filter, resample
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.walks import Plane, Slices, eases, walked
from layered_nst.regions.edges import antialias

SIDE = 160
"""Longer side in px of the grid that is walked on."""
CLASS_EDGE = 4.0
"""How much a step between places of different classes is avoided beside one across an edge."""
PULL = 0.05
"""How firmly the prior holds against the neighbors."""
CLICK_RADIUS = 2.0
"""Places around a click that are what it says, in px of the grid."""
NEAR, ALIKE = 0.12, 12.0
"""How far a later click speaks: as a share of the longer side, and in ΔE of CIE Lab."""
SUBJECT = 0.7
"""Share of the subject in the prior, where there is one."""
DOUBT = 0.02
"""Nothing is surer than this before the clicks."""
COLOR_TRUST = 0.8
COLOR_BINS = (8, 10, 10)
"""Bins of lightness, a and b, by which the colors inside and outside are compared."""
ROUNDS = 2
"""Walks: the colors that the first one finds help the second."""
EDGE_REACH, EPS, EDGE_GRID = 0.01, 1e-3, 400
"""Of the guided filter that draws the outline: its window as a share of the longer side, the
variance of color that counts as flat, and the longer side in px on which fits are made."""

Points = Sequence[tuple[float, float]]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Clicks:
    """What was clicked at, in fractions of the photo's width and height.

    Attributes:
        inside, outside: x and y of each, in the order in which they were made.
        box: left, top, right and bottom of a box around the thing; nothing beyond it is in.
    """

    inside: Points = ()
    outside: Points = ()
    box: Bounds | None = None


class Clickable:
    """A photo ready to be clicked at; each mask after the first takes a fraction of a second.

    Args:
        rgb: the photo, shape (3, H, W), 0 to 1.
        seen: its segmentation, of any size; a subject in it helps much.
    """

    def __init__(self, rgb: Tensor, seen: Segmentation) -> None:
        self._rgb = rgb
        full = size_of(rgb)
        self._guide = resample(rgb, fit_within(full, min(EDGE_GRID, max(full))))
        size = fit_within(full, min(SIDE, max(full)))
        small = _at(rgb, size).clamp(0, 1)
        self._lab: Plane = rgb_to_lab(small).cpu().double().numpy()
        self._classes: Plane = _at(seen.probabilities, size).cpu().double().numpy()
        subject = seen.subject
        self._subject = None if subject is None else _at(subject[None], size)[0].cpu().numpy()
        self._steps = _steps(self._lab, self._classes)
        self._bins = _color_bins(self._lab)

    @property
    def _size(self) -> tuple[int, int]:
        return int(self._lab.shape[1]), int(self._lab.shape[2])

    def mask(self, clicks: Clicks) -> Tensor:
        """The mask of what was clicked at, shape (H, W) in [0, 1], on the photo's device."""
        guide = self._guide
        grid = size_of(guide)
        rough = enlarge(torch.from_numpy(self._walk(clicks)).to(guide)[None], grid)
        radius = max(1, round(EDGE_REACH * max(grid)))
        fine = guided_filter(guide, rough, radius=radius, eps=EPS, full=self._rgb)
        return antialias(fine[0] - 0.5)

    def _walk(self, clicks: Clicks) -> Plane:
        """How surely each place of the grid is in; under one half where no click is joined."""
        seen, fixed = self._prior(clicks), self._fixed(clicks)
        weight, said = self._said_nearby(clicks)

        def walk(prior: Plane, start: Plane) -> Plane:
            # Who has clicked knows better than networks and colors, nearby.
            heard = prior * (1 - weight) + said * weight
            return walked(self._steps, heard, PULL, fixed=fixed, start=start)

        inside = walk(seen, seen)
        for _ in range(ROUNDS - 1):
            inside = walk(self._recolored(seen, inside), inside)
        joined = _joined(inside >= 0.5, [self._place(*point) for point in clicks.inside])
        # What is alike and apart is out as surely as it would be in.
        return np.where(joined | (inside < 0.5), inside, 1 - inside)

    def _place(self, x: float, y: float) -> tuple[int, int]:
        height, width = self._size
        return min(height - 1, int(y * height)), min(width - 1, int(x * width))

    def _fixed(self, clicks: Clicks) -> Plane:
        """1 and 0 where clicks say so, -1 elsewhere."""
        fixed = np.full(self._size, -1.0)
        if clicks.box is not None:
            fixed[~self._in_box(clicks.box)] = 0
        for points, value in ((clicks.outside, 0.0), (clicks.inside, 1.0)):
            for point in points:
                fixed[self._distance(point) <= CLICK_RADIUS] = value
        return fixed

    def _distance(self, point: tuple[float, float]) -> Plane:
        """Of every place from a point, in px of the grid."""
        height, width = self._size
        y, x = np.mgrid[0:height, 0:width] + 0.5
        away: Plane = np.hypot(y - point[1] * height, x - point[0] * width)
        return away

    def _in_box(self, box: Bounds) -> NDArray[np.bool_]:
        height, width = self._size
        y, x = np.mgrid[0:height, 0:width] + 0.5
        left, top, right, bottom = box
        across = (x > left * width) & (x < right * width)
        boxed: NDArray[np.bool_] = across & (y > top * height) & (y < bottom * height)
        return boxed

    def _prior(self, clicks: Clicks) -> Plane:
        """How likely each place is in before the walk, by the networks."""
        parts = [self._by_class(clicks)]
        if self._subject is not None:
            parts.append(self._by_subject(clicks, self._subject))
        weights = (1.0,) if len(parts) == 1 else (1 - SUBJECT, SUBJECT)
        prior = sum(w * part for w, part in zip(weights, parts, strict=True))
        return np.clip(prior, DOUBT, 1 - DOUBT)

    def _by_class(self, clicks: Clicks) -> Plane:
        """How much a place is of the classes of the first click, or of those that fill the box."""
        if clicks.inside:
            row, column = self._place(*clicks.inside[0])
            seen = self._classes[:, row, column]
            alike = np.tensordot(seen, self._classes, 1) / (seen @ seen)
        else:
            assert clicks.box is not None  # something was clicked at
            boxed = self._in_box(clicks.box)
            around = np.maximum(self._classes.sum((1, 2)), 1e-9)
            alike = np.tensordot(self._classes[:, boxed].sum(1) / around, self._classes, 1)
        return 0.05 + 0.9 * np.clip(alike, 0, 1)

    def _by_subject(self, clicks: Clicks, subject: Plane) -> Plane:
        """The subject if it was clicked at, else all but it."""
        if clicks.inside:
            meant = subject[self._place(*clicks.inside[0])] > 0.5
        else:
            assert clicks.box is not None
            boxed = self._in_box(clicks.box)
            meant = subject[boxed].sum() > 0.5 * subject.sum()
        return subject if meant else 1 - subject

    def _said_nearby(self, clicks: Clicks) -> tuple[Plane, Plane]:
        """How far later clicks speak for each place, and what they say on the mean."""
        weight, said = np.zeros(self._size), np.zeros(self._size)
        if len(clicks.inside) + len(clicks.outside) > 1:
            for points, value in ((clicks.inside, 1.0), (clicks.outside, 0.0)):
                for point in points:
                    row, column = self._place(*point)
                    near = self._distance(point) / (NEAR * max(self._size))
                    apart = self._lab - self._lab[:, row, column][:, None, None]
                    alike = (apart**2).sum(0) / ALIKE**2
                    heard = np.exp(-0.5 * (near**2 + alike))
                    weight += heard
                    said += heard * value
        return np.clip(weight, 0, 1), said / np.maximum(weight, 1e-9)

    def _recolored(self, prior: Plane, inside: Plane) -> Plane:
        """A prior that also asks whether a color is more often inside or outside."""
        shares = []
        for weight in (inside, 1 - inside):
            counts = np.bincount(self._bins.ravel(), weight.ravel(), np.prod(COLOR_BINS))
            smooth = ndimage.gaussian_filter(counts.reshape(COLOR_BINS), 0.8).ravel()
            shares.append(smooth / max(smooth.sum(), 1e-9))
        share = np.clip(shares[0] / (shares[0] + shares[1] + 1e-9), 0.05, 0.95)[self._bins]
        odds = np.log(prior / (1 - prior)) + COLOR_TRUST * np.log(share / (1 - share))
        likely: Plane = np.clip(1 / (1 + np.exp(-odds)), DOUBT, 1 - DOUBT)
        return likely


def _at(planes: Tensor, size: tuple[int, int]) -> Tensor:
    resized: Tensor = F.interpolate(planes[None].float(), size, mode="area")[0]
    return resized


def _color_bins(lab: Plane) -> NDArray[np.intp]:
    """The number of the bin of each place's color."""
    scaled = (lab[0] / 100, (lab[1] + 60) / 120, (lab[2] + 60) / 120)
    cells = [
        np.clip((value * count).astype(np.intp), 0, count - 1)
        for value, count in zip(scaled, COLOR_BINS, strict=True)
    ]
    numbers: NDArray[np.intp] = (cells[0] * COLOR_BINS[1] + cells[1]) * COLOR_BINS[2] + cells[2]
    return numbers


def _steps(lab: Plane, classes: Plane) -> sparse.csr_matrix:
    """How easily a walker steps between places that touch: hard across edges of color or class."""

    def of_other_classes(here: Slices, there: Slices) -> Plane:
        apart: Plane = np.abs(classes[:, *here] - classes[:, *there]).sum(0)
        return CLASS_EDGE * apart / 2

    return eases(lab, of_other_classes)


def _joined(inside: NDArray[np.bool_], places: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """The pieces that have a click in them; of a box without clicks all."""
    if not places:
        return inside
    pieces, _ = ndimage.label(inside, np.ones((3, 3)))
    return np.isin(pieces, [n for n in {int(pieces[place]) for place in places} if n])
