"""A face's own coordinates on a photo, what is seen around it, and the color of its skin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.faces import Face
from layered_nst.picture import size_of

# In sides of the detector's box, which reaches from the brows to the chin.
FACE_ACROSS, FACE_DOWN, FACE_RISE = 0.50, 0.68, 0.10
"""Half the width and half the height of a face, and how far its middle is above the box's."""
PLAIN, FRONTAL = 0.6, 0.15
"""Within the ellipse shrunk so far most is skin. Eyes that are not so far from each other, in
sides, say nothing of how a face is turned."""
NEAREST = 0.7
"""Share of that skin, the nearest to its middle color, that tells how much it varies."""


@dataclass(frozen=True)
class FaceFrame:
    """A face's own coordinates on a photo: from the middle of its box, turned with its eyes.

    Attributes:
        size: height and width of the photo in px.
        middle: of the box, x and y in px.
        turn: cosine and sine of how far the face is turned.
        side: of the box in px.
        rows, columns: of the photo around the face, as far as is looked at.
    """

    size: tuple[int, int]
    middle: tuple[float, float]
    turn: tuple[float, float]
    side: float
    rows: slice
    columns: slice

    @classmethod
    def of(cls, face: Face, size: tuple[int, int], reach: float) -> FaceFrame:
        """The frame of a face on a photo of this height and width.

        Args:
            reach: how far from the middle of the box is looked, in sides of it.
        """
        (height, width), (left, top, right, bottom) = size, face.box
        side = max(1.0, (right - left) * width, (bottom - top) * height)
        middle = (left + right) / 2 * width, (top + bottom) / 2 * height
        columns, rows = (
            slice(max(0, int(at - reach * side)), max(0, min(length, int(at + reach * side) + 2)))
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
    return (x / length, y / length) if length > FRONTAL * side else (1.0, 0.0)


@dataclass(frozen=True)
class FaceView:
    """The photo around a face.

    Attributes:
        face: as it was found.
        frame: its coordinates.
        rgb: shape (3, h, w), 0 to 1, the frame's rows and columns.
        person: who has the face, shape (h, w), 0 to 1; None if nobody was found.
    """

    face: Face
    frame: FaceFrame
    rgb: Tensor
    person: Tensor | None = None

    @classmethod
    def of(cls, face: Face, rgb: Tensor, reach: float) -> FaceView:
        """What is seen of a photo, (3, H, W), up to ``reach`` sides from the middle of the box."""
        frame = FaceFrame.of(face, size_of(rgb), reach)
        return cls(face, frame, rgb[:, frame.rows, frame.columns])

    def within(self, person: Tensor | None) -> FaceView:
        """The same of someone whose mask on the whole photo, (H, W), is known."""
        if person is None:
            return self
        return replace(self, person=person[self.frame.rows, self.frame.columns])

    def nearer(self, reach: float) -> tuple[FaceView, tuple[slice, slice]]:
        """A part of the same, up to ``reach`` sides from the middle, and its rows and columns."""
        frame = FaceFrame.of(self.face, self.frame.size, reach)
        rows, columns = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(
                (frame.rows, frame.columns), (self.frame.rows, self.frame.columns), strict=True
            )
        )
        person = None if self.person is None else self.person[rows, columns]
        return FaceView(self.face, frame, self.rgb[:, rows, columns], person), (rows, columns)

    def outline(self) -> Tensor:
        """How far each pixel is from the middle of the face, about 1 on its outline, (h, w)."""
        return self.frame.ellipse(self.rgb, (FACE_ACROSS, FACE_DOWN), (0, -FACE_RISE))

    def around_point(self, number: int, axes: tuple[float, float]) -> Tensor:
        """The same from one of the points of the face, 1 on the ellipse of these half axes."""
        (height, width), (x, y) = self.frame.size, self.face.points[number]
        across, down = self.frame.seen_from(torch.tensor(x * width), torch.tensor(y * height))
        return self.frame.ellipse(self.rgb, axes, (float(across), float(down)))

    def grid(self, side: float) -> tuple[int, int]:
        """Height and width of the view where the box has this side in px, or its own if smaller."""
        scale = min(1.0, side / self.frame.side)
        height, width = self.rgb.shape[1:]
        return max(1, round(height * scale)), max(1, round(width * scale))

    def small(self, planes: Tensor, side: float) -> NDArray[np.float64]:
        """Planes (n, h, w) where the box has this side in px at most, on the CPU."""
        resized = F.interpolate(planes[None].float(), self.grid(side), mode="area")[0]
        return np.asarray(resized.cpu().double().numpy())


def likeness(lab: Tensor, outline: Tensor, least: tuple[float, float, float]) -> Tensor:
    """How far each color is from that of a face's skin, in standard deviations, shape (h, w).

    Args:
        lab: CIE Lab, shape (3, h, w).
        outline: of the face, as ``FaceView.outline`` gives it.
        least: standard deviations of L, a and b that are added to what the skin itself has.

    Returns:
        Infinite where the middle of the face is out of the picture.
    """
    # Eyes, brows and lips are no skin: what is far from the middle color is left out of the spread.
    return spread_from(lab, lab[:, outline < PLAIN], least, NEAREST)


def spread_from(
    lab: Tensor, colors: Tensor, least: tuple[float, float, float], share: float
) -> Tensor:
    """How far each color is from the middle of some, in standard deviations of the nearest of them.

    Args:
        lab: CIE Lab, shape (3, h, w).
        colors: CIE Lab, shape (3, n).
        least: standard deviations of L, a and b that are added.
        share: of ``colors`` that tells how much they vary, those nearest to the middle.

    Returns:
        Mahalanobis distance, shape (h, w); infinite if there are no colors.
    """
    if not colors.numel():
        return torch.full_like(lab[0], math.inf)
    colors = colors.cpu().double()
    middle = colors.median(1).values
    apart = colors - middle[:, None]
    near = apart.norm(dim=0) <= apart.norm(dim=0).quantile(share)
    added = torch.tensor(least, dtype=torch.float64).square().diag()
    spread = apart[:, near] @ apart[:, near].T / near.sum() + added
    whitened = torch.linalg.inv(torch.linalg.cholesky(spread)).to(lab)
    distance = torch.einsum("ij,jhw->ihw", whitened, lab - middle.to(lab)[:, None, None])
    return distance.square().sum(0).sqrt()
