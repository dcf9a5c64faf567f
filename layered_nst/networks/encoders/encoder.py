"""The VGG family: one pass gives any set of layers and stops at the deepest one asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst import plugins
from layered_nst.errors import ModelError
from layered_nst.files.hashes import bytes_hash, text_hash
from layered_nst.files.tensors import openable
from layered_nst.machine.plugin_code import identities
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.encoders.encoder_files import read_encoder_file
from layered_nst.networks.encoders.rectified import (
    convolve,
    convolve_and_pool,
    convolve_twice_and_pool,
    max_pool,
)
from layered_nst.words import did_you_mean

VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)
ENCODERS: Mapping[str, Sequence[int]] = {
    "hed-vgg16": VGG16,
    "light": VGG16,
    "vgg16": VGG16,
    "vgg19": VGG19,
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


METHOD = 2
"""Counted up whenever the same weights come to give other features than those kept: up to 1, zeros
stood around every layer but the first."""


class Encoder(nn.Module):
    """A VGG's convolutions, frozen.

    Not compiled: on a CPU torch.compile (2.14) made a pass forth and back 1.05 times (hed-vgg16) to
    1.21 times (light) as long.

    Layers are named as in the papers, ``conv1_1`` … ``conv5_3``, and give activations after their
    ReLU. The picture is RGB in [0, 1]; any normalization is folded into conv1_1.

    Args:
        name: what recipes call it.
        tensors: ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` and so on; ``conv1_1.map``
            (out, out), if there, takes a layer's features to the measure in which they are
            compared; the side outputs of HED are those that ``head`` returns.
        blocks: number of convolutions before each pooling.
        source: what ``--encoder`` and recipes call it: the name, or the path of its file.
    """

    def __init__(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        blocks: Sequence[int],
        *,
        source: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.source = name if source is None else source
        self.blocks = tuple(
            tuple(f"conv{b}_{i}" for i in range(1, depth + 1)) for b, depth in enumerate(blocks, 1)
        )
        # Rows of one position lie together in channels-last order, which makes reading the
        # columns of a region a plain copy; the convolutions themselves are as fast either way.
        self._narrow: dict[str, tuple[Tensor, Tensor]] = {}
        for key, value in tensors.items():
            order = torch.channels_last if value.dim() == 4 else torch.contiguous_format
            self.register_buffer(key.replace(".", "_"), value.contiguous(memory_format=order))

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers, shallow to deep."""
        return tuple(layer for block in self.blocks for layer in block)

    @property
    def style_layers(self) -> Mapping[str, float] | None:
        """The layers that styles are compared at, with weights; None for those of all VGGs."""
        return None

    def width(self, layer: str) -> int:
        """Number of channels of a layer."""
        return int(self._tensor(layer, "weight").shape[0])

    def multiplying_in(self, precision: str) -> Encoder:
        """This encoder, or one that shares its weights and multiplies in another precision.

        The picture stays in float32, and conv1_1 is computed so: bfloat16 has coarser steps than a
        picture of eight bits. Features come in float32, rounded to the precision on their way; a
        ``read`` of ``forward`` is given them as they are, which saves a copy.
        """
        if precision == "float32":
            return self
        other, narrow = copy.copy(self), getattr(torch, precision)
        other._narrow = {
            layer: (weight.to(narrow), bias.to(narrow))
            for layer in self.layers[1:]
            for weight, bias in [self.convolution(layer)]
        }
        return other

    def forward(
        self,
        picture: Tensor,
        layers: Collection[str],
        *,
        pooling: str = "max",
        read: Callable[[str, Tensor], Any] | None = None,
        measured: bool = True,
    ) -> dict[str, Any]:
        """Features of one or several pictures.

        Args:
            picture: RGB in [0, 1], shape (B, 3, H, W), any H and W from 1.
            layers: which layers to return.
            pooling: ``max`` (finer strokes, the default) or ``average`` (softer).
            read: given a layer's name and features before the next layer is computed; what it
                returns stands in for them. Of sums that are read so, the way back begins when the
                features' own does, and not with all layers' gradients at once.
            measured: whether a distilled encoder's features are taken to its teacher's measure; if
                not, they are those that its ``measure`` is to be applied to.

        Returns:
            Shape (B, C, h, w) for each layer, with h and w rounded up at each pooling.

        Raises:
            ValueError: a layer that this encoder doesn't have.
        """
        wanted = set(layers)
        if unknown := sorted(wanted - set(self.layers)):
            raise ValueError(f"{self.name} has no layer {unknown[0]}; it has {self.layers}")
        features: dict[str, Any] = {}
        blocks, pooled = self.blocks, True  # nothing stands before the first block
        if wanted and pooling == "max" and self._is_passed_over(picture, wanted):
            first, blocks = self.blocks[0], self.blocks[1:]
            hidden = convolve_twice_and_pool(picture, *(self._multiplied(k) for k in first))
        else:
            hidden = picture.contiguous(memory_format=torch.channels_last)
        for block in blocks:
            for layer in block:
                if len(features) == len(wanted):
                    return features
                if not pooled and layer == block[0]:
                    hidden = _pool(hidden, pooling)
                pooled = pooling == "max" and layer == block[-1] and layer not in wanted
                hidden = self._convolve(layer, hidden, pooled=pooled)
                if layer in wanted:
                    seen = self.to_measure(layer, hidden) if measured else hidden
                    features[layer] = self._whole(seen) if read is None else read(layer, seen)
        return features

    def _is_passed_over(self, picture: Tensor, wanted: Set[str]) -> bool:
        """Whether of the first block only what is pooled of it matters, and no gradient."""
        needed = picture.requires_grad and torch.is_grad_enabled()
        return len(self.blocks[0]) == 2 and not needed and wanted.isdisjoint(self.blocks[0])

    def _convolve(self, layer: str, hidden: Tensor, *, pooled: bool) -> Tensor:
        weight, bias = self._multiplied(layer)
        if pooled:
            return convolve_and_pool(hidden, weight, bias)
        leaves, _ = self._multiplied(self.layers[-1])
        return convolve(hidden, weight, bias, dtype=leaves.dtype)

    def _multiplied(self, layer: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of a layer in the precision that it multiplies in."""
        return self._narrow.get(layer) or self.convolution(layer)

    def measure(self, layer: str) -> Tensor | None:
        """The map (out, out) that takes a distilled layer to its teacher's measure, or None."""
        return self._tensor(layer, "map") if hasattr(self, f"{layer}_map") else None

    def to_measure(self, layer: str, hidden: Tensor) -> Tensor:
        """Features as they are compared: those of a distilled encoder in its teacher's measure."""
        matrix = self.measure(layer)
        return hidden if matrix is None else F.conv2d(self._whole(hidden), matrix[:, :, None, None])

    def _whole(self, features: Tensor) -> Tensor:
        """Features in the precision of the weights as they were loaded."""
        return features.to(self._tensor(self.layers[0], "bias").dtype)

    def _tensor(self, layer: str, kind: str) -> Tensor:
        tensor: Tensor = getattr(self, f"{layer}_{kind}")
        return tensor

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, in hex: what was computed by others does not fit this encoder."""
        return bytes_hash(self._dense())

    def _dense(self) -> Iterator[bytes]:
        for name, value in sorted(self.named_buffers()):
            yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
            # In the order in which they lie in memory nothing has to be copied.
            dense = value.movedim(1, -1) if value.dim() == 4 else value
            yield dense.contiguous().cpu().numpy().tobytes()

    def weights(self) -> Iterator[Tensor]:
        """All tensors that it computes with."""
        yield from self.buffers()
        for pair in self._narrow.values():
            yield from pair

    @property
    def has_contours(self) -> bool:
        """Whether the weights include HED's side outputs."""
        return hasattr(self, "fuse_weight")

    def convolution(self, layer: str) -> tuple[Tensor, Tensor]:
        """Weight (out, in, 3, 3) and bias (out,) of a layer."""
        return self._tensor(layer, "weight"), self._tensor(layer, "bias")

    def head(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of a side output, ``side1`` … ``side5`` or ``fuse``."""
        return self._tensor(name, "weight"), self._tensor(name, "bias")

    def layer_sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Height and width of every layer for a picture of this height and width."""
        sizes: dict[str, tuple[int, int]] = {}
        height, width = size
        for number, block in enumerate(self.blocks):
            if number:
                height, width = (height + 1) // 2, (width + 1) // 2
            sizes |= dict.fromkeys(block, (height, width))
        return sizes

    def strides(self) -> dict[str, int]:
        """Distance of neighboring units of each layer, in px of the picture."""
        return {layer: 1 << pooled for pooled, block in enumerate(self.blocks) for layer in block}

    def receptive_fields(self) -> dict[str, int]:
        """Side in px of the square of the picture that one unit of each layer sees."""
        fields, field, stride = {}, 1, 1
        for number, block in enumerate(self.blocks):
            if number:
                field, stride = field + stride, stride * 2
            for layer in block:
                field += 2 * stride
                fields[layer] = field
        return fields


def _pool(features: Tensor, pooling: str) -> Tensor:
    if pooling == "max":
        return max_pool(features)
    return F.avg_pool2d(features, 2, 2, ceil_mode=True)


def load_encoder(
    name: str | Path,
    *,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Load an encoder by the name or path recipes use.

    Args:
        name: ``hed-vgg16`` or ``light`` (bundled), ``vgg16`` or ``vgg19`` (torchvision's ImageNet
            weights), the full name of a plug-in's encoder, or a ``.safetensors`` file that
            ``layered-nst encoder distill`` wrote; such an encoder is called by its file's stem.
        weights_dir: folder searched before torchvision's cache.

    Raises:
        ModelError: unknown name, missing or broken weights.
    """
    if is_plugged(name):
        return _plugged(str(name), device, dtype)
    path = encoder_path(name, weights_dir=weights_dir)
    load = _load_file if is_encoder_file(name) else _load_named
    encoder = load(str(name), path, dtype)
    return encoder.to(device).requires_grad_(False).eval()


def load_encoders(
    names: Iterable[str],
    *,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Encoder]:
    """Load several encoders by name; arguments and errors as of ``load_encoder``."""
    return {
        name: load_encoder(name, weights_dir=weights_dir, device=device, dtype=dtype)
        for name in names
    }


def is_encoder_file(name: str | Path) -> bool:
    """Whether recipes mean a file by it, and not one of the encoders that have names."""
    return str(name).endswith(".safetensors")


def is_plugged(name: str | Path) -> bool:
    """Whether it names a plug-in's encoder."""
    if is_encoder_file(name) or str(name) in ENCODERS:
        return False
    part = plugins.find("encoder", plugins.name_in(str(name)))
    return part is not None and not part.is_own


def _plugged(text: str, device: torch.device | str, dtype: torch.dtype) -> Encoder:
    """The encoder that a plug-in makes."""
    part, said = plugins.meant("encoder", text)
    plugins.check_device(part, torch.device(device).type)
    with plugins.blamed(part):
        made = plugins.object_of(part)(device=device, dtype=dtype, **said)
    name = plugins.spelled(part.full_name, said)
    if not isinstance(made, Encoder):
        from layered_nst.networks.encoders.plugged import PluggedEncoder

        made = PluggedEncoder(part, made, name, dtype)
    encoder: Encoder = made.to(device).requires_grad_(False).eval()
    encoder.name = encoder.source = name
    # What it sees depends on its code too, and on what is said to it.
    code = identities([("encoder", part.full_name)])
    varies = "" if part.determinism == "same-bytes" else uuid4()
    encoder.fingerprint = text_hash(f"{encoder.fingerprint} {code} {name}{varies}")
    return encoder


def encoder_path(name: str | Path, *, weights_dir: Path | None = None) -> Path:
    """The file of an encoder's weights; one that is named by its path may be missing.

    Raises:
        ModelError: unknown name, or weights that are not on this machine.
    """
    if is_encoder_file(name):
        return Path(name)
    if name not in ENCODERS:
        hint = did_you_mean(str(name), ENCODERS)
        there = f"there are {', '.join(ENCODERS)}, and .safetensors files"
        raise ModelError(f"encoder {str(name)!r}: no such encoder{hint}; {there}")
    return weights_path(str(name), weights_dir=weights_dir)


def _load_file(name: str, path: Path, dtype: torch.dtype) -> Encoder:
    file = read_encoder_file(path)
    tensors = {key: value.to(dtype) for key, value in file.tensors.items()}
    return Encoder(path.stem, tensors, file.blocks, source=name)


def _load_named(name: str, path: Path, dtype: torch.dtype) -> Encoder:
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torchvision
    try:
        tensors = read(path)
        encoder = Encoder(name, {k: v.to(dtype) for k, v in tensors.items()}, ENCODERS[name])
        encoder.width(encoder.layers[-1])
    except (OSError, SafetensorError, RuntimeError, AttributeError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not the weights of {name} ({error})") from error
    return encoder


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with openable(path) as name:
        return load_file(name)


def _read_torchvision(path: Path) -> dict[str, Tensor]:
    """Rename torchvision's tensors and fold the ImageNet normalization into conv1_1."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError) as error:
        # torch's own message advises to unpickle whatever the file holds.
        raise ValueError("it holds more than tensors, or is no checkpoint") from error
    blocks = VGG19 if "features.34.weight" in state else VGG16
    names = [f"conv{b}_{i}" for b, depth in enumerate(blocks, 1) for i in range(1, depth + 1)]
    keys = sorted({int(k.split(".")[1]) for k in state if k.startswith("features.")})
    tensors = {
        f"{name}.{kind}": state[f"features.{key}.{kind}"]
        for name, key in zip(names, keys, strict=True)
        for kind in ("weight", "bias")
    }
    return tensors | _fold_normalization(tensors["conv1_1.weight"], tensors["conv1_1.bias"])


def _fold_normalization(weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)[None, :, None, None]
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)[None, :, None, None]
    folded = weight.double() / std
    shift = (folded * mean).sum((1, 2, 3))
    return {
        "conv1_1.weight": folded.to(weight.dtype),
        "conv1_1.bias": (bias.double() - shift).to(bias.dtype),
    }
