"""Evolution among forms, and chance beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from layered_nst.training.searching.fronts import Found, survivors
from layered_nst.training.searching.spaces import Numbers, Space

POPULATION = 16

Judge = Callable[[Numbers], Found]
Seen = Mapping[Numbers, Found]


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

    def propose(seen: Seen) -> Numbers:
        if len(seen) < POPULATION:
            return space.draw(chance)
        first, second = chance.sample(survivors(list(seen.values()), POPULATION), 2)
        child = space.crossed(first.numbers, second.numbers, chance)
        return space.draw(chance) if child in seen else child

    return _evaluated(propose, judge, space, evaluations, tell, known)


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
    return _evaluated(lambda _: space.draw(drawing), judge, space, evaluations, tell, known)


def _evaluated(
    propose: Callable[[Seen], Numbers],
    judge: Judge,
    space: Space,
    evaluations: int,
    tell: Callable[[int], None],
    known: Sequence[Numbers],
) -> list[Found]:
    """Judge what is proposed, until there are as many forms as are wanted or as there are."""
    wanted = min(evaluations, len(space))
    seen = {form: judge(form) for form in (space.smallest, space.largest, *known)}
    while len(seen) < wanted:
        form = propose(seen)
        if form not in seen:
            seen[form] = judge(form)
            tell(len(seen))
    return list(seen.values())
