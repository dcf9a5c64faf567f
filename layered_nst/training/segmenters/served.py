"""Drawn scenes whose subject is known to the pixel: things on grounds, dishes on tables.

Photos with masks by hand show persons, animals and cars; of things that stand on something, throw
a shadow on it and have others beside them there are few. So cut-outs are laid over grounds, with
shadows that are not the subject, and on plates that are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

Plane = NDArray[np.float32]

WHITE = 0.94
"""Ground of photos on white, of 1; what is darker is the thing."""
LEAST, MOST = 0.03, 0.8
"""Shares of a photo on white between which its thing is cut out."""
SIDE = 400
"""Longer side of a drawn scene, px."""


@dataclass(frozen=True)
class Cutout:
    """A thing without its surroundings.

    Attributes:
        rgb: shape (h, w, 3) in [0, 1].
        alpha: shape (h, w) in [0, 1].
    """

    rgb: Plane
    alpha: Plane


def on_white(path: Path) -> Cutout | None:
    """What a photo shows before white; None where its ground is something else."""
    rgb: Plane = np.asarray(Image.open(path).convert("RGB"), np.float32) / np.float32(255)
    frame = np.concatenate([rgb[0], rgb[:, 0], rgb[:, -1]])
    if float((frame.min(1) > WHITE).mean()) < 0.9:
        return None
    ground, _ = ndimage.label(rgb.min(2) > WHITE)
    at_frame = np.unique(np.concatenate([ground[0], ground[-1], ground[:, 0], ground[:, -1]]))
    alpha = ~np.isin(ground, at_frame[at_frame > 0])
    alpha = ndimage.binary_erosion(ndimage.binary_opening(alpha))
    if not LEAST < alpha.mean() < MOST:
        return None
    soft: Plane = ndimage.gaussian_filter(alpha.astype(np.float32), 0.6)
    return cut_out(rgb, soft)


def cut_out(rgb: Plane, alpha: Plane) -> Cutout:
    """A thing, with nothing around it that is not its own."""
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Cutout(rgb[box], alpha[box])


def drawn(
    things: Sequence[Cutout], grounds: Sequence[Plane], draw: random.Random
) -> tuple[Tensor, Tensor]:
    """A scene and its subject: one thing, or a dish.

    Args:
        things: to be shown.
        grounds: photos without a subject, shape (H, W, 3) in [0, 1], parts of which are what
            things stand on.

    Returns:
        The photo, shape (3, H, W) in [0, 1], and the subject, shape (H, W) in [0, 1].
    """
    size = _size(draw)
    scene = _ground(grounds, size, draw)
    if draw.random() < 0.35:  # something else that is not meant, at the frame
        scene, _ = _laid(scene, draw.choice(things), 0.45, draw, aside=True)
    make = _dish if draw.random() < 0.5 else _alone
    scene, subject = make(scene, things, draw)
    return torch.from_numpy(scene.clip(0, 1)).movedim(-1, 0), torch.from_numpy(subject)


def _size(draw: random.Random) -> tuple[int, int]:
    ratio = draw.choice((1.0, 0.75, 0.67, 0.8))
    size = SIDE, round(SIDE * ratio)
    return size if draw.random() < 0.5 else size[::-1]


def _ground(grounds: Sequence[Plane], size: tuple[int, int], draw: random.Random) -> Plane:
    """Plain and shaded, grained, or a part of a photo, sharp or not; at times with an edge."""
    first = _surface(grounds, size, draw)
    if draw.random() < 0.35:
        edge = round(size[0] * draw.uniform(0.25, 0.6))
        first[:edge] = _surface(grounds, size, draw)[:edge]
        if draw.random() < 0.5:
            first = ndimage.gaussian_filter(first, (2, 0, 0))
    return first


def _surface(grounds: Sequence[Plane], size: tuple[int, int], draw: random.Random) -> Plane:
    noise = np.random.default_rng(draw.getrandbits(32))
    kind = draw.random()
    if kind < 0.4:
        found = _part(draw.choice(grounds), size, draw)
        if draw.random() < 0.6:
            found = ndimage.gaussian_filter(found, (*[draw.uniform(1, 8)] * 2, 0))
        return found
    light = draw.choice((draw.uniform(0.85, 1), draw.uniform(0.1, 0.9)))
    color = np.clip(light + 0.12 * noise.standard_normal(3), 0, 1).astype(np.float32)
    ramp = np.linspace(-1, 1, size[0])[:, None] * draw.uniform(-0.12, 0.12)
    ramp = ramp + np.linspace(-1, 1, size[1])[None] * draw.uniform(-0.12, 0.12)
    found = color + ramp[..., None].astype(np.float32)
    if kind < 0.7:  # wood and cloth: noise drawn out in one direction
        long = draw.uniform(10, 60), draw.uniform(0.5, 2)
        grain = ndimage.gaussian_filter(noise.standard_normal(size), long[:: draw.choice((1, -1))])
        grain *= draw.uniform(0.02, 0.1) / max(float(grain.std()), 1e-6)
        found = found + grain[..., None].astype(np.float32)
    fine = noise.standard_normal((*size, 1)) * draw.uniform(0, 0.02)
    whole: Plane = np.asarray(found + fine, np.float32)
    return whole


def _part(photo: Plane, size: tuple[int, int], draw: random.Random) -> Plane:
    """A part of a photo, enlarged to a size."""
    height, width = photo.shape[:2]
    share = draw.uniform(0.3, 0.9)
    scale = share * min(height / size[0], width / size[1])
    tall, wide = max(2, int(size[0] * scale)), max(2, int(size[1] * scale))
    top, left = draw.randint(0, height - tall), draw.randint(0, width - wide)
    return _resized(photo[top : top + tall, left : left + wide], size)


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    as_bytes = (plane.clip(0, 1) * 255).round().astype(np.uint8)
    shown = Image.fromarray(as_bytes).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(shown, np.float32) / np.float32(255)


def _alone(scene: Plane, things: Sequence[Cutout], draw: random.Random) -> tuple[Plane, Plane]:
    return _laid(scene, draw.choice(things), draw.uniform(0.4, 0.95), draw)


def _laid(
    scene: Plane, thing: Cutout, share: float, draw: random.Random, *, aside: bool = False
) -> tuple[Plane, Plane]:
    """A thing laid over a scene, with its shadow; and where it is, (H, W).

    Args:
        share: of the scene's sides that it has.
        aside: whether the frame is to cut it off.
    """
    size = scene.shape[:2]
    scale = share * min(side / own for side, own in zip(size, thing.alpha.shape, strict=True))
    alpha, rgb = _scaled(thing, scale)
    own = alpha.shape
    if draw.random() < 0.5:
        alpha, rgb = alpha[:, ::-1], rgb[:, ::-1]
    spare = [side - part for side, part in zip(size, own, strict=True)]
    if aside:
        corner = draw.choice((-own[0] // 2, size[0] - own[0] // 2)), draw.randint(0, spare[1])
    else:
        corner = (
            round(spare[0] * min(max(draw.gauss(0.55, 0.2), 0), 1)),
            round(spare[1] * min(max(draw.gauss(0.5, 0.2), 0), 1)),
        )
    where = _placed(alpha, corner, size)
    lit = rgb * draw.uniform(0.85, 1.1)
    return _covered(_shaded(scene, where, draw), lit, where, corner), where


def _scaled(thing: Cutout, scale: float) -> tuple[Plane, Plane]:
    """Alpha and colors of a thing, so many times as large."""
    height, width = (max(4, round(side * scale)) for side in thing.alpha.shape)
    return _resized(thing.alpha, (height, width)), _resized(thing.rgb, (height, width))


def _covered(scene: Plane, rgb: Plane, where: Plane, corner: tuple[int, int]) -> Plane:
    """A scene with colors laid over it from a corner on, as far as ``where`` (H, W) says."""
    over = np.stack([_placed(plane, corner, where.shape) for plane in np.moveaxis(rgb, -1, 0)], -1)
    covered: Plane = scene * (1 - where[..., None]) + over * where[..., None]
    return covered


def _placed(plane: Plane, corner: tuple[int, int], size: tuple[int, ...]) -> Plane:
    """A plane on an empty one of a size, cut off where it goes over its edge."""
    empty = np.zeros(size, np.float32)
    starts = [max(0, c) for c in corner]
    ends = [min(s, c + p) for s, c, p in zip(size, corner, plane.shape, strict=True)]
    if all(start < end for start, end in zip(starts, ends, strict=True)):
        to = tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
        of = tuple(
            slice(start - c, end - c) for start, end, c in zip(starts, ends, corner, strict=True)
        )
        empty[to] = plane[of]
    return empty


def _shaded(scene: Plane, where: Plane, draw: random.Random) -> Plane:
    """A scene with the shadow of what will be laid there: cast aside, below it, or none."""
    kind = draw.random()
    if kind < 0.2:
        return scene
    long = max(scene.shape)
    far = draw.uniform(0.01, 0.12) * long, draw.uniform(-0.15, 0.15) * long
    if kind < 0.55:  # close to it
        far = far[0] / 3, far[1] / 4
    cast = ndimage.shift(where, far, order=1)
    if kind < 0.9:
        cast = ndimage.gaussian_filter(cast, draw.uniform(0.002, 0.03) * long)
    else:  # a mirror image below, as on glass
        rows = np.flatnonzero(where.max(1) > 0.5)
        foot = int(rows[-1]) if len(rows) else 0
        cast = np.zeros_like(where)
        mirrored = where[foot::-1][: len(where) - foot]
        cast[foot : foot + len(mirrored)] = mirrored
        cast = ndimage.gaussian_filter(cast, 1.5)
    dark: Plane = scene * (1 - draw.uniform(0.15, 0.7) * cast[..., None])
    return dark


def _dish(scene: Plane, things: Sequence[Cutout], draw: random.Random) -> tuple[Plane, Plane]:
    """A plate or a bowl with something on it, from above or aslant; the frame may cut it off."""
    size = scene.shape[:2]
    flat = draw.choice((1.0, draw.uniform(0.45, 0.95)))
    radius = draw.uniform(0.28, 0.55) * min(size[0] / flat, size[1])
    y, x = (side * min(max(draw.gauss(0.5, 0.1), 0.2), 0.8) for side in size)
    down, across = np.mgrid[: size[0], : size[1]].astype(np.float32)
    far = np.hypot((down - y) / flat, across - x)
    plate = (radius - far).clip(0, 1).astype(np.float32)
    scene = _shaded(scene, plate, draw)
    light = draw.choice((draw.uniform(0.8, 1), draw.uniform(0.1, 0.7)))
    color = [light + draw.uniform(-0.12, 0.12) for _ in range(3)]
    rim = 1 - 0.12 * np.exp(-np.square((far - 0.72 * radius) / (0.05 * radius)))
    rim = rim + draw.uniform(-0.15, 0.15) * (across - x) / radius
    scene = scene * (1 - plate[..., None]) + (rim[..., None] * color) * plate[..., None]
    scene, subject = scene.astype(np.float32), plate
    for _ in range(draw.randint(1, 4)):
        thing = draw.choice(things)
        wide = draw.uniform(0.5, 1.5) * radius
        scale = wide / max(thing.alpha.shape)
        alpha, rgb = _scaled(thing, scale)
        turned = round(draw.uniform(0, 360))
        rgb = ndimage.rotate(rgb, turned, order=1, mode="nearest")
        alpha = ndimage.rotate(alpha, turned, order=1).clip(0, 1)
        corner = (
            round(y + draw.uniform(-0.35, 0.35) * radius * flat - alpha.shape[0] / 2),
            round(x + draw.uniform(-0.35, 0.35) * radius - alpha.shape[1] / 2),
        )
        where = _placed(alpha, corner, size)
        scene = _shaded(scene, where, draw) if draw.random() < 0.5 else scene
        scene = _covered(scene, rgb, where, corner)
        subject = np.maximum(subject, where)
    return scene.astype(np.float32), subject.astype(np.float32)
