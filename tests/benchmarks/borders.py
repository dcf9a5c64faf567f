"""Joint optimization against styling each region alone and pasting: what happens at the borders.

    python tests/benchmarks/borders.py [RECIPE] [--size 256] [--out DIR]

Prints time and seam (mean gradient within 3 px of mask borders over the mean inside the regions;
1 is a border that doesn't show) of both, and writes both pictures with --out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from torch import Tensor

from layered_nst import Result, apply, load_recipe
from layered_nst.judge.measures import seam
from layered_nst.picture import to_image
from layered_nst.recipe import Recipe, RestSelector

ROOT = Path(__file__).parents[2]


def alone(recipe: Recipe, index: int) -> Recipe:
    """The recipe with one region's style over the whole photo."""
    region = recipe.regions[index].model_copy(update={"select": RestSelector()})
    return recipe.model_copy(update={"regions": (region,)})


def pasted(recipe: Recipe, masks: Tensor, size: int) -> Tensor:
    runs = [apply(alone(recipe, i), size=size).rgb for i in range(len(recipe.regions))]
    return sum(mask * rgb for mask, rgb in zip(masks, runs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", default=ROOT / "recipes" / "cathedral.yaml", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    started = time.perf_counter()
    joint: Result = apply(recipe, size=arguments.size)
    joint_seconds = time.perf_counter() - started
    masks = joint.scene.masks.masks.cpu()
    started = time.perf_counter()
    other = pasted(recipe, masks, arguments.size)
    seconds = time.perf_counter() - started
    print(f"{arguments.recipe.name}, {arguments.size} px, {len(recipe.regions)} regions")
    print(f"{'':<10}{'seconds':>9}{'seam':>8}")
    print(f"{'photo':<10}{'':>9}{seam(joint.scene.picture.rgb.cpu(), masks):>8.3f}")
    print(f"{'joint':<10}{joint_seconds:>9.1f}{seam(joint.rgb, masks):>8.3f}")
    print(f"{'pasted':<10}{seconds:>9.1f}{seam(other, masks):>8.3f}")
    if arguments.out is not None:
        joint.image.save(arguments.out / "joint.png")
        to_image(other).save(arguments.out / "pasted.png")


if __name__ == "__main__":
    main()
