"""Style libraries and the cache: time, room and likeness.

    python tests/benchmarks/libraries.py [--pictures 10] [--side 1024] [--size 128]

1. Building a library from bundled pictures: seconds, and megabytes of the file.
2. A look against the pictures it was made from: mean difference of the two results, in steps of
   1/255; with pictures in the library and without.
3. Sides that a library without pictures doesn't have: relative error of the interpolated moments
   halfway between two stored sides, beside that of taking the nearer side.
4. The first and the second run of a recipe with classes: seconds from the call of ``apply`` to the
   first step, once everything is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layered_nst import Progress, apply
from layered_nst.networks.encoders import load_encoder
from layered_nst.styles.layers import STYLE_LAYERS
from layered_nst.styles.library import build_look, read_style, store_look
from layered_nst.styles.library.building import SIDES
from layered_nst.styles.moments import Moments
from layered_nst.styles.reading import read_style_picture
from layered_nst.styles.style import picture_moments

ROOT = Path(__file__).parents[2]
STYLES = sorted((ROOT / "assets" / "styles").glob("*.jpg"))
PHOTO = ROOT / "assets" / "photos" / "castle.jpg"


def build(path: Path, pictures: Sequence[Path], **options: Any) -> tuple[float, float]:
    """Seconds that it takes to build a look of these pictures, by the clock and of all cores."""
    started, busy = time.perf_counter(), time.process_time()
    store_look(path, "look", build_look(load_encoder("hed-vgg16"), pictures, **options))
    return time.perf_counter() - started, time.process_time() - busy


def recipe(style: Any, size: int) -> dict[str, Any]:
    region = {"name": "all", "select": "rest", "style": style}
    return {"recipe": 1, "content": str(PHOTO), "size": size, "regions": [region]}


def difference(library: Path, pictures: Sequence[Path], size: int) -> float:
    plain = apply(recipe([str(path) for path in pictures], size), cache=False).rgb
    found = apply(recipe({"library": str(library)}, size), cache=False).rgb
    return (found - plain).abs().mean().item() * 255


def apart(one: Mapping[str, Moments], other: Mapping[str, Moments]) -> dict[str, float]:
    return {
        layer: float((one[layer].covariance - wanted.covariance).norm() / wanted.covariance.norm())
        for layer, wanted in other.items()
    }


def interpolation(folder: Path) -> None:
    encoder, low, high = load_encoder("hed-vgg16"), 128, 181
    middle = round(math.sqrt(low * high))
    for picture in STYLES[:4]:
        library = folder / "between.safetensors"
        build(library, [picture], sides=(low, high), keep_pictures=False)
        options: dict[str, Any] = {"longest": middle, "pooling": "max"}
        found = read_style(library).moments(encoder, STYLE_LAYERS, **options, of=picture_moments)
        style = read_style_picture(picture)
        wanted = picture_moments(encoder, style, STYLE_LAYERS, **options)
        nearer = picture_moments(encoder, style, STYLE_LAYERS, longest=low, pooling="max")
        for name, moments in (("interpolated", found), (f"{low} px", nearer)):
            errors = "  ".join(f"{k} {e:6.1%}" for k, e in apart(moments, wanted).items())
            print(f"  {picture.stem:<12}{name:<14}{errors}")


class _Enough(Exception):  # noqa: N818 - nothing is wrong
    """Two steps of the first level have been seen."""


def start(cache: Path) -> tuple[float, float]:
    """Seconds from the call to the first step of the first level, by the clock and of all cores."""
    told: list[tuple[float, float]] = []

    def tell(_: Progress) -> None:
        told.append((time.perf_counter(), time.process_time()))
        if len(told) == 2:
            raise _Enough

    started = time.perf_counter(), time.process_time()
    with contextlib.suppress(_Enough):
        apply(ROOT / "recipes" / "cathedral.yaml", cache=cache, on_progress=tell)
    # The first step itself took as long as the second.
    first, second = told
    return tuple(2 * f - s - t for f, s, t in zip(first, second, started, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    pictures = STYLES[: arguments.pictures]
    sides = [side for side in SIDES if side <= arguments.side]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "look.safetensors"
        seconds, busy = build(library, pictures, sides=sides)
        print(
            f"{len(pictures)} pictures at {sides[0]} to {sides[-1]} px{seconds:8.1f} s "
            f"({busy:.1f} s of cores){library.stat().st_size / 1e6:8.1f} MB",
            flush=True,
        )
        found = difference(library, pictures, arguments.size)
        print(f"against the pictures, {arguments.size} px{found:10.4f} / 255", flush=True)
        build(library, pictures[:2], sides=sides, keep_pictures=False)
        megabytes = library.stat().st_size / 1e6
        found = difference(library, pictures[:2], arguments.size)
        print(f"without pictures{megabytes:10.1f} MB{found:10.4f} / 255", flush=True)
        print("error of moments halfway between stored sides")
        interpolation(folder)
        for run in ("first", "second"):
            seconds, busy = start(folder / "cache")
            print(f"{run} run, before its first step{seconds:8.2f} s ({busy:.2f} s of cores)")


if __name__ == "__main__":
    main()
