"""DeepLabV3 segmenters behind one small protocol, their class names, and their training."""

from layered_nst.networks.segmenters.labels import (
    FINDS_SUBJECTS,
    means_subject,
    nameable,
    resolve_class,
)
from layered_nst.networks.segmenters.segmenter import (
    METHOD,
    NetworkSegmenter,
    Segmentation,
    Segmenter,
    load_segmenter,
    segment,
)

__all__ = [
    "FINDS_SUBJECTS",
    "METHOD",
    "NetworkSegmenter",
    "Segmentation",
    "Segmenter",
    "load_segmenter",
    "means_subject",
    "nameable",
    "resolve_class",
    "segment",
]
