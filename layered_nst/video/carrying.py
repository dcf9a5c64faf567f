"""Regions in time: found now and then, drawn at key frames, and carried by the flow in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from layered_nst.networks.faces import Face
from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import Picture
from layered_nst.recipe import AlphaSelector, FramesSelector, Region
from layered_nst.recipe.selectors import leaves
from layered_nst.regions import RegionMasks, select
from layered_nst.regions.build import coverage
from layered_nst.regions.edges import antialias, is_gradual
from layered_nst.regions.select import uses_rest
from layered_nst.regions.snap import snap
from layered_nst.scene.eyes import Eyes
from layered_nst.scene.resolving import Scenery, is_refined
from layered_nst.video.flow import FlowOf, Motion, averaged, moved
from layered_nst.video.keeping import part_of
from layered_nst.video.keys import Ahead, KeySpan, between, is_drawn, keys_around, led_back
from layered_nst.video.refinding import Thing

WINDOW = 0.1
"""Side of the squares in which the motion inside a region is averaged, by the longer side."""
FEWEST_INSIDE = 20
"""Pixels inside a region that tell how it moves."""
TRUST = 0.4
"""How far what is found anew moves what was carried, where that can be relied on: a pixel changes
sides when it is found there twice."""
MUCH_NEW = 0.1
"""Share of the frame that has come into sight since regions were found, after which they are
found again."""


@dataclass
class Finding:
    """What asks the segmenter and the detector only when regions are found anew.

    For notes about what is not there, what was seen last will do.
    """

    eyes: Eyes
    last: Segmentation | None

    def __call__(self) -> Segmentation:
        """What the segmenter sees, or saw."""
        if self.last is None:
            self.last = self.eyes()
        return self.last

    def faces(self) -> Sequence[Face]:
        """The faces of the frame."""
        return self.eyes.faces()


class RegionsInTime:
    """The masks of a clip's frames, one after the other.

    Args:
        scenery: finds them.
        selected: the regions, with the selectors that they have on this clip.
        every: they are found anew in every so manyth frame.
        strict: a region that is empty in the first frame is an error.
        ahead: gives frames that are still to come, for regions with key frames.
        flow: the optical flow between those.
    """

    def __init__(
        self,
        scenery: Scenery,
        selected: Sequence[Region],
        *,
        every: int,
        strict: bool = False,
        ahead: Ahead,
        flow: FlowOf,
    ) -> None:
        self.scenery, self.every, self.strict = scenery, every, strict
        self.selected, self.ahead, self.flow = selected, ahead, flow
        self.spans: dict[str, KeySpan] = {}
        self.carried: dict[str, Tensor] = {}
        self.gradual: set[str] = set()
        self.things: dict[str, Thing] = {}
        self.lost: set[str] = set()
        self.age, self.new = 0, 0.0
        self._seen: Segmentation | None = None
        self._begun = False

    def at(
        self,
        number: int,
        photo: Picture,
        picture: Picture,
        eyes: Eyes,
        motion: Motion | None,
    ) -> RegionMasks:
        """The masks of the next frame.

        Args:
            number: of the frame in its clip, by which key frames count.
            photo, picture: of the frame, at its own size and at the result's.
            motion: from the frame before; None where a shot begins.

        Raises:
            RegionError, PictureError: as ``build_masks``.
        """
        finds = self._is_due(motion)
        if finds:
            self._seen, self.age, self.new = None, 0, 0.0
        seen = Finding(eyes, self._seen)
        look = partial(
            select,
            picture=picture,
            segment=seen,
            photo_size=photo.size,
            max_pixels=self.scenery.max_pixels,
            detect=seen.faces,
        )
        self.exact: set[str] = set()
        self.carried = {
            region.name: self._next(region, number, look, picture, motion, finds=finds)
            for region in self.selected
            if _is_carried(region)
        }
        first, self._begun = not self._begun, True
        masks = self.scenery.find(
            self.selected if first else [_calm(region) for region in self.selected],
            photo,
            picture,
            seen,  # type: ignore[arg-type]
            strict=self.strict and first,
            given=self._given() | self._between(number, look),
        )
        self._seen = seen.last
        return masks

    def _given(self) -> dict[str, Tensor]:
        """What is known of the regions: what was carried has sharp edges again."""
        as_is = self.gradual | self.exact
        return {n: soft if n in as_is else settled(soft) for n, soft in self.carried.items()}

    def _between(self, number: int, look: Callable[..., Tensor]) -> dict[str, Tensor]:
        """Regions that lie between what was drawn at one key frame and what is at the next."""
        found = {}
        for region in self.selected:
            keys = keys_around(region, number)
            if keys is None or region.name not in self.carried:
                continue
            span = self.spans.get(region.name)
            if span is None or (span.first, span.last) != keys:
                drawn = partial(self._drawn, _at_key(region, keys[1]), look)
                moves = (lambda mask, _: mask) if region.fixed else carried
                span = led_back(drawn, self.ahead, keys, self.flow, moves)
                self.spans[region.name] = span
            said = span.at(number)
            if said is not None:
                found[region.name] = between(self.carried[region.name], *said)
        return found

    def _drawn(self, region: Region, look: Callable[..., Tensor], picture: Picture) -> Tensor:
        mask = coverage(region, partial(look, picture=picture))
        return snap(mask, picture.rgb) if is_refined(region, self.scenery.recipe) else mask

    def _is_due(self, motion: Motion | None) -> bool:
        self.age += 1
        self.new += 0.0 if motion is None else 1 - motion.seen
        return motion is None or self.age >= self.every or self.new > MUCH_NEW

    def _next(
        self,
        region: Region,
        number: int,
        look: Callable[..., Tensor],
        picture: Picture,
        motion: Motion | None,
        *,
        finds: bool,
    ) -> Tensor:
        """A region's coverage in the next frame, soft where it is in doubt, (H, W) on the CPU."""

        def found() -> Tensor:
            mask = self._drawn(region, look, picture).float().cpu()
            if is_gradual(mask.numpy()):
                self.gradual.add(region.name)
            self.exact.add(region.name)
            self.lost.discard(region.name)
            if is_drawn_once(region) and region.name not in self.gradual:
                self.things[region.name] = Thing.of(picture.rgb, mask)
            return mask

        before = self.carried.get(region.name)
        key = region.select.frames if isinstance(region.select, FramesSelector) else {}
        if before is None or motion is None or number in key:
            region = _at_key(region, number)
            return found()
        if is_held(region):
            return before
        here = carried(before, motion)
        if is_drawn_once(region):
            return self._seen_again(region.name, here, picture)
        if not finds:
            return here
        doubt, there = 1 - motion.reliability.cpu(), found()
        self.exact.discard(region.name)
        return here + (TRUST + (1 - TRUST) * doubt) * (there - here)

    def _seen_again(self, name: str, led: Tensor, picture: Picture) -> Tensor:
        """A drawn region where its thing is: where the flow has led it, or elsewhere; where it was
        last, if the thing is lost."""
        thing = self.things.get(name)
        if thing is None:
            return led
        here, is_there = thing.followed(picture.rgb.cpu(), led)
        if is_there:
            self.things[name] = Thing.of(picture.rgb, here)
            self.lost.discard(name)
        else:
            self.lost.add(name)
        return here

    def state(self) -> dict[str, Tensor]:
        """All that the next frame depends on."""
        counts = torch.tensor([self.age, self.new], dtype=torch.float64)
        masks = {
            f"{'gradient' if name in self.gradual else 'of'}.{name}": mask
            for name, mask in self.carried.items()
        }
        things = {
            f"thing.{part}.{name}": value
            for name, thing in self.things.items()
            for part, value in thing.state().items()
        }
        lost = {f"lost.{name}": torch.zeros(1) for name in self.lost}
        return {"counts": counts, **masks, **things, **lost}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        age, self.new = state["counts"].tolist()
        self.age, self._begun = round(age), True
        self.lost = set(part_of(state, "lost."))
        grays, masks = (part_of(state, f"thing.{part}.") for part in ("gray", "mask"))
        self.things = {name: Thing(grays[name], masks[name]) for name in grays}
        gradual = part_of(state, "gradient.")
        self.carried, self.gradual = part_of(state, "of.") | gradual, set(gradual)


def carried(mask: Tensor, motion: Motion) -> Tensor:
    """A mask where the flow inside of it leads.

    By the flow at its border what comes into sight behind a thing would stick to it; the border of
    a thing moves with the thing.

    Args:
        mask: in the frame before, shape (H, W).
    """
    there = moved(mask[None], motion.back, smooth=True)[0]
    inside = ((there > 0.9) & (motion.reliability > 0.5)).numpy()
    sure = ndimage.binary_erosion(inside, iterations=2).astype(np.float32)
    if sure.sum() < FEWEST_INSIDE:
        return there.clamp(0, 1)
    side = 2 * round(WINDOW * max(mask.shape) / 2) + 1
    back = torch.from_numpy(averaged(motion.back.numpy(), sure, side))
    return moved(mask[None], back, smooth=True)[0].clamp(0, 1)


def settled(soft: Tensor) -> Tensor:
    """A carried coverage with edges as sharp as those of one that was found."""
    return antialias(soft - 0.5).float()


def _is_carried(region: Region) -> bool:
    """Whether the flow tells of a region: not of the rest, nor of what each frame says itself."""
    parts = list(leaves(region.select))
    return not uses_rest(region.select) and not all(isinstance(p, AlphaSelector) for p in parts)


def is_held(region: Region) -> bool:
    """Whether a region is drawn and stays where it is in the picture, whatever moves there."""
    return region.fixed and is_drawn_once(region)


def is_drawn_once(region: Region) -> bool:
    """Whether a region is drawn, so that it is not found again in later frames."""
    return isinstance(region.select, FramesSelector) or is_drawn(region.select)


def _at_key(region: Region, number: int) -> Region:
    """A region by the selector of its last key frame, or of its first one before that."""
    if not isinstance(region.select, FramesSelector):
        return region
    return region.model_copy(update={"select": region.select.at(number)})


def _calm(region: Region) -> Region:
    """A region that may be out of sight: not finding it ends no clip in its middle."""
    return region.model_copy(update={"if_empty": "skip"}) if region.if_empty == "error" else region
