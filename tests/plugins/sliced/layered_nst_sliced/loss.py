"""The sliced Wasserstein distance of features, region by region, from sums over positions.

Source: Heitz, Vanhoey, Chambon, Belcour 2021, "A Sliced Wasserstein Loss for Neural Texture
Synthesis" (arXiv 2006.07229): along random directions the features of a picture shall be
distributed as those of the style. Moments, as a Gram matrix has them, leave that open.

Departures. Heitz et al. sort all features along a direction. A sorted list of a tile says nothing
of the whole, but histograms add up: each value goes in equal shares of its distance to the two
nearest bins, and |F − F*|, summed over bins, is the distance of order 1 between two distributions
with the cumulative histograms F and F*. It is rounded off where they are all but equal, so that a
quasi-Newton method finds its way. Directions stay the same on a level, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layered_nst.errors import LibraryError
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.losses.loss import Read, Sums
from layered_nst.painting.objective import Asked
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion
from layered_nst.painting.sight import Sight
from layered_nst.picture import average, fit_within, resize
from layered_nst.regions import layer_masks
from layered_nst.styles.library import LibraryStyle
from layered_nst.styles.style import pictures_of, stroke_side

NAME = "sliced/wasserstein"
MARGIN = 0.25
"""Of the range of features, beyond which they all count as one."""
ROUND = 0.01
"""Of all: differences of shares below this count by their square."""


@dataclass(frozen=True)
class Axes:
    """Where a layer is looked at.

    Attributes:
        along: directions, shape (P, C), in the encoder's own features.
        low, step: the first bin of each direction and their distance, shape (P,).
        bins: how many there are.
    """

    along: Tensor
    low: Tensor
    step: Tensor
    bins: int

    def histogram(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Weights of rows (N, C) in the bins of each direction, shape (R, P, B).

        Args:
            weights: of each row for each region, shape (R, N).
        """
        at = ((rows @ self.along.T - self.low) / self.step).clamp(0, self.bins - 1)
        lower = at.detach().floor().clamp(max=self.bins - 2)
        upper_share = at - lower
        index = lower.long() + self.bins * torch.arange(len(self.along), device=at.device)
        places = torch.cat([index.flatten(), index.flatten() + 1])
        found = []
        for weight in weights:
            shares = torch.cat(
                [
                    ((1 - upper_share) * weight[:, None]).flatten(),
                    (upper_share * weight[:, None]).flatten(),
                ]
            )
            zeros = shares.new_zeros(self.bins * len(self.along))
            found.append(zeros.index_add(0, places, shares).view(len(self.along), self.bins))
        return torch.stack(found)


class SlicedWasserstein:
    """Distance of every region's features to those of its style, at each of the plan's layers."""

    linear = False

    def __init__(self, plan: Plan, *, weight: float, projections: int, bins: int) -> None:
        self.layers = tuple(plan.layers)
        self.weight, self.projections, self.bins = weight, projections, bins

    @torch.no_grad()
    def prepare(self, sight: Sight) -> None:
        """Directions, bins and what histograms shall be; see ``FeatureLoss``."""
        self.sight = sight
        self.area = torch.stack(sight.masks).mean((1, 2))
        styles = [self._seen(region) for region in sight.regions]
        photo = self._features(sight.problem.photo)
        self.axes, self.targets, self.spread = {}, {}, {}
        for number, layer in enumerate(self.layers):
            rows = [row for style in styles for row, _ in style[layer]]
            self.axes[layer] = axes = self._axes(layer, number, [*rows, photo[layer]])
            self.targets[layer] = torch.stack([_mixed(axes, style[layer]) for style in styles])
            self.spread[layer] = _spread(self.targets[layer])

    def _axes(self, layer: str, number: int, rows: Sequence[Tensor]) -> Axes:
        encoder, like = self.sight.encoder, rows[0]
        measure = encoder.measure(layer)
        width = encoder.width(layer) if measure is None else measure.shape[0]
        generator = torch.Generator().manual_seed(self.sight.plan.seed + 7919 * number)
        along = torch.randn(self.projections, width, generator=generator, dtype=torch.float64)
        along = (along / along.norm(dim=1, keepdim=True)).to(like)
        # Of a distilled encoder's features, the directions are taken to its teacher's measure.
        along = along if measure is None else along @ measure.to(like)
        seen = [row @ along.T for row in rows]
        low = torch.stack([s.amin(0) for s in seen]).amin(0)
        high = torch.stack([s.amax(0) for s in seen]).amax(0)
        room = (high - low).clamp(min=1e-6) * MARGIN
        step = (high - low + 2 * room).clamp(min=1e-6) / (self.bins - 1)
        return Axes(along, low - room, step, self.bins)

    def _features(self, picture: Tensor) -> dict[str, Tensor]:
        """Rows (N, C) of a picture (3, h, w) at the level's size, by layer."""
        shown = resize(picture, self.sight.size)[None]
        return self._rows(shown)

    def _rows(self, shown: Tensor) -> dict[str, Tensor]:
        seen = self.sight.encoder(
            shown, self.layers, pooling=self.sight.plan.pooling, measured=False
        )
        return {layer: value[0].flatten(1).T.to(shown) for layer, value in seen.items()}

    def _seen(self, region: PaintedRegion) -> dict[str, list[tuple[Tensor, Tensor]]]:
        """Rows (N, C) of the pictures of a region's style, with their weights (N,), by layer."""
        plan = self.sight.plan
        longest = stroke_side(plan.strokes or max(self.sight.size), region.scale)
        found: dict[str, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in self.layers}
        _refuse_thumbnails(region)
        for style in pictures_of(region.styles):
            size = fit_within((style.rgb.shape[1], style.rgb.shape[2]), longest)
            rows = self._rows(resize(style.rgb, size)[None])
            sizes = self.sight.encoder.layer_sizes(size)
            for layer, row in rows.items():
                mask = average(style.mask[None], sizes[layer]).flatten()
                found[layer].append((row, style.weight * mask / mask.sum().clamp(min=1e-9)))
        return found

    def on(self, tile: Tile) -> Read:
        """Reads histograms (R, P, B); see ``FeatureLoss``."""
        masks = torch.stack([mask[tile.owned] for mask in self.sight.masks])
        sizes = self.sight.encoder.layer_sizes((masks.shape[1], masks.shape[2]))
        owned = layer_masks(masks, {layer: sizes[layer] for layer in self.layers})
        weights = {
            layer: tile.placed(mask, self.sight.strides[layer]).flatten(1)
            for layer, mask in owned.items()
        }

        def read(layer: str, features: Tensor) -> Sums:
            rows = features[0].flatten(1).T.to(weights[layer])
            return (self.axes[layer].histogram(rows, weights[layer]),)

        return read

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """``wasserstein.REGION.LAYER``; see ``FeatureLoss``."""
        plan, terms = self.sight.plan, dict[str, Tensor]()
        for layer, (found,) in sums.items():
            gaps = (_shares(found) - self.targets[layer]).cumsum(2)
            rounded = (gaps.square() + ROUND**2).sqrt() - ROUND
            distances = (rounded.sum(2) / self.spread[layer]).mean(1)
            for k, region in enumerate(self.sight.regions):
                pull = self.weight * plan.pull * region.pull * region.pull_of(NAME)
                pull = pull * self.area[k] ** plan.area_exponent * plan.layers[layer]
                name = f"wasserstein.{region.name}.{layer}"
                term = pull * distances[k]
                terms[name] = terms[name] + term if name in terms else term
        return terms


def _refuse_thumbnails(region: PaintedRegion) -> None:
    for style in region.styles:
        for look in (style, *getattr(style, "styles", ())):
            if isinstance(look, LibraryStyle) and look.record.kept == "thumbnails":
                raise LibraryError(
                    f"{look.source}: keeps thumbnails alone, and {NAME} compares pictures; build "
                    "the look again with its pictures"
                )


def _shares(histogram: Tensor) -> Tensor:
    """A histogram (…, B) as shares of its sum."""
    return histogram / histogram.sum(-1, keepdim=True).clamp(min=1e-12)


def _mixed(axes: Axes, styles: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Shares (P, B) of a blend of styles."""
    return _shares(sum(axes.histogram(rows, weights[None])[0] for rows, weights in styles))


def _spread(shares: Tensor) -> Tensor:
    """Standard deviations of distributions (R, P, B), in bins, at least one; shape (R, P)."""
    at = torch.arange(shares.shape[2], dtype=shares.dtype, device=shares.device)
    mean = (shares * at).sum(2, keepdim=True)
    return (shares * (at - mean).square()).sum(2).sqrt().clamp(min=1)


def make(asked: Asked, *, weight: float, projections: int, bins: int) -> Any:
    """The loss of a level; None where it has no weight."""
    if not weight or not math.isfinite(weight):
        return None
    return SlicedWasserstein(asked[2], weight=weight, projections=projections, bins=bins)
