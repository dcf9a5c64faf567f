"""A recipe resolved on one photo: everything the optimization needs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst import regions
from layered_nst.color import color_moments, move_colors
from layered_nst.errors import PictureError, RecipeError, RegionError
from layered_nst.features import Encoder
from layered_nst.optimize import PaintedRegion, Problem
from layered_nst.picture import (
    MAX_PIXELS,
    Picture,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize_picture,
)
from layered_nst.picture import resize as resize_tensor
from layered_nst.plan import Plan
from layered_nst.recipe import Recipe, Region, StyleSource
from layered_nst.regions import RegionMasks, build_masks, thin_layers
from layered_nst.segmentation import Segmentation, Segmenter, load_segmenter, segment
from layered_nst.styles import StylePicture, style_color, with_colors

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
        segmentation: what the segmenter saw, if a selector asked.
    """

    recipe: Recipe
    photo: Picture
    picture: Picture
    masks: RegionMasks
    styles: dict[str, list[StylePicture]]
    notes: tuple[str, ...]
    segmentation: Segmentation | None = None

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
) -> Scene:
    """Read the photo and the styles and find the regions.

    Args:
        recipe: loaded.
        content: a path, a Pillow picture or an array, in place of the recipe's photo.
        strict: an empty region is an error, not a note.
        max_pixels: largest picture that is read.

    Raises:
        RecipeError, PictureError, RegionError, ModelError: whatever is at fault, in one sentence.
    """
    photo = _read_content(recipe, content, max_pixels)
    picture = resize_picture(photo, fit_within(photo.size, recipe.size))
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(device)
    alpha = None if picture.alpha is None else picture.alpha.to(device)
    picture = replace(picture, rgb=rgb, alpha=alpha)
    seen = _Eyes(recipe, photo, picture, weights_dir, device)
    masks = build_masks(
        recipe.regions, picture=picture, segment=seen, strict=strict, photo_size=photo.size
    )
    styles = {r.name: _styles(r, picture, masks, device, max_pixels) for r in recipe.regions}
    visible = 1.0 if alpha is None else alpha
    painted = [m for n, m in zip(masks.names, masks.masks, strict=True) if styles.get(n)]
    if not any(bool((mask * visible > 0).any()) for mask in painted):
        raise RegionError("no region with a style covers anything of this photo: nothing to paint")
    return Scene(recipe, photo, picture, masks, styles, masks.notes, seen.segmentation)


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
    ) -> None:
        self._recipe, self._photo, self._picture = recipe, photo, picture
        self._weights_dir, self._device = weights_dir, device
        self.segmentation: Segmentation | None = None

    def __call__(self) -> Segmentation:
        if self.segmentation is None:
            segmenter: Segmenter = load_segmenter(
                self._recipe.segmentation, weights_dir=self._weights_dir, device=self._device
            )
            seen = segment(segmenter, self._view())
            shares = F.adaptive_avg_pool2d(seen.probabilities[None], self._picture.size)[0]
            self.segmentation = replace(seen, probabilities=shares)
        return self.segmentation

    def _view(self) -> Tensor:
        side = min(max(self._photo.size), SEGMENTED_SIDE)
        if max(self._picture.size) >= side:
            return self._picture.rgb
        view = resize_picture(self._photo, fit_within(self._photo.size, side))
        return bleed_under_alpha(view.rgb, view.alpha).to(self._device)


def _styles(
    region: Region,
    picture: Picture,
    masks: RegionMasks,
    device: torch.device | str,
    max_pixels: int,
) -> list[StylePicture]:
    used = [source for source in region.style if source.weight > 0]
    styles = [_read_style(source, device, max_pixels) for source in used]
    mask = masks.masks[masks.names.index(region.name)]
    weight = mask if picture.alpha is None else mask * picture.alpha
    if not styles or float(weight.sum()) < FEWEST_PIXELS:
        return styles
    return with_colors(styles, picture.rgb, weight, color=region.color)


def _read_style(source: StyleSource, device: torch.device | str, max_pixels: int) -> StylePicture:
    if source.image is None:
        raise RecipeError(
            f"style library {source.library}: libraries of styles are not read by this version; "
            "name the pictures with image:"
        )
    picture = read_picture(source.image, max_pixels=max_pixels)
    mask = torch.ones(picture.size) if picture.alpha is None else picture.alpha
    if source.mask is not None:
        mask = mask * _style_mask(source.mask, picture, max_pixels)
    if not bool((mask > 0).any()):
        raise PictureError(f"{source.image}: its mask or alpha leaves nothing of it")
    rgb = bleed_under_alpha(picture.rgb, picture.alpha)
    return StylePicture(rgb.to(device), mask.to(device), source.weight, str(source.image))


def _style_mask(path: Path, style: Picture, max_pixels: int) -> Tensor:
    mask = read_picture(path, max_pixels=max_pixels)
    (height, width), (wanted_height, wanted_width) = mask.size, style.size
    if abs(height * wanted_width / width - wanted_height) > 1 + wanted_width / width:
        raise PictureError(
            f"{path}: {width}×{height} px does not have the shape of its style, "
            f"{wanted_width}×{wanted_height} px"
        )
    grey = mask.rgb.mean(0) if mask.alpha is None else mask.rgb.mean(0) * mask.alpha
    return resize_tensor(grey, style.size)


def thin_notes(scene: Scene, encoder: Encoder, plan: Plan) -> tuple[str, ...]:
    """Sentences about regions too narrow for more than the deepest layer at the result's size.

    Almost any region is too narrow for the deepest one, and its share in the style is small.
    """
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
    painted = [_painted(region, scene) for region in scene.recipe.regions if region.style]
    moved = _moved_colors(scene)
    start = scene.picture.rgb if plan.start == "content" else moved
    return Problem(
        content=moved,
        photo=scene.picture.rgb,
        start=start.lerp(scene.picture.rgb, scene.kept),
        regions=painted,
        frozen=torch.maximum(scene.kept, 1 - scene.visible.ceil()),
    )


def _painted(region: Region, scene: Scene) -> PaintedRegion:
    return PaintedRegion(
        name=region.name,
        mask=scene.mask(region.name) * scene.visible,
        styles=scene.styles[region.name],
        strength=region.strength,
        scale=region.scale,
        content=region.content,
        contour=region.contour,
    )


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
    target = style_color(scene.styles[region.name])
    return move_colors(
        photo, color_moments(photo, weight), target, amount=min(1.0, region.strength)
    )
