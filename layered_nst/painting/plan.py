"""The constants of a run: a quality preset, overridden key by key by the recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from layered_nst.recipe import Optimize
from layered_nst.styles.layers import STYLE_LAYERS
from layered_nst.styles.style import stroked_by

CONTENT_LAYERS: Mapping[str, float] = {"conv4_2": 1.0}


@dataclass(frozen=True)
class Tuning:
    """Factors on a level's steps and on its weight of style."""

    steps: float = 1.0
    style: float = 1.0


@dataclass(frozen=True)
class Preset:
    """A speed: coarsest level in px, step between levels, steps at the ends of the pyramid.

    The ``heavy`` finest levels see with hed-vgg16, the coarser ones with the light encoder. Where
    there are both, ``light`` and ``finish`` tune them for one another.
    """

    coarsest: int
    ratio: float
    first_steps: int
    last_steps: int
    heavy: int
    light: Tuning = Tuning()
    finish: Tuning = Tuning()


PRESETS: Mapping[str, Preset] = {
    "draft": Preset(coarsest=128, ratio=2.0, first_steps=24, last_steps=4, heavy=0),
    # Part of the style that the light levels find is lost when hed-vgg16 looks, so they pull
    # harder, and the finest level takes some more steps.
    "standard": Preset(
        coarsest=128,
        ratio=1.5,
        first_steps=120,
        last_steps=36,
        heavy=1,
        light=Tuning(style=3.5),
        finish=Tuning(steps=1.1, style=1.25),
    ),
    "fine": Preset(coarsest=128, ratio=math.sqrt(2), first_steps=200, last_steps=60, heavy=3),
}
HEAVY, LIGHT = "hed-vgg16", "light"
INSTANT = "instant"
"""The quality that optimizes nothing, and the painter that comes with this package."""
# Time of a step against hed-vgg16's.
COSTS: Mapping[str, float] = {LIGHT: 1 / 8}
# Strokes are set by 400 px; past that a level only sharpens them and costs as its area.
STEPS_FALL_UNTIL = 400


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        longest: its longest side in px.
        steps: their number.
        encoder: the one that it sees with.
        style: factor on the plan's weights of style and of contours, which are held against it.
        strokes: side in px by which strokes are sized, where that is not ``longest``: as the level
            sees a window of the picture, or a picture that is very wide.
    """

    longest: int
    steps: int
    encoder: str = HEAVY
    style: float = 1.0
    strokes: int | None = None

    @property
    def strokes_for(self) -> int:
        """Side in px by which strokes are sized."""
        return self.longest if self.strokes is None else self.strokes

    @property
    def cost(self) -> float:
        """Time of its steps for each pixel, in steps of hed-vgg16."""
        return self.steps * COSTS.get(self.encoder, 1.0)


@dataclass(frozen=True)
class Plan:
    """All constants of the optimization, none left to a default.

    Attributes:
        levels: coarse to fine; the last has the result's size.
        style, content, contour, total_variation: weights of the losses.
        layers, content_layers: weights of the encoder's layers, normalized to sum 1.
        area_exponent: γ, how a region's pull depends on its share of the picture.
        pooling: ``max`` or ``average``.
        start: ``color``, ``content`` or ``noise``.
        optimizer: ``lbfgs`` or ``adam``, with its learning rate and L-BFGS history.
        precision: ``float32`` or ``bfloat16``, in which the encoder multiplies.
        tolerance: a level ends when its loss falls by less than this share in ten steps.
        seed: of the noise.
        strokes: of a level, see ``Level``.
        losses: those of plug-ins, by full name, with what is said to them.
        pull: factor of a level on the weights of all that pulls towards styles; that of ``style``
            is in it already.
        painter: what paints at once, in the place of all steps: a name, or the path of a file.
    """

    levels: tuple[Level, ...]
    style: float
    content: float
    contour: float
    total_variation: float
    layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    area_exponent: float
    pooling: str
    start: str
    optimizer: str
    learning_rate: float
    history: int
    precision: str
    tolerance: float
    seed: int
    strokes: int | None = None
    losses: Mapping[str, Any] = field(default_factory=dict)
    pull: float = 1.0
    painter: str | None = None

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders that the levels use, coarse to fine."""
        return tuple(dict.fromkeys(level.encoder for level in self.levels))

    def at(self, level: Level) -> Plan:
        """The plan with the weights that it has at one of its levels."""
        return replace(
            self,
            style=self.style * level.style,
            contour=self.contour * level.style,
            strokes=level.strokes,
            pull=self.pull * level.style,
        )


def make_plan(
    optimize: Optimize,
    size: tuple[int, int],
    encoder: str | None = None,
    *,
    painter: str = INSTANT,
    precision: str = "float32",
) -> Plan:
    """Resolve the ``optimize`` section of a recipe for a result of this height and width.

    Args:
        encoder: of all levels; by default the quality chooses one for each.
        painter: of what is to be painted at once.
        precision: in which the encoder multiplies where ``optimize`` leaves it open.
    """
    return Plan(
        levels=_levels(optimize, size, encoder),
        style=_default(optimize.style, 30.0),
        content=_default(optimize.content, 1.0),
        contour=_default(optimize.contour, 20.0),
        total_variation=_default(optimize.total_variation, 0.05),
        layers=_normalized(optimize.layers or STYLE_LAYERS),
        content_layers=_normalized(optimize.content_layers or CONTENT_LAYERS),
        area_exponent=optimize.area_exponent,
        pooling=optimize.pooling or "max",
        start=optimize.start,
        optimizer=optimize.optimizer,
        learning_rate=_default(
            optimize.learning_rate, 1.0 if optimize.optimizer == "lbfgs" else 0.02
        ),
        history=optimize.history,
        precision=optimize.precision or precision,
        tolerance=_default(optimize.tolerance, 1e-3),
        seed=optimize.seed,
        losses=optimize.losses,
        painter=painter if optimize.quality == INSTANT else None,
    )


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _normalized(weights: Mapping[Any, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {layer: weight / total for layer, weight in weights.items() if weight > 0}


def _levels(optimize: Optimize, size: tuple[int, int], encoder: str | None) -> tuple[Level, ...]:
    if optimize.quality == INSTANT:
        return (Level(max(size), 1, encoder or LIGHT, strokes=_strokes(max(size), size)),)
    preset = PRESETS[optimize.quality]
    sides = _sides(optimize.levels, max(size), preset)
    counts = _counts(optimize.steps, sides, preset)
    light = max(0, len(sides) - preset.heavy)
    encoders = [encoder or (LIGHT if number < light else HEAVY) for number in range(len(sides))]
    known = {LIGHT: preset.light, HEAVY: preset.finish} if len(set(encoders)) > 1 else {}
    tunings = [known.get(name, Tuning()) for name in encoders]
    if optimize.steps is None:  # who gives the steps means just these
        counts = [round(n * tuning.steps) for n, tuning in zip(counts, tunings, strict=True)]
    parts = zip(sides, counts, encoders, tunings, strict=True)
    return tuple(Level(s, n, e, t.style, _strokes(s, size)) for s, n, e, t in parts)


def _strokes(side: int, size: tuple[int, int]) -> int | None:
    """What sizes the strokes of a level, if that is not its longest side."""
    found = stroked_by(size, side)
    return None if found == side else found


def _counts(steps: int | Sequence[int] | None, sides: Sequence[int], preset: Preset) -> list[int]:
    if steps is None:
        return [_steps(side, sides[-1], preset) for side in sides]
    if isinstance(steps, int):
        return [steps] * len(sides)
    # A shorter list of steps is meant for the finest levels, which are the ones that cost.
    return [steps[0]] * (len(sides) - len(steps)) + list(steps[-len(sides) :])


def _sides(wanted: Sequence[int] | None, longest: int, preset: Preset) -> list[int]:
    if wanted is not None:
        return [side for side in wanted if side < longest] + [longest]
    count = max(0, math.ceil(math.log(longest / preset.coarsest, preset.ratio) - 1e-9))
    if count == 0:
        return [longest]
    ratio = (longest / preset.coarsest) ** (1 / count)
    return [round(preset.coarsest * ratio**k) for k in range(count)] + [longest]


def _steps(side: int, longest: int, preset: Preset) -> int:
    """Steps of a level: falling with the logarithm of its side, so that cost grows slower."""
    span = math.log(max(longest, STEPS_FALL_UNTIL) / preset.coarsest)
    fallen = min(1.0, max(0.0, math.log(side / preset.coarsest) / span))
    falling = float((preset.last_steps / preset.first_steps) ** fallen)
    return round(preset.first_steps * falling)
