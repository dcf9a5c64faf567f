"""OpenCV, which only clips need."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layered_nst.video.clips import needed


@cache
def cv2() -> Any:
    """The package cv2.

    Raises:
        ClipError: it is not installed.
    """
    return needed("cv2")


def box_mean(planes: Tensor, radius: int) -> Tensor:
    """The mean of planes (C, H, W) on the CPU in the (2 radius + 1)² window around each pixel, cut
    off at the border; fifteen times as fast as torch has it."""
    side = (2 * radius + 1, 2 * radius + 1)

    def total(plane: Any) -> Any:
        return cv2().boxFilter(plane, -1, side, normalize=False, borderType=cv2().BORDER_CONSTANT)

    count = total(np.ones(planes.shape[1:], np.float32))
    return torch.stack([torch.from_numpy(total(plane.numpy()) / count) for plane in planes])
