"""Frames that are mixed of two scenes are mixed of the paintings of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from layered_nst.video.flow import FlowOf, motion, repainted
from layered_nst.video.mixing import Mixing
from layered_nst.video.stored import as_bytes, as_floats
from layered_nst.video.window import along


class Dissolve:
    """The paintings of two scenes, led through the frames in which the one goes over into the
    other.

    A picture of such a frame would have strokes of neither. What the one has most of there the
    flow follows, and where it does not that scene is hardly seen.

    Args:
        mixing: what the frames are made of.
        photos: those of the scenes' last and first frame and all between, as ``as_bytes`` has them.
        before, behind: what is shown of the last frame of the one scene and of the first one of the
            other, shape (3, H, W) in [0, 1], on the CPU.
        flow: the optical flow.
    """

    def __init__(
        self,
        mixing: Mixing,
        photos: Sequence[Tensor],
        *,
        before: Tensor,
        behind: Tensor,
        flow: FlowOf,
    ) -> None:
        self.mixing, self.flow = mixing, flow
        backwards = [as_bytes(led) for led in self._led(behind, photos[:0:-1])]
        self.behind = backwards[::-1]
        self.before = self._led(before, photos[:-1])

    def _led(self, painting: Tensor, photos: Iterable[Tensor]) -> Iterator[Tensor]:
        """A painting of the first of some photos, as the flow leads it to each of the others."""
        way, then = torch.zeros(2, *painting.shape[1:]), None
        for photo in photos:
            now = as_floats(photo)
            if then is not None:
                way = along(way, motion(now, then, self.flow).back)
                yield repainted(painting, way)
            then = now

    def pictures(self) -> Iterator[Tensor]:
        """What is shown of each frame between the scenes, shape (3, H, W) in [0, 1]."""
        for mix, before, behind in zip(self.mixing.mixes, self.before, self.behind, strict=True):
            yield mix.of(before, as_floats(behind))
