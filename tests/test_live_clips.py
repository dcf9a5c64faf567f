"""Clips and cameras as their recipe paints them, frame by frame, while it is edited."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from workbench import lay_out, photo, run

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from layered_nst import apply  # noqa: E402
from layered_nst.errors import ClipError  # noqa: E402
from layered_nst.live import filming  # noqa: E402
from layered_nst.live.filming import FilmWatcher, load_for  # noqa: E402
from layered_nst.live.watching import QUALITY  # noqa: E402
from layered_nst.video.clips import Clip, open_clip  # noqa: E402

RECIPE, CLIP = Path("look.yaml"), Path("clip.mp4")
FRAMES = 6


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    with av.open(str(CLIP), "w") as file:
        stream = file.add_stream("libx264", rate=8, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 36, "yuv444p"
        for number in range(FRAMES):
            shown = np.roll(photo(), 4 * number, axis=1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        file.mux(stream.encode(None))
    return Path()


@pytest.fixture
def clip() -> Clip:
    return open_clip(CLIP)


def watching(clip: Clip) -> FilmWatcher:
    load = load_for(RECIPE, clip, size=None, overrides=["optimize.quality=instant"])
    return FilmWatcher(RECIPE, clip, load)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), np.float32)


def edit(old: str, new: str) -> None:
    text = RECIPE.read_text()
    assert old in text
    RECIPE.write_text(text.replace(old, new))


def test_every_look_shows_another_frame_painted_as_a_photo_would_be(clip: Clip) -> None:
    watcher = watching(clip)
    assert watcher.look()
    first = watcher.shown
    assert (first.version, first.size, first.error) == (1, (36, 48), "")
    frame = next(clip.read()).picture
    expected = apply(RECIPE, Image.fromarray((frame.rgb.numpy() * 255).round().astype(np.uint8)
                                             .transpose(1, 2, 0)), quality="instant")  # fmt: skip
    written = io.BytesIO()
    expected.image.save(written, "JPEG", quality=QUALITY)
    assert np.abs(pixels(first.picture) - pixels(written.getvalue())).mean() < 1
    assert watcher.look()
    assert watcher.shown.version == 2
    moved = pixels(watcher.shown.photo)
    assert np.abs(moved - pixels(first.photo)).mean() > 4
    assert np.abs(pixels(watcher.shown.picture) - pixels(first.picture)).mean() > 2


def test_a_clip_begins_again_and_says_how_many_frames_there_are_a_second(clip: Clip) -> None:
    watcher = watching(clip)
    started = time.perf_counter()
    for _ in range(FRAMES + 2):
        assert watcher.look()
    spent = time.perf_counter() - started
    assert watcher.shown.version == FRAMES + 2
    assert 0 < watcher.shown.rate < 9, "never quicker than the clip itself"
    assert watcher.shown.rate > 0.3 * (FRAMES + 2) / spent


def test_an_edit_is_seen_in_the_next_frame_and_a_mistake_leaves_the_last_recipe_on(
    clip: Clip,
) -> None:
    watcher = watching(clip)
    watcher.look()
    good = RECIPE.read_text()
    edit("size: 48", "size: 32")
    watcher.look()
    assert watcher.shown.size == (24, 32)
    RECIPE.write_text("recipe: 1\nregions: nothing\n")
    assert watcher.look(), "the picture goes on"
    assert "look.yaml:2: regions" in watcher.shown.error
    assert watcher.shown.size == (24, 32)
    RECIPE.write_text(good)
    watcher.look()
    assert watcher.shown.error == ""
    assert watcher.shown.size == (36, 48)


def test_a_recipe_that_was_never_right_is_waited_for(clip: Clip) -> None:
    good = RECIPE.read_text()
    RECIPE.write_text("recipe: 2\n")
    watcher = watching(clip)
    assert not watcher.look()
    assert watcher.shown.picture == b""
    assert "look.yaml:1: recipe" in watcher.shown.error
    RECIPE.write_text(good)
    assert watcher.look()
    assert watcher.shown.error == ""


class Camera:
    """Stands in for OpenCV's: gives the photo, always turned a little further."""

    def __init__(self, number: int) -> None:
        self.number, self.read_so_far = number, 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.read_so_far += 1
        if self.number:
            return False, None
        return True, np.roll(photo(), self.read_so_far, axis=1)[..., ::-1].copy()

    def set(self, *_: float) -> None: ...

    def release(self) -> None: ...


def test_a_camera_is_painted_until_it_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    camera = filming.open_camera(0)
    assert camera.size == (48, 64)
    watcher = watching(camera)
    for version in (1, 2, 3):
        assert watcher.look()
        assert watcher.shown.version == version
    red, blue = pixels(watcher.shown.photo).mean((0, 1))[[0, 2]]
    wanted = photo().mean((0, 1))
    assert abs(red - wanted[0]) + abs(blue - wanted[2]) < 6, "colors are not swapped"


def test_a_camera_that_is_not_there_is_said_in_a_sentence() -> None:
    with pytest.raises(ClipError, match="camera 97: gives no picture"):
        filming.open_camera(97)
    ran = run("live", "97", "-r", str(RECIPE), "--no-open")
    assert ran.code == 1
    assert "camera 97: gives no picture" in ran.error


def test_clips_are_painted_at_once_or_not_at_all() -> None:
    ran = run("live", str(CLIP), "-r", str(RECIPE), "--no-open", "--quality", "draft")
    assert ran.code == 2
    assert "leave it out" in " ".join(ran.err.replace("│", " ").split())
    Path("broken.mp4").write_bytes(b"no film")
    ran = run("live", "broken.mp4", "-r", str(RECIPE), "--no-open")
    assert ran.code == 1
    assert "broken.mp4" in ran.error


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another matter there")
def test_the_command_shows_a_clip_until_ctrl_c() -> None:
    words = ["live", str(CLIP), "-r", str(RECIPE), "--no-open", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", "from layered_nst.cli import main; main()", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        address = line.split()[0] + "news?after=1"
        with urllib.request.urlopen(address, timeout=60) as answer:
            news = json.load(answer)
        assert news["width"] == 48
        assert news["version"] > 1, "a frame has come after the first"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
