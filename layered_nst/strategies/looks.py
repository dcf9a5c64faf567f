"""What the chosen encoders can see of a scene's styles and regions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from layered_nst import regions
from layered_nst.machine.device import choose_precision
from layered_nst.networks.encoders import ENCODERS, Encoder
from layered_nst.painting.plan import (
    COLOR,
    HEAVY,
    INSTANT,
    STROKES,
    Plan,
    composing,
    make_plan,
)
from layered_nst.recipe import Optimize, Recipe
from layered_nst.regions import thin_layers
from layered_nst.scene.scene import Scene
from layered_nst.strategies.run import stages
from layered_nst.styles.library import LibraryStyle, check_styles
from layered_nst.styles.style import stroke_side


def sketch_side(recipe: Recipe) -> int | None:
    """Longest side in px of the sketch by which a recipe is composed; None where it is not, or at
    its own size."""
    laid = composing(settled(recipe).start).sides
    composed = recipe.size > laid[0] and recipe.optimize.quality != INSTANT
    return laid[-1] if composed else None


def settled(recipe: Recipe) -> Optimize:
    """How a recipe's picture is computed, with what it starts from: strokes, unless it says
    otherwise or its strategy has a picture of its own there, as a product that is painted first."""
    laid = recipe.strategy == "joint" and recipe.optimize.quality != INSTANT
    start = recipe.optimize.start or (STROKES if laid else COLOR)
    return recipe.optimize.model_copy(update={"start": start})


def planned(scene: Scene) -> Plan:
    """The plan of a scene's recipe at its size.

    The encoder that the recipe names sees at all levels. Otherwise the quality chooses; but moments
    of one encoder mean nothing to another, so a look that not all of the chosen ones have seen
    is painted with the one that has.
    """
    recipe = scene.recipe
    # The bundled painter knows one encoder; who names a painter of his own names its encoder too.
    named = None if recipe.optimize.quality == INSTANT == recipe.painter else recipe.encoder
    make = partial(
        make_plan,
        settled(recipe),
        scene.size,
        painter=recipe.painter,
        precision=choose_precision(scene.picture.rgb.device),
        approved=0 if scene.approved is None else max(scene.approved.shape[1:]),
    )
    plan = make(named)
    looks = (s for blend in scene.styles.values() for s in blend if isinstance(s, LibraryStyle))
    seen = [look.record for look in looks if not look.record.encoders.keys() >= {*plan.encoders}]
    if recipe.encoder is not None or plan.painter is not None or not seen:
        return plan
    # What the library calls a file of its own, the recipe has to name by its path.
    known = next((record.encoder for record in seen if record.encoder in ENCODERS), HEAVY)
    return make(known)


def check_looks(scene: Scene, encoders: Mapping[str, Encoder], plan: Plan) -> tuple[str, ...]:
    """See, before the work, whether the looks of libraries can be had as all stages need them.

    Args:
        encoders: by the names that the plan's levels use.

    Returns:
        Sentences about looks whose moments are interpolated.

    Raises:
        LibraryError: a look was made with another encoder or pooling, or lacks a layer or size.
    """
    notes: dict[str, None] = {}
    levels = [level for stage in stages(scene, plan) for level in stage.plan.levels]
    for region in scene.recipe.regions:
        looks = [s for s in scene.styles[region.name] if isinstance(s, LibraryStyle)]
        sides = [stroke_side(level.strokes_for, region.strokes) for level in levels]
        for level, side in zip(levels, sides, strict=True):
            seen = encoders[level.encoder]
            check_styles(looks, seen, plan.layers, sides=[side], pooling=plan.pooling)
        notes |= dict.fromkeys(n for look in looks for n in look.notes(sides))
    return tuple(notes)


def thin_notes(scene: Scene, encoders: Mapping[str, Encoder], plan: Plan) -> tuple[str, ...]:
    """Sentences about regions too narrow for more than the deepest layer at the result's size.

    Almost any region is too narrow for the deepest one, and its share in the style is small.
    """
    encoder = encoders[plan.levels[-1].encoder]
    sizes = encoder.layer_sizes(scene.size)
    fields = {layer: encoder.receptive_fields()[layer] for layer in plan.layers}
    thin = thin_layers(scene.masks.masks, {layer: sizes[layer] for layer in fields}, fields)
    names = scene.masks.names
    painted = {i: blind for i, blind in thin.items() if scene.styles.get(names[i])}
    painted = {i: blind for i, blind in painted.items() if len(blind) > 1}
    return regions.thin_notes(names, painted)
