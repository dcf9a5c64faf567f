"""Paintings of two scenes, and how what they show moves where the one goes over into the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst.video.flow import FlowOf, motion
from layered_nst.video.stored import as_floats
from layered_nst.video.window import along


@dataclass(frozen=True)
class Ends:
    """Two scenes where each is seen alone, and the photos from the one to the other.

    Attributes:
        photos: those of the scenes' last and first frame and all between, as ``as_bytes`` has them.
        before, behind: what is shown of the last frame of the one scene and of the first one of the
            other, shape (3, H, W) in [0, 1], on the CPU.
        flow: the optical flow.
    """

    photos: Sequence[Tensor]
    before: Tensor
    behind: Tensor
    flow: FlowOf

    def ways(
        self, *, other: bool, mended: Callable[[Tensor, int], Tensor] = lambda back, _: back
    ) -> Iterator[Tensor]:
        """Where the pixels of each photo between were in the first one or, backwards and for the
        other scene, in the last one: flows (2, H, W).

        Args:
            mended: is given each flow to the photo next to one, and the number of that one.
        """
        count = len(self.photos) - 1
        first, *places = range(count, 0, -1) if other else range(count)
        then, way = as_floats(self.photos[first]), torch.zeros(2, *self.before.shape[1:])
        for place in places:
            now = as_floats(self.photos[place])
            way = along(way, mended(motion(now, then, self.flow).back, place))
            yield way
            then = now
