"""The constants of a run: a quality preset, overridden key by key by the recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from typing import Any

from layered_nst import plugins
from layered_nst.recipe import Optimize
from layered_nst.styles.layers import STYLE_LAYERS
from layered_nst.styles.style import stroked_by

CONTENT_LAYERS: Mapping[str, float] = {"conv4_2": 1.0}


@dataclass(frozen=True)
class Tuning:
    """Factors on a level's steps and on its weights of style, content and total variation.

    From 1024 px on it takes only ``large`` of the steps, and from 400 px on less of them.
    """

    steps: float = 1.0
    large: float = 1.0
    style: float = 1.0
    content: float = 1.0
    total_variation: float = 1.0

    def steps_at(self, side: int) -> float:
        """Factor on the steps of a level of this longest side in px."""
        return float(self.steps * self.large ** _fallen(side, LARGE))


@dataclass(frozen=True)
class Preset:
    """A speed: step between levels past the composition's, and steps at 128 px and from 400 px on.

    The ``heavy`` finest levels see with hed-vgg16, the coarser ones with the light encoder. Where
    there are both, ``finish`` tunes the former.
    """

    ratio: float
    first_steps: int
    last_steps: int
    heavy: int
    finish: Tuning = Tuning()


PRESETS: Mapping[str, Preset] = {
    "draft": Preset(ratio=2.0, first_steps=24, last_steps=6, heavy=0),
    "standard": Preset(
        ratio=math.sqrt(2),
        first_steps=120,
        last_steps=36,
        heavy=1,
        # With twice the steps at 1024 px a picture takes half as long again, comes nearer to its
        # styles by 0.004 and cannot be told apart.
        finish=Tuning(steps=1.1, large=0.5, style=1.25, total_variation=2.0),
    ),
    "fine": Preset(ratio=math.sqrt(2), first_steps=200, last_steps=60, heavy=3),
    # At a print's size a step of hed-vgg16 takes a minute and more, and as many as there is time
    # for come less near to the styles than those of the light encoder.
    "print": Preset(ratio=math.sqrt(2), first_steps=60, last_steps=16, heavy=0),
}
COLOR, STROKES, LINES = "color", "strokes", "lines"


@dataclass(frozen=True)
class Composing:
    """The levels at which strokes are laid out: the same with the same steps in all qualities and
    at all sizes, so that all show one composition. What is finer sharpens it, and is held to it.

    Attributes:
        sides: longest sides in px.
        more: factor on steps.
    """

    sides: tuple[int, ...] = (128, 181, 256)
    more: float = 1.0


COMPOSING: Mapping[str, Composing] = {
    # Strokes that lie there already need not be looked for, and the coarsest level melts what the
    # photo shows; the others have its time.
    STROKES: Composing((181, 256), more=1.3),
    # Of thin lines coarser levels see nothing but gray, and press folds into it that finer ones
    # then draw along.
    LINES: Composing((362,)),
}
COMPOSING_STEPS = (84, 26)
# Part of the style that the light levels find is lost when hed-vgg16 looks, so they pull harder;
# and they see forms less well.
LIGHT_TUNING = Tuning(style=3.5, content=2.0)
COMPOSITION = 0.3
# Nearer to the result's size than this a level would only repeat it.
NEAREST = 1.2
HEAVY, LIGHT = "hed-vgg16", "light"
INSTANT = "instant"
"""The quality that optimizes nothing, and the painter that comes with this package."""
# Time of a step against hed-vgg16's.
COSTS: Mapping[str, float] = {LIGHT: 1 / 8}
# Strokes are set by 400 px; past that a level only sharpens them and costs as its area.
STEPS_FALL = (128, 400)
LARGE = (400, 1024)


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        longest: its longest side in px.
        steps: their number.
        encoder: the one that it sees with.
        style: factor on the plan's weights of style and of contours, which are held against it.
        content, total_variation: factors on the plan's.
        strokes: side in px by which strokes are sized, where that is not ``longest``: as the level
            sees a window of the picture, or a picture that is very wide.
    """

    longest: int
    steps: int
    encoder: str = HEAVY
    style: float = 1.0
    content: float = 1.0
    total_variation: float = 1.0
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
        start: ``color``, ``content``, ``noise``, ``strokes`` or ``lines``.
        optimizer: ``lbfgs`` or ``adam``.
        learning_rate: factor on the steps of L-BFGS; length of those of Adam, of 1.
        history: steps that L-BFGS remembers.
        precision: ``float32`` or ``bfloat16``, in which the encoder multiplies.
        composition: weight of what the coarse levels have laid out, at the finer ones.
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
    composition: float
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

    @property
    def lays_strokes(self) -> bool:
        """Whether what it starts from has strokes of its styles laid on it."""
        return self.start in (STROKES, LINES)

    def at(self, level: Level) -> Plan:
        """The plan with the weights that it has at one of its levels."""
        return replace(
            self,
            style=self.style * level.style,
            content=self.content * level.content,
            total_variation=self.total_variation * level.total_variation,
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
    approved: int = 0,
) -> Plan:
    """Resolve the ``optimize`` section of a recipe for a result of this height and width.

    Args:
        encoder: of all levels; by default the quality chooses one for each.
        painter: of what is to be painted at once.
        approved: longest side in px of a picture that is there already: what is as coarse is not
            painted again.
        precision: in which the encoder multiplies where ``optimize`` leaves it open.
    """
    style_layers, content_layers = _layers(encoder)
    return Plan(
        levels=_levels(optimize, size, encoder, approved),
        style=_default(optimize.style, 30.0),
        content=_default(optimize.content, 1.0),
        contour=_default(optimize.contour, 20.0),
        total_variation=_default(optimize.total_variation, 0.05),
        layers=_normalized(optimize.layers or style_layers),
        content_layers=_normalized(optimize.content_layers or content_layers),
        area_exponent=optimize.area_exponent,
        pooling=optimize.pooling or "max",
        start=optimize.start or COLOR,
        optimizer=optimize.optimizer,
        learning_rate=_default(
            optimize.learning_rate, 1.0 if optimize.optimizer == "lbfgs" else 0.02
        ),
        history=optimize.history,
        precision=optimize.precision or precision,
        composition=COMPOSITION,
        tolerance=_default(optimize.tolerance, 1e-3),
        seed=optimize.seed,
        losses=optimize.losses,
        painter=painter if optimize.quality == INSTANT else None,
    )


def composing(start: str | None) -> Composing:
    """The levels that lay out a picture which starts so."""
    return COMPOSING.get(start or COLOR, Composing())


def _layers(encoder: str | None) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """The layers at which styles and forms are compared, as far as a recipe leaves them open."""
    part = None if encoder is None else plugins.find("encoder", plugins.name_in(encoder))
    if part is None or not part.layers:
        return STYLE_LAYERS, CONTENT_LAYERS
    return part.layers, part.content_layers


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _normalized(weights: Mapping[Any, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {layer: weight / total for layer, weight in weights.items() if weight > 0}


def _levels(
    optimize: Optimize, size: tuple[int, int], encoder: str | None, approved: int
) -> tuple[Level, ...]:
    if optimize.quality == INSTANT:
        return (Level(max(size), 1, encoder or LIGHT, strokes=_strokes(max(size), size)),)
    preset = PRESETS[optimize.quality]
    laid = composing(optimize.start)
    sides = _sides(optimize.levels, max(size), preset, laid.sides)
    counts = _counts(optimize.steps, sides, preset, laid)
    encoders = [encoder or chosen for chosen in _encoders(sides, preset, laid.sides)]
    known = {LIGHT: LIGHT_TUNING, HEAVY: preset.finish} if encoder is None else {}
    tunings = [known.get(name, Tuning()) for name in encoders]
    if optimize.steps is None:  # who gives the steps means just these
        counts = [
            round(n * tuning.steps_at(side))
            for n, tuning, side in zip(counts, tunings, sides, strict=True)
        ]
    parts = zip(sides, counts, encoders, tunings, strict=True)
    levels = (
        Level(s, n, e, t.style, t.content, t.total_variation, _strokes(s, size))
        for s, n, e, t in parts
    )
    return tuple(v for v in levels if v.longest > approved * NEAREST or v.longest == sides[-1])


def _encoders(sides: Sequence[int], preset: Preset, laid: Sequence[int]) -> list[str]:
    """HEAVY for the finest levels that do not compose, LIGHT for the others."""
    if preset.heavy == 0:
        return [LIGHT] * len(sides)
    finer = [n for n, side in enumerate(sides) if side > laid[-1]] or [len(sides) - 1]
    heavy = {len(sides) - 1, *finer[-preset.heavy :]}
    return [HEAVY if number in heavy else LIGHT for number in range(len(sides))]


def _strokes(side: int, size: tuple[int, int]) -> int | None:
    """What sizes the strokes of a level, if that is not its longest side."""
    found = stroked_by(size, side)
    return None if found == side else found


def _counts(
    steps: int | Sequence[int] | None,
    sides: Sequence[int],
    preset: Preset,
    laid: Composing,
) -> list[int]:
    if steps is None:
        # What is too small to be composed at a level of its own is composed at its own size.
        last = max(laid.sides[-1], sides[0])
        return [_steps(side, preset, laid.more if side <= last else None) for side in sides]
    if isinstance(steps, int):
        return [steps] * len(sides)
    # A shorter list of steps is meant for the finest levels, which are the ones that cost.
    return [steps[0]] * (len(sides) - len(steps)) + list(steps[-len(sides) :])


def _sides(
    wanted: Sequence[int] | None, longest: int, preset: Preset, laid: Sequence[int]
) -> list[int]:
    if wanted is not None:
        return [side for side in wanted if side < longest] + [longest]
    # Those that compose stand however near the result is: without the last of them it would be
    # composed otherwise than larger ones.
    composed = [side for side in laid if side < longest]
    finer = (round(laid[-1] * preset.ratio**n) for n in count(1))
    return [*composed, *takewhile(lambda side: side * NEAREST <= longest, finer), longest]


def _steps(side: int, preset: Preset, composing: float | None) -> int:
    """Steps of a level: falling with the logarithm of its side, so that cost grows slower.

    Args:
        composing: factor on the steps of levels that compose; None for others.
    """
    first, last = float(preset.first_steps), float(preset.last_steps)
    if composing is not None:
        first, last = (composing * steps for steps in COMPOSING_STEPS)
    return round(first * float((last / first) ** _fallen(side, STEPS_FALL)))


def _fallen(side: int, between: tuple[int, int]) -> float:
    """How far a side has come between two, by logarithms, from 0 to 1."""
    low, high = map(math.log, between)
    return min(1.0, max(0.0, (math.log(side) - low) / (high - low)))
