"""How long a plan takes and how much memory, before it is run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from layered_nst.features import Encoder
from layered_nst.picture import fit_within
from layered_nst.plan import Plan
from layered_nst.scene import Scene
from layered_nst.strategy import stages
from layered_nst.styles import pictures_of, stroke_side

# Peaks of whole runs were measured at 64 to 768 px (64 px: 1.06 GB, 512 px: 1.59 GB, 768 px:
# 2.39 GB); these agree with all of them to 7 %.
TOLERANCE = 1.07
BYTES_AT_REST = 1.0e9
BYTES_PER_PIXEL = 3300
# A picture that was read stays in memory as float32 with alpha, beside what its decoder held.
BYTES_PER_PIXEL_READ = 20
# L-BFGS keeps a step and a change of gradient, three float32 channels each.
BYTES_PER_PIXEL_AND_STEP_REMEMBERED = 24
PROBE_SIDE = 160
# A step's share beyond the encoder's own two passes.
STEP_OVER_PASSES = 1.2
# A pass that nothing is learned from, as over the styles and the content, has no way back.
FORWARD_SHARE = 1 / 3


@dataclass(frozen=True)
class Estimate:
    """Seconds for the whole optimization and peak memory in bytes."""

    seconds: float
    memory: float


def estimate(scene: Scene, plan: Plan, encoder: Encoder) -> Estimate:
    """Estimate a run from one timed pass of the encoder on this machine.

    Levels may end early, when nothing improves, so a run is rather quicker than slower.

    Args:
        scene: where regions and styles are known; its device is the one that is timed.
        plan: all levels.
        encoder: on the same device.
    """
    pixels = [_area(fit_within(scene.size, level.longest)) for level in plan.levels]
    parts = stages(scene, plan)
    once = FORWARD_SHARE * len(parts) * (sum(pixels) + _style_pixels(scene, plan))
    steps = sum(stage.work for stage in parts)
    seconds = (STEP_OVER_PASSES * steps + once) * _seconds_per_pixel(plan, encoder, scene)
    return Estimate(seconds, footprint(plan, scene).bytes(max(pixels)))


@dataclass(frozen=True)
class Footprint:
    """Memory of a run: so many bytes, and so many more for each pixel of the finest level."""

    at_rest: float
    per_pixel: float

    def bytes(self, pixels: float) -> float:
        """Peak memory of a run of so many pixels."""
        return self.at_rest + self.per_pixel * pixels

    def pixels(self, memory: float) -> float:
        """Pixels that fit into so many bytes; negative if not even none do."""
        return (memory - self.at_rest) / self.per_pixel


def footprint(plan: Plan, scene: Scene | None = None) -> Footprint:
    """The memory of a run, less the pictures that it reads if it has no scene yet."""
    remembered = plan.history if plan.optimizer == "lbfgs" else 2
    per_pixel = BYTES_PER_PIXEL + BYTES_PER_PIXEL_AND_STEP_REMEMBERED * remembered
    return Footprint(BYTES_AT_REST + BYTES_PER_PIXEL_READ * _pixels_read(scene), per_pixel)


def _pixels_read(scene: Scene | None) -> int:
    if scene is None:
        return 0
    read = [style.rgb for blend in scene.styles.values() for style in pictures_of(blend)]
    sides = [scene.photo.size, *((rgb.shape[1], rgb.shape[2]) for rgb in read)]
    return sum(map(_area, sides))


def _style_pixels(scene: Scene, plan: Plan) -> int:
    """Pixels of all style pictures at all levels."""
    scales = {region.name: region.scale for region in scene.recipe.regions}
    return sum(
        _area(
            fit_within((style.rgb.shape[1], style.rgb.shape[2]), stroke_side(level.longest, scale))
        )
        for level in plan.levels
        for name, scale in scales.items()
        for style in pictures_of(scene.styles[name])
    )


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _seconds_per_pixel(plan: Plan, encoder: Encoder, scene: Scene) -> float:
    """The faster of two forward and backward passes over a small picture, by its area."""
    shape, device = (1, 3, PROBE_SIDE, PROBE_SIDE), scene.picture.rgb.device
    picture = torch.full(shape, 0.5, device=device, requires_grad=True)
    layers = {*plan.layers, *plan.content_layers}
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        features = encoder(picture, layers, pooling=plan.pooling)
        total = torch.stack([feature.mean() for feature in features.values()]).sum()
        (gradient,) = torch.autograd.grad(total, picture)
        gradient.sum().item()
        taken.append(time.perf_counter() - started)
    return min(taken) / PROBE_SIDE**2
