"""A listener that remembers a run: the numbers of every step and a small frame every few."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from layered_nst.picture import fit_within, resize, to_image

if TYPE_CHECKING:
    from layered_nst.painting.plan import Plan
    from layered_nst.painting.progress import Progress
    from layered_nst.scene.scene import Scene

FRAME_SIDE = 360
"""Longest side of a frame in px."""
MOST_FRAMES = 64
"""More frames than this are thinned to every other one, so that memory is bounded."""


@dataclass(frozen=True)
class Step:
    """What a run said after one step, without its picture.

    Attributes:
        stage, level, size, step, steps, losses: as in ``Progress``.
        seconds: since regions and plan were known.
    """

    stage: str
    level: int
    size: tuple[int, int]
    step: int
    steps: int
    seconds: float
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Frame:
    """The picture after a step.

    Attributes:
        number: of the step, counted from 1 over the whole run.
        longest: longest side of the level in px.
        image: an RGB picture of at most ``FRAME_SIDE`` px.
    """

    number: int
    longest: int
    image: Image.Image


class Listener(Protocol):
    """Whoever else wants to hear of a run, such as a progress bar."""

    def scene(self, scene: Scene, plan: Plan) -> None:
        """Hear of the regions and the plan."""

    def step(self, step: Progress) -> None:
        """Hear of a step."""


class Recorder:
    """Give ``scene`` to ``apply`` as ``on_scene`` and ``step`` as ``on_progress``.

    Args:
        listener: is told everything as well.
        side: longest side of a frame in px.
        most: number of frames that are kept.

    Attributes:
        preparing: seconds before regions and plan were known, counted from the making.
        plan: of the run, None before it is known.
        steps: all steps so far.
        frames: the picture after step 1, 1 + ``every``, 1 + 2 ``every`` and so on.
        every: distance between frames, in steps.
    """

    def __init__(
        self, listener: Listener | None = None, *, side: int = FRAME_SIDE, most: int = MOST_FRAMES
    ) -> None:
        self.listener, self.side, self.most = listener, side, most
        self.preparing = 0.0
        self.plan: Plan | None = None
        self.steps: list[Step] = []
        self.frames: list[Frame] = []
        self.every = 1
        self._started = time.monotonic()

    def scene(self, scene: Scene, plan: Plan) -> None:
        """Start the clock of the steps."""
        now = time.monotonic()
        self.preparing, self._started, self.plan = now - self._started, now, plan
        if self.listener is not None:
            self.listener.scene(scene, plan)

    def step(self, progress: Progress) -> None:
        """Note a step, and keep its picture if its turn has come."""
        self.steps.append(
            Step(
                progress.stage,
                progress.level,
                progress.size,
                progress.step,
                progress.steps,
                time.monotonic() - self._started,
                progress.losses,
            )
        )
        if (len(self.steps) - 1) % self.every == 0:
            self._keep(progress)
        if self.listener is not None:
            self.listener.step(progress)

    def _keep(self, progress: Progress) -> None:
        longest = max(progress.size)
        small = resize(progress.picture, fit_within(progress.size, min(self.side, longest)))
        self.frames.append(Frame(len(self.steps), longest, to_image(small)))
        if len(self.frames) > self.most:
            del self.frames[1::2]
            self.every *= 2
