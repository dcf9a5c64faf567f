"""Clips with exact flow: how steady, how near to the styles, and how fast they are painted.

    python tests/benchmarks/video.py [--frames 12] [--quality draft] [--clip pan] [--out DIR]

Compares with the same frames painted each alone. The flow that judges is not the one that was
painted by: the clips are made of bundled photos, and where each pixel comes from is known.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from layered_nst.judge.network import Judge, load_judge  # noqa: E402
from layered_nst.judge.scoring import Ruler  # noqa: E402
from layered_nst.picture import read_picture  # noqa: E402
from layered_nst.scene.resolving import resolve  # noqa: E402

STYLES = ROOT / "assets" / "styles"
CLIPS = {
    "pan": {},
    "static": {"pan": (0.0, 0.0), "noise": 0.004},
    "still": {"pan": (0.0, 0.0), "step": (0.0, 0.0), "noise": 0.004},
    "held": {
        "ground": "mountain.jpg",
        "thing": "coffee.jpg",
        "pan": (0.7, 0.4),
        "step": (2.0, -1.5),
    },
    "loop": {"loop": True},
}
LONG = 10


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


def scores(
    frames: Sequence[Tensor],
    clip: MovingPicture,
    folder: Path,
    numbers: Sequence[int],
    judge: Judge,
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
        started = time.perf_counter()
        result = apply(recipe, folder / f"{number:04d}.png", cache=folder / "cache")
        seconds.append(time.perf_counter() - started)
        frames.append(result.rgb)
    return frames, seconds


def painted(
    clip: MovingPicture, folder: Path, quality: str, **more: Any
) -> tuple[list[Tensor], list[float], Any]:
    """The clip, and the seconds of each frame; the thing follows the flow from the first on."""
    recipe = recipe_of(clip, quality, {"ellipse": clip.ellipse()}, content=str(folder), **more)
    seconds: list[float] = []
    result = apply_video(
        recipe,
        cache=folder / "cache",
        on_frame=lambda told: seconds.append(told.seconds),
    )
    frames = [
        torch.from_numpy(np.asarray(frame, np.float32) / 255).movedim(-1, 0) for frame in result
    ]
    return frames, seconds, result


def report(name: str, clip: MovingPicture, quality: str, out: Path | None) -> None:
    judge = load_judge(device="cpu")
    with tempfile.TemporaryDirectory() as place:
        folder = clip.write(Path(place) / "clip")
        ours, own_seconds, _ = painted(clip, folder, quality)
        stills, still_seconds = alone(clip, folder, quality)
        photos = [read_picture(folder / f"{n:04d}.png").rgb for n in range(clip.frames)]
        numbers = range(1, clip.frames, max(1, clip.frames // 4))
        ours_gain, ours_leak = scores(ours, clip, folder, numbers, judge)
        still_gain, still_leak = scores(stills, clip, folder, numbers, judge)
    table: dict[str, Any] = {"clip": name, "quality": quality, "frames": clip.frames}
    for reach in (1, LONG):
        if clip.frames > reach:
            of = [steadiness(frames, clip, reach) for frames in (ours, stills, photos)]
            table[f"warping error, {reach} apart: ours, alone, photo"] = [f"{v:.3g}" for v in of]
            table[f"ours ÷ alone, {reach} apart"] = round(of[0] / of[1], 3)
            if reach == 1:
                table["ours ÷ the clip's own"] = round(of[0] / of[2], 2)
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
    light = [float(frame.mean()) for frame in ours]
    table["drift of the mean, of 1"] = round(max(light) - min(light), 4)
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
    parser.add_argument("--quality", default="draft", choices=["draft", "standard", "fine"])
    parser.add_argument("--clip", action="append", choices=sorted(CLIPS))
    parser.add_argument("--size", type=int, default=320, help="Longest side in px.")
    parser.add_argument("--out", type=Path, help="Folder for sheets of frames.")
    arguments = parser.parse_args()
    size = (round(arguments.size * 9 / 16), arguments.size)
    for name in arguments.clip or ["pan", "static", "still"]:
        clip = MovingPicture(arguments.frames, size, **CLIPS[name])  # type: ignore[arg-type]
        report(name, clip, arguments.quality, arguments.out)


if __name__ == "__main__":
    main()
