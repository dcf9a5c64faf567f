"""Frames that show nothing, or hardly anything: black and white ones, and the ends of fades."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from layered_nst.picture import Picture

NOTHING, SOMETHING = 4 / 255, 48 / 255
"""How far the lightest of a picture is from black, or its darkest from white: what is nearer than
the one shows nothing, what is as far as the other is a picture."""
NIGHT, STEADY = 16 / 255, 0.2
"""A night is a picture from here on, if a frame beside it is as dark but for a share."""
AROUND = 48
"""Frames before and behind in which a fade comes to a picture."""
RISES, LEAPS, RESTS = 0.7 / 255, 70 / 255, 2
"""By how much more a frame of a fade shows than the one before, by how much more is a cut, and in
how many frames it may stand still."""
EXTREME = 0.01
"""Share of the pixels that may be lighter, or darker, than what counts as the lightest or darkest:
noise, letters."""
LOOKED_AT = 2**16
"""Pixels that are looked at, about."""


def shown(photo: Picture, most: float = SOMETHING) -> float:
    """How much of a picture there is in a frame: 0 of black or white alone, 1 of any picture.

    A style would make a picture of nothing: a film that fades in would begin with strokes that
    are of nothing in it, and keep them.

    Args:
        photo: the frame.
        most: how far from black, or white, a whole picture is there.
    """
    return float(np.clip((distance(photo) - NOTHING) / (most - NOTHING), 0, 1))


def distance(photo: Picture) -> float:
    """How far the lightest of a picture is from black, or its darkest from white, of 1; what is
    clear shows nothing."""
    height, width = photo.size
    step = max(1, round((height * width / LOOKED_AT) ** 0.5))
    seen = photo.rgb[:, ::step, ::step]
    if photo.alpha is not None:
        seen = seen[:, photo.alpha[::step, ::step] > 0]
    if not seen.numel():
        return 0.0
    lightest = np.quantile(seen.amax(0).cpu().numpy(), 1 - EXTREME)
    darkest = np.quantile(seen.amin(0).cpu().numpy(), EXTREME)
    return float(min(lightest, 1 - darkest))


class Fades:
    """Tells fades from films that are dark all the way: a fade comes to a picture, a night stays.

    Args:
        photos: gives those of the clip, from the first on.
    """

    def __init__(self, photos: Callable[[], Iterator[Picture]]) -> None:
        self.photos = photos
        self.ahead: Iterator[Picture] | None = None
        self.distances: list[float] = []
        self.known: dict[int, float] = {}

    def shown(self, number: int, photo: Picture) -> float:
        """How much of a picture there is in a frame, 0 to 1; others are looked at only where it is
        dark, or light, and not all black or white."""
        if number not in self.known:
            self.known[number] = self._shown(number, photo)
        return self.known[number]

    def _shown(self, number: int, photo: Picture) -> float:
        own = shown(photo)
        if own in (0, 1):
            return own
        self._read_to(number + AROUND)
        here, behind = self.distances[number], self.distances[number : number + AROUND + 1]
        before = self.distances[max(0, number - AROUND) : number + 1][::-1]
        most = max(_comes_to(before), _comes_to(behind))
        if most == here and not any(
            abs(near - here) < STEADY * here for near in (*before[1:2], *behind[1:2])
        ):
            return own
        return shown(photo, min(max(most, NIGHT), SOMETHING))

    def _read_to(self, last: int) -> None:
        self.ahead = self.ahead or self.photos()
        while len(self.distances) <= last and (photo := next(self.ahead, None)) is not None:
            self.distances.append(distance(photo))


def _comes_to(distances: list[float]) -> float:
    """How far from black frames come that show more from one to the next, the first of them
    included."""
    most, rests = distances[0], 0
    for now in distances[1:]:
        if now - most > LEAPS or rests > RESTS:
            break
        rests = 0 if now - most > RISES else rests + 1
        most = max(most, now)
    return most
