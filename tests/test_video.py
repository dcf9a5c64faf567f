"""Clips are painted steadily: flow, regions in time, losses, shots, what is kept and resumed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_tiles import both, distance, plan_of, problem_of
from torch import Tensor
from workbench import lay_out, run

import layered_nst
from layered_nst import apply_video
from layered_nst.errors import CheckpointError, ClipError, Interrupted, OutputError
from layered_nst.networks.encoders import load_encoder
from layered_nst.painting.losses.temporal import Anchor, Steadiness, colors_under
from layered_nst.painting.objective import Objective
from layered_nst.painting.problem import Colors, Earlier
from layered_nst.picture import Picture

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")

from moving_pictures import MovingPicture, warping_error  # noqa: E402

from layered_nst.video import frames  # noqa: E402
from layered_nst.video.carrying import carried, settled  # noqa: E402
from layered_nst.video.clips import Excerpt  # noqa: E402
from layered_nst.video.earlier import _stands  # noqa: E402
from layered_nst.video.fades import Fades, shown  # noqa: E402
from layered_nst.video.filling import Sighted, joined, painted_as_before  # noqa: E402
from layered_nst.video.flow import (  # noqa: E402
    Motion,
    dis,
    evened,
    gone_since,
    hidden_by,
    mended,
    motion,
    moved,
    repainted,
)
from layered_nst.video.fusion import fused  # noqa: E402
from layered_nst.video.keeping import FORMAT, FrameStore  # noqa: E402
from layered_nst.video.keys import between, led_back  # noqa: E402
from layered_nst.video.leaving import ClipTargets  # noqa: E402
from layered_nst.video.outdated import (  # noqa: E402
    comes_in,
    drawn_along,
    led_on,
    left_drawn,
    outdated,
    painted_of,
)
from layered_nst.video.refinding import Thing  # noqa: E402
from layered_nst.video.steady import USUAL, SteadyMoments  # noqa: E402

SMALL = MovingPicture(6, (54, 96), pan=(-0.8, 0.3), step=(1.5, 0.4))
SEED = torch.Generator().manual_seed(0)
STEPS = ("optimize.levels=[48, 96]", "optimize.steps=[6, 2]", "video.steps=2")


def picture(clip: MovingPicture, number: int) -> Tensor:
    return torch.from_numpy(clip.frame(number)).movedim(-1, 0).contiguous()


# Losses


def test_steadiness_is_the_weighted_mean_of_squared_gaps() -> None:
    draw = torch.Generator().manual_seed(0)
    now = torch.rand(1, 3, 5, 7, generator=draw)
    earlier = [
        Earlier(torch.rand(3, 5, 7, generator=draw), torch.rand(5, 7, generator=draw))
        for _ in range(2)
    ]
    told = 0.0
    for one in earlier:
        for row in range(5):
            for column in range(7):
                gap = (now[0, :, row, column] - one.picture[:, row, column]).double()
                told += float(one.reliability[row, column]) * float((gap**2).sum()) / (3 * 35)
    found = Steadiness.of(earlier, (5, 7), 2.0).terms(now)["temporal"]
    assert float(found) == pytest.approx(2.0 * told, rel=1e-5)


def test_the_anchor_holds_means_and_spreads_of_colors() -> None:
    draw = np.random.default_rng(0)
    now, mask = draw.random((3, 6, 8)), draw.random((6, 8))
    flat, weight = now.reshape(3, -1), (mask / mask.sum()).ravel()
    mean, spread = np.average(flat, 1, weight), np.cov(flat, aweights=weight, ddof=0)
    wanted = Colors(torch.rand(3), torch.eye(3) * 0.1)
    gap = ((mean - wanted.mean.numpy()) ** 2).sum()
    gap += ((spread - wanted.spread.numpy()) ** 2).sum() / 0.3
    anchor = Anchor(5.0, torch.from_numpy(mask)[None].float(), [wanted])
    found = anchor.terms(torch.from_numpy(now)[None].float())["anchor"]
    assert float(found) == pytest.approx(5.0 * mask.mean() * gap, rel=1e-4)
    own = Colors(*colors_under(torch.from_numpy(now).float(), torch.from_numpy(mask).float()))
    assert (
        float(replace(anchor, wanted=[own]).terms(torch.from_numpy(now)[None].float())["anchor"])
        < 1e-9
    )


def test_a_frame_in_tiles_is_held_as_at_once() -> None:
    encoder, asked = load_encoder("light"), problem_of(96, 80)
    held = Earlier(
        asked.photo.flip(2), torch.rand(96, 80, generator=torch.Generator().manual_seed(3))
    )
    anchor = Colors(torch.tensor([0.3, 0.5, 0.7]), torch.eye(3) * 0.02)
    regions = [replace(region, anchor=anchor) for region in asked.regions]
    asked = replace(asked, earlier=[held], steadiness=300.0, regions=regions)
    _, (terms, gradient), (found, tiled) = both(encoder, asked, plan_of((96, 1)), 48)
    assert terms["temporal"] > 0
    assert terms["anchor"] > 0
    for name in ("temporal", "anchor"):
        assert found[name] == pytest.approx(terms[name], rel=1e-4)
    assert distance(tiled, gradient) < 1e-3


def test_a_photo_knows_nothing_of_time() -> None:
    encoder, asked = load_encoder("light"), problem_of(48, 64)
    terms, _ = Objective(encoder, asked, plan_of((64, 1)), (48, 64)).backward(asked.start[None])
    assert not {"temporal", "anchor"} & {*terms}


# Flow


def test_the_flow_is_near_to_the_exact_one_where_it_is_relied_on() -> None:
    clip = MovingPicture(3, (90, 160))
    found = motion(picture(clip, 2), picture(clip, 0), dis)
    exact, seen = clip.flow(2, 0)
    sure = (found.reliability > 0.5) & seen
    assert float(sure.float().mean()) > 0.6
    assert float((found.back - exact).norm(dim=0)[sure].median()) < 0.3


def test_what_was_hidden_is_not_relied_on() -> None:
    """A square moves right by four px over noise: what it uncovers was not in sight."""
    noise = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(1))
    noise = torch.nn.functional.avg_pool2d(noise[None], 3, 1, 1)[0]
    then, now = noise.clone(), noise.clone()
    square = noise.flip(2)[:, :24, :24]
    then[:, 20:44, 20:44], now[:, 20:44, 24:48] = square, square
    found = motion(now, then, dis)
    assert float(found.reliability[24:40, 21:23].mean()) < 0.3
    assert float(found.reliability[5:15, 60:75].mean()) > 0.6
    assert float(found.reliability[26:38, 30:42].mean()) > 0.6


def test_what_comes_in_by_parts_of_a_pixel_is_painted_and_not_drawn_along() -> None:
    """Else a slow pan draws the picture's last row along, frame after frame, as a comb."""
    clip = MovingPicture(6, (90, 160), pan=(0, -0.3), step=(0, 0))
    drawn, new = torch.zeros(2, 90, 160).half(), []
    for number in range(1, 6):
        drawn = drawn_along(motion(picture(clip, number), picture(clip, number - 1), dis), drawn)
        new.append(comes_in(drawn).any(0).float().mean(1))
        drawn = left_drawn(drawn)
    rows = torch.stack(new)
    assert rows[0, -1] < 0.2
    assert 1.2 < float(rows[:, -1].sum()) < 2.8  # of 1.5 px that came in
    assert float(rows[:, 1:-1].sum()) == 0


def test_nothing_comes_in_where_a_camera_stands_still() -> None:
    clip = MovingPicture(4, (90, 160), pan=(0, 0), step=(0, 0), noise=0.004)
    drawn = torch.zeros(2, 90, 160).half()
    for number in range(1, 4):
        drawn = drawn_along(motion(picture(clip, number), picture(clip, number - 1), dis), drawn)
    assert float(comes_in(drawn).float().sum()) == 0


def test_the_ground_beside_a_thing_does_not_go_along_with_it() -> None:
    """Inverse search smooths motions over the borders of things; fusing them takes that back."""
    clip = MovingPicture(2, (90, 160), "mountain.jpg", "coffee.jpg", pan=(-1, 0), step=(3, 0))
    now, then = (picture(clip, n).movedim(0, -1).contiguous() for n in (1, 0))
    exact, seen = clip.flow(1, 0)
    found = dis(picture(clip, 1), picture(clip, 0))
    better = torch.from_numpy(fused(found.numpy(), now.numpy(), then.numpy()))
    astray = [
        float(((flow - exact).norm(dim=0)[seen] > 1).float().mean()) for flow in (found, better)
    ]
    assert astray[1] < 0.7 * astray[0]


def test_what_stands_still_stands_still_in_noise() -> None:
    clip = MovingPicture(2, (90, 160), pan=(0, 0), step=(0, 0), noise=0.004)
    now, then = (picture(clip, n).movedim(0, -1).contiguous() for n in (1, 0))
    wander = 0.07 * np.random.default_rng(1).standard_normal((2, 90, 160)).astype(np.float32)
    assert (fused(wander, now.numpy(), then.numpy()) == 0).mean() > 0.95


def test_a_motion_that_nothing_explains_better_stays_as_it_was() -> None:
    flow = np.full((2, 90, 160), 2.5, np.float32)
    frame = picture(MovingPicture(1, (90, 160)), 0).movedim(0, -1).numpy()
    assert (fused(flow, frame, 1 - frame) == flow).mean() > 0.7


def test_moving_makes_nothing_lighter_or_darker_than_it_was() -> None:
    edge = (torch.arange(40) > 20).float().expand(1, 40, 40).contiguous()
    back = torch.full((2, 40, 40), 0.4)
    for _ in range(20):
        edge = moved(edge, back)
    assert [float(edge.min()), float(edge.max())] == [0, 1]


def test_what_is_new_has_the_colors_of_what_it_joins_on_to() -> None:
    share = torch.ones(60, 80)
    share[:, 50:] = 0
    new = torch.full((3, 60, 80), 0.3)
    found = joined(new, 0.5 * share.expand(3, 60, 80), share)
    assert torch.allclose(found[:, :, 50], torch.tensor(0.5), atol=0.03)
    assert torch.allclose(found[:, :, 70:], torch.tensor(0.3), atol=1e-4)


def test_a_flow_that_comes_back_hides_nothing_and_one_that_does_not_does() -> None:
    back = torch.zeros(2, 20, 30)
    back[0] = -3
    hidden = hidden_by(back, -back)
    assert not hidden[:, 4:].any()
    assert hidden[:, :2].all()  # from outside
    assert hidden_by(back, torch.zeros(2, 20, 30))[:, 4:].all()


@pytest.mark.parametrize("light", [lambda x: x * 0.3, lambda x: 0.5 + x * 0.5])
def test_a_fade_and_a_flash_are_no_cuts(light: Any) -> None:
    clip = MovingPicture(2, (90, 160))
    assert motion(light(picture(clip, 1)), picture(clip, 0), dis).seen > 0.6


def test_another_scene_is_a_cut() -> None:
    one, other = MovingPicture(1, (90, 160)), MovingPicture(1, (90, 160), "fig.jpg", "dogs.jpg")
    assert motion(picture(one, 0), picture(other, 0), dis).seen < 0.1


def test_evening_out_takes_light_and_contrast_away() -> None:
    photo = picture(MovingPicture(1, (90, 160)), 0)
    gap = evened(photo).astype(int) - evened(photo * 0.5 + 0.2)
    assert np.abs(gap).mean() < 8


def test_what_comes_into_sight_on_a_plain_ground_goes_with_neither_of_two_motions() -> None:
    """Both explain it, and their mean does: the ground would be drawn along as a smear."""
    plain = torch.full((3, 60, 90), 0.5)
    back, sure = torch.zeros(2, 60, 90), torch.ones(60, 90)
    back[0, :, 45:], sure[:, 41:45] = -4.0, 0.0
    found = mended(Motion(back, sure), plain, plain)
    assert float(found.reliability[:, 41:45].max()) == 0
    back[0] = -4.0
    assert float(mended(Motion(back, sure), plain, plain).reliability.min()) > 0.5


def test_spots_of_a_sky_that_seem_to_move_stand_still_with_it() -> None:
    slow = torch.ones(40, 60, dtype=torch.bool)
    same = slow.clone()
    slow[5:8, 5:8] = False  # a spot
    slow[20:36, 10:50] = False  # too large for one
    slow[2:5, 50:53], same[3, 51] = False, False  # something that does move
    wanted = slow.clone()
    wanted[5:8, 5:8] = True
    assert torch.equal(_stands(slow, same), wanted)
    assert bool(_stands(torch.ones(4, 4).bool(), torch.ones(4, 4).bool()).all())


def _of_something_else(photos: list[Tensor]) -> list[Tensor]:
    """Where each photo behind the first is not what was painted, and yet the flow knows where it
    was, (H, W), bool."""
    told, of, ripe = [], painted_of(photos[0]), torch.ones(photos[0].shape[1:])
    for before, now in pairwise(photos):
        found = motion(now, before, dis)
        soft = painted_of(now)
        sure, other = found.reliability > 0.5, outdated(found, soft, of, ripe)
        told.append(sure & other)
        known = sure & ~other
        of = torch.where(known, led_on(of, found, soft, known.float()), soft)
    return told


def test_paint_under_a_caption_that_fades_in_and_out_is_of_something_else() -> None:
    clip = MovingPicture(15, (90, 160))
    shares = [0, 0, *(n / 6 for n in range(1, 7)), 1, *(n / 5 for n in range(5, -1, -1))]
    photos = [picture(clip, number) for number in range(15)]
    for photo, share in zip(photos, shares, strict=True):
        photo[:, 60:80, 20:90] *= 1 - share
    told = _of_something_else(photos)
    inside, outside = (slice(62, 78), slice(24, 86)), torch.ones(90, 160, dtype=torch.bool)
    outside[54:86, 14:96] = False
    assert not told[0].any()
    for spell in (told[1:8], told[8:]):  # what counts as hidden is painted anew as well
        assert float(torch.stack(spell).any(0)[inside].float().mean()) > 0.6
    assert float(torch.stack(told).float().mean(0)[outside].mean()) < 0.01


def test_paint_of_what_a_camera_passes_while_light_falls_is_of_that() -> None:
    clip = MovingPicture(12, (90, 160))
    told = _of_something_else([picture(clip, n) * (1 - 0.04 * n) for n in range(12)])
    assert float(torch.stack(told).float().mean()) < 0.01


def test_moving_by_whole_pixels_moves_them() -> None:
    photo = picture(SMALL, 0)
    back = torch.zeros(2, *SMALL.size)
    back[0] = 5
    assert torch.allclose(moved(photo, back)[:, :, 10:-10], photo[:, :, 15:-5], atol=1e-5)


# Regions in time


def test_a_mask_goes_with_the_thing_and_leaves_what_comes_into_sight() -> None:
    clip = MovingPicture(10, (90, 160), step=(2.0, 0.4))
    mask = torch.from_numpy((clip.mask(0) > 0.5).astype(np.float32))
    for number in range(1, 10):
        mask = carried(mask, motion(picture(clip, number), picture(clip, number - 1), dis))
    found, exact = settled(mask) > 0.5, torch.from_numpy(clip.mask(9) > 0.5)
    assert float((found & exact).sum() / (found | exact).sum()) > 0.93


def striped(period: float, size: tuple[int, int] = (120, 160)) -> Tensor:
    """Strokes as stripes, shape (3, H, W)."""
    waves = 0.5 + 0.2 * torch.sin(torch.arange(size[1]) * 2 * torch.pi / period)
    return waves.expand(3, *size).contiguous()


def shown_in_two_colors(border: int, whose_border: int = 160) -> Sighted:
    """A photo that is light left of a border and dark right of it; regions beside another."""
    photo, whose = torch.full((3, 120, 160), 0.8), torch.zeros(120, 160, dtype=torch.uint8)
    photo[:, :, border:] = 0.2
    whose[:, whose_border:] = 1
    return Sighted(photo, whose)


def test_what_goes_on_behind_a_window_is_painted_as_it_was_there() -> None:
    """Nothing there can be followed, so what was in its place is out of sight."""
    seen, canvas = shown_in_two_colors(80), striped(5)
    lacking = torch.zeros(120, 160, dtype=torch.bool)
    lacking[:, 100:140] = True
    found, alike = painted_as_before(seen, seen, canvas, lacking, lacking)
    assert (alike[:, 106:134] == 1).all()
    assert torch.allclose(found[:, :, 106:134], canvas[:, :, 106:134], atol=1e-4)


def test_what_comes_into_sight_is_painted_as_what_looks_like_it_some_way_off() -> None:
    """Not as what is beside it, which is still in sight, nor as another region."""
    now, before = shown_in_two_colors(60, 60), shown_in_two_colors(40, 40)
    canvas, gone = striped(160), torch.zeros(120, 160, dtype=torch.bool)
    lacking = torch.zeros_like(gone)
    lacking[:, 40:60] = True  # light, and of the left region
    found, _ = painted_as_before(now, before, canvas, lacking, gone)
    assert torch.allclose(found[:, 30:90, 44:48], canvas[:, 30:90, 20:24], atol=0.02)
    assert torch.allclose(found[:, 30:90, 50:54], canvas[:, 30:90, 2:6], atol=0.02)  # further off


@pytest.mark.parametrize("over", ["top", "side"])
def test_what_comes_in_over_an_edge_is_not_the_strip_there_again(over: str) -> None:
    """In a plain picture, where any place looks like any other."""
    plain = Sighted(torch.full((3, 120, 160), 0.5), torch.zeros(120, 160))
    canvas = torch.rand(3, 120, 160, generator=SEED)
    lacking, nowhere = (torch.zeros(120, 160, dtype=torch.bool) for _ in range(2))
    strip, place = {
        "top": ((slice(0, 4), slice(20, 140)), (slice(96, 100), slice(20, 140))),
        "side": ((slice(20, 100), slice(156, 160)), (slice(20, 100), slice(60, 64))),
    }[over]
    lacking[strip] = True
    comes_in = torch.stack([lacking, nowhere] if over == "top" else [nowhere, lacking])
    found, _ = painted_as_before(plain, plain, canvas, lacking, nowhere, comes_in=comes_in)
    wanted = canvas[:, *place]
    assert torch.allclose(found[:, *strip], wanted, atol=0.02)


def test_what_looks_like_nothing_before_is_painted_at_once() -> None:
    now, before = shown_in_two_colors(80), shown_in_two_colors(160)
    everything = torch.ones(120, 160, dtype=torch.bool)
    _, alike = painted_as_before(now, before, striped(5), everything, everything)
    assert (alike[:, 100:] == 0).all()
    assert (alike[:, :60] == 1).all()


def test_what_is_followed_is_not_gone() -> None:
    back = torch.zeros(2, 40, 60)
    back[0] = 10.0
    gone = gone_since(Motion(back, torch.ones(40, 60)))
    assert gone[:, :8].all()
    assert not gone[:, 12:].any()
    assert gone_since(Motion(back, torch.zeros(40, 60))).all()


def test_a_painting_that_moves_by_parts_of_pixels_keeps_its_grain() -> None:
    canvas = striped(160) + 0.1 * (torch.rand(3, 120, 160, generator=SEED) - 0.5)
    back = torch.full((2, 120, 160), 0.4)
    plain = kept = canvas
    for _ in range(6):
        plain, kept = moved(plain, back), repainted(kept, back)

    def grain(planes: Tensor) -> float:
        inner = planes[:, 20:-20, 20:-20]
        return float((inner[:, 1:, 1:] - inner[:, :-1, :-1]).square().mean().sqrt())

    assert grain(plain) < 0.6 * grain(canvas)
    assert grain(kept) == pytest.approx(grain(canvas), rel=0.2)
    whole = repainted(canvas, torch.full_like(back, 2.0))[:, 20:-20, 20:-20]
    assert torch.allclose(whole, canvas[:, 22:-18, 22:-18], atol=1e-3)


# Whole runs


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with styles, a clip as frames, and one as a film."""
    folder = lay_out(tmp_path_factory.mktemp("video") / "work")
    SMALL.write(folder / "clip")
    _film(folder / "clip.mp4", [SMALL.frame(n) for n in range(SMALL.frames)])
    return folder


def _film(path: Path, frames: list[Any]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=25, options={"crf": "10", "b:v": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for number, pixels in enumerate(frames):
            eight = (pixels * 255 + 0.5).astype(np.uint8)
            shown = av.VideoFrame.from_ndarray(eight, format="rgb24").reformat(format="yuv420p")
            shown.pts, shown.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(shown))
        file.mux(stream.encode(None))


def recipe(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "recipe": 1,
        "content": str(folder / "clip"),
        "size": 96,
        "regions": [
            {"name": "ground", "select": "rest", "style": str(folder / "stripes.png")},
            {
                "name": "thing",
                "select": {"ellipse": SMALL.ellipse()},
                "style": str(folder / "dots.png"),
            },
        ],
        "optimize": {"quality": "draft"},
        **more,
    }


def painted(folder: Path, **options: Any) -> layered_nst.VideoResult:
    stated = options.pop("recipe", None) or recipe(folder)
    return apply_video(stated, overrides=STEPS, cache=False, **options)


def test_a_clip_in_print_takes_as_much_memory_as_a_print(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layered_nst.strategies.budget import PRINTS_TAKE
    from layered_nst.video import running

    class SettledError(Exception):
        """The memory of a run is settled."""

    def settle(*_: Any, **told: Any) -> None:
        raise SettledError(told["enough"])

    monkeypatch.setattr(running, "make_room", settle)
    for quality, enough in (("print", PRINTS_TAKE), ("draft", None)):
        with pytest.raises(SettledError) as settled:
            painted(work, quality=quality)
        assert settled.value.args == (enough,)


def planes(result: layered_nst.VideoResult) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(f) / np.float32(255)).movedim(-1, 0) for f in result]


def test_a_clip_is_steadier_than_its_frames_painted_each_alone(work: Path) -> None:
    frames = planes(painted(work))
    assert len(frames) == SMALL.frames
    alone = [
        layered_nst.apply(
            recipe(work),
            work / "clip" / f"{n:04d}.png",
            overrides=[*STEPS, "regions.thing.fixed=true"],
        ).rgb
        for n in (2, 3)
    ]
    steps = [
        warping_error(frames[n], frames[n - 1], *SMALL.flow(n, n - 1))
        for n in range(1, len(frames))
    ]
    alone_apart = warping_error(alone[1], alone[0], *SMALL.flow(3, 2))
    # Strokes that are laid by light make small frames painted alone steadier too.
    assert sum(steps) / len(steps) < 0.6 * alone_apart


def test_the_first_frame_is_what_the_photo_would_be(work: Path) -> None:
    first = planes(painted(work, part=Excerpt(end=0.01)))[0]
    alone = layered_nst.apply(
        recipe(work), work / "clip" / "0000.png", overrides=[*STEPS, "regions.thing.fixed=true"]
    )
    assert float((first - alone.rgb).abs().max()) < 1 / 255


def losses_of(work: Path, *, steps: int, end: float) -> list[list[float]]:
    """The loss before each step, frame by frame, of a clip until ``end`` in seconds."""
    seen: list[list[float]] = [[]]
    result = apply_video(
        recipe(work),
        overrides=("optimize.levels=[48, 96]", "optimize.steps=[12, 6]", f"video.steps={steps}"),
        cache=False,
        part=Excerpt(end=end),
        on_progress=lambda told: seen[-1].append(told.losses["total"]),
        on_frame=lambda _: seen.append([]),
    )
    return seen[: len(result)]


def test_steps_of_the_second_frame_are_as_long_as_those_of_the_first_were(work: Path) -> None:
    """By what the shot's first painting has taught; by itself a first step only feels its way."""
    first, second = losses_of(work, steps=2, end=0.05)[1]
    assert second < 0.985 * first


def test_what_steps_have_shown_of_the_loss_goes_along_to_the_next_frame(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second frame the loss falls further than without it."""

    def last_loss() -> float:
        losses = losses_of(work, steps=3, end=0.1)
        assert len(losses) == 3
        return losses[1][-1] / losses[1][0]

    carried_along = last_loss()
    monkeypatch.setattr(
        frames.FramePainter, "_recall", lambda self, *_: setattr(self.lessons, "pairs", ())
    )
    assert carried_along < 0.99 * last_loss()


def test_what_an_optimizer_knows_of_pixels_goes_where_they_go() -> None:
    plane = torch.rand(1, 3, 20, 30, generator=SEED)
    back = torch.zeros(2, 20, 30)
    back[0] = 2.0
    sure = torch.ones(20, 30)
    sure[:5] = 0
    there = frames._moved_along(plane.bfloat16(), Motion(back, sure))
    assert torch.allclose(there[..., 5:, :28], plane[..., 5:, 2:], atol=4e-3)
    assert float(there[..., :5, :].abs().max()) == 0


def test_a_still_clip_stays_the_same_and_is_painted_once(work: Path, tmp_path: Path) -> None:
    still = MovingPicture(4, (54, 96), pan=(0, 0), step=(0, 0))
    stated = recipe(work, content=str(still.write(tmp_path / "still")))
    steps = []
    result = painted(work, recipe=stated, on_progress=steps.append)
    frames = planes(result)
    assert all(torch.equal(frame, frames[0]) for frame in frames)
    assert len(steps) == 8  # those of the first frame


def test_a_cut_begins_a_shot_and_nothing_leaks_over_it(work: Path, tmp_path: Path) -> None:
    other = MovingPicture(3, (54, 96), "fig.jpg", "dogs.jpg")
    folder = tmp_path / "cut"
    SMALL.write(folder)
    for number in range(3):
        pixels = (other.frame(number) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number + 3:04d}.png")
    result = painted(work, recipe=recipe(work, content=str(folder)))
    assert [line["shot"] for line in result.store.lines] == [1, 1, 1, 2, 2, 2]
    alone = apply_video(
        recipe(work, content=str(folder)), overrides=STEPS, cache=False, part=Excerpt(start=0.12)
    )
    assert float((planes(result)[3] - planes(alone)[0]).abs().max()) < 2 / 255


def test_a_flash_is_not_a_shot(work: Path, tmp_path: Path) -> None:
    folder = SMALL.write(tmp_path / "flash")
    bright = (0.6 + 0.4 * SMALL.frame(3)) * 255
    Image.fromarray(bright.astype(np.uint8)).save(folder / "0003.png")
    assert painted(work, recipe=recipe(work, content=str(folder))).shots == 1


@pytest.mark.parametrize(
    ("light", "expected"),
    [
        (lambda photo: 0 * photo, 0),
        (lambda photo: 0 * photo + 1, 0),
        (lambda photo: 0.012 * torch.rand(photo.shape), 0),
        (lambda photo: 0.1 * photo, 0.4),
        (lambda photo: 0.9 + 0.1 * photo, 0.5),
        (lambda photo: 0.4 * photo, 1),
        (lambda photo: 0 * photo + 0.5, 1),
        (lambda photo: photo, 1),
    ],
)
def test_black_and_white_show_nothing_and_the_ends_of_fades_something(
    light: Any, expected: float
) -> None:
    photo = Picture(light(picture(SMALL, 0)).clamp(0, 1))
    assert shown(photo) == pytest.approx(expected, abs=0.15)
    assert shown(photo) in (0, 1) or 0 < expected < 1


def test_what_is_clear_shows_nothing() -> None:
    photo = Picture(picture(SMALL, 0), torch.zeros(SMALL.size))
    assert shown(photo) == 0
    half = torch.zeros(SMALL.size)
    half[:27] = 1
    assert shown(Picture(photo.rgb, half)) == 1


@pytest.mark.parametrize(
    ("light", "number", "expected"),
    [
        (lambda n: 0.1, 30, 1),  # a night
        (lambda n: 0.1 + 0.002 * (n % 2), 30, 1),
        (lambda n: 0.1 if n < 31 else 1, 30, 1),  # day breaks with a cut
        (lambda n: n / 60, 6, 0.4),  # a fade
        (lambda n: (60 - n) / 60, 54, 0.4),
        (lambda n: min(n / 60, 0.1), 3, 0.5),  # a fade to a night
        (lambda n: 0, 30, 0),
        (lambda n: 0.01, 30, 0),
    ],
)
def test_a_night_is_a_picture_and_a_fade_is_on_its_way_to_one(
    light: Any, number: int, expected: float
) -> None:
    day = picture(SMALL, 0) / float(picture(SMALL, 0).max())
    film = [Picture(day * light(n)) for n in range(61)]
    found = Fades(lambda: iter(film)).shown(number, film[number])
    assert found == pytest.approx(expected, abs=0.12)


def test_a_film_that_fades_in_from_black_begins_with_its_first_picture(
    work: Path, tmp_path: Path
) -> None:
    """And black in between stays black, and what comes behind it goes on as before."""
    folder = tmp_path / "fade"
    folder.mkdir()
    for number, (at, light) in enumerate([(0, 0), (0, 0.1), (1, 1), (1, 0), (2, 1)]):
        pixels = (SMALL.frame(at) * light * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    stated = recipe(work, content=str(folder))
    output = tmp_path / "out.mp4"
    with pytest.raises(Interrupted):
        painted(work, recipe=stated, output=output, on_frame=lambda told: _stop_at(told.frame, 4))
    result = painted(work, recipe=stated, output=output, resume=True)
    frames = planes(result)
    assert float(frames[0].max()) == float(frames[3].max()) == 0
    assert 0.05 < float(frames[1].mean()) < 0.8 * float(frames[2].mean())
    assert result.shots == 1
    clip = result.manifest["clip"]
    assert (clip["shots"], clip["blank"]) == ([1], [0, 3])
    back, seen = SMALL.flow(2, 1)
    assert warping_error(frames[4], frames[2], back, seen) < 0.01
    assert float((result.poster().rgb - frames[2]).abs().max()) == 0
    whole = painted(work, recipe=stated)
    assert all(map(torch.equal, frames, planes(whole)))


def test_a_film_of_black_alone_stays_black(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "black"
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (96, 54)).save(folder / f"{number}.png")
    steps: list[Any] = []
    result = painted(work, recipe=recipe(work, content=str(folder)), on_progress=steps.append)
    assert [float(frame.max()) for frame in planes(result)] == [0, 0]
    assert not steps
    assert result.manifest["clip"]["shots"] == []


def test_a_cut_at_every_frame_is_painted_frame_by_frame(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cuts"
    folder.mkdir()
    for number, name in enumerate(("fig", "coffee", "castle")):
        photo = Image.open(Path(__file__).parents[1] / "assets" / "photos" / f"{name}.jpg")
        photo.convert("RGB").resize((96, 54)).save(folder / f"{number}.png")
    result = painted(work, recipe=recipe(work, content=str(folder)))
    assert result.shots == 3


def test_a_region_that_goes_and_comes_back_is_painted_when_it_is_there(
    work: Path, tmp_path: Path
) -> None:
    """An orange square leaves the picture for two frames; the region is found by its color."""
    folder = tmp_path / "back"
    folder.mkdir()
    for number, left in enumerate((20, 70, 200, 200, 60, 30)):
        pixels = (SMALL.frame(0) * 120).astype(np.uint8)
        pixels[10:40, left : left + 25] = (255, 140, 0)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    stated = recipe(work, content=str(folder))
    stated["regions"][1]["select"] = {"color": [255, 140, 0]}
    result = apply_video(stated, overrides=(*STEPS, "video.segment_every=1"), cache=False)
    shares = [line["coverage"]["thing"] for line in result.store.lines]
    assert shares[0] > 0.1
    assert shares[3] == 0
    assert shares[5] > 0.1


def test_a_drawn_thing_that_jumps_is_found_again_and_one_that_goes_is_told(work: Path) -> None:
    """It jumps by a third of the picture, then it is gone for two frames."""
    folder = work / "jumps"
    folder.mkdir()
    clips = [
        MovingPicture(1, (72, 128), pan=(0, 0), step=(left, 0), large=0.3)
        for left in (0, 45, 45, 400, 400, 20)
    ]
    for number, clip in enumerate(clips):
        Image.fromarray((clip.frame(1) * 255).astype(np.uint8)).save(folder / f"{number}.png")
    stated = recipe(work, content=str(folder))
    stated["regions"][1]["select"] = {"ellipse": clips[0].ellipse(1)}
    result = apply_video(
        stated,
        overrides=("optimize.levels=[96]", "optimize.steps=[1]", "video.steps=1"),
        cache=False,
    )
    lines = result.store.lines
    assert [line.get("lost", []) for line in lines] == [[], [], [], ["thing"], ["thing"], []]
    (note,) = (note for note in result.notes if "is not to be seen" in note)
    assert note.startswith("jumps, frames 3 to 4 (0.12 s): what region thing was drawn on")
    shares = [line["coverage"]["thing"] for line in lines]
    assert shares[5] == pytest.approx(shares[0], rel=0.05)


def test_a_thing_is_looked_for_where_it_has_jumped_to() -> None:
    clip = MovingPicture(2, (180, 320), step=(60, 10), pan=(0, 0), large=0.2)
    mask = torch.from_numpy(clip.mask(0))
    found, is_there = Thing.of(picture(clip, 0), mask).followed(picture(clip, 1), mask)
    assert is_there
    assert float((found - torch.from_numpy(clip.mask(1))).abs().mean()) < 0.002
    plain = torch.full((3, 180, 320), 0.5)
    assert not Thing.of(picture(clip, 0), mask).followed(plain, mask)[1]
    assert Thing.of(plain, mask).followed(picture(clip, 1), mask)[1]


def test_key_frames_draw_a_region_anew(work: Path) -> None:
    stated = recipe(work)
    boxes = {0: {"box": [0, 0, 0.25, 1]}, 3: {"box": [0.5, 0, 1, 1]}}
    stated["regions"][1]["select"] = {"frames": boxes}
    shares = [line["coverage"]["thing"] for line in painted(work, recipe=stated).store.lines]
    assert shares[0] == pytest.approx(0.25, abs=0.02)
    assert shares[2] == pytest.approx(0.25, abs=0.06)
    assert shares[3] == pytest.approx(0.5, abs=0.02)


def test_between_key_frames_a_border_goes_from_the_one_to_the_other() -> None:
    disks = [torch.from_numpy(_disk(radius)) for radius in (12, 20)]
    for share in (0, 0.3, 1):
        radius = 12 + 8 * share
        found = between(*disks, share)
        assert float((found - torch.from_numpy(_disk(radius))).abs().mean()) < 0.01
    apart = torch.zeros(80, 80)
    apart[:, 70:] = 1
    assert torch.equal(between(disks[0], apart, 0.5), disks[0])  # not of one thing


def _disk(radius: float) -> np.ndarray:
    y, x = np.mgrid[:80, :80] - 39.5
    return (radius - np.hypot(x, y) + 0.5).clip(0, 1).astype(np.float32)


def test_a_mask_is_led_back_from_the_next_key_frame() -> None:
    """What is drawn at frame 9 alone says where the thing is in frame 1."""
    clip = MovingPicture(10, (90, 160), step=(2.0, 0.4))

    def ahead(first: int, last: int) -> Iterator[Picture]:
        return (Picture(picture(clip, number)) for number in range(first, last + 1))

    drawn = torch.from_numpy((clip.mask(9) > 0.5).astype(np.float32))
    span = led_back(lambda _: drawn, ahead, (0, 9), dis, carried)
    mask, share = span.at(1)
    assert share == pytest.approx(1 / 9)
    found, exact = mask > 0.5, torch.from_numpy(clip.mask(1) > 0.5)
    assert float((found & exact).sum() / (found | exact).sum()) > 0.9


def test_a_mask_is_not_led_back_over_a_cut_or_from_behind_the_end() -> None:
    clips = SMALL, MovingPicture(6, (54, 96), "fig.jpg", "dogs.jpg")

    def ahead(first: int, last: int) -> Iterator[Picture]:
        return (
            Picture(picture(clips[number >= 3], number))
            for number in range(first, min(last, 5) + 1)
        )

    full = torch.ones(54, 96)
    span = led_back(lambda _: full, ahead, (0, 5), dis, carried)
    assert [span.at(number) is None for number in (1, 2, 3, 4)] == [True, True, False, False]
    assert led_back(lambda _: full, ahead, (0, 9), dis, carried).at(8) is None


def test_a_fixed_shape_stays_where_it_is(work: Path) -> None:
    stated = recipe(work)
    stated["regions"][1] |= {"select": {"box": [0, 0, 0.25, 1]}, "fixed": True}
    shares = {line["coverage"]["thing"] for line in painted(work, recipe=stated).store.lines}
    assert len(shares) == 1


def test_protected_pixels_are_those_of_each_frame(work: Path) -> None:
    stated = recipe(work)
    stated["regions"][1] |= {"select": {"box": [0, 0, 0.25, 1]}, "fixed": True, "protect": True}
    del stated["regions"][1]["style"]
    for number, frame in enumerate(planes(painted(work, recipe=stated))):
        gap = (frame - picture(SMALL, number))[:, :, :20].abs().max()
        assert float(gap) < 1.01 / 255, number


# Kept and gone on from


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


CODE = """
import os, sys
from layered_nst import apply_video
recipe, output, steps, last, resume = {recipe!r}, {output!r}, {steps!r}, {last}, {resume}
def frame(told):
    if told.frame == last:
        os.kill(os.getpid(), 9)
apply_video(recipe, output=output, overrides=steps, cache=False, resume=resume, on_frame=frame,
            device="cpu").save(output)
"""


def test_a_run_that_was_stopped_twice_gives_the_same_bytes(work: Path, tmp_path: Path) -> None:
    """Behind the second frame, and again behind the fourth."""
    whole, broken = tmp_path / "whole.mp4", tmp_path / "broken.mp4"
    stated = recipe(work, content=str(work / "clip.mp4"))
    painted(work, recipe=stated, output=whole).save(whole)
    for last in (2, 4):
        with pytest.raises(Interrupted):
            painted(
                work,
                recipe=stated,
                output=broken,
                resume=True,
                on_frame=lambda told, last=last: _stop_at(told.frame, last),
            )
    painted(work, recipe=stated, output=broken, resume=True).save(broken)
    assert digest(broken) == digest(whole)


def _stop_at(frame: int, last: int) -> None:
    if frame == last:
        raise KeyboardInterrupt


def test_moments_are_smoothed_region_by_region_and_kept() -> None:
    draw = torch.Generator().manual_seed(1)
    steady, expected = SteadyMoments(), {}
    for names in (["a#1", "b#1"], ["b#1"], ["a#1", "b#1"]):
        steady.names = names
        own = (
            torch.rand(len(names), 4, generator=draw),
            torch.rand(len(names), 4, 4, generator=draw),
        )
        mean, second = steady({"conv1_1": own})["conv1_1"]
        for row, name in enumerate(names):
            now = own[0][row], own[1][row]
            before = expected.get(name, now)
            expected[name] = [USUAL * b + (1 - USUAL) * n for b, n in zip(before, now, strict=True)]
            assert torch.allclose(mean[row], expected[name][0])
            assert torch.allclose(second[row], expected[name][1])
    again = SteadyMoments()
    again.restore(steady.state(), torch.device("cpu"))
    assert again.state().keys() == steady.state().keys()
    assert all(torch.equal(again.state()[key], value) for key, value in steady.state().items())


def test_a_clip_painted_at_once_is_steady_and_goes_on_to_the_same_bytes(
    work: Path, tmp_path: Path
) -> None:
    folder = SMALL.write(tmp_path / "flicker")
    for number in (1, 3, 5):
        dim = SMALL.frame(number) * 255 * 0.8
        Image.fromarray(dim.astype(np.uint8)).save(folder / f"{number:04d}.png")
    stated = recipe(work, content=str(folder), optimize={"quality": "instant"})
    whole = planes(apply_video(stated, cache=False))
    light = [float(frame.mean()) for frame in whole]
    photos = [float(picture(SMALL, n).mean()) * (0.8 if n % 2 else 1) for n in range(6)]
    assert max(light) - min(light) < 0.35 * (max(photos) - min(photos))

    def stop(told: Any) -> None:
        if told.frame == 3:
            raise KeyboardInterrupt

    output = tmp_path / "out.mp4"
    with pytest.raises(Interrupted):
        apply_video(stated, output=output, cache=False, on_frame=stop)
    again = planes(apply_video(stated, output=output, cache=False, resume=True))
    assert all(map(torch.equal, whole, again))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_after_kill_9_the_film_has_the_same_bytes(work: Path, tmp_path: Path) -> None:
    """Killed behind the second frame, and again behind the fourth."""
    whole, broken = tmp_path / "whole.mp4", tmp_path / "broken.mp4"
    stated = recipe(work, content=str(work / "clip.mp4"))
    apply_video(stated, output=whole, overrides=STEPS, cache=False).save(whole)
    for last, resume in ((2, False), (4, True), (0, True)):
        code = CODE.format(recipe=stated, output=str(broken), steps=STEPS, last=last, resume=resume)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.returncode == (0 if last == 0 else -signal.SIGKILL), ran.stderr
    assert digest(broken) == digest(whole)


def test_frames_of_another_recipe_are_not_gone_on_from(work: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    painted(work, output=output, part=Excerpt(end=0.1))
    with pytest.raises(layered_nst.LayeredNstError, match="belong to another part of the clip"):
        painted(work, output=output, resume=True)


def test_a_stopped_run_keeps_its_frames(work: Path, tmp_path: Path) -> None:
    enough, output = threading.Event(), tmp_path / "out.mp4"
    with pytest.raises(Interrupted) as stopped:
        painted(
            work,
            output=output,
            stop=enough,
            on_frame=lambda told: enough.set() if told.frame == 2 else None,
        )
    assert len(stopped.value.partial) == 2
    assert stopped.value.checkpoint == tmp_path / "out.frames"
    done = []
    painted(work, output=output, resume=True, on_frame=lambda told: done.append(told.frame))
    assert done == [3, 4, 5, 6]


def test_a_full_disk_keeps_the_frames_so_far(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layered_nst.video import keeping

    usual, output = keeping.write_picture, tmp_path / "out.mp4"

    def full(path: Path, *rest: Any, **more: Any) -> None:
        if path.name == "000003.png":
            raise OutputError(f"{path}: cannot be written: no space left on device")
        usual(path, *rest, **more)

    monkeypatch.setattr(keeping, "write_picture", full)
    with pytest.raises(OutputError, match=r"no space left .*3 frames are kept.*`resume`"):
        painted(work, output=output)
    monkeypatch.undo()
    done = []
    painted(work, output=output, resume=True, on_frame=lambda told: done.append(told.frame))
    assert done == [4, 5, 6]


def test_a_folder_of_somebody_else_is_left_alone(work: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out.frames" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(OutputError, match=r"out.frames: is there and holds no frames"):
        painted(work, output=tmp_path / "out.mp4")
    assert mine.read_text() == "mine"


def test_frames_of_another_version_are_told_and_stay(tmp_path: Path) -> None:
    kept = FrameStore(tmp_path / "out.frames", {"recipe": "this"}, output="out.mp4")
    kept.begin(resume=False)
    card = kept.folder / "clip.json"
    card.write_text(card.read_text().replace(f": {FORMAT}", ": 1"))
    (kept.folder / "000000.png").write_bytes(b"painted")
    with pytest.raises(CheckpointError, match=r"out.frames: .* another version of layered-nst"):
        FrameStore(kept.folder, {"recipe": "this"}, output="out.mp4").begin(resume=True)
    assert (kept.folder / "000000.png").read_bytes() == b"painted"


def test_nothing_lies_between_times_behind_the_end(work: Path) -> None:
    with pytest.raises(ClipError, match="no frame lies between"):
        painted(work, part=Excerpt(start=100.0))


# Loops, masks and checks


def test_a_loop_comes_back_to_its_first_frame(work: Path, tmp_path: Path) -> None:
    clip = MovingPicture(12, (54, 96), pan=(-0.5, 0.2), step=(0.8, 0.2), loop=True)
    stated = recipe(work, content=str(clip.write(tmp_path / "loop")))
    steps = {}
    for loop in (False, True):
        stated["video"] = {"loop": loop}
        frames = planes(painted(work, recipe=stated))
        steps[loop] = warping_error(frames[0], frames[11], *clip.flow(0, 11))
    assert steps[True] < 0.6 * steps[False]


def test_a_loop_that_is_none_is_a_note(work: Path, tmp_path: Path) -> None:
    folder = SMALL.write(tmp_path / "none")
    other = MovingPicture(4, (54, 96), "fig.jpg", "dogs.jpg")
    for number in range(4):
        pixels = (other.frame(number) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number + 6:04d}.png")
    result = painted(work, recipe=recipe(work, content=str(folder), video={"loop": True}))
    assert any("the loop is not closed" in note for note in result.notes)


def test_masks_of_a_clip_are_a_sheet_of_frames(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    ran = run("masks", "look.yaml", "-c", "clip.mp4", "-o", "found", "--json")
    assert ran.code == 0, ran.err
    (sheet,) = ran.json["files"]
    assert sheet == "found/sheet.png"
    assert Image.open(sheet).width > 3 * 48
    assert len(ran.json["coverage"]["sky"]) == SMALL.frames


def test_a_check_of_a_clip_tells_frames_time_and_disk(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    ran = run("check", "look.yaml", "-c", "clip.mp4", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["frames"] == SMALL.frames
    assert 0 < ran.json["seconds_a_frame"] < ran.json["seconds"]
    assert 1e4 < ran.json["disk"] < 1e7


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_ctrl_c_twice_leaves_a_film_of_the_frames_so_far(work: Path, tmp_path: Path) -> None:
    """The second one, while the film so far is written, is not heard."""
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from layered_nst import cli
from layered_nst.video import result, run
usual, save = run.ClipRun._frame, result.VideoResult.save
def frame(self, number, *rest):
    usual(self, number, *rest)
    if number == 1:
        os.kill(os.getpid(), signal.SIGINT)
def saved(self, path):
    os.kill(os.getpid(), signal.SIGINT)
    return save(self, path)
run.ClipRun._frame, result.VideoResult.save = frame, saved
sys.argv = ["layered-nst", "apply", "look.yaml", "-c", "clip.mp4", "-o", sys.argv[1],
            "--quality", "draft", "--steps", "2"]
cli.main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out.mp4")],
        capture_output=True,
        text=True,
        cwd=work,
    )
    assert ran.returncode == 130, ran.stderr
    assert "the 2 frames so far are" in " ".join(ran.stderr.split())
    assert (tmp_path / "out.partial.mp4").is_file()
    assert (tmp_path / "out.frames" / "000001.png").is_file()
    assert not (tmp_path / "out.mp4").exists()


# The command line


def test_apply_writes_film_manifest_and_poster_and_a_moved_folder_makes_it_again(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(work, tmp_path / "job"))
    monkeypatch.chdir(folder)
    words = [word for step in STEPS for word in ("--set", step)]
    ran = run(
        "apply", "look.yaml", "-c", "clip.mp4", "-o", "out.mp4", "--size", "96", "--json", *words
    )
    assert ran.code == 0, ran.err
    assert ran.json["frames"] == SMALL.frames
    assert Path("out.mp4").is_file()
    assert Path("out.poster.png").is_file()
    assert not Path("out.frames").exists()
    told = json.loads(Path("out.json").read_text())
    assert told["clip"]["frames"] == SMALL.frames
    assert told["clip"]["shots"] == [0]
    assert 0 <= told["clip"]["kept_from_the_frame_before"] < 1
    assert 0 <= told["clip"]["features_kept"] < 1
    spent = told["clip"]["seconds_a_frame"]
    parts = spent["of_that_flow_and_regions"] + spent["of_that_painting"]
    assert 0 < parts <= spent["later"] * 1.01
    assert told["folder"] == str(folder)
    assert told["recipe"]["content"] == told["photo"]["path"] == "clip.mp4"
    folder = folder.rename(tmp_path / "moved")
    monkeypatch.chdir(folder)
    again = run("apply", "out.json", "-o", "again.mp4", "--json", "--to", "0.05")
    assert again.code == 0, again.err
    assert again.json["frames"] == 2


def test_what_lies_in_the_way_is_left_as_it_is(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "way"))
    words = ["apply", "look.yaml", "-c", str(work / "clip.mp4"), "--quality", "instant"]
    words += ["--to", "0.05", "--json"]
    Path("out.json").write_text('{"mine": 1}')
    ran = run(*words, "-o", "out.mp4")
    assert ran.code == 3
    assert "out.json: is there and is no manifest" in ran.err
    Path("out.json").unlink()
    Image.new("RGB", (5, 5), "red").save("out.poster.png")
    Path("look-clip.mp4").write_text("mine")
    ran = run(*words, "-o", "out.mp4")
    assert ran.code == 0, ran.err
    assert ran.json["poster"] == "out.poster.2.png"
    assert Image.open("out.poster.png").size == (5, 5)
    ran = run(*words)
    assert ran.json["output"] == "look-clip.2.mp4"
    assert Path("look-clip.mp4").read_text() == "mine"
    assert run(*words).json["output"] == "look-clip.2.mp4"  # it was painted here


def test_one_frame_is_a_clip_and_paint_needs_no_recipe(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _film(Path("one.mp4"), [SMALL.frame(0)])
    style = str(work / "dots.png")
    ran = run("paint", "one.mp4", style, "--quality", "instant", "--size", "96", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == "one-dots.mp4"
    assert ran.json["frames"] == 1


def test_a_preview_is_small_and_of_every_nth_frame(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    ran = run("apply", "look.yaml", "-c", "clip.mp4", "-o", "film.webm", "--preview", "3", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == "film.preview.webm"
    assert ran.json["frames"] == 2


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--from", "1"], 2, "--from is for clips, and this is a photo"),
        (["-o", "o.mp4"], 3, "o.mp4: is a film's name, and "),
        (["-c", "song.wav", "-o", "o.mp4"], 1, "song.wav is sound, not a picture"),
        (["-c", "clip.mp4", "-o", "clip.mp4"], 3, "clip.mp4: would replace a file that is read"),
        (["-c", "clip.mp4", "-o", "clip"], 3, "clip: is not empty; name another folder"),
        (["-c", "clip.mp4", "-o", "out.xyz"], 3, "out.xyz: no known format"),
        (["-c", "clip.mp4", "-o", "o.mp4", "--layers", "o.psd"], 3, "has no layered file"),
        (
            ["-c", "clip.mp4", "--to", "soon"],
            2,
            "found 'soon', allowed: a time such as 2.5, 90s or",
        ),
        (["-c", "clip.mp4", "--to", "1:75"], 2, "found '1:75', allowed: a time such as 2.5, 90s"),
        (["-c", "clip.mp4", "--from", "-1"], 2, "found '-1', allowed: a time such as 2.5, 90s or"),
        (["-c", "clip.mp4", "--from", "2s", "--to", "0:01"], 2, "--to 1 is not behind --from 2"),
        (["-c", "clip.mp4", "-o", "o.mp4", "--from", "9"], 1, "no frame lies between"),
        (
            ["-c", "clip.mp4", "-o", "o.mp4", "--set", "video.flow=raft"],
            1,
            "no flow is called 'raft'",
        ),
        (["-c", "gone.mp4", "-o", "o.mp4"], 1, "no such file: gone.mp4"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    work: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(work)
    (work / "song.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    ran = run("apply", "look.yaml", *words)
    assert ran.code == code, ran.err
    assert sentence in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_places_in_a_clip_are_said_as_times_are() -> None:
    from layered_nst.cli.clips import place_in_time

    said = ("2.5", "2.5s", "1m30s", "1:30", "0:01:30.5", ".04", "1h")
    assert [place_in_time(text) for text in said] == [2.5, 2.5, 90, 90, 90.5, 0.04, 3600]


def test_a_film_is_not_written_over_itself_whatever_it_is_called(tmp_path: Path) -> None:
    film = tmp_path / "in.mp4"
    film.write_bytes(b"film")
    (tmp_path / "link.mp4").symlink_to(film)
    (tmp_path / "hard.mp4").hardlink_to(film)
    (tmp_path / "there").mkdir()
    for name in ("in.mp4", "link.mp4", "hard.mp4", "there/../in.mp4"):
        with pytest.raises(OutputError, match="would replace a file that is read"):
            ClipTargets(tmp_path / name, reads=[film]).check()
    assert film.read_bytes() == b"film"


def test_the_report_shows_films_flow_and_steadiness(work: Path, tmp_path: Path) -> None:
    from layered_nst.video.report import write_clip_report

    page = write_clip_report(painted(work), tmp_path / "report", notes=["a <note>"])
    text = page.read_text()
    assert "6 frames of 96×54 px, 1 shots" in text
    assert "a &lt;note&gt;" in text
    for name in ("film.webm", "steadiness.png", "frames.csv", "recipe.yaml"):
        assert (page.parent / "files" / name).stat().st_size > 0, name
        assert name in text
    assert len((page.parent / "files" / "frames.csv").read_text().splitlines()) == 7
