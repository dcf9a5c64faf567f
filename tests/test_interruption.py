"""A run that is stopped: by Ctrl-C it saves what it has, by kill -9 it leaves nothing broken.

The runs are real processes that get real signals. Each says on standard output where it is, so
that no test has to guess how long a machine takes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from workbench import lay_out

import layered_nst

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")

# Python ignores SIGINT in whatever a shell started in the background, and so would these runs.
PRELUDE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)

def here(place):
    print(place, flush=True)

sys.argv = ["layered-nst", "apply", "look.yaml", "-o", "out.png", "--set", "optimize.tolerance=0",
            "--set", "optimize.levels=[24, 48]", "--set", "optimize.steps=[1, 1000000]"]
from layered_nst import api, cli
from layered_nst.cli.display import Display
from layered_nst.files import atomic as replacement
"""
IN_THE_MIDDLE = """
usual = Display.step
def step(self, progress):
    usual(self, progress)
    if (progress.level, progress.step) == (2, 2):
        here("painting")
Display.step = step
"""
BEFORE_THE_FIRST_STEP = """
def load_encoders(*_, **__):
    here("loading")
    time.sleep(60)
api.load_encoders = load_encoders
"""
WHILE_WRITING = """
sys.argv[-1] = "optimize.steps=[1, 1]"
sys.argv += ["--no-preview", "--no-cache", "--set", "optimize.checkpoint=0"]
usual = replacement.os.fsync
def fsync(handle):
    replacement.os.truncate(handle, 100)
    here("writing")
    time.sleep(60)
replacement.os.fsync = fsync
"""
RUN = "cli.main()\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@contextlib.contextmanager
def running(program: str, *, until: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``layered-nst apply`` and come back when it says that it is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program + RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        assert said == until, process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


def whole(path: str) -> tuple[int, int]:
    """Size of a picture that opens and decodes to its end."""
    with Image.open(path) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_saves_the_picture_so_far_and_ends_with_130(sent: str) -> None:
    before = files()
    with running(IN_THE_MIDDLE, until="painting") as process:
        assert whole("out.preview.png") == (48, 36)
        process.send_signal(getattr(signal, sent))
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (
        "interrupted; the picture so far is out.partial.png; --resume goes on from out.checkpoint"
    )
    assert out == ""
    assert whole("out.partial.png") == (48, 36)
    assert files() == {*before, "out.partial.png", "out.checkpoint"}


def test_a_run_stopped_before_its_first_step_ends_with_130_and_writes_nothing() -> None:
    before = files()
    with running(BEFORE_THE_FIRST_STEP, until="loading") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted before the first step; nothing was written"
    assert files() == before


def test_a_run_killed_in_the_middle_leaves_the_old_picture_alone() -> None:
    Image.new("RGB", (5, 4), (1, 2, 3)).save("out.png")
    old = Path("out.png").read_bytes()
    with running(IN_THE_MIDDLE, until="painting") as process:
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    assert Path("out.png").read_bytes() == old
    assert not Path("out.partial.png").exists()
    assert whole("out.preview.png") == (48, 36)


def test_a_run_killed_while_it_writes_leaves_the_old_picture_alone() -> None:
    Image.new("RGB", (5, 4), (1, 2, 3)).save("out.png")
    old, before = Path("out.png").read_bytes(), files()
    with running(WHILE_WRITING, until="writing") as process:
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    assert Path("out.png").read_bytes() == old
    (left,) = files() - before
    assert left.startswith(".out.png.")
    assert Path(left).stat().st_size == 100


@pytest.mark.parametrize("words", [["-m", "layered_nst"], ["-m", "layered_nst.cli"]])
def test_the_command_line_is_a_module_too(words: list[str]) -> None:
    ended = subprocess.run([sys.executable, *words, "--version"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("layered-nst ")


def test_ctrl_c_while_the_command_line_is_imported_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{heard}from layered_nst.__main__ import main; main()",
            "--version",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=Path(layered_nst.__file__).parents[1],
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "error: interrupted\n")
