"""How a picture is painted: all regions at once, or the product first and the styles around it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from layered_nst.networks.encoders import Encoder
from layered_nst.painting.levels import at_level, optimize, work
from layered_nst.painting.plan import LIGHT, Level, Plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import DONE, Keep, State
from layered_nst.painting.tiled import Place, Reading, objectives
from layered_nst.picture import resize
from layered_nst.scene.scene import Scene
from layered_nst.strategies.problems import finished, problem

# The product alone may take this share of the joint stage's work: as many levels as fit, coarse to
# fine. What is finer the joint stage sharpens, and the finest levels are most of the cost. Both
# stages also see contours, which costs a tenth.
PRODUCT_WORK = 0.27
# What lies around the product is in sight of its edge units; 32 px is what conv3_1 sees.
PRODUCT_MARGIN = 32


@dataclass(frozen=True)
class Stage:
    """One optimization of a strategy.

    Attributes:
        name: told in the progress.
        plan: the constants, with levels for ``window``.
        window: rows and columns of the result that it works on.
    """

    name: str
    plan: Plan
    window: tuple[slice, slice]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the window in px of the result."""
        rows, columns = self.window
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def work(self) -> float:
        """Steps times pixels, in those of hed-vgg16."""
        return sum(work(self.plan, self.size))


def stages(scene: Scene, plan: Plan) -> tuple[Stage, ...]:
    """What the recipe's strategy runs, in order.

    ``joint`` is one optimization of all regions. ``product-then-style`` paints the product alone
    first, unless the photo has none of it.
    """
    whole = (slice(0, scene.size[0]), slice(0, scene.size[1]))
    if scene.recipe.strategy == "joint":
        return (Stage("joint", plan, whole),)
    product = _product_mask(scene)
    if not bool((product > 0).any()):
        return (Stage("style", plan, whole),)
    window = _window(product, PRODUCT_MARGIN)
    own = _for_product(plan, window, scene.size)
    return (Stage("product", own, window), Stage("style", plan, whole))


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
    asked, product = problem(scene, plan), None if resume is None else resume.product
    behind = 0.0 if resume is None else resume.seconds
    for stage, tell in _told(stages(scene, plan), asked, on_progress, behind):
        run = partial(
            optimize,
            encoder,
            plan=stage.plan,
            stage=stage.name,
            on_progress=tell,
            resume=resume if resume is not None and resume.stage == stage.name else None,
            keep=partial(_keep_with, keep, product),
            objectives=objectives(readings, stage.name) if readings else None,
        )
        if stage.name == "product":
            cut = _cut_out(asked, _product_mask(scene), scene.recipe.product, stage.window)
            product = run(cut) if product is None else product
            asked = _with_product(asked, product, cut, stage)
        else:
            canvas = run(asked)
    keep(State(DONE, 0, 0, canvas))
    return finished(canvas, scene)


def _keep_with(keep: Keep, product: Tensor | None, state: State) -> None:
    keep(replace(state, product=product))


def _with_product(asked: Problem, painted: Tensor, cut: Problem, stage: Stage) -> Problem:
    """Give the joint stage the product that was painted alone, as its start and its content."""
    start, content = asked.start.clone(), asked.content.clone()
    full = _enlarged(painted, cut)
    start[:, *stage.window] = full
    content[:, *stage.window] = full
    return replace(asked, start=start, content=content)


def _enlarged(painted: Tensor, cut: Problem) -> Tensor:
    """A product at the result's size, with the photo's detail that its own levels cannot hold."""
    full = at_level(painted, cut, (cut.start.shape[1], cut.start.shape[2]), detailed=True)
    return full.lerp(cut.start, (cut.frozen >= 1).to(full))


def _product_mask(scene: Scene) -> Tensor:
    """The product's share of every visible pixel that is painted, shape (H, W)."""
    painted = [name for name in scene.recipe.product if scene.styles.get(name)]
    masks = [scene.mask(name) * scene.visible for name in painted]
    return sum(masks, torch.zeros_like(scene.visible))


def _window(mask: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns with anything of a mask, and ``margin`` px around them."""
    spans = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        found = (mask > 0).any(axis).nonzero().flatten()
        spans.append(
            slice(max(0, int(found[0]) - margin), min(length, int(found[-1]) + 1 + margin))
        )
    return spans[0], spans[1]


def _for_product(plan: Plan, window: tuple[slice, slice], size: tuple[int, int]) -> Plan:
    """The coarse levels of a plan for a picture of ``size``, as large as they are on the window.

    A level that is too dear is seen with the light encoder, if the plan has chosen it for others;
    where not even the coarsest fits, it takes fewer steps.
    """
    height, width = (part.stop - part.start for part in window)
    scale = max(height, width) / plan.levels[-1].longest
    scaled = [replace(v, longest=max(1, round(v.longest * scale))) for v in plan.levels]
    lighter = (LIGHT,) if LIGHT in plan.encoders else ()
    allowed = PRODUCT_WORK * sum(work(plan, size))
    own = replace(plan, levels=())
    for level in scaled:
        # What a level is tuned for goes with its encoder.
        choices = (level, *(Level(level.longest, level.steps, name) for name in lighter))
        longer = (replace(own, levels=(*own.levels, choice)) for choice in choices)
        fitting = (more for more in longer if sum(work(more, (height, width))) <= allowed)
        found = next(fitting, None)
        if found is None:
            break
        own = found
    if own.levels:
        return own
    coarsest = scaled[0]
    dear = sum(work(replace(plan, levels=(coarsest,)), (height, width)))
    steps = max(1, math.floor(coarsest.steps * allowed / dear))
    return replace(plan, levels=(replace(coarsest, steps=steps),))


def _cut_out(
    asked: Problem, product: Tensor, names: tuple[str, ...], window: tuple[slice, slice]
) -> Problem:
    """The product's own problem: its regions on its window, everything else frozen."""
    whole, side = max(asked.start.shape[1:]), max(part.stop - part.start for part in window)

    def cut(region: PaintedRegion) -> PaintedRegion:
        # Strokes are sized by the picture's longest side, which the window's is not.
        return replace(region, mask=region.mask[window], scale=region.scale * whole / side)

    return Problem(
        content=asked.content[:, *window],
        photo=asked.photo[:, *window],
        start=asked.start[:, *window],
        regions=[cut(region) for region in asked.regions if region.name in names],
        frozen=torch.maximum(asked.frozen, 1 - product)[window],
        moments=asked.moments,
    )


def _told(
    parts: tuple[Stage, ...], asked: Problem, tell: OnProgress, seconds: float
) -> Iterator[tuple[Stage, OnProgress]]:
    """Each stage with a listener that speaks of the whole work and shows the whole picture.

    ``seconds`` have gone by already.
    """
    total, behind, started = sum(stage.work for stage in parts), 0.0, time.monotonic() - seconds
    for stage in parts:
        whole = max(1e-9, total)
        share = (behind / whole, (behind + stage.work) / whole)
        yield stage, partial(_tell, tell, asked.start, stage, share, started)
        behind += stage.work


def _tell(
    tell: OnProgress,
    start: Tensor,
    stage: Stage,
    share: tuple[float, float],
    started: float,
    progress: Progress,
) -> None:
    done = share[0] + (share[1] - share[0]) * progress.done
    left = (time.monotonic() - started) * (1 - done) / max(done, 1e-9)
    picture = _placed(progress.picture, stage, start)
    size = (picture.shape[1], picture.shape[2])
    tell(replace(progress, done=done, seconds_left=left, picture=picture, size=size))


def _placed(picture: Tensor, stage: Stage, start: Tensor) -> Tensor:
    """The picture of a window within the whole picture, at the window's scale."""
    if stage.size == (start.shape[1], start.shape[2]):
        return picture
    scale = max(picture.shape[1:]) / max(stage.size)
    size = (max(1, round(start.shape[1] * scale)), max(1, round(start.shape[2] * scale)))
    whole = resize(start, size)
    top = min(round(stage.window[0].start * scale), size[0] - 1)
    left = min(round(stage.window[1].start * scale), size[1] - 1)
    place = whole[:, top : top + picture.shape[1], left : left + picture.shape[2]]
    place.copy_(picture[:, : place.shape[1], : place.shape[2]])
    return whole
