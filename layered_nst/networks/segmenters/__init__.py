"""DeepLabV3 segmenters behind one small protocol, their class names, and their training."""

from layered_nst.networks.segmenters.labels import nameable, resolve_class
from layered_nst.networks.segmenters.segmenter import (
    METHOD,
    NetworkSegmenter,
    Segmentation,
    Segmenter,
    load_segmenter,
    segment,
)

__all__ = [
    "METHOD",
    "NetworkSegmenter",
    "Segmentation",
    "Segmenter",
    "load_segmenter",
    "nameable",
    "resolve_class",
    "segment",
]
