"""The commands: what they print, where, what they write, and their exit codes."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from workbench import RECIPE, lay_out, run

from layered_nst import api, cli, picture, recipe
from layered_nst.cli import display as display_module
from layered_nst.cli.console import print_json
from layered_nst.cli.display import Display
from layered_nst.errors import Interrupted, OutputError
from layered_nst.outputs import result
from layered_nst.painting.progress import Progress
from layered_nst.picture import read_metadata
from layered_nst.recipe import loading
from layered_nst.strategies import run as strategy

COMMANDS = [
    ["apply"],
    ["check"],
    ["masks"],
    ["segment"],
    ["new"],
    ["models"],
    ["models", "fetch"],
    ["schema"],
    ["features"],
    ["texture"],
    ["score"],
    ["gallery"],
    ["segmenter"],
    ["segmenter", "train"],
    ["segmenter", "teach"],
    ["segmenter", "average"],
    ["segmenter", "score"],
    ["encoder"],
    ["encoder", "distill"],
    ["encoder", "score"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


# --help and usage


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_made_of_american_sentences(command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    text = " ".join(ran.out.split())
    assert re.search(r"Usage: layered-nst [a-z ]*(\[OPTIONS\])", text)
    # The first sentence of the command stands between the usage and the first box.
    sentence = text.split("╭")[0]
    assert re.search(r"[A-Z][a-z]+ [^.]*\.", sentence.split("Usage:")[1])
    british = r"\w*(optimis|normalis|colour|neighbour|licence|grey)\w*"
    assert not re.search(british, text, re.IGNORECASE)
    assert "…" not in text.replace("train, …", "")


def test_help_does_not_wait_for_torch() -> None:
    """Importing torch takes seconds; the module of the commands must not."""
    for module in Path(cli.__file__).parent.glob("*.py"):
        imports = re.findall(r"^(?:from|import) (\S+)", module.read_text("utf-8"), re.MULTILINE)
        assert "torch" not in {name.split(".")[0] for name in imports}
        ours = {name for name in imports if name.startswith("layered_nst")}
        assert all(
            re.match(
                r"layered_nst($|\.(cli|errors|files\.texts|machine|machine\.allocator|plugins|words|_version)\b)",
                name,
            )
            for name in ours
        ), module


def test_without_arguments_the_help_is_shown() -> None:
    ran = run()
    assert ran.code == 2
    assert "Usage: layered-nst" in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["apply"], "Missing argument 'RECIPE'."),
        (["apply", "look.yaml", "--nonsense"], "No such option: --nonsense"),
        (["apply", "look.yaml", "--size", "0"], "Invalid value for '--size'"),
        (["apply", "look.yaml", "--size", "40000"], "Invalid value for '--size'"),
        (["apply", "look.yaml", "--size", "big"], "Invalid value for '--size'"),
        (["apply", "look.yaml", "--steps", "-1"], "Invalid value for '--steps'"),
        (["apply", "look.yaml", "--seed", "-1"], "Invalid value for '--seed'"),
        (["apply", "look.yaml", "--quality", "best"], "'draft', 'standard', 'fine'"),
        (["segmenter", "train", ".", "-o", "x", "--epochs", "4"], "write SIDE:EPOCHS, e.g. 224:8"),
        (
            ["segmenter", "train", ".", "-o", "x", "--precision", "int8"],
            "one of 'float32', 'bfloat16'",
        ),
        (
            ["segmenter", "train", ".", "-o", "x", "--start", "scenes", "--imagenet", "y"],
            "a training starts from one of them",
        ),
        (
            ["apply", "look.yaml", "--device", "nonsense"],
            "device nonsense: no such kind; ",
        ),
        (["apply", "look.yaml", "--device", "meta"], "device meta: no such kind; allowed: "),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(arguments: list[str], sentence: str) -> None:
    before = files()
    ran = run(*arguments)
    assert ran.code == 2
    assert sentence in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert files() == before


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ("scene", "no segmenter is called 'scene' (did you mean scenes?)"),
        ("hed-vgg16", "no segmenter is called 'hed-vgg16'"),
    ],
)
def test_a_training_cannot_start_from_what_is_no_segmenter(start: str, sentence: str) -> None:
    ran = run("segmenter", "train", ".", "-o", "x.safetensors", "--start", start)
    assert ran.code != 0
    assert ran.error.startswith(sentence)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_ends_with_2_and_names_one_that_is() -> None:
    ran = run("apply", "look.yaml", "--device", "cuda")
    assert (ran.code, ran.error) == (2, "device cuda: not on this machine; cpu is")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("regions.sky.strenght=1", "unknown key (did you mean strength?)"),
        ("regions.skyy.strength=1", "no region skyy (did you mean sky?)"),
        ("regions.sky.strength", "allowed: KEY=VALUE, such as regions.sky.strength=0.5"),
        ("regions.sky.strength=[red]", "found ['red'], allowed: a number from 0 to 100"),
        ("regions.sky.style='[/red].png'", "no such file: [/red].png"),
    ],
)
def test_a_wrong_override_is_quoted_brackets_and_all(override: str, sentence: str) -> None:
    ran = run("apply", "look.yaml", "--set", override)
    assert ran.code == 1
    assert ran.error.startswith(f"--set {override.partition('=')[0]}")
    assert sentence in ran.err
    assert ran.err.count("\n") <= 2


# apply


def test_apply_names_the_picture_after_the_recipe_and_puts_it_into_the_current_folder(
    folder: Path,
) -> None:
    lay_out(folder / "recipes")
    ran = run("apply", "recipes/look.yaml")
    assert ran.code == 0
    assert ran.out == ""
    assert Image.open("look.png").size == (48, 36)
    assert not Path("recipes/look.png").exists()
    last = ran.err.splitlines()[-1]
    assert re.fullmatch(r"look\.png  48×36 px  \d+ s", last)


def test_apply_takes_the_suffix_from_the_format_of_the_recipe() -> None:
    assert run("apply", "look.yaml", "--set", "output.format=webp").code == 0
    assert Image.open("look.webp").format == "WEBP"


def test_apply_tells_regions_levels_and_notes_on_standard_error() -> None:
    ran = run("apply", "look.yaml", "--set", "optimize.levels=[24, 32, 48]")
    assert re.search(r"ground +50\.0% +stripes\.png", ran.err)
    assert re.search(r"joint 1/3  24×18 px .*\njoint 2/3  32×24 px .*\njoint 3/3", ran.err)
    assert "note: region 'sky' is thinner than what a unit of conv4_1 or conv5_1 sees" in ran.err
    assert "content" in ran.err


def test_json_is_one_object_on_standard_output_and_all_there_is() -> None:
    ran = run("apply", "look.yaml", "--json", "--seed", "7", "-o", "out.jpg", "--size", "32")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["output"], ran.json["seed"]) == ("out.jpg", 7)
    assert (ran.json["width"], ran.json["height"]) == (32, 24)
    assert ran.json["coverage"] == pytest.approx({"ground": 0.5, "sky": 0.5}, abs=0.05)
    assert ran.json["losses"]["total"] > 0
    assert len(ran.json["notes"]) == 2
    assert ran.out.count("\n") == 1


def test_json_stays_json_when_a_loss_is_infinite(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"losses": {"total": float("inf"), "é": float("nan")}})
    assert json.loads(capsys.readouterr().out) == {"losses": {"total": None, "é": None}}


def test_options_of_the_command_win_over_the_recipe() -> None:
    options = ["--steps", "2", "--seed", "3", "--quality", "draft", "--size", "32"]
    assert run("apply", "look.yaml", *options, "-o", "a.png").code == 0
    stored = read_metadata("a.png")["layered-nst recipe"]
    for line in ("steps: 2", "seed: 3", "quality: draft", "size: 32"):
        assert line in stored


def test_a_photo_given_beside_the_recipe_need_not_be_the_recipes() -> None:
    Image.new("RGB", (30, 40), (10, 200, 30)).save("other.png")
    Path("photo.png").unlink()
    assert run("apply", "look.yaml", "-c", "other.png").code == 0
    assert Image.open("look-other.png").size == (36, 48)


def test_paths_may_hold_spaces_and_any_script(folder: Path) -> None:
    odd = lay_out(folder / "Mein Ordner [1] :cat:" / "写真")
    (odd / "photo.png").rename(odd / "früh am Morgen.png")
    look = odd / "schönes look.yaml"
    look.write_text(RECIPE.replace("photo.png", "früh am Morgen.png"), "utf-8")
    ran = run("apply", look, "-o", odd / "mein bild.png")
    assert ran.code == 0
    assert (odd / "mein bild.png").exists()
    assert "[1] :cat:/写真/mein bild.png" in ran.err


def test_a_preview_is_kept_beside_the_output_and_removed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    usual = Display.step

    def step(self: Display, progress: Progress) -> None:
        usual(self, progress)
        with Image.open("out.preview.png") as preview:
            seen.append(preview.size)

    monkeypatch.setattr(Display, "step", step)
    options = ["-o", "out.png", "--set", "optimize.levels=[16, 32, 48]", "--steps", "2"]
    assert run("apply", "look.yaml", *options).code == 0
    assert seen == [(16, 12)] * 2 + [(32, 24)] * 2 + [(48, 36)] * 2
    assert not Path("out.preview.png").exists()
    assert "out.png" in files()


def test_a_preview_that_cannot_be_written_does_not_stop_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = picture.write_picture

    def full(path: Path, *arguments: Any, **options: Any) -> None:
        if "preview" in path.name:
            raise OutputError(f"{path}: cannot be written: no space left on device")
        usual(path, *arguments, **options)

    monkeypatch.setattr(picture, "write_picture", full)
    ran = run("apply", "look.yaml", "-o", "out.png", "--steps", "2")
    assert ran.code == 0
    assert ran.err.count("no more previews") == 1


def test_no_preview_is_kept_if_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Display, "step", lambda *_: None)
    Path("look.preview.png").write_text("mine")
    assert run("apply", "look.yaml", "--no-preview").code == 0
    assert Path("look.preview.png").read_text() == "mine"


def test_an_interrupted_run_saves_the_picture_so_far_and_ends_with_130(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In-process; tests of interruption send real signals."""
    usual = Display.step

    def step(self: Display, progress: Progress) -> None:
        usual(self, progress)
        if progress.level == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Display, "step", step)
    ran = run("apply", "look.yaml", "--set", "optimize.levels=[16, 32, 48]")
    assert (ran.code, ran.error) == (
        130,
        "interrupted; the picture so far is look.partial.png; --resume goes on from "
        "look.checkpoint",
    )
    assert Image.open("look.partial.png").size == (48, 36)
    assert "look.png" not in files()
    assert "look.preview.png" not in files()


@pytest.mark.parametrize("stage", ["prepare", "paint"])
def test_an_interruption_before_the_first_step_writes_nothing(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, stage, stop)
    before = files()
    ran = run("apply", "look.yaml")
    assert ran.code == 130
    assert ran.error == "interrupted before the first step; nothing was written"
    assert files() == before


def test_another_error_after_an_interruption_is_still_an_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is interrupted while it is imported may raise something else than KeyboardInterrupt."""

    def swallow(*_: Any, **__: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("half an import") from None

    monkeypatch.setattr(api, "load", swallow)
    ran = run("apply", "look.yaml")
    assert (ran.code, ran.error) == (130, "interrupted")


# what cannot be written is refused before the work


@pytest.mark.usefixtures("no_painting")
@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("out.bmp", "no known format; use .png, .jpg, .jpeg, .tif, .tiff, .webp"),
        ("out", "no known format; use .png, "),
        ("nowhere/out.png", "no such folder"),
        ("photo.png/out.png", "no such folder"),
        ("folder.png", "is a folder, not a file"),
        ("x" * 300 + ".png", "cannot be written"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    output: str, sentence: str
) -> None:
    Path("folder.png").mkdir()
    before = files()
    ran = run("apply", "look.yaml", "-o", output)
    assert ran.code == 3
    assert ran.error.startswith(output)
    assert sentence in ran.error
    assert files() == before


@pytest.mark.usefixtures("no_painting")
def test_a_folder_without_permission_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    ran = run("apply", "look.yaml", "-o", "out.png")
    assert (ran.code, ran.error) == (3, "out.png: cannot be written (Permission denied)")


@pytest.mark.usefixtures("no_painting")
@pytest.mark.parametrize("read", ["photo.png", "dots.png", "mask.png"])
def test_a_picture_that_the_recipe_reads_is_never_replaced(read: str) -> None:
    Image.new("L", (64, 48), 255).save("mask.png")
    before = Path(read).read_bytes()
    ran = run("apply", "look.yaml", "--set", "regions.sky.select={mask: mask.png}", "-o", read)
    assert ran.code == 3
    assert ran.error == f"{read}: would replace a file that is read; name another"
    assert Path(read).read_bytes() == before


def test_a_disk_that_fills_up_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OutputError("look.png: cannot be written: no space left on device")

    monkeypatch.setattr(result, "write_picture", full)
    ran = run("apply", "look.yaml", "--no-preview")
    assert (ran.code, ran.error) == (
        3,
        "look.png: cannot be written: no space left on device; the work is kept in "
        "look.checkpoint, and --resume will write it",
    )


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_ends_with_3_and_a_size_that_would_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(strategy, "optimize", fail)
    monkeypatch.setattr(api, "obtainable_bytes", lambda _: 2e9)
    ran = run("apply", "look.yaml", "--size", "2048", "--set", "encoder=hed-vgg16")
    there = "out of memory at 2048×1536 px: there are 2.0 GB for it"
    assert (ran.code, ran.error) == (3, f"{there}, and --size 688 would do with them")


def test_too_little_memory_for_the_masks_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(api, "prepare", fail)
    monkeypatch.setattr(api, "obtainable_bytes", lambda _: 2e9)
    ran = run("apply", "look.yaml", "--size", "2048", "--set", "encoder=hed-vgg16")
    there = "out of memory at 2048×2048 px: there are 2.0 GB for it"
    assert (ran.code, ran.error) == (3, f"{there}, and --size 592 would do with them")


# errors and tracebacks


def test_a_bug_is_one_sentence_unless_debug_asks_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a [bug] in :here:")

    monkeypatch.setattr(recipe, "json_schema", fail)
    plain = run("schema")
    assert plain.code == 1
    assert plain.err == (
        "error: unexpected ZeroDivisionError: a [bug] in :here: (run with --debug to see where)\n"
    )
    for arguments in (["--debug", "schema"], ["schema", "--debug"]):
        ran = run(*arguments)
        assert ran.code == 1
        assert "Traceback" in ran.err
        assert "ZeroDivisionError" in ran.err


def test_debug_shows_the_traceback_of_an_error_of_ours_too() -> None:
    ran = run("--debug", "check", "nowhere.yaml")
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert "Traceback" not in run("check", "nowhere.yaml").err


def test_a_file_that_the_system_refuses_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error", "disk/a[1].png")

    monkeypatch.setattr(api, "load", fail)
    ran = run("apply", "look.yaml")
    assert (ran.code, ran.err) == (3, "error: disk/a[1].png: Input/output error\n")


# the bar


def test_the_bar_fits_a_narrow_terminal_and_does_not_read_names_as_markup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, emoji=False)
    monkeypatch.setattr(display_module, "err", terminal)
    losses = {f"style.region [/{i}] with a long name.conv1_1": 1.0 for i in range(5)}
    picture = torch.zeros(3, 4, 6)
    with Display(quiet=False) as display:
        display.step(Progress("joint", 10, 12, (768, 1024), 21, 60, 0.5, 5000, losses, picture))
        display.bar.refresh()
        screen.truncate(0)
        screen.seek(0)
        display.bar.refresh()
        lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", screen.getvalue()).strip("\r\n").split("\n")
    assert len(lines) == 1
    assert "joint 10/12  1024×768 px  step 21/60" in lines[0]
    assert "50%" in lines[0]
    assert "1 h 23 min left" in lines[0]


# check


def test_check_shows_regions_plan_time_and_memory_and_writes_nothing() -> None:
    before = files()
    ran = run("check", "look.yaml", "--size", "64", "--set", "optimize.levels=[32, 64]")
    assert ran.code == 0
    assert "look.yaml  64×48 px on " in ran.out
    assert re.search(r"sky +\d+\.\d% +dots\.png +1", ran.out)
    assert re.search(r"levels +32 px × 1, 64 px × 1\ntime +about \d+ s\nmemory +about 0\.", ran.out)
    assert "note: region 'sky' is thinner" in ran.err
    assert files() == before


def test_check_gives_the_same_as_json() -> None:
    ran = run("check", "look.yaml", "--json", "--steps", "3", "--set", "encoder=hed-vgg16")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["width"], ran.json["height"]) == (48, 36)
    assert ran.json["levels"] == [[48, 3]]
    assert ran.json["coverage"].keys() == {"ground", "sky"}
    assert ran.json["seconds"] > 0
    assert 700 < ran.json["megabytes"] < 1100


def test_check_expects_more_of_a_larger_picture_and_of_more_steps() -> None:
    asked = ("check", "look.yaml", "--json", "--set", "encoder=hed-vgg16")
    small = run(*asked).json
    large = run(*asked, "--size", "512", "--steps", "40").json
    assert large["seconds"] > 10 * small["seconds"]
    assert large["megabytes"] > small["megabytes"] + 500


# masks and segment


def test_masks_of_a_recipe_are_written_by_region_name() -> None:
    ran = run("masks", "look.yaml", "-o", "some/masks", "--set", "regions.sky.feather=0")
    assert ran.code == 0
    assert ran.out.split() == [f"some/masks/{name}.png" for name in ("ground", "sky", "overlay")]
    sky = np.asarray(Image.open("some/masks/sky.png").convert("L"))
    assert sky.shape == (36, 48)
    assert sky[:17].min() == 255
    assert sky[19:].max() == 0
    assert Image.open("some/masks/overlay.png").size == (48, 36)


def test_masks_of_a_photo_are_its_classes_and_cover_it_once() -> None:
    ran = run("masks", "photo.png", "-o", "masks")
    assert ran.code == 0
    written = [Path(line) for line in ran.out.split()]
    assert written[-1].name == "overlay.png"
    total = sum(np.asarray(Image.open(p).convert("L")).astype(int) for p in written[:-1])
    assert (np.asarray(total) == 255).mean() > 0.98


def test_masks_do_not_overwrite_each_other_whatever_classes_are_called() -> None:
    from layered_nst.views.findings import Findings, write_masks

    names = ("overlay", "a/b", "a:b", "Sky", "sky", "(photo)", "..", "x" * 200)
    masks = torch.zeros(len(names), 6, 8)
    paths = write_masks(Findings(torch.zeros(3, 6, 8), names, masks), Path("masks"))
    assert [path.name for path in paths] == [
        "overlay 2.png",
        "a_b.png",
        "a_b 2.png",
        "Sky.png",
        "sky 2.png",
        "photo.png",
        "mask.png",
        "x" * 60 + ".png",
        "overlay.png",
    ]
    assert files() >= {"masks", "photo.png"}
    assert len(list(Path("masks").iterdir())) == len(paths)


def test_a_masks_folder_that_is_a_file_ends_with_3() -> None:
    ran = run("masks", "look.yaml", "-o", "photo.png")
    assert (ran.code, ran.error) == (3, "photo.png: cannot be made a folder (File exists)")


def test_segment_lists_classes_by_share_and_writes_an_overlay_beside_the_photo() -> None:
    ran = run("segment", "photo.png", "--size", "48")
    assert ran.code == 0
    *lines, path = ran.out.splitlines()
    shares = [line for line in lines if not re.fullmatch(r" *[\d.]+%  subject, \d+% sure", line)]
    numbers = [float(re.fullmatch(r" *([\d.]+)%  \w+", line)[1]) for line in shares]  # type: ignore[index]
    assert numbers == sorted(numbers, reverse=True)
    assert sum(numbers) == pytest.approx(100, abs=2)
    assert path == "photo.segments.png"
    assert Image.open(path).size == (48, 36)


def test_segment_as_json() -> None:
    ran = run("segment", "photo.png", "--json", "-o", "o.png")
    assert ran.code == 0
    assert ran.json["overlay"] == "o.png"
    assert sum(ran.json["classes"].values()) == pytest.approx(1, abs=0.02)


def test_segment_refuses_to_replace_its_photo() -> None:
    ran = run("segment", "photo.png", "-o", "photo.png")
    assert ran.code == 3
    assert "would replace a file that is read" in ran.error


# models, schema, segmenter


def test_models_lists_each_with_what_it_is_and_whether_it_is_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    ran = run("models")
    assert ran.code == 0
    lines = {line.split()[0]: line for line in ran.out.splitlines() if not line.startswith(" ")}
    assert re.search(r"hed-vgg16 +encoder +bundled +29 +MIT", lines["hed-vgg16"])
    assert re.search(r"scenes +segmenter +bundled", lines["scenes"])
    assert re.search(r"vgg19 +encoder +no +575", lines["vgg19"])


def test_fetching_a_bundled_model_prints_where_it_is() -> None:
    ran = run("models", "fetch", "scenes")
    assert ran.code == 0
    assert ran.out.strip().endswith("scenes.safetensors")


def test_fetching_an_unknown_model_suggests_one() -> None:
    ran = run("models", "fetch", "vgg")
    assert ran.code == 1
    assert ran.error.startswith("no model is called 'vgg' (did you mean vgg1")


def test_fetching_without_a_connection_says_what_to_do_by_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("layered_nst.networks.catalogue.urlopen", offline)
    ran = run("models", "fetch", "vgg19", "--weights", folder / "w")
    assert ran.code == 1
    assert "no route to host" in ran.error
    assert "put vgg19-dcbb9e9d.pth (575 MB, from https://" in ran.error
    assert ran.error.endswith("or use the bundled encoder hed-vgg16")


def test_an_encoder_that_is_not_here_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    ran = run("apply", "look.yaml", "--set", "encoder=vgg19")
    assert ran.code == 1
    assert "layered-nst models fetch vgg19" in ran.error
    assert ran.error.endswith("or use the bundled encoder hed-vgg16")


def test_schema_prints_one_json_schema() -> None:
    ran = run("schema")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """Such as ``layered-nst schema | head``."""
    program = [sys.executable, "-c", "from layered_nst.cli import main; main()", "schema"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "nowhere", "-o", "x.safetensors"],
        ["teach", "nowhere", "scenes"],
        ["score", "x.safetensors", "nowhere"],
    ],
    ids=lambda words: words[0],
)
def test_training_data_that_is_missing_is_one_sentence(arguments: list[str]) -> None:
    ran = run("segmenter", *arguments)
    assert ran.code == 1
    assert ran.error == "nowhere/classes.txt: no such file"


def labeled(data: Path, classes: Sequence[str]) -> Path:
    """A folder of two photos, ``a`` to train on and ``b`` to score, that are all of one class."""
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True)
    for name in ("a", "b"):
        Image.open("photo.png").save(data / "images" / f"{name}.jpg")
        Image.new("L", (64, 48), 1).save(data / "labels" / f"{name}.png")
    (data / "classes.txt").write_text("\n".join(classes) + "\n")
    (data / "train.txt").write_text("a\n")
    (data / "val.txt").write_text("b\n")
    return data


def test_segmenter_teach_writes_what_the_segmenter_thinks(folder: Path) -> None:
    from layered_nst.networks.segmenters import load_segmenter
    from layered_nst.training.segmenters.dataset import read_labeled_photos

    scenes = load_segmenter("scenes")
    data = labeled(folder / "data", scenes.classes)
    (data / "labels" / "a.png").unlink()
    ran = run("segmenter", "teach", data, "scenes")
    assert ran.code == 0, ran.err
    assert ran.out == f"{data / 'soft'}  soft labels: 1\n"
    photos = read_labeled_photos(data)
    thought = photos.soft_label("a", (48, 64))
    assert thought is not None
    assert (thought / 255 - scenes(photos.image("a") / 255)).abs().max() < 0.003
    ran = run("segmenter", "teach", data, "nobody")
    assert ran.code == 1
    assert "nobody" in ran.error


def test_segmenter_score_prints_numbers_and_writes_a_sheet(folder: Path) -> None:
    from layered_nst.networks.catalogue import weights_path
    from layered_nst.networks.segmenters import load_segmenter

    classes = load_segmenter("scenes").classes
    data = labeled(folder / "data", classes)
    ran = run("segmenter", "score", weights_path("scenes"), data)
    assert ran.code == 0, ran.err
    assert classes[1] in ran.out
    *_, summary, written = ran.out.splitlines()
    assert written == "score.png"
    assert re.fullmatch(r"pixel accuracy 0\.\d+, mean IoU 0\.\d+, outline F-score .*", summary)
    assert Image.open("score.png").size > (64, 48)


def test_interrupted_carries_130_and_others_their_own_code() -> None:
    assert Interrupted("x").exit_code == 130
    assert OutputError("x").exit_code == 3


def test_contours_writes_the_fused_map_and_one_for_each_scale() -> None:
    ran = run("contours", "photo.png", "-o", "lines")
    assert ran.code == 0
    names = ["fused.png", *(f"scale-{number}.png" for number in range(1, 6))]
    assert ran.out.split() == [str(Path("lines") / name) for name in names]
    maps = {name: np.asarray(Image.open(Path("lines") / name).convert("L")) for name in names}
    assert {pixels.shape for pixels in maps.values()} == {(48, 64)}
    # The horizon of the photo is its strongest line, and fine scales see the speckles below it.
    rows = maps["fused.png"].mean(1)
    assert abs(int(rows.argmax()) - 24) <= 2
    assert maps["scale-1.png"][30:].mean() > maps["scale-1.png"][2:18].mean()


def test_contours_go_beside_the_photo_unless_told_otherwise() -> None:
    assert run("contours", "photo.png", "--size", "32").code == 0
    with Image.open("photo.contours/fused.png") as fused:
        assert fused.size == (32, 24)


def test_contours_of_no_picture_is_one_sentence() -> None:
    Path("photo.png").write_text("no picture")
    ran = run("contours", "photo.png")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert not Path("photo.contours").exists()


# programs around it


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        (["apply", "nowhere.yaml"], "recipe", 1),
        (["check", "look.yaml", "-c", "nowhere.png"], "recipe", 1),
        (["apply", "look.yaml", "--memory", "much"], "budget", 2),
        (["apply", "look.yaml", "-o", "nowhere/x.png"], "output", 3),
        (["check", "look.yaml", "--memory", "1M"], "memory", 3),
    ],
)
def test_an_error_has_a_code_for_programs_that_ask_for_json(
    command: list[str], code: str, exit_code: int
) -> None:
    ran = run(*command, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (exit_code, code)
    assert ran.json["error"]["exit_code"] == exit_code
    assert ran.json["error"]["message"] == ran.error
    assert run(*command).out == ""


def test_verbose_says_what_is_done_on_standard_error() -> None:
    ran = run("check", "look.yaml", "--verbose", "--json")
    assert ran.json["width"] == 48
    assert "48×36 px on cpu" in ran.err
    assert "all levels are seen whole" in ran.err
    logging.getLogger("layered_nst").handlers.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_said_wherever_it_comes(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no command catches it, such as while libraries are imported."""
    monkeypatch.setattr(
        "layered_nst.views.findings.photo_masks", lambda *_, **__: os.kill(os.getpid(), number)
    )
    ran = run("segment", "photo.png")
    assert (ran.code, ran.out, ran.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("command", [["check"], ["masks", "-o", "found"]], ids=" ".join)
def test_a_recipe_is_read_from_its_file_once(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    usual = loading.read_text
    monkeypatch.setattr(loading, "read_text", lambda path: seen.append(path) or usual(path))
    ran = run(*command, "look.yaml")
    assert ran.code == 0, ran.err
    assert seen == [Path("look.yaml").absolute()]


def test_masks_leave_the_recipe_alone_that_is_a_picture(folder: Path) -> None:
    assert run("apply", "look.yaml", "-o", "sky.png").code == 0
    before = Path("sky.png").read_bytes()
    ran = run("masks", "sky.png", "-o", ".")
    assert ran.code == 3
    assert "sky.png" in ran.error
    assert Path("sky.png").read_bytes() == before
