"""A search for a painter's form: shared weights, fronts, times, and going on after a break."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from workbench import lay_out, run

from layered_nst.errors import ModelError, OutputError
from layered_nst.instant.network import DEFAULT_FORM, Form, Painter
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.training.painters import latency, searching
from layered_nst.training.painters.latency import key_of, measured, predicted
from layered_nst.training.painters.searching import (
    Found,
    Front,
    SearchPlan,
    chance,
    check_folder,
    evolution,
    fronts,
    plan_for,
    search,
    survivors,
    volumes,
)
from layered_nst.training.painters.sharing import Space, filled, part_of
from layered_nst.training.painters.telling import tell_front

CHANNELS = (128, 64, 32)
SPACE = Space(((4, 8), (4, 6), (4,), (2, 4)), ((0, 1), (0,), (0, 1), (0,)))
PLAN = SearchPlan(steps=2, evaluations=5, batch=1, crop=64)
ASSETS = Path(__file__).parents[1] / "assets"


@pytest.fixture(scope="module")
def light() -> Encoder:
    return load_encoder("light")


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    found = []
    for file in sorted((ASSETS / "styles").glob("*.jpg"))[:3]:
        with Image.open(file) as image:
            image.thumbnail((80, 80))
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    return [picture.contiguous() for picture in found]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that depend on nothing but the order in which they are asked for."""
    count = iter(range(1, 10_000))
    monkeypatch.setattr(latency, "_least", lambda _: next(count) / 1000)


def drawn(painter: Painter, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    carried = [
        torch.randn(1, width, 32 // scale, 32 // scale, generator=generator)
        for width, scale in zip(CHANNELS, (8, 4, 2), strict=True)
    ]
    code = painter.code(
        [torch.rand(1, w, generator=generator) for w in CHANNELS],
        [torch.rand(1, w, generator=generator) for w in CHANNELS],
    )
    modulation = [part[:, :, None, None] for part in code]
    result: Tensor = painter(torch.rand(1, 3, 32, 32, generator=generator), carried, modulation)
    return result


def whole_of(form: Form) -> Painter:
    torch.manual_seed(0)
    whole = Painter(form, CHANNELS)
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return whole


# Shared weights


def test_a_part_paints_with_the_first_channels_of_the_whole() -> None:
    whole, form = whole_of(SPACE.largest), SPACE.smallest
    alone = Painter(form, CHANNELS)
    given = dict(whole.named_parameters())
    with torch.no_grad():
        for name, parameter in alone.named_parameters():
            value = given[name].detach().numpy()
            if name.startswith("modulate"):
                factors, summands = np.split(value, 2)
                own = len(parameter) // 2
                value = np.concatenate([factors[:own], summands[:own]])
            parameter.copy_(torch.from_numpy(value[tuple(map(slice, parameter.shape))].copy()))
    assert torch.allclose(drawn(part_of(whole, form)), drawn(alone), atol=1e-6)


def test_what_a_part_learns_the_whole_learns() -> None:
    whole = whole_of(SPACE.largest)
    drawn(part_of(whole, SPACE.smallest)).square().sum().backward()
    gradient = dict(whole.named_parameters())["stages.0.beside"].grad
    assert gradient is not None
    assert float(gradient[:4].abs().sum()) > 0
    assert float(gradient[4:].abs().sum()) == 0


def test_what_is_larger_is_no_part() -> None:
    with pytest.raises(ValueError, match="is no part of"):
        part_of(Painter(SPACE.smallest, CHANNELS), SPACE.largest)


def test_a_whole_that_is_filled_has_the_smaller_one_in_it() -> None:
    start = whole_of(SPACE.smallest)
    whole = Painter(SPACE.largest, CHANNELS)
    filled(whole, start)
    assert torch.allclose(drawn(part_of(whole, SPACE.smallest)), drawn(start), atol=1e-5)


def test_forms_are_said_and_read_alike() -> None:
    assert str(DEFAULT_FORM) == "96,48,32,16/1,1,1,0"
    assert Form.of(str(DEFAULT_FORM)) == DEFAULT_FORM
    for text in ("", "1,2,3/1,1,1,0", "0,1,1,1/0,0,0,0", "1,1,1,1/-1,0,0,0", "a,b,c,d/0,0,0,0"):
        with pytest.raises(ValueError, match=r".+"):
            Form.of(text)


def test_a_space_has_as_many_forms_as_it_says() -> None:
    every = list(SPACE)
    assert len(every) == len(set(every)) == len(SPACE) == 32
    assert {SPACE.smallest, SPACE.largest} <= set(every)
    drawing = random.Random(0)
    assert all(SPACE.draw(drawing) in every for _ in range(40))
    crossed = {SPACE.crossed(every[0], every[-1], drawing) for _ in range(40)}
    assert crossed <= set(every)
    assert len(crossed) > 5


# Fronts


def some(count: int, seed: int = 0) -> list[Found]:
    numbers = np.random.default_rng(seed).random((count, 2))
    return [Found(Form((n + 1, 1, 1, 1)), e, s) for n, (e, s) in enumerate(numbers.tolist())]


def test_a_front_is_what_nothing_beats() -> None:
    found = some(60)
    beaten = {
        one
        for one in found
        for other in found
        if other.error <= one.error and other.seconds <= one.seconds and other != one
    }
    layers = fronts(found)
    assert set(layers[0]) == set(found) - beaten
    assert sum(map(len, layers)) == 60
    assert [one.seconds for one in layers[0]] == sorted(one.seconds for one in layers[0])


def test_hypervolume_is_the_share_of_points_that_are_beaten() -> None:
    first, second = some(20), some(20, seed=1)
    every = [*first, *second]
    grid = np.linspace(0, 1, 400)
    low = [min(getattr(f, k) for f in every) for k in ("seconds", "error")]
    high = [max(getattr(f, k) for f in every) for k in ("seconds", "error")]
    for found, volume in zip((first, second), volumes(first, second), strict=True):
        beaten = np.zeros((400, 400), bool)
        for one in found:
            x, y = (
                (value - lo) / (hi - lo)
                for value, lo, hi in zip((one.seconds, one.error), low, high, strict=True)
            )
            beaten |= (grid[:, None] >= x) & (grid[None] >= y)
        assert volume == pytest.approx(beaten.mean(), abs=0.01)


def test_those_that_survive_are_the_best_layers_and_the_ends_of_the_last() -> None:
    found = some(60)
    layers = fronts(found)
    count = len(layers[0]) + 2
    kept = survivors(found, count)
    assert len(kept) == count
    assert set(layers[0]) <= set(kept)
    assert {layers[1][0], layers[1][-1]} <= set(kept)
    assert len(survivors(found[:3], 9)) == 3


def worth(form: Form) -> Found:
    """Wider stages are nearer and slower; only the third one is worth its time."""
    first, second, third, fourth = form.widths
    seconds = first / 96 + second / 48 + third / 32 + fourth / 16 + sum(form.depths)
    return Found(form, 3 - third / 32 - 0.2 * form.depths[2] - first / 960, seconds)


def test_evolution_repeats_itself_and_is_worth_more_than_chance() -> None:
    plan, space = SearchPlan(evaluations=60), Space()
    asked: list[Form] = []

    def judge(form: Form) -> Found:
        asked.append(form)
        return worth(form)

    evolved = evolution(judge, space, plan)
    assert len(evolved) == len({f.form for f in evolved}) == 60
    assert evolution(worth, space, plan) == evolved
    ratios = []
    for seed in range(4):
        plan = SearchPlan(evaluations=60, seed=seed)
        first, second = volumes(evolution(worth, space, plan), chance(worth, space, plan))
        ratios.append(first / second)
    assert np.mean(ratios) > 1.02


def test_a_small_space_is_searched_through() -> None:
    plan = SearchPlan(evaluations=1000)
    assert len(evolution(worth, SPACE, plan)) == len(chance(worth, SPACE, plan)) == len(SPACE)


# Times


def test_a_painter_takes_the_sum_of_its_stages(quick: None) -> None:
    table = measured(SPACE, CHANNELS)
    for form in SPACE:
        parts = [table[key_of(form, stage)] for stage in range(4)]
        assert predicted(form, table) == pytest.approx(sum(parts) + table["rest"])


def test_measured_times_are_of_what_is_painted() -> None:
    space = Space(((4,), (4,), (4,), (2, 64)), ((0,), (0,), (0,), (0,)))
    table = measured(space, CHANNELS)
    assert all(value >= 0 for value in table.values())
    assert table[key_of(space.largest, 3)] > table[key_of(space.smallest, 3)]


# The whole


def test_a_search_goes_on_where_it_was_and_comes_to_the_same_front(
    light: Encoder, pictures: list[Tensor], tmp_path: Path, quick: None
) -> None:
    told: list[tuple[int, int, str]] = []

    def found(folder: Path, stop_at: int | None = None) -> Front:
        folder.mkdir(exist_ok=True)

        def tell(done: int, of: int, what: str) -> None:
            told.append((done, of, what))
            if len(told) == stop_at:
                raise KeyboardInterrupt

        return search(light, pictures, pictures, folder, plan=PLAN, space=SPACE, on_step=tell)

    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "broken", stop_at=4)
    stored = json.loads((tmp_path / "broken" / "journal.json").read_text())
    assert 1 <= len(stored["found"]) < 8
    told.clear()
    again = found(tmp_path / "broken")
    assert "shared weights" not in {what for *_, what in told}
    # The times are of the one machine, so the journal of the other starts with the same.
    (tmp_path / "whole").mkdir()
    journal = {**stored, "found": []}
    (tmp_path / "whole" / "journal.json").write_text(json.dumps(journal))
    assert found(tmp_path / "whole") == again
    first, second = ((tmp_path / n / "front.json").read_bytes() for n in ("broken", "whole"))
    assert first == second
    assert len(again.evolved) == len(again.drawn) == 5
    assert 0 <= again.volumes[1] <= 1


def test_a_search_of_others_is_not_gone_on_with(
    light: Encoder, pictures: list[Tensor], tmp_path: Path, quick: None
) -> None:
    plan = SearchPlan(steps=1, evaluations=2, batch=1, crop=64)
    search(light, pictures, pictures, tmp_path, plan=plan, space=SPACE)
    with pytest.raises(ModelError, match="made with other photos"):
        search(light, pictures[::-1], pictures, tmp_path, plan=plan, space=SPACE)
    journal = tmp_path / "journal.json"
    kept = json.loads(journal.read_text())
    journal.write_text(json.dumps({**kept, "machine": "another"}))
    with pytest.raises(ModelError, match=r"its times are those of another machine \(another\)"):
        search(light, pictures, pictures, tmp_path, plan=plan, space=SPACE)
    kept["belongs"]["styles"] = "other"
    journal.write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="of a search with another styles"):
        search(light, pictures, pictures, tmp_path, plan=plan, space=SPACE)
    journal.write_text("{")
    with pytest.raises(ModelError, match="broken; remove it to search afresh"):
        search(light, pictures, pictures, tmp_path, plan=plan, space=SPACE)


def test_a_time_is_turned_into_steps_once(
    light: Encoder, pictures: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_seconds_of_step", lambda *_: 2.0)
    plan = plan_for(light, pictures, pictures, tmp_path, budget=200.0, seed=3)
    assert (plan.steps, plan.evaluations, plan.seed) == (70, 30, 3)
    monkeypatch.setattr(searching, "_seconds_of_step", lambda *_: 99.0)
    assert plan_for(light, pictures, pictures, tmp_path, budget=200.0, seed=3) == plan


def test_a_front_is_told_with_what_fits_the_time(tmp_path: Path) -> None:
    evolved = [worth(form) for form in SPACE]
    front = Front(evolved, evolved[:4], fronts(evolved)[0], (0.6, 0.5))
    told = tell_front(front, tmp_path, 1e9)
    assert told.chosen is not None
    assert told.chosen.error == min(found.error for found in front.best)
    assert f"within 1e+12 ms: teach one with `form={told.chosen.form}`" in told.text
    assert "0.6000 by evolution, 0.5000 by chance (1.200)" in told.text
    assert (tmp_path / "front.md").read_text() == f"{told.text}\n"
    assert Image.open(tmp_path / "front.png").width == 900
    none = tell_front(front, tmp_path, 1e-6)
    assert none.chosen is None
    assert "none takes 0.001 ms or less; the quickest takes" in none.text


def test_files_that_are_no_searchs_are_left_alone(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    (tmp_path / "front.md").write_text("mine")
    with pytest.raises(OutputError, match=r"front\.md: is there and was not written by"):
        check_folder(tmp_path)
    (tmp_path / "plan.json").write_text('{"mine": 1}')
    with pytest.raises(OutputError, match=r"plan\.json: is there and was not written by"):
        check_folder(tmp_path)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_folder(tmp_path / "front.md")


def test_the_command_searches_and_teaches_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Tensor], quick: None
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("pictures").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(f"pictures/{number}.png")
    Path("front").mkdir()
    plan = {"steps": 1, "evaluations": 3, "batch": 1, "crop": 64, "learning_rate": 5e-4, "seed": 0}
    Path("front/plan.json").write_text(json.dumps(plan))
    ran = run("painter", "search", "pictures", "pictures", "--latency", "1h", "--json")
    assert ran.code == 0, ran.err
    form = Form(**{k: tuple(v) for k, v in ran.json["chosen"]["form"].items()})
    assert ran.json["hypervolume"].keys() == {"evolution", "chance"}
    words = ("--form", str(form), "--steps", "1", "--batch", "1", "--crop", "64")
    taught = run("painter", "train", "pictures", "pictures", "-o", "own.safetensors", *words)
    assert taught.code == 0, taught.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "pictures", "pictures", "--latency", "soon"), "allowed: a time above 0"),
        (("search", "pictures", "pictures", "--budget", "0s"), "allowed: a time above 0"),
        (("train", "pictures", "pictures", "--form", "1,2"), "four widths and four depths"),
        (("train", "p", "p", "--form", "1,1,1,1/0,0,0,0", "--start", "instant"), "name one"),
    ],
)
def test_words_that_mean_nothing_are_wrong_usage(words: tuple[str, ...], said: str) -> None:
    ran = run("painter", *words)
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())
