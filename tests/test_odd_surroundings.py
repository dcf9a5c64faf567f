"""Streams, names and memory as they are elsewhere: a command does not fall over them."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image
from workbench import lay_out, run

from layered_nst import cli
from layered_nst.cli.console import spelled
from layered_nst.cli.starving import is_shortage_while_importing
from layered_nst.picture import read_metadata

BYTES = os.fsdecode(b"caf\xe9")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only there may names be any bytes")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def printed(encoding: str, *arguments: str) -> bytes:
    """What a command that succeeds prints to a standard output of this encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with (
        mock.patch.object(sys, "argv", ["layered-nst", *arguments]),
        mock.patch.object(sys, "stdout", out),
        pytest.raises(SystemExit) as leave,
    ):
        cli.main()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert leave.value.code == 0
    out.flush()
    return out.buffer.getvalue()  # type: ignore[attr-defined, no-any-return]


# standard output


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "cp1252", "utf-8"])
@pytest.mark.parametrize("arguments", [["check", "look.yaml", "--size", "48"], ["apply", "--help"]])
def test_what_a_stream_cannot_show_does_not_end_a_command(
    encoding: str, arguments: list[str]
) -> None:
    text = Path("look.yaml").read_text("utf-8").replace("name: ground", "name: 天空")
    Path("look.yaml").write_text(text, "utf-8")
    shown = printed(encoding, *arguments).decode(encoding)
    if arguments[0] == "check":
        assert ("天空" if encoding == "utf-8" else "\\u5929\\u7a7a") in shown
        assert ("48×36 px" if encoding in ("utf-8", "cp1252") else "48x36 px") in shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_json_whatever_a_stream_can_show(encoding: str) -> None:
    text = Path("look.yaml").read_text("utf-8").replace("name: ground", "name: 天空")
    Path("look.yaml").write_text(text, "utf-8")
    found = json.loads(printed(encoding, "check", "look.yaml", "--size", "48", "--json"))
    assert "天空" in found["coverage"]


@linux
def test_a_printed_path_has_the_bytes_of_the_name() -> None:
    ran = printed("utf-8", "new", "photo.png", "-o", f"{BYTES}.yaml", "--style", "dots.png")
    assert ran == b"caf\xe9.yaml\n"


@linux
def test_a_name_in_a_message_has_its_odd_bytes_escaped() -> None:
    program = "from layered_nst.cli import main; main()"
    words = [sys.executable, "-c", program, "new", f"{BYTES}.png"]
    for encoding in ("utf-8", "ascii"):
        ran = subprocess.run(
            words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
        )
        assert ran.stderr == b"error: no such picture: caf\\xe9.png\n"


# names that are no UTF-8


@linux
def test_a_photo_and_outputs_of_any_name_are_painted_and_made_again(folder: Path) -> None:
    place = folder / BYTES
    place.mkdir()
    lay_out(place)
    os.chdir(place)
    Path("photo.png").rename(f"{BYTES}.png")
    Path("dots.png").rename(f"dots {BYTES}.png")
    words = ("-c", f"{BYTES}.png", "--set", f"regions.sky.style=dots {BYTES}.png")
    small = ("--size", "32", "--steps", "1", "--no-preview")
    outputs = ("-o", f"o{BYTES}.png", "--layers", f"o{BYTES}.ora", "--report", f"r{BYTES}")
    ran = run("apply", "look.yaml", *words, *small, *outputs)
    assert ran.code == 0, ran.err
    manifest = json.loads(Path(f"o{BYTES}.json").read_text("utf-8"))
    assert manifest["output"] == f"o{BYTES}.png"
    assert manifest["photo"]["path"] == f"{BYTES}.png"
    assert "layered-nst recipe" in read_metadata(f"o{BYTES}.png")
    assert Path(f"r{BYTES}/index.html").read_text("utf-8")
    assert not [*Path().glob("*.checkpoint")]
    for source in (f"o{BYTES}.png", f"o{BYTES}.json"):
        again = run("apply", source, *small, "-o", "again.png", "--no-manifest")
        assert again.code == 0, again.err
        made = [Image.open(name).tobytes() for name in (f"o{BYTES}.png", "again.png")]
        assert made[0] == made[1]


@linux
def test_new_writes_a_recipe_for_a_photo_of_any_name() -> None:
    Path("photo.png").rename(f"{BYTES}.png")
    ran = run("new", f"{BYTES}.png", "--style", "dots.png", "-o", "mine.yaml")
    assert ran.code == 0, ran.err
    assert run("check", "mine.yaml", "--size", "32").code == 0


# memory


def test_too_little_memory_for_the_libraries_is_out_of_memory() -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (800_000_000,) * 2);"
        "sys.argv = ['layered-nst', *sys.argv[1:]]; from layered_nst.cli import main; main()"
    )
    for words in (["check", "look.yaml"], ["segment", "photo.png"], ["styles", "show", "x"]):
        ran = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 3, ran.stderr
        assert ran.stderr.startswith("error: out of memory: not even the libraries fit into")


@linux
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("os.abort()", 3, "error: out of memory: libraries give up within the 3.0 GB that this"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, ""),
        ("os.kill(os.getppid(), signal.SIGINT) or time.sleep(20)", 130, "interrupted"),
        ("7", 7, ""),
        ("raising(RuntimeError('std::bad_alloc'))", 3, "error: out of memory; try a smaller"),
    ],
)
def test_a_library_that_ends_the_process_without_a_word_leaves_a_sentence(
    command: str, code: int, said: str
) -> None:
    program = (
        "import os, resource, signal, sys, time\n"
        "def raising(error): raise error\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000,) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "from layered_nst import cli\n"
        f"cli._narrowed = lambda _: lambda **options: {command}\n"
        "cli.main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == code, ran.stderr
    assert ran.stderr.startswith(said)
    assert bool(ran.stderr) == bool(said)


def test_only_an_import_without_memory_is_a_shortage() -> None:
    assert is_shortage_while_importing(ImportError("libx.so: failed to map segment from shared"))
    wrapped = ImportError("numpy failed")
    wrapped.__cause__ = MemoryError()
    assert is_shortage_while_importing(wrapped)
    assert not is_shortage_while_importing(ImportError("No module named 'x'"))
    assert not is_shortage_while_importing(MemoryError())
    assert resource.getrlimit(resource.RLIMIT_AS)


# arguments and options


def test_sentences_name_options_on_the_command_line() -> None:
    assert spelled("raise it with `max_pixels`") == "raise it with --max-pixels"
    assert spelled("`size=512` would do") == "--size 512 would do"
    assert spelled("only `resume=True` goes on") == "only --resume goes on"
    assert spelled("run `pip install x`, or `y` and `z.py`") == (
        "run `pip install x`, or `y` and `z.py`"
    )
    ran = run("check", "look.yaml", "--set", "sise=5")
    assert ran.error.startswith("--set sise: unknown key (did you mean size?)")
