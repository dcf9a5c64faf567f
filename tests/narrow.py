"""A VGG with a handful of channels: every layer of the real one, at a thousandth of its work."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.encoder import VGG16

WIDTHS = (4, 5, 6, 7, 7)


def narrow_encoder(
    *,
    widths: Sequence[int] = WIDTHS,
    blocks: Sequence[int] = VGG16,
    dtype: torch.dtype = torch.float64,
    positive: bool = False,
    heads: bool = True,
    seed: int = 0,
) -> Encoder:
    """An encoder of random weights; ``positive`` lets no ReLU ever cut, ``heads`` are HED's."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tensors, channels = {}, 3
    for block, (depth, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            kernel = random(width, channels, 3, 3) * (2 / (9 * channels)) ** 0.5
            tensors[f"{name}.weight"] = kernel.abs() if positive else kernel
            tensors[f"{name}.bias"] = 0.1 * random(width).abs()
            channels = width
        side = {f"side{block}.weight": random(1, width, 1, 1), f"side{block}.bias": random(1)}
        tensors |= side if heads else {}
    if heads:
        tensors |= {"fuse.weight": random(1, 5, 1, 1), "fuse.bias": random(1)}
    encoder = Encoder("narrow", {key: value.to(dtype) for key, value in tensors.items()}, blocks)
    return encoder.requires_grad_(False).eval()
