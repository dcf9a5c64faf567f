"""All regions of a recipe on one photo: selected, grown, stacked, feathered, reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst.errors import RegionError
from layered_nst.machine.device import in_float64
from layered_nst.networks.faces import Face
from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import MAX_PIXELS, Picture, read_picture
from layered_nst.picture.masks import why_blank
from layered_nst.recipe import Region
from layered_nst.recipe.selectors import (
    ClassSelector,
    FaceSelector,
    RestSelector,
    SubjectSelector,
)
from layered_nst.regions.edges import grow
from layered_nst.regions.select import masks_of, select, uses_rest
from layered_nst.regions.shapes import Coverage
from layered_nst.regions.snap import snap
from layered_nst.regions.stack import Coat, stack

PHOTO = "(photo)"
"""Name of the implicit region of all pixels that no region takes."""

# Two steps of an 8-bit channel: an alpha of 254 was meant to be opaque.
NOTHING = 2 / 255


@dataclass(frozen=True)
class RegionMasks:
    """Which region has how much of each pixel.

    Attributes:
        names: the regions of the recipe in its order, bottom to top; after them ``(photo)`` if
            the regions leave anything uncovered.
        masks: shape (R, H, W), float32, in [0, 1], sum over R 1 at every pixel; exactly 0 and 1
            away from the borders of regions.
        notes: sentences about empty regions and uncovered pixels.
    """

    names: tuple[str, ...]
    masks: Tensor
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the picture that each region has, in [0, 1]."""
        shares = in_float64(self.masks).mean((1, 2)).tolist()
        return dict(zip(self.names, shares, strict=True))


def build_masks(
    regions: Sequence[Region],
    *,
    picture: Picture,
    segment: Callable[[], Segmentation],
    strict: bool = False,
    photo_size: tuple[int, int] | None = None,
    refined: Collection[str] = (),
    max_pixels: int = MAX_PIXELS,
    detect: Callable[[], Sequence[Face]] | None = None,
    given: Mapping[str, Tensor] = MappingProxyType({}),
) -> RegionMasks:
    """Find the regions of a recipe in a photo.

    Upper regions are cut out of lower ones. A border has the feather of the upper of the two
    regions that meet there. ``rest`` is what remains when all other regions have been grown.

    Args:
        regions: bottom to top, at least one.
        picture: the photo at the result's size; grow and feather are px of it.
        segment: gives the segmentation of ``picture``; called at most once, and only if a
            region asks for a class.
        strict: an empty region is an error instead of a note.
        photo_size: height and width of the photo as it was read, if that differs.
        refined: names of regions whose borders are fitted to the photo's edges nearby.
        max_pixels: largest mask that is read.
        detect: gives the faces of the photo, largest first; called at most once, and only if a
            region asks for faces.
        given: what selectors have found already, by region, each (H, W) in [0, 1]: the regions of
            a clip's frame are carried from the frame before.

    Raises:
        RegionError: no region has a pixel; a class the segmenter doesn't have; a mask of another
            shape than the photo's; an empty region with ``strict``, or that must not be empty.
        PictureError: a mask cannot be read.
    """
    once = cache(segment)
    look = partial(
        select,
        picture=picture,
        segment=once,
        photo_size=photo_size or picture.size,
        max_pixels=max_pixels,
        detect=None if detect is None else cache(detect),
    )
    found = _find(regions, picture, look, refined, given)
    layers = [Coat.of(f.grown, r.feather) for f, r in zip(found, regions, strict=True)]
    shares = stack(layers)
    _give_rest_the_remains(regions, shares)
    empty = {
        r.name: f"region {r.name!r} is empty: {_why_empty(r, found[i], once, max_pixels)}"
        for i, r in enumerate(regions)
        if shares[i].max() < NOTHING
    }
    _refuse_empty(regions, empty, strict)
    names = tuple(region.name for region in regions)
    whole = _notes_of_whole(regions, found, once, picture.size, max_pixels)
    notes = (*whole, *empty.values(), *_uncovered(_visible(shares[-1], picture)))
    if _is_covered(shares[-1]):
        shares = _without_last(shares)
    else:
        names = (*names, PHOTO)
    return RegionMasks(names, torch.from_numpy(shares).to(picture.rgb.device), notes)


@dataclass(frozen=True)
class _Found:
    """What a selector found: whether anything, and its mask once grown.

    ``is_whole``: it found nothing, and takes all of the photo for that.
    """

    anything: bool
    grown: Coverage
    is_whole: bool = False

    @classmethod
    def of(cls, coverage: Coverage, region: Region) -> _Found:
        """Grow what a region's selector found, or give the region the photo if it found nothing."""
        anything = bool(coverage.max() >= NOTHING)
        if anything or region.if_empty != "whole" or isinstance(region.select, RestSelector):
            return cls(anything, grow(coverage, region.grow))
        return cls(anything, np.ones_like(coverage), is_whole=True)


def _notes_of_whole(
    regions: Sequence[Region],
    found: Sequence[_Found],
    segment: Callable[[], Segmentation],
    size: tuple[int, int],
    max_pixels: int,
) -> list[str]:
    """Say which regions take the whole photo for want of what they select."""
    return [
        f"region {r.name!r} takes the whole photo: {_why_nothing(r, segment, size, max_pixels)}"
        for r, f in zip(regions, found, strict=True)
        if f.is_whole
    ]


def _find(
    regions: Sequence[Region],
    picture: Picture,
    look: Callable[..., Tensor],
    refined: Collection[str],
    given: Mapping[str, Tensor],
) -> list[_Found]:
    """Regions that speak of the rest come last, as they must know all others."""
    found: dict[int, _Found] = {}
    free: Coverage = np.ones(picture.size, dtype=np.float32)
    for i in sorted(range(len(regions)), key=lambda i: uses_rest(regions[i].select)):
        region = regions[i]
        rest = torch.from_numpy(free).to(picture.rgb.device)
        mask = given.get(region.name)
        if mask is None:
            mask = coverage(region, look, rest=rest)
            if region.name in refined:
                mask = snap(mask, picture.rgb)
        found[i] = _Found.of(mask.float().cpu().numpy(), region)
        if not uses_rest(region.select):
            free = np.minimum(free, 1 - found[i].grown)
    return [found[i] for i in range(len(regions))]


def coverage(region: Region, look: Callable[..., Tensor], *, rest: Tensor | None = None) -> Tensor:
    """What a region's selector takes, shape (H, W).

    Raises:
        RegionError: it cannot be found; the sentence names the region.
    """
    try:
        return look(region.select, rest=rest)
    except RegionError as error:
        raise RegionError(f"region {region.name!r}: {error}") from error


def _refuse_empty(regions: Sequence[Region], empty: Mapping[str, str], strict: bool) -> None:
    wanted = [r.name for r in regions if strict or r.if_empty == "error"]
    missed = [empty[name] for name in wanted if name in empty]
    if missed or len(empty) == len(regions):
        raise RegionError("; ".join(missed or empty.values()))


def _give_rest_the_remains(regions: Sequence[Region], shares: NDArray[np.float32]) -> None:
    """Give the lowest ``rest`` what painted gradients leave, unless it was meant to shrink."""
    for i, region in enumerate(regions):
        if isinstance(region.select, RestSelector) and region.grow >= 0:
            shares[i] += shares[-1]
            shares[-1] = 0
            return


def _why_empty(
    region: Region, found: _Found, segment: Callable[[], Segmentation], max_pixels: int
) -> str:
    if isinstance(region.select, RestSelector):
        return "the other regions leave nothing of the photo"
    if not found.anything:
        return _why_nothing(region, segment, found.grown.shape, max_pixels)
    if found.grown.max() < NOTHING:
        return f"nothing is left of it after grow: {region.grow:g} px"
    if found.grown.max() < 0.5:
        return "what it selects is thinner than a pixel"
    return "the regions above it cover all of it"


def _odd_masks(region: Region, max_pixels: int) -> tuple[str, ...]:
    """Why masks of its selector take nothing at all, in a sentence each."""
    drawn = (read_picture(path, max_pixels=max_pixels) for path in masks_of(region.select))
    return tuple(filter(None, map(why_blank, drawn)))


def _why_nothing(
    region: Region, segment: Callable[[], Segmentation], size: tuple[int, ...], max_pixels: int
) -> str:
    if isinstance(region.select, SubjectSelector):
        return "nothing in the photo stands out as its subject"
    if isinstance(region.select, FaceSelector):
        owner = "face with hair" if region.select.part == "hair" else "face"
        return f"no {owner} was found in the photo"
    if not isinstance(region.select, ClassSelector):
        nothing = f"its selector takes none of the photo's {size[1]}×{size[0]} px"
        return "; ".join((nothing, *_odd_masks(region, max_pixels)))
    shares = sorted(segment().shares().items(), key=lambda item: -item[1])
    seen = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.005)
    return f"the photo has no {' or '.join(region.select.class_)} (found: {seen})"


def _is_covered(uncovered: Coverage) -> bool:
    return bool(uncovered.max() < NOTHING)


def _visible(share: Coverage, picture: Picture) -> Coverage:
    """What can be seen of it: nothing is said of clear pixels, or of a feather beside them."""
    if picture.alpha is None:
        return share
    seen: Coverage = share * (picture.alpha.cpu().numpy() > 0)
    return seen if seen.max() > 0.5 else np.zeros_like(seen)


def _uncovered(uncovered: Coverage) -> tuple[str, ...]:
    if _is_covered(uncovered):
        return ()
    pixels, share = int((uncovered >= NOTHING).sum()), float(uncovered.mean(dtype=np.float64))
    note = (
        f"{pixels} pixels ({share:.1%} of the picture) are in no region and keep the photo; "
        "a region with select: rest would take them"
    )
    return (note,)


def _without_last(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop a last mask that is next to nothing; the others still sum to 1."""
    kept = shares[:-1]
    return kept if not shares[-1].any() else kept / kept.sum(0)
