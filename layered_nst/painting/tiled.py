"""The objective of a level that is too large to be seen at once.

All that an objective wants to know of features are sums over positions: the regions' moments, and
the weighted errors of content and contours. So a first pass sums the moments over tiles, without
gradients; from them come the whole picture's style terms and their derivatives by the moments. A
second pass sends these derivatives, and those by the errors, which do not depend on where the
errors stand, back through one tile after the other. What the pixels get is the whole picture's
gradient but for rounding, at the memory of one tile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder, contour_logits
from layered_nst.networks.encoders.tiles import Tile, cut, strides
from layered_nst.painting.losses import content_energy
from layered_nst.painting.objective import Held, Objective, Objectives, Seen
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem, area
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import Columns, columns, region_moments

STYLE_TILE = 512
"""Side in px of the tiles in which styles are read: one size, so that their moments, which are
remembered, do not depend on how much memory there is. No gradient takes its way back through
them, so this takes no more memory than a tile of 256 px of the picture."""

KEPT_BYTES_PER_PIXEL = 48
"""Features of the content are kept for the whole picture up to so many bytes for each of its pixels
(conv4_2 takes 32, about what L-BFGS takes for a step and a half); shallower ones are seen anew."""


@dataclass(frozen=True)
class Reading:
    """How a level is worked on.

    Attributes:
        tile: longest side in px of what a tile owns; None for the whole at once.
        style_tile: the same for the pictures of styles.
        history: how many steps L-BFGS remembers.
    """

    tile: int | None
    style_tile: int | None
    history: int


Place = tuple[str, tuple[int, int]]
"""A level of a run: the name of its stage, and its height and width."""


def objectives(readings: Mapping[Place, Reading], stage: str) -> Objectives:
    """Makes the objectives of a stage's levels as their readings say; others are seen whole."""

    def make(encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int]) -> Objective:
        reading = readings.get((stage, size))
        if reading is None:
            return Objective(encoder, problem, plan, size)
        return objective_for(encoder, problem, plan, size, reading)

    return make


def objective_for(
    encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int], reading: Reading
) -> Objective:
    """The objective of a level as ``reading`` says; see ``Objective``."""
    plan = replace(plan, history=reading.history)
    if reading.style_tile is not None:
        moments = partial(problem.moments, tile=reading.style_tile)
        problem = replace(problem, moments=moments)
    if reading.tile is None:
        return Objective(encoder, problem, plan, size)
    return TiledObjective(encoder, problem, plan, size, side=reading.tile)


def keeps_content(encoder: Encoder, layer: str) -> bool:
    """Whether a tiled objective keeps the features of the content at a layer."""
    return content_bytes(encoder, layer) <= KEPT_BYTES_PER_PIXEL


def content_bytes(encoder: Encoder, layer: str) -> float:
    """Bytes that the features of a layer take for each pixel of the picture."""
    return 4 * encoder.width(layer) / strides(encoder)[layer] ** 2


class TiledObjective(Objective):
    """An ``Objective`` that sees one tile of the picture at a time, and says the same of it.

    Args:
        side: longest side in px of what a tile owns; a multiple of the encoder's stride.
    """

    def __init__(
        self,
        encoder: Encoder,
        problem: Problem,
        plan: Plan,
        size: tuple[int, int],
        *,
        side: int,
    ) -> None:
        self.side, self.strides = side, strides(encoder)
        super().__init__(encoder, problem, plan, size)

    def _prepare_styles(self, problem: Problem) -> None:
        self.tiles = cut(self.size, self.side, self.encoder, self.wanted)
        self.masks = [area(region.mask[None], self.size)[0] for region in self.regions]
        self.pull = self._pull(torch.stack([mask.mean() for mask in self.masks]))
        self.columns = {}
        parts = [self._layer_masks(tile) for tile in self.tiles]
        self.totals = {
            layer: torch.stack([part[layer].sum((1, 2)) for part in parts]).sum(0)
            for layer in self.layers
        }
        allocator.give_back()
        self.targets = self._targets(problem.moments)
        allocator.give_back()

    def _layer_masks(self, tile: Tile) -> dict[str, Tensor]:
        """Masks of the positions that a tile owns, shape (R, h, w) by layer."""
        masks = torch.stack([mask[tile.owned] for mask in self.masks])
        sizes = self.encoder.layer_sizes((masks.shape[1], masks.shape[2]))
        return layer_masks(masks, {layer: sizes[layer] for layer in self.layers})

    @torch.no_grad()
    def _read_content(self, picture: Tensor) -> None:
        layers = self.plan.content_layers
        self.content_picture = picture
        kept = [layer for layer in layers if keeps_content(self.encoder, layer)]
        sizes = self.encoder.layer_sizes(self.size)
        self.content = {
            layer: picture.new_empty(1, self.encoder.width(layer), *sizes[layer]) for layer in kept
        }
        energy = {layer: picture.new_zeros(()) for layer in layers}
        for tile in self.tiles:
            seen = self._features(tile, picture, layers)
            for layer, features in seen.items():
                stride = self.strides[layer]
                owned = features[:, :, *tile.inside(stride)]
                weight = self.content_weight[layer][tile.owned_at(stride)]
                energy[layer] += content_energy(owned, weight)
                if layer in self.content:
                    self.content[layer][:, :, *tile.owned_at(stride)] = owned
        self.content_energy = energy

    @torch.no_grad()
    def _read_contours(self, photo: Tensor) -> list[Tensor]:
        sizes = self.encoder.layer_sizes(self.size)
        found = [photo.new_empty(1, 1, *sizes[layer]) for layer in self.contour_layers]
        for tile in self.tiles:
            features = self._features(tile, photo, self.contour_layers)
            sides = contour_logits(self.encoder, features)
            for layer, whole, side in zip(self.contour_layers, found, sides, strict=True):
                stride = self.strides[layer]
                part = side.sigmoid()[:, :, *tile.inside(stride)]
                whole[:, :, *tile.owned_at(stride)] = part
        return found

    def _features(
        self, tile: Tile, picture: Tensor, layers: Collection[str], *, measured: bool = True
    ) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self.encoder(
            picture[:, :, *tile.read], layers, pooling=self.plan.pooling, measured=measured
        )
        return features

    def _columns(self, tile: Tile) -> dict[str, Columns]:
        """What regions read of a tile: its share of the whole picture's moments."""
        return {
            layer: replace(
                columns(tile.placed(masks, self.strides[layer])), total=self.totals[layer]
            )
            for layer, masks in self._layer_masks(tile).items()
        }

    @torch.no_grad()
    def _held(self, tile: Tile) -> Held:
        """What a tile's features are compared with: nothing counts that it does not own."""
        strides = [self.strides[layer] for layer in self.contour_layers]
        weights = zip(self.contour_weight, strides, strict=True)
        return Held(
            columns=self._columns(tile),
            content=self._content(tile),
            content_weight={
                layer: _owned(weight, tile, self.strides[layer])
                for layer, weight in self.content_weight.items()
            },
            contours=[
                contour[:, :, *tile.read_at(stride)]
                for contour, stride in zip(self.contours, strides, strict=True)
            ],
            contour_weight=[_owned(weight, tile, stride) for weight, stride in weights],
        )

    def _content(self, tile: Tile) -> dict[str, Tensor]:
        anew = [layer for layer in self.plan.content_layers if layer not in self.content]
        seen = self._features(tile, self.content_picture, anew) if anew else {}
        kept = {
            layer: features[:, :, *tile.read_at(self.strides[layer])]
            for layer, features in self.content.items()
        }
        return {**kept, **seen}

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name, without a gradient; see ``Objective``."""
        total: Seen | None = None
        for tile in self.tiles:
            seen = self._see(picture[:, :, *tile.read], self._held(tile))
            total = seen if total is None else _added(total, seen)
        assert total is not None  # a picture has a pixel
        return {
            **self._feature_terms(total),
            **self._laplacian_terms(picture),
            **self._pixel_terms_of_channels(picture, None),
        }

    def backward(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``Objective``."""
        pixels, gradient = picture.detach(), torch.zeros_like(picture)
        whole = {
            **self._laplacian_terms_of(pixels, gradient),
            **self._pixel_terms_of_channels(pixels, gradient),
        }
        total = Seen(self._summed_moments(pixels), *self._no_errors(pixels))
        derivatives = self._derivatives(total)
        for tile in self.tiles:
            seen = self._send_back(tile, pixels, derivatives, gradient)
            total = replace(_added(total, seen), moments=total.moments)
        with torch.no_grad():
            terms = {**self._feature_terms(total), **whole}
        picture.grad = gradient
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    @torch.no_grad()
    def _summed_moments(self, pixels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """The first pass: the whole picture's moments, by layer."""
        total: dict[str, tuple[Tensor, Tensor]] = {}
        for tile in self.tiles:
            features = self._features(tile, pixels, self.layers, measured=False)
            for layer, read in self._columns(tile).items():
                measure = self.encoder.measure(layer)
                mean, second = region_moments(features.pop(layer), read, measure)
                if layer in total:
                    total[layer][0].add_(mean)
                    total[layer][1].add_(second)
                else:
                    total[layer] = (mean, second)
        allocator.give_back()
        return total

    def _no_errors(self, pixels: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        content = {layer: pixels.new_zeros(()) for layer in self.plan.content_layers}
        return content, [pixels.new_zeros(()) for _ in self.contours]

    def _derivatives(self, seen: Seen) -> list[Tensor]:
        """Of the whole loss by all that is seen; those by the errors are constants."""
        leaves = [value.detach().requires_grad_() for value in _values(seen)]
        with torch.enable_grad():
            terms = self._feature_terms(_with_values(seen, leaves))
            total = torch.stack(list(terms.values())).sum()
        return list(torch.autograd.grad(total, leaves))

    def _send_back(
        self, tile: Tile, pixels: Tensor, derivatives: Sequence[Tensor], gradient: Tensor
    ) -> Seen:
        """The second pass over one tile: adds what its owned positions pull to the gradient."""
        part = pixels[:, :, *tile.read].clone().requires_grad_()
        with torch.enable_grad():
            seen = self._see(part, self._held(tile))
        torch.autograd.backward(_values(seen), derivatives)
        assert part.grad is not None
        gradient[:, :, *tile.read] += part.grad
        seen = _with_values(seen, [value.detach() for value in _values(seen)])
        allocator.give_back()
        return seen

    def _laplacian_terms_of(self, pixels: Tensor, gradient: Tensor) -> dict[str, Tensor]:
        """The terms of the whole picture's Laplacian, small as it is; adds to the gradient."""
        leaf = pixels.detach().requires_grad_()
        with torch.enable_grad():
            terms = self._laplacian_terms(leaf)
        if terms:
            (found,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), leaf)
            gradient += found
        return {name: value.detach() for name, value in terms.items()}

    def _pixel_terms_of_channels(
        self, pixels: Tensor, gradient: Tensor | None
    ) -> dict[str, Tensor]:
        """The terms that look at pixels, in a third of the memory; adds to the gradient."""
        terms: dict[str, Tensor] = {}
        count = pixels.shape[1]
        for channel in range(count):
            plane = pixels[:, channel : channel + 1].detach()
            with torch.set_grad_enabled(gradient is not None):
                plane.requires_grad_(gradient is not None)
                own = {name: value / count for name, value in self._pixel_terms(plane).items()}
            if gradient is not None:
                (found,) = torch.autograd.grad(torch.stack(list(own.values())).sum(), plane)
                gradient[:, channel : channel + 1] += found
            for name, value in own.items():
                terms[name] = terms.get(name, 0) + value.detach()
        return terms


def _owned(weight: Tensor, tile: Tile, stride: int) -> Tensor:
    """A map over a layer where a tile reads it, zero where the tile does not own it."""
    return tile.placed(weight[tile.owned_at(stride)], stride)


def _values(seen: Seen) -> list[Tensor]:
    """All that was seen, in one order."""
    moments = [part for pair in seen.moments.values() for part in pair]
    return [*moments, *seen.content.values(), *seen.contours]


def _with_values(seen: Seen, values: Sequence[Tensor]) -> Seen:
    """What ``_values`` took apart."""
    parts = iter(values)
    return Seen(
        moments={layer: (next(parts), next(parts)) for layer in seen.moments},
        content={layer: next(parts) for layer in seen.content},
        contours=[next(parts) for _ in seen.contours],
    )


def _added(one: Seen, other: Seen) -> Seen:
    """What is seen on both."""
    pairs = zip(_values(one), _values(other), strict=True)
    return _with_values(one, [a + b for a, b in pairs])
