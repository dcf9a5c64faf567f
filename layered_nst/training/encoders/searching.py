"""A light encoder as what a form is searched for: seeing as its teacher sees, in little time.

Source of what is taught: Wang et al. 2020, as of ``distilling``. The channels of the shared weights
stand in the order in which a factorization takes them, those that tell most of all others first, so
that a narrower encoder has the more telling ones. What a form is worth is judged with maps to the
teacher's features that are solved for it: shared ones serve the wider forms best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layered_nst.networks.encoders import Encoder
from layered_nst.training.encoders.latency import SIDE, measured, predicted
from layered_nst.training.encoders.matching import (
    DEFAULT_PLAN,
    distillation_loss,
    feature_energy,
)
from layered_nst.training.encoders.pictures import pictures_digest, split, training_crops
from layered_nst.training.encoders.scoring import check_pair
from layered_nst.training.encoders.sharing import filled_student, space_of, student_part
from layered_nst.training.encoders.students import linear_map, new_student, sampled
from layered_nst.training.searching.spaces import Numbers, Space
from layered_nst.training.searching.subjects import SearchPlan, Subject

SAMPLE = 32
"""Crops by which channels are put into their order."""
JUDGED_ON = 16
"""Crops of held-out pictures on which a form is judged; its maps are solved on as many others."""


class EncoderSubject(Subject):
    """An encoder that sees as a teacher sees.

    Args:
        pictures: uint8 pictures (3, H, W); every 24th is held out to judge by.
        start: a distilled encoder whose weights the shared ones begin with.
        space: of widths.

    Raises:
        ModelError: the start does not correspond to the teacher.
        DataError: fewer than two pictures.
    """

    usual = SearchPlan(batch=4, crop=144)
    seconds_for = f"a step at {SIDE}×{SIDE} px"

    def __init__(
        self,
        teacher: Encoder,
        pictures: Sequence[Tensor],
        *,
        start: Encoder | None = None,
        space: Space | None = None,
    ) -> None:
        if start is not None:
            check_pair(start, teacher)
        self.teacher, self.start, self.space = teacher, start, space or space_of(teacher)
        if start is not None:
            form = tuple(start.width(layer) for layer in start.layers)
            self.known = [form] if form in self.space else []
        self.pictures, self.held = split(pictures)
        self.belongs = {
            "teacher": teacher.fingerprint,
            "start": "" if start is None else start.fingerprint,
            "pictures": pictures_digest(pictures),
        }

    def begin(self, plan: SearchPlan) -> None:
        crops = training_crops(self.pictures, batch=SAMPLE, side=plan.crop)
        widths = dict(zip(self.teacher.layers, self.space.largest, strict=True))
        self.whole = new_student(self.teacher, crops, widths)
        if self.start is not None:
            filled_student(self.whole, self.start)
        with torch.no_grad():
            self.energy = feature_energy(self.teacher(crops[:8], self.teacher.layers))

    def taught(self) -> Mapping[str, nn.Module]:
        return {"student": self.whole}

    def draw(self, plan: SearchPlan) -> Any:
        crops = training_crops(self.pictures, batch=plan.batch, side=plan.crop)
        with torch.no_grad():
            return crops, self.teacher(crops, self.teacher.layers)

    def loss(self, form: Numbers, drawn: Any) -> Tensor:
        crops, targets = drawn
        part = student_part(self.whole, form)
        return distillation_loss(part, crops, targets, DEFAULT_PLAN, self.energy)

    @torch.no_grad()
    def settle(self, plan: SearchPlan) -> None:
        self.judged_on = []
        for pictures in (self.pictures, self.held):
            crops = training_crops(pictures, batch=JUDGED_ON, side=plan.crop)
            seen = sampled(lambda part: self.teacher(part, self.teacher.layers), crops)
            self.judged_on.append((crops, seen))

    def error(self, form: Numbers) -> float:
        """The share of the teacher's variance that is not explained, of layers as they count."""
        part = student_part(self.whole, form)
        (first, given), (held, wanted) = self.judged_on
        sources, seen = sampled(part, first), sampled(part, held)
        total = weights = 0.0
        for layer, source in sources.items():
            target = wanted[layer]
            left = target - seen[layer] @ linear_map(source, given[layer]).T
            spread = (target - target.mean(0)).square().sum()
            weight = DEFAULT_PLAN.weights.get(layer, DEFAULT_PLAN.others)
            total += weight * float(left.square().sum() / spread.clamp(min=1e-12))
            weights += weight
        return total / weights

    def measured(self) -> dict[str, float]:
        return measured(self.teacher, self.space)

    def predicted(self, form: Numbers, table: Mapping[str, float]) -> float:
        return predicted(self.teacher.layers, form, table)

    def size(self, form: Numbers) -> int:
        values, below = 0, 3
        for layer, width in zip(self.teacher.layers, form, strict=True):
            values += width * (9 * below + 1) + width**2
            if self.teacher.has_contours and any(
                layer == block[-1] for block in self.teacher.blocks
            ):
                values += width + 1
            below = width
        if self.teacher.has_contours:
            values += len(self.teacher.blocks) + 1
        return 2 * values

    def called(self, form: Numbers) -> str:
        return ",".join(map(str, form))
