"""From faces that were found to masks of them, of their parts, and of the skin and hair around.

A detector knows the place of a face but not its outline. An ellipse by its points comes first;
within reach of its border the face's own skin color decides, and the photo's edges draw the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.faces import Face
from layered_nst.picture.guided import guided_filter
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.regions.bodies import HAIR_REACH, SKIN_REACH, hair, skin
from layered_nst.regions.components import closed, whole
from layered_nst.regions.edges import antialias
from layered_nst.regions.face_views import FaceView, likeness
from layered_nst.regions.ways import ways

SURELY, MOSTLY, LIKELY, HARDLY = 0.72, 0.95, 1.12, 1.25
"""Within the ellipse shrunk so far all is face, whatever its color; bays are filled up to the
second, skin is face up to the third, the photo's edges may draw the line up to the fourth."""
FACE_REACH = 1.3
"""How far from the middle of the box a face may reach, in sides of the box."""
BAY = 0.15
"""Radius in sides of the box of the largest disk that does not fit into a bay of the outline."""
SMALLEST_FITTED = 24.0
"""Side of the box in px below which an outline cannot be told from colors."""
SKIN_SPREAD = 4.0
"""How many standard deviations of the skin's own color still are skin."""
LEAST_SPREAD = (4.0, 4.0, 4.0)
"""Standard deviation in CIE Lab that a skin has at least, evenly lit as it may be."""
REACH = 0.05
"""Window of the guided filter, in sides of the box."""
EPS = 2e-4
NECK_ACROSS, NECK_DOWN = 0.55, 0.10
"""So far from the middle, and from there down, the neck may go on from the face, in sides."""
WALKED = 72
"""Side of the box in px, at most, at which ways through the photo are measured."""
FARTHER = 3.0
"""What is so many times as far from the face as from what is beside it, is not of the face."""
HIS = 0.8
"""Share of the middle of a face from which it is that of who was found there."""


def face_mask(
    faces: Sequence[Face], rgb: Tensor, part: str = "face", people: Sequence[Tensor] = ()
) -> Tensor:
    """The mask of faces, or of a part of each.

    Args:
        faces: found in this photo, at any size of it.
        rgb: the photo, shape (3, H, W), 0 to 1.
        part: ``face``, ``eyes``, ``mouth``, ``skin`` or ``hair``.
        people: masks of who is in the photo, each (H, W) in [0, 1], the most trusted first. A face
            belongs to the first of them that covers its middle, and ends where that does; skin and
            hair are looked for within it.

    Returns:
        Shape (H, W) in [0, 1].
    """
    mask, drawn = rgb.new_zeros(rgb.shape[1:]), PARTS[part]
    for face in faces:
        view = FaceView.of(face, rgb, drawn.reach)
        if view.rgb.numel():
            view = view.within(_whose(face, rgb, people))
            place = mask[view.frame.rows, view.frame.columns]
            torch.maximum(place, drawn.draw(view), out=place)
    return mask


def _whose(face: Face, rgb: Tensor, people: Sequence[Tensor]) -> Tensor | None:
    """Who has this face, shape (H, W); None if nobody was found there."""
    view = FaceView.of(face, rgb, FACE_REACH)
    middle = view.outline() <= SURELY
    for person in people:
        around = person[view.frame.rows, view.frame.columns]
        if middle.any() and (around[middle] >= 0.5).float().mean() >= HIS:
            return person
    return None


def _face(view: FaceView) -> Tensor:
    drawn = _drawn(view)
    return drawn if view.person is None else torch.minimum(drawn, view.person)


def _face_within(view: FaceView) -> Tensor:
    """The face, in a view that reaches farther than it."""
    near, place = view.nearer(FACE_REACH)
    mask = torch.zeros_like(view.rgb[0])
    if near.rgb.numel():
        mask[place] = _face(near)
    return mask


def _drawn(view: FaceView) -> Tensor:
    outline, around, side = view.outline(), view.rgb, view.frame.side
    if side < SMALLEST_FITTED:
        return antialias((1 - outline) * side)
    own = likeness(rgb_to_lab(around), outline, LEAST_SPREAD)
    undecided = (outline > SURELY) & (outline < HARDLY)
    outside = _beside(view, outline)
    likely = (own <= SKIN_SPREAD).to(around) * (outline < LIKELY) * ~outside
    guess = torch.where(undecided, likely, (outline <= SURELY).to(around))
    radius = max(1, round(REACH * side))
    fitted = guided_filter(around, guess[None], radius=radius, eps=EPS)[0]
    mask = antialias(torch.where(undecided, fitted, guess) - 0.5)
    # Teeth, spectacles and a lock of hair are of the face, and so is a temple in another light;
    # specks of its color beside it are not.
    filled = torch.from_numpy(closed(mask.cpu().numpy(), BAY * side)).to(mask)
    mask = torch.where((outline < MOSTLY) & ~outside, filled, mask)
    return torch.from_numpy(whole(mask.cpu().numpy())).to(mask)


def _beside(view: FaceView, outline: Tensor) -> Tensor:
    """What no line parts from what is beside the face, a wall of the skin's color, shape (H, W)."""
    across, down = view.frame.grid(view.rgb)
    neck = (across.abs() < NECK_ACROSS) & (down > NECK_DOWN)
    small = view.small(torch.cat([rgb_to_lab(view.rgb), outline[None], neck[None]]), WALKED)
    lab, away, below = small[:3], small[3], small[4]
    inside, beside = ways(lab, away <= SURELY), ways(lab, (away >= HARDLY) & (below < 0.5))
    # Of a face whose middle is out of the picture there is nothing to be measured from.
    farther = torch.from_numpy(np.isfinite(inside) & (inside > FARTHER * beside))
    large = F.interpolate(farther[None, None].float(), outline.shape, mode="bilinear")
    return large[0, 0].to(outline.device) > 0.5


def _at_points(numbers: Sequence[int], axes: tuple[float, float]) -> Callable[[FaceView], Tensor]:
    """Ellipses around some points of a face."""

    def drawn(view: FaceView) -> Tensor:
        found = torch.stack([view.around_point(n, axes) for n in numbers])
        # In profile the far eye and half of the mouth are beyond the outline.
        return torch.minimum(antialias((1 - found.amin(0)) * view.frame.side), _face(view))

    return drawn


@dataclass(frozen=True)
class _Part:
    """How a part is drawn, and how far from the middle of the box it may be, in sides of that."""

    draw: Callable[[FaceView], Tensor]
    reach: float = FACE_REACH


PARTS: Mapping[str, _Part] = {
    "face": _Part(_face),
    "eyes": _Part(_at_points((0, 1), (0.15, 0.09))),
    "mouth": _Part(_at_points((3,), (0.24, 0.13))),
    "skin": _Part(lambda view: skin(view, _face_within(view)), SKIN_REACH),
    "hair": _Part(lambda view: hair(view, _face_within(view)), HAIR_REACH),
}
"""What of a face can be had."""
