"""How far the drawing has moved: by HED's side outputs, or by the Laplacian of pooled pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from layered_nst.networks.encoders import Encoder, contour_logits
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.losses.loss import Read, Sums
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion, area, laid_out
from layered_nst.painting.sight import Sight

# The first side output sees grain as contours, and holding it drew a grid over the product; the
# last one hardly sees where they are.
CONTOUR_SIDES = (2, 3, 4)
ADDED = 0.2
"""What a contour that the photo has not counts beside one that it has and the picture lacks. If
both count alike, no stroke can lie on plain ground, and the style is made up for there by grain,
which these sides don't see."""


def contour_pull(plan: Plan, regions: Sequence[PaintedRegion]) -> float:
    """The weight of contours: like the style's, their pull is the same on every pixel of a region
    of any size."""
    return plan.contour * float(sum(r.mask.mean() for r in regions if r.contour > 0))


class ContourLoss:
    """The distance of edge probabilities to the photo's, by the side outputs of HED's heads."""

    linear = True

    def __init__(self, encoder: Encoder, pull: float) -> None:
        self.layers = contour_layers(encoder, CONTOUR_SIDES)
        self.pull = pull

    def prepare(self, sight: Sight) -> None:
        """See ``FeatureLoss``."""
        self.sight = sight
        regions, sizes = sight.regions, sight.layer_sizes
        weight = laid_out(regions, [r.contour for r in regions])[None]
        self.kept = self._read_contours(sight.photo)
        self.weight = {layer: area(weight, sizes[layer])[0] for layer in self.layers}
        self.energy = {n: contour_energy(self.kept[n], self.weight[n]) for n in self.layers}

    @torch.no_grad()
    def _read_contours(self, photo: Tensor) -> dict[str, Tensor]:
        """Edge probabilities of a photo (1, 3, h, w), each (1, 1, h, w)."""
        sight = self.sight
        found = {n: photo.new_empty(1, 1, *sight.layer_sizes[n]) for n in self.layers}
        for tile in sight.tiles:
            for layer, features in sight.features(tile, photo, self.layers).items():
                stride = sight.strides[layer]
                part = self._logits(layer, features).sigmoid()[:, :, *tile.inside(stride)]
                found[layer][:, :, *tile.owned_at(stride)] = part
        return found

    def _logits(self, layer: str, features: Tensor) -> Tensor:
        (logits,) = contour_logits(self.sight.encoder, {layer: features})
        return logits

    def on(self, tile: Tile) -> Read:
        """Reads the weighted squared error; see ``FeatureLoss``."""
        sight = self.sight
        held = {n: kept[:, :, *tile.read_at(sight.strides[n])] for n, kept in self.kept.items()}
        weights = {n: sight.owned(weight, n, tile) for n, weight in self.weight.items()}

        def read(layer: str, features: Tensor) -> Sums:
            compared = sight.encoder.to_measure(layer, features).to(held[layer].dtype)
            return (contour_error(self._logits(layer, compared), held[layer], weights[layer]),)

        return read

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """``contour.sides``, the mean over them; see ``FeatureLoss``."""
        total = next(iter(sums.values()))[0].new_zeros(())
        for layer, (error,) in sums.items():
            total = total + error / self.energy[layer]
        return {"contour.sides": self.pull * (total / len(sums))}


def contour_error(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``Σ w a (p − p*)²`` at one scale: over ``contour_energy`` it is the loss; tiles add up.

    a is 1 where p falls short of p*, and ``ADDED`` where it exceeds it.

    Args:
        logits: side output of the picture, shape (1, 1, h, w).
        target: edge probabilities of the photo, the same shape.
        weight: how much each position matters, shape (h, w); 0 where it doesn't.
    """
    excess = (logits.sigmoid() - target)[0, 0]
    return (excess.square() * torch.where(excess > 0, ADDED * weight, weight)).sum()


def contour_energy(target: Tensor, weight: Tensor) -> Tensor:
    """``Σ p*²`` over the positions that w admits; see ``contour_error``."""
    return (target.square()[0, 0] * (weight > 0)).sum().clamp(min=1e-6)
