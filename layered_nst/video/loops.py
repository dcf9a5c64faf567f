"""A loop: the last frames of a clip lead back to its first one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor

from layered_nst.video.earlier import Told
from layered_nst.video.flow import FlowOf, motion, moved
from layered_nst.video.stored import as_bytes, as_floats

MOST = 24
"""Frames in which a loop is closed, at most; and at most a third of all."""


class Loop:
    """How the first frame would look in each of the last ones, had its painting gone backwards.

    Args:
        photos: of all frames at the result's size, each (3, H, W); only the last ones are kept.
        flow: the optical flow.
    """

    def __init__(self, photos: Iterable[Tensor], flow: FlowOf) -> None:
        self.flow = flow
        self.first: Tensor | None = None
        last: deque[Tensor] = deque(maxlen=MOST)
        self.frames = 0
        for photo in photos:
            self.first = photo if self.first is None else self.first
            last.append(as_bytes(photo))
            self.frames += 1
        self.length = min(len(last), self.frames // 3)
        self.photos = list(last)[len(last) - self.length :]
        self.pictures: list[tuple[Tensor, Tensor]] = []

    @property
    def begins(self) -> int:
        """Number of the frame from which on the loop is closed."""
        return self.frames - self.length

    def prepare(self, canvas: Tensor) -> None:
        """Move the first frame's canvas (3, H, W) backwards through the last frames."""
        assert self.first is not None
        picture, sure, after = canvas.cpu(), torch.ones(canvas.shape[1:]), self.first
        found = []
        for stored in reversed(self.photos):
            photo = as_floats(stored)
            way = motion(photo, after, self.flow)
            picture = moved(picture, way.back).clamp(0, 1)
            sure = moved(sure[None], way.back, smooth=True)[0].clamp(0, 1) * way.reliability
            found.append((as_bytes(picture), as_bytes(sure)))
            after = photo
        self.pictures = found[::-1]

    def toward(self, number: int) -> Told | None:
        """What the first frame says of one of the last; None of all others.

        It says the more the nearer the end is, and all in the last one.
        """
        place = number - self.begins
        if place < 0 or not self.pictures:
            return None
        picture, sure = self.pictures[place]
        share = (place + 1) / self.length * as_floats(sure)
        return Told(as_floats(picture), share, torch.ones_like(share))

    @property
    def closes(self) -> float:
        """Share of the last frame that is seen in the first one again."""
        return float(self.pictures[-1][1].float().mean() / 255) if self.pictures else 0.0
