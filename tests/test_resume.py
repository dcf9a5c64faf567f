"""A run that was broken off goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from torch import Tensor
from workbench import Ran, lay_out, photo, run

from layered_nst import Result, apply, load_recipe
from layered_nst.cli.display import Display
from layered_nst.errors import CheckpointError, Interrupted, LayeredNstWarning
from layered_nst.files import atomic as replacement
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.painting.progress import Progress
from layered_nst.painting.state import DONE, State
from layered_nst.recipe import Optimize
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.checkpoints import load_state, save_state
from layered_nst.strategies.run import paint

CHECKPOINT = Path("look.checkpoint")
PRODUCT = """\
recipe: 1
content: photo.png
size: 48
strategy: product-then-style
product: [cup]
regions:
  - name: table
    select: rest
    style: stripes.png
  - name: cup
    select: {box: [0.3, 0.3, 0.7, 0.7]}
    style: dots.png
optimize: {optimizer: adam}
"""
SHORT = {"optimize.levels": [24, 48], "optimize.steps": 2, "optimize.tolerance": 0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and two recipes in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    Path("product.yaml").write_text(PRODUCT)
    return tmp_path


# every boundary between two steps


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


def plan_of(**keys: Any) -> Plan:
    levels = (Level(12, 4), Level(24, 3), Level(48, 3))
    return replace(make_plan(Optimize(**{"history": 2, **keys}), (36, 48)), levels=levels)


Painter = Callable[..., tuple[Tensor, list[Progress], list[State]]]


@pytest.fixture
def painter(encoder: Encoder) -> Callable[..., Painter]:
    """Paint a recipe of the folder, and give the canvas, the events and the states."""

    def prepared(recipe: str, plan: Plan) -> Painter:
        scene = resolve(load_recipe(Path(recipe)))

        def painted(resume: State | None = None) -> tuple[Tensor, list[Progress], list[State]]:
            seen: list[Progress] = []
            states: list[State] = []
            canvas = paint(
                scene, encoder, plan, on_progress=seen.append, resume=resume, keep=states.append
            )
            return canvas, seen, states

        return painted

    return prepared


@pytest.mark.parametrize("recipe", ["look.yaml", "product.yaml"])
@pytest.mark.parametrize(
    "keys",
    [
        {"optimizer": "lbfgs", "tolerance": 0},
        {"optimizer": "adam", "tolerance": 0, "start": "content"},
        {"optimizer": "lbfgs", "tolerance": 0, "learning_rate": 30},
    ],
    ids=["lbfgs", "adam", "exploding"],
)
def test_a_run_resumed_after_any_step_gives_the_same_bytes(
    painter: Callable[..., Painter], recipe: str, keys: dict[str, Any]
) -> None:
    plan = plan_of(**keys)
    painted = painter(recipe, plan)
    canvas, seen, states = painted()
    assert len([state for state in states if state.step]) == len(seen)
    assert {state.stage for state in states} == {*(p.stage for p in seen), DONE}
    if "learning_rate" in keys:
        assert min(s.descent["learning_rate"] for s in states if s.step) < plan.learning_rate
    number = 0
    for state in states:
        number += state.step > 0  # the others are of what lies between two levels
        save_state(CHECKPOINT, state, {})
        again, rest, _ = painted(load_state(CHECKPOINT, {}))
        assert torch.equal(again, canvas), state.place
        assert [p.losses for p in rest] == [p.losses for p in seen[number:]], state.place
        assert [p.done for p in rest] == [p.done for p in seen[number:]]


def test_a_run_resumed_from_noise_or_where_levels_settle_gives_the_same_bytes(
    painter: Callable[..., Painter],
) -> None:
    level = Level(24, 60)
    plan = replace(plan_of(start="noise", tolerance=0.2), levels=(level, Level(48, 12)))
    painted = painter("look.yaml", plan)
    canvas, seen, states = painted()
    last, between = next(pair for pair in pairwise(states) if pair[1].level == 2)
    assert last.step < level.steps
    assert between.place == "joint, before level 2"
    steps = [state for state in states if state.step]
    for state, behind in ((steps[0], 1), (last, last.step), (between, last.step)):
        again, rest, _ = painted(copy.deepcopy(state))
        assert torch.equal(again, canvas), state.place
        assert len(rest) == len(seen) - behind
    again, rest, _ = painted(steps[-1])
    assert torch.equal(again, canvas)
    assert rest == []


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_later_steps_do_not_write_into_a_state(
    painter: Callable[..., Painter], optimizer: str, encoder: Encoder
) -> None:
    scene = resolve(load_recipe(Path("look.yaml")))
    kept: list[tuple[State, State]] = []

    def keep(state: State) -> None:
        kept.append((state, copy.deepcopy(state)))

    plan = plan_of(optimizer=optimizer, tolerance=0)
    paint(scene, encoder, plan, on_progress=lambda _: None, keep=keep)
    for state, then in kept:
        save_state(Path("now"), state, {})
        save_state(Path("then"), then, {})
        assert Path("now").read_bytes() == Path("then").read_bytes(), state.place


# a script


def stopping_at(number: int) -> Callable[[Progress], None]:
    """A listener that hits Ctrl-C in the middle of that step's report."""
    count = iter(range(1, 1000))

    def hear(_: Progress) -> None:
        if next(count) == number:
            raise KeyboardInterrupt

    return hear


def stopped(recipe: str = "look.yaml", *, at: int = 4, **options: Any) -> Interrupted:
    with pytest.raises(Interrupted) as stop:
        apply(
            recipe,
            overrides=SHORT,
            checkpoint=CHECKPOINT,
            on_progress=stopping_at(at),
            **options,
        )
    return stop.value


def resumed(recipe: str = "look.yaml", **options: Any) -> Result:
    with pytest.warns(LayeredNstWarning, match=r"look\.checkpoint: the work goes on from there"):
        return apply(recipe, overrides=SHORT, checkpoint=CHECKPOINT, resume=True, **options)


@pytest.mark.parametrize("recipe", ["look.yaml", "product.yaml"])
def test_a_stopped_run_keeps_its_last_whole_step_and_goes_on_from_it(recipe: str) -> None:
    whole = apply(recipe, overrides=SHORT)
    seen: list[Progress] = []
    stop = stopped(recipe)
    assert stop.checkpoint == CHECKPOINT
    assert stop.partial.checkpoint is None
    assert load_state(CHECKPOINT, {}).losses == whole.losses[:3]
    result = resumed(recipe, on_progress=seen.append)
    assert torch.equal(result.rgb, whole.rgb)
    assert list(result.losses) == list(whole.losses)
    assert len(seen) == len(whole.losses) - 3


def test_progress_and_seconds_of_a_resumed_run_cover_all_of_it() -> None:
    seen: list[Progress] = []
    apply("look.yaml", overrides=SHORT, on_progress=seen.append)
    stopped()
    state = load_state(CHECKPOINT, {})
    stored = torch.load(CHECKPOINT, weights_only=True)
    save_state(CHECKPOINT, replace(state, seconds=1000.0), stored["belongs"])
    rest: list[Progress] = []
    assert 1000 < resumed(on_progress=rest.append).seconds < 1600
    assert [p.done for p in rest] == [p.done for p in seen[3:]]
    assert [(p.level, p.step) for p in rest] == [(2, 2)]


def test_time_left_counts_the_time_before_the_break() -> None:
    stopped(at=2)
    stored = torch.load(CHECKPOINT, weights_only=True)
    state = replace(load_state(CHECKPOINT, {}), seconds=1000.0)
    save_state(CHECKPOINT, state, stored["belongs"])
    rest: list[Progress] = []
    resumed(on_progress=rest.append)
    first = rest[0]
    assert first.done < 0.5
    assert first.seconds_left > 1000 * (1 - first.done) / first.done - 1


def test_saving_the_picture_removes_the_checkpoint_and_nothing_else_does() -> None:
    result = apply("look.yaml", overrides=SHORT, checkpoint=CHECKPOINT)
    assert result.checkpoint == CHECKPOINT
    assert load_state(CHECKPOINT, {}).stage == DONE
    seen: list[Progress] = []
    again = resumed(on_progress=seen.append)
    assert seen == []
    assert torch.equal(again.rgb, result.rgb)
    assert list(again.losses) == list(result.losses)
    with pytest.raises(OSError, match="no such folder"):
        again.save("nowhere/out.png")
    assert CHECKPOINT.exists()
    again.save("out.png")
    assert not CHECKPOINT.exists()


def test_a_run_stopped_and_resumed_again_and_again_gives_the_same_bytes() -> None:
    whole = apply("product.yaml", overrides=SHORT)
    stopped("product.yaml", at=2)
    for _ in range(2):
        with pytest.warns(LayeredNstWarning):
            stopped("product.yaml", at=2, resume=True)
    assert torch.equal(resumed("product.yaml").rgb, whole.rgb)


def test_without_checkpoint_a_run_writes_none() -> None:
    before = {*Path().iterdir()}
    for options in ({}, {"checkpoint": CHECKPOINT}):
        with pytest.raises(Interrupted) as stop:
            apply(
                "look.yaml",
                overrides={**SHORT, "optimize.checkpoint": 0},
                on_progress=stopping_at(3),
                **options,
            )
        assert stop.value.checkpoint is None
        assert {*Path().iterdir()} == before


# what the checkpoint belongs to


def test_resuming_without_a_checkpoint_starts_afresh_and_says_so() -> None:
    with pytest.warns(LayeredNstWarning, match=r"look\.checkpoint: no checkpoint there; the work"):
        result = apply("look.yaml", overrides=SHORT, checkpoint=CHECKPOINT, resume=True)
    assert torch.equal(result.rgb, apply("look.yaml", overrides=SHORT).rgb)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"overrides": {**SHORT, "regions.sky.strength": 0.5}}, "recipe"),
        ({"overrides": {**SHORT, "optimize.steps": 3}}, "recipe"),
        ({"overrides": {**SHORT, "optimize.seed": 3}}, "recipe"),
        ({"content": photo(64, 40)}, "photo"),
        ({"size": 40}, "size"),
    ],
)
def test_another_recipe_photo_or_size_is_refused(change: dict[str, Any], named: str) -> None:
    stopped()
    kept = CHECKPOINT.read_bytes()
    options = {"overrides": SHORT, "checkpoint": CHECKPOINT, "resume": True, **change}
    with pytest.raises(CheckpointError, match=f"belongs to another {named}"):
        apply("look.yaml", **options)
    assert CHECKPOINT.read_bytes() == kept


def test_a_style_that_was_redrawn_and_another_version_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped()
    with monkeypatch.context() as patch:
        patch.setattr(
            "layered_nst.strategies.keeper.versions", lambda: {"torch": "9", "layered-nst": "9"}
        )
        with pytest.raises(CheckpointError, match="belongs to another version of torch;"):
            apply("look.yaml", overrides=SHORT, checkpoint=CHECKPOINT, resume=True)
    Image.new("RGB", (40, 40), (200, 30, 30)).save("dots.png")
    with pytest.raises(CheckpointError, match="another recipe, or to other styles or masks;"):
        apply("look.yaml", overrides=SHORT, checkpoint=CHECKPOINT, resume=True)


def test_what_the_canvas_does_not_depend_on_may_change() -> None:
    stopped()
    others = {"name": "Dusk", "output.dpi": 300, "optimize.checkpoint": 5}
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        result = apply(
            "look.yaml", overrides={**SHORT, **others}, checkpoint=CHECKPOINT, resume=True
        )
    assert torch.equal(result.rgb, apply("look.yaml", overrides=SHORT).rgb)


# the command line

STEPS = ("--set", "optimize.levels=[24, 48]", "--steps", "2", "--set", "optimize.tolerance=0")


def ran(*more: str) -> Ran:
    return run("apply", "look.yaml", *STEPS, *more)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("a fault of a driver")])
def test_a_run_that_ends_by_an_error_says_that_its_work_is_kept(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran("-o", "whole.png").code == 0
    usual = Display.step

    def step(self: Display, progress: Progress) -> None:
        usual(self, progress)
        if progress.level == 2:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Display, "step", step)
        failed = ran()
    assert failed.code == (3 if isinstance(error, MemoryError) else 1)
    said = "note: the work so far is kept; --resume goes on from look.checkpoint"
    assert failed.err.splitlines()[-2] == said
    assert ran("--resume").code == 0
    assert Path("look.png").read_bytes() == Path("whole.png").read_bytes()


def test_the_command_goes_on_and_leaves_the_picture_alone_behind() -> None:
    assert ran("-o", "whole.png").code == 0
    stopped()
    before = {*os.listdir()} - {"look.checkpoint"}
    resumed = ran("--resume")
    assert resumed.code == 0
    assert "look.checkpoint: the work goes on from there (joint, level 2, step 1)" in resumed.err
    assert Path("look.png").read_bytes() == Path("whole.png").read_bytes()
    assert {*os.listdir()} == {*before, "look.png", "look.json"}


def test_the_report_of_a_resumed_run_knows_what_it_has_not_seen() -> None:
    stopped()
    assert ran("--resume", "--report", "page").code == 0
    (table,) = Path("page").rglob("losses.csv")
    rows = [line.split(",")[:4] for line in table.read_text().splitlines()[1:]]
    assert rows == [
        ["1", "", "", ""],
        ["2", "", "", ""],
        ["3", "", "", ""],
        ["4", "joint", "2", "48"],
    ]
    assert "before it was resumed" in Path("page/index.html").read_text()


def test_the_command_says_that_there_is_no_checkpoint() -> None:
    fresh = ran("--resume")
    assert fresh.code == 0
    assert "note: look.checkpoint: no checkpoint there; the work starts afresh" in fresh.err


def test_the_command_says_that_there_is_one_and_replaces_it_only_with_its_own() -> None:
    stopped()
    kept = CHECKPOINT.read_bytes()
    again = ran("--set", "optimize.checkpoint=0")
    assert again.code == 0
    assert "note: look.checkpoint: left by a run that did not end" in again.err
    assert CHECKPOINT.read_bytes() == kept
    assert ran().code == 0
    assert not CHECKPOINT.exists()


@pytest.mark.parametrize("content", [b"", b"half of one", None])
def test_a_broken_checkpoint_is_one_sentence(content: bytes | None) -> None:
    stopped()
    CHECKPOINT.write_bytes(CHECKPOINT.read_bytes()[:-1000] if content is None else content)
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    refused = ran("--resume")
    assert refused.code == 1
    assert refused.error == "look.checkpoint: is no checkpoint, or cut short"
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


def test_a_checkpoint_of_another_recipe_is_one_sentence() -> None:
    stopped()
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    refused = ran("--resume", "--seed", "4")
    assert refused.code == 1
    assert refused.error == (
        "look.checkpoint: belongs to another recipe, or to other styles or masks; without "
        "--resume the work starts afresh"
    )
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


def test_somebody_elses_file_is_not_replaced() -> None:
    CHECKPOINT.write_text("mine")
    refused = ran()
    assert refused.code == 3
    assert refused.error.startswith("look.checkpoint: is there and is no checkpoint of a picture")
    assert CHECKPOINT.read_text() == "mine"


# a full disk


def full_for(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """No space is left for files of these names."""
    usual = replacement._exclusively

    def exclusively(part: Path) -> Any:
        if any(f".{name}." in part.name for name in names):
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(part)

    monkeypatch.setattr(replacement, "_exclusively", exclusively)


def test_a_full_disk_stops_neither_for_previews_nor_for_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full_for(monkeypatch, "look.preview.png", "look.checkpoint")
    done = ran("--set", "optimize.checkpoint=0.000001")
    assert done.code == 0
    told = [line for line in done.err.splitlines() if "no space left" in line]
    assert [line.partition(": look")[0] for line in told] == [
        "note: no more previews",
        "note: no checkpoint for now",
    ]
    assert Path("look.png").exists()


@pytest.mark.parametrize("name", ["look.png", "look.json", "look.ora"])
def test_what_a_full_disk_refused_is_written_by_resume_without_a_step(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert ran("-o", "whole.png").code == 0
    with monkeypatch.context() as patch:
        full_for(patch, name)
        failed = ran("--layers", "look.ora")
    assert failed.code == 3
    assert failed.error == (
        f"{name}: cannot be written: no space left on device; the work is kept in "
        "look.checkpoint, and --resume will write it"
    )
    assert load_state(CHECKPOINT, {}).stage == DONE
    monkeypatch.setattr(
        "layered_nst.strategies.run.optimize", lambda *_, **__: pytest.fail("a step")
    )
    assert ran("--resume", "--layers", "look.ora").code == 0
    assert Path("look.png").read_bytes() == Path("whole.png").read_bytes()
    assert Path("look.ora").exists()
    assert not CHECKPOINT.exists()


# kill -9

# Each run is a process of its own that says where it is and goes on working until it is killed.
# Its checkpoints come after every step.
posix = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
PRELUDE = """
import signal, sys, time
sys.argv = ["layered-nst", "apply", RECIPE, "-o", "out.png", "--resume", "--no-preview",
            "--set", "optimize.levels=[24, 48]", "--set", "optimize.steps=[3, 4]",
            "--set", "optimize.tolerance=0", "--set", "optimize.checkpoint=0.000001"]
from layered_nst import cli
from layered_nst.files import atomic as replacement
from layered_nst.outputs.track import Track
from layered_nst.strategies import keeper as keeping
keeping.MOST_SHARE = 1e9

def here(place):
    print(place, flush=True)

steps = iter(range(1, 1000))
usual = Track.__call__
def call(self, progress):
    usual(self, progress)
    if next(steps) == STEP:
        here("painting")
        if WAITING:
            time.sleep(60)
Track.__call__ = call
"""
# The checkpoint is written beside the painting, whose own files may come to be synced before it.
WHILE_WRITING = """
import threading
save = keeping.save_state
def save_slowly(*what, **named):
    writer = threading.current_thread()
    def stuck(handle):
        if threading.current_thread() is writer:
            replacement.os.truncate(handle, 100)
            here("writing")
        time.sleep(60)
    replacement.os.fsync = stuck
    save(*what, **named)
keeping.save_state = save_slowly
"""
AT_THE_END = """
from layered_nst.outputs.result import Result
save = Result.save
def save_and_stop(self, path):
    save(self, path)
    here("saved")
    time.sleep(60)
Result.save = save_and_stop
"""


@contextlib.contextmanager
def running(
    recipe: str, *, step: int, program: str = "", waiting: bool = False
) -> Iterator[subprocess.Popen[str]]:
    names = f"RECIPE, STEP, WAITING = {recipe!r}, {step}, {waiting}\n"
    process = subprocess.Popen(
        [sys.executable, "-c", names + PRELUDE + program + "cli.main()\n"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def killed(recipe: str, *, until: str, **where: Any) -> None:
    """Start a run that resumes, and kill it when it says that it is there."""
    with running(recipe, **where) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if where.get("waiting"):
            wait_for(OUT)  # it is written beside the painting
        process.kill()
        assert said == until, process.communicate()[1]
        assert process.wait(60) == -signal.SIGKILL


def wait_for(path: Path) -> None:
    for _ in range(300):
        if path.exists():
            return
        time.sleep(0.1)


LEVELS = ("--set", "optimize.levels=[24, 48]", "--set", "optimize.steps=[3, 4]")
WHOLE = (*LEVELS, "--set", "optimize.tolerance=0")
OUT = Path("out.checkpoint")


def is_finished_as_if_never_killed(recipe: str) -> bool:
    """Resume for the last time, and compare with a run that nothing has disturbed."""
    assert run("apply", recipe, *WHOLE, "-o", "out.png", "--resume").code == 0
    assert run("apply", recipe, *WHOLE, "-o", "whole.png").code == 0
    assert not list(Path().glob("*.checkpoint")) + list(Path().glob(".*.part"))
    return Path("out.png").read_bytes() == Path("whole.png").read_bytes()


@posix
def test_a_run_killed_between_steps_and_in_the_middle_of_a_checkpoint_loses_nothing() -> None:
    killed("look.yaml", step=3, waiting=True, until="painting")
    before = OUT.read_bytes()
    killed("look.yaml", step=0, program=WHILE_WRITING, until="writing")
    assert OUT.read_bytes() == before
    (left,) = Path().glob(".out.checkpoint.*.part")
    assert left.stat().st_size == 100
    assert is_finished_as_if_never_killed("look.yaml")


@posix
@pytest.mark.slow
def test_a_run_killed_within_a_step_and_before_it_cleans_up_loses_nothing() -> None:
    killed("product.yaml", step=3, until="painting")
    killed("product.yaml", step=0, program=AT_THE_END, until="saved")
    assert load_state(OUT, {}).stage == DONE
    Path("out.png").unlink()
    assert is_finished_as_if_never_killed("product.yaml")
