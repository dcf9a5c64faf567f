"""Encoders: pictures in, features of any set of layers out."""

from layered_nst.networks.encoders.contours import contour_logits, contour_map
from layered_nst.networks.encoders.encoder import ENCODERS, Encoder, load_encoder, load_encoders

__all__ = ["ENCODERS", "Encoder", "contour_logits", "contour_map", "load_encoder", "load_encoders"]
