"""Dissolves and fades through a color are found, and mixed of the paintings of both scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

cv2 = pytest.importorskip("cv2")

from changing_scenes import (  # noqa: E402
    found_in,
    frame,
    painted,
    painted_with_stops,
    planes,
    recipe_on,
)
from moving_pictures import PHOTOS, MovingPicture  # noqa: E402

from layered_nst.picture import resize  # noqa: E402
from layered_nst.video.clips import Excerpt  # noqa: E402
from layered_nst.video.mixing import Mix  # noqa: E402

SIZE = (72, 128)
ONE = MovingPicture(90, SIZE, step=(1.2, 0.2), pan=(-0.6, -0.1))
OTHER = MovingPicture(90, SIZE, "fig.jpg", "dogs.jpg", pan=(0.4, 0.1), step=(-0.8, 0.1))
BLUE = torch.tensor([0.1, 0.2, 0.7])[:, None, None]


def dissolve(length: int, *, alone: int = 12) -> list[Tensor]:
    """Frames of the one scene, ``length`` that are mixed of both, and frames of the other."""
    mixed = [
        frame(ONE, alone + n).lerp(frame(OTHER, n), (n + 1) / (length + 1)) for n in range(length)
    ]
    behind = [frame(OTHER, length + n) for n in range(alone)]
    return [*(frame(ONE, n) for n in range(alone)), *mixed, *behind]


def faded(color: Tensor, length: int, *, alone: int = 12) -> list[Tensor]:
    """The same through a color."""
    half = length // 2
    away = [frame(ONE, alone + n).lerp(color, (n + 1) / half) for n in range(half)]
    back = [color.lerp(frame(OTHER, n), (n + 1) / (half + 1)) for n in range(length - half)]
    behind = [frame(OTHER, length + n) for n in range(alone)]
    return [*(frame(ONE, n) for n in range(alone)), *away, *back, *behind]


@pytest.mark.parametrize("length", [3, 30])
def test_a_dissolve_is_found_with_its_frames_and_shares(length: int) -> None:
    (found,) = found_in(dissolve(length))
    assert abs(found.first - 11) <= 1 + length // 10
    assert abs(found.last - 12 - length) <= 1 + length // 10
    for number, mix in enumerate(found.mixes, found.first + 1):
        share = min(max((number - 11) / (length + 1), 0), 1)
        assert mix.other == pytest.approx(share, abs=0.1)
        assert mix.one + mix.other == pytest.approx(1)
        assert float(mix.color.abs().max()) == 0


def test_a_fade_through_a_color_is_found_with_that_color() -> None:
    (found,) = found_in(faded(BLUE, 12))
    middle = found.mixes[17 - found.first - 1]
    assert (middle.one, middle.other) == (pytest.approx(0, abs=0.05), pytest.approx(0, abs=0.05))
    assert torch.allclose(middle.color, BLUE.flatten(), atol=0.03)
    assert 23 <= found.last <= 25


def zoomed() -> list[Tensor]:
    """A photo that comes nearer by a twelfth from frame to frame."""
    with Image.open(PHOTOS / "mountain.jpg") as photo:
        whole = photo.convert("RGB").resize((900, 506))
    found = []
    for number in range(16):
        half = (450 / 1.08**number, 253 / 1.08**number)
        box = (450 - half[0], 253 - half[1], 450 + half[0], 253 + half[1])
        pixels = np.asarray(whole.resize(SIZE[::-1], Image.Resampling.LANCZOS, box), np.float32)
        found.append(torch.from_numpy(pixels / 255).movedim(-1, 0).contiguous())
    return found


def night() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [
        (0.12 * frame(ONE, n) + 0.008 * torch.randn(3, *SIZE, generator=draw)).clamp(0, 1)
        for n in range(40)
    ]


def walked() -> list[Tensor]:
    """Something large goes through the picture."""
    clip = MovingPicture(40, SIZE, step=(4, -0.3), pan=(0, 0), large=1.1)
    return [frame(clip, number) for number in range(40)]


NO_DISSOLVES: dict[str, Any] = {
    "a cut": lambda: dissolve(0),
    "a fast pan": lambda: [frame(MovingPicture(1, SIZE, pan=(-9, 0)), n) for n in range(12)],
    "a fast zoom": zoomed,
    "light that goes": lambda: [frame(ONE, n) * (1 - n / 50) for n in range(40)],
    "a night": night,
    "somebody in front": walked,
    "black that comes and goes": lambda: [frame(ONE, n) * abs(n - 8) / 8 for n in range(16)],
}


@pytest.mark.parametrize("what", NO_DISSOLVES)
def test_what_only_moves_or_changes_its_light_is_no_dissolve(what: str) -> None:
    assert not found_in(NO_DISSOLVES[what]())


def test_a_mixed_frame_is_mixed_of_paintings_as_it_is_of_photos() -> None:
    before, behind = torch.full((3, 2, 2), 0.5), torch.full((3, 2, 2), 0.25)
    found = Mix(0.4, 0.2, torch.tensor([0.1, 0.2, 0.9])).of(before, behind)
    assert torch.allclose(found[:, 0, 0], torch.tensor([0.35, 0.45, 1.0]))


# Whole runs


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe for a clip of nine frames, three of which are mixed of two scenes."""
    logo = {"name": "logo", "select": {"box": [0, 0, 0.25, 0.25]}, "fixed": True, "protect": True}
    return recipe_on(dissolve(3, alone=3), tmp_path_factory.mktemp("mixed") / "work", logo)


def test_what_is_protected_is_the_photo_in_a_dissolve_too(whole: Any) -> None:
    photos = whole.excerpt.of(whole.clip)
    for shown, photo in zip(planes(whole), photos, strict=True):
        small = resize(photo.picture.rgb, shown.shape[1:])[:, :12, :22]
        assert float((shown[:, :12, :22] - small).abs().max()) < 1.1 / 255


@pytest.fixture(scope="module")
def whole(stated: dict[str, Any]) -> Any:
    """The clip, painted without a break."""
    return painted(stated)


def test_behind_a_dissolve_nothing_is_left_of_the_scene_before(
    stated: dict[str, Any], whole: Any
) -> None:
    clip = whole.manifest["clip"]
    assert (clip["shots"], clip["mixed"]) == ([0, 6], [3, 4, 5])
    alone = painted(stated, part=Excerpt(start=0.235))
    frames, behind = planes(whole), planes(alone)
    assert len(behind) == 3
    assert all(map(torch.equal, frames[6:], behind))
    middle = frames[2].lerp(frames[6], 0.5)
    assert float((frames[4] - middle).abs().mean()) < 0.05
    assert float((frames[4] - frames[2]).abs().mean()) > 0.05


def test_a_run_that_was_stopped_in_a_dissolve_and_behind_it_gives_the_same_bytes(
    stated: dict[str, Any], whole: Any, tmp_path: Path
) -> None:
    stopped = painted_with_stops(stated, tmp_path / "out.mp4", (5, 7))
    assert all(map(torch.equal, planes(stopped), planes(whole)))
