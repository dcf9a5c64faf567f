"""One joint optimization over the pixels, coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.machine import allocator, processes
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.canvas import Pixels
from layered_nst.painting.descent import Descent
from layered_nst.painting.objective import Objective, Objectives
from layered_nst.painting.optimizers import Pair
from layered_nst.painting.plan import Level, Plan, composing
from layered_nst.painting.problem import (
    PaintedRegion,
    Problem,
    area,
    covered,
    is_painted,
    laid_out,
)
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import Keep, State
from layered_nst.picture import fit_within, resize, size_of

# Of 1, from the darkest to the lightest: what the eye does not see, and the descent does.
GRAIN = 0.02
DETAIL_IN_COLOR = 0.5
"""Share of the start's fine color that an enlarged picture is given. Its colors are drawn out up to
four times, and what a camera or JPEG left in them came out as speckle: strokes of a draft had 1.4
times the style's finest color."""


@dataclass
class Lessons:
    """What an optimizer has learned of the loss's curvature, from one frame of a clip to the next.

    Attributes:
        learned: as ``Optimizer.learned`` has it; None before the first frame.
        pairs: as ``Optimizer.pairs`` has them; those of another size are passed over.
    """

    learned: Any = None
    pairs: Sequence[Pair] = ()


def optimize(
    encoder: Encoder | Mapping[str, Encoder],
    problem: Problem,
    plan: Plan,
    *,
    stage: str = "joint",
    on_progress: OnProgress = lambda _: None,
    resume: State | None = None,
    keep: Keep = lambda _: None,
    objectives: Objectives | None = None,
    lessons: Lessons | None = None,
) -> Tensor:
    """Optimize the pixels through all levels of the plan.

    Args:
        encoder: on the same device as the problem; or several by the names that the levels use.
        problem: pictures and masks at the result's size.
        plan: levels, weights, optimizer.
        stage: named in the progress.
        on_progress: called after each step.
        resume: a state of this stage to go on from; the steps behind it are not repeated, and it
            serves once: its descent is taken out of it, so that it is not held to the end.
        keep: called after ``on_progress`` with the state that ``resume`` takes.
        objectives: makes the objective of each level; by default ``Objective``.
        lessons: of the frame before, to begin with; those of this one are put in their place.
            What its last step has come to is looked at only if that was a leap.

    Returns:
        The picture, shape (3, H, W), clamped to [0, 1]; frozen pixels are those of ``start``.

    Raises:
        PaintingError: the loss is no number where a level starts.
        ProcessError: in a process that was forked from one that has painted.
    """
    processes.begin_work()
    if not any(is_painted(region) for region in problem.regions):
        return problem.start.clone()
    teller = _Teller(stage, plan, size_of(problem.start), on_progress, resume)
    begun = None if resume is None else resume.begun
    painted = _beginning(problem, plan) if begun is None else begun
    judged, lessons = lessons is None, _taken_up(lessons or Lessons(), resume)
    first, problem = _resumed(resume, problem)
    composed = sum(level.longest <= composing(plan.start).sides[-1] for level in plan.levels)
    for number, level in enumerate(plan.levels[first - 1 :], first):
        seen = problem.at(level.longest)
        size = fit_within(size_of(seen.start), level.longest)
        seeing = encoder if isinstance(encoder, Encoder) else encoder[level.encoder]
        objective = (objectives or Objective)(seeing, seen, plan.at(level), size)
        descent = _begun(objective, seen, painted, lessons)
        for step, terms in _steps(descent, level, resume if number == first else None):
            teller.tell(number, step, terms, descent)
            state = descent.state(stage, number, step)
            keep(replace(state, begun=painted, composed=problem.composed))
        painted = _ended(descent, seen, lessons, judged)
        if number == composed:
            problem = replace(problem, composed=painted)
        del objective, descent
        if number < len(plan.levels):  # or the state of this level's last step would be held on
            between = State(stage, number + 1, 0, painted[None], {"learned": lessons.learned})
            keep(replace(between, begun=painted, composed=problem.composed))
        allocator.give_back(size)  # what levels of other sizes left behind fits none of this one's
    return painted


def _taken_up(lessons: Lessons, resume: State | None) -> Lessons:
    """The same, with what was learned before a run was left between two levels."""
    if resume is not None and not resume.step:
        lessons.learned = resume.descent["learned"]
    return lessons


def _resumed(resume: State | None, problem: Problem) -> tuple[int, Problem]:
    """The number of the level to go on with, from 1, and what it sees."""
    if resume is None:
        return 1, problem
    composed = problem.composed if resume.composed is None else resume.composed
    return resume.level, replace(problem, composed=composed)


def _beginning(problem: Problem, plan: Plan) -> Tensor:
    if problem.begun is not None:
        return problem.begun
    problem = problem.at(plan.levels[0].longest)
    picture = resize(problem.start, fit_within(size_of(problem.start), plan.levels[0].longest))
    if problem.earlier:  # what was painted before has its strokes
        return picture
    if plan.start == "noise":
        return _noise(picture, plan.seed)
    return grained(picture, problem.regions, plan.seed)


def grained(picture: Tensor, regions: Sequence[PaintedRegion], seed: int) -> Tensor:
    """A picture (3, h, w) with grain where its regions have none of their own.

    On plain ground every pixel is pulled alike, but for those near the edges: strokes would begin
    there and run along them.
    """
    gray = picture.mean(0)[None, None]
    largest, smallest = (F.max_pool2d(sign * gray, 3, 1, 1)[0, 0] for sign in (1, -1))
    plain = (1 - (largest + smallest) / GRAIN).clamp(min=0)
    amount = area(covered(regions)[None], size_of(picture))
    return (picture + GRAIN * amount * plain * (_noise(picture, seed) - 0.5)).clamp(0, 1)


def _noise(picture: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(picture.shape, generator=generator, dtype=torch.float32)
    return noise.to(picture)


def at_level(coarse: Tensor, problem: Problem, size: tuple[int, int], *, detailed: bool) -> Tensor:
    """Enlarge a picture and give it the detail that the start has at this size and it cannot have,
    of its colors a share.

    Without it whatever is finer than the coarser level has to be found again from the content
    features alone, which keep forms but no edges: facades and faces came out smeared.

    Args:
        coarse: shape (3, h, w).
        problem: its start and regions.
        size: height and width wanted.
        detailed: False where the start's detail is not to be seen, as after noise.

    Returns:
        Shape (3, H, W) in [0, 1].
    """
    if not detailed or size_of(coarse) == size:
        return resize(coarse, size)
    enlarged = resize(coarse, size)
    detail = _finer(problem.content if problem.laid else problem.start, coarse, size)
    if problem.laid:
        # Of strokes all is kept: less of them, and gray ones, would be less of the style.
        painted = area(covered(problem.regions)[None], size)
        enlarged += painted * (_finer(problem.start, coarse, size) - detail)
    shares = [min(1.0, region.content) for region in problem.regions]
    held = area(laid_out(problem.regions, shares)[None], size)
    light = detail.mean(0, keepdim=True)
    enlarged += held * light
    enlarged += DETAIL_IN_COLOR * held * detail.sub_(light)
    return enlarged.clamp_(0, 1)


def _finer(picture: Tensor, coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """What a picture (3, H, W) shows at a size and not at that of a coarser one."""
    return resize(picture, size) - resize(resize(picture, size_of(coarse)), size)


def _begun(objective: Objective, problem: Problem, coarse: Tensor, lessons: Lessons) -> Descent:
    """The descent of a level, from the picture (3, h, w) of the one before and what its optimizer
    has learned."""
    detailed = objective.plan.start != "noise"
    enlarged = at_level(coarse, problem, objective.size, detailed=detailed)
    frozen, held = _held(problem, objective.size)
    start = enlarged.lerp(held, frozen)[None].contiguous()
    descent = Descent(Pixels(start, frozen), objective, lessons.learned)
    if all(taken.shape == start.shape for taken, _ in lessons.pairs):
        descent.optimizer.recall(lessons.pairs)
    return descent


def _steps(
    descent: Descent, level: Level, resume: State | None
) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
    """Take the steps of a level, and give the number and the terms of each."""
    if resume is not None and resume.step:
        descent.restore(resume)
    for step in range(1 if resume is None else resume.step + 1, level.steps + 1):
        if descent.settled:
            return
        yield step, descent.step()


def _ended(descent: Descent, problem: Problem, lessons: Lessons, judged: bool) -> Tensor:
    """The picture (3, h, w) that a level has come to; what it has taught is among the lessons."""
    lessons.learned = descent.optimizer.learned()
    lessons.pairs = () if judged else descent.optimizer.pairs()
    frozen, held = _held(problem, descent.objective.size)
    return descent.result(judged=judged)[0].clamp(0, 1).lerp(held, (frozen >= 1).to(frozen))


def _held(problem: Problem, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How far pixels are frozen at a level, shape (h, w), and what they show, shape (3, h, w)."""
    return area(problem.frozen[None], size)[0], resize(problem.start, size)


def work(plan: Plan, size: tuple[int, int]) -> list[float]:
    """Steps times pixels of each level for a picture of this height and width, in hed-vgg16's."""
    sizes = [fit_within(size, level.longest) for level in plan.levels]
    return [
        level.cost * height * width
        for level, (height, width) in zip(plan.levels, sizes, strict=True)
    ]


@dataclass
class _Teller:
    """Tells of each step, with the time left from the pixels that steps have cost so far."""

    stage: str
    plan: Plan
    size: tuple[int, int]
    on_progress: OnProgress
    resume: State | None

    def __post_init__(self) -> None:
        self.work = work(self.plan, self.size)
        self.started = time.monotonic() - (0.0 if self.resume is None else self.resume.seconds)

    def tell(self, number: int, step: int, terms: Mapping[str, Tensor], descent: Descent) -> None:
        """Tell of a step that a level, counted from 1, has just taken."""
        level = self.plan.levels[number - 1]
        done = self._done(number, 1.0 if descent.settled else step / level.steps)
        self.on_progress(
            Progress(
                stage=self.stage,
                level=number,
                levels=len(self.plan.levels),
                size=descent.objective.size,
                step=step,
                steps=level.steps,
                done=done,
                seconds_left=(time.monotonic() - self.started) * (1 - done) / max(done, 1e-9),
                losses={name: value.item() for name, value in terms.items()},
                picture=descent.picture[0],
            )
        )

    def _done(self, number: int, share: float) -> float:
        return (sum(self.work[: number - 1]) + share * self.work[number - 1]) / sum(self.work)
