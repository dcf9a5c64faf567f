"""The subject of photos against masks by hand, and how many clicks outline it.

    python tests/benchmarks/clicks.py PHOTOS MASKS [--list NAMES.txt] [--count 44] [--side 1024]
        [--segmenter careful]

PHOTOS has NAME.jpg, MASKS has NAME.png (0, 255) of what was meant; --list names those to take, one
a line, such as photos that no training has seen. Each click goes where the largest fault is
deepest, in or out; a photo that is never good enough counts as --limit clicks. With --side photos
are first enlarged to this longer side in px. Beside the seconds of a click stand those that the
processor worked, which other programs on the machine don't change.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from layered_nst.networks.segmenters import load_segmenter, segment
from layered_nst.picture import fit_within, read_picture, resize
from layered_nst.picture.guided import enlarge
from layered_nst.regions.points import Clickable, Clicks

GOOD = (0.85, 0.9)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def deepest(fault: np.ndarray) -> tuple[float, tuple[float, float]]:
    """How deep a fault is in px, and where, as fractions of width and height."""
    depth = ndimage.distance_transform_edt(np.pad(fault, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return float(depth.max()), ((x + 0.5) / fault.shape[1], (y + 0.5) / fault.shape[0])


def clicked(
    photo: Clickable, truth: np.ndarray, limit: int
) -> tuple[list[float], list[tuple[float, float]]]:
    """Overlap after each click, and seconds of each, on the clock and of the processor."""
    inside: list[tuple[float, float]] = []
    outside: list[tuple[float, float]] = []
    found, overlaps, seconds = np.zeros_like(truth), [], []
    for _ in range(limit):
        missed, taken = deepest(truth & ~found), deepest(found & ~truth)
        (inside if missed[0] >= taken[0] else outside).append(max(missed, taken)[1])
        started = time.perf_counter(), time.process_time()
        found = photo.mask(Clicks(inside, outside)).numpy() >= 0.5
        seconds.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        overlaps.append(overlap(found, truth))
    return overlaps, seconds


def clicks_to(overlaps: list[float], good: float) -> int:
    return next((n for n, value in enumerate(overlaps, 1) if value >= good), len(overlaps))


def enlarged(rgb: Tensor, truth: np.ndarray, side: int) -> tuple[Tensor, np.ndarray]:
    size = fit_within((rgb.shape[1], rgb.shape[2]), side)
    mask = enlarge(torch.from_numpy(truth).float()[None], size)
    return resize(rgb, size), mask[0].numpy() > 0.5


def chosen(masks: Path, names: Path | None, count: int) -> list[str]:
    there = sorted(path.stem for path in masks.glob("*.png"))
    if names is not None:
        there = [n for n in names.read_text().split() if (masks / f"{n}.png").exists()]
    return random.Random(3).sample(there, min(count, len(there)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--list", type=Path, dest="names")
    parser.add_argument("--count", type=int, default=44)
    parser.add_argument("--limit", type=int, default=6)
    parser.add_argument("--segmenter", default="scenes", help="scenes, careful, or a file")
    parser.add_argument("--side", type=int, help="enlarge photos to this longer side, px")
    arguments = parser.parse_args()
    segmenter = load_segmenter(arguments.segmenter)
    subjects, runs, seconds = [], [], []
    for name in chosen(arguments.masks, arguments.names, arguments.count):
        rgb = read_picture(next(arguments.photos.glob(f"{name}.*"))).rgb
        truth = np.asarray(Image.open(arguments.masks / f"{name}.png").convert("L")) > 127
        if arguments.side:
            rgb, truth = enlarged(rgb, truth, arguments.side)
        seen = segment(segmenter, rgb)
        assert seen.subject is not None, "this segmenter finds no subject"
        subjects.append(overlap(seen.subject.numpy() >= 0.5, truth))
        overlaps, taken = clicked(Clickable(rgb, seen), truth, arguments.limit)
        runs.append(overlaps)
        seconds += taken[1:]
    print(f"{len(runs)} photos, {torch.get_num_threads()} threads")
    good = statistics.mean(value >= GOOD[0] for value in subjects)
    print(f"subject: mean IoU {statistics.mean(subjects):.3f}, {good:.0%} at {GOOD[0]} or better")
    for wanted in GOOD:
        mean = statistics.mean(clicks_to(overlaps, wanted) for overlaps in runs)
        print(f"clicks to {wanted}: {mean:.2f}")
    means = ", ".join(f"{statistics.mean(step):.3f}" for step in zip(*runs, strict=True))
    print(f"mean IoU after each click: {means}")
    clock, worked = (statistics.median(times) for times in zip(*seconds, strict=True))
    print(f"a click after the first: {clock:.2f} s, {worked:.2f} s of processor time")


if __name__ == "__main__":
    main()
