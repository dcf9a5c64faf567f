"""A recipe resolved on one photo: everything the optimization needs, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layered_nst import ramps, regions
from layered_nst.cache import Cache
from layered_nst.color import color_moments, move_colors
from layered_nst.device import choose_precision
from layered_nst.errors import RecipeError, RegionError
from layered_nst.features import ENCODERS, Encoder
from layered_nst.library import LibraryStyle, check_styles, read_style
from layered_nst.optimize import PaintedRegion, Problem
from layered_nst.picture import (
    MAX_PIXELS,
    Picture,
    average,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize_picture,
)
from layered_nst.plan import HEAVY, Plan, make_plan
from layered_nst.recipe import MaskSelector, Recipe, Region, StyleSource, find_look
from layered_nst.regions import RegionMasks, build_masks, is_drawn, thin_layers
from layered_nst.remembered import RememberedMoments, remembered_segmentation
from layered_nst.segmentation import Segmentation, Segmenter, load_segmenter, segment
from layered_nst.stylefiles import read_style_picture
from layered_nst.styles import (
    PictureMoments,
    Style,
    picture_moments,
    stroke_side,
    style_color,
    weighing,
    with_colors,
)

# A mean over fewer pixels than this says nothing about a region's colors.
FEWEST_PIXELS = 16.0
# Smaller results take their masks from a copy of this longest side, so that a preview finds the
# regions that the final picture will have.
SEGMENTED_SIDE = 768


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
        ramps: for each region whose styles flow into one another, the share of each style at
            every pixel, shape (S, H, W), sum 1.
        moments: gives the moments of each style picture.
    """

    recipe: Recipe
    photo: Picture
    picture: Picture
    masks: RegionMasks
    styles: dict[str, list[Style]]
    notes: tuple[str, ...]
    segmentation: Segmentation | None = None
    ramps: dict[str, Tensor] = field(default_factory=dict)
    moments: PictureMoments = picture_moments

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result in px."""
        return self.picture.size

    def mask(self, name: str) -> Tensor:
        """A region's share of every pixel, shape (H, W)."""
        return self.masks.masks[self.masks.names.index(name)]

    @cached_property
    def visible(self) -> Tensor:
        """Alpha of the photo at the result's size, ones where it has none, shape (H, W)."""
        alpha = self.picture.alpha
        return torch.ones_like(self.picture.rgb[0]) if alpha is None else alpha

    @cached_property
    def kept(self) -> Tensor:
        """How far each pixel keeps the photo: protected or in no region, shape (H, W)."""
        names = [n for n in self.masks.names if not self.styles.get(n)]
        return sum((self.mask(n) for n in names), torch.zeros_like(self.visible))

    @cached_property
    def kept_chroma(self) -> Tensor:
        """How far each pixel keeps the photo's chroma, shape (H, W)."""
        names = [r.name for r in self.recipe.regions if r.style and r.color != "style"]
        return sum((self.mask(n) for n in names), torch.zeros_like(self.visible))


def resolve(
    recipe: Recipe,
    content: Any = None,
    *,
    strict: bool = False,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
    cache: Cache | None = None,
) -> Scene:
    """Read the photo and the styles and find the regions.

    Args:
        recipe: loaded.
        content: a path, a Pillow picture or an array, in place of the recipe's photo.
        strict: an empty region is an error, not a note.
        max_pixels: largest picture that is read.
        cache: where moments of styles and the segmentation are kept for the next time.

    Raises:
        RecipeError, PictureError, RegionError, ModelError, LibraryError: whatever is at fault, in
            one sentence.
    """
    photo = _read_content(recipe, content, max_pixels)
    picture = resize_picture(photo, fit_within(photo.size, recipe.size))
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(device)
    alpha = None if picture.alpha is None else picture.alpha.to(device)
    picture = replace(picture, rgb=rgb, alpha=alpha)
    seen = _Eyes(recipe, photo, picture, weights_dir, device, cache)
    masks = build_masks(
        recipe.regions,
        picture=picture,
        segment=seen,
        strict=strict,
        photo_size=photo.size,
        refined=[region.name for region in recipe.regions if _is_refined(region, recipe)],
    )
    shelf = _Shelf(device, max_pixels)
    styles = {r.name: _styles(r, picture, masks, shelf) for r in recipe.regions}
    visible = 1.0 if alpha is None else alpha
    painted = [m for n, m in zip(masks.names, masks.masks, strict=True) if styles.get(n)]
    if not any(bool((mask * visible > 0).any()) for mask in painted):
        raise RegionError("no region with a style covers anything of this photo: nothing to paint")
    return Scene(
        recipe=recipe,
        photo=photo,
        picture=picture,
        masks=masks,
        styles=styles,
        notes=masks.notes,
        segmentation=_in_small(seen.segmentation),
        ramps=_ramps(recipe, picture, masks, photo.size),
        moments=RememberedMoments(cache),
    )


def _in_small(seen: Segmentation | None) -> Segmentation | None:
    """What is kept of a segmentation once masks are made: at a print's size it outweighs them."""
    if seen is None or max(seen.probabilities.shape[1:]) <= SEGMENTED_SIDE:
        return seen
    size = fit_within((seen.probabilities.shape[1], seen.probabilities.shape[2]), SEGMENTED_SIDE)
    return replace(seen, probabilities=average(seen.probabilities, size))


def _is_refined(region: Region, recipe: Recipe) -> bool:
    if region.refine is not None:
        return region.refine
    return recipe.is_painted_first(region) and is_drawn(region.select)


def _read_content(recipe: Recipe, content: Any, max_pixels: int) -> Picture:
    source = recipe.content if content is None else content
    if source is None:
        raise RecipeError("content: the recipe names no photo; add content: or pass --content")
    return read_picture(source, max_pixels=max_pixels)


class _Eyes:
    """Segments the photo when a selector first asks, and only once."""

    def __init__(
        self,
        recipe: Recipe,
        photo: Picture,
        picture: Picture,
        weights_dir: Path | None,
        device: torch.device | str,
        cache: Cache | None,
    ) -> None:
        self._recipe, self._photo, self._picture = recipe, photo, picture
        self._weights_dir, self._device, self._cache = weights_dir, device, cache
        self.segmentation: Segmentation | None = None

    def __call__(self) -> Segmentation:
        if self.segmentation is None:
            view, spec = self._view(), self._recipe.segmentation
            seen = remembered_segmentation(
                self._cache, spec, view, lambda: self._look(view), weights_dir=self._weights_dir
            )
            shares = average(seen.probabilities, self._picture.size)
            self.segmentation = replace(seen, probabilities=shares)
        return self.segmentation

    def _look(self, view: Tensor) -> Segmentation:
        segmenter: Segmenter = load_segmenter(
            self._recipe.segmentation, weights_dir=self._weights_dir, device=self._device
        )
        return segment(segmenter, view)

    def _view(self) -> Tensor:
        side = min(max(self._photo.size), SEGMENTED_SIDE)
        if max(self._picture.size) >= side:
            return self._picture.rgb
        view = resize_picture(self._photo, fit_within(self._photo.size, side))
        return bleed_under_alpha(view.rgb, view.alpha).to(self._device)


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
            path, look = find_look(source.library, Path.cwd())
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
    return with_colors(styles, picture.rgb, weight, color=region.color)


def _used(region: Region) -> list[StyleSource]:
    return [source for source in region.style if source.weight > 0]


def _ramps(
    recipe: Recipe, picture: Picture, masks: RegionMasks, photo_size: tuple[int, int]
) -> dict[str, Tensor]:
    """The shares of styles, for the regions where they differ from place to place."""
    found = {}
    for region in recipe.regions:
        sources = _used(region)
        weights = [source.weight for source in sources]
        if region.blend is not None:
            mask = masks.masks[masks.names.index(region.name)]
            found[region.name] = ramps.shares_along(region.blend, mask, weights)
        elif any(source.weight_mask for source in sources):
            drawn = [_weight_mask(source, picture, photo_size) for source in sources]
            found[region.name] = ramps.shares_by_masks(drawn, weights)
    return found


def _weight_mask(
    source: StyleSource, picture: Picture, photo_size: tuple[int, int]
) -> Tensor | None:
    if source.weight_mask is None:
        return None
    return regions.select(
        MaskSelector(mask=source.weight_mask),
        picture=picture,
        segment=_no_segmentation,
        photo_size=photo_size,
    )


def _no_segmentation() -> Segmentation:
    raise AssertionError("a mask asks for no classes")


def planned(scene: Scene) -> Plan:
    """The plan of a scene's recipe at its size.

    The encoder that the recipe names sees at all levels. Otherwise the quality chooses; but moments
    of one encoder mean nothing to another, so a look that not all of the chosen ones have seen
    is painted with the one that has.
    """
    recipe = scene.recipe
    precision = choose_precision(scene.picture.rgb.device)
    plan = make_plan(recipe.optimize, scene.size, recipe.encoder, precision=precision)
    looks = (s for blend in scene.styles.values() for s in blend if isinstance(s, LibraryStyle))
    seen = [look.record for look in looks if not look.record.encoders.keys() >= {*plan.encoders}]
    if recipe.encoder is not None or not seen:
        return plan
    # What the library calls a file of its own, the recipe has to name by its path.
    known = next((record.encoder for record in seen if record.encoder in ENCODERS), HEAVY)
    return make_plan(recipe.optimize, scene.size, known, precision=precision)


def check_looks(scene: Scene, encoders: Mapping[str, Encoder], plan: Plan) -> tuple[str, ...]:
    """See, before the work, whether the looks of libraries can be had as the plan needs them.

    Args:
        encoders: by the names that the plan's levels use.

    Returns:
        Sentences about looks whose moments are interpolated.

    Raises:
        LibraryError: a look was made with another encoder or pooling, or lacks a layer or size.
    """
    notes: dict[str, None] = {}
    for region in scene.recipe.regions:
        sides = [stroke_side(level.longest, region.scale) for level in plan.levels]
        looks = [s for s in scene.styles[region.name] if isinstance(s, LibraryStyle)]
        for level, side in zip(plan.levels, sides, strict=True):
            seen = encoders[level.encoder]
            check_styles(looks, seen, plan.layers, sides=[side], pooling=plan.pooling)
        notes |= dict.fromkeys(n for look in looks for n in look.notes(sides))
    return tuple(notes)


def thin_notes(scene: Scene, encoders: Mapping[str, Encoder], plan: Plan) -> tuple[str, ...]:
    """Sentences about regions too narrow for more than the deepest layer at the result's size.

    Almost any region is too narrow for the deepest one, and its share in the style is small.
    """
    encoder = encoders[plan.levels[-1].encoder]
    sizes = encoder.layer_sizes(scene.size)
    fields = {layer: encoder.receptive_fields()[layer] for layer in plan.layers}
    thin = thin_layers(scene.masks.masks, {layer: sizes[layer] for layer in fields}, fields)
    names = scene.masks.names
    painted = {i: blind for i, blind in thin.items() if scene.styles.get(names[i])}
    painted = {i: blind for i, blind in painted.items() if len(blind) > 1}
    return regions.thin_notes(names, painted)


def problem(scene: Scene, plan: Plan) -> Problem:
    """The optimization that a scene asks for.

    Transparent pixels belong to no region here, so that they enter no statistic.
    """
    painted = [
        part
        for region in scene.recipe.regions
        if region.style
        for part in _painted(region, scene, plan)
    ]
    moved = _moved_colors(scene)
    start = scene.picture.rgb if plan.start == "content" else moved
    return Problem(
        content=moved,
        photo=scene.picture.rgb,
        # Where nothing is kept, one tensor serves twice.
        start=start.lerp(scene.picture.rgb, scene.kept) if bool(scene.kept.any()) else start,
        regions=painted,
        frozen=torch.maximum(scene.kept, 1 - scene.visible.ceil()),
        moments=scene.moments,
    )


def _painted(region: Region, scene: Scene, plan: Plan) -> Sequence[PaintedRegion]:
    """A region, in parts if its styles flow into one another."""
    whole = PaintedRegion(
        name=region.name,
        mask=_seen_mask(region, scene),
        styles=scene.styles[region.name],
        strength=region.strength,
        scale=region.scale,
        content=region.content,
        contour=_contour(region, scene.recipe),
    )
    shares = scene.ramps.get(region.name)
    if shares is None:
        return [whole]
    return ramps.split(whole, shares, area_exponent=plan.area_exponent)


def _seen_mask(region: Region, scene: Scene) -> Tensor:
    mask = scene.mask(region.name)
    return mask if scene.picture.alpha is None else mask * scene.visible


def _contour(region: Region, recipe: Recipe) -> float:
    """A product that is painted first keeps its drawing unless the recipe says otherwise."""
    if region.contour is not None:
        return region.contour
    return 1.0 if recipe.is_painted_first(region) else 0.0


def _moved_colors(scene: Scene) -> Tensor:
    """The photo with each region's color statistics moved to those of its style."""
    photo = scene.picture.rgb
    layers = [
        _moved(region, scene) * scene.mask(region.name)
        for region in scene.recipe.regions
        if scene.styles.get(region.name)
    ]
    return sum(layers, photo * scene.kept).clamp(0, 1)


def _moved(region: Region, scene: Scene) -> Tensor:
    photo, weight = scene.picture.rgb, scene.mask(region.name) * scene.visible
    if float(weight.sum()) < FEWEST_PIXELS:
        return photo
    source, amount = color_moments(photo, weight), min(1.0, region.strength)
    styles, shares = scene.styles[region.name], scene.ramps.get(region.name)
    if shares is None:
        return move_colors(photo, source, style_color(styles), amount=amount)
    moved = [move_colors(photo, source, style.color(), amount=amount) for style in styles]
    return (torch.stack(moved) * shares[:, None]).sum(0)
