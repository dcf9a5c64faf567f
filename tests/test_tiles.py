"""A picture in tiles: the same moments, terms and gradient as at once, at the memory of a tile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow import narrow_encoder
from torch import Tensor
from workbench import lay_out

from layered_nst import Result, apply, load_recipe
from layered_nst.errors import Interrupted, LayeredNstWarning
from layered_nst.machine.cache import Cache
from layered_nst.networks.encoders import Encoder, contours, load_encoder, load_encoders
from layered_nst.networks.encoders.tiles import areas, cut, grid, halo
from layered_nst.painting.levels import optimize
from layered_nst.painting.losses.content import keeps_content
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.painting.progress import Progress
from layered_nst.painting.state import State
from layered_nst.painting.tiled import Reading, TiledObjective, objective_for
from layered_nst.recipe import Optimize
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.checkpoints import load_state, save_state
from layered_nst.strategies.costs import TOLERANCE, level_costs
from layered_nst.strategies.looks import planned
from layered_nst.strategies.run import paint
from layered_nst.styles.cached import RememberedMoments
from layered_nst.styles.style import StylePicture, picture_moments

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def bundled() -> Encoder:
    return load_encoder("hed-vgg16")


def plan_of(*levels: tuple[int, int], **keys: Any) -> Plan:
    plan = make_plan(Optimize(**keys), (32, 32))
    return replace(plan, levels=tuple(Level(*level) for level in levels))


def problem_of(
    height: int, width: int, *, contour: float = 0.5, dtype: torch.dtype = torch.float32
) -> Problem:
    """Three regions with feathers that overlap, one of them small; a frozen square."""
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    sky = (4 * (across - down) + 0.3).clamp(0, 1)
    spot = (5 - 30 * ((down - 0.7) ** 2 + (across - 0.7) ** 2).sqrt()).clamp(0, 1)
    shares = [sky * (1 - spot), (1 - sky) * (1 - spot), spot]
    styles = [StylePicture(random(3, 45, 61, seed=s), torch.ones(45, 61), 1, "s") for s in (1, 2)]
    frozen = torch.zeros(height, width)
    frozen[height // 2 : height // 2 + 9, : width // 3] = 1
    regions = [
        PaintedRegion(
            f"r{k}",
            share,
            styles[: 1 + k % 2],
            content=1 + k,
            contour=contour * k,
            strength=(1.0, 0.3, 2.0)[k],
        )
        for k, share in enumerate(shares)
    ]
    photo = smooth(height, width)
    return cast(Problem(photo.flip(2), photo, photo, regions, frozen), dtype)


def smooth(height: int, width: int) -> Tensor:
    """A photo with edges and grain."""
    coarse = random(1, 3, max(2, height // 12), max(2, width // 12), seed=5)
    enlarged = torch.nn.functional.interpolate(coarse, (height, width), mode="nearest")[0]
    return 0.7 * enlarged + 0.3 * random(3, height, width, seed=6)


def cast(problem: Problem, dtype: torch.dtype) -> Problem:
    def style(one: Any) -> StylePicture:
        return replace(one, rgb=one.rgb.to(dtype), mask=one.mask.to(dtype))

    regions = [
        replace(r, mask=r.mask.to(dtype), styles=[style(s) for s in r.styles])
        for r in problem.regions
    ]
    pictures = {
        name: getattr(problem, name).to(dtype) for name in ("content", "photo", "start", "frozen")
    }
    return replace(problem, regions=regions, **pictures)


def gradient_of(objective: Objective, picture: Tensor) -> tuple[dict[str, float], Tensor]:
    terms, gradient = objective.backward(picture[None])
    return {name: value.item() for name, value in terms.items()}, gradient[0]


def both(
    encoder: Encoder, problem: Problem, plan: Plan, side: int
) -> tuple[TiledObjective, tuple[dict[str, float], Tensor], tuple[dict[str, float], Tensor]]:
    """Terms and gradient at once and in tiles, at a picture that is not the start."""
    height, width = problem.start.shape[1:]
    picture = (problem.start + 0.3 * random(3, height, width, seed=9).to(problem.start)) - 0.1
    whole = Objective(encoder, problem, plan, (height, width))
    tiled = TiledObjective(encoder, problem, plan, (height, width), side=side)
    return tiled, gradient_of(whole, picture), gradient_of(tiled, picture)


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


# geometry


@pytest.mark.parametrize("size", [(1, 1), (16, 17), (250, 333), (64, 1000)])
@pytest.mark.parametrize("side", [16, 48, 128])
def test_every_position_of_every_layer_is_owned_by_one_tile(
    size: tuple[int, int], side: int
) -> None:
    encoder = narrow_encoder()
    for layer, shape in encoder.layer_sizes(size).items():
        owners = torch.zeros(shape)
        stride = 2 ** (int(layer[4]) - 1)
        for tile in cut(size, side, encoder, LAYERS):
            owners[tile.owned_at(stride)] += 1
        assert (owners == 1).all(), layer


def test_tiles_are_read_as_far_as_their_units_see() -> None:
    encoder = narrow_encoder()
    assert (grid(encoder, LAYERS), halo(encoder, LAYERS)) == (16, 64)
    assert (grid(encoder, ["conv3_1"]), halo(encoder, ["conv3_1"])) == (4, 12)
    for tile in cut((300, 500), 96, encoder, LAYERS):
        for own, seen, length in zip(tile.owned, tile.read, (300, 500), strict=True):
            assert own.start % 16 == 0
            assert own.stop - own.start <= 96
            assert seen == slice(max(0, own.start - 64), min(length, own.stop + 64))


def test_tiles_are_about_equal() -> None:
    tiles = cut((400, 400), 384, narrow_encoder(), LAYERS)
    assert {tile.owned[0].stop - tile.owned[0].start for tile in tiles} == {208, 192}


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_no_padding_reaches_what_a_tile_owns(pooling: str) -> None:
    encoder, picture = narrow_encoder(), random(1, 3, 250, 221).double()
    whole = encoder(picture, LAYERS, pooling=pooling)
    for tile in cut((250, 221), 64, encoder, LAYERS):
        part = encoder(picture[:, :, *tile.read], LAYERS, pooling=pooling)
        for power, layer in enumerate(LAYERS):
            owned = whole[layer][:, :, *tile.owned_at(2**power)]
            assert torch.allclose(part[layer][:, :, *tile.inside(2**power)], owned, atol=1e-12)


# terms and gradient

EXACT: dict[str, Callable[[], tuple[Encoder, Plan]]] = {
    "max": lambda: (narrow_encoder(), plan_of()),
    "average": lambda: (narrow_encoder(), plan_of(pooling="average")),
    "laplacian": lambda: (narrow_encoder(heads=False), plan_of()),
    "shallow layers": lambda: (
        narrow_encoder(),
        plan_of(layers={"conv2_2": 1, "conv3_2": 2}, content_layers={"conv3_3": 1, "conv4_2": 1}),
    ),
    "content seen anew": lambda: (
        narrow_encoder(widths=(14, 5, 6, 7, 7)),
        plan_of(content_layers={"conv1_1": 1, "conv4_2": 2}),
    ),
}


@pytest.mark.parametrize("case", EXACT)
@pytest.mark.parametrize(("size", "side"), [((190, 171), 64), ((57, 211), 48), ((5, 40), 16)])
def test_in_double_precision_terms_and_gradient_are_those_of_the_whole(
    case: str, size: tuple[int, int], side: int
) -> None:
    encoder, plan = EXACT[case]()
    problem = problem_of(*size, dtype=torch.float64)
    tiled, (terms, gradient), (found, sent) = both(encoder, problem, plan, side)
    assert len(tiled.tiles) > 1
    assert list(found) == list(terms)
    assert found == pytest.approx(terms, rel=1e-9, abs=1e-15)
    assert distance(sent, gradient) < 1e-9
    if case == "content seen anew":
        assert [keeps_content(encoder, layer) for layer in plan.content_layers] == [False, True]


@pytest.mark.parametrize("pooling", ["max", pytest.param("average", marks=pytest.mark.slow)])
def test_with_the_bundled_encoder_they_agree_to_the_rounding_of_floats(
    bundled: Encoder, pooling: str
) -> None:
    problem, plan = problem_of(83, 150), plan_of(pooling=pooling)
    tiled, (terms, gradient), (found, sent) = both(bundled, problem, plan, 64)
    assert len(tiled.tiles) == 6
    assert "contour.sides" in found
    assert found == pytest.approx(terms, rel=1e-4)
    assert distance(sent, gradient) < 1e-4


def test_terms_alone_are_those_of_the_gradient() -> None:
    encoder, problem = narrow_encoder(), problem_of(151, 203, dtype=torch.float64)
    tiled, _, (found, _) = both(encoder, problem, plan_of(), 64)
    height, width = problem.start.shape[1:]
    picture = (problem.start + 0.3 * random(3, height, width, seed=9).double()) - 0.1
    alone = {name: value.item() for name, value in tiled(picture[None]).items()}
    total = found.pop("total")
    assert alone == pytest.approx(found, rel=1e-12)
    assert sum(alone.values()) == pytest.approx(total)


@pytest.mark.parametrize("mask", ["full", "half", "soft"])
def test_moments_of_a_style_read_in_tiles_are_those_of_the_whole(mask: str) -> None:
    encoder, plain = narrow_encoder(), torch.ones(120, 170).double()
    left = (torch.arange(170) < 85).double().expand(120, 170)
    masks = {"full": plain, "half": left, "soft": random(120, 170, seed=3).double()}
    style = StylePicture(random(3, 120, 170).double(), masks[mask], 1, "s")
    options: dict[str, Any] = {"longest": 231, "pooling": "max"}
    wanted = picture_moments(encoder, style, LAYERS, **options)
    found = picture_moments(encoder, style, LAYERS, **options, tile=48)
    for layer in LAYERS:
        assert torch.allclose(found[layer].mean, wanted[layer].mean, rtol=1e-10)
        assert torch.allclose(found[layer].second, wanted[layer].second, rtol=1e-10)
        assert torch.equal(found[layer].second, found[layer].second.T)


def test_moments_read_in_tiles_are_remembered_apart(tmp_path: Path) -> None:
    encoder, store = narrow_encoder(dtype=torch.float32), Cache(tmp_path)
    style = StylePicture(random(3, 60, 90), torch.ones(60, 90), 1, "s")
    options: dict[str, Any] = {"longest": 200, "pooling": "max"}
    for tile in (None, 32, None, 32):
        found = RememberedMoments(store)(encoder, style, LAYERS, **options, tile=tile)
        wanted = picture_moments(encoder, style, LAYERS, **options, tile=tile)
        assert all(torch.equal(found[layer].second, wanted[layer].second) for layer in LAYERS)
    assert len([*tmp_path.glob("*.safetensors")]) == 2


class Watched(Encoder):
    """The bundled weights, and how many pixels they were shown at once."""

    largest = 0

    def forward(self, picture: Tensor, *rest: Any, **options: Any) -> dict[str, Tensor]:
        Watched.largest = max(Watched.largest, picture.shape[2] * picture.shape[3])
        return super().forward(picture, *rest, **options)


def test_the_encoder_never_sees_more_than_a_tile_and_its_border() -> None:
    encoder = narrow_encoder(dtype=torch.float32)
    encoder.__class__ = Watched
    plan, size = plan_of(contour=1.0), (300, 280)
    style = StylePicture(random(3, 50, 70), torch.ones(50, 70), 1, "s")
    problem = problem_of(*size)
    regions = [replace(region, styles=[style], scale=1.5) for region in problem.regions]
    objective = objective_for(
        encoder, replace(problem, regions=regions), plan, size, Reading(48, 64, 3)
    )
    objective.backward(problem.start[None])
    objective(problem.start[None])
    at_once, _ = areas(size, 48, encoder, LAYERS)
    # Styles are seen 450 px long, in tiles of 64 px.
    assert at_once == (48 + 2 * 64) ** 2 < Watched.largest <= (64 + 2 * 64) ** 2


def test_areas_are_those_of_the_tiles() -> None:
    encoder = narrow_encoder()
    for size, side in (((300, 500), 96), ((5, 40), 16), ((400, 400), 384)):
        pixels = [tile.pixels for tile in cut(size, side, encoder, LAYERS)]
        assert areas(size, side, encoder, LAYERS) == (max(pixels), sum(pixels))


# a whole descent


def descents(
    encoder: Encoder, problem: Problem, plan: Plan, side: int
) -> tuple[Tensor, Tensor, list[list[float]]]:
    """The picture without tiles and with them, and the totals after each step."""
    pictures, totals = [], []
    for reading in (Reading(None, None, plan.history), Reading(side, 64, plan.history)):
        told: list[Progress] = []
        make = partial(objective_for, reading=reading)
        pictures.append(optimize(encoder, problem, plan, on_progress=told.append, objectives=make))
        totals.append([progress.losses["total"] for progress in told])
    return pictures[0], pictures[1], totals


def assert_the_same_without_a_seam(whole: Tensor, tiled: Tensor, side: int) -> None:
    difference = (whole - tiled).abs().mean(0)
    assert difference.mean() < 1e-3
    size = (whole.shape[1], whole.shape[2])
    near = torch.zeros(size, dtype=torch.bool)
    for tile in cut(size, side, narrow_encoder(), LAYERS):
        for axis, own in enumerate(tile.owned):
            if own.start:
                near.narrow(axis, own.start - 2, 4).fill_(True)
    assert 0.05 < near.float().mean() < 0.4
    # In the mean a few pixels decide, in which L-BFGS has let a last digit grow.
    assert difference[near].median() <= 2 * difference[~near].median() + 1e-7


def test_after_twenty_steps_the_picture_is_that_of_an_untiled_run() -> None:
    plan = plan_of((147, 20), tolerance=0.0)
    problem = problem_of(61, 147, dtype=torch.float64)
    whole, tiled, totals = descents(narrow_encoder(), problem, plan, 48)
    assert totals[0][-1] < 0.5 * totals[0][0]
    assert totals[1] == pytest.approx(totals[0], rel=1e-4)
    assert_the_same_without_a_seam(whole, tiled, 48)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_with_floats_tiles_change_less_than_a_millionth_of_the_start_does(
    bundled: Encoder, pooling: str
) -> None:
    """L-BFGS without a line search makes any last digit grow, tenfold every few steps."""
    problem, plan = problem_of(125, 157), plan_of((157, 8), tolerance=0.0, pooling=pooling)
    whole, tiled, _ = descents(bundled, problem, plan, 64)
    assert_the_same_without_a_seam(whole, tiled, 64)
    plan = replace(plan, levels=(Level(157, 20),))
    whole, tiled, totals = descents(bundled, problem, plan, 64)
    assert totals[0][-1] < 0.5 * totals[0][0]
    moved = replace(problem, start=problem.start + 1e-6 * random(3, 125, 157, seed=7))
    told: list[Progress] = []
    other = optimize(bundled, moved, plan, on_progress=told.append)
    assert (whole - tiled).abs().mean() < 2 * (whole - other).abs().mean()
    assert totals[1][:10] == pytest.approx(totals[0][:10], rel=0.05)
    off = [abs(total / one - 1) for one, total in zip(*totals, strict=True)]
    off_moved = [abs(t.losses["total"] / one - 1) for one, t in zip(totals[0], told, strict=True)]
    assert max(off) < max(0.05, 2 * max(off_moved))


def test_a_shorter_history_holds_for_its_level_and_after_a_longer_one() -> None:
    encoder, states = narrow_encoder(dtype=torch.float32), list[State]()
    problem, plan = problem_of(60, 80), plan_of((80, 8), tolerance=0.0, learning_rate=0.1)

    def run(history: int, resume: State | None = None) -> int:
        make = partial(objective_for, reading=Reading(48, None, history))
        optimize(encoder, problem, plan, objectives=make, keep=states.append, resume=resume)
        return remembered(states[-1])

    def remembered(state: State) -> int:
        return len(state.descent["optimizer"]["pairs"])

    assert run(3) == 3
    assert 3 < run(10) <= 7
    early = states[-2]
    assert remembered(early) > 3
    assert run(3, resume=early) == 3
    assert early.descent == {}, "its tensors would be held to the end of the run"


# a run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


STEPS: dict[str, Any] = {
    "encoder": "light",
    "optimize.levels": [64, 320],
    "optimize.steps": 3,
    "optimize.tolerance": 0,
}


def memory_for(tile: int) -> float:
    """Bytes into which the finest level fits in tiles of this side, and in no larger ones."""
    scene = resolve(load_recipe(Path("look.yaml"), overrides={**STEPS, "size": 320}))
    plan = planned(scene)
    cost = level_costs(scene, plan, load_encoders(plan.encoders))[-1]
    return TOLERANCE * (cost.memory(Reading(tile, None, plan.history)) + 1)


def painted(**options: Any) -> Result:
    return apply("look.yaml", size=320, overrides=STEPS, cache=False, **options)


@pytest.mark.usefixtures("folder")
def test_both_stages_of_a_product_that_is_painted_first_may_be_in_tiles() -> None:
    steps = {"optimize.levels": [120, 200], "optimize.steps": 1, "optimize.tolerance": 0}
    # What rounding differs by grows tenfold and more with every further step of L-BFGS.
    product = {"strategy": "product-then-style", "product": ["sky"]}
    overrides = {"size": 200, "encoder": "hed-vgg16", **steps, **product}
    scene = resolve(load_recipe(Path("look.yaml"), overrides=overrides))
    plan, encoder = planned(scene), narrow_encoder(dtype=torch.float32)
    costs = level_costs(scene, plan, {"hed-vgg16": encoder})
    assert {cost.stage.name for cost in costs} == {"product", "style"}
    readings = {cost.place: Reading(64, 128, 5) for cost in costs if max(cost.size) > 64}
    assert {stage for stage, _ in readings} == {cost.stage.name for cost in costs}
    told: list[Progress] = []
    whole = paint(scene, encoder, plan, on_progress=lambda _: None)
    found = paint(scene, encoder, plan, on_progress=told.append, readings=readings)
    assert any("contour.sides" in progress.losses for progress in told)
    assert not torch.equal(found, whole)
    assert (found - whole).abs().mean() < 1e-5


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layered_nst.strategies.budget.SMALLEST_TILE", 32)
    monkeypatch.setattr("layered_nst.strategies.budget.WORTH", 100)


@pytest.mark.usefixtures("folder", "small_tiles")
def test_a_run_within_less_memory_paints_the_same_picture_and_says_how() -> None:
    whole, memory = painted(), memory_for(96)
    tiled = painted(memory=memory)
    assert whole.notes == tiled.notes[:-1]
    said = r"to stay within `memory=\d+M`, levels are painted in tiles: 320 px by \d+ px"
    assert re.fullmatch(said, tiled.notes[-1])
    assert tiled.manifest["notes"] == list(tiled.notes)
    assert not torch.equal(tiled.rgb, whole.rgb)
    assert (tiled.rgb - whole.rgb).abs().mean() < 1e-3
    assert [set(losses) for losses in tiled.losses] == [set(losses) for losses in whole.losses]
    assert torch.equal(tiled.rgb, painted(memory=f"{memory / 1e6 + 0.01:.2f}M").rgb)


def stopped(at: int, **options: Any) -> None:
    count = iter(range(1, 100))

    def hear(_: Progress) -> None:
        if next(count) == at:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        painted(checkpoint="look.checkpoint", on_progress=hear, **options)


@pytest.mark.usefixtures("folder", "small_tiles")
@pytest.mark.slow
def test_a_run_resumed_without_saying_the_memory_goes_on_in_its_tiles() -> None:
    memory = memory_for(96)
    wanted = painted(memory=memory)
    stopped(at=6, memory=memory)
    assert load_state(Path("look.checkpoint"), belongs()).memory == memory
    with pytest.warns(LayeredNstWarning, match="joint, level 2, step 2"):
        found = painted(checkpoint="look.checkpoint", resume=True)
    assert torch.equal(found.rgb, wanted.rgb)
    assert found.notes == wanted.notes


def belongs() -> dict[str, str]:
    found: dict[str, str] = torch.load("look.checkpoint", weights_only=True)["belongs"]
    return found


@pytest.mark.usefixtures("folder", "small_tiles")
def test_a_run_may_go_on_with_less_memory_and_says_so() -> None:
    wanted = painted()
    stopped(at=6)
    assert load_state(Path("look.checkpoint"), belongs()).memory is None
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        found = painted(checkpoint="look.checkpoint", resume=True, memory=memory_for(96))
    assert found.notes[-1].startswith("the work was begun with no tiles and goes on with `memory=")
    assert (found.rgb - wanted.rgb).abs().mean() < 1e-3


@pytest.mark.usefixtures("folder")
def test_a_checkpoint_from_before_there_were_tiles_is_gone_on_from() -> None:
    wanted = painted()
    stopped(at=5)
    state, owner = load_state(Path("look.checkpoint"), belongs()), belongs()
    save_state(Path("look.checkpoint"), state, owner)
    stored = torch.load("look.checkpoint", weights_only=True)
    del stored["state"]["memory"]
    torch.save(stored, "look.checkpoint")
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        found = painted(checkpoint="look.checkpoint", resume=True)
    assert torch.equal(found.rgb, wanted.rgb)


@pytest.mark.parametrize("size", [(150, 203), (64, 300)])
def test_contours_of_a_large_picture_are_seen_tile_by_tile_alike(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    encoder = load_encoder("hed-vgg16")
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(3))
    whole = contours.contour_map(encoder, picture)
    read: list[int] = []
    usual = Encoder.forward

    def forward(self: Encoder, part: Tensor, *arguments: Any, **keys: Any) -> Any:
        read.append(part.shape[2] * part.shape[3])
        return usual(self, part, *arguments, **keys)

    monkeypatch.setattr(Encoder, "forward", forward)
    monkeypatch.setattr(contours, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(contours, "TILE", 64)
    monkeypatch.setattr(contours, "BAND", 50)
    tiled = contours.contour_map(encoder, picture)
    assert len(read) > 3
    assert torch.allclose(tiled, whole, atol=1e-5)
