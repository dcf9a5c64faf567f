"""The objective of a level that is too large to be seen at once.

All that losses want to know of features are sums over positions (``losses.loss``). So a first pass
adds up the sums of tiles, without gradients; from them come the whole picture's terms and their
derivatives by the sums. A second pass sends these derivatives back through one tile after the
other. Losses whose derivatives do not depend on their sums need the second pass alone. What the
pixels get is the whole picture's gradient but for rounding, at the memory of one tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Sums, Tile, added, cut
from layered_nst.painting.losses.loss import FeatureLoss
from layered_nst.painting.losses.pixels import PixelLoss
from layered_nst.painting.objective import Makes, Objective, Objectives, Reader, with_pixels
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem

STYLE_TILE = 512
"""Side in px of the tiles in which styles are read: one size, so that their moments, which are
remembered, do not depend on how much memory there is. No gradient takes its way back through
them, so this takes no more memory than a tile of 256 px of the picture."""


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
        losses: Makes | None = None,
    ) -> None:
        self.side = side
        super().__init__(encoder, problem, plan, size, losses=losses)

    def _tiles(self) -> tuple[Tile, ...]:
        return cut(self.size, self.side, self.encoder, self.layers)

    def _readers(self) -> list[Reader]:
        return []  # what reads a tile is made anew with every tile: that of all would be too large

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name, without a gradient; see ``Objective``."""
        with allocator.reusing():
            terms = self._feature_terms(self._summed(picture, self.losses))
        return with_pixels(terms, [_pixel_terms(loss, picture, None) for loss in self.pixels])

    def backward(self, picture: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See ``Objective``."""
        pixels, gradient = picture.detach(), torch.zeros_like(picture)
        of_pixels = [_pixel_terms(loss, pixels, gradient) for loss in self.pixels]
        with allocator.reusing():
            seen = self._first_pass(pixels)
            slopes = self._slopes(seen)
            for tile in self.tiles:
                found = self._send_back(tile, pixels, slopes, gradient)
                seen = [
                    added(sums, more) if loss.linear else sums
                    for loss, sums, more in zip(self.losses, seen, found, strict=True)
                ]
        with torch.no_grad():
            terms = with_pixels(self._feature_terms(seen), of_pixels)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}, gradient

    def _first_pass(self, pixels: Tensor) -> list[dict[str, Sums]]:
        """The whole picture's sums for each loss; zeros where derivatives do not depend on them."""
        found = iter(self._summed(pixels, [loss for loss in self.losses if not loss.linear]))
        nothing = (pixels.new_zeros(()),)
        return [
            dict.fromkeys(self._in_order(loss), nothing) if loss.linear else next(found)
            for loss in self.losses
        ]

    def _in_order(self, loss: FeatureLoss) -> list[str]:
        """The layers of a loss as the encoder comes to them."""
        return [layer for layer in self.encoder.layers if layer in loss.layers]

    @torch.no_grad()
    def _summed(self, pixels: Tensor, losses: Sequence[FeatureLoss]) -> list[dict[str, Sums]]:
        """What losses want to know of the whole picture, without a gradient."""
        total: list[dict[str, Sums]] = []
        for tile in self.tiles:
            readers = [(loss, loss.on(tile)) for loss in losses]
            seen = self._see(pixels[:, :, *tile.read], readers)
            total = [added(*pair) for pair in zip(total, seen, strict=True)] if total else seen
        return total

    def _slopes(self, seen: Sequence[Mapping[str, Sums]]) -> list[Tensor]:
        """Derivatives of the features' part of the loss by all that is seen."""
        leaves = [value.detach().requires_grad_() for value in _values(seen)]
        with torch.enable_grad():
            terms = self._feature_terms(_with_values(seen, leaves))
            total = torch.stack(list(terms.values())).sum()
        return list(torch.autograd.grad(total, leaves))

    def _send_back(
        self, tile: Tile, pixels: Tensor, slopes: Sequence[Tensor], gradient: Tensor
    ) -> list[dict[str, Sums]]:
        """The second pass over one tile: adds what its owned positions pull to the gradient."""
        part, readers = pixels[:, :, *tile.read].clone().requires_grad_(), self._on(tile)
        with torch.enable_grad():
            seen = self._see(part, readers)
        (found,) = torch.autograd.grad(_values(seen), part, slopes)
        gradient[:, :, *tile.read] += found
        return _with_values(seen, [value.detach() for value in _values(seen)])


def _pixel_terms(loss: PixelLoss, pixels: Tensor, gradient: Tensor | None) -> dict[str, Tensor]:
    """What a loss of pixels says, channel by channel where it may be; adds to the gradient."""
    terms: dict[str, Tensor] = {}
    count = pixels.shape[1] if loss.by_channel else 1
    for part in [slice(k, k + 1) for k in range(count)] if loss.by_channel else [slice(None)]:
        leaf = pixels[:, part].detach().requires_grad_(gradient is not None)
        with torch.set_grad_enabled(gradient is not None):
            own = {name: value / count for name, value in loss.terms(leaf).items()}
        if gradient is not None:
            (found,) = torch.autograd.grad(torch.stack(list(own.values())).sum(), leaf)
            gradient[:, part] += found
        for name, value in own.items():
            terms[name] = terms.get(name, 0) + value.detach()
    return terms


def _values(seen: Sequence[Mapping[str, Sums]]) -> list[Tensor]:
    """All that was seen, in one order."""
    return [value for sums in seen for parts in sums.values() for value in parts]


def _with_values(
    seen: Sequence[Mapping[str, Sums]], values: Sequence[Tensor]
) -> list[dict[str, Sums]]:
    """What ``_values`` took apart."""
    rest: Iterator[Tensor] = iter(values)
    return [
        {layer: tuple(next(rest) for _ in parts) for layer, parts in sums.items()} for sums in seen
    ]
