"""A checkpoint on disk: what goes in comes out, and nothing else is taken for it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from layered_nst.errors import CheckpointError, LayeredNstWarning, OutputError
from layered_nst.files import atomic as replacement
from layered_nst.painting.state import DONE, State
from layered_nst.strategies import keeper as keeper_module
from layered_nst.strategies.checkpoints import (
    check_replaceable,
    checkpoint_path,
    discard,
    load_state,
    save_state,
)
from layered_nst.strategies.keeper import Keeper

BELONGS = {"photo": "a1", "recipe": "b2"}
STATE = State(
    stage="style",
    level=2,
    step=7,
    picture=torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(1)),
    descent={
        "totals": [3.0, 0.1 + 0.2, float("inf")],
        "optimizer": {"last": None, "pairs": [(torch.arange(4.0), torch.ones(4), 6.0)], "steps": 2},
    },
    begun=torch.rand(3, 3, 4, generator=torch.Generator().manual_seed(2)),
    product=torch.rand(3, 2, 2, dtype=torch.float64),
    losses=({"total": 1 / 3, "style.sky.conv1_1": 0.1},),
    seconds=12.5,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.checkpoint"


@pytest.fixture
def written(path: Path) -> Path:
    save_state(path, STATE, BELONGS)
    return path


def same(one: Any, other: Any) -> bool:
    """Equal types, values and bytes, however nested."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# in and out


def test_a_state_comes_back_as_it_was(written: Path) -> None:
    found = load_state(written, BELONGS)
    assert same(
        vars(replace(found, losses=list(found.losses))),
        vars(replace(STATE, losses=list(STATE.losses))),
    )


def test_the_file_holds_plain_data_alone(written: Path) -> None:
    stored = torch.load(written, weights_only=True)
    assert stored["state"]["step"] == 7
    assert stored["belongs"] == BELONGS


def test_a_picture_names_its_checkpoint() -> None:
    assert checkpoint_path(Path("a/temple.2.png")) == Path("a/temple.2.checkpoint")


def test_a_state_says_where_it_stands() -> None:
    assert STATE.place == "style, level 2, step 7"
    assert State(DONE, 0, 0, torch.zeros(3, 1, 1)).place == "behind the last step"


# what is not taken


@pytest.mark.parametrize("name", BELONGS)
def test_a_checkpoint_of_another_run_is_refused_and_says_what_differs(
    written: Path, name: str
) -> None:
    with pytest.raises(
        CheckpointError, match=f"out.checkpoint: belongs to another {name}; without"
    ):
        load_state(written, {**BELONGS, name: "other"})


def test_a_checkpoint_is_refused_wherever_it_is_cut(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(0, len(whole), 97):
        written.write_bytes(whole[:length])
        with pytest.raises(
            CheckpointError, match=r"out\.checkpoint: is no checkpoint, or cut short"
        ):
            load_state(written, BELONGS)


def test_a_flipped_bit_in_a_tensor_is_noticed(written: Path) -> None:
    whole = bytearray(written.read_bytes())
    place = whole.index(STATE.picture.numpy().tobytes())
    whole[place + 100] ^= 1
    written.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"out\.checkpoint: is damaged"):
        load_state(written, BELONGS)


@pytest.mark.parametrize(
    "change",
    [{"layered-nst checkpoint": 2}, {"state": {"stage": "joint"}}, {"state": {"color": 1}}],
)
def test_other_versions_and_states_in_parts_are_refused(path: Path, change: dict[str, Any]) -> None:
    torch.save({"layered-nst checkpoint": 6, "belongs": BELONGS, "state": {}, **change}, path)
    with pytest.raises(CheckpointError, match=r"version 2; this program reads 6|is broken: "):
        load_state(path, BELONGS)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, ("broken-into",)


def test_nothing_in_a_checkpoint_is_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    torch.save({"layered-nst checkpoint": 1, "belongs": BELONGS, "state": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"out\.checkpoint: is no checkpoint, or broken"):
        load_state(path, BELONGS)
    assert not Path("broken-into").exists()


def test_only_a_checkpoint_is_replaced(written: Path) -> None:
    check_replaceable(written)
    check_replaceable(written.with_name("nothing-there"))
    torch.save({"weights": torch.zeros(3)}, written.with_name("weights"))
    written.with_name("text").write_text("mine")
    for name in ("weights", "text"):
        with pytest.raises(OutputError, match=f"{name}: is there and is no checkpoint of a pict"):
            check_replaceable(written.with_name(name))


# written whole or not at all


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("after", [0, 1000, 3000])
def test_a_write_that_fails_leaves_the_checkpoint_before_and_nothing_else(
    written: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, after: int
) -> None:
    before, usual = written.read_bytes(), replacement._exclusively
    assert len(before) > 3000

    def failing(part: Path) -> Any:
        file, room = usual(part), [after]
        write = file.write

        class Full:
            def write(self, data: bytes) -> int:
                room[0] -= len(data)
                if room[0] < 0:
                    raise failure
                return write(data)

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        return Full()

    monkeypatch.setattr(replacement, "_exclusively", failing)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OutputError
    with pytest.raises(expected):
        save_state(written, replace(STATE, step=8), BELONGS)
    assert [*written.parent.iterdir()] == [written]
    assert written.read_bytes() == before


def test_what_killed_writers_left_goes_with_the_checkpoint(written: Path) -> None:
    left = written.with_name(".out.checkpoint.0123abcd.part")
    others = [written.with_name(name) for name in (".in.checkpoint.0123abcd.part", "my.part")]
    for file in (left, *others):
        file.write_bytes(b"half")
    discard(written)
    assert set(written.parent.iterdir()) == set(others)
    discard(written)


# now and then


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the clock that the keeper reads."""
    now = [100.0]
    monkeypatch.setattr("layered_nst.strategies.keeper.time.monotonic", lambda: now[0])
    return now


def step_on_disk(path: Path, keeper: Keeper) -> int:
    keeper._finish()
    return load_state(path, BELONGS).step


def test_a_keeper_writes_when_the_time_has_come(path: Path, clock: list[float]) -> None:
    keeper = Keeper(path, BELONGS, every=60)
    for seconds, step, there in ((59, 1, None), (2, 2, 2), (50, 3, 2), (11, 4, 4)):
        clock[0] += seconds
        keeper(replace(STATE, step=step))
        keeper._finish()
        assert (step_on_disk(path, keeper) if path.exists() else None) == there
    assert keeper.write_last() == path
    assert step_on_disk(path, keeper) == 4


def test_on_a_slow_disk_checkpoints_are_rarer(
    path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object, **__: object) -> None:
        clock[0] += 10

    monkeypatch.setattr("layered_nst.strategies.keeper.save_state", slow)
    keeper = Keeper(path, BELONGS, every=60)
    times = []
    for _ in range(900):
        clock[0] += 1
        before = clock[0]
        keeper(STATE)
        keeper._finish()
        times += [clock[0]] if clock[0] > before else []
    assert {b - a for a, b in pairwise(times)} == {210}


def test_a_keeper_that_is_to_write_nothing_writes_nothing(path: Path) -> None:
    for keeper in (Keeper(path, BELONGS, every=0), Keeper(None, BELONGS, every=1e-9)):
        keeper(STATE)
        assert keeper.write_last() is None
    assert not path.exists()


def test_the_step_does_not_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    go, usual = Event(), replacement.os.fsync

    def fsync(handle: int) -> None:
        assert go.wait(30)
        usual(handle)

    monkeypatch.setattr(replacement.os, "fsync", fsync)
    keeper = Keeper(path, BELONGS, every=1e-9)
    keeper(STATE)
    keeper(replace(STATE, step=8))
    assert not path.exists()
    go.set()
    assert step_on_disk(path, keeper) == 7
    assert keeper.write_last() == path
    assert step_on_disk(path, keeper) == 8


def test_what_is_large_is_not_held_beside_the_states_that_follow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 4 * (3 * 6 * 8 + 4 + 4 + 3 * 3 * 4) + 8 * 3 * 2 * 2
    assert keeper_module._bytes(STATE) == held
    monkeypatch.setattr(keeper_module, "LARGE", held - 1)
    keeper = Keeper(path, BELONGS, every=1e-9)
    time.sleep(0.01)
    keeper(STATE)
    assert load_state(path, BELONGS).step == STATE.step  # no writer is waited for
    assert keeper._writer is None


def test_a_full_disk_is_told_once_and_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    keeper = Keeper(path, BELONGS, every=1e-9)
    monkeypatch.setattr("layered_nst.strategies.keeper.MOST_SHARE", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr(replacement.os, "fsync", full)
        for step in (1, 2, 3):
            keeper(replace(STATE, step=step))
            keeper._finish()
        assert keeper.write_last() is None
    (told,) = [w for w in recwarn if issubclass(w.category, LayeredNstWarning)]
    assert str(told.message) == (
        f"no checkpoint for now: {path}: cannot be written: no space left on device"
    )
    assert [*path.parent.iterdir()] == []
    assert keeper.write_last() == path
