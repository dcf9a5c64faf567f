"""How well a painter paints what it was not taught with, in numbers and on a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from layered_nst.files.targets import free_name
from layered_nst.instant.network import LAYERS, Painter
from layered_nst.instant.painting import Asked, Stacked, painted
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.losses.style import style_losses
from layered_nst.picture import fit_within, is_ours, resize, size_of
from layered_nst.picture.layout import grid, tile
from layered_nst.picture.writing import to_image, write_image
from layered_nst.training.painters.losses import relative
from layered_nst.training.painters.samples import moved

SIDE = 256
"""Longest side in px at which pictures are scored and shown."""
SHOWN = (5, 6)
"""Photos and styles on a sheet."""
PAIRS = 24


def sheet_path(output: Path) -> Path:
    """Where the sheet of a training goes: ``OUTPUT.png``, if no file of the user's is called so."""
    return free_name(output.with_suffix(output.suffix + ".png"), known=is_ours)


@torch.no_grad()
def score_painter(
    painter: Painter, encoder: Encoder, photos: Sequence[Tensor], styles: Sequence[Tensor]
) -> dict[str, float]:
    """Paint photos whole, each in one style, and measure by the encoder that it paints with.

    Args:
        photos, styles: uint8 pictures (3, H, W) that it was not taught with.

    Returns:
        ``gain``: 1 less the distance from the style over that of the photo, mean over pairs;
        ``content``: how far features have moved from those of the photo in the styles' colors;
        ``identity``: mean difference to the photo where nothing is asked for.
    """
    layers = ["conv1_1", *LAYERS]
    gains, contents, identities = [], [], []
    for number in range(min(PAIRS, len(photos) * len(styles))):
        photo = _seen(photos[number % len(photos)], encoder)
        style = _seen(styles[number % len(styles)], encoder)
        targets = whole_moments(encoder, style, layers)
        masks = [torch.ones_like(photo[0])]
        colors = _moved(photo, style)
        picture = painted(painter, encoder, colors, masks, _asked(targets, 1, photo))
        left, before = (
            sum(float(style_losses(*whole_moments(encoder, p, [k])[k], *targets[k], least=1e-3))
                for k in layers)
            for p in (picture, photo)
        )  # fmt: skip
        gains.append(1 - left / before if before > 0 else 0.0)
        near = (encoder(p[None], ["conv4_1"])["conv4_1"] for p in (picture, colors))
        contents.append(float(relative(*near)))
        kept = painted(painter, encoder, photo, masks, _asked(targets, 0, photo))
        identities.append(float((kept - photo).abs().mean()))
    names = ("gain", "content", "identity")
    lists = (gains, contents, identities)
    return {k: sum(v) / len(v) for k, v in zip(names, lists, strict=True)}


@torch.no_grad()
def draw_sheet(
    painter: Painter,
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    path: Path,
) -> None:
    """Write a sheet: styles along the top, and a row for each photo.

    Raises:
        OutputError: it cannot be written.
    """
    rows, columns = (min(n, len(p)) for n, p in zip(SHOWN, (photos, styles), strict=True))
    shown = [_seen(p, encoder) for p in _evenly(styles, columns)]
    pictures = [torch.ones(3, SIDE, SIDE), *shown]
    for photo in (_seen(p, encoder) for p in _evenly(photos, rows)):
        pictures.append(photo)
        for style in shown:
            asked = _asked(whole_moments(encoder, style, LAYERS), 1, photo)
            masks = [torch.ones_like(photo[0])]
            pictures.append(painted(painter, encoder, _moved(photo, style), masks, asked))
    tiles = [tile(to_image(picture), [], width=SIDE) for picture in pictures]
    write_image(path, grid(tiles, columns=columns + 1))


def whole_moments(encoder: Encoder, picture: Tensor, layers: Sequence[str]) -> dict[str, Stacked]:
    """Moments of a picture (3, H, W), as of one region."""
    found = {}
    for layer, value in encoder(picture[None], layers).items():
        rows = value[0].flatten(1)
        found[layer] = (rows.mean(1)[None], (rows @ rows.T / rows.shape[1])[None])
    return found


def _asked(targets: dict[str, Stacked], amount: float, like: Tensor) -> Asked:
    return Asked(targets, like.new_tensor([amount]))


def _moved(photo: Tensor, style: Tensor) -> Tensor:
    everywhere = torch.ones_like(photo[:1])
    return moved(photo, everywhere, style[None], torch.ones(1))


def _seen(picture: Tensor, encoder: Encoder) -> Tensor:
    rgb = picture.to(next(encoder.buffers()).device).float() / 255
    return resize(rgb, fit_within(size_of(rgb), SIDE))


def _evenly(pictures: Sequence[Tensor], count: int) -> list[Tensor]:
    return [pictures[i * len(pictures) // count] for i in range(count)]
