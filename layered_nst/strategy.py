"""How a picture is painted: all regions at once, or the product first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from layered_nst.color import restore_chroma
from layered_nst.errors import RecipeError
from layered_nst.features import Encoder
from layered_nst.optimize import OnProgress, optimize
from layered_nst.plan import Plan
from layered_nst.scene import Scene, problem


@dataclass(frozen=True)
class Painting:
    """A finished optimization: the picture, shape (3, H, W) in [0, 1]."""

    rgb: Tensor


def joint(scene: Scene, encoder: Encoder, plan: Plan, *, on_progress: OnProgress) -> Painting:
    """Optimize all regions at once, from the photo with its colors moved to the styles'."""
    canvas = optimize(encoder, problem(scene, plan), plan, on_progress=on_progress)
    return Painting(finished(canvas, scene))


def finished(canvas: Tensor, scene: Scene) -> Tensor:
    """Lay the photo's chroma and the kept photo back over an optimized canvas.

    Args:
        canvas: shape (3, H, W) at the result's size.

    Returns:
        The picture; where a region is protected, exactly the photo's pixels.
    """
    photo = scene.picture.rgb
    recolored = restore_chroma(canvas, photo, scene.kept_chroma)
    return recolored.lerp(photo, scene.kept)


STRATEGIES: Mapping[str, Callable[..., Painting]] = {"joint": joint}


def paint(scene: Scene, encoder: Encoder, plan: Plan, *, on_progress: OnProgress) -> Painting:
    """Paint a scene by the strategy that its recipe names.

    Raises:
        RecipeError: this version has no such strategy.
    """
    name = scene.recipe.strategy
    if name not in STRATEGIES:
        raise RecipeError(f"strategy: {name} is not in this version; allowed: joint")
    return STRATEGIES[name](scene, encoder, plan, on_progress=on_progress)
