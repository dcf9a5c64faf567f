"""A scene is painted: the stages of its strategy, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.levels import optimize
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import DONE, Keep, State
from layered_nst.painting.tiled import Place, Reading, objectives
from layered_nst.picture import size_of
from layered_nst.recipe.parts import PluginStrategy
from layered_nst.scene.scene import Scene
from layered_nst.strategies.at_once import paint_problem, painter_for
from layered_nst.strategies.problems import finished, problem
from layered_nst.strategies.stages import Stage
from layered_nst.strategies.windows import placed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strategy:
    """A way to paint a scene: what it will run, and the running of it.

    Attributes:
        stages: what it runs for a scene and a plan, in order; known before anything is painted,
            so that the work can be estimated.
        paint: runs them and gives the canvas, shape (3, H, W).
    """

    stages: Callable[[Scene, Plan], tuple[Stage, ...]]
    paint: Callable[[Run], Tensor]


def strategy_of(scene: Scene) -> Strategy:
    """The strategy that a scene's recipe names.

    Raises:
        PluginError: none of that name is registered.
    """
    said = scene.recipe.strategy
    if not isinstance(said, PluginStrategy):
        own: Strategy = plugins.get("strategy", said)
        return own
    part = plugins.part("strategy", said.part)
    plugins.check_device(part, scene.picture.rgb.device.type)
    return plugins.made_of(part, Strategy, said.parameters)


def stages(scene: Scene, plan: Plan) -> tuple[Stage, ...]:
    """What the recipe's strategy runs, in order."""
    return strategy_of(scene).stages(scene, plan)


def paint(
    scene: Scene,
    encoder: Encoder | Mapping[str, Encoder],
    plan: Plan,
    *,
    on_progress: OnProgress,
    resume: State | None = None,
    keep: Keep = lambda _: None,
    readings: Mapping[Place, Reading] | None = None,
) -> Tensor:
    """Paint a scene by the strategy that its recipe names.

    Args:
        encoder: of all levels, or several by the names that the plan's levels use.
        on_progress: called after each step.
        resume: a state to go on from; the steps behind it are not repeated.
        keep: called after each step, and once all are done, with what ``resume`` takes.
        readings: of the levels that are not to be seen whole.

    Returns:
        The picture, shape (3, H, W) in [0, 1].
    """
    if resume is not None and resume.stage == DONE:
        return finished(resume.picture, scene)
    canvas = paint_canvas(
        scene,
        encoder,
        plan,
        on_progress=on_progress,
        resume=resume,
        keep=keep,
        readings=readings,
    )
    keep(State(DONE, 0, 0, canvas))
    return finished(canvas, scene)


def paint_canvas(
    scene: Scene,
    encoder: Encoder | Mapping[str, Encoder],
    plan: Plan,
    *,
    on_progress: OnProgress,
    resume: State | None = None,
    keep: Keep = lambda _: None,
    readings: Mapping[Place, Reading] | None = None,
) -> Tensor:
    """The canvas that ``paint`` finishes, shape (3, H, W); see there."""
    run = Run(scene, encoder, plan, on_progress, keep, readings or {}, resume)
    canvas = strategy_of(scene).paint(run)
    if tuple(canvas.shape) != (3, *scene.size):
        raise PluginError(
            f"strategy {scene.recipe.strategy}: its canvas has shape {tuple(canvas.shape)}, not "
            f"{(3, *scene.size)}"
        )
    return canvas


@dataclass
class Run:
    """What a strategy paints with.

    Attributes:
        scene, encoder, plan, tell, keep, readings, resumed: as ``paint`` takes them.
        carried: what ``once`` gave; it goes into every later state, so that a resumed run has it.
    """

    scene: Scene
    encoder: Encoder | Mapping[str, Encoder]
    plan: Plan
    tell: OnProgress
    keep: Keep
    readings: Mapping[Place, Reading]
    resumed: State | None
    carried: Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        behind = 0.0 if self.resumed is None else self.resumed.seconds
        self.started = time.monotonic() - behind
        self.carried = None if self.resumed is None else self.resumed.product

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """What the strategy said that it runs, in order."""
        return stages(self.scene, self.plan)

    @cached_property
    def problem(self) -> Problem:
        """The optimization that the whole scene asks for."""
        return problem(self.scene, self.plan)

    def once(self, stage: Stage, asked: Problem) -> Tensor:
        """Optimize what later stages go on from; a run that is resumed behind it has it still."""
        if self.carried is None:
            self.carried = self.optimize(stage, asked)
        return self.carried

    def optimize(self, stage: Stage, asked: Problem) -> Tensor:
        """Optimize one of the stages.

        Args:
            asked: the pictures and regions of its window.

        Returns:
            The canvas of its finest level, shape (3, h, w) in [0, 1].
        """
        resumed, started = self.resumed, time.monotonic()
        if stage.plan.painter is not None:
            return self._at_once(stage, asked)
        canvas = optimize(
            self.encoder,
            asked,
            stage.plan,
            stage=stage.name,
            on_progress=_Telling(self, stage),
            resume=resumed if resumed is not None and resumed.stage == stage.name else None,
            keep=self._keep,
            objectives=objectives(self.readings, stage.name) if self.readings else None,
        )
        log.info("stage %s took %.1f s", stage.name, time.monotonic() - started)
        return canvas

    def _at_once(self, stage: Stage, asked: Problem) -> Tensor:
        """What a network makes of a stage, told as its only step."""
        encoder = self.encoder
        if not isinstance(encoder, Encoder):
            encoder = encoder[stage.plan.levels[-1].encoder]
        canvas = paint_problem(painter_for(stage.plan, encoder), encoder, asked, stage.plan)
        size = size_of(canvas)
        _Telling(self, stage)(Progress(stage.name, 1, 1, size, 1, 1, 1.0, 0.0, {}, canvas))
        self._keep(State(stage.name, 1, 1, canvas[None]))
        return canvas

    def _keep(self, state: State) -> None:
        self.keep(replace(state, product=self.carried))


class _Telling:
    """Tells of a stage's steps as parts of the whole work, and shows the whole picture."""

    def __init__(self, run: Run, stage: Stage) -> None:
        self.run, self.stage = run, stage
        works = [part.work for part in run.stages]
        total, behind = max(1e-9, sum(works)), sum(works[: run.stages.index(stage)])
        self.share = (behind / total, (behind + stage.work) / total)

    def __call__(self, progress: Progress) -> None:
        done = self.share[0] + (self.share[1] - self.share[0]) * progress.done
        left = (time.monotonic() - self.run.started) * (1 - done) / max(done, 1e-9)
        picture = placed(progress.picture, self.stage.window, self.run.problem.start)
        size = size_of(picture)
        self.run.tell(replace(progress, done=done, seconds_left=left, picture=picture, size=size))
