"""How long a plan takes and how much memory, before it is run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from layered_nst.features import Encoder
from layered_nst.picture import fit_within
from layered_nst.plan import Plan

# Measured: peak of the process per pixel of the finest level, and what it takes at rest.
BYTES_PER_PIXEL = 2600
BYTES_AT_REST = 700e6
PROBE_SIDE = 160
# A step's share beyond the encoder's own two passes.
STEP_OVER_PASSES = 1.2


@dataclass(frozen=True)
class Estimate:
    """Seconds for the whole optimisation and peak memory in bytes."""

    seconds: float
    memory: float


def estimate(plan: Plan, size: tuple[int, int], encoder: Encoder, device: torch.device) -> Estimate:
    """Estimate a run from one timed pass of the encoder on this machine.

    Args:
        size: height and width of the result.
    """
    pixels = [_area(fit_within(size, level.longest)) for level in plan.levels]
    work = sum(level.steps * area for level, area in zip(plan.levels, pixels, strict=True))
    seconds = work * _seconds_per_pixel(plan, encoder, device) * STEP_OVER_PASSES
    return Estimate(seconds, BYTES_AT_REST + BYTES_PER_PIXEL * max(pixels))


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _seconds_per_pixel(plan: Plan, encoder: Encoder, device: torch.device) -> float:
    """The faster of two forward and backward passes over a small picture, by its area."""
    picture = torch.rand(1, 3, PROBE_SIDE, PROBE_SIDE, device=device).requires_grad_()
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
