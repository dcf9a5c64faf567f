"""The product alone first, and then all regions, from it and around it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from layered_nst.painting.levels import at_level, work
from layered_nst.painting.plan import LIGHT, Level, Plan
from layered_nst.painting.problem import Problem, is_composed
from layered_nst.picture import size_of
from layered_nst.scene.scene import Scene
from layered_nst.strategies.run import Run, Strategy
from layered_nst.strategies.stages import Stage
from layered_nst.strategies.windows import Window, on, whole, window_around

# The product alone may take this share of the joint stage's work: as many levels as fit, coarse to
# fine. What is finer the joint stage sharpens, and the finest levels are most of the cost. Both
# stages also see contours, which costs a tenth.
PRODUCT_WORK = 0.27
# And this of what composing takes, where it is composed in the sketch: that is the same for all
# sizes and qualities, and so are the levels that fit.
COMPOSED_WORK = 0.4
# What lies around the product is in sight of its edge units; 32 px is what conv3_1 sees.
PRODUCT_MARGIN = 32


def stages(scene: Scene, plan: Plan) -> tuple[Stage, ...]:
    """The product on its window, unless the photo has none of it or a picture that is to be
    finished shows it, and the whole picture."""
    style = Stage("style", plan, whole(scene.size))
    known = plan.painter is not None or scene.approved is not None
    if known or not _shows_product(scene):
        return (style,)  # what is painted at once keeps drawings as they are
    seen, levels = composed_in(scene, plan)
    window = window_around(product_mask(seen), PRODUCT_MARGIN)
    share = PRODUCT_WORK if seen is scene else COMPOSED_WORK
    own = plan_for_window(levels, window, seen.size, share=share)
    return (Stage("product", own, on(window, seen.size, scene.size)), style)


def composed_in(scene: Scene, plan: Plan) -> tuple[Scene, Plan]:
    """What the product is painted in, and the levels for it: the sketch and those that see it, so
    that it is one product at every size; where there are none, all of the whole."""
    sketch = scene.sketch
    if sketch is None or not _shows_product(sketch):
        return scene, plan
    seeing = tuple(v for v in plan.levels if is_composed(v.longest, scene.size, sketch.size))
    return (sketch, replace(plan, levels=seeing)) if seeing else (scene, plan)


def paint(run: Run) -> Tensor:
    """Optimize the product, and then everything from it."""
    *before, style = run.stages
    asked = run.problem
    for stage in before:
        asked = _after_product(run, stage, asked)
    return run.optimize(style, asked)


def _after_product(run: Run, stage: Stage, asked: Problem) -> Problem:
    """What is asked once the product has been painted."""
    seen, _ = composed_in(run.scene, run.plan)
    part = asked if seen is run.scene or asked.sketch is None else asked.sketch
    product = product_mask(seen)
    window = window_around(product, PRODUCT_MARGIN)
    cut = cut_out(part, product, run.scene.recipe.products, window)
    painted = with_product(part, run.once(stage, cut), cut, window)
    return painted if part is asked else around(asked, painted, product_mask(run.scene))


def product_mask(scene: Scene) -> Tensor:
    """The product's share of every visible pixel that is painted, shape (H, W)."""
    painted = [region.name for region in scene.painted if region.name in scene.recipe.products]
    masks = [scene.mask(name) * scene.visible for name in painted]
    return sum(masks, torch.zeros_like(scene.visible))


def _shows_product(scene: Scene) -> bool:
    return bool((product_mask(scene) > 0).any())


def plan_for_window(
    plan: Plan, window: Window, size: tuple[int, int], *, share: float = PRODUCT_WORK
) -> Plan:
    """The coarse levels of a plan for a picture of ``size``, as large as they are on the window:
    as many as fit into a share of its work.

    A level that is too dear is seen with the light encoder, if the plan has chosen it for others;
    where not even the coarsest fits, it takes fewer steps.
    """
    height, width = (part.stop - part.start for part in window)
    scale = max(height, width) / max(size)
    scaled = [_on_window(level, scale) for level in plan.levels]
    allowed = share * sum(work(plan, size))
    own = replace(plan, levels=())
    for level in scaled:
        longer = (replace(own, levels=(*own.levels, choice)) for choice in _choices(level, plan))
        fitting = (more for more in longer if sum(work(more, (height, width))) <= allowed)
        found = next(fitting, None)
        if found is None:
            break
        own = found
    return own if own.levels else _with_fewer_steps(plan, scaled[0], (height, width), allowed)


def _on_window(level: Level, scale: float) -> Level:
    # Strokes are sized by the whole picture, which is why its side goes along.
    longest = max(1, round(level.longest * scale))
    return replace(level, longest=longest, strokes=level.strokes_for)


def _choices(level: Level, plan: Plan) -> tuple[Level, ...]:
    """A level as it is, and with the light encoder if the plan has it."""
    light = next((other for other in plan.levels if other.encoder == LIGHT), None)
    if light is None:
        return (level,)
    # What a level is tuned for goes with its encoder.
    return level, replace(light, longest=level.longest, steps=level.steps, strokes=level.strokes)


def _with_fewer_steps(plan: Plan, coarsest: Level, size: tuple[int, int], allowed: float) -> Plan:
    dear = sum(work(replace(plan, levels=(coarsest,)), size))
    steps = max(1, math.floor(coarsest.steps * allowed / dear))
    return replace(plan, levels=(replace(coarsest, steps=steps),))


def cut_out(asked: Problem, product: Tensor, names: tuple[str, ...], window: Window) -> Problem:
    """The product's own problem: its regions on its window, everything else frozen."""
    own = [region for region in asked.regions if region.name in names]
    return Problem(
        content=asked.content[:, *window],
        photo=asked.photo[:, *window],
        start=asked.start[:, *window],
        regions=[replace(region, mask=region.mask[window]) for region in own],
        frozen=torch.maximum(asked.frozen, 1 - product)[window],
        moments=asked.moments,
    )


def with_product(asked: Problem, painted: Tensor, cut: Problem, window: Window) -> Problem:
    """Give the joint stage the product that was painted alone, as its start and its content."""
    start, content = asked.start.clone(), asked.content.clone()
    full = _enlarged(painted, cut)
    start[:, *window] = full
    content[:, *window] = full
    return replace(asked, start=start, content=content, sketch=None)


def around(asked: Problem, sketch: Problem, product: Tensor) -> Problem:
    """Give the whole the product that was painted in its sketch, with the photo's detail.

    Args:
        asked: without the product.
        sketch: with it.
        product: its share of every pixel of the whole, shape (H, W).
    """
    full = at_level(sketch.start, asked, size_of(asked.start), detailed=True)
    elsewhere = torch.maximum(asked.frozen, 1 - product) >= 1
    start, content = (torch.where(elsewhere, p, full) for p in (asked.start, asked.content))
    return replace(asked, start=start, content=content, sketch=sketch)


def _enlarged(painted: Tensor, cut: Problem) -> Tensor:
    """A product at the result's size, with the photo's detail that its own levels cannot hold."""
    full = at_level(painted, cut, size_of(cut.start), detailed=True)
    return full.lerp(cut.start, (cut.frozen >= 1).to(full))


STRATEGY = Strategy(stages, paint)
