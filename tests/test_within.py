"""A time in place of a quality: the best plan that fits, and an end in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from workbench import lay_out, run

from layered_nst import api, apply
from layered_nst.errors import BudgetError
from layered_nst.strategies import hurry
from layered_nst.strategies.hurry import Deadline, deadline_of, in_words
from layered_nst.words import seconds_in


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    recipe = Path("look.yaml").read_text().replace("optimize: {steps: 1}", "")
    Path("look.yaml").write_text(recipe)
    return Path()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("10s", 10),
        ("2.5 s", 2.5),
        ("60ms", 0.06),
        ("2min", 120),
        ("1.5 m", 90),
        ("1h30m", 5400),
        ("1 h 2 min 3 s", 3723),
        (" .5 sec ", 0.5),
        ("", None),
        ("s", None),
        ("10x", None),
        ("-3s", None),
        ("soon", None),
        ("1e400", None),
        ("9" * 400, None),
    ],
)
def test_times_are_read_in_words(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("within", ["soon", "0", "0s", "-1", 0, -2.0, "nan", float("nan")])
def test_what_is_no_time_is_said(within: Any) -> None:
    with pytest.raises(BudgetError, match=r"allowed: a time above 0 such as 10s, 2min or 1h30m"):
        apply("look.yaml", within=within)


@pytest.mark.parametrize(
    ("given", "named"),
    [({"quality": "draft"}, "quality"), ({"steps": 3}, "steps"), ({"resume": True}, "resume")],
)
def test_a_time_stands_alone(given: dict[str, Any], named: str) -> None:
    with pytest.raises(BudgetError, match=f"`within` chooses the plan itself; leave `{named}` out"):
        apply("look.yaml", within="9s", **given)


def test_the_command_says_it_in_its_own_words() -> None:
    ran = run("apply", "look.yaml", "--within", "9s", "--quality", "draft")
    assert ran.code == 2
    assert ran.error == "--within chooses the plan itself; leave --quality out"
    ran = run("paint", "photo.png", "dots.png", "--within", "now")
    assert ran.code == 2
    assert "within now: allowed: a time above 0" in ran.error


def chosen(seconds: float, speed: float, monkeypatch: pytest.MonkeyPatch, size: int = 512) -> Any:
    """The plan that is chosen where a pixel takes so long with each encoder."""
    monkeypatch.setattr(hurry, "speed", lambda plan, encoder, scene: speed)
    scene, _ = api.prepare(api.load("look.yaml", size=size))

    def load(names: Any) -> Any:
        return api.load_encoders(names)

    return hurry.fitted(scene, Deadline(seconds), load)


def test_more_time_is_never_a_worse_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    qualities = []
    for seconds in (1.0, 3.0, 6.0, 40.0, 120.0, 1200.0):
        scene, plan, encoders = chosen(seconds, 1e-6, monkeypatch)
        qualities.append((scene.recipe.optimize.quality, scene.recipe.optimize.steps))
        assert {*plan.encoders} == {*encoders}
    ladder = [quality for quality, *_ in hurry.LADDER]
    places = [ladder.index(quality) for quality, _ in qualities]
    assert places == sorted(places, reverse=True)
    assert qualities[0][0] == "instant"
    assert qualities[-1][0] == "fine"
    assert "draft" in {quality for quality, _ in qualities}


def test_a_plan_that_is_chosen_is_told_and_kept_in_the_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, plan, _ = chosen(6.0, 1e-6, monkeypatch)
    assert scene.notes[-1].startswith(f"within 6 s: {in_words(plan)}, about ")
    assert scene.recipe.optimize.quality == "draft"
    again = hurry.planned(scene)
    assert again == plan


def test_a_draft_whose_finest_level_is_only_enlarged_comes_before_what_is_painted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [chosen(seconds / 4, 1e-6, monkeypatch)[1] for seconds in range(2, 24)]
    last = [plan.levels[-1].steps for plan in found if plan.painter is None]
    assert 0 in last
    assert found[0].painter == "instant"


def test_a_run_without_time_is_painted_at_once() -> None:
    result = apply("look.yaml", within=0.01)
    assert result.recipe.optimize.quality == "instant"
    assert any(note.startswith("within 0 s: painted at once") for note in result.notes)


def test_a_run_that_is_late_ends_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hurry, "speed", lambda plan, encoder, scene: 1e-12)  # far too hopeful
    started = time.monotonic()
    result = apply("look.yaml", within=1.5, on_progress=lambda _: time.sleep(0.3))
    assert time.monotonic() - started < 1.5 * 1.2 + 1.5  # one step and its end
    assert 1 <= len(result.losses) <= 8
    assert result.rgb.shape == (3, 36, 48)


def test_a_deadline_counts_from_when_it_was_set() -> None:
    deadline = deadline_of("100s")
    assert deadline is not None
    assert 99 < deadline.left <= 100
    assert not deadline.is_past
    assert Deadline(1.0, time.monotonic() - 2).is_past
    assert Deadline(1.0, time.monotonic() - 2).left == 0
    assert deadline_of(None) is None


def test_the_command_ends_in_time_and_says_what_it_chose() -> None:
    ran = run("apply", "look.yaml", "--within", "30s", "-o", "out.png")
    assert ran.code == 0, ran.err
    assert "within 30 s: " in ran.err
    assert Path("out.png").is_file()
