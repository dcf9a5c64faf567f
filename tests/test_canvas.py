"""Canvases: what is painted on may be other than pixels, and the descent works on it."""

from __future__ import annotations

import pytest
import torch
from narrow import narrow_encoder
from test_optimize import plan_of, problem_of, random
from torch import Tensor

from layered_nst.painting.canvas import LIVELY, Canvas, Pixels
from layered_nst.painting.descent import Descent, learned_of
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


def pixels(*shape: int) -> Pixels:
    return Pixels(random(1, 3, *shape), torch.zeros(shape))


def added(canvas: Pixels, variables: Tensor) -> Tensor:
    canvas.variables = variables
    return canvas.picture() - canvas.start


def test_a_picture_begins_as_what_it_starts_with() -> None:
    canvas = pixels(4, 5)
    assert torch.equal(canvas.picture(), canvas.start)


def test_light_and_coarse_chroma_are_added_as_they_are() -> None:
    gray = random(1, 1, 6, 7, seed=1).expand(1, 3, 6, 7)
    assert torch.allclose(added(pixels(6, 7), gray), gray, atol=1e-6)
    color = random(1, 3, 1, 1, seed=2).expand(1, 3, 6, 7)
    assert torch.allclose(added(pixels(6, 7), color), color, atol=1e-6)


def test_chroma_that_changes_from_pixel_to_pixel_is_drawn_out() -> None:
    checks = (torch.arange(12)[:, None] + torch.arange(12)) % 2 * 2.0 - 1
    chroma = torch.tensor([0.1, -0.04, -0.06])[None, :, None, None] * checks
    found = added(pixels(12, 12), chroma)
    assert torch.allclose(found[..., 3:-3, 3:-3], LIVELY * chroma[..., 3:-3, 3:-3], atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5), (1, 6), (6, 1), (1, 1)])
def test_a_gradient_is_pulled_back_by_the_map_that_draws_out(shape: tuple[int, int]) -> None:
    """Its matrix, column by column, is symmetric and shrinks nothing."""
    canvas = pixels(*shape)
    units = torch.eye(3 * shape[0] * shape[1]).reshape(-1, 1, 3, *shape)
    matrix = torch.stack([added(canvas, unit).flatten() for unit in units])
    pulled = torch.stack([canvas.pull_back(unit.clone()).flatten() for unit in units])
    assert torch.allclose(matrix, matrix.T, atol=1e-5)
    assert torch.allclose(pulled, matrix, atol=1e-5)
    assert torch.linalg.eigvalsh(matrix.double())[0] > 0.999


@pytest.mark.parametrize(("leap", "seen"), [(1.0, 0), (100.0, 1)])
def test_a_last_step_that_was_a_leap_is_judged_and_another_is_not(
    monkeypatch: pytest.MonkeyPatch, leap: float, seen: int
) -> None:
    found, _ = descent(Decorrelated, optimizer="lbfgs", steps=3)
    found.lengths[-1] = leap * found.lengths[0]
    looked = []
    usual = Objective.__call__
    monkeypatch.setattr(
        Objective, "__call__", lambda self, picture: looked.append(1) or usual(self, picture)
    )
    found.result(judged=False)
    assert len(looked) == seen
    found.result()
    assert len(looked) == seen + 1


def test_what_an_optimizer_has_learned_is_in_its_state() -> None:
    found, _ = descent(Decorrelated, optimizer="lbfgs", steps=4)
    learned, pairs = learned_of(found.plan, found.state("joint", 1, 4).descent["optimizer"])
    assert learned == found.optimizer.learned()
    assert learned > 0
    assert len(pairs) == len(found.optimizer.pairs()) > 0
