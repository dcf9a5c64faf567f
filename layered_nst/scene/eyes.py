"""What is seen in a photo, once, for all selectors that ask."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from layered_nst.machine.cache import Cache
from layered_nst.networks.faces import Face, detect_faces, load_detector
from layered_nst.networks.segmenters import Segmentation, Segmenter, load_segmenter, segment
from layered_nst.networks.segmenters.plugged import load_plugged
from layered_nst.picture import (
    Picture,
    average,
    bleed_under_alpha,
    fit_within,
    resize_picture,
)
from layered_nst.recipe import Recipe
from layered_nst.recipe.parts import PluginSegmenter
from layered_nst.regions.cached import remembered_segmentation

# Smaller results take their masks from a copy of this longest side, so that a preview finds the
# regions that the final picture will have.
SEGMENTED_SIDE = 768


class Eyes:
    """Segments the photo when a selector first asks, and only once."""

    def __init__(
        self,
        recipe: Recipe,
        photo: Picture,
        picture: Picture,
        weights_dir: Path | None,
        device: torch.device | str,
        cache: Cache | None,
    ) -> None:
        self._recipe, self._photo, self._picture = recipe, photo, picture
        self._weights_dir, self._device, self._cache = weights_dir, device, cache
        self.segmentation: Segmentation | None = None
        self._in_view: Segmentation | None = None
        self._faces: tuple[Face, ...] | None = None

    def __call__(self) -> Segmentation:
        if self.segmentation is None:
            view, spec = self._view(), self._recipe.segmentation
            seen = self._in_view or remembered_segmentation(
                self._cache, spec, view, lambda: self._look(view), weights_dir=self._weights_dir
            )
            self.segmentation = _at_size(seen, self._picture.size)
            self._in_view = None if self._is_closer else seen
        return self.segmentation

    def on(self, picture: Picture) -> Eyes:
        """The same photo as another picture, smaller than what is looked at: what was seen there
        is not looked for again."""
        other = copy(self)
        other._picture, other.segmentation = picture, None
        if self._is_closer:
            other._faces = None
        return other

    def faces(self) -> tuple[Face, ...]:
        """The faces in the photo, largest first; looked for when a selector first asks."""
        if self._faces is None:
            self._faces = detect_faces(load_detector(self._device), self._view())
        return self._faces

    def _look(self, view: Tensor) -> Segmentation:
        if isinstance(self._recipe.segmentation, PluginSegmenter):
            return load_plugged(self._recipe.segmentation, self._device).see(view)
        segmenter: Segmenter = load_segmenter(
            self._recipe.segmentation, weights_dir=self._weights_dir, device=self._device
        )
        return segment(segmenter, view)

    @property
    def _side(self) -> int:
        """Of what is looked at, at least."""
        return min(max(self._photo.size), SEGMENTED_SIDE)

    @property
    def _is_closer(self) -> bool:
        """Whether the picture shows more than what smaller ones are looked at in."""
        return max(self._picture.size) > self._side

    def _view(self) -> Tensor:
        if max(self._picture.size) >= self._side:
            return self._picture.rgb
        view = resize_picture(self._photo, fit_within(self._photo.size, self._side))
        return bleed_under_alpha(view.rgb, view.alpha).to(self._device)


def in_small(seen: Segmentation | None) -> Segmentation | None:
    """What is kept of a segmentation once masks are made: at a print's size it outweighs them."""
    if seen is None or max(seen.size) <= SEGMENTED_SIDE:
        return seen
    return _at_size(seen, fit_within(seen.size, SEGMENTED_SIDE))


def _at_size(seen: Segmentation, size: tuple[int, int]) -> Segmentation:
    subject = None if seen.subject is None else average(seen.subject[None], size)[0]
    return replace(seen, probabilities=average(seen.probabilities, size), subject=subject)
