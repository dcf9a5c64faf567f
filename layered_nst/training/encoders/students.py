"""Narrow encoders that see what a wide one sees: their start, and how they are stored.

A student has the teacher's shape with fewer channels. For each layer a linear map A takes its
features S to the teacher's: T ≈ A S. Distances and moments are wanted in the teacher's space, where
‖A (S − S')‖ = ‖P (S − S')‖ for the polar form A = U P with orthonormal columns in U; so the student
is stored with the small square P of each layer, and whoever uses it gets features P S whose
distances, moments and Gram matrices are the teacher's, as far as the student sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.networks.encoders.encoder import Encoder
from layered_nst.networks.encoders.encoder_files import EncoderFile, write_encoder_file

POSITIONS = 400
"""Positions of each crop and layer from which channels are chosen and maps are solved."""
PART = 8
"""Crops that are looked at together: the features of all of them would fit no memory."""
RIDGE = 1e-4
"""Share of the mean variance added to it where maps are solved, against channels that agree."""
ROUNDING = 1e-10
"""Share of the largest moment below which what is left of a channel is rounding."""
STEP = 8
"""Widths are multiples of it, which processors prefer."""


class Student(nn.Module):
    """A VGG of any width with a linear map from each layer to the teacher's.

    Args:
        blocks: names of the layers, block by block.
        widths: channels of each layer.
        wide: channels of each layer of the teacher.
    """

    def __init__(
        self,
        blocks: Sequence[Sequence[str]],
        widths: Mapping[str, int],
        wide: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.blocks = tuple(tuple(block) for block in blocks)
        self.convolutions, self.maps = nn.ModuleDict(), nn.ParameterDict()
        channels = 3
        for layer in (layer for block in self.blocks for layer in block):
            convolution = nn.Conv2d(channels, widths[layer], 3)
            self.convolutions[layer] = convolution.to(memory_format=torch.channels_last)
            self.maps[layer] = nn.Parameter(torch.zeros(wide[layer], widths[layer]))
            channels = widths[layer]

    def kernels(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """Weight (out, in, 3, 3) and bias (out,) of a layer's convolution."""
        name = f"convolutions.{layer}"
        return self.get_parameter(f"{name}.weight"), self.get_parameter(f"{name}.bias")

    def forward(self, pictures: Tensor, *, deepest: str | None = None) -> dict[str, Tensor]:
        """Features before their maps, padded as ``Encoder`` pads.

        Args:
            pictures: RGB in [0, 1], shape (B, 3, H, W).
            deepest: the last layer wanted; all if not given.

        Returns:
            Shape (B, c, h, w) for each layer, shallow to deep.
        """
        features = {}
        hidden = pictures.contiguous(memory_format=torch.channels_last)
        for number, block in enumerate(self.blocks):
            if number:
                hidden = F.max_pool2d(hidden, 2, 2, ceil_mode=True)
            for layer in block:
                hidden = F.pad(hidden, (1, 1, 1, 1), "replicate")
                hidden = F.relu(self.convolutions[layer](hidden))
                features[layer] = hidden
                if layer == deepest:
                    return features
        return features


def student_widths(teacher: Encoder, *, width: float, first: float) -> dict[str, int]:
    """Channels of each layer of a student, in multiples of 8 and never more than the teacher's.

    Args:
        width: as a share of the teacher's.
        first: conv1_1 is so many times wider than that.
    """

    def narrowed(layer: str) -> int:
        factor = width * (first if layer == teacher.layers[0] else 1.0)
        wide = teacher.width(layer)
        return min(wide, max(STEP, round(wide * factor / STEP) * STEP))

    return {layer: narrowed(layer) for layer in teacher.layers}


@torch.no_grad()
def new_student(teacher: Encoder, crops: Tensor, widths: Mapping[str, int]) -> Student:
    """A student whose channels are some of the teacher's, those that tell most of all others.

    Layer by layer: the channels that a pivoted Cholesky factorization of the teacher's second
    moments takes first; their kernels, reading what the student sees through its map of the layer
    before; then the map of this layer, by least squares.

    Args:
        crops: what the channels are chosen by, shape (B, 3, h, w) in [0, 1].
        widths: channels of each layer, none more than the teacher's.
    """
    wide = {layer: teacher.width(layer) for layer in teacher.layers}
    student = Student(teacher.blocks, widths, wide)
    device = next(teacher.buffers()).device
    seen = sampled(lambda part: teacher(part.to(device), teacher.layers), crops)
    before: str | None = None
    for layer in teacher.layers:
        target = seen.pop(layer)
        chosen = pivots((target.T.double() @ target.double()) / len(target), widths[layer])
        kernels, bias = _taken(teacher, layer, chosen)
        if before is not None:
            kernels = torch.einsum("oikl,ij->ojkl", kernels, student.maps[before])
        for own, taken in zip(student.kernels(layer), (kernels, bias), strict=True):
            own.copy_(taken)
        source = sampled(partial(_features_of, student, layer), crops)[layer]
        student.maps[layer].copy_(linear_map(source, target))
        before = layer
    return student


@torch.no_grad()
def student_of(encoder: Encoder, teacher: Encoder, crops: Tensor) -> Student:
    """The student that a distilled encoder was, to train it on.

    Its maps are solved again, by least squares: of a map A = U P the file holds P alone.

    Args:
        encoder: with the teacher's layers, none of them wider.
        crops: what the maps are solved by, shape (B, 3, h, w) in [0, 1].
    """
    widths, wide = ({layer: e.width(layer) for layer in e.layers} for e in (encoder, teacher))
    student = Student(teacher.blocks, widths, wide)
    for layer in teacher.layers:
        for own, stored in zip(student.kernels(layer), encoder.convolution(layer), strict=True):
            own.copy_(stored)
    device = next(teacher.buffers()).device
    seen = sampled(lambda part: teacher(part.to(device), teacher.layers), crops)
    sources = sampled(student, crops)
    for layer, target in seen.items():
        student.maps[layer].copy_(linear_map(sources[layer], target))
    return student


def _features_of(student: Student, layer: str, crops: Tensor) -> dict[str, Tensor]:
    return {layer: student(crops, deepest=layer)[layer]}


def _taken(teacher: Encoder, layer: str, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Kernels and biases of some of the teacher's channels, on the CPU."""
    weight, bias = teacher.convolution(layer)
    return weight.cpu()[chosen], bias.cpu()[chosen]


def pivots(second: Tensor, count: int) -> Tensor:
    """The channels from which the others can best be told, by pivoted Cholesky factorization.

    Args:
        second: second moments of all channels, shape (C, C).
        count: how many channels to choose, at most C.

    Returns:
        Their indices, shape (count,), all different, the most telling first.
    """
    rest = second.double().clone()
    least = ROUNDING * float(rest.diagonal().max())
    chosen: list[int] = []
    for _ in range(count):
        left = rest.diagonal().clone()
        left[chosen] = -torch.inf
        pivot = int(left.argmax())
        chosen.append(pivot)
        if left[pivot] > least:
            column = rest[:, pivot] / rest[pivot, pivot].sqrt()
            rest -= torch.outer(column, column)
    return torch.tensor(chosen)


def linear_map(source: Tensor, target: Tensor) -> Tensor:
    """The A of least squares in ``target ≈ source Aᵀ``, with a ridge.

    Args:
        source: shape (N, c).
        target: shape (N, C).

    Returns:
        Shape (C, c).
    """
    left = source.T @ source
    ridge = RIDGE * left.diagonal().mean().clamp(min=1e-12)
    left = left + ridge * torch.eye(len(left))
    solved: Tensor = torch.linalg.solve(left.double(), (source.T @ target).double())
    return solved.T.float()


def sampled(see: Callable[[Tensor], Mapping[str, Tensor]], crops: Tensor) -> dict[str, Tensor]:
    """Features of many crops at a few positions of each, (B · positions, C), on the CPU."""
    parts = []
    generator = torch.Generator()
    for part in torch.split(crops, PART):
        kept = {}
        for layer, features in see(part).items():
            flat = features.cpu().flatten(2)
            # The same positions for each layer of a size, whoever looks.
            order = torch.randperm(flat.shape[2], generator=generator.manual_seed(flat.shape[2]))
            kept[layer] = flat[:, :, order[:POSITIONS]].movedim(1, -1).flatten(0, 1)
        parts.append(kept)
    return {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}


def save_student(
    student: Student, teacher: Encoder, output: Path, *, notes: Mapping[str, Any]
) -> None:
    """Write a student as an encoder, in float16, with what there is to say of it.

    The map A of a layer is stored as the P of its polar form A = U P; the side outputs h of HED, if
    the teacher has them, read the features P S and so become h U.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    tensors: dict[str, Tensor] = {}
    for layer in teacher.layers:
        tensors[f"{layer}.weight"], tensors[f"{layer}.bias"] = student.kernels(layer)
        basis, tensors[f"{layer}.map"] = polar(student.maps[layer])
        side = _side_of(teacher, layer)
        if side is not None:
            weight, tensors[f"{side}.bias"] = teacher.head(side)
            tensors[f"{side}.weight"] = (weight[:, :, 0, 0].cpu() @ basis)[:, :, None, None]
    if teacher.has_contours:
        tensors["fuse.weight"], tensors["fuse.bias"] = teacher.head("fuse")
    stored = {
        name: value.detach().cpu().to(torch.float16).contiguous() for name, value in tensors.items()
    }
    blocks = tuple(len(block) for block in teacher.blocks)
    write_encoder_file(output, EncoderFile(stored, blocks, notes))


def polar(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal columns U (C, c) and a symmetric P (c, c), nowhere negative: ``matrix = U P``."""
    left, values, right = torch.linalg.svd(matrix.detach().cpu().double(), full_matrices=False)
    return (left @ right).float(), (right.T @ (values[:, None] * right)).float()


def _side_of(teacher: Encoder, layer: str) -> str | None:
    """The side output of HED that reads a layer, if any."""
    last = [block[-1] for block in teacher.blocks]
    return f"side{last.index(layer) + 1}" if teacher.has_contours and layer in last else None
