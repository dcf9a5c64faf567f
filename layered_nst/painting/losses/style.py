"""How far each region is from its style: the distance of moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders.tiles import Sums, Tile
from layered_nst.painting.losses.drawing import drawn, left_to_style, usual
from layered_nst.painting.losses.loss import Read
from layered_nst.painting.plan import Plan
from layered_nst.painting.sight import Sight
from layered_nst.picture import size_of
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import (
    PLAIN,
    Columns,
    Moments,
    columns,
    covariance,
    region_moments,
)
from layered_nst.styles.style import stroke_side, style_moments

# Energy of a mean as a share of white's: of 32 styles none had less but at conv5_1. Of a gray
# near what encoders take for the middle it is 4e-4, and any drawing on it is a huge deviation.
FAINT = 0.1
TINY = 1e-12


class StyleLoss:
    """The distance of every region's moments to its style's, at each of the plan's layers."""

    linear = False

    def __init__(self, plan: Plan) -> None:
        self.layers = tuple(plan.layers)

    def prepare(self, sight: Sight) -> None:
        """See ``FeatureLoss``."""
        self.sight = sight
        share = torch.stack(sight.masks).mean((1, 2))
        self.pull = self._pull(share)
        self._see_drawing()
        parts = [self._layer_masks(tile) for tile in sight.tiles]
        self.totals = {
            layer: torch.stack([part[layer].sum((1, 2)) for part in parts]).sum(0)
            for layer in self.layers
        }
        del parts
        allocator.give_back(sight.size)
        self.targets = self._targets()
        self.least = self._least()

    @torch.no_grad()
    def _least(self) -> dict[str, Tensor]:
        """By which means are measured at least: see ``FAINT``."""
        white = self.sight.problem.photo.new_ones(1, 3, 1, 1)
        seen = self.sight.exact(white, self.layers, pooling=self.sight.plan.pooling)
        return {layer: FAINT * features.square().sum() for layer, features in seen.items()}

    def _pull(self, share: Tensor) -> dict[str, Tensor]:
        """The weight of each region's style at each layer, from the regions' areas (R,)."""
        plan = self.sight.plan
        wanted = share.new_tensor([region.pull for region in self.sight.regions])
        pull = plan.style * wanted * share**plan.area_exponent
        return {layer: pull * weight for layer, weight in plan.layers.items()}

    def _targets(self) -> dict[str, tuple[Tensor, Tensor]]:
        sight = self.sight
        targets = [
            style_moments(
                sight.exact,
                region.styles,
                self.layers,
                longest=stroke_side(sight.plan.strokes or max(sight.size), region.scale),
                pooling=sight.plan.pooling,
                of=sight.problem.moments,
            )
            for region in sight.regions
        ]
        return {layer: _stacked([t[layer] for t in targets]) for layer in self.layers}

    def _see_drawing(self) -> None:
        """Find the drawing of a photo of which some region holds the contours."""
        self.drawn: Tensor | None = None
        regions = self.sight.regions
        if not any(region.contour for region in regions):
            return
        self.drawn = drawn(self.sight.problem.photo, self.sight.size)
        self.contours = self.drawn.new_tensor([region.contour for region in regions])
        self.usual = torch.cat([usual(self.drawn, mask[None]) for mask in self.sight.masks])

    def _layer_masks(self, tile: Tile) -> dict[str, Tensor]:
        """How much the positions that a tile owns count in each region, (R, h, w) by layer."""
        masks = torch.stack([mask[tile.owned] for mask in self.sight.masks])
        if self.drawn is not None:
            masks *= left_to_style(self.drawn[tile.owned], self.usual, self.contours)
        sizes = self.sight.encoder.layer_sizes(size_of(masks))
        return layer_masks(masks, {layer: sizes[layer] for layer in self.layers})

    def columns(self, tile: Tile) -> dict[str, Columns]:
        """What regions read of a tile, by layer: its share of the whole picture's moments."""
        return {
            layer: replace(
                columns(tile.placed(masks, self.sight.strides[layer])), total=self.totals[layer]
            )
            for layer, masks in self._layer_masks(tile).items()
        }

    def on(self, tile: Tile) -> Read:
        """Reads means (R, C) and second raw moments (R, C, C); see ``FeatureLoss``."""
        parts = self.columns(tile)
        measure = self.sight.encoder.measure
        return lambda layer, features: region_moments(features, parts[layer], measure(layer))

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """``style.REGION.LAYER``; see ``FeatureLoss``."""
        terms: dict[str, Tensor] = {}
        for layer, (mean, second) in sums.items():
            losses = self.pull[layer] * style_losses(
                mean, second, *self.targets[layer], least=self.least[layer]
            )
            for region, loss in zip(self.sight.regions, losses.unbind(), strict=True):
                name = f"style.{region.name}.{layer}"
                terms[name] = terms[name] + loss if name in terms else loss
        return terms


def style_losses(
    mean: Tensor,
    second: Tensor,
    target_mean: Tensor,
    target_second: Tensor,
    *,
    least: Tensor | float = TINY,
) -> Tensor:
    """Distance of each region's moments to its style's, at one layer.

    ``‖Σ − Σ*‖² / ‖Σ*‖² + ‖μ − μ*‖² / ‖μ*‖²`` with Σ the centred second moment. The centred form
    separates contrast from brightness, which the raw Gram matrix trades against each other
    (Risser et al. 2017, arXiv 1701.08893).

    What has no texture says nothing of texture: where ``‖Σ*‖²`` is less than ``PLAIN`` of the raw
    second moment's, the first part counts the less the plainer the style, down to nothing for one
    color. It would erase the drawing of whatever it is laid on.

    Args:
        mean, target_mean: shape (R, C).
        second, target_second: raw second moments, shape (R, C, C).
        least: by what the distance of means is measured at least, in place of ``‖μ*‖²``.

    Returns:
        One number a region, shape (R,).
    """
    spread, wanted = covariance(mean, second), covariance(target_mean, target_second)
    texture, whole = _energy(wanted), _energy(target_second)
    energy = texture.maximum(PLAIN * whole).clamp(min=TINY)
    told = (texture / energy).square() * _energy(spread - wanted) / energy
    return told + _energy(mean - target_mean) / _energy(target_mean).clamp(min=least)


def _energy(values: Tensor) -> Tensor:
    """Sum of squares of each region's, shape (R,)."""
    return values.square().flatten(1).sum(1)


def _stacked(moments: Sequence[Moments]) -> tuple[Tensor, Tensor]:
    return torch.stack([m.mean for m in moments]), torch.stack([m.second for m in moments])
