"""Frames of a wipe show the paintings of both scenes, each where that scene is seen."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.video.ends import Ends
from layered_nst.video.flow import moved, repainted
from layered_nst.video.opencv import box_mean
from layered_nst.video.stored import as_bytes, as_floats
from layered_nst.video.window import NOISE
from layered_nst.video.wipes import Wipe, extended

MARGIN, AROUND = 8, 0.5
"""Px from the edge of a scene within which no flow is relied on, and the side of the square that
tells of what is hidden, of the frame's longer side."""
NEAR, SOFT = 1, 2
"""Px around a pixel of the edge by which its share is told, and by which edges are soft where both
scenes look the same."""


class Wiping:
    """The paintings of two scenes, led through a wipe, and laid side by side as the photos are.

    Where a scene is hidden nothing tells how it moves: it goes on as what is seen of it does, and
    what it brings in over the picture's edge meanwhile is mirrored.

    Args:
        wipe: when each pixel goes over.
        ends: the two scenes.
    """

    def __init__(self, wipe: Wipe, ends: Ends) -> None:
        self.wipe, self.ends = wipe, ends
        size = ends.before.shape[1:]
        self.over = F.interpolate(wipe.over[None, None].float(), size, mode="bilinear")[0, 0]
        self.behind = [(as_bytes(photo), as_bytes(led)) for photo, led in self._led(other=True)]
        self.behind.reverse()
        self.before = self._led(other=False)

    def _led(self, *, other: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """A photo and its painting, as their scene moves to each of the photos between."""
        ends = self.ends
        painting = ends.behind if other else ends.before
        photo = as_floats(ends.photos[-1 if other else 0])
        for way in ends.ways(other=other, mended=partial(self._extended, other=other)):
            inside = mirrored(way)
            yield moved(photo, inside, smooth=True), repainted(painting, inside)

    def _extended(self, back: Tensor, place: int, *, other: bool) -> Tensor:
        """A flow, of what the so manyth photo shows of a scene alone."""
        seen = self._shows(place, other=other)
        around = round(AROUND * max(seen.shape)) | 1
        return extended(back, seen, margin=MARGIN, around=around)

    def _shows(self, place: int, *, other: bool) -> Tensor:
        """Where the so manyth photo shows one of the scenes alone, shape (H, W), bool."""
        number, spare = self.wipe.first + place, self.wipe.softness
        if other:
            return self.over <= number - spare
        return self.over > number + spare

    def pictures(self) -> Iterator[Tensor]:
        """What is shown of each frame between the scenes, shape (3, H, W) in [0, 1]."""
        for place, (before, behind) in enumerate(zip(self.before, self.behind, strict=True), 1):
            (was, one), (will_be, other) = before, map(as_floats, behind)
            yield one.lerp(other, self._share(place, was, will_be))

    def _share(self, place: int, before: Tensor, behind: Tensor) -> Tensor:
        """The other scene's share of the pixels of a photo, shape (H, W).

        Args:
            before, behind: the photos of both scenes, led there.
        """
        after = self.wipe.first + place - self.over
        usual = box_mean(self._usual(after)[None], SOFT)[0]
        way = behind - before
        done = (as_floats(self.ends.photos[place]) - before) * way
        mixed, whole = box_mean(torch.stack([done.mean(0), way.square().mean(0)]), NEAR)
        share = ((mixed + NOISE**2 * usual) / (whole + NOISE**2)).clamp(0, 1)
        spare = self.wipe.softness + 1
        return torch.where((after >= -spare) & (after < spare), share, usual)

    def _usual(self, after: Tensor) -> Tensor:
        """The share that a pixel has so many frames after it has gone over, as many do."""
        if not self.wipe.softness:
            return (after > -0.5).float()
        known = self.wipe.share
        place = (after + (len(known) - 1) / 2).clamp(0, len(known) - 1)
        least = place.floor().long()
        return known[least].lerp(known[(least + 1).clamp(max=len(known) - 1)], place - least)


def mirrored(back: Tensor) -> Tensor:
    """A flow (2, H, W) that leads as far inside the picture as it would outside."""
    height, width = back.shape[1:]
    places = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")[::-1]
    parts = []
    for flow, at, most in zip(back, places, (width - 1, height - 1), strict=True):
        there = (flow + at).abs() % (2 * max(most, 1))
        parts.append(torch.minimum(there, 2 * most - there) - at)
    return torch.stack(parts)
