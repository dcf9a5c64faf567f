"""The whole loss of one level: what the plan and the regions name, with every constant computed
once, and its gradient by the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from layered_nst import plugins
from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Tile
from layered_nst.painting.losses.content import ContentLoss
from layered_nst.painting.losses.contours import ContourLoss, contour_pull
from layered_nst.painting.losses.loss import FeatureLoss, Read, Sums
from layered_nst.painting.losses.pixels import (
    ColorSmoothness,
    Composition,
    PixelLoss,
    Range,
    Smoothness,
    excess_of,
    firmness,
    firmness_in_color,
    laplacian_of,
)
from layered_nst.painting.losses.plugged import plugged
from layered_nst.painting.losses.style import StyleLoss
from layered_nst.painting.losses.temporal import Anchor, Steadiness
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion, Problem, area, covered
from layered_nst.painting.sight import Sight, painted, whole
from layered_nst.picture import size_of

ANCHOR_WEIGHT = 30.0

Reader = tuple[FeatureLoss, Read]
"""A loss and what reads a tile for it."""

Asked = tuple[Encoder, Problem, Plan, tuple[int, int]]
"""What a loss is made for: encoder, problem, plan, and the level's height and width."""

Makes = Callable[[Asked], list[FeatureLoss | PixelLoss]]
"""Makes the losses of a level."""


class Objective:
    """The whole loss of one level.

    Args:
        encoder: gives the features.
        problem: at the result's size; masks and pictures are brought to the level's here.
        plan: the weights.
        size: height and width of the level.
        losses: what it is made of; all that the plan and the regions ask for, if not given.
    """

    def __init__(
        self,
        encoder: Encoder,
        problem: Problem,
        plan: Plan,
        size: tuple[int, int],
        *,
        losses: Makes | None = None,
    ) -> None:
        self.encoder, self.plan, self.size = encoder.multiplying_in(plan.precision), plan, size
        found = (losses or losses_of)((encoder, problem, plan, size))
        self.losses = [loss for loss in found if isinstance(loss, FeatureLoss)]
        self.layers = {layer for loss in self.losses for layer in loss.layers}
        self.tiles = self._tiles()
        sight = Sight(self.encoder, encoder, problem, plan, size, self.tiles)
        for loss in self.losses:
            loss.prepare(sight)
            allocator.give_back(size)  # what passes without a way back leave behind fits no step
        self.pixels = [loss for loss in found if not isinstance(loss, FeatureLoss)]
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
        return with_pixels(terms, [loss.terms(picture) for loss in self.pixels])

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


def with_pixels(
    terms: Mapping[str, Tensor], of_pixels: Sequence[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The terms of features and those of losses of pixels, of which several may share a name."""
    found = dict(terms)
    for more in of_pixels:
        found |= {
            name: found[name] + value if name in found else value for name, value in more.items()
        }
    return found


def losses_of(asked: Asked) -> list[FeatureLoss | PixelLoss]:
    """The losses that a plan and its regions ask for: ours, and those of plug-ins that it names."""
    made = [plugins.get("loss", name)(asked) for name in plugins.names("loss")]
    made += [plugged(name, asked) for name in asked[2].losses]
    return [loss for loss in made if loss is not None]


def style_loss(asked: Asked) -> FeatureLoss:
    """The style of each region."""
    return StyleLoss(asked[2])


def content_loss(asked: Asked) -> FeatureLoss | None:
    """What is held of the photo; None if no layer is."""
    return ContentLoss(asked[2]) if asked[2].content_layers else None


def contour_loss(asked: Asked) -> FeatureLoss | PixelLoss | None:
    """The contours that are held, as well as the encoder sees them; None if none are."""
    encoder, problem, plan, size = asked
    regions = painted(problem)
    pull = contour_pull(plan, regions)
    if not pull:
        return None
    if encoder.has_contours:
        return ContourLoss(encoder, pull)
    return laplacian_of(problem, regions, size, pull)


def smoothness_loss(asked: Asked) -> PixelLoss:
    """How much neighbors differ in light, against what the styles do."""
    seen = _smoothed(asked)
    return Smoothness(asked[2].total_variation, firmness(*seen), firmness_in_color(*seen))


def color_smoothness_loss(asked: Asked) -> PixelLoss:
    """How much the colors of neighbors differ, beside their light."""
    return ColorSmoothness(asked[2].total_variation, firmness_in_color(*_smoothed(asked)))


def color_excess_loss(asked: Asked) -> PixelLoss:
    """How much more the colors of neighbors differ in a region than in its style."""
    return excess_of(asked[1], *_smoothed(asked), pull=asked[2].total_variation)


def _smoothed(asked: Asked) -> tuple[Sequence[PaintedRegion], tuple[int, int], int]:
    """The regions that are smoothed, height and width, and the side by which strokes are sized."""
    _, problem, plan, size = asked
    return painted(problem), size, plan.strokes or max(size)


def temporal_loss(asked: Asked) -> PixelLoss | None:
    """How firmly a frame of a clip is held to those before it; None where it has none."""
    _, problem, _, size = asked
    if not problem.earlier or not problem.steadiness:
        return None
    return Steadiness.of(problem.earlier, size, problem.steadiness)


def anchor_loss(asked: Asked) -> PixelLoss | None:
    """What keeps the colors of a long shot from drifting; None where there is no shot."""
    _, problem, _, size = asked
    return Anchor.of(painted(problem), size, ANCHOR_WEIGHT)


def composition_loss(asked: Asked) -> PixelLoss | None:
    """What coarser levels have laid out; None where there are none, or none that is coarser."""
    _, problem, plan, size = asked
    composed = problem.composed
    if composed is None or max(size_of(composed)) >= max(size):
        return None
    masks = covered(painted(problem))
    weight = area(masks[None], size_of(composed))[0]
    return Composition(composed.mean(0, keepdim=True), weight, plan.composition)


def range_loss(_: Asked) -> PixelLoss:
    """What is beyond the colors that there are."""
    return Range()


Objectives = Callable[[Encoder, Problem, Plan, tuple[int, int]], Objective]
"""Makes the objective of a level, with a plan as that level is worked on."""
