"""The layers whose moments are a style."""

from __future__ import annotations

from collections.abc import Mapping

STYLE_LAYERS: Mapping[str, float] = {
    "conv1_1": 256.0,
    "conv2_1": 64.0,
    "conv3_1": 16.0,
    "conv4_1": 4.0,
    "conv5_1": 1.0,
}
