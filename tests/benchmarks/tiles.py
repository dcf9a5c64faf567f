"""What staying within less memory costs: tiles against the whole picture at once.

    python tests/benchmarks/tiles.py [--size 1024] [--memory 1.6G 2G 2.5G] [--steps 6]
    python tests/benchmarks/tiles.py --print-size [--memory 6G] [--steps 2]

A photo with three regions that overlap softly, on the finest level alone. Every run is a process of
its own. Time is the median of the steps but the first, against the first row's; the difference is
the mean over the pixels to the picture painted whole. L-BFGS makes last digits grow, so the row
``moved`` says how far the picture is when the photo's pixels move by a millionth.

``--print-size`` paints 4096×3072 px, which no run without tiles would be compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from processes import Ended, started

ASSETS = Path(__file__).parents[2] / "assets"
WHOLE = "whole"
MOVED = "moved"
PRINT = (4096, 3072)


def recipe(size: int, steps: int, encoder: str) -> dict[str, Any]:
    """Three regions, one of which holds its contours."""
    styles = [str(ASSETS / "styles" / f"{name}.jpg") for name in ("woodcut", "swirl", "facets")]
    box, middle = {"box": [0, 0, 1, 0.45]}, {"ellipse": [0.25, 0.25, 0.75, 0.85]}
    return {
        "recipe": 1,
        "size": size,
        "encoder": encoder,
        "regions": [
            {"name": "ground", "select": "rest", "style": styles[0]},
            {"name": "sky", "select": box, "feather": size / 100, "style": styles[1]},
            {
                "name": "middle",
                "select": middle,
                "feather": size / 150,
                "style": styles[2],
                "contour": 0.5,
            },
        ],
        "optimize": {"levels": [size], "steps": steps, "tolerance": 0},
    }


def measure(given: argparse.Namespace) -> None:
    """Paint once; print what it took and write the picture beside."""
    import time

    import numpy as np
    import torch
    from PIL import Image

    from layered_nst import apply
    from layered_nst.machine.allocator import reuse_memory

    width, height = (given.size, given.size * 3 // 4)
    with Image.open(ASSETS / "photos" / "cathedral.jpg") as file:
        photo = np.asarray(file.convert("RGB").resize((width, height)), dtype=np.float32) / 255
    if given.measure == MOVED:
        photo = photo + 1e-6 * np.random.default_rng(0).random(photo.shape, dtype=np.float32)
    moments = [time.perf_counter()]
    reuse_memory()
    result = apply(
        recipe(given.size, given.steps, given.encoder),
        photo.clip(0, 1),
        memory=given.measure if given.measure not in (WHOLE, MOVED) else None,
        cache=False,
        on_progress=lambda _: moments.append(time.perf_counter()),
    )
    torch.save(result.rgb, given.picture)
    seconds = [later - earlier for earlier, later in pairwise(moments)]
    print(json.dumps({"seconds": seconds, "notes": result.notes}))


def ran(kind: str, given: argparse.Namespace, picture: Path) -> tuple[Ended, dict[str, Any]]:
    words = ("--measure", kind, "--size", given.size, "--steps", given.steps)
    options = ("--encoder", given.encoder, "--picture", picture)
    ended = started(Path(__file__), *words, *options, threads=given.threads)
    return ended, {} if ended.failure else json.loads(ended.output)


def tile_of(notes: list[str]) -> str:
    """The side of the tiles as the notes say it."""
    found = [note for note in notes if "painted in tiles" in note]
    return found[0].rsplit(" by ", 1)[1] if found else "-"


def per_step(told: dict[str, Any]) -> float:
    return statistics.median(told["seconds"][1:] or told["seconds"])


def report(given: argparse.Namespace, kinds: list[str], folder: Path) -> None:
    import torch

    print(f"{'':<8}{'tile':>9}{'s/step':>9}{'ratio':>7}{'GB':>7}{'difference':>12}")
    first: float | None = None
    for kind in kinds:
        ended, told = ran(kind, given, folder / kind)
        if ended.failure:
            print(f"{kind:<8}  {ended.failure}")
            continue
        each = per_step(told)
        first = each if first is None else first
        apart = "-"
        if kind != WHOLE and (folder / WHOLE).exists():
            whole, found = torch.load(folder / WHOLE), torch.load(folder / kind)
            apart = f"{(whole - found).abs().mean().item():.1e}"
        print(
            f"{kind:<8}{tile_of(told['notes']):>9}{each:>9.2f}{each / first:>7.2f}"
            f"{ended.peak / 1e9:>7.2f}{apart:>12}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="longest side, px")
    parser.add_argument("--memory", nargs="+", help="amounts to stay within")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--encoder", default="hed-vgg16")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--print-size", action="store_true", help="4096×3072 px within 6G")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--picture", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.steps = given.steps or (2 if given.print_size else 6)
    if given.measure is not None:
        measure(given)
        return
    if given.print_size:
        given.size, kinds = PRINT[0], given.memory or ["6G"]
    else:
        kinds = [WHOLE, MOVED, *(given.memory or ["1.6G", "2G", "2.5G"])]
    print(
        f"{given.size}×{given.size * 3 // 4} px, 3 regions, {given.encoder}, {given.steps} steps, "
        f"{given.threads} threads"
    )
    with tempfile.TemporaryDirectory() as folder:
        report(given, kinds, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
