"""The best plan that fits into a time, by the machine's own measured speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from layered_nst.errors import BudgetError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import HEAVY, INSTANT, LIGHT, Plan, make_plan
from layered_nst.recipe import Optimize
from layered_nst.scene.scene import Scene
from layered_nst.strategies.costs import estimate, speed
from layered_nst.strategies.looks import planned, settled
from layered_nst.words import duration, fine_duration, listed, seconds_in

LADDER: Sequence[tuple[str, float, bool]] = (
    ("fine", 1.0, True),
    ("standard", 1.0, True),
    ("standard", 0.6, True),
    ("standard", 0.35, True),
    ("draft", 1.0, True),
    ("draft", 1.0, False),
    ("draft", 0.5, False),
    (INSTANT, 1.0, True),
)
"""Best to quickest: a quality, the share of its steps, and whether the finest level takes any; if
not, it is enlarged from the one before, with the photo's detail."""
SURPLUS = 1.15
"""Time of a run against its estimate, at most, where nothing else keeps the machine busy."""
LEAVING = 0.4
"""Seconds to write what is left of a run."""
PROBED = 2.5
"""Seconds below which hed-vgg16 is not even timed."""
LATE = 1.1
"""Share of the time after which a run ends with what it has."""


@dataclass(frozen=True)
class Deadline:
    """By when a run is to be done.

    Attributes:
        seconds: that it has.
        started: when it began, by ``time.monotonic``.
    """

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, never below 0."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    @property
    def is_past(self) -> bool:
        """Whether a run that still goes on is to end with what it has."""
        return time.monotonic() > self.started + LATE * self.seconds


def deadline_of(within: float | str | Deadline | None) -> Deadline | None:
    """A deadline from now on, from seconds or ``10s``, ``2 min``, ``1h30m``; None for none.

    Raises:
        BudgetError: no time, or none at all.
    """
    if within is None or isinstance(within, Deadline):
        return within
    found = seconds_in(str(within))
    if found is None or not found > 0:
        raise BudgetError(f"within {within}: allowed: a time above 0 such as 10s, 2min or 1h30m")
    return Deadline(found)


def check_alone(within: object, others: Mapping[str, object]) -> None:
    """Refuse a time beside what it would choose itself.

    Args:
        others: arguments by name.

    Raises:
        BudgetError: one of the others is given.
    """
    for name, value in others.items():
        if within is not None and value not in (None, False):
            raise BudgetError(f"`within` chooses the plan itself; leave `{name}` out")


def fitted(
    scene: Scene, deadline: Deadline, load: Callable[[Sequence[str]], Mapping[str, Encoder]]
) -> tuple[Scene, Plan, Mapping[str, Encoder]]:
    """Choose how to paint a scene in the time that is left.

    Args:
        load: gives encoders by their names.

    Returns:
        The scene with its recipe's ``optimize`` settled and a note of what was chosen, its plan,
        and the encoders of the plan.
    """
    speeds: dict[str, float] = {}
    encoders: dict[str, Encoder] = {}
    for tried, plan in _plans(scene, deadline):
        for name in plan.encoders:
            if name not in encoders:
                encoders |= load([name])
                speeds[name] = speed(plan, encoders[name], tried)
        seen = {name: encoders[name] for name in plan.encoders}
        takes = SURPLUS * estimate(tried, plan, seen, speeds=speeds).seconds + LEAVING
        if takes <= deadline.left or plan.painter is not None:
            break
    note = f"within {duration(deadline.seconds)}: {in_words(plan)}, about {fine_duration(takes)}"
    return replace(tried, notes=(*tried.notes, note)), plan, seen


def _plans(scene: Scene, deadline: Deadline) -> Iterator[tuple[Scene, Plan]]:
    """What there is to choose from, the best first."""
    for quality, share, finest in LADDER:
        named = scene.recipe.encoder
        heavy = named != LIGHT if named is not None else quality in ("standard", "fine")
        if heavy and quality != INSTANT and deadline.left < PROBED:
            continue
        optimize = _optimize(scene, quality, share, finest=finest)
        recipe = scene.recipe.model_copy(update={"optimize": optimize})
        tried = replace(scene, recipe=recipe)
        yield tried, planned(tried)


def _optimize(scene: Scene, quality: str, share: float, *, finest: bool) -> Optimize:
    given = {"quality": quality, "levels": None, "steps": None}
    optimize = scene.recipe.optimize.model_copy(update=given)
    if share == 1 and finest:
        return optimize
    recipe = scene.recipe.model_copy(update={"optimize": optimize})
    levels = make_plan(settled(recipe), scene.size, recipe.encoder).levels
    steps = [max(1, round(share * level.steps)) for level in levels]
    if not finest and len(steps) > 1:
        steps[-1] = 0
    return optimize.model_copy(update={"steps": tuple(steps)})


def in_words(plan: Plan) -> str:
    """What a plan does: ``24, 10 and 4 steps at 128, 256 and 512 px``."""
    if plan.painter is not None:
        return "painted at once"
    steps = listed([str(level.steps) for level in plan.levels])
    sides = listed([str(level.longest) for level in plan.levels])
    heavy = ", the finest with hed-vgg16" if HEAVY in plan.encoders else ""
    return f"{steps} steps at {sides} px{heavy}"
