"""A recipe resolved on one photo: everything that painting needs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import (
    Picture,
)
from layered_nst.recipe import Recipe, Region
from layered_nst.regions import RegionMasks
from layered_nst.styles.style import (
    PictureMoments,
    Style,
    picture_moments,
)


@dataclass(frozen=True)
class Scene:
    """A recipe on a photo.

    Attributes:
        recipe: fully resolved.
        photo: the photo at its own size.
        picture: the photo at the result's size, visible colors under its alpha.
        masks: the regions at the result's size.
        styles: the blend of each region of the recipe, as the encoder will see it.
        notes: sentences for the user.
        segmentation: what the segmenter saw, if a selector asked, 768 px long at most.
        flows: for each region whose styles flow into one another, the share of each style at
            every pixel, shape (S, H, W), sum 1.
        moments: gives the moments of each style picture.
        approved: the picture that is to be finished, shape (3, h, w) at its own size.
        sketch: the same as small as it is composed, whatever the result's size; None where it is
            composed from this.
    """

    recipe: Recipe
    photo: Picture
    picture: Picture
    masks: RegionMasks
    styles: dict[str, list[Style]]
    notes: tuple[str, ...]
    segmentation: Segmentation | None = None
    flows: dict[str, Tensor] = field(default_factory=dict)
    moments: PictureMoments = picture_moments
    approved: Tensor | None = None
    sketch: Scene | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result in px."""
        return self.picture.size

    def mask(self, name: str) -> Tensor:
        """A region's share of every pixel, shape (H, W)."""
        return self.masks.masks[self.masks.names.index(name)]

    @property
    def painted(self) -> tuple[Region, ...]:
        """The regions that have a style and are not left as they are, bottom to top."""
        regions = self.recipe.regions
        return tuple(r for r in regions if self.styles.get(r.name) and r.strength > 0)

    def _plain(self, value: float) -> Tensor:
        """One value everywhere, shape (H, W), to be read alone: of a print, such planes would take
        a tenth of a gigabyte."""
        return self.picture.rgb.new_full((1, 1), value).expand(self.size)

    @cached_property
    def visible(self) -> Tensor:
        """Alpha of the photo at the result's size, ones where it has none, shape (H, W)."""
        alpha = self.picture.alpha
        return self._plain(1.0) if alpha is None else alpha

    @cached_property
    def kept(self) -> Tensor:
        """How far each pixel keeps the photo: protected, at strength 0, or in no region, shape
        (H, W)."""
        painted = {region.name for region in self.painted}
        names = [name for name in self.masks.names if name not in painted]
        return sum((self.mask(n) for n in names), self._plain(0.0))

    @cached_property
    def kept_chroma(self) -> Tensor:
        """How far each pixel keeps the photo's chroma, shape (H, W)."""
        names = [r.name for r in self.recipe.regions if r.style and r.color != "style"]
        return sum((self.mask(n) for n in names), self._plain(0.0))
