"""Frames in which one scene goes over into another: dissolves, fades through a color and wipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from layered_nst.video.flow import lands_inside, moved, unlit
from layered_nst.video.window import (
    NOISE,
    Window,
    along,
    is_flat,
    is_one_scene,
    likeness,
    soft,
)
from layered_nst.video.wipes import Wipe, is_switched, wipe_around

LEFT = 0.25
"""Share of a frame that is left of another, times how like it that is, below which there may be a
wipe."""
EVERY, ORIGINS = 8, 6
"""Each so manyth frame is held against those behind it, and only the last so many of them."""
OTHER = 0.35
"""What is less like it than that, from -1 to 1, is another scene: what moves, comes nearer or grows
dark stays above 0.43, and two scenes are below 0.2."""
FEWEST_SEEN, ALL_BUT = 0.25, 0.99
"""Share of a frame that must be in sight for it to be compared, and share of a pixel."""
SUDDEN = 0.5
"""Where less than so much of a frame is seen in the one before, frames around it may be mixed."""
REACHES = (2, 4, 6, 10, 16, 24, 34)
"""How many frames before and behind a change those are looked for that show one scene alone."""
BOTH_WAYS = sorted((b, a) for i, b in enumerate(REACHES) for a in REACHES[max(0, i - 1) : i + 2])
"""About as many before as behind, few first."""
FURTHER = (0, 4, 8, 16)
"""By how many frames further these are looked for then."""
SPARE = 8
"""By so manyth of their number more frames than were seen to be mixed count as such on both sides:
of many the first and the last ones show hardly anything of the other scene."""
AHEAD = REACHES[-1] + FURTHER[-1]
"""How many frames ahead of the painting frames are looked at."""
HARDLY, WHOLE = 0.06, 0.8
"""A share of a scene below which nothing is seen of it, and how much of a frame's contrast is to be
the scene's or what has moved there."""
ALONE = 2
"""How many frames before and behind are to show one scene alone."""
BACKWARD = 0.12
"""By how much the share of a scene may go the other way from one frame to the next."""
MOST_STEPS = 3
"""By how many times what it would be in even steps it may go on."""
CUT_SHORT = 0.7
"""A share that changes by more is a cut."""
UNTOLD = 0.15
"""Of what a mixed frame shows, the share that the two scenes need not tell."""
ALL = 0.07
"""Shares that lack less of 1 are all that there is: no color is mixed in."""


@dataclass(frozen=True)
class Mix:
    """What a frame is made of.

    Attributes:
        one, other: share of the scene before, and of the scene behind.
        color: what comes to that, shape (3,).
    """

    one: float
    other: float
    color: Tensor

    def of(self, before: Tensor, behind: Tensor) -> Tensor:
        """The same of other pictures of both scenes, each (3, H, W) in [0, 1]."""
        color = self.color.to(before)[:, None, None]
        return (self.one * before + self.other * behind + color).clamp(0, 1)


@dataclass(frozen=True)
class Mixing:
    """Frames in which one scene goes over into another.

    Attributes:
        first: number of the last frame that shows the one scene alone.
        mixes: of the frames behind it; behind these is the first that shows the other alone.
    """

    first: int
    mixes: Sequence[Mix]

    @property
    def last(self) -> int:
        """Number of the first frame that shows the other scene alone."""
        return self.first + len(self.mixes) + 1


class Mixings:
    """Finds the frames of a clip that are mixed of two scenes, before they are painted.

    From one frame to the next a dissolve shows all but the same, so no flow notices it. But what
    was followed for a while comes to where it no longer is. The frames around that are then to be
    explained by two scenes, each led there by the flow; what is not is no dissolve. A wipe shows
    all of what was there before it less and less, until nothing is left to be followed.

    Args:
        photos: of the clip, one after the other, shape (3, H, W) in [0, 1].
    """

    def __init__(self, photos: Iterator[Tensor]) -> None:
        self.window = Window(photos)
        self.told = self.begun = self.calm = 0
        self.was_flat = False
        self.origins: list[_Origin] = []
        self.found: list[Mixing | Wipe] = []

    def at(self, number: int) -> Mixing | Wipe | None:
        """The frames that are mixed, if they begin behind that one. Numbers must not fall."""
        while self.told <= number + AHEAD and self._look():
            pass
        return next((found for found in self.found if found.first == number), None)

    def _look(self) -> bool:
        """Look at the next frame; False where there is none."""
        number = self.told
        if not self.window.reaches(number + AHEAD) and number >= self.window.read:
            return False
        self.window.forget(number - AHEAD - 1)
        before = sum(origin.is_gone for origin in self.origins)
        is_other = self._is_other(number)
        if is_other or sum(origin.is_gone for origin in self.origins) > before:
            self._ask(number, is_other=is_other)
        if (self.told - self.begun) % EVERY == 0:
            self._hold(self.window.small[self.told])
        self.told += 1
        return True

    def _ask(self, number: int, *, is_other: bool) -> None:
        """Ask whether a frame lies in a dissolve or, also where only little is left of what was
        seen, in a wipe."""
        since = self.found[-1].last if self.found else 0
        mixing = mixing_around(self.window, number, since) if is_other else None
        if mixing is not None and mixing.mixes and self._is_switched(mixing, since):
            mixing = None
        found: Mixing | Wipe | None = mixing
        if mixing is None or not mixing.mixes:
            found = wipe_around(self.window, number, since) or mixing
        if found is not None and found.last > found.first + 1:
            self.found.append(found)
        if is_other or found is not None:
            self.told = self.begun = number if found is None else found.last
            self.origins, self.calm = [], number + EVERY if found is None else 0

    def _is_switched(self, mixing: Mixing, since: int) -> bool:
        """Whether what seems to be mixed shows one scene here and the other there, as a fast pan
        does that has left the one behind, and a wipe."""
        first, last = max(since, mixing.first - ALONE), mixing.last + ALONE
        return is_switched(self.window, first, min(self.window.read - 1, last))

    def _hold(self, photo: Tensor) -> None:
        """Hold the frames to come against a frame, if it shows anything."""
        if not is_flat(photo):
            self.origins = [*self.origins, _Origin.of(photo)][-ORIGINS:]

    def _is_other(self, number: int) -> bool:
        """Whether a frame shows another scene than one of those before, or may be mixed."""
        if number == self.begun:
            return False
        back, hidden = self.window.back[number], self.window.hidden[number]
        photo = self.window.small[number]
        now = torch.from_numpy(unlit(photo))
        self.origins = [origin.followed(back, hidden, now) for origin in self.origins]
        if is_flat(photo):
            self.was_flat = True
            return False
        if self.was_flat:  # nothing could be followed through that
            self.was_flat = False
            return True
        if number < self.calm:
            return False
        if float((~hidden).float().mean()) < SUDDEN:
            return True
        return any(origin.is_other for origin in self.origins)


@dataclass(frozen=True)
class _Origin:
    """A frame that those behind it are held against.

    Attributes:
        even: its light and dark, shape (H, W).
        way: where the pixels of the present frame were in it, px, shape (2, H, W).
        seen: how far they were in sight, shape (H, W).
        share: of the frame that is in sight.
        like: how like it the present frame is there, in any light, from -1 to 1.
    """

    even: Tensor
    way: Tensor
    seen: Tensor
    share: float = 1.0
    like: float = 1.0

    @classmethod
    def of(cls, photo: Tensor) -> _Origin:
        even = torch.from_numpy(unlit(photo))
        return cls(even, torch.zeros(2, *even.shape), torch.ones(even.shape))

    def followed(self, back: Tensor, hidden: Tensor, now: Tensor) -> _Origin:
        """The same, seen from the next frame, of which ``now`` is the light and dark."""
        way = along(self.way, back)
        seen = moved(self.seen[None], back, smooth=True)[0] * ~hidden * lands_inside(way)
        there = seen > ALL_BUT
        like = likeness(moved(self.even[None], way, smooth=True)[0][there], now[there])
        return _Origin(self.even, way, seen, float(there.float().mean()), like)

    @property
    def is_other(self) -> bool:
        """Whether the present frame shows another scene, as far as enough is in sight."""
        return self.share >= FEWEST_SEEN and self.like < OTHER

    @property
    def is_gone(self) -> bool:
        """Whether little is left of it, as in a wipe and where the camera turns."""
        return self.share * self.like < LEFT


def mixing_around(window: Window, number: int, since: int) -> Mixing | None:
    """The frames around one that are mixed of the scenes before and behind them; none of them at a
    cut.

    Args:
        window: the frames around it.
        number: of a frame that shows another scene than frames before it did, or a part of it.
        since: number of the first frame that no other change has a part in.

    Returns:
        None where two scenes do not explain the frames between them.
    """
    far = window.small[max(since, number - REACHES[-1])]
    if is_one_scene(window.small[min(window.read - 1, number + REACHES[-1])], far):
        return None
    for before, behind in BOTH_WAYS:
        found = _mixing_within(window, max(since, number - before), number + behind)
        if found is not None:
            return _widened(window, found, since) if found.mixes else found
    return None


def _widened(window: Window, found: Mixing, since: int) -> Mixing:
    """The same with frames that show a little of the other scene."""
    # They look as if they showed nothing of it as long as none is asked that does not.
    for before, behind in sorted(product(FURTHER, FURTHER), key=sum, reverse=True):
        wider = _mixing_within(window, max(since, found.first - before), found.last + behind)
        if wider is not None and wider.first <= found.first and wider.last >= found.last:
            found = wider
            break
    spare = len(found.mixes) // SPARE
    first, last = max(since, found.first - spare), min(window.read - 1, found.last + spare)
    return _of(first, _shares(window, first, last)) or found


def _mixing_within(window: Window, first: int, last: int) -> Mixing | None:
    """The frames between two that are mixed of what these show."""
    last = min(window.read - 1, last)
    if last - first < 2 * ALONE:
        return None
    shares = _shares(window, first, last)
    one = next((n for n in shares if not shares[n].is_of_one), last) - 1
    other = next((n for n in reversed(shares) if not shares[n].is_of_other), first) + 1
    if one - first < ALONE or last - other < ALONE or other <= one:
        return None
    if is_one_scene(window.small[other], window.small[one]):
        return None
    return _of(one, _shares(window, one, other))


def _of(first: int, shares: Mapping[int, _Shares]) -> Mixing | None:
    """The frames behind one that have shares of two scenes, if the one goes over into the other."""
    told = list(shares.values())
    if not _goes_over(told):
        return None
    return Mixing(first, [share.mix for share in told])


@dataclass(frozen=True)
class _Shares:
    """What scenes have in a frame, and how much of it they do not tell, of what it shows."""

    one: float
    other: float
    mix: Mix
    untold: float

    @property
    def is_of_one(self) -> bool:
        """Whether nothing is seen of the other scene, and of the one about all."""
        return self.other < HARDLY and self.one**2 + self.untold > WHOLE

    @property
    def is_of_other(self) -> bool:
        """Whether nothing is seen of the one scene, and of the other about all."""
        return self.one < HARDLY and self.other**2 + self.untold > WHOLE


def _shares(window: Window, first: int, last: int) -> dict[int, _Shares]:
    """What two frames have in those between them."""
    before, behind = window.led_on(first, last), window.led_back(first, last)
    return {
        number: _share(soft(window.small[number]), before[number], behind[number])
        for number in range(first + 1, last)
    }


def _share(now: Tensor, before: Tensor, behind: Tensor) -> _Shares:
    """The shares of two pictures that best make a third, by least squares."""
    planes = [picture.flatten(1) for picture in (now, before, behind)]
    means = [plane.mean(1) for plane in planes]
    flat = torch.stack([(p - m[:, None]).flatten() for p, m in zip(planes, means, strict=True)])
    products = (flat @ flat.T).double() / flat.shape[1]
    both, wanted = products[1:, 1:], products[1:, 0]
    found = torch.linalg.solve(both + 1e-6 * (both.trace() + 1e-9) * torch.eye(2), wanted)
    left = products[0, 0] - 2 * found @ wanted + found @ both @ found
    untold = (left - NOISE**2).clamp(min=0) / products[0, 0].clamp(min=1e-9)
    one, other = found.clamp(0, 1).tolist()
    if 1 - one - other < ALL:
        one, other = one / (one + other), other / (one + other)
    color = means[0] - one * means[1] - other * means[2]
    if 1 - one - other < 1e-6:
        color = torch.zeros_like(color)
    return _Shares(one, other, Mix(one, other, color.float()), float(untold))


def _goes_over(shares: Sequence[_Shares]) -> bool:
    """Whether frames are told by two scenes, of which the one grows less from frame to frame and
    the other more, at no frame by much; at a cut there are none."""
    if not shares:
        return True
    ones, others = [1, *(s.one for s in shares), 0], [0, *(s.other for s in shares), 1]
    most = min(MOST_STEPS / (len(shares) + 1) + BACKWARD, CUT_SHORT)
    less, more = (np.diff(ones), np.diff(others))
    return (
        all(share.untold < UNTOLD for share in shares)
        and bool((less < BACKWARD).all() and (more > -BACKWARD).all())
        and bool((less > -most).all() and (more < most).all())
    )
