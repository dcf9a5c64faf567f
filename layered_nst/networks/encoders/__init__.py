"""Encoders: pictures in, features of any set of layers out."""

from layered_nst.networks.encoders.contours import contour_logits, contour_map
from layered_nst.networks.encoders.encoder import ENCODERS, Encoder, load_encoder, load_encoders
from layered_nst.networks.encoders.plugged import LayeredNetwork

__all__ = [
    "ENCODERS",
    "Encoder",
    "LayeredNetwork",
    "contour_logits",
    "contour_map",
    "load_encoder",
    "load_encoders",
]
