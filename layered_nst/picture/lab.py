"""Color statistics of regions and the CIE Lab space, on tensors.

Sources: Pitié and Kokaram 2007 for the linear Monge-Kantorovich map; CIE 15 and IEC 61966-2-1 for
Lab (D65) and sRGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)
_CUT, _SLOPE = (6 / 29) ** 3, (29 / 6) ** 2 / 3


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to CIE Lab (D65), shape (3, H, W); L in 0 to 100."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,jhw->ihw", rgb.new_tensor(_RGB_TO_XYZ), linear)
    ratio = xyz / rgb.new_tensor(_WHITE)[:, None, None]
    root = torch.where(ratio > _CUT, ratio.clamp(min=_CUT) ** (1 / 3), ratio * _SLOPE + 4 / 29)
    x, y, z = root
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE Lab (D65) to sRGB, shape (3, H, W), clamped to [0, 1]."""
    y = (lab[0] + 16) / 116
    root = torch.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    ratio = torch.where(root > 6 / 29, root**3, (root - 4 / 29) / _SLOPE)
    xyz = ratio * lab.new_tensor(_WHITE)[:, None, None]
    to_rgb = torch.linalg.inv(lab.new_tensor(_RGB_TO_XYZ).double()).to(lab.dtype)
    linear = torch.einsum("ij,jhw->ihw", to_rgb, xyz).clamp(0, 1)
    return torch.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055
    ).clamp(0, 1)


def restore_chroma(rgb: Tensor, photo: Tensor, amount: Tensor) -> Tensor:
    """Give a picture the photo's chroma and keep its own lightness.

    Args:
        rgb, photo: pictures of shape (3, H, W) in [0, 1].
        amount: how much of the photo's chroma at each pixel, shape (H, W) in [0, 1].
    """
    if not bool((amount > 0).any()):
        return rgb
    lab, wanted = rgb_to_lab(rgb), rgb_to_lab(photo)
    recolored = torch.cat([lab[:1], lab[1:].lerp(wanted[1:], amount)])
    return torch.where(amount > 0, lab_to_rgb(recolored), rgb)
