"""Clips made of bundled photos, a thing that moves over a ground, with exact flows.

What is asked of a flow, of masks and of paintings can be told exactly there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

PHOTOS = Path(__file__).parents[1] / "assets" / "photos"
Plane = NDArray[np.float32]
CLEAR = 0.05
"""Pixels that are in part thing and in part ground have no one flow."""


@dataclass(frozen=True)
class MovingPicture:
    """A clip of a thing over a ground.

    Attributes:
        frames: how many.
        size: height and width, px.
        ground, thing: names of bundled photos; the thing is cut out as an ellipse.
        pan: by how many px the ground moves each frame, across and down.
        step: the same of the thing.
        noise: standard deviation of what is added to each pixel anew, of 1.
        large: longest side of the thing's photo, of the frame's width.
    """

    frames: int
    size: tuple[int, int] = (180, 320)
    ground: str = "temple.jpg"
    thing: str = "cat.jpg"
    pan: tuple[float, float] = (-1.5, -0.2)
    step: tuple[float, float] = (3.0, 0.5)
    noise: float = 0.0
    loop: bool = False
    large: float = 0.5

    @cached_property
    def _ground(self) -> Plane:
        return _photo(self.ground, int(1.6 * self.size[1]))

    @cached_property
    def _thing(self) -> Plane:
        return _photo(self.thing, int(self.large * self.size[1]))

    def _at(self, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where ground and thing are in a frame."""
        height, width = self.size
        far = float(number)
        if self.loop:
            far = 4 * np.sin(2 * np.pi * number / self.frames)
        ground = (self.pan[0] * far - 20, self.pan[1] * far - 20)
        thing = (0.03 * width + self.step[0] * far, 0.35 * height + self.step[1] * far)
        return ground, thing

    def mask(self, number: int) -> Plane:
        """The thing's share of each pixel, shape (H, W)."""
        high, wide = self._thing.shape[:2]
        y, x = np.mgrid[:high, :wide]
        inside = ((x - wide / 2) / (wide / 2.4)) ** 2 + ((y - high / 2) / (high / 2.4)) ** 2 < 1
        soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1)
        return self._placed(soft, self._at(number)[1], cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)

    def frame(self, number: int) -> Plane:
        """A frame, shape (H, W, 3) in [0, 1]."""
        (ground, thing), mask = self._at(number), self.mask(number)[..., None]
        over = self._placed(self._thing, thing, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        under = self._placed(self._ground, ground, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        shown = over * mask + under * (1 - mask)
        if self.noise:
            shown = shown + np.random.default_rng(number).normal(0, self.noise, shown.shape)
        return np.asarray(shown.clip(0, 1), np.float32)

    def _placed(self, picture: Plane, at: tuple[float, float], how: int, border: int) -> Plane:
        height, width = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        return cv2.remap(
            picture, x - np.float32(at[0]), y - np.float32(at[1]), how, borderMode=border
        )

    def flow(self, number: int, earlier: int) -> tuple[Tensor, Tensor]:
        """Where each pixel of a frame was in another: px, shape (2, H, W), and where that was in
        sight, shape (H, W)."""
        height, width = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        now, then, mask = self._at(number), self._at(earlier), self.mask(number)
        back = np.empty((2, height, width), np.float32)
        for axis in (0, 1):
            apart = [then[part][axis] - now[part][axis] for part in (0, 1)]
            back[axis] = np.where(mask > 0.5, apart[1], apart[0])
        there = x + back[0], y + back[1]
        seen = cv2.remap(self.mask(earlier), *there, cv2.INTER_LINEAR)
        same = (np.abs(seen - mask) < CLEAR) & ((mask < CLEAR) | (mask > 1 - CLEAR))
        within = (there[0] >= 0) & (there[0] <= width - 1) & (there[1] >= 0)
        within &= there[1] <= height - 1
        return torch.from_numpy(back), torch.from_numpy(same & within)

    def write(self, folder: Path) -> Path:
        """Write the frames as pictures, and return their folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.frames):
            pixels = (self.frame(number) * 255 + 0.5).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:04d}.png")
        return folder

    def ellipse(self, number: int = 0) -> list[float]:
        """The box of the thing in a frame, in fractions of its sides."""
        rows, columns = np.nonzero(self.mask(number) > 0.5)
        height, width = self.size
        return [
            float(value)
            for value in (
                columns.min() / width,
                rows.min() / height,
                (columns.max() + 1) / width,
                (rows.max() + 1) / height,
            )
        ]


def _photo(name: str, longest: int) -> Plane:
    with Image.open(PHOTOS / name) as photo:
        scale = longest / max(photo.size)
        size = round(photo.width * scale), round(photo.height * scale)
        return (
            np.asarray(photo.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float32)
            / 255
        )


def warping_error(now: Tensor, then: Tensor, back: Tensor, seen: Tensor) -> float:
    """Mean squared difference of two frames (3, H, W) along a flow, where it was in sight.

    Source: Lai et al. 2018 (ECCV), E_warp.
    """
    height, width = back.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack(
        [(2 * (x + back[0]) + 1) / width - 1, (2 * (y + back[1]) + 1) / height - 1], -1
    )
    moved = torch.nn.functional.grid_sample(
        then[None], grid[None], padding_mode="border", align_corners=False
    )[0]
    return float((now - moved).square().mean(0)[seen].mean())
