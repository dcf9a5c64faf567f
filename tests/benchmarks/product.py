"""The product painted first against all regions at once: contour kept, style, halo, cost.

    python tests/benchmarks/product.py [--size 400] [--quality standard] [--pairs DIR] [--only NAME]
        [--out DIR] [--json FILE]

Takes the recipes of the gallery that have a product, and with --pairs the product photos among the
pairs that ``pairs.py`` describes. Each is painted with ``product-then-style``, and with ``joint``
and no contour loss; both are scored on the same masks. Numbers of the two stand side by side:
F-score of the contours inside the product, style distance around it, and ΔE of the halo. Style and
cost are also given as ratios.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pairs import pair_recipe, pairs_in, product_of

from layered_nst import Recipe, Result, apply, load_recipe
from layered_nst.judge import load_judge, score
from layered_nst.networks.encoders import load_encoder

RECIPES = Path(__file__).parents[2] / "recipes"
PRODUCTS = ("16", "29", "36", "45")
"""The pairs that show a product."""
HEADS = (
    "contour",
    "joint",
    "distance",
    "joint",
    "÷ joint",
    "halo",
    "joint",
    "photo",
    "seconds",
    "÷ joint",
)


def cases(pairs: Path | None, work: Path) -> Iterator[tuple[str, Recipe]]:
    """Recipes with a product, by name."""
    for path in sorted(RECIPES.rglob("*.yaml")):
        recipe = load_recipe(path)
        if recipe.products and recipe.content:
            yield path.stem, recipe
    for pair in pairs_in(pairs, PRODUCTS) if pairs else ():
        recipe = load_recipe({**pair_recipe(pair, work), "product": [product_of(pair)]})
        yield f"pair {pair.name}", recipe


def compared(recipe: Recipe, size: int, quality: str) -> tuple[dict[str, Any], list[Result]]:
    """Paint a recipe both ways and score both on the masks of the first."""
    common: dict[str, Any] = {"optimize.quality": quality}
    no_contour = {f"regions.{region.name}.contour": 0 for region in recipe.regions}
    results = [
        apply(recipe, size=size, overrides={**common, **way})
        for way in ({"strategy": "product-then-style"}, {"strategy": "joint", **no_contour})
    ]
    judge, contours = load_judge(), load_encoder("hed-vgg16")
    first, joint = (
        score(result.rgb, results[0].scene, judge=judge, contours=contours) for result in results
    )
    assert first.product is not None
    assert joint.product is not None
    seconds = [result.seconds for result in results]
    numbers = (
        *(first.product.contour, joint.product.contour),
        *(first.product.distance, joint.product.distance),
        first.product.distance / joint.product.distance,
        *(first.product.halo, joint.product.halo, first.product.photo_halo),
        *(seconds[0], seconds[0] / seconds[1]),
    )
    scores = {"product-then-style": first.as_dict(), "joint": joint.as_dict()}
    return {"numbers": numbers, "scores": scores, "seconds": seconds}, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--only", action="append", help="recipe or pair; several times")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    given = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    print(f"{given.size} px, {given.quality}\n{'product':<18}" + "".join(f"{h:>9}" for h in HEADS))
    with TemporaryDirectory() as work:
        for name, recipe in cases(given.pairs, Path(work)):
            if given.only is not None and name not in given.only:
                continue
            found[name], results = compared(recipe, given.size, given.quality)
            print(_row(name, found[name]["numbers"]), flush=True)
            if given.out is not None:
                _save(given.out, name, results)
    if found:
        print(_row("mean", np.nanmean([each["numbers"] for each in found.values()], axis=0)))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


def _row(name: str, numbers: Any) -> str:
    return f"{name:<18}" + "".join(f"{number:>9.3f}" for number in numbers)


def _save(folder: Path, name: str, results: list[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for way, result in zip(("first", "joint"), results, strict=True):
        result.save(folder / f"{name}-{way}.png")


if __name__ == "__main__":
    main()
