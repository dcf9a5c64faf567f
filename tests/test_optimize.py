"""The descent: reproducible, guarded, honest about its progress, and at home at any size."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from narrow import narrow_encoder
from test_precision import problem as smooth_problem
from torch import Tensor

from layered_nst.errors import PaintingError
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting import levels
from layered_nst.painting.canvas import Pixels
from layered_nst.painting.levels import at_level, optimize
from layered_nst.painting.objective import Objective
from layered_nst.painting.optimizers import LBFGS, Adam
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.painting.progress import Progress, region_losses
from layered_nst.picture import resize
from layered_nst.recipe import Optimize
from layered_nst.styles.style import StylePicture


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


def plan_of(*levels: tuple[int, int], **keys: object) -> Plan:
    """A plan of levels given as (longest side, steps)."""
    plan = make_plan(Optimize(**keys), (32, 32))
    return replace(plan, levels=tuple(Level(*level) for level in levels))


def style(seed: int) -> StylePicture:
    return StylePicture(random(3, 24, 20, seed=seed), torch.ones(24, 20), 1, f"style {seed}")


def problem_of(height: int = 24, width: int = 32, *, frozen: Tensor | None = None) -> Problem:
    ramp = torch.linspace(-1, 2, width).clamp(0, 1).expand(height, width)
    free = 1 if frozen is None else 1 - frozen
    photo = random(3, height, width, seed=5)
    return Problem(
        content=photo,
        photo=photo,
        start=photo,
        regions=[
            PaintedRegion("sky", ramp * free, [style(1)]),
            PaintedRegion("ground", (1 - ramp) * free, [style(2), style(3)], contour=0.5),
        ],
        frozen=torch.zeros(height, width) if frozen is None else frozen,
    )


def run(
    encoder: Encoder, problem: Problem, plan: Plan
) -> tuple[Tensor, list[Progress], list[float]]:
    told: list[Progress] = []
    found = optimize(encoder, problem, plan, on_progress=told.append)
    return found, told, [progress.losses["total"] for progress in told]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("start", ["color", "noise"])
def test_the_same_seed_gives_the_same_bytes(encoder: Encoder, optimizer: str, start: str) -> None:
    plan = plan_of((16, 4), (32, 4), optimizer=optimizer, start=start, seed=3)
    first, second = (optimize(encoder, problem_of(), plan) for _ in range(2))
    assert first.numpy().tobytes() == second.numpy().tobytes()


def test_the_bundled_encoder_gives_the_same_bytes_twice() -> None:
    bundled, plan = load_encoder("hed-vgg16"), plan_of((32, 3))
    first, second = (optimize(bundled, problem_of(), plan) for _ in range(2))
    assert first.numpy().tobytes() == second.numpy().tobytes()


def test_each_level_sees_with_its_own_encoder(encoder: Encoder) -> None:
    encoders = {"a": narrow_encoder(dtype=torch.float32, seed=4), "b": encoder}
    plan = plan_of((16, 3), (32, 3))
    coarse, fine = (replace(v, encoder=n) for v, n in zip(plan.levels, "ab", strict=True))
    seen: dict[str, set[tuple[int, ...]]] = {"a": set(), "b": set()}
    hooks = [
        eye.register_forward_hook(lambda _, given, __, to=seen[name]: to.add(given[0].shape[2:]))
        for name, eye in encoders.items()
    ]
    told: list[Progress] = []
    optimize(encoders, problem_of(), replace(plan, levels=(coarse, fine)), on_progress=told.append)
    for hook in hooks:
        hook.remove()
    assert (12, 16) in seen["a"] - seen["b"]
    assert (24, 32) in seen["b"] - seen["a"]
    alone = run(encoders["a"], problem_of(), plan)[2]
    assert [step.losses["total"] for step in told[:3]] == alone[:3]
    assert told[3].losses["total"] != alone[3]


def test_two_threads_do_not_disturb_each_other(encoder: Encoder) -> None:
    plans = [plan_of((32, 5), start="noise", seed=seed) for seed in (1, 2)]
    wanted = [optimize(encoder, problem_of(), plan) for plan in plans]
    found: dict[int, Tensor] = {}

    def work(number: int) -> None:
        found[number] = optimize(encoder, problem_of(), plans[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], wanted[number]) for number in range(2))


def test_torchs_own_random_numbers_are_left_alone(encoder: Encoder) -> None:
    before = torch.get_rng_state()
    optimize(encoder, problem_of(), plan_of((16, 1), start="noise"))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_depends_on_the_seed_and_not_on_the_photo(encoder: Encoder) -> None:
    def started(seed: int, problem: Problem) -> Tensor:
        return optimize(encoder, problem, plan_of((32, 0), start="noise", seed=seed))

    other = replace(problem_of(), start=random(3, 24, 32, seed=8))
    assert torch.equal(started(1, problem_of()), started(1, other))
    assert not torch.equal(started(1, problem_of()), started(2, problem_of()))
    assert started(1, other).std() > 0.2


def test_a_plain_photo_starts_with_grain_and_another_as_it_is(encoder: Encoder) -> None:
    """Where all pixels are pulled alike strokes would begin at the edges and run along them."""
    photo = torch.full((3, 24, 32), 0.6)
    photo[:, :, 16:] = random(3, 24, 16, seed=5)
    found = optimize(encoder, replace(problem_of(), start=photo), plan_of((32, 0)))
    moved = (found - photo).abs()
    assert torch.equal(found[:, :, 17:], photo[:, :, 17:])
    assert 0 < moved[:, :, :14].mean() < moved.max() <= 0.01 + 1e-6
    frozen = replace(problem_of(frozen=torch.ones(24, 32)), start=photo)
    assert torch.equal(optimize(encoder, frozen, plan_of((32, 0))), photo)


def test_no_lines_run_along_the_edges_of_plain_ground() -> None:
    """Columns near an edge are on the whole as alike as those farther in."""
    encoder, ones = load_encoder("light"), torch.ones(48, 64)
    grainy = StylePicture(0.25 + 0.5 * random(3, 48, 64, seed=4), ones, 1, "s")
    plain = torch.full((3, 48, 64), 0.5)
    region = PaintedRegion("all", ones, [grainy])
    problem = Problem(plain, plain, plain, [region], torch.zeros(48, 64))
    found, _, _ = run(encoder, problem, plan_of((64, 30), tolerance=0.0, content=0.1))
    columns = found.mean((0, 1))
    near, far = torch.cat([columns[:8], columns[-8:]]), columns[16:-16]
    assert found.std() > 0.05
    assert near.std() < 2 * far.std()


@pytest.mark.parametrize(("optimizer", "share"), [("lbfgs", 0.5), ("adam", 0.7)])
def test_the_loss_falls(encoder: Encoder, optimizer: str, share: float) -> None:
    _, _, totals = run(encoder, problem_of(), plan_of((32, 25), optimizer=optimizer))
    assert totals[-1] < share * totals[0]


def test_the_loss_falls_with_the_bundled_encoder() -> None:
    _, _, totals = run(load_encoder("hed-vgg16"), problem_of(), plan_of((32, 8)))
    assert totals[-1] < 0.7 * totals[0]


def test_the_result_is_a_picture_and_a_new_one(encoder: Encoder) -> None:
    problem = problem_of()
    before = problem.start.clone()
    found, _, _ = run(encoder, problem, plan_of((16, 3), (32, 3)))
    assert found.shape == (3, 24, 32)
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    assert torch.equal(problem.start, before)


def test_progress_tells_level_step_size_and_share(encoder: Encoder) -> None:
    plan = plan_of((16, 2), (24, 3), (32, 4), tolerance=0.0)
    _, told, _ = run(encoder, problem_of(), plan)
    assert [(p.level, p.step, p.steps) for p in told] == [
        (level, step, steps)
        for level, steps in ((1, 2), (2, 3), (3, 4))
        for step in range(1, steps + 1)
    ]
    assert {p.levels for p in told} == {3}
    assert {p.level: p.size for p in told} == {1: (12, 16), 2: (18, 24), 3: (24, 32)}
    assert all(p.picture.shape == (3, *p.size) for p in told)
    assert {p.stage for p in told} == {"joint"}
    shares = [p.done for p in told]
    assert shares == sorted(set(shares))
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(1)
    assert shares[1] == pytest.approx(2 * 192 / (2 * 192 + 3 * 432 + 4 * 768))
    assert all(p.seconds_left >= 0 for p in told)
    assert told[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_progress_tells_every_term_by_its_dotted_name(encoder: Encoder) -> None:
    _, told, _ = run(encoder, problem_of(), plan_of((32, 2)))
    losses = told[0].losses
    assert {"style.sky.conv1_1", "style.ground.conv5_1", "content.conv4_2"} < set(losses)
    assert {"total_variation.light", "range", "contour.sides", "total"} < set(losses)
    terms = sum(value for name, value in losses.items() if name != "total")
    assert losses["total"] == pytest.approx(terms, rel=1e-5)


def test_losses_are_summed_by_region() -> None:
    losses = {
        "style.sky.conv1_1": 1.0,
        "style.sky.conv2_1": 2.0,
        "style.old town.conv1_1": 4.0,
        "content.conv4_2": 8.0,
        "total_variation": 16.0,
        "total": 31.0,
    }
    wanted = {"sky": 3.0, "old town": 4.0, "content": 8.0, "total variation": 16.0}
    assert region_losses(losses) == wanted


def test_regions_that_are_called_like_a_loss_keep_their_own() -> None:
    names = ("total", "content", "contour", "range", "total variation")
    losses = {f"style.{name}.conv1_1": 2.0**power for power, name in enumerate(names)}
    held = {"content.conv4_2": 0.1, "contour.sides": 0.2, "total_variation": 0.3, "range": 0.4}
    sums = region_losses({**losses, **held, "total": 99.0})
    assert sum(sums.values()) == pytest.approx(sum(losses.values()) + 1.0)
    assert sums["total"] == 1.0
    assert (sums["style of content"], sums["content"]) == (2.0, 0.1)
    assert (sums["style of range"], sums["range"]) == (8.0, 0.4)
    assert (sums["style of total variation"], sums["total variation"]) == (16.0, 0.3)


def test_a_level_ends_when_nothing_improves(encoder: Encoder) -> None:
    _, told, _ = run(encoder, problem_of(), plan_of((16, 40), (32, 40), tolerance=0.9))
    assert [p.step for p in told if p.level == 1][-1] < 40
    assert [p.step for p in told if p.level == 2][-1] < 40
    shares = [p.done for p in told]
    assert shares == sorted(set(shares))
    assert shares[-1] == pytest.approx(1)


def test_no_tolerance_takes_every_step(encoder: Encoder) -> None:
    _, told, _ = run(encoder, problem_of(), plan_of((16, 40), tolerance=0.0))
    assert len(told) == 40


def test_each_level_has_its_own_weights(encoder: Encoder) -> None:
    plan = plan_of((32, 1))
    tuned = replace(plan, levels=(Level(32, 1, style=3.0),))
    plain, found = (run(encoder, problem_of(), p)[1][0].losses for p in (plan, tuned))
    assert plain.keys() == found.keys() >= {"content.conv4_2", "total_variation.light"}
    factors = {"style": 3.0, "contour": 3.0}
    for name in plain.keys() - {"total"}:
        factor = factors.get(name.split(".")[0], 1.0)
        assert found[name] == pytest.approx(factor * plain[name], rel=1e-5), name


@pytest.mark.parametrize("side", [24, 32, 64])
def test_no_step_of_a_finer_level_is_lost(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    """Its first step goes by what the level before has learned of how curved the loss is."""
    problem, plan = problem_of(side * 3 // 4, side), plan_of((16, 12), (side, 5))
    fine = run(encoder, problem, plan)[2][12:]
    monkeypatch.setattr(LBFGS, "learned_scale", lambda self: None)
    unaware = run(encoder, problem, plan)[2][12:]
    assert fine[0] == unaware[0]
    assert fine[1] < 0.9 * fine[0]
    assert fine[1] < 0.95 * unaware[1]


def test_a_scale_that_is_far_too_large_costs_a_level_one_step(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LBFGS, "learned", lambda self: 1e6)
    _, _, totals = run(encoder, problem_of(), plan_of((16, 3), (32, 25)))
    assert totals[4] == totals[3]
    assert totals[-1] < 0.5 * totals[3]


class Faulty(Objective):
    """An objective whose total is spoiled at some calls; remembers what it was shown."""

    spoiled: dict[int, float] | float = 1.0
    last: Faulty

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shown: list[Tensor] = []
        Faulty.last = self

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        terms = super().__call__(picture)
        spoil = self.spoiled
        factor = spoil.get(len(self.shown), 1.0) if isinstance(spoil, dict) else spoil
        self.shown.append(picture.detach().clone())
        return {name: value * factor for name, value in terms.items()}


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("spoil", [float("inf"), float("nan"), 1e4])
def test_a_step_that_explodes_is_taken_back(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, optimizer: str, spoil: float
) -> None:
    monkeypatch.setattr(levels, "Objective", Faulty)
    monkeypatch.setattr(Faulty, "spoiled", {6: spoil})
    # Smooth enough to fall with every step that is not spoiled.
    plan = plan_of((32, 20), optimizer=optimizer, tolerance=0.0, total_variation=6.0)
    found, told, totals = run(encoder, problem_of(), plan)
    shown = Faulty.last.shown
    assert torch.equal(shown[7], shown[5])
    assert not torch.equal(shown[8], shown[6])
    assert found.isfinite().all()
    assert totals[7] == pytest.approx(totals[5], rel=1e-5)
    assert totals[-1] < 0.95 * totals[5]
    assert len(told) == 20


def test_steps_are_shorter_after_one_exploded(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "Objective", Faulty)
    monkeypatch.setattr(Faulty, "spoiled", {1: float("inf")})
    run(encoder, problem_of(), plan_of((32, 4), optimizer="adam"))
    shown = Faulty.last.shown
    first, again = ((shown[k + 1] - shown[k]).abs().max() for k in (0, 2))
    assert again.item() == pytest.approx(first.item() / 2, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("spoiled", [float("nan"), float("inf")])
def test_a_loss_that_is_never_a_number_ends_with_a_sentence(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, optimizer: str, spoiled: float
) -> None:
    monkeypatch.setattr(levels, "Objective", Faulty)
    monkeypatch.setattr(Faulty, "spoiled", spoiled)
    wanted = r"nothing can be painted at 32×24 px: the loss is no number .*\(style\.sky\.conv1_1 is"
    with pytest.raises(PaintingError, match=wanted):
        run(encoder, problem_of(), plan_of((32, 5), optimizer=optimizer))


def test_so_it_does_at_a_finer_level(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "Objective", Faulty)
    monkeypatch.setattr(Faulty, "spoiled", 1.0)
    seen: list[Progress] = []

    def spoil(progress: Progress) -> None:
        seen.append(progress)
        Faulty.spoiled = float("nan") if progress.step == 3 else 1.0

    with pytest.raises(PaintingError, match="nothing can be painted at 32×24 px"):
        optimize(encoder, problem_of(), plan_of((16, 3), (32, 3)), on_progress=spoil)
    assert {progress.level for progress in seen} == {1}


def test_adam_goes_on_at_a_finer_level_with_what_it_has_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From nothing its first step would move all pixels alike, and raise the loss."""
    encoder, problem = load_encoder("light"), smooth_problem()
    plan = plan_of((72, 30), (96, 2), optimizer="adam", learning_rate=0.05)
    aware = run(encoder, problem, plan)[2][30:]
    monkeypatch.setattr(Adam, "learned", lambda self: None)
    unaware = run(encoder, problem, plan)[2][30:]
    assert aware[0] == unaware[0]
    # With a little noise over the photo: 0.95 to 1.10 times as much, and unaware 2.4 to 2.8 times.
    assert aware[1] < 1.2 * aware[0]
    assert unaware[1] > max(unaware[0], 2 * aware[1])


def test_pixels_that_are_half_frozen_are_moved_by_a_gradient_of_their_own_variables() -> None:
    """So that steps and changes of gradient belong together, whatever they are multiplied by."""
    start, frozen = random(1, 3, 4, 5), torch.linspace(0, 1, 5).expand(4, 5)
    canvas, slope = Pixels(start, frozen), random(1, 3, 4, 5, seed=1)
    assert (canvas.picture() - start).abs().max() < 1e-6
    assert torch.equal(canvas.picture()[..., [0, 4]], start[..., [0, 4]])
    pulled, step = canvas.pull_back(slope.clone()), 1e-2 * random(1, 3, 4, 5, seed=2)
    before = canvas.picture()
    canvas.variables = canvas.variables + step
    moved = canvas.picture() - before
    assert (moved * slope).sum().item() == pytest.approx((pulled * step).sum().item(), rel=1e-3)
    assert not moved[..., 4].any()
    # One step down a gradient of light goes as far as a pixel is free.
    light = slope.mean(1, keepdim=True).expand_as(slope)
    canvas.variables = canvas.variables - step - canvas.pull_back(light.clone())
    assert torch.allclose(canvas.picture() - before, -light * (1 - frozen), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_last_step_that_explodes_is_not_the_result(encoder: Encoder, steps: int) -> None:
    problem = problem_of()
    plan = plan_of((32, steps), learning_rate=1e6)
    found, _, _ = run(encoder, problem, plan)
    assert torch.equal(found, problem.start)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("start", ["color", "noise"])
def test_frozen_pixels_never_move(encoder: Encoder, optimizer: str, start: str) -> None:
    frozen = torch.zeros(24, 32)
    frozen[5:15, 8:20] = 1
    frozen[15:18, 8:20] = 0.5
    problem = problem_of(frozen=frozen)
    plan = plan_of((16, 4), (32, 6), optimizer=optimizer, start=start)
    seen: list[Tensor] = []
    found = optimize(
        encoder, problem, plan, on_progress=lambda p: seen.append(p.picture.detach().clone())
    )
    held = frozen == 1
    assert torch.equal(found[:, held], problem.start[:, held])
    assert all(torch.equal(p[:, held], problem.start[:, held]) for p in seen[4:])
    assert not torch.equal(found[:, frozen == 0], problem.start[:, frozen == 0])


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (1, 40), (17, 5)])
def test_a_picture_may_have_any_size(
    encoder: Encoder, size: tuple[int, int], optimizer: str
) -> None:
    plan = plan_of((max(1, max(size) // 2), 2), (max(size), 3), optimizer=optimizer)
    found, told, _ = run(encoder, problem_of(*size), plan)
    assert found.shape == (3, *size)
    assert ((found > -1) & (found < 2)).all()
    assert not torch.equal(found, problem_of(*size).start)
    assert len(told) == 5


def test_a_single_pixel_goes_through_the_bundled_encoder() -> None:
    found, _, totals = run(load_encoder("hed-vgg16"), problem_of(1, 1), plan_of((1, 8)))
    assert ((found > -1) & (found < 2)).all()
    assert totals[-1] < totals[0]


def test_an_empty_region_changes_no_byte(encoder: Encoder) -> None:
    problem, plan = problem_of(), plan_of((16, 2), (32, 3))
    empty = PaintedRegion("empty", torch.zeros(24, 32), [style(9)], contour=1)
    wanted = optimize(encoder, problem, plan)
    found, told, _ = run(encoder, replace(problem, regions=[*problem.regions, empty]), plan)
    assert torch.equal(found, wanted)
    assert not [name for name in told[0].losses if "empty" in name]


def test_with_nothing_to_paint_the_start_comes_back(encoder: Encoder) -> None:
    empty = PaintedRegion("empty", torch.zeros(24, 32), [style(9)])
    problem = replace(problem_of(frozen=torch.ones(24, 32)), regions=[empty])
    assert torch.equal(optimize(encoder, problem, plan_of((16, 2), (32, 2))), problem.start)


def test_zero_steps_give_the_start(encoder: Encoder) -> None:
    problem = problem_of()
    assert torch.equal(optimize(encoder, problem, plan_of((32, 0))), problem.start)
    found, told, _ = run(encoder, problem, plan_of((8, 0), (16, 0), (32, 0)))
    assert told == []
    assert ((found - problem.start).mean(0)).abs().max() < 1e-5, "light"


def test_of_the_starts_fine_color_a_style_leaves_half(encoder: Encoder) -> None:
    calm = 0.3 + 0.4 * resize(random(3, 3, 4, seed=6), (24, 32))
    fine = 0.1 * (random(3, 24, 32, seed=7) - 0.5)
    problem = replace(problem_of(), start=calm + fine)
    found = optimize(encoder, problem, plan_of((8, 0), (32, 0)))
    missing = problem.start - found
    color = problem.start - resize(resize(problem.start, (6, 8)), (24, 32))
    color -= color.mean(0)
    assert (missing - 0.5 * color).abs().max() < 1e-5


def test_where_little_content_is_held_strokes_keep_their_detail(encoder: Encoder) -> None:
    """Of the photo's own fine light and dark so much is left, and of theirs all, colors as well."""
    photo = 0.4 + 0.2 * random(1, 24, 32, seed=3).repeat(3, 1, 1)
    laid = 0.4 + 0.2 * random(3, 24, 32, seed=4)
    found = {}
    for share in (0.0, 0.25, 1.0):
        problem = problem_of()
        regions = [replace(region, content=share) for region in problem.regions]
        problem = replace(
            problem, content=photo, start=photo + laid - 0.5, regions=regions, laid=True
        )
        found[share] = at_level(torch.full((3, 6, 8), 0.5), problem, (24, 32), detailed=True) - 0.5
    fine = [p - resize(resize(p, (6, 8)), (24, 32)) for p in (photo, laid)]
    for share, seen in found.items():
        assert (seen - share * fine[0] - fine[1]).abs().max() < 1e-5


def test_levels_without_steps_are_passed_over(encoder: Encoder) -> None:
    found, told, _ = run(encoder, problem_of(), plan_of((16, 0), (24, 3), (32, 0)))
    assert found.shape == (3, 24, 32)
    assert {p.level for p in told} == {2}
    assert told[-1].done == pytest.approx(1)


def test_a_stop_in_the_callback_reaches_the_caller(encoder: Encoder) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(encoder, problem_of(), plan_of((32, 5)), on_progress=stop)


def test_each_region_takes_on_its_own_style() -> None:
    """A red and a blue style on a grey photo: neither color crosses the border."""
    colors = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.2, 0.8]])
    looks = [c[:, None, None] + 0.4 * (random(3, 24, 24, seed=3) - 0.5) for c in colors]
    masks = torch.zeros(2, 24, 32)
    masks[0, :, :16], masks[1, :, 16:] = 1, 1
    regions = [
        PaintedRegion(name, mask, [StylePicture(look, torch.ones(24, 24), 1, name)])
        for name, mask, look in zip(("red", "blue"), masks, looks, strict=True)
    ]
    grey = 0.35 + 0.3 * random(3, 24, 32)
    problem = Problem(grey, grey, grey, regions, torch.zeros(24, 32))
    found, _, _ = run(load_encoder("hed-vgg16"), problem, plan_of((32, 20), total_variation=0))
    left, right = found[:, :, :12].mean((1, 2)), found[:, :, 20:].mean((1, 2))
    assert left[0] - left[2] > 0.2
    assert right[2] - right[0] > 0.2
