"""The CIE Lab space and linear light, on tensors.

Sources: CIE 15 and IEC 61966-2-1 for Lab (D65) and sRGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
# In float64 and on the CPU, whatever a picture is in.
_TO_XYZ = torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)
_XYZ_TO_RGB = torch.linalg.inv(_TO_XYZ)
_WHITE = torch.tensor((0.95047, 1.0, 1.08883), dtype=torch.float64)
# Of linear light: colors of sRGB itself come back so far out of range.
ROUNDING, HALVINGS = 1e-4, 12
_CUT, _SLOPE = (6 / 29) ** 3, (29 / 6) ** 2 / 3


def linear_light(rgb: Tensor) -> Tensor:
    """sRGB to the light that it stands for, of any shape; [0, 1] to [0, 1]."""
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to CIE Lab (D65), shape (3, H, W); L in 0 to 100."""
    xyz = torch.einsum("ij,jhw->ihw", _TO_XYZ.to(rgb), linear_light(rgb))
    ratio = xyz / _WHITE.to(rgb)[:, None, None]
    root = torch.where(ratio > _CUT, ratio.clamp(min=_CUT) ** (1 / 3), ratio * _SLOPE + 4 / 29)
    x, y, z = root
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE Lab (D65) to sRGB in [0, 1], shape (3, H, W).

    Colors that sRGB does not have keep their lightness and hue and lose chroma until they fit:
    clipped channel by channel a light yellow came out darker by a tenth.
    """
    linear = _linear(lab)
    outside = ((linear < -ROUNDING) | (linear > 1 + ROUNDING)).any(0)
    if bool(outside.any()):
        linear[:, outside] = _linear(_fitted(lab[:, outside]))
    return _encoded(linear)


def _fitted(lab: Tensor) -> Tensor:
    """Colors (3, N) with as much of their chroma as sRGB has at their lightness."""
    light = lab[:1].clamp(0, 100)
    fits, too_much = torch.zeros_like(light), torch.ones_like(light)
    for _ in range(HALVINGS):
        share = (fits + too_much) / 2
        linear = _linear(torch.cat([light, share * lab[1:]]))
        inside = ((linear >= -ROUNDING) & (linear <= 1 + ROUNDING)).all(0, keepdim=True)
        fits, too_much = torch.where(inside, share, fits), torch.where(inside, too_much, share)
    return torch.cat([light, fits * lab[1:]])


def _linear(lab: Tensor) -> Tensor:
    """CIE Lab to linear RGB, below 0 or above 1 for colors that sRGB does not have."""
    y = (lab[0] + 16) / 116
    root = torch.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    ratio = torch.where(root > 6 / 29, root**3, (root - 4 / 29) / _SLOPE)
    xyz = ratio * _WHITE.to(lab).reshape(3, *[1] * (lab.dim() - 1))
    return torch.einsum("ij,j...->i...", _XYZ_TO_RGB.to(lab), xyz)


def _encoded(linear: Tensor) -> Tensor:
    linear = linear.clamp(0, 1)
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
