"""What a distillation lowers, and by which plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from layered_nst.training.encoders.students import Student

POSITIONS = 1024
"""Positions of a layer that a step compares: those of shallow layers are many and much alike."""
MIN_CROP, MAX_CROP = 32, 1024
"""Sides of a crop in px: below, the deepest layers have hardly a position; above, no memory."""

LAYER_WEIGHTS: Mapping[str, float] = {
    "conv1_1": 1.0,
    "conv2_1": 1.0,
    "conv3_1": 1.0,
    "conv4_1": 1.0,
    "conv4_2": 1.0,
    "conv5_1": 1.0,
    "conv2_2": 0.5,
    "conv3_3": 0.5,
    "conv4_3": 0.5,
}
"""Styles and content are read at the first six, contours at the last three."""

MAIN_LAYERS = tuple(layer for layer, weight in LAYER_WEIGHTS.items() if weight == 1.0)


@dataclass(frozen=True)
class DistillPlan:
    """Everything that decides the outcome of a distillation, besides pictures and teacher.

    Attributes:
        width: channels of the student as a share of the teacher's, above 0 and at most 1.
        first: conv1_1 is so many times wider than that: it costs little and colors hang on it.
        form: channels of each layer, shallow to deep, in place of both.
        steps: updates.
        batch, crop: crops in a step and their side in px, 32 to 1024.
        learning_rate: of Adam at its highest; it falls as half a cosine.
        moments: weight of the error of the moments beside that of the features.
        weights: how much each layer counts.
        others: how much each layer counts that is not named there.
        bfloat16: multiply in bfloat16, twice as fast where the processor has it.
        seed: of everything random.

    Raises:
        ValueError: a number out of its range.
    """

    width: float = 0.25
    first: float = 2.0
    form: tuple[int, ...] | None = None
    steps: int = 6000
    batch: int = 8
    crop: int = 144
    learning_rate: float = 1e-3
    moments: float = 0.3
    weights: Mapping[str, float] = field(default_factory=lambda: dict(LAYER_WEIGHTS))
    others: float = 0.25
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed, fits in (
            ("width", "a number above 0 and at most 1", 0 < self.width <= 1),
            ("steps", "a whole number of at least 1", self.steps >= 1),
            ("batch", "a whole number of at least 1", self.batch >= 1),
            ("crop", f"{MIN_CROP} to {MAX_CROP} px", MIN_CROP <= self.crop <= MAX_CROP),
            ("learning_rate", "a number above 0", 0 < self.learning_rate < math.inf),
        ):
            if not fits:
                raise ValueError(f"{name}: found {getattr(self, name):g}, allowed: {allowed}")
        if self.form is not None and min(self.form, default=0) < 1:
            raise ValueError(f"form: found {self.form}, allowed: widths of at least 1")


DEFAULT_PLAN = DistillPlan()
"""That of the bundled light encoder, which multiplied in bfloat16."""


def moment_error(seen: Tensor, target: Tensor) -> Tensor:
    """Mean over pictures of ``‖Σ − Σ*‖² / ‖Σ*‖² + ‖μ − μ*‖² / ‖μ*‖²``: what styles are told by.

    Args:
        seen: the student's features after its map, shape (B, N, C).
        target: the teacher's, at the same positions.
    """
    (mean, spread), (wanted_mean, wanted) = _moments(seen), _moments(target)

    def relative(error: Tensor, goal: Tensor) -> Tensor:
        energy = goal.square().flatten(1).sum(1)
        # A crop of sky has hardly a spread of its own to be measured by.
        energy = energy.clamp(min=0.05 * energy.mean().item() + 1e-12)
        return (error.square().flatten(1).sum(1) / energy).mean()

    return relative(spread - wanted, wanted) + relative(mean - wanted_mean, wanted_mean)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Means (B, C) and covariances (B, C, C) of rows (B, N, C)."""
    mean = rows.mean(1)
    centered = rows - mean[:, None]
    return mean, centered.transpose(1, 2) @ centered / rows.shape[1]


def distillation_loss(
    student: Student,
    pictures: Tensor,
    targets: Mapping[str, Tensor],
    plan: DistillPlan,
    energy: Mapping[str, float],
) -> Tensor:
    """What the training lowers: features and moments of all layers, each relative to its own.

    Args:
        pictures: shape (B, 3, h, w) in [0, 1].
        targets: the teacher's features of ``pictures``.
        energy: variance of each of the teacher's layers over many pictures, for one value; a crop
            without contrast weighs little then.
    """
    total = pictures.new_zeros(())
    for layer, features in student(pictures).items():
        places = torch.randperm(features[0, 0].numel())[:POSITIONS].to(features.device)
        seen = (_at(features, places) @ student.maps[layer].T).float()
        target = _at(targets[layer], places).float()
        error = (seen - target).square().mean() / energy[layer]
        if plan.moments and layer in plan.weights:
            error = error + plan.moments * moment_error(seen, target)
        total = total + plan.weights.get(layer, plan.others) * error
    return total


def feature_energy(features: Mapping[str, Tensor]) -> dict[str, float]:
    """The variance of each layer's features (B, C, h, w), for one value."""
    return {
        layer: max(1e-12, float((f - f.mean((0, 2, 3), keepdim=True)).square().mean()))
        for layer, f in features.items()
    }


def _at(features: Tensor, places: Tensor) -> Tensor:
    """Features (B, C, h, w) at these positions of all pictures, shape (B, N, C)."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)[:, places]
