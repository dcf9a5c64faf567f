"""Wipes are found, and show the paintings of both scenes side by side as the photos are."""

from __future__ import annotations

from collections.abc import Callable
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

from layered_nst.video.clips import Excerpt  # noqa: E402
from layered_nst.video.ends import Ends  # noqa: E402
from layered_nst.video.stored import as_bytes  # noqa: E402
from layered_nst.video.wipes import MOST_SOFT, Wipe  # noqa: E402
from layered_nst.video.wiping import Wiping, mirrored  # noqa: E402

SIZE = HEIGHT, WIDTH = (72, 128)
ONE = MovingPicture(90, SIZE, step=(0.6, 0.1), pan=(-0.3, -0.1))
OTHER = MovingPicture(90, SIZE, "fig.jpg", "dogs.jpg", pan=(0.2, 0.1), step=(-0.4, 0.1))
ROWS, COLUMNS = torch.meshgrid(torch.linspace(0, 1, 72), torch.linspace(0, 1, 128), indexing="ij")
FORMS = {
    "from the left": COLUMNS,
    "from the right": 1 - COLUMNS,
    "from above": ROWS,
    "from below": 1 - ROWS,
    "from a corner": (COLUMNS + ROWS) / 2,
    "a circle that opens": (((COLUMNS - 0.5) * 16 / 9).square() + (ROWS - 0.5).square()).sqrt(),
    "in strips": (4 * COLUMNS) % 1,
}


def wiped(form: str, length: int, *, soft: float = 0.0, alone: int = 12) -> list[Tensor]:
    """Frames of the one scene, ``length`` in which the other takes its place, and frames of it."""
    far = FORMS[form] / FORMS[form].max()
    photos = [frame(ONE, number) for number in range(alone + length)]
    for number in range(length):
        come = (number + 1) / (length + 1) * (1 + soft)
        share = ((come - far) / max(soft, 1e-3)).clamp(0, 1)
        photos[alone + number] = photos[alone + number].lerp(frame(OTHER, number), share)
    return [*photos, *(frame(OTHER, length + number) for number in range(alone))]


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("form", "length", "soft"),
    [
        ("from the left", 5, 0.0),
        ("a circle that opens", 12, 0.2),
        slow("from the right", 12, 0.3),
        slow("from above", 5, 0.2),
        slow("from below", 30, 0.0),
        slow("from a corner", 12, 0.0),
        slow("in strips", 8, 0.0),
    ],
)
def test_a_wipe_is_found_with_its_frames(form: str, length: int, soft: float) -> None:
    (found,) = found_in(wiped(form, length, soft=soft))
    assert isinstance(found, Wipe)
    assert abs(found.first - 11) <= 2
    assert abs(found.last - 12 - length) <= 2
    far = FORMS[form] / FORMS[form].max()
    wanted = 11 + (far + soft / 2) / (1 + soft) * (length + 1)
    assert float((found.over - wanted).abs().median()) < 1
    assert (found.softness > 0) == (soft * length > 2)


def pushed_in(at: Callable[[int], int], thing: str = "dogs.jpg") -> list[Tensor]:
    """A thing larger than the picture, whose left edge is at a column of each frame."""
    with Image.open(PHOTOS / thing) as photo:
        large = np.asarray(photo.convert("RGB").resize((3 * WIDTH, 2 * HEIGHT)), np.float32) / 255
    over = torch.from_numpy(large).movedim(-1, 0)[:, :HEIGHT]
    photos = [frame(ONE, number) for number in range(36)]
    for number, photo in enumerate(photos):
        left, right = max(0, at(number)), min(WIDTH, at(number) + over.shape[2])
        photo[..., left:right] = over[..., left - at(number) : right - at(number)]
    return photos


def opened() -> list[Tensor]:
    """Doors that open, behind which there is another scene."""
    photos = []
    for number in range(36):
        wide = min(64, max(0, 3 * (number - 6)))
        photos.append(frame(OTHER, number))
        photos[-1][..., : 64 - wide] = frame(ONE, 0)[..., wide:64]
        photos[-1][..., 64 + wide :] = frame(ONE, 0)[..., 64 : WIDTH - wide]
    return photos


def panned() -> list[Tensor]:
    """A pan over plain walls: it leaves one view behind, and looks like a dissolve of two."""
    with Image.open(PHOTOS / "castle.jpg") as photo:
        whole = np.asarray(photo.convert("RGB").resize((1400, 1050)), np.float32) / 255
    views = (whole[160:340, left : left + 320] for left in range(2, 398, 12))
    return [torch.from_numpy(view).movedim(-1, 0).contiguous() for view in views]


def shaded() -> list[Tensor]:
    """The shadow of something goes over the scene, from the left."""
    gone = (torch.arange(40)[:, None, None] - 8) / 20
    return [frame(ONE, n) * (1 - 0.8 * (gone[n] > COLUMNS).float()) for n in range(40)]


NO_WIPES: dict[str, Callable[[], list[Tensor]]] = {
    "a thing that comes in and stays": lambda: pushed_in(lambda n: max(-60, 128 - 6 * n)),
    "a thing that goes away": lambda: pushed_in(lambda n: -100 + 5 * max(0, n - 4)),
    "a thing that goes through": lambda: pushed_in(lambda n: 128 - 14 * n),
    "doors that open": opened,
    "a fast pan": panned,
    "a shadow": shaded,
    "a cut": lambda: wiped("from the left", 0),
}


QUICK = ("a thing that comes in and stays", "a fast pan", "a cut")


@pytest.mark.parametrize("what", [name if name in QUICK else slow(name) for name in NO_WIPES])
def test_what_moves_in_or_out_of_sight_is_no_wipe(what: str) -> None:
    assert not found_in(NO_WIPES[what]())


def still(one: Tensor, other: Tensor) -> Tensor:
    return torch.zeros(2, *one.shape[1:])


def test_paintings_lie_side_by_side_where_the_photos_do() -> None:
    length, edges = 4, [0, 25, 51, 76, 102, 128]
    photos = [frame(ONE, 0).clone() for _ in edges]
    for photo, edge in zip(photos, edges, strict=True):
        photo[..., :edge] = frame(OTHER, 0)[..., :edge]
    over = torch.bucketize(torch.arange(32) * 4 + 2, torch.tensor(edges[1:])) + 1
    share = (torch.arange(2 * MOST_SOFT + 1) >= MOST_SOFT).float()
    wipe = Wipe(0, length + 1, over.float().expand(18, 32), share)
    white, black = torch.ones(3, *SIZE), torch.zeros(3, *SIZE)
    led = Wiping(wipe, Ends(list(map(as_bytes, photos)), white, black, still))
    pictures = list(led.pictures())
    assert len(pictures) == length
    for picture, edge in zip(pictures, edges[1:], strict=False):
        assert float(picture[..., : edge - 4].max()) == 0
        assert float(picture[..., edge + 4 :].min()) == 1
        assert float(picture[..., edge - 2].mean()) < 0.3
        assert float(picture[..., edge + 2].mean()) > 0.7


def test_what_a_flow_brings_in_over_the_edge_is_mirrored() -> None:
    back = torch.full((2, 4, 6), -2.0)
    across, down = mirrored(back) + torch.stack(
        torch.meshgrid(torch.arange(6), torch.arange(4), indexing="xy")
    )
    assert across[0].tolist() == [2, 1, 0, 1, 2, 3]
    assert down[:, 0].tolist() == [2, 1, 0, 1]


# Whole runs


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe for a clip of ten frames, in four of which one scene takes another's place."""
    photos = wiped("from the left", 4, alone=3)
    return recipe_on(photos, tmp_path_factory.mktemp("wiped") / "work")


@pytest.fixture(scope="module")
def whole(stated: dict[str, Any]) -> Any:
    """The clip, painted without a break."""
    return painted(stated)


def test_a_wipe_shows_both_paintings_and_leaves_nothing_of_the_first_behind(
    stated: dict[str, Any], whole: Any
) -> None:
    clip = whole.manifest["clip"]
    assert (clip["shots"], clip["mixed"]) == ([0, 7], [3, 4, 5, 6])
    alone = painted(stated, part=Excerpt(start=0.275))
    frames, behind = planes(whole), planes(alone)
    assert len(behind) == 3
    assert all(map(torch.equal, frames[7:], behind))
    assert float((frames[4][..., :24] - frames[7][..., :24]).abs().mean()) < 0.06
    assert float((frames[4][..., 54:] - frames[2][..., 54:]).abs().mean()) < 0.06
    assert float((frames[7] - frames[2]).abs().mean()) > 0.08


def test_a_run_that_was_stopped_in_a_wipe_and_behind_it_gives_the_same_bytes(
    stated: dict[str, Any], whole: Any, tmp_path: Path
) -> None:
    stopped = painted_with_stops(stated, tmp_path / "out.mp4", (5, 8))
    assert all(map(torch.equal, planes(stopped), planes(whole)))
