"""The protocol of losses that look at features, so that a picture in tiles has them as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from layered_nst.networks.encoders.tiles import Sums as Sums  # as plug-ins know it
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.sight import Sight

Read = Callable[[str, Tensor], Sums]
"""Takes a layer's name and its features (1, C, h, w), as the encoder computes them."""


@runtime_checkable
class FeatureLoss(Protocol):
    """A loss of features: ``prepare`` once, ``read`` layer by layer, and of the sums the terms.

    Features are those that the encoder computes, not yet in its measure: of sums over many
    positions it is cheaper to take the sums there than all features.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that it reads, known before ``prepare``."""

    @property
    def linear(self) -> bool:
        """Whether its terms are linear in its sums, one number a layer.

        Then what they pull with is known before a picture has been seen.
        """

    def prepare(self, sight: Sight) -> None:
        """Compute everything that stays the same on a level."""

    def on(self, tile: Tile) -> Read:
        """What reads a tile; nothing counts that the tile does not own."""

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """Weighted terms by dotted name, from the sums over the whole picture by layer."""
