"""From selectors to soft masks that sum to 1 at every pixel, and to masks at each layer's size."""

from layered_nst.regions.build import PHOTO, RegionMasks, build_masks
from layered_nst.regions.layers import layer_masks, thin_layers, thin_notes
from layered_nst.regions.select import select
from layered_nst.regions.snap import is_drawn, snap

__all__ = [
    "PHOTO",
    "RegionMasks",
    "build_masks",
    "is_drawn",
    "layer_masks",
    "select",
    "snap",
    "thin_layers",
    "thin_notes",
]
