"""Evolution among forms, and chance beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from layered_nst.training.searching.fronts import Found, survivors
from layered_nst.training.searching.spaces import Numbers, Space

POPULATION = 16

Judge = Callable[[Numbers], Found]


def evolution(
    judge: Judge,
    space: Space,
    evaluations: int,
    seed: int,
    tell: Callable[[int], None] = lambda _: None,
    *,
    known: Sequence[Numbers] = (),
) -> list[Found]:
    """Everything that evolution evaluates, no form twice.

    Args:
        known: forms to begin with, beside the smallest and the largest.
    """
    chance = random.Random(seed)
    wanted = min(evaluations, len(space))
    seen = {form: judge(form) for form in (space.smallest, space.largest, *known)}
    while len(seen) < min(POPULATION, wanted):
        form = space.draw(chance)
        if form not in seen:
            seen[form] = judge(form)
            tell(len(seen))
    while len(seen) < wanted:
        parents = survivors(list(seen.values()), POPULATION)
        first, second = chance.sample(parents, 2)
        child = space.crossed(first.numbers, second.numbers, chance)
        if child in seen:
            child = space.draw(chance)
        if child not in seen:
            seen[child] = judge(child)
            tell(len(seen))
    return list(seen.values())


def chance(
    judge: Judge,
    space: Space,
    evaluations: int,
    seed: int,
    tell: Callable[[int], None] = lambda _: None,
    *,
    known: Sequence[Numbers] = (),
) -> list[Found]:
    """As many forms, each drawn by chance; what evolution begins with is given here as well."""
    drawing = random.Random(seed + 1)
    wanted = min(evaluations, len(space))
    seen = {form: judge(form) for form in (space.smallest, space.largest, *known)}
    while len(seen) < wanted:
        form = space.draw(drawing)
        if form not in seen:
            seen[form] = judge(form)
            tell(len(seen))
    return list(seen.values())
