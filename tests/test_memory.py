"""Out of memory: how much there is, and the size that would do with it."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from workbench import RECIPE, lay_out, run

from layered_nst import apply, check, load_recipe
from layered_nst.errors import BudgetError, OutOfMemoryError
from layered_nst.machine import memory as machine_memory
from layered_nst.machine.allocator import give_back
from layered_nst.machine.memory import memory_errors, obtainable_bytes, parse_memory
from layered_nst.networks.encoders import load_encoder, load_encoders
from layered_nst.painting.plan import make_plan
from layered_nst.painting.state import State
from layered_nst.painting.tiled import Reading
from layered_nst.recipe import Optimize
from layered_nst.scene.resolving import resolve
from layered_nst.strategies import budget as memory
from layered_nst.strategies.budget import Room, advice, automatic_memory, enough_for, make_room
from layered_nst.strategies.costs import (
    TOLERANCE,
    Footprint,
    LevelCost,
    bytes_kept,
    estimate,
    level_costs,
)
from layered_nst.strategies.looks import planned
from layered_nst.styles import style as styling
from layered_nst.styles.style import StylePicture

# 3500 bytes for each pixel of a whole run.
NEED = Footprint(at_rest=1e9, result=100, seen=3100, style=800, kept=32, history=10)


def advised(sentence: str) -> int:
    (size,) = re.findall(r"and `size=(\d+)` would do", sentence)
    return int(size)


@pytest.mark.parametrize("gigabytes", [1.2, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("size", [(3072, 4096), (4000, 1000)])
def test_the_size_that_is_advised_fits_and_the_next_one_does_not(
    gigabytes: float, size: tuple[int, int]
) -> None:
    longest = advised(advice(size, NEED, gigabytes * 1e9))
    other = min(size) / max(size)
    assert NEED.bytes(longest**2 * other) * TOLERANCE <= gigabytes * 1e9
    assert NEED.bytes((longest + memory.ROUND) ** 2 * other) * TOLERANCE > gigabytes * 1e9


def test_a_size_that_has_failed_is_never_advised() -> None:
    sentence = advice((768, 1024), NEED, 50e9)
    assert sentence.startswith("out of memory at 1024×768 px: there are 50.0 GB for it, and `size=")
    assert advised(sentence) < 1000


def test_no_size_is_advised_where_none_would_do() -> None:
    for there in (0.5e9, 1.08e9):
        assert advice((768, 1024), NEED, there) == (
            f"out of memory at 1024×768 px: there are {there / 1e9:.1f} GB for it, too little for "
            "any size; close other programs or read smaller pictures"
        )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_every_way_to_run_out_is_one_error(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="smaller"), memory_errors(lambda: "smaller"):
        raise error


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="broken"), memory_errors(lambda: "smaller"):
        raise RuntimeError("broken")


HED = ("encoder=hed-vgg16",)


def test_a_run_that_does_not_fit_says_which_size_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("layered_nst.api.obtainable_bytes", lambda _: 1.5e9)
    monkeypatch.setattr("layered_nst.strategies.run.optimize", fail)
    with pytest.raises(OutOfMemoryError, match=r"at 1024×768 px: there are 1\.5 GB") as painting:
        apply("look.yaml", size=1024, overrides=HED)
    monkeypatch.setattr("layered_nst.api.resolve", fail)
    with pytest.raises(OutOfMemoryError, match=r"at 9000×9000 px: there are 1\.5 GB") as reading:
        apply("look.yaml", size=9000, overrides=HED)
    sizes = [advised(str(told.value)) for told in (painting, reading)]
    # By 1.07, less 0.86 GB at rest, by 2734 bytes a pixel: 1.35 GB, which tiles were given and
    # failed with, are 148 000 pixels of 4 : 3, and 1.5 GB are 200 000 of a square.
    assert sizes == [432, 432]


# what fits


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("6G", 6e9),
        ("6GB", 6e9),
        ("6 gb", 6e9),
        ("4000M", 4e9),
        ("2.5G", 2.5e9),
        (".5t", 5e11),
        ("6GiB", 6 * 2**30),
        ("2500000000", 2.5e9),
        (6e9, 6e9),
        (6_000_000_000, 6e9),
    ],
)
def test_memory_may_be_written_in_many_ways(written: float | str, meant: float) -> None:
    assert parse_memory(written) == meant


@pytest.mark.parametrize("written", ["", "G", "6X", "-6G", "6G6", "1e9", "nan", "inf", "6,5G", -1])
def test_what_is_no_amount_of_memory_is_refused(written: float | str) -> None:
    with pytest.raises(BudgetError, match=r"memory .*: allowed: an amount such as 6G, 2\.5GB or"):
        parse_memory(written)


def test_a_forgotten_unit_is_asked_for() -> None:
    for written in ("6", 6, 6.0):
        with pytest.raises(BudgetError, match=r"memory 6(\.0)?: is less than a megabyte; did you"):
            parse_memory(written)


@pytest.fixture
def costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[LevelCost]:
    """A run at 2048×1536 px, with levels of 512, 1024 and 2048 px."""
    monkeypatch.chdir(lay_out(tmp_path))
    return costs_of(size=2048)


def costs_of(*, size: int, **overrides: object) -> list[LevelCost]:
    levels = [side for side in (512, 1024) if side < size]
    given = {"size": size, "encoder": "hed-vgg16", "optimize.levels": [*levels, size], **overrides}
    scene = resolve(load_recipe(Path("look.yaml"), overrides=given))
    plan = planned(scene)
    return level_costs(scene, plan, load_encoders(plan.encoders))


def room(costs: list[LevelCost], asked: float) -> Room:
    return make_room(costs, asked=asked, resumed=None, obtainable=1e12, enough=None)


def test_levels_that_fit_are_seen_whole_and_the_others_in_the_largest_tiles_that_fit(
    costs: list[LevelCost],
) -> None:
    sides = []
    for asked in (3.2e9, 4e9, 6e9):
        readings = room(costs, asked).readings
        assert set(readings) == {cost.place for cost in costs[-1:]} | (
            {costs[1].place} if costs[1].place in readings else set()
        )
        reading = readings[costs[-1].place]
        assert reading.tile is not None
        sides.append(reading.tile)
        assert costs[-1].memory(reading) * TOLERANCE <= asked
        for tile in range(reading.tile + memory.TILE_STEP, 2048, memory.TILE_STEP):
            larger = Reading(tile, reading.style_tile, reading.history)
            assert costs[-1].memory(larger) * TOLERANCE > asked
    assert sides == sorted(set(sides))
    assert room(costs, 20e9) == Room(20e9, {}, ())


def test_where_tiles_would_be_small_fewer_steps_are_remembered(costs: list[LevelCost]) -> None:
    found = room(costs, 2.4e9)
    reading = found.readings[costs[-1].place]
    assert reading.tile is not None
    assert memory.FEWEST_REMEMBERED <= reading.history < 10

    def pixels_read(history: int) -> int:
        tiles = range(memory.SMALLEST_TILE, 2048, memory.TILE_STEP)
        readings = [Reading(tile, reading.style_tile, history) for tile in tiles]
        fitting = [r.tile for r in readings if costs[-1].memory(r) * TOLERANCE <= 2.4e9]
        return costs[-1].read(max(fitting))[1]

    least = pixels_read(memory.FEWEST_REMEMBERED)
    assert pixels_read(reading.history) <= memory.WORTH * least < pixels_read(reading.history + 1)
    fewest = min(r.history for r in found.readings.values() if r.tile is not None)
    assert found.notes[-1] == (
        f"to stay within `memory=2.4G`, L-BFGS remembers {fewest} steps there, not 10"
    )


def test_what_is_too_little_even_for_tiles_is_refused_with_what_would_do(
    costs: list[LevelCost],
) -> None:
    with pytest.raises(OutOfMemoryError) as refused:
        room(costs, 1.5e9)
    found = re.fullmatch(
        r"out of memory at 2048×1536 px: `memory=1\.5G` is too little, even in tiles of 128 px; "
        r"`memory=(\d(?:\.\d)?)G` or `size=(\d+)` would do",
        str(refused.value),
    )
    assert found is not None
    least, size = float(found[1]) * 1e9, int(found[2])
    assert room(costs, least).readings[costs[-1].place].history == memory.FEWEST_REMEMBERED
    with pytest.raises(OutOfMemoryError):
        room(costs, least - 1.1e8)
    assert room(costs_of(size=size), 1.5e9).readings == {}


def test_tiles_of_styles_come_with_large_strokes_alone(costs: list[LevelCost]) -> None:
    assert room(costs, 8e9).readings[costs[-1].place].style_tile is None
    strokes = {"regions.sky.scale": 2, "regions.sky.style": "photo.png"}
    large = costs_of(size=1024, **strokes)
    need = max(large[-1].memory(Reading(None, 512, 10)), large[-1].style_memory(512))
    assert large[-1].style_memory(None) > need
    found = room(large, 1.001 * need * TOLERANCE).readings
    assert found[large[-1].place] == Reading(None, 512, 10)


def test_without_a_word_a_run_is_seen_whole_if_that_fits_and_is_given_a_round_amount_if_not(
    costs: list[LevelCost],
) -> None:
    whole = max(cost.memory(Reading(None, None, 10)) for cost in costs)
    assert automatic_memory(costs, whole * TOLERANCE / memory.USABLE + 1) is None
    assert automatic_memory(costs, whole * TOLERANCE / memory.USABLE - 1) == 8e9
    assert automatic_memory(costs, 7.1e9) == 6e9
    assert automatic_memory(costs, 7.9e9) == 6e9
    # Where the round amount is not enough, whatever there is.
    assert automatic_memory(costs, 2.21e9) == pytest.approx(0.9 * 2.21e9)
    told = make_room(costs, asked=None, resumed=None, obtainable=7.5e9, enough=None)
    assert told.notes[0].startswith("to stay within `memory=6G`, levels are painted in tiles: 2048")
    with pytest.raises(
        OutOfMemoryError, match=r"there are 1\.5 GB for it, and `size=\d+` would do"
    ):
        make_room(costs, asked=None, resumed=None, obtainable=1.5e9, enough=None)


def test_a_print_on_the_cpu_is_content_with_four_gigabytes_where_they_do(
    costs: list[LevelCost],
) -> None:
    whole = max(cost.memory(Reading(None, None, 10)) for cost in costs) * TOLERANCE
    assert whole > 4e9
    assert automatic_memory(costs, 1e12, 4e9) == 4e9
    assert automatic_memory(costs, 1e12, whole + 1) is None
    assert automatic_memory(costs, 1e12, 1e9) is None  # does not do
    assert automatic_memory(costs, 3.5e9, 4e9) == automatic_memory(costs, 3.5e9) == 3e9
    told = make_room(costs, asked=None, resumed=None, obtainable=1e12, enough=4e9)
    assert told.readings == room(costs, 4e9).readings != {}
    assert make_room(costs, asked=6e9, resumed=None, obtainable=1e12, enough=4e9).memory == 6e9


@pytest.mark.parametrize(("quality", "enough"), [("print", 4e9), ("standard", None)])
def test_only_prints_are_content_with_less_than_there_is(
    quality: str, enough: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    given = {"size": 64, "optimize.quality": quality}
    scene = resolve(load_recipe(Path("look.yaml"), overrides=given))
    assert enough_for(scene) == enough


def test_a_resumed_run_keeps_its_memory_unless_another_is_asked_for(
    costs: list[LevelCost],
) -> None:
    begun = State("joint", 1, 1, torch.zeros(1, 3, 2, 2), memory=4e9)
    kept = make_room(costs, asked=None, resumed=begun, obtainable=1e12, enough=None)
    assert kept == room(costs, 4e9)
    assert make_room(costs, asked=4e9, resumed=begun, obtainable=0.0, enough=None) == kept
    other = make_room(costs, asked=6e9, resumed=begun, obtainable=0.0, enough=None)
    assert other.readings == room(costs, 6e9).readings
    assert other.notes[-1].startswith(
        "the work was begun with `memory=4G` and goes on with `memory=6G`, so the last digits"
    )


def test_running_out_advises_tiles_that_are_smaller_than_those_that_failed(
    costs: list[LevelCost],
) -> None:
    need = costs[-1].need
    for tried, there in ((None, 4e9), (4e9, 50e9)):
        sentence = advice((1536, 2048), need, there, costs=costs, tried=tried)
        found = re.search(r"and `memory=(\S+?)` or `size=(\d+)` would do with them", sentence)
        assert found is not None
        assert room(costs, parse_memory(found[1])).readings
        assert parse_memory(found[1]) * TOLERANCE <= 4e9
    assert "`memory=" not in advice((1536, 2048), need, 1.5e9, costs=costs)


def test_the_command_line_takes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    Path("look.yaml").write_text(RECIPE.replace("encoder: light\n", ""))
    for command in ("apply", "check"):
        ran = run(command, "look.yaml", "--memory", "6X")
        assert (ran.code, ran.error) == (
            2,
            "memory 6X: allowed: an amount such as 6G, 2.5GB or 4000M",
        )
        ran = run(command, "look.yaml", "--memory", "700M")
        assert ran.code == 3
        assert "--memory 700M is too little, even in tiles of 128 px; --memory " in ran.error
    assert not Path("look.png").exists()
    assert run("apply", "look.yaml", "--memory", "6G").code == 0
    checked = run("check", "look.yaml", "--size", "2048", "--memory", "4G", "--json").json
    assert checked["megabytes"] < 4000
    assert "painted in tiles: 2048 px by" in checked["notes"][-1]


def test_estimates_of_runs_in_tiles_need_less_memory_and_more_time(
    costs: list[LevelCost],
) -> None:
    finest = costs[-1]
    whole, tiled = Reading(None, None, 10), Reading(256, 512, 10)
    assert finest.memory(tiled) < 0.3 * finest.memory(whole)
    # 8 × 6 tiles of 256 px, read with 64 px on each inner side.
    read = (2048 + 7 * 128) * (1536 + 5 * 128)
    assert finest.read(256) == (384 * 384, read)
    once = [finest.passes(reading) for reading in (whole, tiled)]
    again = replace(finest, level=replace(finest.level, steps=2))
    steps = [again.passes(r) - first for r, first in zip((whole, tiled), once, strict=True)]
    assert steps[1] / steps[0] == pytest.approx(1.1 * read / (2048 * 1536) * 4 / 3)


MEASURED = """
import json, sys
from layered_nst import apply
size, memory = int(sys.argv[1]), sys.argv[2]
steps = {"optimize.levels": [size], "optimize.steps": 12, "optimize.tolerance": 0}
result = apply("look.yaml", size=size, overrides={"encoder": sys.argv[3], **steps},
               memory=None if memory == "none" else memory, cache=False, checkpoint="measured")
# Not getrusage: a process is said to have held what the one that started it held.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([int(peak) * 1024, result.seconds]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are told by Linux")
@pytest.mark.parametrize(
    ("encoder", "size", "memory"),
    [("hed-vgg16", 384, "none"), ("hed-vgg16", 640, "1.8G"), ("light", 1024, "1.6G")],
)
def test_estimates_are_within_a_factor_of_one_and_a_half_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, size: int, memory: str
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    words = [sys.executable, "-c", MEASURED, str(size), memory, encoder]
    said = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    peak, seconds = (float(number) for number in said.stdout.strip("[]\n").split(","))
    steps = {"optimize.levels": [size], "optimize.steps": 12}
    scene = resolve(
        load_recipe(Path("look.yaml"), overrides={"size": size, "encoder": encoder, **steps})
    )
    plan = planned(scene)
    encoders = load_encoders(plan.encoders)
    readings = {}
    if memory != "none":
        readings = dict(room(level_costs(scene, plan, encoders), parse_memory(memory)).readings)
        assert readings
        assert peak < parse_memory(memory)
    found = estimate(scene, plan, encoders, readings)
    assert 1 / 1.5 < found.memory / peak < 1.5
    assert 1 / 1.5 < found.seconds / seconds < 1.5


# how much there is


def test_what_this_process_holds_counts_as_obtainable(monkeypatch: pytest.MonkeyPatch) -> None:
    left = SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(machine_memory.psutil, "virtual_memory", lambda: left)
    give_back()  # what is free by now would be taken instead
    before = obtainable_bytes(torch.device("cpu"))
    held = torch.ones(50_000_000)
    assert 190e6 < obtainable_bytes(torch.device("cpu")) - before < 250e6
    assert held.sum() > 0


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/job", "job", ("memory.max", "memory.current", "inactive_file")),
        ("0::/of/the/host", "", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:cpu,memory:/job",
            "memory/job",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_a_container_leaves_what_its_group_may_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    folder: str,
    files: tuple[str, str, str],
) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True, exist_ok=True)
    (tmp_path / "groups").write_text(f"9:name=systemd:/\n{line}\n")
    for name, text in zip(files, ("3000000", "1000000", ""), strict=True):
        (place / name).write_text(text)
    (place / "memory.stat").write_text(f"anon 5\n{files[2]} 500000\n")
    monkeypatch.setattr("layered_nst.machine.memory.GROUPS", tmp_path / "groups")
    monkeypatch.setattr("layered_nst.machine.memory.MOUNT", tmp_path)
    assert list(machine_memory._left_in_groups()) == [2500000]
    (place / files[0]).write_text("max\n")
    assert list(machine_memory._left_in_groups()) == []


LIMITED = """
import resource, torch
from layered_nst.machine.memory import obtainable_bytes
import psutil
here = psutil.Process()
limit = here.memory_info().vms + 1_000_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(obtainable_bytes(torch.device("cpu")) - here.memory_info().rss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are those of Linux")
def test_a_limit_of_the_address_space_counts() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True, env=os.environ
    )
    assert 700e6 < float(said.stdout) <= 750e6


@pytest.mark.parametrize(
    "size", [(1, 2000), (2000, 1), pytest.param((40, 1200), marks=pytest.mark.slow)]
)
def test_a_narrow_picture_reads_its_styles_no_larger_than_is_useful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """And what is read is what the check has counted."""
    monkeypatch.chdir(lay_out(tmp_path))
    read: list[tuple[int, int]] = []
    usual = styling._at_side

    def seen(style: StylePicture, longest: int) -> StylePicture:
        found = usual(style, longest)
        read.append((found.rgb.shape[1], found.rgb.shape[2]))
        return found

    narrow = np.full((*size, 3), 90, np.uint8)
    narrow[: size[0] // 2, : (size[1] + 1) // 2] = 200
    found = check("look.yaml", narrow, size=max(size), steps=1, cache=False)
    counted = {side for cost in found.costs for side in cost.styles}
    monkeypatch.setattr(styling, "_at_side", seen)
    apply("look.yaml", narrow, size=max(size), steps=1, cache=False)
    colors = (styling.COLOR_SIDE, styling.COLOR_SIDE)
    assert counted == {*read} - {colors}
    assert max(height * width for height, width in counted) <= 4.2 * max(size) * min(size) + 100


def test_the_pass_over_a_style_of_large_strokes_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    usual, large = (
        check("look.yaml", overrides={"regions.sky.scale": scale}, steps=1, size=256)
        for scale in (1, 10)
    )
    # The style of the sky is seen at 2560×2560 px; whole, it would take 5 GB.
    assert large.megabytes > usual.megabytes + 2560**2 * 28e-6
    whole = Reading(None, None, 10)
    assert sum(c.passes(whole) for c in large.costs) > 5 * sum(c.passes(whole) for c in usual.costs)
    with pytest.raises(OutOfMemoryError, match=r"`memory=\d+M` is too little, even in tiles"):
        check(
            "look.yaml",
            overrides={"regions.sky.scale": 10},
            size=256,
            memory=f"{usual.megabytes:.0f}M",
        )


def test_counting_what_an_encoder_keeps_leaves_nothing_behind() -> None:
    """Each run counts; what a count left would add up in programs that paint all day."""

    def alive() -> int:
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    encoder, plan = load_encoder("light"), make_plan(Optimize(), (48, 64))
    counted = bytes_kept(encoder, plan)
    before = alive()
    assert bytes_kept(encoder, plan) == counted > 0
    assert alive() == before
