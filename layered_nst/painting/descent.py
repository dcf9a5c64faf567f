"""An optimizer with a guard."""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.painting.objective import Objective
from layered_nst.painting.optimizers import LBFGS, Adam, Optimizer
from layered_nst.painting.state import State

PATIENCE = 10
# L-BFGS without a line search may overshoot and come back; past this factor it does not.
EXPLODED = 4.0


class Descent:
    """An optimizer with a guard: a step that explodes is taken back and tried more carefully.

    Args:
        picture: where it starts, a leaf of shape (1, 3, h, w).
        objective: gives terms and gradient.
        frozen: how far each pixel is not to move, shape (h, w).
        scale: the inverse curvature to begin with, as ``LBFGS`` takes it.
    """

    def __init__(
        self, picture: Tensor, objective: Objective, frozen: Tensor, scale: float | None = None
    ) -> None:
        self.picture, self.objective, self.frozen = picture, objective, frozen
        self.plan = objective.plan
        self.learning_rate = self.plan.learning_rate
        self.totals: list[float] = []
        self.good = picture.detach()
        self.terms: dict[str, Tensor] = {}
        self._restart(scale)

    def _restart(self, scale: float | None = None) -> None:
        self.optimizer: Optimizer = (
            Adam(self.learning_rate)
            if self.plan.optimizer == "adam"
            else LBFGS(self.learning_rate, self.plan.history, scale)
        )

    def step(self) -> dict[str, Tensor]:
        terms = self.objective.backward(self.picture)
        gradient, self.picture.grad = self.picture.grad, None
        assert gradient is not None
        total = terms["total"].item()
        if self._exploded(total):
            self._take_back()
            return self.terms or terms
        if total <= min(self.totals, default=float("inf")):
            self.good = self.picture.detach()
        self.totals.append(total)
        self.terms = {name: value.detach() for name, value in terms.items()}
        step = self.optimizer.step(gradient.mul_(1 - self.frozen))
        # A new tensor, for the one before may be held as the best so far, or by a state.
        self.picture.data = self.picture.detach() + step
        return self.terms

    def _exploded(self, total: float) -> bool:
        return not total < EXPLODED * min(self.totals, default=float("inf")) + 1e-9

    def _take_back(self) -> None:
        self.picture.data = self.good
        self.learning_rate /= 2
        self._restart()

    @torch.no_grad()
    def result(self) -> Tensor:
        """The picture of the lowest loss: the last one, which no step has judged, or an earlier."""
        total = torch.stack(list(self.objective(self.picture).values())).sum().item()
        lowest = min(self.totals, default=float("inf"))
        return self.picture.detach() if total <= lowest else self.good

    def state(self, stage: str, level: int, step: int) -> State:
        """All that the next step depends on, out of its reach."""
        descent = {
            "good": self.good,
            "totals": list(self.totals),
            "terms": dict(self.terms),
            "learning_rate": self.learning_rate,
            "optimizer": self.optimizer.state(),
        }
        return State(stage, level, step, self.picture.detach(), descent)

    def restore(self, state: State) -> None:
        """Go back to where ``state`` was taken, and take its descent out of it."""
        descent = dict(state.descent)
        state.descent.clear()
        self.picture.data = state.picture
        self.good, self.totals = descent["good"], list(descent["totals"])
        self.terms, self.learning_rate = descent["terms"], descent["learning_rate"]
        self._restart()
        self.optimizer.restore(descent["optimizer"])

    @property
    def settled(self) -> bool:
        if len(self.totals) <= PATIENCE:
            return False
        now, then = min(self.totals[-PATIENCE:]), min(self.totals[:-PATIENCE])
        return then - now < self.plan.tolerance * then
