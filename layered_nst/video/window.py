"""The frames of a clip around one, small, and how what they show has moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from layered_nst.picture import fit_within, size_of
from layered_nst.video.flow import dis, hidden_by, moved, unlit
from layered_nst.video.opencv import box_mean, cv2

SIDE = 128
"""Longest side in px at which scenes are told apart."""
SAME = 0.5
"""As like as that, led by the flow from one to the other alone, are frames of one scene, of a night
with much noise too; those of two scenes are below 0.43."""
NOISE = 0.02
"""What is no more than noise, of 1."""
GRAIN, SOFT = 1, 2
"""Px by which pictures are softened, since noise of a night is no scene, and once more where shares
are looked for, since flows are not exact."""


class Window:
    """The frames around one, small, with the flows between neighbors both ways."""

    def __init__(self, photos: Iterator[Tensor]) -> None:
        self.photos = photos
        self.small: dict[int, Tensor] = {}
        self.back: dict[int, Tensor] = {}
        self.forth: dict[int, Tensor] = {}
        self.hidden: dict[int, Tensor] = {}
        self.read = self.oldest = 0

    def reaches(self, last: int) -> bool:
        """Read on to a frame; False if there are not so many."""
        while self.read <= last:
            photo = next(self.photos, None)
            if photo is None:
                return False
            self._add(self.read, small(photo))
            self.read += 1
        return True

    def _add(self, number: int, now: Tensor) -> None:
        self.small[number], then = now, self.small.get(number - 1)
        if then is not None:
            self.back[number], self.forth[number] = dis(now, then), dis(then, now)
            self.hidden[number] = hidden_by(self.back[number], self.forth[number])

    def forget(self, number: int) -> None:
        """Let all frames go that lie before one."""
        for kept in (self.small, self.back, self.forth, self.hidden):
            for old in range(self.oldest, number):
                kept.pop(old, None)
        self.oldest = max(self.oldest, number)

    def led_on(self, first: int, last: int) -> Mapping[int, Tensor]:
        """A frame as the flow leads it to those behind it, soft, each (3, H, W)."""
        steps = [(n, self.back[n]) for n in range(first + 1, last)]
        return {n: soft(there) for n, there in led(self.small[first], steps).items()}

    def led_back(self, first: int, last: int) -> Mapping[int, Tensor]:
        """A frame as the flow leads it to those before it, soft, each (3, H, W)."""
        steps = [(n, self.forth[n + 1]) for n in range(last - 1, first, -1)]
        return {n: soft(there) for n, there in led(self.small[last], steps).items()}


def led(photo: Tensor, steps: Iterable[tuple[int, Tensor]]) -> Mapping[int, Tensor]:
    """A photo (3, H, W) led from one frame to the next of others.

    Args:
        steps: of each its number, and the flow from it to the one before.
    """
    found, way = {}, torch.zeros(2, *photo.shape[1:])
    for number, flow in steps:
        way = along(way, flow)
        found[number] = moved(photo, way, smooth=True)
    return found


def small(photo: Tensor) -> Tensor:
    """A photo (3, H, W) at which scenes are told apart."""
    height, width = fit_within(size_of(photo), min(SIDE, max(photo.shape)))
    pixels = np.ascontiguousarray(photo.cpu().movedim(0, -1).numpy())
    shrunk = cv2().resize(pixels, (width, height), interpolation=cv2().INTER_AREA)
    return box_mean(torch.from_numpy(shrunk).movedim(-1, 0).contiguous(), GRAIN)


def soft(photo: Tensor) -> Tensor:
    """A photo (3, H, W) softened, since flows are not exact."""
    return box_mean(photo, SOFT)


def is_flat(photo: Tensor) -> bool:
    """Whether a photo (3, H, W) shows one color alone."""
    return float(photo.flatten(1).std(1).max()) < NOISE


def is_one_scene(now: Tensor, then: Tensor) -> bool:
    """Whether two photos (3, H, W) show the same, in any light."""
    there = moved(torch.from_numpy(unlit(then))[None], dis(now, then), smooth=True)[0]
    return likeness(there, torch.from_numpy(unlit(now))) > SAME


def likeness(one: Tensor, other: Tensor) -> float:
    """How like one another are two planes of one shape, as ``unlit`` gives them: -1 to 1."""
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-6))


def along(way: Tensor, back: Tensor) -> Tensor:
    """Two flows (2, H, W) one after the other: where a pixel was before it was where ``back``
    leads."""
    return back + moved(way, back, smooth=True)
