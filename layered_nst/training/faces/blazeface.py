"""Convert BlazeFace from MediaPipe's TensorFlow Lite file to the bundled safetensors.

    npm pack @mediapipe/face_detection@0.4.1657300184 && tar xzf mediapipe-face_detection-*.tgz
    python -m layered_nst.training.faces.blazeface package/face_detection_short_range.tflite

Needs the PyPI package tflite (``pip install 'layered-nst[convert]'``), which reads such files. The
convolutions stand in the file in the order in which they run, heads last, so they are matched by
position and every shape is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layered_nst.files.hashes import bytes_hash, digest
from layered_nst.files.tensors import write_tensors
from layered_nst.networks.catalogue import BUNDLE
from layered_nst.networks.faces.blazeface import BlazeFace
from layered_nst.networks.faces.detector import FORMAT

OUTPUT = BUNDLE / "blazeface.safetensors"
SHA256 = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
"""Of the file that was converted."""

_HEADS = ("fine_scores", "coarse_scores", "fine_values", "coarse_values")


def read_tflite(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of every convolution in the order in which they run, as torch lays them out.

    Raises:
        ValueError: not the file that was converted.
    """
    data = path.read_bytes()
    if bytes_hash([data]) != SHA256:
        raise ValueError(f"{path}: is another file than the one this was written for")
    import tflite

    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    return [*_convolutions(tflite, model, graph)]


def _convolutions(tflite: Any, model: Any, graph: Any) -> Iterator[tuple[Tensor, Tensor]]:
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    kinds = [_kind(model, operator) for operator in operators]
    # Weights are stored in half precision, and an operator before the convolution widens them.
    widened = {
        int(operator.Outputs(0)): int(operator.Inputs(0))
        for operator, kind in zip(operators, kinds, strict=True)
        if kind == tflite.BuiltinOperator.DEQUANTIZE
    }
    for operator, kind in zip(operators, kinds, strict=True):
        if kind not in (
            tflite.BuiltinOperator.CONV_2D,
            tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
        ):
            continue
        weight, bias = (
            _values(model, graph, widened.get(int(operator.Inputs(i)), int(operator.Inputs(i))))
            for i in (1, 2)
        )
        # TensorFlow has (out, y, x, in), and (1, y, x, channels) for depthwise ones.
        depthwise = kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        yield torch.from_numpy(weight.transpose(order).copy()), torch.from_numpy(bias.copy())


def _kind(model: Any, operator: Any) -> int:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))


def _values(model: Any, graph: Any, index: int) -> Any:
    tensor = graph.Tensors(index)
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    return np.frombuffer(raw.tobytes(), np.float16).reshape(tensor.ShapeAsNumpy())


def named(convolutions: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The state of a ``BlazeFace`` from its convolutions in the file's order, float16.

    Raises:
        ValueError: their number or a shape does not fit.
    """
    network = BlazeFace()
    names = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)]
    body = [name for name in names if name not in _HEADS]
    state = {}
    for name, parts in zip([*body, *_HEADS], convolutions, strict=True):
        for part, value in zip(("weight", "bias"), parts, strict=True):
            key = f"{name}.{part}"
            wanted = network.state_dict()[key].shape
            if value.shape != wanted:
                raise ValueError(f"{key}: {tuple(value.shape)} does not fit {tuple(wanted)}")
            state[key] = value.half()
    return state


def main(source: Path, output: Path = OUTPUT) -> None:
    """Convert the file and write the bundled weights."""
    state = named(read_tflite(source))
    metadata = {"format": FORMAT, "source": source.name, "sha256": SHA256, "digest": digest(state)}
    write_tensors(output, state, metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
