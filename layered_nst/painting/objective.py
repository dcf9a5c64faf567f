"""The whole loss of one level, with every constant computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst.machine import allocator
from layered_nst.networks.encoders import Encoder, contour_logits
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.painting.losses import (
    content_energy,
    content_error,
    contour_energy,
    contour_errors,
    contour_mean,
    laplacian_loss,
    out_of_range,
    style_losses,
    total_variation,
)
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem, area, at_size, is_painted, laid_out
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import Columns, Moments, columns, region_moments
from layered_nst.styles.style import (
    PictureMoments,
    stroke_side,
    style_moments,
    style_variation,
)

RANGE_WEIGHT = 100.0
# The total variation of neighbors that differ by 2 of 255 both ways: no style is flatter than this.
FLAT = 1.2e-4
# The first side output sees grain as contours, and holding it drew a grid over the product; the
# last one hardly sees where they are.
CONTOUR_SIDES = (2, 3, 4)
# Encoders without HED's heads hold contours by the Laplacian of Li et al. 2017. More than this
# shows the squares that it pools by, and it keeps lines less well than the side outputs.
LAPLACIAN_POOLS = (4, 16)
LAPLACIAN_WEIGHT = 0.2


@dataclass(frozen=True)
class Held:
    """What features are compared with: on the whole picture, or on a part of it.

    Attributes:
        columns: by layer, what each region reads.
        content, content_weight: by layer, the features that are held, shape (1, C, h, w), and how
            firmly, shape (h, w).
        contours, contour_weight: by side output, the contours that are held, shape (1, 1, h, w),
            and how firmly, shape (h, w).
    """

    columns: Mapping[str, Columns]
    content: Mapping[str, Tensor]
    content_weight: Mapping[str, Tensor]
    contours: Sequence[Tensor]
    contour_weight: Sequence[Tensor]


@dataclass(frozen=True)
class Seen:
    """What an objective wants to know of features. All of it are sums over positions.

    Attributes:
        moments: by layer, means (R, C) and second raw moments (R, C, C) of the regions.
        content: by layer, the weighted squared error.
        contours: by side output, the weighted squared error.
    """

    moments: dict[str, tuple[Tensor, Tensor]]
    content: dict[str, Tensor]
    contours: list[Tensor]


class Objective:
    """The whole loss of one level, with every constant computed once.

    Args:
        encoder: gives the features.
        problem: at the result's size; masks and pictures are brought to the level's here.
        plan: the weights.
        size: height and width of the level.
    """

    def __init__(
        self, encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int]
    ) -> None:
        self.encoder = encoder.multiplying_in(plan.precision)
        # Moments of styles stay as exact as libraries and caches keep them.
        self.exact, self.plan, self.size = encoder, plan, size
        self.regions = [region for region in problem.regions if is_painted(region)]
        self.layers = tuple(plan.layers)
        drawn = [r.mask.mean() for r in self.regions if r.contour > 0]
        # Like the style's, the pull of contours is the same on every pixel of a region of any size.
        self.contour_pull = plan.contour * float(sum(drawn))
        held = bool(self.contour_pull) and encoder.has_contours
        self.contour_layers = contour_layers(encoder, CONTOUR_SIDES) if held else ()
        self.wanted = {*self.layers, *plan.content_layers, *self.contour_layers}
        self._prepare_styles(problem)
        self._prepare_content(problem)
        self._prepare_contours(problem)
        self.smoothness = self._smoothness()
        allocator.give_back()  # what passes without a way back leave behind fits no step

    def _prepare_styles(self, problem: Problem) -> None:
        sizes = self.encoder.layer_sizes(self.size)
        masks = area(torch.stack([r.mask for r in self.regions]), self.size)
        self.pull = self._pull(masks.mean((1, 2)))
        at_layers = layer_masks(masks, {layer: sizes[layer] for layer in self.layers})
        self.columns: Mapping[str, Columns] = {
            layer: columns(part) for layer, part in at_layers.items()
        }
        self.targets = self._targets(problem.moments)

    def _pull(self, share: Tensor) -> dict[str, Tensor]:
        """The weight of each region's style at each layer, from the regions' shares (R,)."""
        strength = share.new_tensor([r.strength for r in self.regions])
        pull = self.plan.style * strength * share**self.plan.area_exponent
        return {layer: pull * weight for layer, weight in self.plan.layers.items()}

    def _smoothness(self) -> Tensor:
        """How firmly each pixel is smoothed, shape (h, w).

        Against what a style itself varies: one weight for all would blur the dots of a pointillist
        and leave noise in a clear sky.
        """
        longest = self.plan.strokes or max(self.size)
        firmness = [
            1 / (style_variation(r.styles, stroke_side(longest, r.scale)) + FLAT)
            for r in self.regions
        ]
        return area(laid_out(self.regions, firmness)[None], self.size)[0]

    def _targets(self, of: PictureMoments) -> dict[str, tuple[Tensor, Tensor]]:
        targets = [
            style_moments(
                self.exact,
                region.styles,
                self.layers,
                longest=stroke_side(self.plan.strokes or max(self.size), region.scale),
                pooling=self.plan.pooling,
                of=of,
            )
            for region in self.regions
        ]
        return {layer: _stacked([t[layer] for t in targets]) for layer in self.layers}

    def _prepare_content(self, problem: Problem) -> None:
        sizes = self.encoder.layer_sizes(self.size)
        weight = laid_out(self.regions, [r.content for r in self.regions])
        at_layers = layer_masks(
            area(weight[None], self.size),
            {layer: sizes[layer] for layer in self.plan.content_layers},
        )
        self.content_weight = {layer: part[0] for layer, part in at_layers.items()}
        self._read_content(at_size(problem.content, self.size)[None])

    @torch.no_grad()
    def _read_content(self, picture: Tensor) -> None:
        """Take the features that are held, and their energy, from a picture (1, 3, h, w)."""
        pooling = self.plan.pooling
        self.content = self.encoder(picture, self.plan.content_layers, pooling=pooling)
        self.content_energy = {
            layer: content_energy(self.content[layer], self.content_weight[layer])
            for layer in self.plan.content_layers
        }

    def _prepare_contours(self, problem: Problem) -> None:
        self.contours: list[Tensor] = []
        self.contour_weight: list[Tensor] = []
        self.contour_energy: list[Tensor] = []
        if not self.contour_pull:
            return
        weight = laid_out(self.regions, [r.contour for r in self.regions])[None]
        photo = at_size(problem.photo, self.size)[None]
        if not self.contour_layers:
            self.photo, self.edge_weight = photo, area(weight, self.size)[0]
            return
        self.contours = self._read_contours(photo)
        self.contour_weight = [area(weight, (c.shape[2], c.shape[3]))[0] for c in self.contours]
        self.contour_energy = [
            contour_energy(contour, part)
            for contour, part in zip(self.contours, self.contour_weight, strict=True)
        ]

    @torch.no_grad()
    def _read_contours(self, photo: Tensor) -> list[Tensor]:
        """Edge probabilities of a photo (1, 3, h, w), each (1, 1, h, w)."""
        features = self.encoder(photo, self.contour_layers, pooling=self.plan.pooling)
        return [side.sigmoid() for side in contour_logits(self.encoder, features)]

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name.

        Args:
            picture: shape (1, 3, h, w) at the level's size.
        """
        held = Held(
            self.columns,
            self.content,
            self.content_weight,
            self.contours,
            self.contour_weight,
        )
        return {
            **self._feature_terms(self._see(picture, held)),
            **self._laplacian_terms(picture),
            **self._pixel_terms(picture),
        }

    def backward(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name and their ``total``, whose gradient the picture gets.

        Args:
            picture: shape (1, 3, h, w) at the level's size, a leaf without a gradient.
        """
        terms = self(picture)
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return {**terms, "total": total}

    def _see(self, picture: Tensor, held: Held) -> Seen:
        """What there is to know of a picture (1, 3, h, w), read layer by layer."""
        seen = Seen({}, {}, [])

        def read(layer: str, features: Tensor) -> None:
            if layer in held.columns:
                measure = self.encoder.measure(layer)
                seen.moments[layer] = region_moments(features, held.columns[layer], measure)
            if layer not in held.content_weight and layer not in self.contour_layers:
                return
            compared = self.encoder.to_measure(layer, features)
            if layer in held.content_weight:
                target, weight = held.content[layer], held.content_weight[layer]
                seen.content[layer] = content_error(compared.to(target.dtype), target, weight)
            if layer in self.contour_layers:
                seen.contours.append(self._contour_error(layer, compared, held))

        self.encoder(picture, self.wanted, pooling=self.plan.pooling, read=read, measured=False)
        return seen

    def _contour_error(self, layer: str, features: Tensor, held: Held) -> Tensor:
        side = self.contour_layers.index(layer)
        target, weight = held.contours[side], held.contour_weight[side]
        logits = contour_logits(self.encoder, {layer: features.to(target.dtype)})
        (error,) = contour_errors(logits, [target], [weight])
        return error

    def _feature_terms(self, seen: Seen) -> dict[str, Tensor]:
        """The terms that look at features, from what was seen on the whole picture."""
        terms = self._style_terms(seen.moments)
        for layer, weight in self.plan.content_layers.items():
            loss = seen.content[layer] / self.content_energy[layer]
            terms[f"content.{layer}"] = self.plan.content * weight * loss
        if seen.contours:
            loss = contour_mean(seen.contours, self.contour_energy)
            terms["contour.sides"] = self.contour_pull * loss
        return terms

    def _style_terms(self, moments: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for layer, (mean, second) in moments.items():
            losses = self.pull[layer] * style_losses(mean, second, *self.targets[layer])
            for region, loss in zip(self.regions, losses.unbind(), strict=True):
                name = f"style.{region.name}.{layer}"
                terms[name] = terms[name] + loss if name in terms else loss
        return terms

    def _laplacian_terms(self, picture: Tensor) -> dict[str, Tensor]:
        """How encoders hold contours that have no side outputs."""
        if not self.contour_pull or self.contour_layers:
            return {}
        return {
            f"contour.laplacian_{pool}": LAPLACIAN_WEIGHT
            * self.contour_pull
            * laplacian_loss(picture, self.photo, self.edge_weight, pool)
            for pool in LAPLACIAN_POOLS
        }

    def _pixel_terms(self, picture: Tensor) -> dict[str, Tensor]:
        return {
            "total_variation": self.plan.total_variation
            * total_variation(picture, self.smoothness),
            "range": RANGE_WEIGHT * out_of_range(picture),
        }


Objectives = Callable[[Encoder, Problem, Plan, tuple[int, int]], Objective]
"""Makes the objective of a level, with a plan as that level is worked on."""


def _stacked(moments: Sequence[Moments]) -> tuple[Tensor, Tensor]:
    return torch.stack([m.mean for m in moments]), torch.stack([m.second for m in moments])
