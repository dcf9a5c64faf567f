"""Frames that show nothing, or hardly anything: black and white ones, and the ends of fades."""

from __future__ import annotations

import numpy as np

from layered_nst.picture import Picture

NOTHING, SOMETHING = 4 / 255, 48 / 255
"""How far the lightest of a picture is from black, or its darkest from white: what is nearer than
the one shows nothing, what is as far as the other is a picture."""
EXTREME = 0.01
"""Share of the pixels that may be lighter, or darker, than what counts as the lightest or darkest:
noise, letters."""
LOOKED_AT = 2**16
"""Pixels that are looked at, about."""


def shown(photo: Picture) -> float:
    """How much of a picture there is in a frame: 0 of black or white alone, 1 of any picture.

    A style would make a picture of nothing: a film that fades in would begin with strokes that
    are of nothing in it, and keep them.

    What is clear shows nothing.
    """
    height, width = photo.size
    step = max(1, round((height * width / LOOKED_AT) ** 0.5))
    seen = photo.rgb[:, ::step, ::step]
    if photo.alpha is not None:
        seen = seen[:, photo.alpha[::step, ::step] > 0]
    if not seen.numel():
        return 0.0
    lightest = np.quantile(seen.amax(0).cpu().numpy(), 1 - EXTREME)
    darkest = np.quantile(seen.amin(0).cpu().numpy(), EXTREME)
    return float(np.clip((min(lightest, 1 - darkest) - NOTHING) / (SOMETHING - NOTHING), 0, 1))
