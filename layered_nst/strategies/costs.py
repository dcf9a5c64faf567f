"""How long a plan takes and how much memory, before it is run."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from layered_nst import plugins
from layered_nst.instant.painting import AT_ONCE
from layered_nst.networks.catalogue import CAREFUL
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.networks.encoders.tiles import areas
from layered_nst.painting.losses.content import content_bytes, keeps_content
from layered_nst.painting.losses.contours import CONTOUR_SIDES
from layered_nst.painting.plan import Level, Plan
from layered_nst.painting.problem import is_composed
from layered_nst.painting.tiled import Place, Reading
from layered_nst.picture import fit_within, size_of
from layered_nst.scene.scene import Scene
from layered_nst.strategies.run import stages
from layered_nst.strategies.stages import Stage
from layered_nst.styles.moments import columns, region_moments
from layered_nst.styles.style import pictures_of, stroke_side

# Peaks of whole runs and of runs in tiles were measured; none was above these by more.
TOLERANCE = 1.07
BYTES_AT_REST = 0.62e9
# The weights themselves, in both precisions, and what oneDNN makes of them for its products.
BYTES_PER_BYTE_OF_WEIGHTS = 4.0
# The packages of segmenters, and what their networks leave behind in the allocator.
BYTES_FOR_SEGMENTING = 0.3e9
# DINOv2's weights and what it leaves behind, measured at 1024 px.
BYTES_FOR_SECOND_OPINION = 0.15e9
# A picture that was read stays in memory as float32 with alpha, beside what its decoder held.
BYTES_PER_PIXEL_READ = 20
# Of the result: photo, start and content as one, visible, kept and frozen pixels.
BYTES_PER_PIXEL_OF_RESULT = 36
BYTES_PER_PIXEL_OF_PRODUCT = 24
# A start with strokes laid on it stands beside the content.
BYTES_PER_PIXEL_LAID = 12
BYTES_PER_PIXEL_AND_MASK = 4
# Of a level: its start, what is added to it and what was at best, their picture, two gradients and
# the last step, three float32 channels each. While L-BFGS steps there are four more, but no
# features.
BYTES_PER_PIXEL_OF_LEVEL = 84
BYTES_PER_PIXEL_OF_UPDATE = 48
# L-BFGS keeps a step and a change of gradient, three float32 channels each.
BYTES_PER_PIXEL_AND_STEP_REMEMBERED = 24
# Of what is seen with a gradient: so much, and so much more for each byte that the encoder keeps
# for its way back, 776 for each pixel with hed-vgg16 in float32. Measured while memory is reused,
# as it is by the command line; programs of one's own take a quarter less.
BYTES_PER_PIXEL_SEEN = 450
BYTES_PER_BYTE_KEPT = 2.5
# Where contours are held, for each pixel that is seen.
BYTES_PER_PIXEL_OF_CONTOURS = 600
# A style at the side of its strokes: while it is resized, and while its neighbors are compared.
BYTES_PER_PIXEL_OF_STYLE = 32
# A pass that has no way back holds two layers of the first block in float32 at most.
BYTES_PER_CHANNEL_OF_STYLE = 13.0
# Of a strip that a network paints, and that it reads beyond its own.
BYTES_PER_PIXEL_PAINTED = 500
PROBE_SIDE = 160
# A step's share beyond the passes that are timed, and what tiles add to their passes: cutting masks
# and finding columns anew. Measured with hed-vgg16 (1.15, 1.04) and light (1.1 to 1.4, 1.16).
STEP_OVER_PASSES = 1.2
TILES_OVER_WHOLE = 1.1
# A pass that nothing is learned from, as over the styles and the content, has no way back.
FORWARD_SHARE = 1 / 3


@dataclass(frozen=True)
class Estimate:
    """Seconds for the whole optimization and peak memory in bytes."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Footprint:
    """Memory of a run: so many bytes, and so many more for each pixel.

    Attributes:
        at_rest: of the process, its models and the pictures that it has read.
        result: for each pixel of the result.
        seen: for each pixel that is seen at once with a gradient.
        style: for each pixel of a style that is seen at once, without one.
        kept: for each pixel of a level in tiles: what they compare features with.
        history: steps that L-BFGS remembers.
    """

    at_rest: float
    result: float
    seen: float
    style: float
    kept: float
    history: int

    def bytes(self, pixels: float) -> float:
        """Peak memory of a run whose finest level, of so many pixels, is seen at once."""
        return self.at_rest + self._per_pixel * pixels

    def pixels(self, memory: float) -> float:
        """Pixels that fit into so many bytes; negative if not even none do."""
        return (memory - self.at_rest) / self._per_pixel

    @property
    def _per_pixel(self) -> float:
        return self.result + self._of_level(self.history) + self.seen

    def of_level(self, pixels: float, of_result: float, reading: Reading, read: float) -> float:
        """Peak memory on a level.

        Args:
            pixels, of_result: of the level and of the result.
            reading: whole or in tiles, with which history.
            read: pixels that are seen at once.
        """
        always = self.at_rest + self.result * of_result
        always += self._of_level(reading.history) * pixels
        if reading.tile is None:
            return always + self.seen * read
        update = BYTES_PER_PIXEL_OF_UPDATE * pixels
        return always + self.kept * pixels + max(self.seen * read, update)

    def of_style(self, pixels: float, of_result: float, read: float) -> float:
        """Peak memory while a style of so many pixels is read, ``read`` of them at once."""
        always = self.at_rest + self.result * of_result + BYTES_PER_PIXEL_OF_STYLE * pixels
        return always + self.style * read

    def _of_level(self, history: int) -> float:
        return BYTES_PER_PIXEL_OF_LEVEL + BYTES_PER_PIXEL_AND_STEP_REMEMBERED * history


@dataclass(frozen=True)
class _Eye:
    """What an encoder adds to the memory of a run.

    Attributes:
        weights: bytes of them all.
        kept: bytes for each pixel that it keeps for its way back.
        channels: of its first layer.
        content: bytes for each pixel of the features that tiles compare with.
    """

    weights: float
    kept: float
    channels: int
    content: float


HED_VGG16 = _Eye(weights=59e6, kept=776.0, channels=64, content=32.0)
"""In float32."""


def _eye(encoder: Encoder, plan: Plan) -> _Eye:
    return _Eye(
        weights=sum(weight.nbytes for weight in encoder.weights()),
        kept=bytes_kept(encoder, plan),
        channels=encoder.width(encoder.layers[0]),
        content=_bytes_of_content(encoder, plan),
    )


def footprint(plan: Plan, scene: Scene | None = None, encoder: Encoder | None = None) -> Footprint:
    """The memory of a run.

    Args:
        scene: without it, three regions are assumed, and the pictures that it reads left out.
        encoder: without it, hed-vgg16 is assumed.
    """
    masks = 3 if scene is None else len(scene.masks.names)
    eye = HED_VGG16 if encoder is None else _eye(encoder, plan)
    rest = BYTES_AT_REST + BYTES_PER_BYTE_OF_WEIGHTS * eye.weights
    rest += BYTES_PER_PIXEL_READ * _pixels_read(scene)
    if scene is not None and scene.segmentation is not None:
        rest += BYTES_FOR_SEGMENTING
        rest += BYTES_FOR_SECOND_OPINION * (scene.recipe.segmentation == CAREFUL)
    # A product is laid into start and content, and transparent pixels are taken out of masks.
    product_first = scene is not None and scene.recipe.strategy != "joint"
    apart = BYTES_PER_PIXEL_OF_PRODUCT if product_first else 0
    apart += BYTES_PER_PIXEL_LAID if plan.lays_strokes else 0
    twice = scene is not None and scene.picture.alpha is not None
    contours = BYTES_PER_PIXEL_OF_CONTOURS if _holds_contours(scene) else 0
    others = [] if scene is None else [plugins.part(*p) for p in scene.recipe.plugin_parts()]
    per_pixel = apart + sum(part.bytes_per_pixel for part in others)
    found = Footprint(
        at_rest=rest + sum(part.memory for part in others),
        result=BYTES_PER_PIXEL_OF_RESULT
        + per_pixel
        + BYTES_PER_PIXEL_AND_MASK * masks * (1 + twice),
        seen=BYTES_PER_PIXEL_SEEN + BYTES_PER_BYTE_KEPT * eye.kept + contours,
        style=BYTES_PER_CHANNEL_OF_STYLE * eye.channels,
        kept=eye.content,
        history=plan.history if plan.optimizer == "lbfgs" else 2,
    )
    if plan.painter is None:
        return found
    # What is painted at once is painted in strips, whatever there is.
    strip = BYTES_PER_PIXEL_PAINTED * AT_ONCE
    return replace(found, at_rest=rest + strip, seen=0, style=0, kept=0, history=0)


def _holds_contours(scene: Scene | None) -> bool:
    recipe = None if scene is None else scene.recipe
    return recipe is not None and any(
        recipe.is_painted_first(region) if region.contour is None else region.contour > 0
        for region in recipe.regions
    )


def bytes_kept(encoder: Encoder, plan: Plan) -> float:
    """Bytes that an encoder keeps of each pixel for its way back, counted on a small picture."""
    side, found = 64, dict[int, Tensor]()
    encoder = encoder.multiplying_in(plan.precision)

    def keep(tensor: Tensor) -> Tensor:
        # Detached: an output that its own graph keeps would keep that graph in return.
        kept = tensor.detach()
        found[kept.untyped_storage().data_ptr()] = kept
        return kept

    like = next(encoder.buffers())
    picture = like.new_full((1, 3, side, side), 0.5).requires_grad_()
    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        layers = {*plan.layers, *plan.content_layers}
        features = encoder(picture, layers, pooling=plan.pooling, measured=False)
    own = {weight.untyped_storage().data_ptr() for weight in encoder.weights()}
    total = sum(t.untyped_storage().nbytes() for place, t in found.items() if place not in own)
    del features
    return total / side**2


def _bytes_of_content(encoder: Encoder, plan: Plan) -> float:
    kept = [layer for layer in plan.content_layers if keeps_content(encoder, layer)]
    return sum(content_bytes(encoder, layer) for layer in kept)


def _pixels_read(scene: Scene | None) -> int:
    if scene is None:
        return 0
    read = [style.rgb for blend in scene.styles.values() for style in pictures_of(blend)]
    sides = [scene.photo.size, *(size_of(rgb) for rgb in read)]
    return sum(map(_area, sides))


@dataclass(frozen=True)
class LevelCost:
    """What a level of a run costs, however it is read.

    Attributes:
        stage: that it belongs to.
        level: side, steps, encoder.
        size: height and width in px.
        of_result: pixels of the result.
        styles: height and width of each style picture as it is seen there.
        encoder: that sees it.
        layers: that are wanted of it.
        need: of memory.
    """

    stage: Stage
    level: Level
    size: tuple[int, int]
    of_result: int
    styles: tuple[tuple[int, int], ...]
    encoder: Encoder
    layers: Collection[str]
    need: Footprint

    @property
    def place(self) -> Place:
        """By which the reading of the level is known."""
        return self.stage.name, self.size

    @cached_property
    def pixels(self) -> int:
        """Of the level."""
        return _area(self.size)

    def read(self, tile: int | None) -> tuple[int, int]:
        """Pixels that are seen at once and pixels that are seen in all, once over."""
        if tile is None:
            return self.pixels, self.pixels
        return areas(self.size, tile, self.encoder, self.layers)

    def memory(self, reading: Reading) -> float:
        """Peak in bytes."""
        at_once, _ = self.read(reading.tile)
        level = self.need.of_level(self.pixels, self.of_result, reading, at_once)
        return max(level, self.style_memory(reading.style_tile))

    def style_memory(self, tile: int | None) -> float:
        """Peak in bytes while its styles are read."""
        return max(
            self.need.of_style(_area(size), self.of_result, self._style_read(size, tile)[0])
            for size in (*self.styles, (1, 1))
        )

    def _style_read(self, size: tuple[int, int], tile: int | None) -> tuple[int, int]:
        whole = (_area(size), _area(size))
        return whole if tile is None else areas(size, tile, self.encoder, self.layers)

    def passes(self, reading: Reading) -> float:
        """Pixels that take their way through the encoder and back.

        In tiles every step takes one more forward pass, and all tiles are read with their borders.
        """
        _, once_over = self.read(reading.tile)
        step = 1.0 if reading.tile is None else TILES_OVER_WHOLE * (1 + FORWARD_SHARE)
        styles = sum(self._style_read(size, reading.style_tile)[1] for size in self.styles)
        once = FORWARD_SHARE * (once_over + styles)
        return STEP_OVER_PASSES * self.level.steps * step * once_over + once


def level_costs(scene: Scene, plan: Plan, encoders: Mapping[str, Encoder]) -> list[LevelCost]:
    """All levels of all stages of a run, in order.

    Args:
        encoders: by the names that the levels use.
    """
    needs = {name: footprint(plan, scene, encoder) for name, encoder in encoders.items()}
    return [
        LevelCost(
            stage=stage,
            level=level,
            size=_size_of(level, stage, scene),
            of_result=_area(scene.size),
            styles=_style_sizes(scene, level),
            encoder=encoders[level.encoder],
            layers=_wanted(encoders[level.encoder], plan),
            need=needs[level.encoder],
        )
        for stage in stages(scene, plan)
        for level in stage.plan.levels
    ]


def _size_of(level: Level, stage: Stage, scene: Scene) -> tuple[int, int]:
    """Height and width of a level."""
    sketch = scene.sketch if stage.size == scene.size else None
    if sketch is not None and is_composed(level.longest, stage.size, sketch.size):
        return fit_within(sketch.size, level.longest)
    return fit_within(stage.size, level.longest)


def _wanted(encoder: Encoder, plan: Plan) -> set[str]:
    contours = contour_layers(encoder, CONTOUR_SIDES) if encoder.has_contours else ()
    return {*plan.layers, *plan.content_layers, *contours}


def _style_sizes(scene: Scene, level: Level) -> tuple[tuple[int, int], ...]:
    """Height and width of all style pictures at a level, as large as its strokes are."""
    return tuple(
        fit_within(size_of(style.rgb), stroke_side(level.strokes_for, region.strokes))
        for region in scene.recipe.regions
        for style in pictures_of(scene.styles[region.name])
    )


def estimate(
    scene: Scene,
    plan: Plan,
    encoders: Mapping[str, Encoder],
    readings: Mapping[Place, Reading] | None = None,
    *,
    speeds: Mapping[str, float] | None = None,
) -> Estimate:
    """Estimate a run from timed passes of the encoders on this machine.

    Levels may end early, when nothing improves, so a run is rather quicker than slower.

    Args:
        scene: where regions and styles are known; its device is the one that is timed.
        plan: all levels.
        encoders: by the names that the levels use, on the same device.
        readings: of the levels that are not seen whole, or not all of them.
        speeds: of the encoders, as ``speed`` gives them; timed here if not given.
    """
    rates = speeds or {n: speed(plan, seen, scene) for n, seen in encoders.items()}
    whole = Reading(None, None, plan.history if plan.optimizer == "lbfgs" else 2)
    costs = level_costs(scene, plan, encoders)
    chosen = [(cost, (readings or {}).get(cost.place, whole)) for cost in costs]
    seconds = sum(rates[cost.level.encoder] * cost.passes(reading) for cost, reading in chosen)
    return Estimate(seconds, max(cost.memory(reading) for cost, reading in chosen))


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def speed(plan: Plan, encoder: Encoder, scene: Scene) -> float:
    """Seconds for a pixel: the faster of two passes forth and back over a small picture.

    Moments are those of one region, since all together cost about as much.
    """
    shape, device = (1, 3, PROBE_SIDE, PROBE_SIDE), scene.picture.rgb.device
    encoder = encoder.multiplying_in(plan.precision)
    picture = torch.full(shape, 0.5, device=device, requires_grad=True)
    sizes = encoder.layer_sizes((PROBE_SIDE, PROBE_SIDE))
    reads = {layer: columns(torch.ones(1, *sizes[layer], device=device)) for layer in plan.layers}
    layers = {*plan.layers, *plan.content_layers}
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        features = encoder(picture, layers, pooling=plan.pooling, measured=False)
        seen = [encoder.to_measure(layer, features[layer]) for layer in plan.content_layers]
        seen += [
            part
            for layer, read in reads.items()
            for part in region_moments(features[layer], read, encoder.measure(layer))
        ]
        total = torch.stack([part.mean() for part in seen]).sum()
        (gradient,) = torch.autograd.grad(total, picture)
        gradient.sum().item()
        taken.append(time.perf_counter() - started)
    return min(taken) / PROBE_SIDE**2
