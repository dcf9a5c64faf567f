"""The layers whose moments are a style."""

from __future__ import annotations

from collections.abc import Mapping

from layered_nst.networks.encoders import Encoder

STYLE_LAYERS: Mapping[str, float] = {
    "conv1_1": 256.0,
    "conv2_1": 64.0,
    "conv3_1": 16.0,
    "conv4_1": 4.0,
    "conv5_1": 1.0,
}


def layers_of(encoder: Encoder) -> Mapping[str, float]:
    """The layers at which styles are compared by an encoder, with weights."""
    return encoder.style_layers or STYLE_LAYERS
