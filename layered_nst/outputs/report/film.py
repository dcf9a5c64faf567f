"""Frames of an optimization as a film and as a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, features

from layered_nst.files.atomic import replacing
from layered_nst.outputs.report.recorder import Frame
from layered_nst.picture.layout import Words, grid, tile

FRAME_MILLISECONDS = 110
LAST_MILLISECONDS = 2500
"""How long the result stands at the end of the film."""
BACKGROUND = (23, 25, 29)
LABEL = (196, 200, 207)
LINE = 30
CELL = 300
"""Longest side of a picture on a contact sheet, px."""


def film_of(frames: Sequence[Frame], result: Image.Image) -> list[Image.Image]:
    """All frames at the size of the last one, and the last one itself.

    Args:
        frames: of the recorder, of any sizes.
        result: the finished picture, RGB or RGBA, as small as the film shall be; what it does not
            cover is white in every frame.
    """
    alpha = result.getchannel("A") if result.mode == "RGBA" else None
    pictures = [f.image.resize(result.size, Image.Resampling.BICUBIC) for f in frames]
    return [_on_white(picture, alpha) for picture in [*pictures, result.convert("RGB")]]


def _on_white(picture: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is None:
        return picture
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)


def write_film(path: Path, film: Sequence[Image.Image]) -> None:
    """Write an animation that repeats and rests on its last picture.

    Args:
        path: its suffix, ``.webp`` or ``.gif``, names the format.
        film: RGB pictures of one size.

    Raises:
        OutputError: the file cannot be written.
    """
    durations = [FRAME_MILLISECONDS] * (len(film) - 1) + [LAST_MILLISECONDS]
    if path.suffix == ".webp":
        options: dict[str, Any] = {"format": "WEBP", "quality": 80, "method": 2}
    else:
        options = {"format": "GIF"}
        film = _with_palette(film)
    file = io.BytesIO()
    film[0].save(file, save_all=True, append_images=film[1:], duration=durations, loop=0, **options)
    with replacing(path) as target:
        target.write(file.getvalue())


def _with_palette(film: Sequence[Image.Image]) -> list[Image.Image]:
    """All pictures in 256 colors that they share: quick, small, and none flickers."""
    sample = Image.new("RGB", (3 * 96, 3 * 96))
    for index in range(9):
        picture = film[round(index * (len(film) - 1) / 8)].resize((96, 96))
        sample.paste(picture, (index % 3 * 96, index // 3 * 96))
    palette = sample.quantize(256)
    return [p.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for p in film]


def writes_webp() -> bool:
    """Whether this Pillow was built with WebP."""
    return bool(features.check("webp"))


def chosen_frames(frames: Sequence[Frame], most: int) -> list[Frame]:
    """At most so many frames, evenly spaced, the first and the last among them."""
    count = min(most, len(frames))
    if count < 2:
        return list(frames[:count])
    return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]


def contact_sheet(
    pictures: Sequence[Image.Image], labels: Sequence[str], *, columns: int = 4
) -> Image.Image:
    """Pictures of one size in rows, each with its label below, shrunk to at most ``CELL`` px."""
    scale = CELL / max(pictures[0].size)
    width, height = (max(1, round(side * scale)) for side in pictures[0].size)
    tiles = [
        tile(
            picture.resize((width, height), Image.Resampling.LANCZOS),
            [Words(label, 19, LABEL)],
            line=LINE,
            paper=BACKGROUND,
        )
        for picture, label in zip(pictures, labels, strict=True)
    ]
    return grid(tiles, columns=columns, paper=BACKGROUND)
