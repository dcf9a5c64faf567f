"""What a step costs at print sizes: time and peak memory against the number of pixels.

    python tests/benchmarks/scaling.py [--megapixels 0.25 0.5 1 2 4] [--steps 4] [--rounds 3]
        [--regions 3] [--json FILE]

Every size runs in a process of its own, in turn, round after round. Time is the median of the steps
but the first; its exponent is the slope in a log-log plot, 1 for a straight line. Memory is the
largest peak; the line fitted to it says what a run holds at rest and for each pixel.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from itertools import pairwise
from pathlib import Path

from processes import started


def measure(megapixels: float, steps: int, regions: int) -> None:
    """Print the seconds from the start to the end of each step, for a picture of 4:3."""
    import time
    from dataclasses import replace

    import torch
    from step import bands

    from layered_nst.machine import allocator
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.painting.levels import optimize
    from layered_nst.painting.plan import Level, make_plan
    from layered_nst.painting.problem import PaintedRegion, Problem
    from layered_nst.recipe import Optimize
    from layered_nst.styles.style import StylePicture

    allocator.reuse_memory()  # as the command line does
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (round(width * 3 / 4), width)
    photo = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    small = photo[:, : min(512, size[0]), : min(512, size[1])]
    style = StylePicture(small, torch.ones(small.shape[1:]), 1.0, "style")
    painted = [PaintedRegion(f"r{k}", mask, [style]) for k, mask in enumerate(bands(regions, size))]
    problem = Problem(photo, photo, photo, painted, torch.zeros(size))
    plan = replace(make_plan(Optimize(), size), levels=(Level(width, steps),), tolerance=-1.0)
    seconds: list[float] = []
    optimize(
        load_encoder("hed-vgg16"),
        problem,
        plan,
        on_progress=lambda _: seconds.append(time.perf_counter()),
    )
    print(json.dumps({"pixels": size[0] * size[1], "seconds": seconds}))


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Offset and slope of the straight line nearest to some points."""
    slope, offset = statistics.linear_regression(x, y)
    return offset, slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--regions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    parser.add_argument("--measure", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        measure(given.measure, given.steps + 1, given.regions)
        return
    found: dict[float, dict[str, list[float]]] = {
        size: {"pixels": [], "seconds": [], "peaks": []} for size in given.megapixels
    }
    for _ in range(given.rounds):
        for size, numbers in found.items():
            words = ("--measure", size, "--steps", given.steps, "--regions", given.regions)
            ended = started(Path(__file__), *words, threads=given.threads)
            if ended.failure:
                print(f"{size:g} megapixels: {ended.failure}", file=sys.stderr)
                continue
            told = json.loads(ended.output)
            numbers["pixels"].append(told["pixels"])
            numbers["seconds"] += [b - a for a, b in pairwise(told["seconds"])]
            numbers["peaks"].append(ended.peak)
    report({size: numbers for size, numbers in found.items() if numbers["seconds"]}, given)


def report(found: dict[float, dict[str, list[float]]], given: argparse.Namespace) -> None:
    print(f"{given.regions} regions, {given.threads} threads, {given.rounds} rounds")
    print(f"{'megapixels':>10}{'s/step':>10}{'µs/px':>10}{'GB':>10}")
    pixels, seconds, peaks = [], [], []
    for numbers in found.values():
        pixels.append(numbers["pixels"][0])
        seconds.append(statistics.median(numbers["seconds"]))
        peaks.append(max(numbers["peaks"]))
        mega, micro = pixels[-1] / 1e6, seconds[-1] / pixels[-1] * 1e6
        print(f"{mega:>10.3f}{seconds[-1]:>10.3f}{micro:>10.3f}{peaks[-1] / 1e9:>10.3f}")
    if len(pixels) > 1:
        logs = ([math.log(value) for value in values] for values in (pixels, seconds))
        rest, each = line(pixels, peaks)
        print(f"time grows with pixels to the power of {line(*logs)[1]:.3f}")
        print(f"memory is {rest / 1e9:.2f} GB and {each:.0f} bytes a pixel")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
