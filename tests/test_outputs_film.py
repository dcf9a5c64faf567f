"""Frames gathered during a run, and the film and contact sheet made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from layered_nst.outputs.report.film import (
    CELL,
    FRAME_MILLISECONDS,
    LAST_MILLISECONDS,
    chosen_frames,
    contact_sheet,
    film_of,
    write_film,
)
from layered_nst.outputs.report.recorder import FRAME_SIDE, Recorder
from layered_nst.painting.progress import Progress


def progress(step: int, *, size: tuple[int, int] = (30, 40), level: int = 1) -> Progress:
    """A step whose picture is flat, of a grey that tells the step."""
    return Progress(
        stage="joint",
        level=level,
        levels=2,
        size=size,
        step=step,
        steps=1000,
        done=0.5,
        seconds_left=1.0,
        losses={"total": 1 / step},
        picture=torch.full((3, *size), (step % 256) / 255),
    )


def recorded(count: int, **options: Any) -> Recorder:
    recorder = Recorder(**options)
    for step in range(1, count + 1):
        recorder.step(progress(step))
    return recorder


def grey(image: Image.Image) -> int:
    return int(np.asarray(image.convert("L")).mean().round())


def test_every_step_is_noted_and_its_picture_kept() -> None:
    recorder = recorded(5)
    assert [(s.stage, s.level, s.step, s.steps) for s in recorder.steps] == [
        ("joint", 1, step, 1000) for step in range(1, 6)
    ]
    assert [s.losses["total"] for s in recorder.steps] == [1 / step for step in range(1, 6)]
    seconds = [s.seconds for s in recorder.steps]
    assert seconds == sorted(seconds)
    assert [frame.number for frame in recorder.frames] == [1, 2, 3, 4, 5]
    assert [grey(frame.image) for frame in recorder.frames] == [1, 2, 3, 4, 5]
    assert recorder.every == 1


@pytest.mark.parametrize("most", [3, 4, 10])
@pytest.mark.parametrize("count", [4, 11, 100, 250])
def test_frames_are_thinned_evenly_and_their_number_is_bounded(most: int, count: int) -> None:
    recorder = recorded(count, most=most)
    assert len(recorder.steps) == count
    assert 2 <= len(recorder.frames) <= most
    numbers = [frame.number for frame in recorder.frames]
    assert numbers == list(range(1, count + 1, recorder.every))
    assert [grey(frame.image) for frame in recorder.frames] == numbers


def test_frames_are_small_and_copies() -> None:
    recorder = Recorder()
    step = progress(1, size=(900, 1200))
    recorder.step(step)
    step.picture.fill_(1)
    (frame,) = recorder.frames
    assert frame.image.size == (FRAME_SIDE, 270)
    assert frame.longest == 1200
    assert grey(frame.image) == 1


def test_a_recorder_passes_everything_on() -> None:
    heard: list[Any] = []

    class Listener:
        def scene(self, scene: Any, plan: Any) -> None:
            heard.append((scene, plan))

        def step(self, step: Any) -> None:
            heard.append(step)

    recorder = Recorder(Listener())
    scene, plan, step = object(), object(), progress(1)
    recorder.scene(scene, plan)  # type: ignore[arg-type]
    recorder.step(step)
    assert heard == [(scene, plan), step]
    assert recorder.plan is plan


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_a_film_has_every_frame_and_rests_on_the_result(tmp_path: Path, suffix: str) -> None:
    recorder = Recorder()
    for step in range(1, 7):
        recorder.step(progress(40 * step, size=(6 * step, 8 * step)))
    film = film_of(recorder.frames, Image.new("RGB", (64, 48), (255, 0, 0)))
    path = tmp_path / f"film.{suffix}"
    write_film(path, film)
    with Image.open(path) as found:
        assert (found.n_frames, found.size) == (7, (64, 48))
        assert found.info["loop"] == 0
        shown, times = [], []
        for frame in ImageSequence.Iterator(found):
            shown.append(np.asarray(frame.convert("RGB")).astype(int).mean((0, 1)))
            times.append(frame.info["duration"])
    assert times == [FRAME_MILLISECONDS] * 6 + [LAST_MILLISECONDS]
    wanted = [[40 * step] * 3 for step in range(1, 7)] + [[255, 0, 0]]
    assert np.abs(np.array(shown) - np.array(wanted)).max() <= 6


def test_what_the_result_leaves_transparent_is_white_in_every_frame() -> None:
    recorder = recorded(2)
    result = Image.new("RGBA", (40, 30), (0, 0, 0, 255))
    result.paste((0, 0, 0, 0), (0, 0, 20, 30))
    for picture in film_of(recorder.frames, result):
        pixels = np.asarray(picture)
        assert (pixels[:, :20] == 255).all()
        assert (pixels[:, 20:] < 3).all()


def test_chosen_frames_are_spread_from_the_first_to_the_last() -> None:
    frames = recorded(30).frames
    numbers = [frame.number for frame in chosen_frames(frames, 11)]
    assert numbers[0] == 1
    assert numbers[-1] == 30
    assert len(set(numbers)) == 11
    gaps = np.diff(numbers)
    assert gaps.max() - gaps.min() <= 1
    assert chosen_frames(frames[:3], 11) == frames[:3]
    assert chosen_frames(frames, 1) == frames[:1]
    assert chosen_frames([], 11) == []


def test_a_contact_sheet_shows_its_pictures_in_reading_order() -> None:
    pictures = [Image.new("RGB", (60, 40), (0, 50 * i, 255)) for i in range(5)]
    sheet = np.asarray(contact_sheet(pictures, list("abcde"), columns=2))
    assert sheet.shape[1] > 2 * CELL
    painted = (sheet[..., 2] == 255) & (sheet[..., 0] == 0)
    assert painted.sum() == 5 * CELL * round(CELL * 40 / 60)
    rows = [sheet[y] for y in np.flatnonzero(painted.any(1))]
    seen: list[int] = []
    for row in rows:
        greens = [int(g) for r, g, b in row if (r, b) == (0, 255)]
        seen += [g for g in dict.fromkeys(greens) if g not in seen]
    assert seen == [0, 50, 100, 150, 200]
