"""The whole loss of one level: what the plan and the regions name, with every constant computed
once, and its gradient by the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.losses.content import ContentLoss
from layered_nst.painting.losses.contours import ContourLoss, contour_pull
from layered_nst.painting.losses.loss import FeatureLoss, Read, Sums
from layered_nst.painting.losses.pixels import (
    PixelLoss,
    Range,
    Smoothness,
    firmness,
    laplacian_of,
)
from layered_nst.painting.losses.style import StyleLoss
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem
from layered_nst.painting.sight import Sight, painted, whole

Reader = tuple[FeatureLoss, Read]
"""A loss and what reads a tile for it."""


class Objective:
    """The whole loss of one level.

    Args:
        encoder: gives the features.
        problem: at the result's size; masks and pictures are brought to the level's here.
        plan: the weights.
        size: height and width of the level.
    """

    def __init__(
        self, encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int]
    ) -> None:
        self.encoder, self.plan, self.size = encoder.multiplying_in(plan.precision), plan, size
        self.losses = feature_losses(encoder, problem, plan)
        self.layers = {layer for loss in self.losses for layer in loss.layers}
        self.tiles = self._tiles()
        sight = Sight(self.encoder, encoder, problem, plan, size, self.tiles)
        for loss in self.losses:
            loss.prepare(sight)
            allocator.give_back()  # what passes without a way back leave behind fits no step
        self.pixels = pixel_losses(encoder, problem, plan, size)
        self.readers = self._readers()

    def _tiles(self) -> tuple[Tile, ...]:
        return (whole(self.size),)

    def _readers(self) -> list[Reader]:
        return self._on(self.tiles[0])

    @torch.no_grad()
    def _on(self, tile: Tile) -> list[Reader]:
        return [(loss, loss.on(tile)) for loss in self.losses]

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name.

        Args:
            picture: shape (1, 3, h, w) at the level's size.
        """
        terms = self._feature_terms(self._see(picture, self.readers))
        for loss in self.pixels:
            terms |= loss.terms(picture)
        return terms

    def backward(self, picture: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms by dotted name and their ``total``, and its gradient by the picture.

        Args:
            picture: shape (1, 3, h, w) at the level's size.

        Returns:
            The terms, and a tensor of the picture's shape that is the caller's.
        """
        leaf = picture.detach().requires_grad_()
        terms = self(leaf)
        total = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        found = {name: value.detach() for name, value in {**terms, "total": total}.items()}
        return found, gradient.contiguous()

    def _see(self, part: Tensor, readers: Sequence[Reader]) -> list[dict[str, Sums]]:
        """What each loss wants to know of a part of the picture (1, 3, h, w), by layer."""
        seen: list[dict[str, Sums]] = [{} for _ in readers]

        def read(layer: str, features: Tensor) -> None:
            for sums, (loss, take) in zip(seen, readers, strict=True):
                if layer in loss.layers:
                    sums[layer] = take(layer, features)

        wanted = {layer for loss, _ in readers for layer in loss.layers}
        self.encoder(part, wanted, pooling=self.plan.pooling, read=read, measured=False)
        return seen

    def _feature_terms(self, seen: Sequence[Mapping[str, Sums]]) -> dict[str, Tensor]:
        """The terms that look at features, from what was seen on the whole picture."""
        terms: dict[str, Tensor] = {}
        for loss, sums in zip(self.losses, seen, strict=True):
            terms |= loss.terms(sums)
        return terms


def feature_losses(encoder: Encoder, problem: Problem, plan: Plan) -> list[FeatureLoss]:
    """The losses of features that a plan and its regions name."""
    losses: list[FeatureLoss] = [StyleLoss(plan)]
    if plan.content_layers:
        losses.append(ContentLoss(plan))
    pull = contour_pull(plan, painted(problem))
    if pull and encoder.has_contours:
        losses.append(ContourLoss(encoder, pull))
    return losses


def pixel_losses(
    encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int]
) -> list[PixelLoss]:
    """The losses of pixels that a plan and its regions name."""
    regions = painted(problem)
    losses: list[PixelLoss] = []
    pull = contour_pull(plan, regions)
    if pull and not encoder.has_contours:
        losses.append(laplacian_of(problem, regions, size, pull))
    return [
        *losses,
        Smoothness(plan.total_variation, firmness(regions, size, plan.strokes or max(size))),
        Range(),
    ]


Objectives = Callable[[Encoder, Problem, Plan, tuple[int, int]], Objective]
"""Makes the objective of a level, with a plan as that level is worked on."""
