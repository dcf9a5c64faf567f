"""L-BFGS and Adam: step by step what torch's own do, and states that nobody writes into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from layered_nst.painting.canvas import Pixels
from layered_nst.painting.descent import Descent
from layered_nst.painting.optimizers import LBFGS, Adam, Optimizer

START = torch.tensor([[-1.2, 1.0, -0.5, 0.8, 1.5, -0.7]], dtype=torch.float64)
MAKERS: dict[str, Callable[[], Optimizer]] = {
    "lbfgs": lambda: LBFGS(0.02, 3),
    "lbfgs with a scale": lambda: LBFGS(0.02, 3, 0.002),
    "adam": lambda: Adam(0.05),
}


def valley(x: Tensor) -> Tensor:
    """Rosenbrock's valley, chained: curved, narrow, and nowhere quadratic."""
    x = x.flatten()
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def slope(x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(valley(x), x)
    return gradient


def path(optimizer: Optimizer, steps: int, start: Tensor = START) -> list[Tensor]:
    points = [start]
    for _ in range(steps):
        points.append(points[-1] + optimizer.step(slope(points[-1])))
    return points


def path_of_torch(
    make: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int
) -> list[Tensor]:
    x = START.clone().requires_grad_()
    optimizer, points = make([x]), [START]

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = valley(x)
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)
        points.append(x.detach().clone())
    return points


@pytest.mark.parametrize("history", [1, 3, 10])
def test_lbfgs_takes_the_steps_of_torch(history: int) -> None:
    found = path(LBFGS(0.02, history), 40)
    options = {"max_iter": 1, "tolerance_grad": 0, "tolerance_change": 0}
    wanted = path_of_torch(
        lambda x: torch.optim.LBFGS(x, lr=0.02, history_size=history, **options), 40
    )
    assert valley(found[-1]) < 0.5 * valley(START)
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9), number


def test_the_first_step_of_lbfgs_is_as_long_as_its_scale_says() -> None:
    gradient = torch.tensor([3.0, -400.0, 0.5])
    assert torch.allclose(LBFGS(0.5, 10, 0.02).step(gradient), -0.5 * 0.02 * gradient)
    # Without one its numbers sum to at most 1.
    assert LBFGS(1.0, 10).step(gradient).abs().sum().item() == pytest.approx(1.0)


def test_of_a_round_bowl_one_step_tells_the_scale_and_a_step_of_it_the_lowest_point() -> None:
    start, first = torch.tensor([4.0, -3.0], dtype=torch.float64), LBFGS(1.0, 10)
    x = start
    for _ in range(2):
        x = x + first.step(20 * x)
    scale = first.learned_scale()
    assert scale == pytest.approx(1 / 20)
    assert (start + LBFGS(1.0, 10, scale).step(20 * start)).abs().max() < 1e-12


def test_the_learned_scale_is_the_middle_one_of_those_remembered() -> None:
    """In each of the directions that are tried the loss is bent otherwise."""
    bends, optimizer = (2.0, 50.0, 10.0, 4.0), LBFGS(1.0, 3)
    gradient = torch.zeros(4, dtype=torch.float64)
    optimizer.step(gradient + 1)
    for axis, bend in enumerate(bends):
        before, taken = optimizer.state()["last"]
        change = torch.zeros(4, dtype=torch.float64)
        change[axis] = bend * taken[axis]
        optimizer.step(before + change)
    assert optimizer.learned_scale() == pytest.approx(1 / 10)


def test_before_anything_is_learned_the_scale_is_the_given_one() -> None:
    assert LBFGS(1.0, 10).learned_scale() is None
    assert LBFGS(1.0, 10, 0.3).learned_scale() == 0.3
    assert LBFGS(1.0, 10).learned() is Adam(0.1).learned() is None


def test_pairs_of_a_like_problem_make_the_step_that_the_formula_of_bfgs_says() -> None:
    """The inverse curvature, written out as a matrix: equation 6.17 of Nocedal and Wright."""
    draw = torch.Generator().manual_seed(3)
    curved = torch.rand(6, 6, generator=draw, dtype=torch.float64)
    curved = curved @ curved.T + torch.eye(6, dtype=torch.float64)
    steps = [torch.rand(1, 6, generator=draw, dtype=torch.float64) for _ in range(3)]
    optimizer = LBFGS(1.0, 2, 0.01)
    optimizer.recall([(step, step @ curved) for step in steps])
    inverse = None
    for step in steps[-2:]:  # no more are kept than its history holds
        s, y = step[0], step[0] @ curved
        if inverse is None:
            last = steps[-1][0]
            change = last @ curved
            inverse = torch.eye(6, dtype=torch.float64) * (last @ change) / (change @ change)
        left = torch.eye(6, dtype=torch.float64) - torch.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + torch.outer(s, s) / (s @ y)
    gradient = torch.rand(1, 6, generator=draw, dtype=torch.float64)
    assert torch.allclose(optimizer.step(gradient), -gradient @ inverse)


def test_a_step_that_leads_up_by_what_was_recalled_is_taken_anew_without_it() -> None:
    start, bend = torch.full((1, 3, 2, 2), 0.5), torch.tensor([8.0, 3.0, 1.0])[:, None, None]
    seen: list[Tensor] = []

    def backward(picture: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        seen.append(picture - start)
        return {"total": (bend / 2 * (seen[-1] - 0.01).square()).sum()}, bend * (seen[-1] - 0.01)

    plan = SimpleNamespace(optimizer="lbfgs", learning_rate=1.0, history=10, tolerance=0.0)
    objective: Any = SimpleNamespace(plan=plan, size=(2, 2), backward=backward)
    descent = Descent(Pixels(start, torch.zeros(2, 2)), objective)
    descent.optimizer.recall([(torch.ones_like(start), torch.full_like(start, 3.0))])
    totals = [float(descent.step()["total"]) for _ in range(2)]
    assert totals[1] > totals[0]  # it is bent by 8
    ((taken, change),) = descent.optimizer.pairs()
    assert torch.allclose(taken, seen[1], atol=1e-6)
    assert torch.allclose(change, bend * seen[1], atol=1e-6)
    assert float(descent.step()["total"]) < 0.1 * totals[0]
    # From where the last step began it goes less far the way that led up.
    assert torch.allclose(seen[2][:, 0], torch.full((2, 2), 0.01), atol=2e-3)


def test_what_was_seen_here_is_not_taken_back() -> None:
    optimizer = LBFGS(1.0, 2, 0.01)
    optimizer.recall([(torch.ones(1, 2), torch.ones(1, 2))])
    assert optimizer.instead(torch.ones(1, 2)) is None  # no step was taken
    for number in (4.0, 2.0, 1.0):
        optimizer.step(torch.full((1, 2), -number))
    assert optimizer.instead(torch.ones(1, 2)) is None  # what was recalled is forgotten
    assert Adam(0.05).instead(torch.ones(1, 2)) is None


def test_pairs_that_say_nothing_of_the_curvature_are_not_recalled() -> None:
    flat, good = torch.zeros(1, 2), torch.ones(1, 2)
    optimizer = LBFGS(1.0, 10, 0.01)
    optimizer.recall([(flat, good), (good, -good), (good, 2 * good)])
    assert [float(change[0, 0]) for _, change in optimizer.pairs()] == [2]
    steady = Adam(0.05)
    steady.recall([(good, good)])
    assert not steady.pairs()


def test_adam_begins_with_the_means_of_another_size_as_if_they_were_one_step() -> None:
    first, second = Adam(0.1), Adam(0.1)
    gradient = torch.full((1, 3, 4, 6), 0.5)
    for _ in range(7):
        first.step(gradient)
    second.begin(first.learned(), torch.Size((1, 3, 8, 12)))
    # Of a loss that is a mean over four times as many pixels.
    mean, square = second.learned() or ()
    assert torch.allclose(mean, torch.full((1, 3, 8, 12), 0.125))
    assert torch.allclose(square, torch.full((1, 3, 8, 12), 0.125**2))
    step = second.step(torch.full((1, 3, 8, 12), -0.125))
    # Two steps that contradict each other, the second with the larger weight.
    assert torch.allclose(step, torch.full_like(step, 0.1 * 0.1 / 1.9))


def test_adam_takes_the_steps_of_torch() -> None:
    found = path(Adam(0.05), 40)
    wanted = path_of_torch(lambda x: torch.optim.Adam(x, lr=0.05, betas=(0.9, 0.99)), 40)
    assert valley(found[-1]) < 0.2 * valley(START)
    assert all(torch.allclose(f, w, atol=1e-9) for f, w in zip(found, wanted, strict=True))


def test_lbfgs_finds_the_lowest_point_of_a_bowl() -> None:
    sides = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    x, optimizer = torch.ones(4, dtype=torch.float64), LBFGS(1.0, 10)
    for _ in range(20):
        x = x + optimizer.step(sides * x)
    assert x.abs().max() < 1e-6


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_what_is_taken_or_given_is_never_written_into(make: Callable[[], Optimizer]) -> None:
    optimizer, taken = make(), []
    x = START
    for _ in range(8):
        gradient = slope(x)
        step = optimizer.step(gradient)
        state = optimizer.state()
        taken.append((deepcopy((gradient, step, state)), (gradient, step, state)))
        x = x + step
    for copies, originals in taken:
        for copied, original in zip(tensors(copies), tensors(originals), strict=True):
            assert torch.equal(copied, original)


def tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [t for p in parts for t in tensors(p)] if isinstance(parts, Iterable) else []


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("behind", [0, 1, 2, 6])
def test_a_restored_optimizer_goes_on_with_the_same_bytes(
    make: Callable[[], Optimizer], behind: int
) -> None:
    whole = path(make(), behind + 5)
    first, second = make(), make()
    broken = path(first, behind)
    second.restore(first.state())
    assert torch.equal(path(second, 5, broken[-1])[-1], whole[-1])


def test_a_point_that_cannot_go_lower_is_not_left() -> None:
    for make in MAKERS.values():
        optimizer = make()
        assert torch.equal(optimizer.step(torch.zeros(3)), torch.zeros(3))
        assert torch.equal(optimizer.step(torch.zeros(3)), torch.zeros(3))


def test_a_change_that_says_nothing_of_the_curvature_is_not_remembered() -> None:
    optimizer = LBFGS(1.0, 10)
    for _ in range(3):
        optimizer.step(torch.ones(3))
    assert optimizer.state()["pairs"] == []
