"""Objectives of pictures that are free in places."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_tiles import distance, gradient_of, plan_of, problem_of, random
from torch import Tensor

from layered_nst.networks.encoders import load_encoder
from layered_nst.painting import partial as partial_objectives
from layered_nst.painting.levels import optimize
from layered_nst.painting.objective import Objective
from layered_nst.painting.partial import PartialObjective, windows_of
from layered_nst.painting.problem import Problem

SIZE = (48, 480)
PLAN = replace(plan_of((480, 2)), layers={"conv1_1": 0.5, "conv3_1": 0.5})


def free_at(*places: tuple[slice, slice]) -> Tensor:
    free = torch.zeros(SIZE)
    for place in places:
        free[place] = 1
    return free


def asked(free: Tensor, encoder: str = "light") -> tuple[Objective, PartialObjective, Problem]:
    problem = replace(problem_of(*SIZE), frozen=1 - free)
    seeing = load_encoder(encoder)
    made = (kind(seeing, problem, PLAN, SIZE) for kind in (Objective, PartialObjective))
    return *made, problem  # type: ignore[return-value]


@pytest.mark.parametrize("encoder", ["light", pytest.param("hed-vgg16", marks=pytest.mark.slow)])
def test_what_is_free_gets_the_gradient_of_the_whole(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_objectives, "NEAR", 1.0)
    free = free_at((slice(10, 30), slice(20, 40)), (slice(30, 40), slice(450, 470)))
    whole, partial, problem = asked(free, encoder)
    assert len(partial.windows) == 2
    assert 0.4 < partial.kept < 0.9
    partial.backward(problem.start[None])
    picture = problem.start + 0.3 * free * random(3, *SIZE, seed=9).to(problem.start)
    (terms, wanted), (found, gradient) = (gradient_of(o, picture) for o in (whole, partial))
    assert found == pytest.approx(terms, rel=1e-4)
    assert distance(gradient * free, wanted * free) < 1e-3
    # Without what stands around it, it would be another.
    assert distance(gradient, wanted) > 0.01


def test_at_the_rims_of_windows_next_to_nothing_is_seen() -> None:
    free = free_at((slice(10, 30), slice(220, 240)))
    whole, partial, problem = asked(free)
    partial.backward(problem.start[None])
    picture = problem.start + 0.3 * free * random(3, *SIZE, seed=9).to(problem.start)
    (terms, wanted), (found, gradient) = (gradient_of(o, picture) for o in (whole, partial))
    assert found["total"] == pytest.approx(terms["total"], rel=1e-3)
    assert distance(gradient * free, wanted * free) < 0.02


def test_what_lies_around_is_seen_once() -> None:
    _, partial, problem = asked(free_at((slice(10, 30), slice(20, 40))))
    seen: list[int] = []
    inner = partial.encoder
    partial.encoder = lambda part, *more, **how: (  # type: ignore[assignment]
        seen.append(part.shape[-1]) or inner(part, *more, **how)  # type: ignore[func-returns-value]
    )
    for _ in range(3):
        partial.backward(problem.start[None])
    assert seen.count(480) == 1
    assert max(seen[2:]) < 200


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_picture_that_is_free_all_over_or_nowhere_is_seen_whole(share: float) -> None:
    whole, partial, problem = asked(torch.full(SIZE, share))
    assert partial.kept == 0
    assert partial.windows == ()
    (terms, wanted), (found, gradient) = (gradient_of(o, problem.start) for o in (whole, partial))
    assert found == terms
    assert torch.equal(gradient, wanted)


def test_windows_own_whatever_sees_a_free_pixel_and_share_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partial_objectives, "NEAR", 1.0)
    draw = torch.Generator().manual_seed(0)
    encoder, layers = load_encoder("light"), ("conv1_1", "conv3_1")
    for _ in range(8):
        free = torch.rand(SIZE, generator=draw) > 0.9998
        windows = windows_of(free, encoder, layers)
        owned, read = torch.zeros(SIZE), torch.zeros(SIZE)
        for window in windows:
            owned[window.owned] += 1
            read[window.read] = 1
        assert owned.max() <= 1
        for row, column in free.nonzero().tolist():  # conv3_1 sees 24 px
            around = slice(max(0, row - 12), row + 13), slice(max(0, column - 12), column + 13)
            assert bool((owned[around] == 1).all())
        for row, column in (owned > 0).nonzero().tolist()[::211]:
            around = slice(max(0, row - 12), row + 13), slice(max(0, column - 12), column + 13)
            assert bool((read[around] == 1).all())


def test_steps_by_parts_lead_where_steps_by_the_whole_do() -> None:
    problem = replace(problem_of(*SIZE), frozen=1 - free_at((slice(10, 30), slice(20, 40))))
    encoder = load_encoder("light")
    whole = optimize(encoder, problem, PLAN)
    partial = optimize(encoder, problem, PLAN, objectives=PartialObjective)
    assert float((whole - problem.start).abs().max()) > 0.01
    assert float((whole - partial).abs().max()) < 0.005
