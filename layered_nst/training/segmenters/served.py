"""Drawn scenes whose subject is known to the pixel: things on grounds, dishes on tables.

Photos with masks by hand show persons, animals and cars; of things that stand on something, throw
a shadow on it and have others beside them there are few. So cut-outs are laid over grounds, with
shadows, mirror images, things behind them, cloths and cutlery that are not the subject, and on
plates and in bowls that are.
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
    kind = draw.random()
    if kind < 0.45:
        scene = _set(scene, things, draw)
        scene, subject = _dish(scene, things, draw)
    else:
        if kind < 0.7:
            scene = _crowded(scene, things, draw)
        elif kind < 0.85:  # something else that is not meant, at the frame
            scene, _ = _laid(scene, draw.choice(things), 0.45, draw, aside=True)
        scene, subject = _alone(scene, things, draw)
    return torch.from_numpy(scene.clip(0, 1)).movedim(-1, 0), torch.from_numpy(subject)


def _crowded(scene: Plane, things: Sequence[Cutout], draw: random.Random) -> Plane:
    """A scene with smaller things behind what will be shown, mostly out of focus."""
    for _ in range(draw.randint(2, 5)):
        scene, _ = _laid(scene, draw.choice(things), draw.uniform(0.2, 0.5), draw)
    blur = draw.choice((0.0, draw.uniform(0.8, 2), draw.uniform(1.5, 6)))
    behind: Plane = ndimage.gaussian_filter(scene, (blur, blur, 0)) * draw.uniform(0.6, 1)
    return behind


def _set(scene: Plane, things: Sequence[Cutout], draw: random.Random) -> Plane:
    """A table laid: at times a cloth, cutlery, another dish that the frame cuts off."""
    if draw.random() < 0.4:
        where = _slab(scene.shape[:2], draw, draw.uniform(0.25, 0.5), draw.uniform(0.5, 1))
        noise = np.random.default_rng(draw.getrandbits(32))
        grain = ndimage.gaussian_filter(noise.standard_normal(where.shape), draw.uniform(0.5, 4))
        grain *= draw.uniform(0.01, 0.06) / max(float(grain.std()), 1e-6)
        light = draw.choice((draw.uniform(0.75, 1), draw.uniform(0.1, 0.8)))
        color = np.array([light + draw.uniform(-0.2, 0.2) for _ in range(3)], np.float32)
        if draw.random() < 0.4:  # checks and stripes
            down, across = np.mgrid[: where.shape[0], : where.shape[1]]
            turned, width = draw.uniform(0, np.pi), draw.uniform(6, 25)
            along = down * np.sin(turned) + across * np.cos(turned)
            grain = grain + draw.uniform(0.05, 0.3) * (np.sin(along / width * np.pi) > 0)
        cloth = (color + grain[..., None]).astype(np.float32)
        scene = _covered(_shaded(scene, where, draw), cloth, where, (0, 0))
    if draw.random() < 0.4:
        scene = _crossed(scene, draw)
    if draw.random() < 0.3:
        at = draw.choice((0.02, 0.98)), draw.uniform(0, 1)
        scene, _ = _dish(scene, things, draw, at=at[:: draw.choice((1, -1))], most=0.35)
    return scene


def _crossed(scene: Plane, draw: random.Random) -> Plane:
    """A scene with one to three pieces of cutlery: bars of metal or wood."""
    turned = draw.uniform(0, np.pi)
    for _ in range(draw.randint(1, 3)):
        where = _slab(scene.shape[:2], draw, 0.02, draw.uniform(0.35, 0.6), turned)
        bright = ndimage.gaussian_filter(where, 2) ** 2 * draw.uniform(0.5, 1)
        tint = np.array(draw.choice(((1, 1, 1), (0.9, 0.6, 0.35))), np.float32)
        bar = (bright[..., None] * tint).astype(np.float32)
        scene = _covered(_shaded(scene, where, draw), bar, where, (0, 0))
        turned += draw.gauss(0, 0.08)
    return scene


def _slab(
    size: tuple[int, ...],
    draw: random.Random,
    wide: float,
    long: float,
    turned: float | None = None,
) -> Plane:
    """A turned rectangle somewhere, sides as shares of the scene's longer side, shape (H, W)."""
    y, x = (side * draw.uniform(0.1, 0.9) for side in size)
    turned = draw.uniform(0, np.pi) if turned is None else turned
    down, across = np.mgrid[: size[0], : size[1]].astype(np.float32)
    along = (down - y) * np.sin(turned) + (across - x) * np.cos(turned)
    aside = (down - y) * np.cos(turned) - (across - x) * np.sin(turned)
    half = [share * max(size) / 2 for share in (long, wide)]
    inside: Plane = np.minimum(half[0] - abs(along), half[1] - abs(aside)).clip(0, 1)
    return inside.astype(np.float32)


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
    below = _mirrored(scene, lit, where, corner, draw) if draw.random() < 0.12 else None
    scene = _shaded(scene, where, draw) if below is None else below
    return _covered(scene, lit, where, corner), where


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
    deep = draw.uniform(0.15, 0.7)
    if kind < 0.75:
        far = draw.uniform(0.01, 0.12) * long, draw.uniform(-0.15, 0.15) * long
        if kind < 0.5:  # close to it
            far = far[0] / 3, far[1] / 4
        cast = ndimage.shift(where, far, order=1)
        cast = ndimage.gaussian_filter(cast, draw.uniform(0.002, 0.03) * long)
    else:  # by the sun or a lamp: its form laid down on the ground, from its foot on, hard
        foot = _foot(where)
        flat, lean = draw.choice((-1, 1)) * draw.uniform(0.15, 0.7), draw.uniform(-1.5, 1.5)
        # At (y, x) is cast what stands at (foot + (y - foot) / flat, x - lean * (y - foot)).
        to = np.array([[1 / flat, 0], [-lean, 1]])
        cast = ndimage.affine_transform(where, to, (foot - foot / flat, lean * foot), order=1)
        cast = ndimage.gaussian_filter(cast, draw.uniform(0.3, 3))
        deep = draw.uniform(0.4, 0.95)
    tint = 1 - deep * np.array([1, 1, draw.uniform(0.8, 1)], np.float32) * cast[..., None]
    dark: Plane = scene * tint
    return dark


def _foot(where: Plane) -> int:
    """The lowest row of what is there."""
    rows = np.flatnonzero(where.max(1) > 0.5)
    return int(rows[-1]) if len(rows) else where.shape[0] - 1


def _mirrored(
    scene: Plane, rgb: Plane, where: Plane, corner: tuple[int, int], draw: random.Random
) -> Plane | None:
    """A scene with a thing's image below it, as on glass or polish; None where it has no room."""
    foot = _foot(where)
    deep = min(where.shape[0] - foot, foot + 1)
    if deep < 12:
        return None
    whole = _covered(np.zeros_like(scene), rgb, where, corner)
    image, there = np.zeros_like(scene), np.zeros_like(where)
    image[foot : foot + deep] = whole[foot::-1][:deep]
    there[foot : foot + deep] = where[foot::-1][:deep]
    blur = draw.uniform(0.3, 3)
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    fades = draw.uniform(0.3, 0.9) * np.linspace(1, draw.uniform(0, 0.7), deep, dtype=np.float32)
    there[foot : foot + deep] *= fades[:, None]
    return _covered(scene, image, ndimage.gaussian_filter(there, blur), (0, 0))


@dataclass(frozen=True)
class _Vessel:
    """A plate or a bowl: its middle, its radius across, how far it is seen from above."""

    y: float
    x: float
    radius: float
    flat: float

    @property
    def box(self) -> tuple[float, float]:
        return self.radius * self.flat, self.radius

    def far(self, size: tuple[int, ...], lower: float = 0) -> Plane:
        """How far each pixel is from its middle, as on the vessel, px."""
        down, across = (np.asarray(at, np.float32) for at in np.ogrid[: size[0], : size[1]])
        found: Plane = np.hypot((down - self.y - lower) / self.flat, across - self.x)
        return found


def _dish(
    scene: Plane,
    things: Sequence[Cutout],
    draw: random.Random,
    *,
    at: Sequence[float] | None = None,
    most: float = 0.55,
) -> tuple[Plane, Plane]:
    """A plate or a bowl with something on it, from above or aslant; the frame may cut it off.

    Args:
        at: its middle, down and across, as shares of the scene.
        most: largest radius, as a share of the scene's shorter side.
    """
    size = scene.shape[:2]
    flat = draw.choice((1.0, draw.uniform(0.35, 0.95)))
    radius = draw.uniform(0.5 * most, most) * min(size[0] / flat, size[1])
    if at is None:
        at = [min(max(draw.gauss(0.5, 0.1), 0.2), 0.8) for _ in size]
    vessel = _Vessel(size[0] * at[0], size[1] * at[1], radius, flat)
    plate = (radius - vessel.far(size)).clip(0, 1).astype(np.float32)
    wall = _wall(vessel, size, draw)
    there = np.maximum(plate, wall)
    scene = _empty(_shaded(scene, there, draw), vessel, plate, there, draw)
    # What is in a bowl does not hang over its side.
    down = np.arange(size[0])[:, None]
    free = np.where(down > vessel.y, plate, 1) if wall.any() else np.ones_like(plate)
    return _filled(scene, vessel, there, free.astype(np.float32), things, draw)


def _wall(vessel: _Vessel, size: tuple[int, ...], draw: random.Random) -> Plane:
    """Where the side of a bowl or a cup is seen, shape (H, W); nowhere for a plate."""
    wall = np.zeros(size, np.float32)
    flat, radius = vessel.flat, vessel.radius
    if flat < 0.9 and draw.random() < 0.6:
        tall, foot = draw.uniform(0.3, 1.2) * radius * np.sqrt(1 - flat**2), draw.uniform(0.4, 0.95)
        round_by = draw.uniform(1, 2.5)
        for part in np.linspace(0, 1, 40):
            side = radius * (1 - (1 - foot) * part**round_by)
            wall = np.maximum(wall, (side - vessel.far(size, part * tall)).clip(0, 1))
    return wall.astype(np.float32)


def _empty(scene: Plane, vessel: _Vessel, plate: Plane, there: Plane, draw: random.Random) -> Plane:
    """A scene with an empty vessel, whose inside is ``plate``."""
    light = draw.choice((draw.uniform(0.8, 1), draw.uniform(0.1, 0.7)))
    color = np.array([light + draw.uniform(-0.12, 0.12) for _ in range(3)], np.float32)
    across = np.arange(plate.shape[1])[None]
    leans = draw.uniform(-0.2, 0.2) * (across - vessel.x) / vessel.radius
    outside = draw.uniform(0.6, 0.95) * (1 + 2 * leans) * np.ones_like(plate)
    scene = _covered(scene, outside[..., None] * color, there, (0, 0))
    from_rim = (vessel.far(plate.shape) - 0.72 * vessel.radius) / (0.05 * vessel.radius)
    inside = 1 - 0.12 * np.exp(-np.square(from_rim)) + leans
    return _covered(scene, inside[..., None] * color, plate, (0, 0)).astype(np.float32)


def _filled(
    scene: Plane,
    vessel: _Vessel,
    there: Plane,
    free: Plane,
    things: Sequence[Cutout],
    draw: random.Random,
) -> tuple[Plane, Plane]:
    """A scene with things in a vessel, as far as ``free`` says; and all of it, (H, W)."""
    subject = there
    for _ in range(draw.randint(1, 4)):
        thing = draw.choice(things)
        wide = draw.uniform(0.5, 1.5) * vessel.radius
        alpha, rgb = _scaled(thing, wide / max(thing.alpha.shape))
        turned = round(draw.uniform(0, 360))
        rgb = ndimage.rotate(rgb, turned, order=1, mode="nearest")
        alpha = ndimage.rotate(alpha, turned, order=1).clip(0, 1)
        corner = (
            round(vessel.y + draw.uniform(-0.35, 0.35) * vessel.box[0] - alpha.shape[0] / 2),
            round(vessel.x + draw.uniform(-0.35, 0.35) * vessel.box[1] - alpha.shape[1] / 2),
        )
        where = _placed(alpha, corner, there.shape) * free
        scene = _shaded(scene, where, draw) if draw.random() < 0.5 else scene
        scene = _covered(scene, rgb, where, corner)
        subject = np.maximum(subject, where)
    return scene.astype(np.float32), subject.astype(np.float32)
