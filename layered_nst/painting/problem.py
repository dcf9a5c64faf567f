"""What is optimized: pictures, regions and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from layered_nst.picture import average, resize, size_of
from layered_nst.styles.style import (
    PictureMoments,
    Style,
    picture_moments,
)

BOLDER = 3.0
"""Power of a strength above 1 in what the style weighs. Losses fall ever slower: twice the weight
alone can hardly be seen, in the gain or by eye."""


@dataclass(frozen=True)
class Earlier:
    """An earlier frame of a clip, moved to where its things are now.

    Attributes:
        picture: as it was painted, shape (3, H, W).
        reliability: how far each pixel holds the new frame, shape (H, W) in [0, 1].
    """

    picture: Tensor
    reliability: Tensor


@dataclass(frozen=True)
class Colors:
    """The colors of a region.

    Attributes:
        mean: shape (3,).
        spread: their covariance, shape (3, 3).
    """

    mean: Tensor
    spread: Tensor


@dataclass(frozen=True)
class PaintedRegion:
    """A region that takes part in the optimization.

    Attributes:
        name: of the recipe; regions of one name report one loss.
        mask: its share of every pixel, shape (H, W) in [0, 1].
        styles: the blend it gets; empty for a region that keeps the photo.
        strength: past 1 it is pulled the harder; below 1 it is painted all the same, and the photo
            shows through what was painted.
        share: factor on its pull, of a part that stands for a region with others.
        scale: of its strokes.
        content, contour: of the recipe.
        losses: how strongly losses of plug-ins pull, as factors; see ``pull_of``.
        anchor: the colors that it had when the clip's shot began; None in a photo.
    """

    name: str
    mask: Tensor
    styles: Sequence[Style] = ()
    strength: float = 1.0
    share: float = 1.0
    scale: float = 1.0
    content: float = 1.0
    contour: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    anchor: Colors | None = None

    def pull_of(self, loss: str) -> float:
        """How strongly a loss of a plug-in pulls here, as a factor: 1 where nothing is said.

        Args:
            loss: its full name, ``plug-in/loss``.
        """
        return self.losses.get(loss, 1.0)

    @property
    def pull(self) -> float:
        """Factor on what pulls it to its style."""
        return self.share * float(max(1.0, self.strength) ** BOLDER)


@dataclass(frozen=True)
class Problem:
    """What to optimize, at the result's size.

    Attributes:
        content: the picture whose content is held, shape (3, H, W).
        photo: the photo whose contours are held, shape (3, H, W).
        start: where the optimization starts, shape (3, H, W).
        regions: the painted regions.
        frozen: how far each pixel keeps ``start``, shape (H, W); 1 never moves.
        moments: gives the moments of each style picture.
        earlier: of a frame of a clip, those that it is held to.
        steadiness: weight of that.
        composed: what is held of a coarser picture that has been painted already, shape
            (3, h, w); None while there is none.
        laid: whether ``start`` is ``content`` with strokes laid on it.
        begun: a picture of the whole that the first level goes on from, in place of ``start``,
            shape (3, h, w).
        sketch: the same at the size at which it is composed, which levels up to that see whatever
            the result's size; None where they see this.
    """

    content: Tensor
    photo: Tensor
    start: Tensor
    regions: Sequence[PaintedRegion]
    frozen: Tensor
    moments: PictureMoments = picture_moments
    earlier: Sequence[Earlier] = ()
    steadiness: float = 0.0
    composed: Tensor | None = None
    laid: bool = False
    begun: Tensor | None = None
    sketch: Problem | None = None

    def at(self, longest: int) -> Problem:
        """What a level of this longest side in px sees."""
        sketch = self.sketch
        if sketch is None or not is_composed(longest, size_of(self.start), size_of(sketch.start)):
            return self
        return sketch


def is_composed(longest: int, size: tuple[int, int], sketch: tuple[int, int]) -> bool:
    """Whether a level of this longest side sees the sketch, by the sizes of the whole and of it."""
    return longest < max(size) and longest <= max(sketch)


def is_painted(region: PaintedRegion) -> bool:
    """Whether a region has a style, and a pixel to be painted in it."""
    return bool(region.styles) and bool(region.mask.amax() > 0)


def laid_out(regions: Sequence[PaintedRegion], values: Sequence[float]) -> Tensor:
    """One value for each region as a map over the picture, shape (H, W)."""
    parts = [region.mask * value for region, value in zip(regions, values, strict=True)]
    return torch.stack(parts).sum(0)


def covered(regions: Sequence[PaintedRegion]) -> Tensor:
    """What regions have together of every pixel, shape (H, W)."""
    return torch.stack([region.mask for region in regions]).sum(0)


def area(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (R, H, W) at another size, by area averaging; themselves if they have it."""
    if size_of(masks) == size:
        return masks
    return average(masks, size)


def at_size(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (3, H, W) in [0, 1] at another size; itself if it has it."""
    return picture if size_of(picture) == size else resize(picture, size)
