"""How far the picture is from what it shows: the distance of features, position by position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.losses.loss import Read, Sums
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import area, at_size, laid_out
from layered_nst.painting.sight import Sight
from layered_nst.regions.layers import layer_masks

KEPT_BYTES_PER_PIXEL = 48
"""In tiles, features of the content are kept for the whole picture up to so many bytes for each of
its pixels (conv4_2 takes 32, about what L-BFGS takes for a step and a half); shallower ones are
seen anew."""


class ContentLoss:
    """The distance of features to those of the content, at each of the plan's content layers."""

    linear = True

    def __init__(self, plan: Plan) -> None:
        self.layers = tuple(plan.content_layers)

    def prepare(self, sight: Sight) -> None:
        """See ``FeatureLoss``."""
        self.sight = sight
        regions = sight.regions
        weight = laid_out(regions, [r.content for r in regions])
        at_layers = layer_masks(
            area(weight[None], sight.size),
            {layer: sight.layer_sizes[layer] for layer in self.layers},
        )
        self.weight = {layer: part[0] for layer, part in at_layers.items()}
        self.picture = at_size(sight.problem.content, sight.size)[None]
        self._read_content()

    @torch.no_grad()
    def _read_content(self) -> None:
        """Take the energy of the features that are held, and keep as many of them as may be."""
        self.kept: dict[str, Tensor] = {}
        energy = {layer: self.picture.new_zeros(()) for layer in self.layers}
        for tile in self.sight.tiles:
            for layer, features in self._seen(tile, self.layers).items():
                stride = self.sight.strides[layer]
                owned = features[:, :, *tile.inside(stride)]
                energy[layer] += content_energy(owned, self.weight[layer][tile.owned_at(stride)])
                self._keep(layer, tile, owned)
        # Like the style's, the pull is the same on every position, however few are held.
        self.energy = {n: held_energy(energy[n], self.weight[n]) for n in self.layers}

    def _keep(self, layer: str, tile: Tile, owned: Tensor) -> None:
        if self.sight.is_whole:
            self.kept[layer] = owned
        elif keeps_content(self.sight.encoder, layer):
            if layer not in self.kept:
                size = self.sight.layer_sizes[layer]
                self.kept[layer] = owned.new_empty(1, owned.shape[1], *size)
            self.kept[layer][:, :, *tile.owned_at(self.sight.strides[layer])] = owned

    def _seen(self, tile: Tile, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return self.sight.features(tile, self.picture, layers) if layers else {}

    @torch.no_grad()
    def held(self, tile: Tile) -> dict[str, Tensor]:
        """The features that a tile's are compared with, (1, C, h, w) by layer."""
        anew = tuple(layer for layer in self.layers if layer not in self.kept)
        kept = {
            layer: features[:, :, *tile.read_at(self.sight.strides[layer])]
            for layer, features in self.kept.items()
        }
        return {**kept, **self._seen(tile, anew)}

    def on(self, tile: Tile) -> Read:
        """Reads the weighted squared error; see ``FeatureLoss``."""
        held = self.held(tile)
        weights = {n: self.sight.owned(weight, n, tile) for n, weight in self.weight.items()}

        def read(layer: str, features: Tensor) -> Sums:
            compared = self.sight.encoder.to_measure(layer, features).to(held[layer].dtype)
            return (content_error(compared, held[layer], weights[layer]),)

        return read

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """``content.LAYER``; see ``FeatureLoss``."""
        plan = self.sight.plan
        return {
            f"content.{layer}": plan.content * weight * (sums[layer][0] / self.energy[layer])
            for layer, weight in plan.content_layers.items()
        }


def content_error(features: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``Σ w ‖f − f*‖²``: over ``held_energy`` it is the loss; those of tiles add up.

    Args:
        features, target: shape (1, C, h, w).
        weight: how much each position matters, shape (h, w); 0 where it doesn't.
    """
    return ((features - target).square().sum(1)[0] * weight).sum()


def content_energy(target: Tensor, weight: Tensor) -> Tensor:
    """``Σ ‖f*‖²`` over the positions that w admits; those of tiles add up."""
    return (target.square().sum(1)[0] * (weight > 0)).sum()


def held_energy(energy: Tensor, weight: Tensor) -> Tensor:
    """What ``content_error`` is measured by: the energy of what is held, as if all were held.

    Args:
        energy: ``content_energy`` of the whole layer.
        weight: of the whole layer, shape (h, w).
    """
    share = (weight > 0).to(energy.dtype).mean()
    return (energy / share.clamp(min=1 / weight.numel())).clamp(min=1e-12)


def keeps_content(encoder: Encoder, layer: str) -> bool:
    """Whether the features of the content are kept at a layer of a picture in tiles."""
    return content_bytes(encoder, layer) <= KEPT_BYTES_PER_PIXEL


def content_bytes(encoder: Encoder, layer: str) -> float:
    """Bytes that the features of a layer take for each pixel of the picture."""
    return 4 * encoder.width(layer) / encoder.strides()[layer] ** 2
