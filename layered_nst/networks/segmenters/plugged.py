"""Segmenters of plug-ins, behind the protocol of ours and held to what it promises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.networks.segmenters.segmenter import Segmentation, Segmenter, segment
from layered_nst.plugins import Part
from layered_nst.recipe.parts import PluginSegmenter
from layered_nst.words import pixels

ROUNDING = 1e-3
"""By how much probabilities may miss a sum of 1."""


@dataclass(frozen=True)
class PluggedSegmenter:
    """A plug-in's segmenter.

    Attributes:
        part: that it is.
        inner: what the plug-in made.
    """

    part: Part
    inner: Segmenter

    def see(self, rgb: Tensor) -> Segmentation:
        """What it sees in a photo (3, H, W) in [0, 1].

        Raises:
            PluginError: it fails, or says what is no segmentation.
        """
        size = (rgb.shape[1], rgb.shape[2])
        with plugins.blamed(self.part), torch.no_grad():
            seen = segment(self.inner, rgb)
            found = seen.probabilities.to(rgb.device, torch.float32)
        wanted = (len(seen.classes), *size)
        if tuple(found.shape) != wanted:
            said = f"{tuple(found.shape)} for {len(seen.classes)} classes and {pixels(size)}"
            raise PluginError(f"{self.part}: its probabilities are {said}, not {wanted}")
        if not bool(found.isfinite().all()) or bool((found.sum(0) - 1).abs().max() > ROUNDING):
            raise PluginError(f"{self.part}: its probabilities do not sum to 1 at every pixel")
        return Segmentation(found, tuple(seen.classes), self.part.full_name, seen.subject)


def load_plugged(spec: PluginSegmenter, device: torch.device | str) -> PluggedSegmenter:
    """A plug-in's segmenter, as a recipe names it.

    Raises:
        PluginError: it cannot be imported, does not run on the device, or fails.
    """
    part = plugins.part("segmenter", spec.part)
    plugins.check_device(part, torch.device(device).type)
    with plugins.blamed(part):
        return PluggedSegmenter(part, plugins.object_of(part)(device, **spec.parameters))
