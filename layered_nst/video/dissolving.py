"""Frames that are mixed of two scenes are mixed of the paintings of both."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from layered_nst.video.ends import Ends
from layered_nst.video.flow import repainted
from layered_nst.video.mixing import Mixing
from layered_nst.video.stored import as_bytes, as_floats


class Dissolve:
    """The paintings of two scenes, led through the frames in which the one goes over into the
    other.

    A picture of such a frame would have strokes of neither. What the one has most of there the
    flow follows, and where it does not that scene is hardly seen.

    Args:
        mixing: what the frames are made of.
        ends: the two scenes.
    """

    def __init__(self, mixing: Mixing, ends: Ends) -> None:
        self.mixing = mixing
        backwards = [as_bytes(repainted(ends.behind, way)) for way in ends.ways(other=True)]
        self.behind = backwards[::-1]
        self.before = (repainted(ends.before, way) for way in ends.ways(other=False))

    def pictures(self) -> Iterator[Tensor]:
        """What is shown of each frame between the scenes, shape (3, H, W) in [0, 1]."""
        for mix, before, behind in zip(self.mixing.mixes, self.before, self.behind, strict=True):
            yield mix.of(before, as_floats(behind))
