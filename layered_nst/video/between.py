"""What lies between two scenes that go over into one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from layered_nst.scene.scene import Scene
from layered_nst.video.dissolving import Dissolve
from layered_nst.video.earlier import Past
from layered_nst.video.ends import Ends
from layered_nst.video.mixing import Mixing
from layered_nst.video.wipes import Wipe
from layered_nst.video.wiping import Wiping


@dataclass
class Between:
    """What lies between two scenes, once the first frame of the other has been painted.

    Attributes:
        pictures: what is shown of the frames that are mixed of both, one after the other.
        past, scene: that first frame, and the recipe on it.
        kept: how far pixels keep the photo in both scenes, shape (H, W), on the CPU.
    """

    pictures: Iterator[Tensor]
    past: Past
    scene: Scene
    kept: Tensor


def pictures_between(change: Mixing | Wipe, ends: Ends) -> Iterator[Tensor]:
    """What is shown of the frames between two scenes, (3, H, W) each, as ``Dissolve`` and
    ``Wiping`` make them."""
    led = Wiping(change, ends) if isinstance(change, Wipe) else Dissolve(change, ends)
    return led.pictures()
