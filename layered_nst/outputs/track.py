"""What a run has come to, whatever stops it: its losses, its last picture, its checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from torch import Tensor

from layered_nst.errors import Interrupted
from layered_nst.machine.memory import is_shortage
from layered_nst.outputs.result import Result
from layered_nst.painting.plan import Plan
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import State
from layered_nst.picture import resize
from layered_nst.scene.provenance import Inputs
from layered_nst.scene.scene import Scene
from layered_nst.strategies.hurry import Deadline
from layered_nst.strategies.keeper import Keeper
from layered_nst.strategies.problems import finished

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - stopping is what was asked for
    """Ends a run from within, after a step."""


@dataclass
class Track:
    """Keeps the losses of every step and the last picture, whatever the callback does.

    Of a resumed run it also has what its earlier part had.

    Attributes:
        scene, plan, inputs: of the run.
        tell: its callback.
        keeper: of its checkpoint.
        resumed: the state that it goes on from.
        memory: bytes by which its tiles were chosen.
        asked_to_stop: looked at after each step.
        deadline: after which the run ends with what it has, once it has something.
    """

    scene: Scene
    plan: Plan
    inputs: Inputs
    tell: OnProgress
    keeper: Keeper
    resumed: State | None
    memory: float | None
    asked_to_stop: Callable[[], bool]
    deadline: Deadline | None = None

    def __post_init__(self) -> None:
        self.losses: list[Mapping[str, float]] = (
            [] if self.resumed is None else [*self.resumed.losses]
        )
        self.last: Progress | None = None
        self.started = time.monotonic() - (0.0 if self.resumed is None else self.resumed.seconds)

    def __call__(self, progress: Progress) -> None:
        """Hear of a step and tell of it."""
        self.losses.append(progress.losses)
        self.last = progress
        self.tell(progress)

    def keep(self, state: State) -> None:
        """Take the state after a step, and end there if that was asked for.

        Raises:
            Stopped: it was.
        """
        losses = tuple(self.losses)
        self.keeper(replace(state, losses=losses, seconds=self.seconds, memory=self.memory))
        self.look()

    def look(self) -> None:
        """End the run if that was asked for.

        Raises:
            Stopped: it was.
        """
        if self.asked_to_stop() or self.is_late:
            raise Stopped

    @property
    def is_late(self) -> bool:
        """Whether the time is over and there is a picture to end with."""
        return self.last is not None and self.deadline is not None and self.deadline.is_past

    @property
    def seconds(self) -> float:
        """That the painting has taken, the earlier part of a resumed run too."""
        return time.monotonic() - self.started

    def interrupted(self) -> Interrupted:
        """The picture so far, and the checkpoint behind it, as an error."""
        partial = self.partial()
        with suppress(KeyboardInterrupt):
            # Whoever hits Ctrl-C again will not wait: the checkpoint before stays.
            self.keeper.write_last()
        return Interrupted("interrupted", partial=partial, checkpoint=self.keeper.written)

    def failed(self, error: Exception) -> None:
        """Write the checkpoint of a run that ends by an error, and hang the picture so far on it.

        The picture is an ``Interrupted`` that the error names as its first cause.
        """
        self.keeper.write_last()
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        if not isinstance(first, Interrupted):
            # Where memory ran out there is hardly any for a picture now.
            kept = Interrupted("interrupted", checkpoint=self.keeper.written)
            first.__cause__ = kept if is_shortage(error) else self.interrupted()
        log.info("the run failed; its checkpoint is %s", self.keeper.written)

    def partial(self) -> Result | None:
        """The picture so far at the result's size, None before the first step."""
        if self.last is None:
            return None
        canvas = resize(self.last.picture.clamp(0, 1), self.scene.size)
        rgb = finished(canvas, self.scene).cpu()
        return replace(self.result(rgb), complete=False)

    def result(self, rgb: Tensor) -> Result:
        """A picture of the run with its losses so far.

        Args:
            rgb: shape (3, H, W) in [0, 1], on the CPU.
        """
        return Result(rgb, self.scene, self.plan, self.losses, self.seconds, inputs=self.inputs)
