"""Feature maps of a photo as sheets: what a layer of the encoder answers to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from layered_nst.errors import RecipeError
from layered_nst.files.targets import made_folder
from layered_nst.networks.encoders import Encoder
from layered_nst.picture import (
    FORMATS,
    Picture,
    bleed_under_alpha,
    fit_within,
    is_ours,
    resize,
    size_of,
    to_image,
    write_image,
)
from layered_nst.picture.layout import (
    GAP,
    INK,
    LINE,
    SOFT,
    Words,
    blank,
    font,
    grid,
    paste,
    stacked,
    tile,
    write,
)

CLIPPED = 0.002
"""Share of the brightest activations that the scale leaves out: single ones would darken all."""
CELL, HEAD = 170, 132
"""Longest side of a map, and of the photo above, px."""
COLUMNS = 6
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


def shown_of(encoder: Encoder) -> tuple[str, ...]:
    """The layers of an encoder that are shown where none are named."""
    return ("conv1_1", "conv3_1", "conv5_1") if encoder.style_layers is None else encoder.layers


def seen(photo: Picture, size: int) -> Tensor:
    """A photo of ``size`` px on its longest side, as the encoder sees it, shape (3, h, w)."""
    rgb = bleed_under_alpha(photo.rgb, photo.alpha)
    return resize(rgb, fit_within(photo.size, size))


def _strongest(layer: str, features: Tensor, count: int) -> FeatureMaps:
    # Not all devices know float64.
    features = features.float().cpu()
    energy = features.double().square().sum((1, 2))
    order = energy.argsort(descending=True, stable=True)[:count]
    maps = features[order]
    top = float(np.quantile(maps.numpy(), 1 - CLIPPED))
    share = energy[order] / energy.sum().clamp(min=1e-12)
    return FeatureMaps(layer, len(features), tuple(order.tolist()), maps, share, top)


def feature_sheet(found: FeatureMaps, photo: Tensor) -> Image.Image:
    """One layer: the photo, the scale, and a labeled tile for each channel.

    All maps share one linear scale from 0, so that a dark one is a weak one. Pixels of maps are
    enlarged as squares.

    Args:
        photo: as the encoder saw it, shape (3, h, w).
    """
    size = fit_within(size_of(found.maps), CELL)
    tiles = [
        tile(_enlarged(maps.numpy(), found.top, size), [Words(f"channel {channel}  {share:.1%}")])
        for channel, maps, share in zip(
            found.channels, found.maps, found.energy.tolist(), strict=True
        )
    ]
    width = GAP + COLUMNS * (CELL + GAP)
    return stacked([_head(found, photo, width), grid(tiles, columns=COLUMNS)])


def _enlarged(values: NDArray[np.floating], top: float, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(colored(values, top))
    return picture.resize(size[::-1], Image.Resampling.NEAREST)


def _head(found: FeatureMaps, photo: Tensor, width: int) -> Image.Image:
    head = blank(width, GAP + HEAD)
    small = resize(photo.cpu(), fit_within(size_of(photo), HEAD))
    paste(head, to_image(small), (GAP, GAP))
    x = 3 * GAP + small.shape[2]
    across = width - GAP - x
    write(head, Words(found.layer, 24, INK), (x, GAP), width=across)
    for number, text in enumerate(_about(found)):
        write(head, Words(text, 14), (x, GAP + 34 + number * LINE), width=across)
    _draw_scale(head, x, GAP + 90, found.top)
    return head


def _about(found: FeatureMaps) -> tuple[str, str]:
    height, width = found.maps.shape[1:]
    return (
        f"{len(found.channels)} of {found.width} channels, the most energetic first; "
        f"together {float(found.energy.sum()):.0%} of the energy",
        f"maps of {width} by {height}, percentages are shares of the layer's sum of squares",
    )


def _draw_scale(sheet: Image.Image, x: int, y: int, top: float) -> None:
    """The colors from 0 to the top, with numbers."""
    width = 260
    ramp = np.linspace(0, 1, width)[None].repeat(12, 0)
    paste(sheet, Image.fromarray(colored(ramp, 1.0)), (x, y))
    draw = ImageDraw.Draw(sheet)
    marks = ((0.0, "0", "la"), (0.5, f"{top / 2:.3g}", "ma"), (1.0, f"{top:.3g} and above", "ma"))
    for place, text, anchor in marks:
        draw.text((x + place * width, y + 15), text, SOFT, font(13), anchor=anchor)


def colored(values: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    """Colors of values from 0 to ``top``, shape (h, w) to (h, w, 3)."""
    stops = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in _SCALE])
    place = np.clip(values / top if top > 0 else values * 0, 0, 1) * (len(stops) - 1)
    channels = [np.interp(place, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def is_sheet(path: Path) -> bool:
    """Whether a path names one picture and not a folder."""
    return path.suffix.lower() in FORMATS


def write_feature_sheets(
    found: Sequence[FeatureMaps], photo: Tensor, path: Path, *, reads: Iterable[Path] = ()
) -> list[Path]:
    """Write one sheet for each layer into a folder, or all below one another as one picture.

    Args:
        path: a name with the suffix of a picture, or a folder, which is made if it is missing.
        reads: files that must not be replaced, such as the photo.

    Raises:
        OutputError: it cannot be written, or a file of a layer's name in the folder is read or was
            not written by this program.
    """
    sheets = [feature_sheet(maps, photo) for maps in found]
    if is_sheet(path):
        write_image(path, stacked(sheets))
        return [path]
    names = [f"{maps.layer}.png" for maps in found]
    paths = made_folder(path, names, known=is_ours, reads=reads)
    for name, sheet in zip(paths, sheets, strict=True):
        write_image(name, sheet)
    return paths
