"""How results look, in numbers: strokes in color, strengths, one composition, hatching, blocks.

    python tests/benchmarks/look.py [--photo FILE …] [--style FILE …] [--size 400]
        [--only strokes …] [--out DIR] [--json FILE]
    python tests/benchmarks/look.py --recipe FILE [--photo FILE …] [--compared draft:400
        --compared standard:768 …] [--out DIR] [--json FILE]

Each photo is painted whole in each style, the bundled ones if none are named; with --recipe by
that, for its composition alone. What is measured:

strokes      draft and standard: gain, edges, grain and relief (`layered-nst score`), hatching
strength     gain at 0.1, 0.25 and 0.5 as a share of the gain at 1, and how far 0 is from the photo
composition  draft and standard at SIZE and twice that (or what --compared says), each against each,
             in every region: correlation of lightness between 0.5 and 2 %, and between 1 and 4 %
             of the width; F-scores of the photo's contours, each at its own size
finish       a draft finished to standard against the draft, and against standard from the start
blocks       gradient on lines of the grids of 2, 4, 8, … px over that elsewhere, of a draft of
             2000 px
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from layered_nst import Result, apply
from layered_nst.judge import load_judge, score
from layered_nst.judge.edges import TOLERANCE, thin_edges
from layered_nst.judge.measures import edges_kept
from layered_nst.networks.encoders import load_encoder
from layered_nst.picture import average, fit_within, resize
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.styles.style import pictures_of

ASSETS = Path(__file__).parents[2] / "assets"
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
COMPARED = 400
BANDS = {"0.5-2 %": (0.005, 0.02), "1-4 %": (0.01, 0.04)}
DIRECTIONS = 16
Numbers = Mapping[str, Any]


class Bench:
    """Paints photos in styles, and measures what comes of it."""

    def __init__(
        self,
        photo: Path | None,
        style: Path,
        size: int,
        out: Path | None,
        compared: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.photo, self.style, self.size, self.out = photo, style, size, out
        sizes = ((q, s) for s in (size, 2 * size) for q in ("draft", "standard"))
        self.compared = compared or tuple(sizes)
        self.edges: dict[int, dict[str, float]] = {}
        self.eyes: dict[str, Any] = {"judge": load_judge(), "contours": load_encoder("hed-vgg16")}

    def paint(self, quality: str, *, size: int | None = None, **keys: Any) -> Result:
        """The photo, whole, in the style, or by the recipe that stands in its place."""
        size = size or self.size
        if self.style.suffix == ".yaml":
            return self._kept(apply(self.style, self.photo, size=size, quality=quality), quality)
        region = {"name": "all", "select": "rest", "style": str(self.style)}
        region |= {k: v for k, v in keys.items() if k != "approved"}
        recipe: dict[str, Any] = {"recipe": 1, "content": str(self.photo), "regions": [region]}
        recipe |= {"approved": keys["approved"]} if "approved" in keys else {}
        said = (str(v) for k, v in keys.items() if k != "approved")
        return self._kept(apply(recipe, size=size, quality=quality), quality, *said)

    def _kept(self, found: Result, *said: str) -> Result:
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            photo = found.scene.recipe.content if self.photo is None else self.photo
            parts = [Path(str(photo)).stem, self.style.stem, str(max(found.scene.size)), *said]
            found.save(self.out / ("-".join(parts) + ".png"))
        return found

    def judged(self, result: Result) -> dict[str, Any]:
        """Numbers of the judge, and hatching against the style's own."""
        seen = score(result.rgb, result.scene, **self.eyes)
        numbers = {"gain": seen.gain, "edges": seen.edges}
        return {**numbers, "grain": seen.grain, "relief": seen.relief}

    def strokes(self) -> Iterator[tuple[str, Numbers]]:
        for quality in ("draft", "standard"):
            result = self.paint(quality)
            (style,) = pictures_of(result.scene.styles["all"])
            seen = resize(
                style.rgb, fit_within((style.rgb.shape[1], style.rgb.shape[2]), self.size)
            )
            ratio = hatching(result.rgb) / hatching(seen)
            yield quality, {**self.judged(result), "hatching": ratio, "seconds": result.seconds}

    def strength(self) -> Iterator[tuple[str, Numbers]]:
        for quality in ("draft",):
            found = {s: self.paint(quality, strength=s) for s in STRENGTHS}
            whole = self.judged(found[1.0])["gain"]
            apart = (found[0.0].rgb - found[0.0].scene.picture.rgb.cpu()).abs().max() * 255
            yield (
                quality,
                {
                    "from the photo at 0, of 255": float(apart),
                    **{f"at {s:g}": self.judged(r)["gain"] / whole for s, r in found.items() if s},
                },
            )

    def composition(self) -> Iterator[tuple[str, Numbers]]:
        found = {f"{q} {s} px": self.paint(q, size=s) for q, s in self.compared}
        for (one, here), (other, there) in combinations(found.items(), 2):
            for region, numbers in self.alike(here, there).items():
                yield f"{one}, {other}, {region}", numbers

    def alike(self, one: Result, other: Result) -> dict[str, Numbers]:
        """How alike two results are, region by region."""
        found: dict[str, Numbers] = {}
        for name, kept in self.edges_in(one).items():
            edges = kept, self.edges_in(other)[name]
            alike = composition(one.rgb, other.rgb, one.scene.mask(name).cpu() >= 0.5)
            found[name] = {**alike, "edges": edges, "apart": abs(edges[0] - edges[1])}
        return found

    def edges_in(self, result: Result) -> dict[str, float]:
        """F-score of the photo's contours in each region, at the result's own size."""
        if id(result) not in self.edges:
            pictures = (result.rgb.cpu(), result.scene.picture.rgb.cpu())
            seen, photo = (thin_edges(self.eyes["contours"], rgb) for rgb in pictures)
            masks = {r.name: result.scene.mask(r.name).cpu() >= 0.5 for r in result.scene.painted}
            self.edges[id(result)] = {
                name: edges_kept(seen, photo, mask, tolerance=TOLERANCE)
                for name, mask in masks.items()
                if mask.any()
            }
        return self.edges[id(result)]

    def finish(self) -> Iterator[tuple[str, Numbers]]:
        draft = self.paint("draft")
        with TemporaryDirectory() as folder:
            path = draft.save(Path(folder) / "draft.png")
            finished = self.paint("standard", approved=str(path))
        yield "against the draft", self.alike(draft, finished)["all"]
        fresh = self.paint("standard")
        shares = {"finished": finished, "from the start": fresh}
        yield "gain", {name: self.judged(result)["gain"] for name, result in shares.items()}
        yield "seconds", {name: result.seconds for name, result in shares.items()}

    def blocks(self) -> Iterator[tuple[str, Numbers]]:
        result = self.paint("draft", size=2000)
        yield "draft 2000 px", {f"{2**k} px": on_grid(result.rgb, 2**k) for k in range(1, 8)}


def composition(one: Tensor, other: Tensor, mask: Tensor) -> dict[str, float]:
    """Correlation of lightness within a mask, seen at one size, in bands that are shares of the
    width."""
    size = fit_within((one.shape[1], one.shape[2]), COMPARED)
    inside = (average(mask[None].double(), size)[0] >= 0.5).numpy()
    light = [rgb_to_lab(average(rgb.double(), size))[0].numpy() for rgb in (one, other)]
    found = {}
    for name, (fine, coarse) in BANDS.items():
        a, b = (
            ndimage.gaussian_filter(x, fine * size[1])
            - ndimage.gaussian_filter(x, coarse * size[1])
            for x in light
        )
        found[name] = float(np.corrcoef(a[inside], b[inside])[0, 1])
    return found


def hatching(rgb: Tensor) -> float:
    """Share of the gradient's energy in the strongest direction and the one across it, where a
    picture is calm: the half of its pixels around which it changes least."""
    light = rgb_to_lab(rgb.double().cpu())[0].numpy()
    down, right = (ndimage.gaussian_filter(light, 0.7, order=o) for o in ((1, 0), (0, 1)))
    energy = down**2 + right**2
    around = ndimage.gaussian_filter(energy, 8)
    calm = around <= np.median(around)
    angle = np.arctan2(down, right)[calm] % (np.pi / 2)  # a direction and the one across it
    parts = np.minimum((angle / (np.pi / 2) * DIRECTIONS).astype(int), DIRECTIONS - 1)
    shares = np.bincount(parts, energy[calm], DIRECTIONS)
    return float(shares.max() / shares.sum())


def on_grid(rgb: Tensor, side: int) -> float:
    """Gradient of lightness across the lines of a grid of squares, from the picture's corner, over
    that elsewhere: what is pooled shows there."""
    light = rgb_to_lab(rgb.double().cpu())[0]
    on_lines = elsewhere = 0.0
    for axis in (0, 1):
        change = light.diff(dim=axis).abs().mean(1 - axis)
        on = torch.zeros(len(change), dtype=torch.bool)
        on[side - 1 :: side] = True
        on_lines += float(change[on].mean())
        elsewhere += float(change[~on].mean())
    return on_lines / elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds: Mapping[str, Callable[[Bench], Iterator[tuple[str, Numbers]]]] = {
        name: getattr(Bench, name)
        for name in ("strokes", "strength", "composition", "finish", "blocks")
    }
    parser.add_argument("--photo", type=Path, action="append")
    parser.add_argument("--style", type=Path, action="append")
    parser.add_argument("--recipe", type=Path, help="paint by it, and measure the composition")
    parser.add_argument("--compared", type=_quality_and_size, action="append", help="QUALITY:SIZE")
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--only", action="append", choices=kinds)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    given = parser.parse_args()
    photos = given.photo or [ASSETS / "photos" / "cathedral.jpg"]
    styles = given.style or sorted((ASSETS / "styles").glob("*.jpg"))
    wanted = given.only or kinds
    if given.recipe is not None:
        photos, styles, wanted = given.photo or [None], [given.recipe], ["composition"]
    found: dict[str, Numbers] = {}
    for photo in photos:
        for style in styles:
            bench = Bench(photo, style, given.size, given.out, given.compared or ())
            for kind in wanted:
                for name, numbers in kinds[kind](bench):
                    said = "" if photo is None else f"{photo.stem}, "
                    key = f"{said}{style.stem}, {kind}, {name}"
                    found[key] = numbers
                    print(
                        key, *(f"{k} {_said(v)}" for k, v in numbers.items()), sep="  ", flush=True
                    )
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


def _quality_and_size(text: str) -> tuple[str, int]:
    quality, size = text.split(":")
    return quality, int(size)


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{part:.2f}" for part in value)
    return f"{value:.3f}"


if __name__ == "__main__":
    main()
