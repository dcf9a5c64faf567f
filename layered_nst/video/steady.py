"""What a network paints by, smoothed from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from layered_nst.instant.painting import Stacked

USUAL = 0.9
"""Share of the frames before in the moments of a region, where a network paints by them."""


@dataclass
class SteadyMoments:
    """The moments of regions, smoothed over the frames of a shot: what a network paints by them
    does not jump with the light of single frames.

    Attributes:
        names: of the regions of the frame that is painted next, in their order.
        usual: means and second moments so far, by layer and region.
    """

    names: Sequence[str] = ()
    usual: dict[tuple[str, str], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __call__(self, own: Mapping[str, Stacked]) -> dict[str, Stacked]:
        """The moments of a frame, with what was usual before."""
        return {layer: self._smoothed(layer, *moments) for layer, moments in own.items()}

    def _smoothed(self, layer: str, means: Tensor, seconds: Tensor) -> Stacked:
        for name, *now in zip(self.names, means, seconds, strict=True):
            before = self.usual.get((layer, name), tuple(now))
            mean, second = (new.lerp(old, USUAL) for new, old in zip(now, before, strict=True))
            self.usual[layer, name] = mean, second
        both = zip(*(self.usual[layer, name] for name in self.names), strict=True)
        mean, second = map(torch.stack, both)
        return mean, second

    def state(self) -> dict[str, Tensor]:
        """All that the next frame depends on."""
        return {
            f"{part}.{layer}.{name}": value.cpu()
            for (layer, name), moments in self.usual.items()
            for part, value in zip(("mean", "second"), moments, strict=True)
        }

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from a state."""
        self.usual = {}
        for key, mean in state.items():
            part, layer, name = key.split(".", 2)
            if part == "mean":
                second = state[f"second.{layer}.{name}"]
                self.usual[layer, name] = mean.to(device), second.to(device)
