"""Feature maps of a photo as sheets: what a layer of the encoder answers to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from layered_nst.errors import OutputError, RecipeError
from layered_nst.networks.encoders import Encoder
from layered_nst.picture import (
    FORMATS,
    Picture,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize,
    to_image,
    write_picture,
)

CLIPPED = 0.002
"""Share of the brightest activations that the scale leaves out: single ones would darken all."""
CELL, GAP, HEAD, LINE = 170, 10, 132, 20
COLUMNS = 6
PAPER, INK, SOFT = (250, 249, 246), (29, 31, 35), (93, 98, 107)
# Nine points of matplotlib's magma (CC0): lightness rises evenly, also in print and to the
# color-blind.
_SCALE = (
    "#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263", "#fc8961", "#fec488",
    "#fcfdbf",
)  # fmt: skip


@dataclass(frozen=True)
class FeatureMaps:
    """The most energetic channels of a layer.

    Attributes:
        layer: its name.
        width: number of channels that it has.
        channels: which are shown, the most energetic first.
        maps: their activations, shape (K, h, w), 0 or above.
        energy: share of each in the layer's sum of squares, shape (K,).
        top: the activation at the upper end of the scale that all maps share.
    """

    layer: str
    width: int
    channels: tuple[int, ...]
    maps: Tensor
    energy: Tensor
    top: float


@torch.no_grad()
def feature_maps(
    encoder: Encoder,
    photo: Tensor,
    layers: Sequence[str],
    *,
    count: int = 24,
    pooling: str = "max",
) -> list[FeatureMaps]:
    """Look at a photo through some layers.

    Args:
        photo: as ``seen`` gives it, on the encoder's device, shape (3, h, w).
        layers: in any order; taken as given.
        count: channels shown for each layer, at most all.

    Raises:
        RecipeError: a layer that the encoder doesn't have.
    """
    if unknown := [layer for layer in layers if layer not in encoder.layers]:
        known = ", ".join(encoder.layers)
        raise RecipeError(f"layer {unknown[0]}: not in {encoder.name}, which has {known}")
    if not layers:
        raise RecipeError("layers: name at least one, such as conv1_1")
    features = encoder(photo[None], layers, pooling=pooling)
    return [_strongest(layer, features[layer][0], count) for layer in dict.fromkeys(layers)]


def seen(photo: Picture, size: int) -> Tensor:
    """A photo of ``size`` px on its longest side, as the encoder sees it, shape (3, h, w)."""
    rgb = bleed_under_alpha(photo.rgb, photo.alpha)
    return resize(rgb, fit_within(photo.size, size))


def _strongest(layer: str, features: Tensor, count: int) -> FeatureMaps:
    energy = features.double().square().sum((1, 2))
    order = energy.argsort(descending=True, stable=True)[:count]
    maps = features[order]
    top = float(np.quantile(maps.cpu().numpy(), 1 - CLIPPED))
    share = energy[order] / energy.sum().clamp(min=1e-12)
    channels = tuple(order.tolist())
    return FeatureMaps(layer, len(features), channels, maps.cpu(), share.cpu(), top)


def feature_sheet(found: FeatureMaps, photo: Tensor) -> Image.Image:
    """One layer: the photo, the scale, and a labeled tile for each channel.

    All maps share one linear scale from 0, so that a dark one is a weak one. Pixels of maps are
    enlarged as squares.

    Args:
        photo: as the encoder saw it, shape (3, h, w).
    """
    height, width = found.maps.shape[1:]
    tile = fit_within((height, width), CELL)
    rows = -(-len(found.channels) // COLUMNS)
    sheet = Image.new(
        "RGB",
        (GAP + COLUMNS * (CELL + GAP), GAP + HEAD + GAP + rows * (tile[0] + LINE + GAP)),
        PAPER,
    )
    _draw_head(sheet, found, photo)
    for index, channel in enumerate(found.channels):
        row, column = divmod(index, COLUMNS)
        x, y = GAP + column * (CELL + GAP), GAP + HEAD + GAP + row * (tile[0] + LINE + GAP)
        picture = Image.fromarray(colored(found.maps[index].numpy(), found.top))
        sheet.paste(picture.resize(tile[::-1], Image.Resampling.NEAREST), (x, y))
        label = f"channel {channel}  {float(found.energy[index]):.1%}"
        ImageDraw.Draw(sheet).text((x, y + tile[0] + 2), label, SOFT, ImageFont.load_default(12))
    return sheet


def _draw_head(sheet: Image.Image, found: FeatureMaps, photo: Tensor) -> None:
    draw = ImageDraw.Draw(sheet)
    small = resize(photo.cpu(), fit_within((photo.shape[1], photo.shape[2]), HEAD))
    sheet.paste(to_image(small), (GAP, GAP))
    x = GAP + small.shape[2] + 2 * GAP
    height, width = found.maps.shape[1:]
    shown = len(found.channels)
    draw.text((x, GAP), found.layer, INK, ImageFont.load_default(24))
    lines = (
        f"{shown} of {found.width} channels, the most energetic first; "
        f"together {float(found.energy.sum()):.0%} of the energy",
        f"maps of {width} by {height}, percentages are shares of the layer's sum of squares",
    )
    for number, line in enumerate(lines):
        draw.text((x, GAP + 34 + number * 20), line, SOFT, ImageFont.load_default(14))
    _draw_scale(sheet, x, GAP + 90, found.top)


def _draw_scale(sheet: Image.Image, x: int, y: int, top: float) -> None:
    """The colors from 0 to the top, with numbers."""
    width = 260
    ramp = np.linspace(0, 1, width)[None].repeat(12, 0)
    sheet.paste(Image.fromarray(colored(ramp, 1.0)), (x, y))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((x, y + 15), "0", SOFT, font)
    draw.text((x + width / 2, y + 15), f"{top / 2:.3g}", SOFT, font, anchor="ma")
    draw.text((x + width, y + 15), f"{top:.3g} and above", SOFT, font, anchor="ma")


def colored(values: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    """Colors of values from 0 to ``top``, shape (h, w) to (h, w, 3)."""
    stops = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in _SCALE])
    place = np.clip(values / top if top > 0 else values * 0, 0, 1) * (len(stops) - 1)
    channels = [np.interp(place, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def is_sheet(path: Path) -> bool:
    """Whether a path names one picture and not a folder."""
    return path.suffix.lower() in FORMATS


def write_feature_sheets(found: Sequence[FeatureMaps], photo: Tensor, path: Path) -> list[Path]:
    """Write one sheet for each layer into a folder, or all below one another as one picture.

    Args:
        path: a name with the suffix of a picture, or a folder, which is made if it is missing.

    Raises:
        OutputError: it cannot be written.
    """
    sheets = [feature_sheet(maps, photo) for maps in found]
    if is_sheet(path):
        _write(path, _stacked(sheets))
        return [path]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made a folder ({error.strerror})") from error
    paths = [path / f"{maps.layer}.png" for maps in found]
    for name, sheet in zip(paths, sheets, strict=True):
        _write(name, sheet)
    return paths


def _stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    width, height = max(s.width for s in sheets), sum(s.height for s in sheets)
    whole, y = Image.new("RGB", (width, height), PAPER), 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height
    return whole


def _write(path: Path, sheet: Image.Image) -> None:
    write_picture(path, read_picture(sheet).rgb)
