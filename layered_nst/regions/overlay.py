"""Masks shown over their photo, in colors and with names, for people to look at."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.segmenters.labels import SCENES
from layered_nst.picture.guided import box_mean

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""

_FIRST = (
    "#e6194b",
    "#f58231",
    "#911eb4",
    "#ffe119",
    "#1b8a3a",
    "#a6e22e",
    "#b0703c",
    "#4aa8ff",
    "#1f3fd1",
    "#9a9a9a",
    "#5b3a29",
    "#f7b6d2",
)

COLORS = dict(zip(SCENES, _FIRST, strict=True))
"""A class has the same color on every photo, and so has a region that is called like it."""

MIN_SHARE = 0.002
"""Masks that cover less of the photo than this get no name; there is no room for it."""


def colors_of(names: Sequence[str]) -> Tensor:
    """The colors of masks by their names, shape (N, 3), in [0, 1].

    Names that are no class of `COLORS` get those that no other name has, in their order.
    """
    stated = {
        name: torch.tensor(ImageColor.getrgb(COLORS[name])) for name in names if name in COLORS
    }
    taken = {tuple(color.tolist()) for color in stated.values()}
    others = (row for row in _rows(len(names) + len(COLORS)) if row not in taken)
    rows = [stated[name].tolist() if name in stated else next(others) for name in names]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(names), 3) / 255


def _rows(count: int) -> list[tuple[int, ...]]:
    """Colors that differ well from each other, in the order used, each channel 0 to 255."""
    rows: list[tuple[int, ...]] = [ImageColor.getrgb(code) for code in _FIRST[:count]]
    # Golden-ratio steps around the hue circle keep any further colors spread out.
    for index in range(len(rows), count):
        hue, value = (index * 0.6180339887) % 1.0, (1.0, 0.7, 0.45)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.7, value)
        rows.append((round(255 * red), round(255 * green), round(255 * blue)))
    return rows


def overlay(
    rgb: Tensor,
    masks: Tensor,
    names: Sequence[str],
    *,
    strength: float = 0.6,
    shares: bool = False,
) -> Image.Image:
    """Color each mask over the photo, draw its outline and write its name into it.

    Args:
        rgb: the photo, shape (3, H, W), in [0, 1].
        masks: shape (R, H, W), in [0, 1], at most 1 in sum; where the sum is less, the photo shows.
        names: one for each mask; an empty name is not written.
        strength: how much color covers the photo, in [0, 1].
        shares: whether a name is followed by its mask's share of the photo.

    Returns:
        An 8-bit RGB picture of the photo's size.

    Raises:
        ValueError: not one name for each mask, or masks of another size.
    """
    if masks.shape != (len(names), *rgb.shape[-2:]):
        raise ValueError(f"{len(names)} names and a photo {tuple(rgb.shape)} for {masks.shape}")
    rgb, masks = rgb.detach().cpu(), masks.detach().cpu()
    colors = colors_of(names).to(rgb)
    # Color over the gray photo: its own colors would mix with those of the masks.
    gray = (rgb * rgb.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    covered = masks.sum(0, keepdim=True).clamp(0, 1)
    paint = torch.einsum("rhw,rc->chw", masks, colors)
    shown = rgb * (1 - covered) + (1 - strength) * gray * covered + strength * paint
    shown = torch.where(_outlines(masks), 1.0, shown)
    pixels = (shown.clamp(0, 1) * 255).round().to(torch.uint8)
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    said = [
        f"{name} {_percent(float(mask.mean()))}" for name, mask in zip(names, masks, strict=True)
    ]
    labels = [label if shares and name else name for label, name in zip(said, names, strict=True)]
    _write_names(picture, masks, labels)
    return picture


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def _outlines(masks: Tensor) -> Tensor:
    """Where the strongest mask changes, one px wide for each 800 px of photo, shape (H, W)."""
    rest = (1 - masks.sum(0, keepdim=True)).clamp(min=0)
    winner = torch.cat([rest, masks]).argmax(0)
    edge = torch.zeros_like(winner, dtype=torch.bool)
    edge[:, 1:] |= winner[:, 1:] != winner[:, :-1]
    edge[1:] |= winner[1:] != winner[:-1]
    wide = max(winner.shape) // 800
    return box_mean(edge[None].float(), wide)[0] > 0 if wide else edge


def _write_names(picture: Image.Image, masks: Tensor, names: Sequence[str]) -> None:
    draw = ImageDraw.Draw(picture)
    size = max(10, max(picture.size) // 36)
    font = ImageFont.load_default(size)
    taken: list[Box] = []
    # The largest first: there is least room to move a name in a small mask's neighborhood.
    for index in sorted(range(len(names)), key=lambda i: -float(masks[i].mean())):
        if names[index] and masks[index].mean() >= MIN_SHARE:
            middle = _middle(masks[index])
            _write_name(draw, names[index], middle, taken, font=font, stroke=max(1, size // 8))


def _write_name(
    draw: ImageDraw.ImageDraw,
    name: str,
    place: tuple[int, int],
    taken: list[Box],
    *,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    stroke: int,
) -> None:
    """White on black outlines, centered on (x, y) but inside the picture and beside other names.

    Args:
        taken: where names stand already; the new one is added.
    """
    left, top, right, bottom = draw.textbbox((0, 0), name, font=font, stroke_width=stroke)
    width, height = right - left, bottom - top
    x = min(max(place[0] - width / 2, 0), max(0, draw.im.size[0] - width))
    last = max(0.0, draw.im.size[1] - height)
    wanted = min(max(place[1] - height / 2, 0), last)
    rows = sorted(
        (step * height / 2 for step in range(int(2 * last / height) + 1)),
        key=lambda y: abs(y - wanted),
    )
    y = next(
        (y for y in (wanted, *rows) if not _meets((x, y, x + width, y + height), taken)), wanted
    )
    taken.append((x, y, x + width, y + height))
    draw.text(
        (x - left, y - top), name, "white", font=font, stroke_width=stroke, stroke_fill="black"
    )


def _meets(box: Box, others: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    return any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in others
    )


def _middle(mask: Tensor) -> tuple[int, int]:
    """Where a mask is widest, (x, y) in px: the maximum of means over ever larger windows."""
    height, width = mask.shape
    scale = min(1.0, 64 / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    coarse = F.interpolate(mask[None, None], small, mode="area")[0]
    depth = torch.stack([_inner_mean(coarse, radius) for radius in (1, 2, 4, 8, 16)]).sum(0)
    y, x = divmod(int(depth.argmax()), small[1])
    return round((x + 0.5) / small[1] * width), round((y + 0.5) / small[0] * height)


def _inner_mean(planes: Tensor, radius: int) -> Tensor:
    """Mean over a window, counting what lies outside the picture as empty."""
    padded = F.pad(planes, (radius,) * 4)
    return box_mean(padded, radius)[:, radius:-radius, radius:-radius]
