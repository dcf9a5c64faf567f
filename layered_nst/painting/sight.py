"""A level as its losses see it: a problem at one size, through an encoder, whole or in tiles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion, Problem, area, at_size, is_painted


@dataclass(frozen=True)
class Sight:
    """A level as its losses see it.

    Attributes:
        encoder: multiplies in the plan's precision.
        exact: the same as it was loaded: moments of styles stay as exact as libraries and caches
            keep them.
        problem: at the result's size; what losses take of it they bring to the level's.
        plan: the weights.
        size: height and width of the level.
        tiles: one of the whole picture, or those that are seen one after the other.
    """

    encoder: Encoder
    exact: Encoder
    problem: Problem
    plan: Plan
    size: tuple[int, int]
    tiles: tuple[Tile, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the picture is seen at once."""
        return len(self.tiles) == 1

    @cached_property
    def regions(self) -> tuple[PaintedRegion, ...]:
        """Those that take part."""
        return painted(self.problem)

    @cached_property
    def masks(self) -> tuple[Tensor, ...]:
        """The regions' shares of every pixel of the level, each (h, w)."""
        return tuple(area(region.mask[None], self.size)[0] for region in self.regions)

    @property
    def photo(self) -> Tensor:
        """The photo, shape (1, 3, h, w)."""
        return at_size(self.problem.photo, self.size)[None]

    @cached_property
    def strides(self) -> dict[str, int]:
        """Distance of neighboring units of each layer, in px of the level."""
        return self.encoder.strides()

    @cached_property
    def layer_sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of every layer."""
        return self.encoder.layer_sizes(self.size)

    def features(self, tile: Tile, picture: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """What a tile reads of a picture (1, 3, h, w), in the encoder's measure."""
        seen: dict[str, Tensor] = self.encoder(
            picture[:, :, *tile.read], layers, pooling=self.plan.pooling
        )
        return seen

    def owned(self, weight: Tensor, layer: str, tile: Tile) -> Tensor:
        """A map over a layer, (h, w), where a tile reads it; zero where it does not own it."""
        stride = self.strides[layer]
        return tile.placed(weight[tile.owned_at(stride)], stride)


def painted(problem: Problem) -> tuple[PaintedRegion, ...]:
    """The regions that take part: they have a style and cover something."""
    return tuple(region for region in problem.regions if is_painted(region))


def whole(size: tuple[int, int]) -> Tile:
    """The one tile of a picture that is seen at once."""
    everything = slice(0, size[0]), slice(0, size[1])
    return Tile(everything, everything)
