"""One joint optimization over the pixels, coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.descent import Descent
from layered_nst.painting.objective import Objective, Objectives
from layered_nst.painting.plan import Level, Plan
from layered_nst.painting.problem import Problem, area, is_painted, laid_out, size_of
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import Keep, State
from layered_nst.picture import fit_within, resize


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

    Returns:
        The picture, shape (3, H, W), clamped to [0, 1]; frozen pixels are those of ``start``.
    """
    if not any(is_painted(region) for region in problem.regions):
        return problem.start.clone()
    first = 1 if resume is None else resume.level
    clock = _Clock(plan, problem, behind=0.0 if resume is None else resume.seconds)
    canvas = _beginning(problem, plan) if resume is None else resume.picture[0]
    scale: float | None = None
    for number, level in enumerate(plan.levels[first - 1 :], first):
        size = fit_within(size_of(problem.start), level.longest)
        seeing = encoder if isinstance(encoder, Encoder) else encoder[level.encoder]
        canvas, scale = _optimize_level(
            (objectives or Objective)(seeing, problem, plan.at(level), size),
            problem,
            canvas,
            scale,
            level,
            _reporter(stage, number, plan, size, clock, on_progress),
            resume if number == first else None,
            _keeper(stage, number, keep),
        )
        allocator.give_back()  # what levels of other sizes left behind fits none of this one's
    return canvas


def _beginning(problem: Problem, plan: Plan) -> Tensor:
    canvas = resize(problem.start, fit_within(size_of(problem.start), plan.levels[0].longest))
    return _noise(canvas, plan.seed) if plan.start == "noise" else canvas


def at_level(canvas: Tensor, problem: Problem, size: tuple[int, int], *, detailed: bool) -> Tensor:
    """Enlarge a canvas and give it the detail that the start has at this size and it cannot have.

    Args:
        canvas: shape (3, h, w).
        problem: its start and regions.
        size: height and width wanted.
        detailed: False where the start's detail is not to be seen, as after noise.

    Without it whatever is finer than the coarser level has to be found again from the content
    features alone, which keep forms but no edges: facades and faces came out smeared.
    """
    if not detailed or size_of(canvas) == size:
        return resize(canvas, size)
    coarse = resize(resize(problem.start, size_of(canvas)), size)
    held = laid_out(problem.regions, [min(1.0, r.content) for r in problem.regions])
    detail = resize(problem.start, size) - coarse
    return (resize(canvas, size) + area(held[None], size) * detail).clamp(0, 1)


def _noise(canvas: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(canvas.shape, generator=generator, dtype=torch.float32)
    return noise.to(canvas)


def _optimize_level(
    objective: Objective,
    problem: Problem,
    canvas: Tensor,
    scale: float | None,
    level: Level,
    report: Callable[[int, Mapping[str, Tensor], Tensor, bool], None],
    resume: State | None,
    keep: Callable[[int, Descent], None],
) -> tuple[Tensor, float | None]:
    """Optimize one level.

    ``scale`` is what the level before has learned of the inverse curvature, for one number of its
    picture: the losses are means over pixels, so the more there are, the less one of them bends
    the loss. Without it a level's first step is lost, and the second often goes too far.
    """
    frozen = area(problem.frozen[None], objective.size)[0]
    picture = _level_start(canvas, problem, objective, frozen)
    descent = Descent(picture, objective, frozen, scale and scale * picture.numel())
    if resume is not None:
        descent.restore(resume)
    for step in range(1 if resume is None else resume.step + 1, level.steps + 1):
        if descent.settled:
            break
        terms = descent.step()
        report(step, terms, picture, descent.settled)
        keep(step, descent)
    held = resize(problem.start, objective.size)
    found = descent.result()[0].clamp(0, 1).lerp(held, (frozen >= 1).to(frozen))
    learned = descent.optimizer.learned_scale()
    return found, learned and learned / picture.numel()


def _level_start(canvas: Tensor, problem: Problem, objective: Objective, frozen: Tensor) -> Tensor:
    """The canvas of the coarser level as the leaf that a level works on, shape (1, 3, h, w)."""
    detailed = objective.plan.start != "noise"
    enlarged = at_level(canvas, problem, objective.size, detailed=detailed)
    held = resize(problem.start, objective.size)
    return enlarged.lerp(held, frozen)[None].contiguous().requires_grad_()


def work(plan: Plan, size: tuple[int, int]) -> list[float]:
    """Steps times pixels of each level for a picture of this height and width, in hed-vgg16's."""
    sizes = [fit_within(size, level.longest) for level in plan.levels]
    return [
        level.cost * height * width
        for level, (height, width) in zip(plan.levels, sizes, strict=True)
    ]


class _Clock:
    """Time left, from the pixels that steps have cost so far."""

    def __init__(self, plan: Plan, problem: Problem, *, behind: float) -> None:
        size = size_of(problem.start)
        self.work = work(plan, size)
        self.started = time.monotonic() - behind

    def done(self, level: int, share: float) -> float:
        return (sum(self.work[: level - 1]) + share * self.work[level - 1]) / sum(self.work)

    def left(self, done: float) -> float:
        return (time.monotonic() - self.started) * (1 - done) / max(done, 1e-9)


def _reporter(
    stage: str, level: int, plan: Plan, size: tuple[int, int], clock: _Clock, tell: OnProgress
) -> Callable[[int, Mapping[str, Tensor], Tensor, bool], None]:
    steps = plan.levels[level - 1].steps

    def report(step: int, terms: Mapping[str, Tensor], picture: Tensor, settled: bool) -> None:
        done = clock.done(level, 1.0 if settled else step / steps)
        losses = {name: value.item() for name, value in terms.items()}
        tell(
            Progress(
                stage,
                level,
                len(plan.levels),
                size,
                step,
                steps,
                done,
                clock.left(done),
                losses,
                picture.detach()[0],
            )
        )

    return report


def _keeper(stage: str, level: int, keep: Keep) -> Callable[[int, Descent], None]:
    def kept(step: int, descent: Descent) -> None:
        keep(descent.state(stage, level, step))

    return kept
