"""Photos with region masks on both sides: how near each region comes to its style, by the judge.

    python tests/benchmarks/pairs.py DIR [--paintings DIR] [--size 400] [--quality draft --quality
        standard] [--encoder light] [--only 03 --only 59] [--out DIR] [--json FILE]

DIR holds a folder for each pair, as published with Deep Photo Style Transfer (Luan et al. 2017):
``content.jpg``, ``style.jpg`` and ``content_mask.png``, ``style_mask.png`` in which equal colors
mark corresponding regions. With --paintings the regions are given those pictures in turn. With
several qualities (and --encoder, with each of them) the last lines say how well each predicts the
style distances of the last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from layered_nst import Result, apply
from layered_nst.judge import load_judge, score
from layered_nst.networks.encoders import load_encoder

COLORS = {
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
    "gray": (128, 128, 128),
    "lightblue": (0, 255, 255),
    "purple": (255, 0, 255),
}
# Smaller shares are the blur of a JPEG between two colors.
SMALLEST = 0.01


def pair_recipe(pair: Path, work: Path, paintings: Sequence[Path] = ()) -> dict[str, Any]:
    """The recipe of a pair: a region for each color of its mask.

    Args:
        pair: folder of the pair.
        work: folder for the masks that the recipe names.
        paintings: styles in place of the pair's own.
    """
    content, style = (color_masks(pair / f"{side}_mask.png") for side in ("content", "style"))
    regions = []
    for number, (color, mask) in enumerate(content.items()):
        source: dict[str, Any] = {"image": str(pair / "style.jpg")}
        if paintings:
            source = {"image": str(paintings[number % len(paintings)])}
        elif color in style:
            source["mask"] = _written(style[color], work / f"{pair.name}-{color}-style.png")
        selected = _written(mask, work / f"{pair.name}-{color}.png")
        regions.append({"name": color, "select": {"mask": selected}, "style": source})
    return {
        "recipe": 1,
        "name": f"pair {pair.name}",
        "content": str(pair / "content.jpg"),
        "regions": regions,
    }


def color_masks(path: Path) -> dict[str, NDArray[np.bool_]]:
    """Which pixels have each color that a mask uses, largest share first; they cover all of it."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.int64)
    palette = np.array(list(COLORS.values()))
    label = np.stack([((pixels - color) ** 2).sum(-1) for color in palette]).argmin(0)
    shares = np.bincount(label.ravel(), minlength=len(palette)) / label.size
    used = [int(color) for color in np.argsort(-shares) if shares[color] >= SMALLEST]
    _, nearest = ndimage.distance_transform_edt(~np.isin(label, used), return_indices=True)
    label = label[tuple(nearest)]
    return {list(COLORS)[color]: label == color for color in used}


def product_of(pair: Path) -> str:
    """The color that touches the frame least: what the photo was taken of."""
    masks = color_masks(pair / "content_mask.png")
    frame = {
        color: sum(int(side.sum()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        for color, mask in masks.items()
    }
    return min(frame, key=frame.__getitem__)


def _written(mask: NDArray[np.bool_], path: Path) -> str:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return str(path)


def pairs_in(folder: Path, only: Sequence[str] | None) -> list[Path]:
    found = sorted(path.parent for path in folder.glob("*/content_mask.png"))
    return [pair for pair in found if only is None or pair.name in only]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--paintings", type=Path)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--quality", action="append")
    parser.add_argument("--encoder", action="append", help="in place of the quality's own")
    parser.add_argument("--only", action="append")
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    given = parser.parse_args()
    paintings = sorted(given.paintings.glob("*.jpg")) if given.paintings else []
    eyes = {"judge": load_judge(), "contours": load_encoder("hed-vgg16")}
    found: dict[str, dict[str, Any]] = {}
    variants = product(given.quality or ["standard"], given.encoder or [None])
    for quality, encoder in variants:
        name = f"{quality}, {encoder}" if encoder else quality
        found[name] = {}
        print(f"\n{given.size} px, {name}\n{'pair':<8}" + "".join(f"{h:>11}" for h in HEADS))
        for pair in pairs_in(given.pairs, given.only):
            with TemporaryDirectory() as work:
                recipe = pair_recipe(pair, Path(work), paintings)
                overrides = {"optimize.quality": quality}
                overrides |= {"encoder": encoder} if encoder else {}
                result = apply(recipe, size=given.size, overrides=overrides)
            if given.out is not None:
                given.out.mkdir(parents=True, exist_ok=True)
                result.save(given.out / f"{pair.name}-{name.replace(', ', '-')}.png")
            found[name][pair.name] = numbers = _numbers(result, eyes)
            print(_row(pair.name, numbers), flush=True)
        means = {h: float(np.nanmean([n[h] for n in found[name].values()])) for h in HEADS}
        print(_row("mean", means))
    _print_correlations(found)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


HEADS = ("regions", "gain", "distance", "leak", "seam", "photo_seam", "content", "edges", "seconds")


def _numbers(result: Result, eyes: Mapping[str, Any]) -> dict[str, float]:
    seen = score(result.rgb, result.scene, **eyes)
    judged = {head: getattr(seen, head) for head in HEADS[1:-1]}
    return {"regions": len(seen.regions), **judged, "seconds": result.seconds}


def _row(name: str, numbers: Mapping[str, float]) -> str:
    return f"{name:<8}" + "".join(f"{numbers[head]:>11.3f}" for head in HEADS)


def _print_correlations(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    *others, last = found
    if len(found[last]) < 3:
        return
    for other in others:
        pairs = [[found[q][name]["distance"] for name in found[last]] for q in (other, last)]
        print(f"style distance, {other} against {last}: r = {np.corrcoef(pairs)[0, 1]:.3f}")


if __name__ == "__main__":
    main()
