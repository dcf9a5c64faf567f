"""The best of several motions at each pixel: a flow's own, those found near by, standing still.

A flow is found in squares and smoothed, so the ground around a thing that moves goes along with it.
But near by the flow knows both motions, and the photos tell which makes one frame of the other.

Source: Hosni et al. 2013, Fast Cost-Volume Filtering for Visual Correspondence and Beyond (TPAMI
35(2)); flows as candidates: Lempitsky et al. 2008, FusionFlow (CVPR).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layered_nst.video.opencv import cv2

Plane = NDArray[np.float32]

REACH = (0.03, 0.09)
"""How far off motions are borrowed from, by the longer side."""
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
RADIUS, EPS = 4, 2e-4
"""Of the guided filter by which costs are added up: px, and square of gray, of 1."""
MOST = 24 / 255
"""A pixel that differs by more is no worse: it may be hidden."""
BETTER = 1.2 / 255
"""By how much a borrowed motion has to explain the frame better than the flow's own."""
STILL, AROUND = 0.25, 31
"""Where what has contrast moves by less than so many px, in squares of so many, what stands still
explains the frame as well."""
CONTRAST = 2 / 255
"""Change of gray from px to px that tells of motion."""
GRAY = np.full((1, 3), 1 / 3, np.float32)
"""Makes the mean of three channels."""
LARGEST = 640
"""Longest side in px at which motions are compared."""


def fused(flow: Plane, frame: Plane, earlier: Plane) -> Plane:
    """The motion at each pixel that best makes a frame of an earlier one.

    Args:
        flow: where each pixel of the frame was in the earlier one, px, shape (2, H, W).
        frame, earlier: in the same light, shape (H, W, 3) in [0, 1].

    Returns:
        Shape (2, H, W).
    """
    size = flow.shape[:0:-1]
    scale = min(1.0, LARGEST / max(size))
    small = [scaled(picture, scale) for picture in (frame, earlier)]
    moved = scale * np.stack([scaled(plane, scale) for plane in flow])
    add_up = _guided(small[0].mean(2))
    least = add_up(_cost(moved, *small)) - BETTER
    calm = scaled(_is_calm(flow, frame), scale)
    still = add_up(_cost(np.zeros_like(moved), *small)) - 2 * BETTER * calm
    stands = still < least
    least, off = np.minimum(least, still), np.zeros((2, *least.shape), np.float32)
    for step in _steps(moved.shape[1:]):
        cost = add_up(_cost(_shifted(moved, step), *small))
        better = cost < least
        cv2().copyTo(cost, better.view(np.uint8), least)
        off[0][better], off[1][better], stands[better] = *step, False
    return _borrowed(flow, off, stands)


def _steps(size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """How far down and across motions are borrowed from, px."""
    for share in REACH:
        far = max(1, round(share * max(size)))
        yield from ((far * down, far * across) for down, across in DIRECTIONS)


def _shifted(flow: Plane, step: tuple[int, int]) -> Plane:
    """A flow whose pixels have the motion of those so far down and across, (2, H, W)."""
    rows, columns = (abs(far) for far in step)
    padded = np.pad(flow, ((0, 0), (rows, rows), (columns, columns)), "edge")
    height, width = flow.shape[1:]
    top, left = rows + step[0], columns + step[1]
    return padded[:, top : top + height, left : left + width]


def _borrowed(flow: Plane, off: Plane, stands: NDArray[np.bool_]) -> Plane:
    """A flow with the motions of pixels that are so far ``off``, and none where it ``stands``."""
    height, width = flow.shape[1:]
    scale = height / off.shape[1], width / off.shape[2]
    down, across, none = (
        cv2().resize(plane, (width, height), interpolation=cv2().INTER_NEAREST)
        for plane in (*off, stands.view(np.uint8))
    )
    rows = np.arange(height)[:, None] + np.rint(down * scale[0]).astype(int)
    columns = np.arange(width) + np.rint(across * scale[1]).astype(int)
    chosen = flow[:, rows.clip(0, height - 1), columns.clip(0, width - 1)] * (none == 0)
    return np.stack([cv2().medianBlur(np.ascontiguousarray(plane), 5) for plane in chosen])


def _is_calm(flow: Plane, frame: Plane) -> Plane:
    """1 where nothing around moves that could be seen to, shape (H, W)."""
    gray = frame.mean(2)
    across, down = (
        cv2().Sobel(gray, -1, 1, 0, scale=1 / 8),
        cv2().Sobel(gray, -1, 0, 1, scale=1 / 8),
    )
    tells = (np.hypot(across, down) > CONTRAST).astype(np.float32)
    moves = (np.hypot(*flow) > STILL).astype(np.float32)
    usual = (tells * moves).sum() / max(tells.sum(), 1)
    there, in_all = (cv2().blur(plane, (AROUND, AROUND)) for plane in (tells * moves, tells))
    calm: Plane = (there + 0.05 * usual < 0.05 * (in_all + 0.05)).astype(np.float32)
    return calm


def _cost(back: Plane, frame: Plane, earlier: Plane) -> Plane:
    """How far the earlier frame, moved, is from a frame, shape (H, W)."""
    height, width = frame.shape[:2]
    x = np.arange(width, dtype=np.float32) + back[0]
    y = np.arange(height, dtype=np.float32)[:, None] + back[1]
    there = cv2().remap(earlier, x, y, cv2().INTER_LINEAR, borderMode=cv2().BORDER_REPLICATE)
    apart = cv2().transform(cv2().absdiff(there, frame), GRAY)
    cost: Plane = cv2().min(apart, MOST)
    return cost


def _guided(guide: Plane) -> Any:
    """What adds up costs (H, W) around each pixel, as far as the guide does not change.

    Source: He, Sun, Tang 2013, Guided Image Filtering (TPAMI 35(6)).
    """
    side = (2 * RADIUS + 1, 2 * RADIUS + 1)

    def mean(plane: Plane) -> Plane:
        found: Plane = cv2().blur(plane, side)
        return found

    middle = mean(guide)
    spread = mean(guide * guide) - middle**2 + EPS

    def add_up(cost: Plane) -> Plane:
        usual = mean(cost)
        slope = (mean(guide * cost) - middle * usual) / spread
        offset = usual - slope * middle
        return mean(slope) * guide + mean(offset)

    return add_up


def scaled(picture: Plane, scale: float) -> Plane:
    """A picture (H, W, …) that is so much smaller."""
    if scale == 1:
        return picture
    size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
    return np.asarray(cv2().resize(picture, size, interpolation=cv2().INTER_AREA), np.float32)
