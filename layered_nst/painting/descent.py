"""An optimizer with a guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from layered_nst.errors import PaintingError
from layered_nst.painting.canvas import Canvas
from layered_nst.painting.objective import Objective
from layered_nst.painting.optimizers import LBFGS, Adam, Optimizer, Pair
from layered_nst.painting.plan import Plan
from layered_nst.painting.state import State

PATIENCE = 10
# L-BFGS without a line search may overshoot and come back; past this factor it does not.
EXPLODED = 4.0
LEAP = 5.0
"""A step so many times as long as the first one is a leap."""


class Descent:
    """An optimizer with a guard: a step that explodes is taken back and tried more carefully.

    Args:
        canvas: what is painted on, as it is to start.
        objective: gives terms and gradient of its picture.
        learned: what the optimizer of a coarser level has learned.

    Raises:
        PaintingError: by a step, if the loss is no number where the descent starts.
    """

    def __init__(self, canvas: Canvas, objective: Objective, learned: Any = None) -> None:
        self.canvas, self.objective = canvas, objective
        self.plan = objective.plan
        self.learning_rate = self.plan.learning_rate
        self.totals: list[float] = []
        self.lengths: list[float] = []
        self.good = canvas.variables
        self.terms: dict[str, Tensor] = {}
        self._shown: tuple[Tensor, Tensor] | None = None
        self._restart()
        self.optimizer.begin(learned, canvas.variables.shape)

    def _restart(self) -> None:
        self.optimizer = _optimizer(self.plan, self.learning_rate)

    @property
    def picture(self) -> Tensor:
        """The canvas's, shape (1, 3, h, w): one for the next step and for all who look at it, who
        are not to write into it."""
        if self._shown is None or self._shown[0] is not self.canvas.variables:
            self._shown = None  # not two at a time
            self._shown = self.canvas.variables, self.canvas.picture()
        return self._shown[1]

    def step(self) -> dict[str, Tensor]:
        """Take one step.

        Returns:
            The terms of the picture before it; of the last good one if that has exploded.
        """
        terms, gradient = self.objective.backward(self.picture)
        total = terms["total"].item()
        if self._exploded(total):
            if not self.totals:
                raise PaintingError(_no_number(terms, self.objective.size))
            self._take_back()
            return self.terms or terms
        least = min(self.totals, default=float("inf"))
        has_led_up = bool(self.totals) and total > self.totals[-1] == least
        if total <= least:
            self.good = self.canvas.variables
        self.totals.append(total)
        self.terms = terms
        downhill = self.canvas.pull_back(gradient)
        del gradient  # of a print a tenth of a gigabyte, while L-BFGS takes most
        step = self.optimizer.instead(downhill) if has_led_up else None
        if step is not None:
            self.canvas.variables = self.good
        else:
            step = self.optimizer.step(downhill)
        self.lengths.append(step.norm().item())
        self.canvas.variables = self.canvas.variables + step
        return self.terms

    def _exploded(self, total: float) -> bool:
        return not total < EXPLODED * min(self.totals, default=float("inf")) + 1e-9

    def _goes_on(self) -> bool:
        """Whether the last of several steps was no leap."""
        return len(self.lengths) > 1 and self.lengths[-1] < LEAP * self.lengths[0]

    def _take_back(self) -> None:
        self.canvas.variables, self.lengths = self.good, []
        self.learning_rate /= 2
        self._restart()

    @torch.no_grad()
    def result(self, *, judged: bool = True) -> Tensor:
        """The picture of the lowest loss: the last one, which no step has judged, or an earlier.

        Args:
            judged: False where the last one will do if the step to it was no leap.
        """
        picture = self.picture
        if not judged and self._goes_on():
            return picture
        total = torch.stack(list(self.objective(picture).values())).sum().item()
        if total <= min(self.totals, default=float("inf")):
            return picture
        self.canvas.variables = self.good
        return self.picture

    def state(self, stage: str, level: int, step: int) -> State:
        """All that the next step of this level depends on, out of its reach."""
        descent: dict[str, Any] = {
            "variables": self.canvas.variables,
            "good": self.good,
            "totals": list(self.totals),
            "terms": dict(self.terms),
            "learning_rate": self.learning_rate,
            "optimizer": self.optimizer.state(),
        }
        return State(stage, level, step, self.picture, descent)

    def restore(self, state: State) -> None:
        """Go back to where ``state`` was taken, and take its descent out of it."""
        descent = dict(state.descent)
        state.descent.clear()
        self.canvas.variables = descent["variables"]
        self.good, self.totals = descent["good"], list(descent["totals"])
        self.terms, self.learning_rate = descent["terms"], descent["learning_rate"]
        self._restart()
        self.optimizer.restore(descent["optimizer"])

    @property
    def settled(self) -> bool:
        """Whether the loss has all but stopped falling."""
        if len(self.totals) <= PATIENCE:
            return False
        now, then = min(self.totals[-PATIENCE:]), min(self.totals[:-PATIENCE])
        return then - now < self.plan.tolerance * then


def _optimizer(plan: Plan, rate: float) -> Optimizer:
    return Adam(rate) if plan.optimizer == "adam" else LBFGS(rate, plan.history)


def learned_of(plan: Plan, state: Mapping[str, Any]) -> tuple[Any, Sequence[Pair]]:
    """What an optimizer of a plan has learned that is in a state: as ``Optimizer.learned`` and
    ``Optimizer.pairs`` have it."""
    optimizer = _optimizer(plan, plan.learning_rate)
    optimizer.restore(state)
    return optimizer.learned(), optimizer.pairs()


def _no_number(terms: Mapping[str, Tensor], size: tuple[int, int]) -> str:
    wrong = [f"{n} is {v.item():g}" for n, v in terms.items() if not bool(v.isfinite())]
    return (
        f"nothing can be painted at {size[1]}×{size[0]} px: the loss is no number where it starts "
        f"({wrong[0]}); smaller weights under optimize, or another encoder or precision, may do"
    )
