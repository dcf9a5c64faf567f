"""From faces that were found to masks of them, of their eyes and of their mouths.

A detector knows the place of a face but not its outline. An ellipse by its points comes first;
within reach of its border the face's own skin color decides, and the photo's edges draw the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.faces import Face
from layered_nst.picture.guided import guided_filter
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.regions.components import closed, whole
from layered_nst.regions.edges import antialias
from layered_nst.regions.ways import ways

# In sides of the detector's box, which reaches from the brows to the chin.
FACE_ACROSS, FACE_DOWN, FACE_RISE = 0.50, 0.68, 0.10
"""Half the width and half the height of a face, and how far its middle is above the box's."""
SURELY, MOSTLY, LIKELY, HARDLY = 0.72, 0.95, 1.12, 1.25
"""Within the ellipse shrunk so far all is face, whatever its color; bays are filled up to the
second, skin is face up to the third, the photo's edges may draw the line up to the fourth."""
BAY = 0.15
"""Radius in sides of the box of the largest disk that does not fit into a bay of the outline."""
SMALLEST_FITTED = 24.0
"""Side of the box in px below which an outline cannot be told from colors."""
SKIN_SPREAD = 4.0
"""How many standard deviations of the skin's own color still are skin."""
LEAST_SPREAD = 4.0
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


@dataclass(frozen=True)
class _FaceFrame:
    """A face's own coordinates on a photo: from the middle of its box, turned with its eyes.

    Attributes:
        size: height and width of the photo in px.
        middle: of the box, x and y in px.
        turn: cosine and sine of how far the face is turned.
        side: of the box in px.
        rows, columns: of the photo around the face, as far as it may reach.
    """

    size: tuple[int, int]
    middle: tuple[float, float]
    turn: tuple[float, float]
    side: float
    rows: slice
    columns: slice

    @classmethod
    def of(cls, face: Face, size: tuple[int, int]) -> _FaceFrame:
        """The frame of a face on a photo of this height and width."""
        (height, width), (left, top, right, bottom) = size, face.box
        side = max(1.0, (right - left) * width, (bottom - top) * height)
        middle = (left + right) / 2 * width, (top + bottom) / 2 * height
        columns, rows = (
            slice(max(0, int(at - 1.3 * side)), max(0, min(length, int(at + 1.3 * side) + 2)))
            for at, length in zip(middle, (width, height), strict=True)
        )
        return cls(size, middle, _turn(face, size, side), side, rows, columns)

    def seen_from(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels as across and down of the face, in sides of its box."""
        x, y = x - self.middle[0], y - self.middle[1]
        cosine, sine = self.turn
        return (x * cosine + y * sine) / self.side, (y * cosine - x * sine) / self.side

    def ellipse(self, like: Tensor, axes: tuple[float, float], at: tuple[float, float]) -> Tensor:
        """How far each pixel around the face is from ``at``, 1 on the ellipse of these half axes.

        Args:
            like: gives the device.
            axes: across and down, in sides of the box.
            at: across and down, in sides of the box.
        """
        across, down = self.grid(like)
        return torch.hypot((across - at[0]) / axes[0], (down - at[1]) / axes[1])

    def grid(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Across and down of the face for every pixel around it, in sides of its box."""
        x = torch.arange(self.columns.start, self.columns.stop, device=like.device) + 0.5
        y = torch.arange(self.rows.start, self.rows.stop, device=like.device) + 0.5
        return self.seen_from(x[None], y[:, None])


def _turn(face: Face, size: tuple[int, int], side: float) -> tuple[float, float]:
    (right, left), (height, width) = face.points[:2], size
    x, y = (left[0] - right[0]) * width, (left[1] - right[1]) * height
    length = math.hypot(x, y)
    # Of a face in profile the eyes nearly fall together: how they lie says nothing then.
    return (x / length, y / length) if length > 0.15 * side else (1.0, 0.0)


def face_mask(faces: Sequence[Face], rgb: Tensor, part: str = "face") -> Tensor:
    """The mask of faces, or of a part of each.

    Args:
        faces: found in this photo, at any size of it.
        rgb: the photo, shape (3, H, W), 0 to 1.
        part: ``face``, ``eyes`` or ``mouth``.

    Returns:
        Shape (H, W) in [0, 1].
    """
    mask = rgb.new_zeros(rgb.shape[1:])
    for face in faces:
        frame = _FaceFrame.of(face, (rgb.shape[1], rgb.shape[2]))
        around = rgb[:, frame.rows, frame.columns]
        if around.numel():
            place = mask[frame.rows, frame.columns]
            torch.maximum(place, PARTS[part](face, frame, around), out=place)
    return mask


def _face(_: Face, frame: _FaceFrame, around: Tensor) -> Tensor:
    outline = frame.ellipse(around, (FACE_ACROSS, FACE_DOWN), (0, -FACE_RISE))
    if frame.side < SMALLEST_FITTED:
        return antialias((1 - outline) * frame.side)
    skin = _skin(around, outline)
    undecided = (outline > SURELY) & (outline < HARDLY)
    outside = _beside(frame, around, outline)
    likely = skin * (outline < LIKELY) * ~outside
    guess = torch.where(undecided, likely, (outline <= SURELY).to(skin))
    radius = max(1, round(REACH * frame.side))
    fitted = guided_filter(around, guess[None], radius=radius, eps=EPS)[0]
    mask = antialias(torch.where(undecided, fitted, guess) - 0.5)
    # Teeth, spectacles and a lock of hair are of the face, and so is a temple in another light;
    # specks of its color beside it are not.
    filled = torch.from_numpy(closed(mask.cpu().numpy(), BAY * frame.side)).to(mask)
    mask = torch.where((outline < MOSTLY) & ~outside, filled, mask)
    return torch.from_numpy(whole(mask.cpu().numpy())).to(mask)


def _skin(rgb: Tensor, outline: Tensor) -> Tensor:
    """Where the color is that of the middle of the face, 0 or 1, shape (H, W)."""
    lab = rgb_to_lab(rgb)
    colors = lab[:, outline < 0.6].cpu().double()
    middle = colors.median(1).values
    # Eyes, brows and lips are no skin: what is far from the middle is left out of the spread.
    apart = colors - middle[:, None]
    near = apart.norm(dim=0) <= apart.norm(dim=0).quantile(0.7)
    spread = apart[:, near] @ apart[:, near].T / near.sum() + LEAST_SPREAD**2 * torch.eye(3)
    whitened = torch.linalg.inv(torch.linalg.cholesky(spread)).to(lab)
    distance = torch.einsum("ij,jhw->ihw", whitened, lab - middle.to(lab)[:, None, None])
    return (distance.square().sum(0) <= SKIN_SPREAD**2).to(rgb)


def _beside(frame: _FaceFrame, rgb: Tensor, outline: Tensor) -> Tensor:
    """What no line parts from what is beside the face, a wall of the skin's color, shape (H, W)."""
    scale = min(1.0, WALKED / frame.side)
    size = tuple(max(1, round(length * scale)) for length in outline.shape)

    def small(planes: Tensor) -> Tensor:
        return F.interpolate(planes[None], size, mode="area")[0].cpu().double()

    lab = rgb_to_lab(small(rgb)).numpy()
    across, down = frame.grid(rgb)
    neck = (across.abs() < NECK_ACROSS) & (down > NECK_DOWN)
    away, below = small(torch.stack([outline, neck.to(outline)])).numpy()
    inside, beside = ways(lab, away <= SURELY), ways(lab, (away >= HARDLY) & (below < 0.5))
    # Of a face whose middle is out of the picture there is nothing to be measured from.
    farther = torch.from_numpy(np.isfinite(inside) & (inside > FARTHER * beside))
    large = F.interpolate(farther[None, None].float(), outline.shape, mode="bilinear")
    return large[0, 0].to(outline.device) > 0.5


def _at_points(
    numbers: Sequence[int], axes: tuple[float, float]
) -> Callable[[Face, _FaceFrame, Tensor], Tensor]:
    """Ellipses around some points of a face."""

    def drawn(face: Face, frame: _FaceFrame, around: Tensor) -> Tensor:
        found = torch.stack([_ellipse_at(face, frame, around, n, axes) for n in numbers])
        # In profile the far eye and half of the mouth are beyond the outline.
        return torch.minimum(
            antialias((1 - found.amin(0)) * frame.side), _face(face, frame, around)
        )

    return drawn


def _ellipse_at(
    face: Face, frame: _FaceFrame, around: Tensor, number: int, axes: tuple[float, float]
) -> Tensor:
    (height, width), (x, y) = frame.size, face.points[number]
    across, down = frame.seen_from(torch.tensor(x * width), torch.tensor(y * height))
    return frame.ellipse(around, axes, (float(across), float(down)))


PARTS: Mapping[str, Callable[[Face, _FaceFrame, Tensor], Tensor]] = {
    "face": _face,
    "eyes": _at_points((0, 1), (0.15, 0.09)),
    "mouth": _at_points((3,), (0.24, 0.13)),
}
"""What of a face can be had."""
