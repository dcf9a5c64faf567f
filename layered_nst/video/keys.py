"""A region drawn at key frames: between two of them its border goes from the one to the other.

The flow carries what was drawn at the last key frame forwards, and what is drawn at the next one
backwards; the nearer of both counts the more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layered_nst.picture import Picture, fit_within, resize
from layered_nst.picture.guided import enlarge
from layered_nst.recipe import FramesSelector, Region
from layered_nst.recipe.photos import DRAWN
from layered_nst.recipe.selectors import Selector, kind_of, leaves
from layered_nst.regions.edges import is_gradual, signed_distance
from layered_nst.video.flow import CUT, FlowOf, Motion, motion
from layered_nst.video.stored import as_bytes, as_floats

ALIKE = 0.3
"""Masks that share less of what either has are not of one thing."""
SEEN_AT = 480
"""Longest side in px of the photos that lie ahead: a mask's border is soft by as much anyway."""

Ahead = Callable[[int, int], Iterator[Picture]]
"""The frames from one number to another, both included, at the result's size."""


@dataclass(frozen=True)
class KeySpan:
    """The frames between two key frames of a region, and what the later one says of each.

    Attributes:
        first, last: numbers of the key frames.
        masks: of the frames behind ``first``, as bytes; None before a cut.
    """

    first: int
    last: int
    masks: Sequence[Tensor | None]

    def at(self, number: int) -> tuple[Tensor, float] | None:
        """What the later key frame says of a frame, (H, W), and how much that counts; None where
        it says nothing."""
        mask = self.masks[number - self.first - 1]
        if mask is None:
            return None
        share = (number - self.first) / (self.last - self.first)
        return as_floats(mask), share


def keys_around(region: Region, number: int) -> tuple[int, int] | None:
    """The key frames between which a frame lies, where the later one is drawn; None of a frame
    that lies between none."""
    if not isinstance(region.select, FramesSelector) or number in region.select.frames:
        return None
    before = max((key for key in region.select.frames if key < number), default=None)
    after = min((key for key in region.select.frames if key > number), default=None)
    if before is None or after is None:
        return None
    return (before, after) if is_drawn(region.select.frames[after]) else None


def is_drawn(selector: Selector) -> bool:
    """Whether all of a selector is drawn, so that nothing of it is found."""
    return all(kind_of(part) in DRAWN for part in leaves(selector))


def led_back(
    drawn: Callable[[Picture], Tensor],
    ahead: Ahead,
    keys: tuple[int, int],
    flow: FlowOf,
    carry: Callable[[Tensor, Motion], Tensor],
) -> KeySpan:
    """Carry what is drawn at a key frame back to the one before it.

    Args:
        drawn: gives the mask (H, W) of the later key frame.
        ahead: gives the frames of the clip.
        keys: numbers of both.
        flow: the optical flow.
        carry: a mask to where the flow inside of it leads.
    """
    small, last = [], None
    for last in ahead(keys[0] + 1, keys[1]):
        seen = resize(last.rgb, fit_within(last.size, min(SEEN_AT, max(last.size))))
        small.append(as_bytes(seen))
    if last is None or len(small) < keys[1] - keys[0]:  # the clip ends before
        return KeySpan(*keys, [None] * (keys[1] - keys[0] - 1))
    mask = drawn(last).float().cpu()
    found: list[Tensor | None] = []
    for now, then in zip(reversed(small[:-1]), reversed(small[1:]), strict=True):
        way = motion(as_floats(now), as_floats(then), flow)
        if way.seen < CUT or (found and found[-1] is None):
            found.append(None)
            continue
        mask = carry(mask, _enlarged(way, (mask.shape[0], mask.shape[1])))
        found.append(as_bytes(mask))
    return KeySpan(*keys, found[::-1])


def _enlarged(way: Motion, size: tuple[int, int]) -> Motion:
    """A motion of smaller photos at another height and width."""
    seen = way.back.shape[1:]
    if tuple(seen) == size:
        return way
    planes = enlarge(torch.cat([way.back, way.reliability[None]]), size)
    scale = planes.new_tensor([size[1] / seen[1], size[0] / seen[0]])
    return Motion(planes[:2] * scale[:, None, None], planes[2])


def between(one: Tensor, other: Tensor, share: float) -> Tensor:
    """A mask (H, W) whose border lies between those of two, so far from the one to the other; the
    one where they have little in common, as between them there is nothing then."""
    values = one.numpy(), other.numpy()
    if float(torch.minimum(one, other).sum()) < ALIKE * float(torch.maximum(one, other).sum()):
        return one
    if any(map(is_gradual, values)):
        return one.lerp(other, share)
    fields = [torch.from_numpy(signed_distance(mask > 0.5, mask)) for mask in values]
    if not all(bool(field.isfinite().all()) for field in fields):
        return one  # both are full
    return (fields[0].lerp(fields[1], share) + 0.5).clamp(0, 1)
