"""``plugins trace``: which parts a recipe uses, and what each of them takes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from layered_nst import api, plugins
from layered_nst.plugins import Part
from layered_nst.plugins.code import watched
from layered_nst.strategies.run import Strategy

METHODS = ("prepare", "on", "terms")
"""Of a loss, that take time."""


@dataclass
class Used:
    """A part that a run has used.

    Attributes:
        part: that it is.
        calls: how often its code was called.
        seconds: that this took; of a strategy, with all that it runs.
    """

    part: Part
    calls: int = 0
    seconds: float = 0.0


class Tracer:
    """Takes the time of what parts do."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, str], Used] = {}

    def __call__(self, part: Part, found: Any) -> Any:
        """What is used in place of a part, with a clock."""
        if part.kind in ("judge", "detector"):
            return found
        if isinstance(found, Strategy):
            return replace(found, paint=self.timed(part, found.paint))
        return self.timed(part, found) if callable(found) else found

    def _of(self, part: Part) -> Used:
        return self.used.setdefault((part.kind, part.full_name), Used(part))

    def timed(self, part: Part, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a part, with a clock; what it makes has one too."""
        used = self._of(part)

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                made = function(*args, **options)
            finally:
                used.seconds += time.perf_counter() - started
                used.calls += 1
            return self._with_clocks(part, made)

        return call

    def _with_clocks(self, part: Part, made: Any) -> Any:
        if part.kind == "strategy" and isinstance(made, Strategy):
            return replace(made, paint=self.timed(part, made.paint))
        if part.kind == "segmenter" and hasattr(made, "classes"):
            return _Timed(made, self.timed(part, made))
        if part.kind != "loss" or made is None:
            return made
        clocked = copy.copy(made)
        for name in METHODS:
            with suppress(AttributeError):
                object.__setattr__(clocked, name, self.timed(part, getattr(clocked, name)))
        return clocked


class _Timed:
    """A segmenter with a clock."""

    def __init__(self, inner: Any, look: Callable[..., Any]) -> None:
        self.name, self.classes, self._look = inner.name, inner.classes, look

    def __call__(self, rgb: Any) -> Any:
        return self._look(rgb)


def trace(recipe: Any, content: Any = None, **options: Any) -> tuple[list[Used], float]:
    """Run a recipe, and see which parts it uses.

    Args:
        recipe, content, options: as ``layered_nst.api.apply`` takes them.

    Returns:
        The parts, in the order in which they were first used, and the seconds of the whole.
    """
    tracer, started = Tracer(), time.perf_counter()
    with watched(tracer):
        result = api.apply(recipe, content, **options)
    seconds = time.perf_counter() - started
    for kind, name in result.recipe.plugin_parts():
        tracer._of(plugins.part(kind, name))
    return [*tracer.used.values()], seconds
