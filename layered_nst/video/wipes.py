"""Wipes: frames in which one scene takes the place of another along an edge, or in strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from layered_nst.video.flow import averaged, lands_inside, moved
from layered_nst.video.opencv import box_mean, cv2
from layered_nst.video.window import NOISE, Window, is_flat, is_one_scene, led

REACHES = ((4, 4), (10, 6), (16, 10), (24, 16), (34, 24), (34, 34))
"""How many frames before and behind a change those are looked for that show one scene alone."""
FURTHER = (16, 8, 4)
"""By how many frames further on both sides these are looked for then."""
ALONE, FEWEST = 2, 2
"""How many frames on both sides are to show one scene alone, and how many between them there are at
least."""
NEAR = 2
"""A pixel is told by the square of so many px around it, twice and one across."""
MARGIN, AROUND = 3, 61
"""Px from the edge, of a frame of 128, within which no flow is relied on, and the side of the
square that tells of what is hidden."""
TOO_FEW = 0.003
"""Share of a frame below which nothing is told of it."""
MATTERS, PERHAPS = 0.2, 0.12
"""Of what frames show, the share that is told worse if no pixel goes over, without what is not told
at all: in wipes it is 0.24 and more; where a taxi drives through, 0.07. Where less than the other
share is told worse nothing is looked at further."""
UNTOLD = 0.28
"""Of what a frame shows, the share that the two scenes need not tell: 0.27 in fine strips."""
GROWN = 0.45
"""Share of the frame that comes neither along with the one scene nor with the other: of wipes 0.47
and more, of what walks in and of doors that open 0.3 at most."""
MOST_STEPS, UNEVEN, CUT_SHORT = 3, 0.12, 0.7
"""By how many times what it would be in even steps a wipe may go on from one frame to the next, and
by which share more; one that takes more is a cut."""
SURE, BLOT = 0.1, 5
"""Share of what is shown that a pixel has to matter for its time to count, and px across below
which it is chance."""
TELLING = 15
"""Side in px of the square that tells when a pixel goes over that looks the same in both scenes."""
CHANCE, GOING = 0.05, 0.0015
"""Share of the pixels that may go over by chance, before a wipe begins or once it has ended, and
the least that does in each frame of it."""
FURTHER_OVER = 0.02
"""Share of what matters that has to go over in further frames for these to belong to it."""
SPARE = 12
"""By so manyth of their number more frames count as belonging to it on both sides: a circle and a
corner begin with next to nothing."""
SOFTLY = 0.2
"""A share of a scene below which nothing is seen of it at a soft edge."""
MOST_SOFT = 8
"""Frames before and behind the middle in which a pixel goes over at most."""


@dataclass(frozen=True)
class Wipe:
    """Frames in which each pixel goes over from one scene to another, at a time of its own.

    Attributes:
        first: number of the last frame that shows the one scene alone.
        last: number of the first frame that shows the other scene alone.
        over: number of the first frame that shows the other scene there, small, shape (h, w).
        share: of the other scene in the frames around that, from ``MOST_SOFT`` before it on.
    """

    first: int
    last: int
    over: Tensor
    share: Tensor

    @property
    def softness(self) -> int:
        """In how many frames before and behind a pixel goes over."""
        some = ((self.share > SOFTLY) & (self.share < 1 - SOFTLY)).nonzero().flatten() - MOST_SOFT
        return int(torch.maximum(some.abs(), some.abs() + some.sign()).max()) if len(some) else 0


@dataclass(frozen=True)
class _Told:
    """Frames between two as each pixel of them shows one scene and then, for good, the other.

    Attributes:
        first, last: numbers of the two.
        over: as of ``Wipe``.
        one, other: numbers of the last frame that shows one scene alone, and of the first that
            shows the other.
        matters: how much worse each pixel would be told if it did not go over, shape (h, w).
        share: that of all, of what frames show.
        untold: the most that is told of no frame, as such a share.
        step: the most that goes over from one frame to the next.
    """

    first: int
    last: int
    over: Tensor
    one: int
    other: int
    matters: Tensor
    share: float
    untold: float
    step: float

    @property
    def has_both(self) -> bool:
        """Whether both scenes are seen alone."""
        return self.one - self.first >= ALONE and self.last - self.other >= ALONE

    @property
    def goes_over(self) -> bool:
        """Whether the two scenes tell the frames, and the one takes the other's place little by
        little."""
        length = self.other - self.one
        most = min(MOST_STEPS / length + UNEVEN, CUT_SHORT)
        return length > FEWEST and self.untold < UNTOLD and self.step < most


def wipe_around(window: Window, number: int, since: int) -> Wipe | None:
    """The wipe that a frame lies in, or about.

    A pan brings things into sight as well, and so do a thing that walks in and a door that opens;
    but there what is at the edge moves with it.

    Args:
        window: the frames around it.
        number: of a frame that shows another scene than frames before it did, or a part of it.
        since: number of the first frame that no other change has a part in.
    """
    for before, behind in REACHES:
        found = _within(window, max(since, number - before), number + behind)
        if found is not None:
            found = _widened(window, found, since)
            return _wipe(window, found, since) if found.share - found.untold > MATTERS else None
    return None


def _widened(window: Window, found: _Told, since: int) -> _Told:
    """The same with frames that show less of a scene, as long as there are any."""
    for further in FURTHER:
        wider = _within(window, max(since, found.one - further), found.other + further)
        if wider is not None and _beyond(wider, found) > FURTHER_OVER:
            return _widened(window, wider, since)
    return found


def _beyond(wider: _Told, found: _Told) -> float:
    """Share of what matters that goes over before or behind others."""
    over = wider.over
    outside = (over <= found.one) & (over > wider.one) | (over > found.other) & (
        over <= wider.other
    )
    return float((outside * wider.matters).sum() / wider.matters.sum())


def is_switched(window: Window, first: int, last: int) -> bool:
    """Whether each pixel of the frames between two shows the one or the other: neither scene is
    seen through."""
    numbers = range(first + 1, last)
    before, behind = _gaps(window, numbers, None)
    _, when = _changed(before, behind)
    return bool((_untold(window, numbers, before, behind, when) < UNTOLD).all())


def _within(window: Window, first: int, last: int) -> _Told | None:
    """A wipe between two frames, if there is one."""
    last = min(window.read - 1, last)
    if last - first < 2 * ALONE + FEWEST:
        return None
    if is_flat(window.small[first]) or is_flat(window.small[last]):
        return None
    rough = _told(window, first, last)
    if rough is None or rough.share < PERHAPS or not rough.has_both:
        return None
    found = _told(window, *_beside(rough, first, last), rough.over)
    if found is None or not found.goes_over or _grown(window, found) < GROWN:
        return None
    one, other = window.small[found.first], window.small[found.last]
    return None if is_one_scene(other, one) else found


def _beside(told: _Told, first: int, last: int) -> tuple[int, int]:
    """Frames beside those that go over, between two."""
    return max(first, told.one - ALONE - 1), min(last, told.other + ALONE + 1)


def _wipe(window: Window, told: _Told, since: int) -> Wipe:
    """The same with frames in which little of the other scene shines through a soft edge."""
    found = Wipe(told.one, told.other, _over(told), _soft_share(window, told))
    spare = found.softness + (found.last - found.first) // SPARE
    first, last = max(since, found.first - spare), min(window.read - 1, found.last + spare)
    return replace(found, first=first, last=last)


def _over(told: _Told) -> Tensor:
    """When pixels go over, those that look the same in both scenes along with those around."""
    over = _blotted(told.over - told.first) + told.first
    over = over.clamp(told.one + 1, told.other).float()
    sure = (told.matters > SURE * told.matters.mean()).float().numpy()
    around = torch.from_numpy(averaged(over[None].numpy(), sure, TELLING))[0]
    return torch.where(torch.from_numpy(sure) > 0, over, around)


def _told(window: Window, first: int, last: int, over: Tensor | None = None) -> _Told | None:
    """The frames between two, each pixel at the time told that tells them best.

    Args:
        over: when pixels go over, about; then each scene is led by flows of its own alone.
    """
    numbers = range(first + 1, last)
    before, behind = _gaps(window, numbers, over)
    gaps, when = _changed(before, behind)
    shown = torch.stack([_shown(window.small[number]) for number in numbers])
    matters = torch.minimum(gaps[0], gaps[-1]) - gaps.amin(0)
    sure = matters > SURE * shown.sum()
    if float(sure.float().mean()) < TOO_FEW:
        return None
    begins, ends = _span(_blotted(when)[sure])
    went = torch.bincount(when.flatten(), matters.flatten(), len(numbers) + 1)
    return _Told(
        first,
        last,
        when + first + 1,
        first + begins,
        first + 1 + ends,
        matters,
        float(matters.mean() / shown.sum()),
        float(_untold(window, numbers, before, behind, when).max()),
        float(went.max() / went.sum()),
    )


def _shown(photo: Tensor) -> Tensor:
    """The energy of a photo (3, H, W) around its mean color."""
    return photo.flatten(1).var(1).mean().clamp(min=NOISE**2)


def _changed(before: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
    """How far each pixel is from what it shows if it goes over at a frame, shape (frames + 1, h,
    w), and when that is least."""
    none = torch.zeros(1, *before.shape[1:])
    gaps = torch.cat([none, before.cumsum(0)])
    gaps += torch.cat([behind.flip(0).cumsum(0).flip(0), none])
    return gaps, gaps.argmin(0)


def _untold(
    window: Window, numbers: Sequence[int], before: Tensor, behind: Tensor, when: Tensor
) -> Tensor:
    """The share of what each frame shows that is told of neither scene."""
    over = torch.arange(len(numbers))[:, None, None] >= when
    left = torch.where(over, behind, before).mean((1, 2)) - NOISE**2 / 8
    return left / torch.stack([_shown(window.small[number]) for number in numbers])


def _span(times: Tensor) -> tuple[int, int]:
    """When the first and the last of many pixels go over, of what goes on without a stop: before
    and behind it some do by chance."""
    shares = torch.bincount(times).double() / len(times)
    upto = shares.cumsum(0)
    begins, ends = int((upto < CHANCE).sum()), int((upto < 1 - CHANCE).sum())
    while begins > 0 and shares[begins - 1] > GOING:
        begins -= 1
    while ends + 1 < len(shares) and shares[ends + 1] > GOING:
        ends += 1
    return begins, ends


def _blotted(when: Tensor) -> Tensor:
    median = cv2().medianBlur(when.numpy().astype(np.uint8), BLOT)
    return torch.from_numpy(median).long()


def _gaps(window: Window, numbers: Sequence[int], over: Tensor | None) -> tuple[Tensor, Tensor]:
    """How far frames are from the one scene, and from the other, led there: mean square in the
    square around each pixel, each shape (frames, h, w)."""
    ones, others = _layers(window, numbers, over)
    return _apart(window, numbers, ones), _apart(window, numbers, others)


def _apart(window: Window, numbers: Sequence[int], layer: Mapping[int, Tensor]) -> Tensor:
    gaps = [(layer[n] - window.small[n]).square().mean(0)[None] for n in numbers]
    return torch.stack([box_mean(gap, NEAR)[0] for gap in gaps])


def _layers(
    window: Window, numbers: Sequence[int], over: Tensor | None
) -> tuple[Mapping[int, Tensor], Mapping[int, Tensor]]:
    """The frame before some, and the one behind them, as they are led to each of these."""
    first, last = numbers[0] - 1, numbers[-1] + 1
    forwards = [(n, window.back[n]) for n in numbers]
    backwards = [(n, window.forth[n + 1]) for n in reversed(numbers)]
    if over is not None:
        forwards = [(n, extended(flow, over > n)) for n, flow in forwards]
        backwards = [(n, extended(flow, over <= n)) for n, flow in backwards]
    return led(window.small[first], forwards), led(window.small[last], backwards)


def extended(flow: Tensor, seen: Tensor, *, margin: int = MARGIN, around: int = AROUND) -> Tensor:
    """A flow (2, H, W) that goes on where a scene is hidden, as what is seen around moves.

    Args:
        seen: where the scene is in sight, shape (H, W), bool.
        margin: px from there within which the flow is of both scenes.
        around: side of the square that tells of its middle, px.
    """
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    share = seen.float().numpy()
    sure = cv2().erode(share, square, borderType=cv2().BORDER_REFLECT)
    sure = sure if sure.mean() > TOO_FEW else share
    if sure.mean() < TOO_FEW:
        return torch.zeros_like(flow)
    hidden = torch.from_numpy(averaged(flow.numpy(), sure, around))
    return torch.where(torch.from_numpy(sure) > 0, flow, hidden)


def _grown(window: Window, told: _Told) -> float:
    """Share of the frame, by what matters, in which the other scene was neither hidden by what
    moved away nor came along with what moved in."""
    grown = torch.zeros_like(told.over, dtype=torch.bool)
    for number in range(told.one + 2, told.last):
        now, then = told.over <= number, told.over < number
        new = now.clone()
        for seen in (now & then, ~now & ~then):
            if float(seen.float().mean()) > TOO_FEW:
                flow = extended(window.back[number], seen)
                new &= (moved(then.float()[None], flow, smooth=True)[0] < 0.5) & lands_inside(flow)
        grown |= new
    return float((grown * told.matters).sum() / told.matters.sum())


def _soft_share(window: Window, told: _Told) -> Tensor:
    """As of ``Wipe``."""
    numbers = range(told.first + 1, told.last)
    ones, others = _layers(window, numbers, told.over)
    mixed, whole = torch.zeros(2 * MOST_SOFT + 1), torch.zeros(2 * MOST_SOFT + 1)
    for number in numbers:
        way = others[number] - ones[number]
        done = ((window.small[number] - ones[number]) * way).mean(0)
        after = (number - told.over + MOST_SOFT).flatten()
        near = (after >= 0) & (after <= 2 * MOST_SOFT)
        mixed += torch.bincount(after[near], done.flatten()[near], 2 * MOST_SOFT + 1)
        whole += torch.bincount(after[near], way.square().mean(0).flatten()[near], len(whole))
    beside = (torch.arange(len(whole)) >= MOST_SOFT).float()
    return ((mixed + NOISE**2 * beside) / (whole + NOISE**2)).clamp(0, 1)
