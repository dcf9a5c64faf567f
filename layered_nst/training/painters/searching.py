"""A painter as what a form is searched for: near to the styles in little time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layered_nst.instant.network import LAYERS, Painter
from layered_nst.networks.encoders import Encoder
from layered_nst.training.encoders.pictures import pictures_digest, split
from layered_nst.training.painters.latency import SIDE, measured, predicted
from layered_nst.training.painters.losses import Contrasts
from layered_nst.training.painters.samples import draw_samples
from layered_nst.training.painters.sharing import SPACE, filled, form_of, numbers_of, part_of
from layered_nst.training.painters.teaching import SEEN, TeachingPlan, TeachingState, losses
from layered_nst.training.searching.spaces import Numbers, Space
from layered_nst.training.searching.subjects import SearchPlan, Subject

JUDGED_ON = 3
"""Batches of held-out pictures on which a form is judged."""
JUDGED_BY = ("style", "content", "identity")


class PainterSubject(Subject):
    """A painter for an encoder.

    Args:
        photos, styles: uint8 pictures (3, H, W); every 24th of each is held out to judge by.
        start: a painter whose weights the shared ones begin with.
        space: of forms.
    """

    usual = SearchPlan()
    seconds_for = f"{SIDE}×{SIDE} px"

    def __init__(
        self,
        encoder: Encoder,
        photos: Sequence[Tensor],
        styles: Sequence[Tensor],
        *,
        start: Painter | None = None,
        space: Space = SPACE,
    ) -> None:
        self.encoder, self.start, self.space = encoder, start, space
        (self.photos, self.held_photos), (self.styles, self.held_styles) = (
            split(photos),
            split(styles),
        )
        self.belongs = {
            "encoder": encoder.fingerprint,
            "photos": pictures_digest(self.photos),
            "styles": pictures_digest(self.styles),
        }
        if start is not None:
            form = numbers_of(start.form)
            self.known = [form] if form in space else []
        self.channels = tuple(encoder.width(layer) for layer in LAYERS)

    def begin(self, plan: SearchPlan) -> None:
        self.whole = Painter(form_of(self.space.largest), self.channels)
        if self.start is not None:
            filled(self.whole, self.start)
        self.contrasts = Contrasts({layer: self.encoder.width(layer) for layer in SEEN})

    def taught(self) -> Mapping[str, nn.Module]:
        return {"painter": self.whole, "contrasts": self.contrasts}

    def draw(self, plan: SearchPlan) -> Any:
        return draw_samples(self.photos, self.styles, batch=plan.batch, side=plan.crop)

    def loss(self, form: Numbers, drawn: Any) -> Tensor:
        terms = self._terms(form, drawn, self.contrasts)
        return torch.stack(list(terms.values())).sum()

    def settle(self, plan: SearchPlan) -> None:
        held = (self.held_photos, self.held_styles)
        self.judged_on = [
            draw_samples(*held, batch=plan.batch, side=plan.crop) for _ in range(JUDGED_ON)
        ]

    def error(self, form: Numbers) -> float:
        torch.manual_seed(0)  # the same grain for all
        terms = [self._terms(form, drawn, _Silent()) for drawn in self.judged_on]
        return sum(float(t[name]) for t in terms for name in JUDGED_BY if name in t) / len(terms)

    def _terms(self, form: Numbers, drawn: Any, contrasts: Contrasts) -> dict[str, Tensor]:
        part, plan = part_of(self.whole, form_of(form)), TeachingPlan(steadiness=0)
        state = TeachingState(part, nn.Module(), contrasts, None)  # type: ignore[arg-type]
        samples, shown = drawn
        return losses(state, self.encoder, samples, shown, plan)

    def measured(self) -> dict[str, float]:
        return measured(self.space, self.channels)

    def predicted(self, form: Numbers, table: Mapping[str, float]) -> float:
        return predicted(form_of(form), table)

    def size(self, form: Numbers) -> int:
        painter = Painter(form_of(form), self.channels)
        return 2 * sum(weight.numel() for weight in painter.parameters())

    def called(self, form: Numbers) -> str:
        return str(form_of(form))


class _Silent(Contrasts):
    """Contrasts of which nothing is asked."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def coherence(self, seen: Mapping[str, Tensor], photo: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(())

    def told_apart(self, pictures: Tensor, styles: Tensor) -> Tensor:
        return torch.zeros(())
