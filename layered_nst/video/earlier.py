"""What frames that were painted say of the one to be painted now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import avg_pool2d as pool

from layered_nst.scene.scene import Scene
from layered_nst.video.flow import Motion, moved, repainted
from layered_nst.video.opencv import box_mean
from layered_nst.video.outdated import comes_in, drawn_along, led_on, outdated, painted_of

REACHES = (1, 2, 4)
"""How many frames before each frame those lie that it is held to, where those nearer tell
nothing."""
WAY, HARDLY = 7, 0.3
"""What moves by less than so many px, in the mean of so many px around, stands still."""
SPOT = 0.01
"""Share of the frame that a spot has at most, within what stands still."""
SHADE = 1.0 / 255
BLOCK = 8
"""Squares of so many px that differ by less than this show the same: less is noise."""


@dataclass(frozen=True)
class Past:
    """A frame that has been painted.

    Attributes:
        number: of the frame.
        photo: as it was, at the result's size, shape (3, H, W).
        canvas: as it was painted, shape (3, H, W), on the CPU.
        ripe: how far the painting of each pixel is to be held, shape (H, W) in [0, 1].
        whose: number of the region that has most of each pixel, shape (H, W).
        of: what each pixel was painted of, shape (3, H, W), by ``painted_of``.
        drawn: how far it was drawn in over the picture's edge since, shape (2, H, W), by
            ``drawn_along``.
    """

    number: int
    photo: Tensor
    canvas: Tensor
    ripe: Tensor
    whose: Tensor
    of: Tensor
    drawn: Tensor

    @classmethod
    def first(cls, number: int, scene: Scene, canvas: Tensor) -> Past:
        """The first frame of a shot: all of its canvas (3, H, W) is to be held."""
        photo, ripe = scene.picture.rgb.cpu(), torch.ones(scene.size)
        whose, of, drawn = whose_pixels(scene), painted_of(photo), _undrawn(scene.size)
        return cls(number, photo, canvas.cpu(), ripe, whose, of, drawn)

    @classmethod
    def untold(cls, number: int, scene: Scene, canvas: Tensor) -> Past:
        """A frame that tells nothing of those behind it, whatever its canvas (3, H, W) shows."""
        photo, none = scene.picture.rgb.cpu(), torch.zeros(scene.size)
        return cls(
            number, photo, canvas, none, none.byte(), painted_of(photo), _undrawn(scene.size)
        )

    @classmethod
    def restored(cls, number: int, state: Mapping[str, Tensor]) -> Past:
        """A frame by its state, in which there may be more."""
        return cls(number, **{name: state[name] for name in cls._planes()})

    def state(self) -> dict[str, Tensor]:
        """All of it but its number, by name."""
        return {name: getattr(self, name) for name in self._planes()}

    @classmethod
    def _planes(cls) -> list[str]:
        return [part.name for part in fields(cls) if part.name != "number"]


def _undrawn(size: tuple[int, int]) -> Tensor:
    """That nothing of a frame was drawn along."""
    return torch.zeros(2, *size, dtype=torch.float16)


@dataclass(frozen=True)
class Link:
    """An earlier frame, and how this one has come of it.

    Attributes:
        past: the earlier frame.
        motion: from then to now, relied on nowhere but where the same is seen.
        other: where it was painted of something else than is seen now, shape (H, W), bool.
        drawn: ``drawn_along`` of its painting where it is now, shape (2, H, W).
    """

    past: Past
    motion: Motion
    other: Tensor
    drawn: Tensor

    @classmethod
    def of(cls, past: Past, motion: Motion, now: Tensor) -> Link:
        """How a frame has come of an earlier one: what was painted of something else and what has
        come in over the edge does not count as seen.

        Args:
            motion: from then to now.
            now: what is seen, shape (3, H, W), by ``painted_of``.
        """
        other = outdated(motion, now, past.of, past.ripe)
        drawn = drawn_along(motion, past.drawn)
        known = ~other & ~comes_in(drawn).any(0)
        sure = replace(motion, reliability=motion.reliability * known.to(motion.reliability))
        return cls(past, sure, other, drawn)


@dataclass(frozen=True)
class Told:
    """What an earlier frame says of this one, on the CPU.

    Attributes:
        picture: it, where its things are now, shape (3, H, W).
        share: how far its pixels are those of this frame, shape (H, W); those of all frames
            together are at most 1.
        ripe: how far their painting is to be held, shape (H, W).
    """

    picture: Tensor
    share: Tensor
    ripe: Tensor


def told_of(links: Sequence[Link], scene: Scene, still: Tensor) -> list[Told]:
    """What earlier frames say, each where none nearer says anything.

    Source: Ruder et al. 2016, equation 8.

    Args:
        still: where nothing has changed since the nearest: that says all there, without moving.
    """
    known = torch.zeros(scene.size)
    found: list[Told] = []
    for link in links:
        past, unchanged = link.past, still if not found else torch.zeros_like(still)
        sure = torch.where(unchanged, 1.0, link.motion.reliability.cpu())
        share = (sure - known).clamp(min=0)
        known = known + share
        picture = repainted(past.canvas, link.motion.back)
        ripe = moved(past.ripe[None], link.motion.back, smooth=True)[0].clamp(0, 1)
        found.append(
            Told(
                torch.where(unchanged, past.canvas, picture),
                share,
                torch.where(unchanged, past.ripe, ripe),
            )
        )
    return found


def now_painted_of(links: Sequence[Link], photo: Tensor, still: Tensor) -> Tensor:
    """What a frame is painted of, shape (3, H, W): by the nearest of those before it that tells."""
    now = found = painted_of(photo)
    for link in links[::-1]:
        share = (link.motion.reliability.cpu() > 0.5).float()
        found = torch.where(share > 0, led_on(link.past.of, link.motion, now, share), found)
    return torch.where(still, links[0].past.of, found)


def whose_pixels(scene: Scene) -> Tensor:
    """The number of the region that has most of each pixel, shape (H, W), on the CPU."""
    most, *others = scene.masks.masks.cpu()
    whose = torch.zeros(scene.size, dtype=torch.uint8)
    for number, mask in enumerate(others, 1):  # ten times as fast as argmax over so few
        whose[mask > most] = number
        most = torch.maximum(most, mask)
    return whose


def unmoved(photo: Tensor, whose: Tensor, link: Link) -> Tensor:
    """Where a frame shows what an earlier one did, in the same place, shape (H, W).

    A clear sky shows the same too while the camera turns; what is painted on it is to turn along.
    """
    gap = pool((photo - link.past.photo)[None], BLOCK, ceil_mode=True)[0]
    other = (gap.abs().amax(0) >= SHADE).float()
    near = torch.nn.functional.max_pool2d(other[None, None], 3, 1, 1)
    size = photo.shape[1:]
    changed = torch.nn.functional.interpolate(near, scale_factor=BLOCK)[0, 0, : size[0], : size[1]]
    way = box_mean(link.motion.back.cpu(), WAY).norm(dim=0)
    same = (changed < 0.5) & (whose == link.past.whose)
    return same & _stands(way < HARDLY, same)


def _stands(slow: Tensor, same: Tensor) -> Tensor:
    """What is slow, and spots within it that show the same: in a clear sky a flow is whatever
    comes, and a few pixels of it that seem to move do not.

    Args:
        slow, same: what hardly moves, and what shows the same, shape (H, W), bool.
    """
    spots, _ = ndimage.label(~slow.numpy(), np.ones((3, 3)))
    areas = np.bincount(spots.ravel())
    areas[np.unique(spots[~same.numpy()])] = spots.size
    small = areas < SPOT * spots.size
    small[0] = True  # is not of any spot: slow
    return torch.from_numpy(small[spots])


def known_share(told: Sequence[Told], size: tuple[int, int]) -> Tensor:
    """How far each pixel is known from earlier frames, shape (H, W)."""
    return sum((one.share for one in told), torch.zeros(size)).clamp(0, 1)
