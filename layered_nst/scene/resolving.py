"""From a recipe to its scene: read the photo and the styles, find the regions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from layered_nst import regions
from layered_nst.errors import LayeredNstWarning, PictureError, RecipeError, RegionError
from layered_nst.machine.cache import Cache
from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import (
    MAX_PIXELS,
    Picture,
    average,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize_picture,
)
from layered_nst.picture.masks import why_blank
from layered_nst.picture.palette import held_to
from layered_nst.recipe import MaskSelector, Recipe, Region, StyleSource, find_look
from layered_nst.recipe.beside import masks_folder
from layered_nst.recipe.files import absolute, shown
from layered_nst.regions import RegionMasks, build_masks, is_drawn
from layered_nst.scene import flows
from layered_nst.scene.eyes import Eyes, in_small
from layered_nst.scene.scene import Scene
from layered_nst.styles.cached import RememberedMoments
from layered_nst.styles.library import read_style
from layered_nst.styles.reading import read_style_picture
from layered_nst.styles.style import (
    Style,
    StylePicture,
    weighing,
    with_colors,
)
from layered_nst.words import pixels

# A mean over fewer pixels than this says nothing about a region's colors.
FEWEST_PIXELS = 16.0
ALIKE = 0.02
"""Mean difference of masks up to which regions found at another size are the same, if it is not
more than half of what they cover."""


def resolve(
    recipe: Recipe,
    content: Any = None,
    *,
    strict: bool = False,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
    cache: Cache | None = None,
    sketch: int | None = None,
) -> Scene:
    """Read the photo and the styles and find the regions.

    Args:
        recipe: loaded.
        content: whatever ``read_picture`` takes, in place of the recipe's photo.
        strict: an empty region is an error, not a note.
        max_pixels: largest picture that is read.
        cache: where moments of styles and the segmentation are kept for the next time.
        sketch: longest side in px at which it is composed; None if it is to have no sketch.

    Raises:
        RecipeError, PictureError, RegionError, ModelError, LibraryError: whatever is at fault, in
            one sentence.
    """
    photo = _read_content(recipe, content, max_pixels)
    scenery = Scenery(
        recipe, weights_dir=weights_dir, device=device, max_pixels=max_pixels, cache=cache
    )
    selected = recipe.regions_on(_file_of(recipe, content))
    picture, seen = scenery.look(photo)
    masks = scenery.find(selected, photo, picture, seen, strict=strict)
    styles = scenery.styles(picture, masks)
    _refuse_nothing_to_paint(picture, masks, styles)
    scene = scenery.scene(photo, picture, masks, styles, seen)
    notes = (*scene.notes, *_notes_of_masks_beside(recipe, selected))
    scene = replace(scene, notes=notes)
    if sketch is None or scene.approved is not None:
        return scene
    return replace(scene, sketch=scenery.sketch(selected, scene, seen, sketch))


class Scenery:
    """A recipe that becomes a scene on one photo or on several, such as the frames of a clip.

    Styles are read once.

    Args:
        recipe, weights_dir, device, max_pixels, cache: as ``resolve`` takes them.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        weights_dir: Path | None = None,
        device: torch.device | str = "cpu",
        max_pixels: int = MAX_PIXELS,
        cache: Cache | None = None,
    ) -> None:
        self.recipe, self.device, self.max_pixels = recipe, device, max_pixels
        self._weights_dir, self._cache = weights_dir, cache
        self._shelf, self._moments = _Shelf(device, max_pixels), RememberedMoments(cache)

    def look(
        self, photo: Picture, *, size: tuple[int, int] | None = None, remembered: bool = True
    ) -> tuple[Picture, Eyes]:
        """A photo at the result's size, on the device, and what may be found in it.

        Args:
            size: height and width of the result; as the recipe says if not given.
            remembered: whether what is found is kept in the cache for the next time.
        """
        size = size or fit_within(photo.size, self.recipe.size)
        picture = _on_device(resize_picture(photo, size), self.device)
        cache = self._cache if remembered else None
        return picture, Eyes(self.recipe, photo, picture, self._weights_dir, self.device, cache)

    def find(
        self,
        selected: Sequence[Region],
        photo: Picture,
        picture: Picture,
        seen: Eyes,
        *,
        strict: bool = False,
        given: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> RegionMasks:
        """Find the regions; see ``build_masks``."""
        return build_masks(
            selected,
            picture=picture,
            segment=seen,
            strict=strict,
            photo_size=photo.size,
            refined=[region.name for region in selected if is_refined(region, self.recipe)],
            max_pixels=self.max_pixels,
            detect=seen.faces,
            given=given,
        )

    def styles(self, picture: Picture, masks: RegionMasks) -> dict[str, list[Style]]:
        """The styles of each region, in the colors that it asks for."""
        return {r.name: _styles(r, picture, masks, self._shelf) for r in self.recipe.regions}

    def scene(
        self,
        photo: Picture,
        picture: Picture,
        masks: RegionMasks,
        styles: dict[str, list[Style]],
        seen: Eyes | None = None,
    ) -> Scene:
        """The recipe on a photo whose regions and styles are known."""
        recipe = self.recipe
        return Scene(
            recipe=recipe,
            photo=photo,
            picture=picture,
            masks=masks,
            styles=styles,
            notes=masks.notes,
            segmentation=None if seen is None else in_small(seen.segmentation),
            flows=_flows(recipe, picture, masks, photo.size, self.max_pixels),
            moments=self._moments,
            approved=_approved(recipe, photo, self.device, self.max_pixels),
        )

    def sketch(self, selected: Sequence[Region], scene: Scene, seen: Eyes, side: int) -> Scene:
        """A scene at the size at which it is composed, the same for every size of the result.

        Where strokes fall is decided at the coarsest levels, and by next to nothing: photos that
        differed by a rounding, as they do when they come by way of another size, were composed
        alike to 0.7 (correlation of light between 0.5 and 2 % of the width).

        Args:
            selected: regions as they are looked for in this photo.
            scene: at the result's size.
            seen: what was found in it.
            side: the longest in px.
        """
        size = fit_within(scene.photo.size, side)
        picture, _ = self.look(scene.photo, size=size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayeredNstWarning)  # they are told of the result
            try:
                found = self.find(selected, scene.photo, picture, seen.on(picture))
            except RegionError:
                found = None
            masks = _those_of(scene.masks, size, found)
            styles = self.styles(picture, masks)
            return replace(self.scene(scene.photo, picture, masks, styles), notes=())


def _those_of(masks: RegionMasks, size: tuple[int, int], found: RegionMasks | None) -> RegionMasks:
    """The masks that were found at this size, if they show the regions of the result, which are
    those that count."""
    small = average(masks.masks, size)
    if found is not None and found.names == masks.names:
        apart = (found.masks - small).abs().mean((1, 2))
        if bool((apart <= (small.mean((1, 2)) / 2).clamp(max=ALIKE)).all()):
            return found
    return RegionMasks(masks.names, small)


def _on_device(picture: Picture, device: torch.device | str) -> Picture:
    """The picture there, with visible colors under its alpha."""
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(device)
    return replace(
        picture, rgb=rgb, alpha=None if picture.alpha is None else picture.alpha.to(device)
    )


def _refuse_nothing_to_paint(
    picture: Picture, masks: RegionMasks, styles: Mapping[str, Sequence[Style]]
) -> None:
    visible = 1.0 if picture.alpha is None else picture.alpha
    painted = [m for n, m in zip(masks.names, masks.masks, strict=True) if styles.get(n)]
    if not any(bool((mask * visible > 0).any()) for mask in painted):
        raise RegionError("no region with a style covers anything of this photo: nothing to paint")


def is_refined(region: Region, recipe: Recipe) -> bool:
    """Whether a region's border is fitted to the photo's edges."""
    if region.refine is not None:
        return region.refine
    return recipe.is_painted_first(region) and is_drawn(region.select)


def _file_of(recipe: Recipe, content: Any) -> Path | None:
    """The photo's file, None if it comes from none."""
    if content is None:
        return recipe.content
    return absolute(os.fspath(content), Path.cwd()) if isinstance(content, str | Path) else None


def _notes_of_masks_beside(recipe: Recipe, selected: Sequence[Region]) -> list[str]:
    masks = [
        (region.name, region.select.mask)
        for region, stated in zip(selected, recipe.regions, strict=True)
        if isinstance(region.select, MaskSelector) and region.select != stated.select
    ]
    return [
        f"region {name!r} is the mask beside the photo, {shown(mask)}"
        for name, mask in masks
        if recipe.content is not None and mask.parent == masks_folder(recipe.content)
    ]


def _read_content(recipe: Recipe, content: Any, max_pixels: int) -> Picture:
    source = recipe.content if content is None else content
    if source is None:
        raise RecipeError("content: the recipe names no photo; add content: or give `content`")
    return read_picture(source, max_pixels=max_pixels)


def _approved(
    recipe: Recipe, photo: Picture, device: torch.device | str, max_pixels: int
) -> Tensor | None:
    """The picture that a recipe wants to be finished, with visible colors under its alpha."""
    if recipe.approved is None:
        return None
    found = read_picture(recipe.approved, max_pixels=max_pixels)
    wanted = fit_within(photo.size, max(found.size))
    if max(abs(found.size[axis] - wanted[axis]) for axis in (0, 1)) > 2:
        raise PictureError(
            f"{recipe.approved}: {pixels(found.size)} does not have the shape of the photo "
            f"{photo.source}, which would be {pixels(wanted)}"
        )
    return bleed_under_alpha(found.rgb, found.alpha).to(device)


class _Shelf:
    """Reads styles, each only once however many regions name it."""

    def __init__(self, device: torch.device | str, max_pixels: int) -> None:
        self._device, self._max_pixels = device, max_pixels
        self._styles: dict[tuple[str, Path | None], Style] = {}

    def __call__(self, source: StyleSource) -> Style:
        key = (source.library or str(source.image), source.mask)
        if key not in self._styles:
            self._styles[key] = self._read(source)
        return weighing(self._styles[key], source.weight)

    def _read(self, source: StyleSource) -> Style:
        if source.library is not None:
            # A recipe that was loaded names libraries by their paths, found beside the file that
            # states them or among the user's own; in one made by hand, they start here.
            path, look = find_look(source.library, Path())
            return read_style(path, look, device=self._device)
        assert source.image is not None  # the recipe has one or the other
        return read_style_picture(
            source.image, source.mask, device=self._device, max_pixels=self._max_pixels
        )


def _styles(region: Region, picture: Picture, masks: RegionMasks, shelf: _Shelf) -> list[Style]:
    styles = [shelf(source) for source in _used(region)]
    mask = masks.masks[masks.names.index(region.name)]
    weight = mask if picture.alpha is None else mask * picture.alpha
    if not styles or float(weight.sum()) < FEWEST_PIXELS:
        return styles
    colored = with_colors(styles, picture.rgb, weight, color=region.color)
    return [_in_palette(style, region) for style in colored]


def _in_palette(style: Style, region: Region) -> Style:
    """A style picture in the colors that its region is held to; of looks only moments are known."""
    if not region.palette or not isinstance(style, StylePicture):
        return style
    return replace(style, rgb=held_to(style.rgb, region.palette), varied={})


def _used(region: Region) -> list[StyleSource]:
    return [source for source in region.style if source.weight > 0]


def _flows(
    recipe: Recipe,
    picture: Picture,
    masks: RegionMasks,
    photo_size: tuple[int, int],
    max_pixels: int,
) -> dict[str, Tensor]:
    """The shares of styles, for the regions where they differ from place to place."""
    found = {}
    for region in recipe.regions:
        sources = _used(region)
        weights = [source.weight for source in sources]
        if region.flow is not None:
            mask = masks.masks[masks.names.index(region.name)]
            found[region.name] = flows.shares_along(region.flow, mask, weights)
        elif any(source.weight_mask for source in sources):
            drawn = [_weight_mask(s, picture, photo_size, max_pixels) for s in sources]
            found[region.name] = flows.shares_by_masks(drawn, weights)
    return found


def _weight_mask(
    source: StyleSource, picture: Picture, photo_size: tuple[int, int], max_pixels: int
) -> Tensor | None:
    if source.weight_mask is None:
        return None
    drawn = regions.select(
        MaskSelector(mask=source.weight_mask),
        picture=picture,
        segment=_no_segmentation,
        photo_size=photo_size,
        max_pixels=max_pixels,
    )
    if not bool(drawn.any()):
        why = why_blank(read_picture(source.weight_mask, max_pixels=max_pixels))
        warnings.warn(f"weight_mask: its style has no weight: {why}", LayeredNstWarning, 2)
    return drawn


def _no_segmentation() -> Segmentation:
    raise AssertionError("a mask asks for no classes")
