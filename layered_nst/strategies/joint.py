"""All regions at once, in one optimization."""

from __future__ import annotations

from torch import Tensor

from layered_nst.painting.plan import Plan
from layered_nst.scene.scene import Scene
from layered_nst.strategies.run import Run, Strategy
from layered_nst.strategies.stages import Stage
from layered_nst.strategies.windows import whole


def stages(scene: Scene, plan: Plan) -> tuple[Stage, ...]:
    """One, over the whole picture."""
    return (Stage("joint", plan, whole(scene.size)),)


def paint(run: Run) -> Tensor:
    """Optimize all regions together."""
    (stage,) = run.stages
    return run.optimize(stage, run.problem)


STRATEGY = Strategy(stages, paint)
