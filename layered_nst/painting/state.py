"""Where a run stands: all that its next step depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

DONE = "done"
"""The stage of a run whose last step is behind it."""


@dataclass(frozen=True)
class State:
    """Where a run stands after a step.

    Nothing in it is written into by later steps, so it may be kept, or stored meanwhile.

    Attributes:
        stage: as in ``Progress``, or ``DONE``.
        level: from 1.
        step: of the level, from 1; it is behind. 0 where the level has not begun.
        picture: as the step left it, shape (1, 3, h, w) at the level's size; when done, the
            canvas, shape (3, H, W).
        descent: the optimizer and its guard, as plain data and tensors; before a level begins, what
            was ``learned`` on the one before.
        begun: what the level began with, shape (3, h, w) at the size of the one before.
        composed: what it is held to of coarser levels, shape (3, h, w); None on these.
        product: the product that was painted first, shape (3, h, w), once it has been.
        losses: of all steps so far.
        seconds: that the painting has taken so far.
        memory: bytes that the run was given, by which it chose its tiles; None if it took none.
    """

    stage: str
    level: int
    step: int
    picture: Tensor = field(repr=False)
    descent: dict[str, Any] = field(default_factory=dict, repr=False)
    begun: Tensor | None = field(default=None, repr=False)
    composed: Tensor | None = field(default=None, repr=False)
    product: Tensor | None = field(default=None, repr=False)
    losses: Sequence[Mapping[str, float]] = field(default=(), repr=False)
    seconds: float = 0.0
    memory: float | None = None

    @property
    def place(self) -> str:
        """Where the run stands, in words."""
        if self.stage == DONE:
            return "behind the last step"
        if self.step == 0:
            return f"{self.stage}, before level {self.level}"
        return f"{self.stage}, level {self.level}, step {self.step}"


Keep = Callable[[State], None]
"""Is given the state after each step."""
