"""How a gradient becomes a step: L-BFGS and Adam over one tensor, as values that can be stored.

torch's own write into what they keep, and take its compiler with them (a second of every command).
These give steps and never write into a tensor again that they have made or been given, so a state
is taken by reference after every step, for nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor]
"""A step, and what it changed of the gradient."""


class Optimizer(Protocol):
    """Makes steps of gradients."""

    def step(self, gradient: Tensor) -> Tensor:
        """What to add to the point at which the gradient was taken; it is the caller's to add."""
        ...

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: plain data, and tensors that nobody writes into."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of an optimizer of this kind."""
        ...

    def learned(self) -> Any:
        """What ``begin`` takes, None before anything is known."""
        ...

    def begin(self, learned: Any, shape: torch.Size) -> None:
        """Go on from what an optimizer of this kind has learned of a like problem.

        The problem's loss is a mean over its variables: the more there are, the less one of them
        bends the loss.

        Args:
            learned: of the other problem, coarser or finer.
            shape: of the variables here.
        """
        ...

    def pairs(self) -> Sequence[Pair]:
        """Steps and what they have changed of the gradient, the oldest first; none if it keeps
        none."""
        ...

    def recall(self, pairs: Sequence[Pair]) -> None:
        """Take the pairs of a problem that is all but the same for its own, before a step."""
        ...

    def instead(self, gradient: Tensor) -> Tensor | None:
        """Another step from where the last one began, which has led up: by what was seen here
        alone, without what was recalled.

        Args:
            gradient: where the last step has led to.

        Returns:
            None if nothing that was recalled has a part in it.
        """
        ...


@dataclass
class LBFGS:
    """Limited-memory BFGS without a line search: one gradient for each step.

    Source: Nocedal and Wright 2006, Numerical Optimization, algorithm 7.4, with the scale of
    equation 7.20. Without a scale the first step is as long as the gradient, but no longer than 1
    in all: for a picture that is next to nothing, and only shows how curved the loss is.

    Args:
        rate: factor on every step.
        history: steps that are remembered.
        scale: the inverse curvature to begin with, as ``learned_scale`` has it of a like problem.
    """

    rate: float
    history: int
    scale: float | None = None
    _last: tuple[Tensor, Tensor] | None = field(default=None, init=False)
    """The last gradient and the step that was made of it."""
    _pairs: list[tuple[Tensor, Tensor, float]] = field(default_factory=list, init=False)
    """Steps, what they changed of the gradient, and the products of both, the oldest first."""
    _recalled: int = field(default=0, init=False)
    """How many of the oldest pairs are of another problem."""
    _begun: float | None = field(default=None, init=False)
    """The scale of one variable that it began with."""

    # A change of gradient that says this little of the curvature along its step, or the opposite
    # of what it would where there is a lowest point, is not remembered.
    FLATTEST = 1e-10

    def step(self, gradient: Tensor) -> Tensor:
        self._learn(gradient)
        step = self._direction(gradient).mul_(self.rate)
        if self._last is None and self.scale is None:
            step.mul_(min(1.0, 1.0 / max(gradient.abs().sum().item(), 1e-30)))
        self._last = gradient, step
        return step

    def _learn(self, gradient: Tensor) -> None:
        """Remember what the last step has changed of the gradient."""
        if self._last is None:
            return
        before, taken = self._last
        change = gradient - before
        curvature = _dot(taken, change)
        if curvature > self.FLATTEST:
            pairs = [*self._pairs, (taken, change, curvature)]
            self._recalled = max(0, self._recalled - max(0, len(pairs) - self.history))
            self._pairs = pairs[-self.history :]

    def _direction(self, gradient: Tensor) -> Tensor:
        """Minus the inverse of the remembered curvature times the gradient."""
        direction, shares = -gradient, []
        for taken, change, curvature in reversed(self._pairs):
            shares.append(_dot(taken, direction) / curvature)
            direction.add_(change, alpha=-shares[-1])
        if self._pairs:
            direction.mul_(_scale(self._pairs[-1]))
        elif self.scale is not None:
            direction.mul_(self.scale)
        for (taken, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            direction.add_(taken, alpha=share - _dot(change, direction) / curvature)
        return direction

    def state(self) -> dict[str, Any]:
        own = {"last": self._last, "pairs": self._pairs, "scale": self.scale}
        return {**own, "recalled": self._recalled}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._last, self.scale = state["last"], state["scale"]
        # There may be room for fewer than there was.
        self._pairs = state["pairs"][-self.history :]
        self._recalled = max(0, state["recalled"] - len(state["pairs"]) + len(self._pairs))

    def learned(self) -> float | None:
        """The inverse curvature for one variable."""
        if self._last is None:
            return self._begun
        scale = self.learned_scale()
        return scale and scale / self._last[0].numel()

    def begin(self, learned: float | None, shape: torch.Size) -> None:
        """See ``Optimizer``. Without it the first step is lost, and the second often too long."""
        self._begun, self.scale = learned, learned and learned * shape.numel()

    def pairs(self) -> Sequence[Pair]:
        return [(taken, change) for taken, change, _ in self._pairs]

    def recall(self, pairs: Sequence[Pair]) -> None:
        told = [(taken, change, _dot(taken, change)) for taken, change in pairs]
        self._pairs = [pair for pair in told if pair[2] > self.FLATTEST][-self.history :]
        self._recalled = len(self._pairs)

    def instead(self, gradient: Tensor) -> Tensor | None:
        """See ``Optimizer``."""
        if self._last is None or not self._recalled:
            return None
        began, _ = self._last
        self._learn(gradient)
        self._pairs, self._recalled = self._pairs[self._recalled :], 0
        step = self._direction(began).mul_(self.rate)
        self._last = began, step
        return step

    def learned_scale(self) -> float | None:
        """What a gradient is to be multiplied by for a step of about the right length."""
        # From one step to the next it varies two- or threefold.
        return statistics.median(map(_scale, self._pairs)) if self._pairs else self.scale


@dataclass
class Adam:
    """Adam, whose steps are about ``rate`` long in every number.

    Source: Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1.

    Args:
        rate: length of the steps.
    """

    rate: float
    _moments: tuple[Tensor, Tensor] | None = field(default=None, init=False)
    """Running means of gradients and of their squares, which start at zero."""
    _steps: int = field(default=0, init=False)

    DECAYS = 0.9, 0.99
    EPSILON = 1e-8

    def step(self, gradient: Tensor) -> Tensor:
        now = gradient, gradient.square()
        before = self._moments or tuple(map(torch.zeros_like, now))
        mean, square = (b.lerp(n, 1 - d) for b, n, d in zip(before, now, self.DECAYS, strict=True))
        self._moments, self._steps = (mean, square), self._steps + 1
        mean, square = self._means()
        return mean.div_(square.sqrt_().add_(self.EPSILON)).mul_(-self.rate)

    def state(self) -> dict[str, Any]:
        return {"moments": self._moments, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._moments, self._steps = state["moments"], state["steps"]

    def _means(self) -> tuple[Tensor, Tensor]:
        """The running means, as if they had not started at zero; they are the caller's."""
        assert self._moments is not None
        mean, square = (
            moment / (1 - decay**self._steps)
            for moment, decay in zip(self._moments, self.DECAYS, strict=True)
        )
        return mean, square

    def learned(self) -> tuple[Tensor, Tensor] | None:
        """The running means."""
        return None if self._moments is None else self._means()

    def begin(self, learned: tuple[Tensor, Tensor] | None, shape: torch.Size) -> None:
        """See ``Optimizer``; the means are enlarged like the picture (1, 3, h, w).

        They count as one step does. From nothing the first one would move all pixels alike, which
        at a rate of 0.05 doubled the loss of each level; with the weight of all the steps behind
        them they held the new ones back.
        """
        if learned is None:
            return
        fewer = learned[0].numel() / shape.numel()
        mean, square = (
            F.interpolate(moment, shape[2:], mode="bilinear", align_corners=False) * scale * weight
            for moment, scale, weight in zip(
                learned, (fewer, fewer**2), (1 - decay for decay in self.DECAYS), strict=True
            )
        )
        self._moments, self._steps = (mean, square), 1

    def pairs(self) -> Sequence[Pair]:
        return ()

    def recall(self, pairs: Sequence[Pair]) -> None:
        """Nothing of them is of use."""

    def instead(self, gradient: Tensor) -> None:
        """Nothing was recalled."""


def _dot(one: Tensor, other: Tensor) -> float:
    """The sum of products, of tensors of any shape."""
    return one.flatten().dot(other.flatten()).item()


def _scale(pair: tuple[Tensor, Tensor, float]) -> float:
    """The inverse curvature that a remembered step has shown, equation 7.20."""
    _, change, curvature = pair
    return curvature / _dot(change, change)
