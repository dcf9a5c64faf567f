"""What a search is told of the network whose form is looked for."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from layered_nst.training.searching.spaces import Numbers, Space

ROUNDS = 5


@dataclass(frozen=True)
class SearchPlan:
    """Everything that decides the outcome of a search, besides pictures, networks and machine.

    Attributes:
        steps: in which the shared weights are taught.
        evaluations: of forms, by evolution, and as many by chance.
        batch, crop: crops in a step and their side in px.
        learning_rate: of Adam.
        seed: of everything random.
    """

    steps: int = 1500
    evaluations: int = 96
    batch: int = 2
    crop: int = 128
    learning_rate: float = 5e-4
    seed: int = 0


class Subject(ABC):
    """A network of many forms, in one set of weights.

    Attributes:
        space: its forms.
        known: those of them that are known to be good, such as that of what is begun with.
        belongs: what a search goes on with and no other, besides plan and space.
        usual: the plan of a search for it.
        seconds_for: what it is that is timed.
    """

    space: Space
    known: Sequence[Numbers] = ()
    belongs: Mapping[str, Any]
    usual: SearchPlan
    seconds_for: str

    @abstractmethod
    def begin(self, plan: SearchPlan) -> None:
        """Make the shared weights anew, by the plan's seed."""

    @abstractmethod
    def taught(self) -> Mapping[str, nn.Module]:
        """What is taught, by name, the shared weights first."""

    @abstractmethod
    def draw(self, plan: SearchPlan) -> Any:
        """What a step is taught by; from torch's global generator."""

    @abstractmethod
    def loss(self, form: Numbers, drawn: Any) -> Tensor:
        """What a form of the shared weights is to lower."""

    def backward(self, middle: Numbers, drawn: Any) -> float:
        """Give the shared weights the gradients of the largest form, of the smallest and of one in
        between; the sum of their losses."""
        total = 0.0
        for form in (self.space.largest, self.space.smallest, middle):
            loss = self.loss(form, drawn)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    @abstractmethod
    def settle(self, plan: SearchPlan) -> None:
        """Draw what forms are judged by, and whatever else comes between teaching and judging."""

    @abstractmethod
    def error(self, form: Numbers) -> float:
        """How far a form of the shared weights is from what is wanted."""

    @abstractmethod
    def measured(self) -> dict[str, float]:
        """Seconds of the parts that forms are made of, on this machine."""

    @abstractmethod
    def predicted(self, form: Numbers, table: Mapping[str, float]) -> float:
        """Seconds of a form, by what was measured."""

    @abstractmethod
    def size(self, form: Numbers) -> int:
        """Bytes of a form's file."""

    @abstractmethod
    def called(self, form: Numbers) -> str:
        """A form as commands take it."""


def least_seconds(run: Callable[[], object]) -> float:
    """The least of some rounds: what a machine does beside only ever adds to a time."""
    run()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
