"""What a painter is taught with: crops, random regions, and which style each of them gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.styles.colors import color_moments, move_colors, with_light_of
from layered_nst.training.encoders.pictures import integer, random_square, uniform

SCALES = (224, 1024)
"""Longest sides in px at which pictures are seen: crops of a preview and of a larger picture, none
of them enlarged, as a blur is no stroke."""
MOST_REGIONS = 4


@dataclass(frozen=True)
class Sample:
    """One photo to be painted.

    Attributes:
        photo: shape (3, S, S) in [0, 1].
        colors: the photo in the palette of its styles.
        masks: of the regions, shape (R, S, S), sum 1.
        styles: which style of the batch each region gets, R numbers.
        amount: how far each region is carried, shape (R,); 0 teaches to leave a picture alone.
    """

    photo: Tensor
    colors: Tensor
    masks: Tensor
    styles: tuple[int, ...]
    amount: Tensor

    def to(self, device: torch.device | str) -> Sample:
        """The same on another device."""
        parts = {name: getattr(self, name).to(device) for name in TENSORS}
        return replace(self, **parts)


TENSORS = ("photo", "colors", "masks", "amount")


def draw_samples(
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    *,
    batch: int,
    side: int,
    variety: float = 0.0,
) -> tuple[list[Sample], Tensor]:
    """Photos with regions, and the style crops (B, 3, S, S) that they are to get.

    Half of the photos have several regions. Draws from torch's global generator, whose state the
    checkpoint keeps.

    Args:
        variety: share of the style crops that are ``varied``.
    """
    shown = torch.stack([_style(styles, side, variety) for _ in range(batch)])
    return [_sample(crop(photos, side), shown) for _ in range(batch)], shown


def _style(styles: Sequence[Tensor], side: int, variety: float) -> Tensor:
    shown = crop(styles, side)
    if not variety or uniform(0, 1) >= variety:
        return shown
    return varied(shown, crop(styles, side))


def varied(style: Tensor, other: Tensor) -> Tensor:
    """A style that is not among those to learn from, made of two that are, shape (3, S, S).

    Either one in the colors of the other, or in its own, turned, or both side by side, whose
    moments are those of a blend.
    """
    kind = uniform(0, 1)
    if kind < 0.25:
        return beside(style, other, uniform(0.25, 0.75))
    whole = torch.ones_like(style[0])
    own = color_moments(style, whole)
    if kind < 0.5:
        return turned(style, uniform(0, 2 * math.pi), saturation=uniform(0.3, 1.7))
    # Light stays of the order that it had: a drawing in white on black is another style.
    target = with_light_of(color_moments(other, whole), own)
    return move_colors(style, own, target, amount=uniform(0.5, 1)).clamp(0, 1)


def beside(style: Tensor, other: Tensor, share: float) -> Tensor:
    """The left of one square and the right of another, of which the first has this share."""
    columns = torch.arange(style.shape[2], device=style.device)
    return torch.where(columns < share * style.shape[2], style, other)


def turned(style: Tensor, angle: float, *, saturation: float = 1.0) -> Tensor:
    """A picture with its hues turned by an angle in radians around gray, shape (3, H, W)."""
    gray = style.mean(0, keepdim=True)
    chroma = style - gray
    # Around the axis of grays, by Rodrigues: what is across of it and of a color.
    across = (chroma.roll(1, 0) - chroma.roll(-1, 0)) / math.sqrt(3)
    moved = math.cos(angle) * chroma + math.sin(angle) * across
    return (gray + saturation * moved).clamp(0, 1)


def _sample(photo: Tensor, styles: Tensor) -> Sample:
    count = 1 if uniform(0, 1) < 0.5 else 2 + integer(MOST_REGIONS - 1)
    masks = random_regions(min(count, len(styles)), photo.shape[1])
    count = len(masks)
    chosen = tuple(torch.randperm(len(styles))[:count].tolist())
    kept = uniform(0, 1) < 0.1
    amount = torch.tensor([0.0 if kept else 1.0 if uniform(0, 1) < 0.7 else uniform(0, 1)] * count)
    return Sample(photo, moved(photo, masks, styles[list(chosen)], amount), masks, chosen, amount)


def moved(photo: Tensor, masks: Tensor, styles: Tensor, amount: Tensor) -> Tensor:
    """A photo with each region's colors moved to those of its style, shape (3, S, S)."""
    everywhere = torch.ones(styles.shape[2:])
    total = torch.zeros_like(photo)
    for mask, style, share in zip(masks, styles, amount.tolist(), strict=True):
        own = color_moments(photo, mask)
        target = with_light_of(color_moments(style, everywhere), own)
        total += mask * move_colors(photo, own, target, amount=share)
    return total.clamp(0, 1)


def random_regions(count: int, side: int) -> Tensor:
    """Masks that sum to 1, shape (count, side, side): blots, with feathers of several widths."""
    if count == 1:
        return torch.ones(1, side, side)
    coarse = torch.randn(1, count, 2 + integer(4), 2 + integer(4))
    field = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)[0]
    hard = F.one_hot(field.argmax(0), count).permute(2, 0, 1).float()
    reach = integer(5)
    if reach:
        padded = F.pad(hard[None], (reach,) * 4, "replicate")
        hard = F.avg_pool2d(padded, 2 * reach + 1, 1)[0]
    return hard[hard.flatten(1).sum(1) > 0]  # a region may have drawn no blot


def crop(pictures: Sequence[Tensor], side: int) -> Tensor:
    """A square of a random picture, seen at a random size, perhaps mirrored, in [0, 1]."""

    def span(height: int, width: int) -> float:
        longest: float = SCALES[0] * (SCALES[1] / SCALES[0]) ** uniform(0, 1)
        return max(side, side * max(height, width) / longest)

    return random_square(pictures, side, span, mode="bicubic").clamp(0, 1)
