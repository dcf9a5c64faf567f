"""Which earlier frames a frame has come of, and which of them is asked first."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from layered_nst.video.earlier import REACHES, Link, Past
from layered_nst.video.flow import CUT, FlowOf, Motion, motion
from layered_nst.video.outdated import painted_of

AGAIN = 0.5
"""A frame begins no shot if so much of it was seen in one of the few before the last, as after a
flash."""
BETTER = 0.05
"""By how much more an older frame has to show of this one to be asked before a nearer one, as what
was before a flash does."""
FLASH = 0.05
"""Change of light, of 1, by which less may have been seen of one frame than of older ones."""
HARDLY_NEW = 0.1
"""Share of a frame that nothing nearer tells of, below which older ones are not asked."""


def links_to(
    number: int, photo: Tensor, pasts: Mapping[int, Past], *, first: int, flow: FlowOf
) -> tuple[list[Link], Motion | None]:
    """The earlier frames that a frame has come of, in the order they are asked; none at a cut.

    Args:
        number: of the frame.
        photo: it, shape (3, H, W) in [0, 1], on the CPU.
        pasts: the frames that were painted, by their numbers.
        first: number of the first frame of the shot, which is asked however long ago it was.

    Returns:
        They, and the motion from the frame painted last, None where that tells nothing.
    """
    links: list[Link] = []
    now = painted_of(photo)
    told = torch.zeros(photo.shape[1:])
    near: Motion | None = None
    flashes = False
    nearest = number - max(pasts, default=number)
    for reach in dict.fromkeys((nearest, *REACHES, number - first)):
        past = pasts.get(number - reach)
        if past is None or (links and not flashes and float((1 - told).mean()) < HARDLY_NEW):
            continue
        flashes |= abs(float((photo - past.photo).mean())) > FLASH
        found = motion(photo, past.photo, flow)
        if reach == nearest and found.seen >= CUT:
            near = found
        if found.seen >= (CUT if reach == 1 or links else AGAIN):
            links.append(Link.of(past, found, now))
            told = torch.maximum(told, links[-1].motion.reliability.cpu())
    best = max(links, key=lambda link: link.motion.seen, default=None)
    if best is not None and best.motion.seen > links[0].motion.seen + BETTER:
        links = [best, *(link for link in links if link is not best)]
    return links, near
