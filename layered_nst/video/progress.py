"""What a run over a clip tells while it paints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class FrameProgress:
    """What is told after each frame.

    Attributes:
        frame: its number, from 1.
        frames: how many there will be, about; None if the clip does not say.
        shot: its number, from 1.
        seen: share of it that was seen in the frame before, 0 to 1.
        seconds: that it took.
        seconds_left: estimate for the rest; None if it is not known how many come.
        picture: shape (3, H, W) in [0, 1].
    """

    frame: int
    frames: int | None
    shot: int
    seen: float
    seconds: float
    seconds_left: float | None
    picture: Tensor = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All but the picture, as data that JSON can hold."""
        left = self.seconds_left
        return {
            "frame": self.frame,
            "frames": self.frames,
            "shot": self.shot,
            "seen": round(self.seen, 4),
            "seconds": round(self.seconds, 3),
            "seconds_left": None if left is None else round(left, 1),
        }


OnFrame = Callable[[FrameProgress], None]
