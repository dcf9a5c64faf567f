"""Canvases: what is painted on may be other than pixels, and the descent works on it."""

from __future__ import annotations

import pytest
import torch
from narrow import narrow_encoder
from test_optimize import plan_of, problem_of, random
from torch import Tensor

from layered_nst.painting.canvas import Canvas, Pixels
from layered_nst.painting.descent import Descent
from layered_nst.painting.objective import Objective
from layered_nst.picture.variation import neighbors


class Decorrelated:
    """A picture by colors in a basis in which those of photos hardly depend on one another."""

    BASIS = torch.tensor([[0.56, 0.19, 0.04], [0.56, 0.0, -0.09], [0.56, -0.19, 0.04]])

    def __init__(self, start: Tensor) -> None:
        self.variables = torch.einsum("ij,bjhw->bihw", self.BASIS.inverse(), start)

    def picture(self) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", self.BASIS, self.variables)

    def pull_back(self, gradient: Tensor) -> Tensor:
        return torch.einsum("ji,bjhw->bihw", self.BASIS, gradient)


class Coarse:
    """A picture by the colors of squares of two pixels: fewer variables than pixels."""

    def __init__(self, start: Tensor) -> None:
        self.variables = torch.nn.functional.avg_pool2d(start, 2)

    def picture(self) -> Tensor:
        return self.variables.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def pull_back(self, gradient: Tensor) -> Tensor:
        return 4 * torch.nn.functional.avg_pool2d(gradient, 2)


def descent(make, *, optimizer: str, steps: int) -> tuple[Descent, list[float]]:
    problem, plan = problem_of(), plan_of((32, steps), optimizer=optimizer, tolerance=0.0)
    objective = Objective(narrow_encoder(dtype=torch.float32), problem, plan, (24, 32))
    found = Descent(make(problem.start[None]), objective)
    return found, [found.step()["total"].item() for _ in range(steps)]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("make", [Decorrelated, Coarse])
def test_the_descent_paints_on_any_canvas(make: type[Canvas], optimizer: str) -> None:
    found, totals = descent(make, optimizer=optimizer, steps=25)
    assert totals[-1] < 0.8 * totals[0]
    last = float(sum(found.objective(found.result()).values()))
    assert last <= min(totals)


def test_what_a_canvas_cannot_show_is_never_painted() -> None:
    found, _ = descent(Coarse, optimizer="lbfgs", steps=5)
    down, _ = neighbors(found.result(), torch.ones(24, 32))
    assert not down[0][0, :, ::2].any()


@pytest.mark.parametrize("make", [Decorrelated, Coarse])
def test_a_state_goes_on_with_the_same_bytes_on_any_canvas(make: type[Canvas]) -> None:
    broken, _ = descent(make, optimizer="lbfgs", steps=6)
    state = broken.state("joint", 1, 6)
    whole = [broken.step()["total"].item() for _ in range(4)]
    resumed, _ = descent(make, optimizer="lbfgs", steps=0)
    resumed.restore(state)
    assert [resumed.step()["total"].item() for _ in range(4)] == whole
    assert torch.equal(resumed.canvas.variables, broken.canvas.variables)


def test_the_gradient_by_the_variables_is_that_of_finite_differences() -> None:
    canvas, slope = Decorrelated(random(1, 3, 4, 5)), random(1, 3, 4, 5, seed=1)
    pulled, step = canvas.pull_back(slope), 1e-3 * random(1, 3, 4, 5, seed=2)
    before = canvas.picture()
    canvas.variables = canvas.variables + step
    moved = ((canvas.picture() - before) * slope).sum()
    assert moved.item() == pytest.approx((pulled * step).sum().item(), rel=1e-3)


def test_the_plain_canvas_is_its_picture() -> None:
    start = random(1, 3, 4, 5)
    canvas = Pixels(start, torch.zeros(4, 5))
    assert canvas.picture() is canvas.variables is start
    assert torch.equal(canvas.pull_back(torch.ones(1, 3, 4, 5)), torch.ones(1, 3, 4, 5))
