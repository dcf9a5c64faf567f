"""The engine of searches: spaces, fronts, evolution and chance, and what a folder holds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from layered_nst.errors import ModelError, OutputError
from layered_nst.training.searching import folders, searching
from layered_nst.training.searching.evolving import chance, evolution
from layered_nst.training.searching.folders import check_folder, plan_for
from layered_nst.training.searching.fronts import Found, Front, fronts, survivors, volumes
from layered_nst.training.searching.searching import search
from layered_nst.training.searching.spaces import Numbers, Space
from layered_nst.training.searching.subjects import SearchPlan, Subject
from layered_nst.training.searching.telling import tell_front

SPACE = Space(((4, 8), (4, 6), (4,), (2, 4), (0, 1), (0,), (0, 1), (0,)))
LARGER = Space(((48, 72, 96), (24, 36, 48), (16, 24, 32), (8, 12, 16), *3 * ((0, 1, 2),)))


def test_a_space_has_as_many_forms_as_it_says() -> None:
    every = list(SPACE)
    assert len(every) == len(set(every)) == len(SPACE) == 32
    assert {SPACE.smallest, SPACE.largest} <= set(every)
    drawing = random.Random(0)
    assert all(SPACE.draw(drawing) in every for _ in range(40))
    assert all(form in SPACE for form in every)
    outside = ((5, *SPACE.largest[1:]), SPACE.largest[1:], [*SPACE.largest], "4")
    assert not any(form in SPACE for form in outside)
    crossed = {SPACE.crossed(every[0], every[-1], drawing) for _ in range(40)}
    assert crossed <= set(every)
    assert len(crossed) > 5


# Fronts


def some(count: int, seed: int = 0) -> list[Found]:
    numbers = np.random.default_rng(seed).random((count, 3))
    return [
        Found((n,), str(n), error, seconds, round(1e6 * size))
        for n, (error, seconds, size) in enumerate(numbers.tolist())
    ]


def test_a_front_is_what_nothing_beats() -> None:
    found = some(80)
    beaten = {
        one
        for one in found
        for other in found
        if other.error <= one.error
        and other.seconds <= one.seconds
        and other.size <= one.size
        and other != one
    }
    layers = fronts(found)
    assert set(layers[0]) == set(found) - beaten
    assert sum(map(len, layers)) == 80
    assert [one.seconds for one in layers[0]] == sorted(one.seconds for one in layers[0])
    for before, after in pairwise(layers):  # something of each layer beats what comes after it
        assert all(
            any(np.all(np.array(one.costs) <= other.costs) for one in before) for other in after
        )
    assert fronts(found, least=1) == layers[:1]


def test_of_equals_one_is_on_the_front() -> None:
    twins = [Found((n,), str(n), 0.5, 1.0, 7) for n in range(3)]
    assert [len(layer) for layer in fronts(twins)] == [1, 1, 1]


def test_hypervolume_is_the_share_of_points_that_are_beaten() -> None:
    first, second = some(12), some(12, seed=1)
    costs = np.array([one.costs for one in (*first, *second)])
    low, high = costs.min(0), costs.max(0)
    points = np.random.default_rng(2).random((200_000, 3))
    for found, volume in zip((first, second), volumes(first, second), strict=True):
        beaten = np.zeros(len(points), bool)
        for one in found:
            beaten |= np.all(points >= (np.array(one.costs) - low) / (high - low), axis=1)
        assert volume == pytest.approx(beaten.mean(), abs=0.005)


def test_those_that_survive_are_the_best_layers_and_the_ends_of_the_last() -> None:
    found = some(80)
    layers = fronts(found)
    count = len(layers[0]) + 6
    kept = survivors(found, count)
    assert len(kept) == count
    assert set(layers[0]) <= set(kept)
    for name in ("seconds", "error", "size"):
        values = sorted(getattr(one, name) for one in layers[1])
        assert {values[0], values[-1]} <= {getattr(one, name) for one in kept}
    assert len(survivors(found[:3], 9)) == 3


def worth(form: Numbers) -> Found:
    """Wider stages are nearer, slower and larger; only the third one is worth it."""
    first, second, third, fourth, *depths = form
    seconds = first / 96 + second / 48 + third / 32 + fourth / 16 + sum(depths)
    error = 3 - third / 32 - 0.2 * depths[2] - first / 960
    return Found(form, str(form), error, seconds, sum(form))


def test_evolution_repeats_itself_and_is_worth_more_than_chance() -> None:
    evolved = evolution(worth, LARGER, 60, 0)
    assert len(evolved) == len({f.numbers for f in evolved}) == 60
    assert evolution(worth, LARGER, 60, 0) == evolved
    ratios = []
    for seed in range(4):
        first, second = (way(worth, LARGER, 60, seed) for way in (evolution, chance))
        ratios.append(np.divide(*volumes(first, second)))
    assert np.mean(ratios) > 1.02


def test_what_is_known_to_be_good_is_where_both_begin() -> None:
    known = (96, 24, 32, 8, 0, 0, 2)
    for way in (evolution, chance):
        found = way(worth, LARGER, 20, 0, known=[known])
        assert [one.numbers for one in found[:3]] == [LARGER.smallest, LARGER.largest, known]
        assert len(found) == 20


def test_a_small_space_is_searched_through() -> None:
    for way in (evolution, chance):
        assert len(way(worth, SPACE, 1000, 0)) == len(SPACE)


# The whole


class Sums(Subject):
    """Sums of the first few of eight weights, which are to be as large as a target."""

    usual = SearchPlan(steps=9, evaluations=7)
    seconds_for = "a sum"

    def __init__(self, target: float = 3.0) -> None:
        self.space = Space(((1, 2, 4, 8), (0, 1, 2)))
        self.belongs = {"target": target}
        self.target = target
        self.asked: list[Numbers] = []

    def begin(self, plan: SearchPlan) -> None:
        self.whole = nn.Linear(8, 1, bias=False)

    def taught(self) -> Mapping[str, nn.Module]:
        return {"weights": self.whole}

    def draw(self, plan: SearchPlan) -> Tensor:
        return torch.rand(plan.batch, 8)

    def loss(self, form: Numbers, drawn: Any) -> Tensor:
        width, more = form
        wanted = self.target + more
        return ((drawn[:, :width] @ self.whole.weight[0, :width]) - wanted).square().mean()

    def settle(self, plan: SearchPlan) -> None:
        self.judged_on = torch.rand(4, 8)

    def error(self, form: Numbers) -> float:
        self.asked.append(form)
        return float(self.loss(form, self.judged_on))

    def measured(self) -> dict[str, float]:
        return {"weight": 0.25}

    def predicted(self, form: Numbers, table: Mapping[str, float]) -> float:
        return form[0] * table["weight"]

    def size(self, form: Numbers) -> int:
        return 2 * form[0] + form[1]

    def called(self, form: Numbers) -> str:
        return ",".join(map(str, form))


@pytest.mark.parametrize("stop_at", [3, 5, 6, 9, 12])
def test_a_search_that_was_stopped_comes_to_the_same_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    monkeypatch.setattr(searching, "SAVED", 2)
    plan, told = SearchPlan(steps=5, evaluations=6), []

    def found(folder: Path, subject: Sums, stop: int | None = None) -> Front:
        def tell(done: int, of: int, what: str) -> None:
            told.append((done, what))
            if len(told) == stop:
                raise KeyboardInterrupt

        folder.mkdir(exist_ok=True)
        return search(subject, folder, plan=plan, on_step=tell)

    whole = found(tmp_path / "whole", Sums())
    assert [what for _, what in told][:5] == ["shared weights"] * 5
    told.clear()
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "broken", Sums(), stop_at)
    told.clear()
    again = Sums()
    assert found(tmp_path / "broken", again) == whole
    first, second = ((tmp_path / n / "front.json").read_bytes() for n in ("broken", "whole"))
    assert first == second
    # Nothing that stood in the checkpoint or the journal is done again.
    done = [number for number, what in told if what == "shared weights"]
    assert done == list(range(1 + min(stop_at - 1, 4) // 2 * 2 if stop_at <= 5 else 6, 6))
    assert len(again.asked) == len(set(again.asked)) <= len(whole.evolved) + len(whole.drawn)
    if stop_at > 6:
        assert len(again.asked) < len({one.numbers for one in (*whole.evolved, *whole.drawn)})


def test_another_seed_is_another_search(tmp_path: Path) -> None:
    fronts_of = []
    for seed in (0, 0, 1):
        folder = tmp_path / str(len(fronts_of))
        folder.mkdir()
        fronts_of.append(search(Sums(), folder, plan=SearchPlan(steps=3, evaluations=6, seed=seed)))
    assert fronts_of[0] == fronts_of[1] != fronts_of[2]
    with pytest.raises(ModelError, match="made with seed 1, not 0"):
        search(Sums(), tmp_path / "2", plan=SearchPlan(steps=3, evaluations=6))


def test_a_search_of_others_is_not_gone_on_with(tmp_path: Path) -> None:
    plan = SearchPlan(steps=1, evaluations=2)
    search(Sums(), tmp_path, plan=plan)
    with pytest.raises(ModelError, match="made with another target"):
        search(Sums(4.0), tmp_path, plan=plan)
    journal = tmp_path / "journal.json"
    kept = json.loads(journal.read_text())
    journal.write_text(json.dumps({**kept, "machine": "another"}))
    with pytest.raises(ModelError, match=r"its times are those of another machine \(another\)"):
        search(Sums(), tmp_path, plan=plan)
    kept["belongs"]["target"] = 7
    journal.write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="of a search with another target"):
        search(Sums(), tmp_path, plan=plan)
    journal.write_text("{")
    with pytest.raises(ModelError, match="broken; remove it to search afresh"):
        search(Sums(), tmp_path, plan=plan)
    (tmp_path / "shared.training").write_bytes(b"half")
    with pytest.raises(ModelError, match="broken; remove it to start afresh"):
        search(Sums(), tmp_path, plan=plan)


def test_a_loss_that_is_no_number_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="step 1: the loss is nan"):
        search(Sums(float("nan")), tmp_path, plan=SearchPlan(steps=2, evaluations=2))


def test_a_time_is_turned_into_steps_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "seconds_of", lambda *_: (2.0, 1.0))
    plan = plan_for(Sums(), tmp_path, budget=200.0, seed=3)
    assert (plan.steps, plan.evaluations, plan.seed) == (70, 30, 3)
    monkeypatch.setattr(folders, "seconds_of", lambda *_: (99.0, 99.0))
    assert plan_for(Sums(), tmp_path, budget=200.0, seed=3) == plan
    assert plan_for(Sums(), tmp_path / "..", budget=None, seed=4).steps == 9


def test_a_step_and_an_evaluation_are_timed() -> None:
    assert all(0 < seconds < 1 for seconds in folders.seconds_of(Sums(), Sums.usual))


def test_a_front_is_told_with_what_fits_the_time(tmp_path: Path) -> None:
    evolved = [worth(form) for form in SPACE]
    front = Front(evolved, evolved[:4], fronts(evolved)[0], (0.6, 0.5), "a step")
    told = tell_front(front, tmp_path, 1e9)
    assert told.chosen is not None
    assert told.chosen.error == min(found.error for found in front.best)
    assert f"within 1e+12 ms: teach it with `form={told.chosen.form}`" in told.text
    assert "0.6000 by evolution, 0.5000 by chance (1.200)" in told.text
    assert "| form | error | ms for a step | MB |" in told.text
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
