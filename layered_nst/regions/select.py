"""One function per kind of selector, from a photo to a mask of what it selects.

Every mask has shape (H, W) and values in [0, 1]; 0.5 is the border. All but those from mask files
and from a photo's alpha are crisp: their border is one pixel wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst import plugins
from layered_nst.errors import PluginError, RegionError
from layered_nst.networks.faces import Face, detect_faces, load_detector
from layered_nst.networks.segmenters import (
    FINDS_SUBJECTS,
    Segmentation,
    means_subject,
    resolve_class,
)
from layered_nst.picture import MAX_PIXELS, Picture, read_picture
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.masks import MASK_NOISE, coverage_of
from layered_nst.plugins import Part
from layered_nst.recipe.selectors import (
    AllSelector,
    AlphaSelector,
    AnySelector,
    BoxSelector,
    ClassSelector,
    ColorSelector,
    EllipseSelector,
    FaceSelector,
    FramesSelector,
    MaskSelector,
    NotSelector,
    ObjectSelector,
    PluginSelector,
    PointsSelector,
    PolygonSelector,
    RestSelector,
    Selector,
    SubjectSelector,
    kind_of,
    leaves,
)
from layered_nst.regions.components import keep_largest, keep_sizable
from layered_nst.regions.edges import antialias
from layered_nst.regions.faces import face_mask
from layered_nst.regions.points import Clickable, Clicks
from layered_nst.regions.shapes import Bounds, box_coverage, ellipse_coverage, polygon_coverage
from layered_nst.words import listed, pixels

# Far below what anyone sees, and above the rounding of Lab: tolerance 0 means the color itself.
COLOR_ROUNDING = 0.01
ROUNDING = 1e-4
"""By how much the mask of a plug-in may leave [0, 1]."""
LEAST_FRAME, LEAST_OVAL, FAINT = 0.9, 0.97, 0.05
"""What fills so much of the whole picture, or is so much of an ellipse as large as it, is a photo
with round corners or in an oval, and no thing that was cut out; alpha at the rim of one."""


@dataclass(frozen=True)
class View:
    """What selectors look at.

    Attributes:
        picture: the photo at the result's size.
        segment: gives its segmentation; called only if a selector needs it.
        photo_size: height and width of the photo as it was read, the px of shapes.
        rest: what the word ``rest`` stands for, shape (H, W).
        max_pixels: largest mask that is read.
        detect: gives the faces, largest first; by default they are looked for in ``picture``.
    """

    picture: Picture
    segment: Callable[[], Segmentation]
    photo_size: tuple[int, int]
    rest: Tensor
    max_pixels: int = MAX_PIXELS
    detect: Callable[[], Sequence[Face]] | None = None

    def faces(self) -> Sequence[Face]:
        """The faces in the photo, largest first."""
        rgb = self.picture.rgb
        return self.detect() if self.detect else detect_faces(load_detector(rgb.device), rgb)

    def in_px(self, points: Tensor, unit: str | None) -> Tensor:
        """Scale points (x, y) of shape (N, 2) to px of the result."""
        if unit is None:
            unit = "fraction" if bool((points <= 1).all()) else "px"
        height, width = self.picture.size
        down, across = (1, 1) if unit == "fraction" else self.photo_size
        return points * torch.tensor([width / across, height / down], dtype=points.dtype)

    def mask(self, coverage: np.ndarray[Any, Any]) -> Tensor:
        """Put a mask where the photo is."""
        return torch.from_numpy(coverage).to(self.picture.rgb.device)


def select(
    selector: Selector,
    *,
    picture: Picture,
    segment: Callable[[], Segmentation],
    photo_size: tuple[int, int] | None = None,
    rest: Tensor | None = None,
    max_pixels: int = MAX_PIXELS,
    detect: Callable[[], Sequence[Face]] | None = None,
) -> Tensor:
    """Make the mask of what a selector selects.

    Args:
        picture: the photo at the result's size (H, W).
        segment: gives the segmentation of ``picture``; called only if a class is asked for.
        photo_size: height and width of the photo as it was read; shapes in px are measured in
            these. The picture's own size if not given.
        rest: what ``rest`` stands for, shape (H, W); everything if not given.
        max_pixels: largest mask that is read.
        detect: gives the faces, largest first; called only if faces are asked for.

    Returns:
        Shape (H, W), float32, in [0, 1], on the picture's device.

    Raises:
        RegionError: the segmenter has no such class, or a mask doesn't have the photo's shape.
        PictureError: a mask cannot be read.
    """
    if rest is None:
        rest = picture.rgb.new_ones(picture.size)
    view = View(picture, segment, photo_size or picture.size, rest, max_pixels, detect)
    return _select(selector, view)


def _select(selector: Selector, view: View) -> Tensor:
    part = plugins.part("selector", kind_of(selector))
    found: Callable[[Any, View], Tensor] = plugins.object_of(part)
    if not isinstance(selector, PluginSelector):
        return found(selector, view)
    rgb = view.picture.rgb
    plugins.check_device(part, rgb.device.type)
    with plugins.blamed(part), torch.no_grad():
        mask = torch.as_tensor(found(selector.parameters, view)).to(rgb.device, torch.float32)
    _check_mask(part, mask, view.picture.size)
    return mask.clamp(0, 1)


def _check_mask(part: Part, mask: Tensor, size: tuple[int, int]) -> None:
    if tuple(mask.shape) != size:
        raise PluginError(f"{part}: its mask has shape {tuple(mask.shape)}, the photo {size}")
    low, high = mask.amin().item(), mask.amax().item()
    # Comparisons with what is no number are false.
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise PluginError(f"{part}: its mask has values from {low:g} to {high:g}, not 0 to 1")


def uses_rest(selector: Selector) -> bool:
    """Whether ``rest`` occurs in a selector or in the selectors it is made of."""
    return any(isinstance(leaf, RestSelector) for leaf in leaves(selector))


def masks_of(selector: Selector) -> list[Path]:
    """The mask files of a selector and of the selectors it is made of."""
    return [leaf.mask for leaf in leaves(selector) if isinstance(leaf, MaskSelector)]


def select_class(selector: ClassSelector, view: View) -> Tensor:
    """Where the likeliest class is one of these, or all of these together reach a threshold."""
    seen = view.segment()
    if seen.subject is not None and means_subject(selector.class_, seen.classes):
        return _subject(view, seen, selector.largest)
    chosen = sorted({i for name in selector.class_ for i in resolve_class(name, seen.classes)})
    margin = _margin(seen.probabilities, chosen, selector.threshold)
    mask = antialias(_at_size(margin, view.picture.size))
    if selector.largest is None:
        return mask
    return view.mask(keep_largest(mask.cpu().numpy(), selector.largest))


def select_subject(selector: SubjectSelector, view: View) -> Tensor:
    """What the photo was taken of: all of it, or so many of its largest pieces."""
    # True is a number to Python.
    count = None if selector.subject is True else selector.subject
    return _subject(view, view.segment(), count)


def _subject(view: View, seen: Segmentation, count: int | None) -> Tensor:
    alpha = view.picture.alpha
    if alpha is not None and is_cut_out(alpha):
        surely, margin = alpha, alpha - FAINT
    elif seen.subject is None:
        raise RegionError(
            f"subject: {seen.segmenter} tells classes apart and finds no subject; "
            f"{listed(FINDS_SUBJECTS)} do"
        )
    else:
        surely = _at_size(seen.subject, view.picture.size)
        margin = surely - 0.5
    mask = antialias(margin).cpu().numpy()
    if mask.max() < 0.5:
        return view.mask(np.zeros_like(mask))
    if count is not None:
        return view.mask(keep_largest(mask, count))
    return view.mask(keep_sizable(mask, surely.cpu().numpy()))


def is_cut_out(alpha: Tensor) -> bool:
    """Whether transparency, shape (H, W), cuts a thing out, and is no photo's round frame."""
    seen = alpha.cpu().numpy() >= 0.5
    height, width = seen.shape
    oval = ellipse_coverage((0, 0, width, height), (height, width)) >= 0.5
    is_oval = (seen & oval).sum() >= LEAST_OVAL * (seen | oval).sum()
    return bool(0 < seen.mean() < LEAST_FRAME and not is_oval)


def _at_size(plane: Tensor, size: tuple[int, int]) -> Tensor:
    if plane.shape == size:
        return plane
    return F.interpolate(plane[None, None], size, mode="bilinear")[0, 0]


def _margin(probabilities: Tensor, chosen: list[int], threshold: float | None) -> Tensor:
    """By how much the chosen classes lead, in [-1, 1], shape (H, W)."""
    if threshold is not None:
        return torch.stack([probabilities[i] for i in chosen]).sum(0) - threshold
    others = [i for i in range(len(probabilities)) if i not in chosen]
    best = _largest(probabilities, chosen)
    # One class against one class, also where several are chosen: two regions that share out the
    # classes then share out the photo, without a gap or an overlap.
    return best - _largest(probabilities, others) if others else best


def _largest(probabilities: Tensor, classes: list[int]) -> Tensor:
    # One by one: indexing with a list would copy hundreds of megabytes first.
    return reduce(torch.maximum, (probabilities[i] for i in classes))


def select_face(selector: FaceSelector, view: View) -> Tensor:
    """Faces, or a part of them, the largest first."""
    wanted, faces = selector.face, view.faces()
    if wanted != "all":
        faces = faces[: 1 if wanted == "largest" else wanted]
    if not faces:
        return face_mask((), view.picture.rgb)
    return face_mask(faces, view.picture.rgb, selector.part, _people(view, view.segment()))


def _people(view: View, seen: Segmentation) -> list[Tensor]:
    """Masks of who is in the photo, the most trusted first: its subject has the better outline."""
    found = [] if seen.subject is None else [_subject(view, seen, None)]
    if "person" in seen.classes:
        persons = _margin(seen.probabilities, [seen.classes.index("person")], None)
        found.append(antialias(_at_size(persons, view.picture.size)))
    return found


def select_points(selector: PointsSelector, view: View) -> Tensor:
    """The thing that was clicked, without those that were clicked away."""
    clicked = selector.points
    spots = _spots([*clicked.in_, *clicked.out], selector.unit, view)
    inside, outside = spots[: len(clicked.in_)], spots[len(clicked.in_) :]
    if both := set(inside) & set(outside):
        raise RegionError(f"points: {_spot(min(both))} is both in and out")
    return Clickable(view.picture.rgb, view.segment()).mask(Clicks(inside, outside))


def select_object_in(selector: ObjectSelector, view: View) -> Tensor:
    """The thing within a box."""
    left, top, right, bottom = _bounds(selector.object_in, selector.unit, view)
    height, width = view.picture.size
    box = left / width, top / height, right / width, bottom / height
    if min(right, width) - max(left, 0) < 1 or min(bottom, height) - max(top, 0) < 1:
        edges = ", ".join(f"{edge:g}" for edge in selector.object_in)
        raise RegionError(f"object_in: the box [{edges}] lies outside the photo")
    return Clickable(view.picture.rgb, view.segment()).mask(Clicks(box=box))


def _spots(
    points: Sequence[tuple[float, float]], unit: str | None, view: View
) -> list[tuple[float, float]]:
    """Points as fractions of the photo, each within it."""
    height, width = view.picture.size
    scaled = view.in_px(torch.tensor(points, dtype=torch.float64), unit)
    spots = [(x / width, y / height) for x, y in scaled.tolist()]
    for (x, y), written in zip(spots, points, strict=True):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise RegionError(f"points: {_spot(written)} lies outside the photo")
    return spots


def _spot(point: tuple[float, float]) -> str:
    return f"[{point[0]:g}, {point[1]:g}]"


def select_mask(selector: MaskSelector, view: View) -> Tensor:
    """A mask's file, at the picture's size."""
    drawn = read_picture(selector.mask, max_pixels=view.max_pixels)
    _check_shape(drawn, view.photo_size)
    mask = coverage_of(drawn)
    # Linear, not cubic: an overshoot beside an edge would select a line that nobody drew.
    mask = F.interpolate(mask[None, None], view.picture.size, mode="bilinear", antialias=True)[0, 0]
    clean = ((mask - MASK_NOISE) / (1 - 2 * MASK_NOISE)).clamp(0, 1)
    return clean.to(view.picture.rgb.device)


def _check_shape(drawn: Picture, photo_size: tuple[int, int]) -> None:
    """Compare at the smaller of both sizes, where one px is what rounding may have cost."""
    scale = max(drawn.size) / max(photo_size)
    gaps = [abs(side - other * scale) for side, other in zip(drawn.size, photo_size, strict=True)]
    if max(gaps) / max(scale, 1) > 1:
        raise RegionError(
            f"{drawn.source}: the mask is {pixels(drawn.size)} and the photo "
            f"{pixels(photo_size)}, their shapes differ by more than a pixel"
        )


def _bounds(bounds: Bounds, unit: str | None, view: View) -> Bounds:
    corners = torch.tensor(bounds, dtype=torch.float64).reshape(2, 2)
    left, top, right, bottom = view.in_px(corners, unit).flatten().tolist()
    return left, top, right, bottom


def select_box(selector: BoxSelector, view: View) -> Tensor:
    """What lies within a box, a pixel at its edge by its share."""
    bounds = _bounds(selector.box, selector.unit, view)
    return view.mask(box_coverage(bounds, view.picture.size))


def select_ellipse(selector: EllipseSelector, view: View) -> Tensor:
    """What lies within the ellipse in a box, a pixel at its edge by its share."""
    bounds = _bounds(selector.ellipse, selector.unit, view)
    return view.mask(ellipse_coverage(bounds, view.picture.size))


def select_polygon(selector: PolygonSelector, view: View) -> Tensor:
    """What lies within a polygon, a pixel at its edge by its share."""
    corners = torch.tensor(selector.polygon, dtype=torch.float64)
    points = [(x, y) for x, y in view.in_px(corners, selector.unit).tolist()]
    return view.mask(polygon_coverage(points, view.picture.size))


def select_frames(selector: FramesSelector, view: View) -> Tensor:
    """Of a photo, what its first key frame says; clips ask for each by itself."""
    return _select(selector.at(0), view)


def select_color(selector: ColorSelector, view: View) -> Tensor:
    """What is no farther from a color than the tolerance, in ΔE (CIE 1976), and can be seen."""
    rgb, alpha = view.picture.rgb, view.picture.alpha
    wanted = rgb_to_lab(rgb.new_tensor(selector.color).div(255)[:, None, None])
    distance = torch.linalg.vector_norm(rgb_to_lab(rgb) - wanted, dim=0)
    mask = antialias(selector.tolerance + COLOR_ROUNDING - distance)
    # A color that nobody sees is no color of the photo.
    return mask if alpha is None else torch.where(alpha > 0, mask, 0)


def select_alpha(_: AlphaSelector, view: View) -> Tensor:
    """The photo's own alpha, ones where it has none."""
    alpha = view.picture.alpha
    return view.picture.rgb.new_ones(view.picture.size) if alpha is None else alpha


def select_rest(_: RestSelector, view: View) -> Tensor:
    """Whatever no other region takes."""
    return view.rest


def select_any(selector: AnySelector, view: View) -> Tensor:
    """What at least one of several selects."""
    return reduce(torch.maximum, (_select(part, view) for part in selector.any))


def select_all(selector: AllSelector, view: View) -> Tensor:
    """What all of several select."""
    return reduce(torch.minimum, (_select(part, view) for part in selector.all))


def select_not(selector: NotSelector, view: View) -> Tensor:
    """What another does not select."""
    return 1 - _select(selector.not_, view)
