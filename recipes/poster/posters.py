"""A series of posters: three products in two looks, with text where the picture is calm.

``python recipes/poster/posters.py OUT`` paints each product in each look and sets its text over the
calmest place that the product leaves free, in OUT/PRODUCT-LOOK.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from layered_nst import Result, apply

HERE = Path(__file__).parent
PHOTOS = HERE.parent.parent / "assets" / "photos"
LOOKS = ("night", "day")
PAGE = (3, 2)  # width to height of all posters
PAPER = (206, 200, 190)
BLOCK = (0.36, 0.22)  # of the page's width and height that the text may take
FREE = 0.005  # of the block may lie on the product: its feather
CONTRAST = 4.5  # of text on its ground, as WCAG 2 asks of text to be read

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Product:
    """A photo that was taken of a product, and what the poster says."""

    name: str
    photo: str
    title: str
    line: str


PRODUCTS = (
    Product("bowl", "bowl-cutout.png", "RED BOWL", "one of a kind"),
    Product("coffee", "coffee.jpg", "ESPRESSO", "all night long"),
    Product("fig", "fig.jpg", "FIGS", "are back in season"),
)


def poster(product: Product, look: str, *, size: int, **options: Any) -> Image.Image:
    """Paint a product in a look and set its text.

    Args:
        size: longest side of the poster in px.
        options: more overrides, such as ``{"optimize.steps": 5}`` as ``overrides``.
    """
    photo = page(PHOTOS / product.photo)
    result = apply(HERE / f"{look}.yaml", photo, size=size, **options)
    return with_text(result, product)


def page(photo: Path) -> Image.Image:
    """A photo cropped to the page; a cut-out is laid on paper, with room beside it."""
    with Image.open(photo) as opened:
        picture = ImageOps.exif_transpose(opened)
    if "A" not in picture.getbands():
        width = min(picture.width, picture.height * PAGE[0] // PAGE[1])
        return ImageOps.fit(picture.convert("RGB"), (width, width * PAGE[1] // PAGE[0]))
    height = round(picture.height * 1.4)
    paper = Image.new("RGB", (height * PAGE[0] // PAGE[1], height), PAPER)
    place = (paper.width - picture.width - height // 16, (height - picture.height) // 2)
    shadow = Image.new("L", paper.size)
    shadow.paste(picture.getchannel("A"), (place[0] - height // 40, place[1] + height // 40))
    soft = shadow.filter(ImageFilter.GaussianBlur(height / 40)).point(lambda value: value // 2)
    paper.paste((70, 64, 60), mask=soft)
    paper.paste(picture, place, picture)
    return paper


def with_text(result: Result, product: Product) -> Image.Image:
    """Set the text over the calmest place that the product leaves free."""
    picture = result.image.convert("RGB")
    box = calmest(picture, result.masks["product"])
    ink, ground = inks(picture.crop(box))
    picture = shaded(picture, box, ink, ground)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = box
    title = fitted(product.title, right - left, (bottom - top) * 0.62)
    line = fitted(product.line, right - left, (bottom - top) * 0.24)
    draw.text((left, top), product.title, ink, title, anchor="lt")
    draw.text((left, bottom), product.line, ink, line, anchor="lb")
    return picture


def calmest(picture: Image.Image, product: Image.Image) -> Box:
    """The place for a block of text that is free of the product, and has least going on in it.

    The block shrinks until there is such a place.
    """
    taken = _sums(np.asarray(product, np.float64) / 255)
    gray = picture.convert("L")
    coarse = gray.filter(ImageFilter.GaussianBlur(max(1, picture.height / 50)))
    busy = _sums(np.asarray(ImageChops.difference(gray, coarse), np.float64) / 255)
    for scale in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        block = _block(picture.size, scale)
        places = [(x, y, x + block[0], y + block[1]) for x, y in _corners(picture.size, block)]
        free = min(places, key=lambda box: (round(_over(taken, box)), _over(busy, box)))
        if _over(taken, free) < FREE * block[0] * block[1]:
            break
    return free


def _block(page: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = (round(side * share * scale) for side, share in zip(page, BLOCK, strict=True))
    return width, height


def _corners(page: tuple[int, int], block: tuple[int, int]) -> Iterator[tuple[int, int]]:
    margin, step = max(2, page[1] // 16), max(1, page[1] // 48)
    for top in range(margin, page[1] - block[1] - margin + 1, step):
        for left in range(margin, page[0] - block[0] - margin + 1, step):
            yield left, top


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over everything above and to the left, so that any box takes four look-ups."""
    return np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _over(sums: NDArray[np.float64], box: Box) -> float:
    left, top, right, bottom = box
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return float(total)


def inks(ground: Image.Image) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Light text to be shaded dark or the other way round, whichever the ground is nearer to."""
    light, dark = (250, 248, 240), (16, 14, 20)
    mean = np.asarray(ground, np.float64).reshape(-1, 3).mean(0)
    return (light, dark) if contrast(mean, light) > contrast(mean, dark) else (dark, light)


def shaded(
    picture: Image.Image, box: Box, ink: tuple[int, int, int], ground: tuple[int, int, int]
) -> Image.Image:
    """Lay just as much of ``ground`` softly under the text as its worst tenth needs to be read."""
    grown = Image.new("L", picture.size)
    spread = max(2, (box[3] - box[1]) // 6)
    ImageDraw.Draw(grown).rectangle(
        (box[0] - spread, box[1] - spread, box[2] + spread, box[3] + spread), 255
    )
    soft = grown.filter(ImageFilter.GaussianBlur(spread / 2))
    for percent in range(0, 100, 5):
        under = picture.copy()
        under.paste(ground, mask=soft.point(lambda value, share=percent: value * share // 100))
        pixels = np.asarray(under.crop(box), np.float64).reshape(-1, 3)
        if np.quantile(contrast(pixels, ink), 0.1) >= CONTRAST:
            return under
    return under


def contrast(one: Any, other: Any) -> NDArray[np.float64]:
    """Contrast of colors of 0 to 255 as WCAG 2 defines it, 1 to 21."""
    first, second = _luminance(one) + 0.05, _luminance(other) + 0.05
    return np.maximum(first, second) / np.minimum(first, second)


def _luminance(color: Any) -> NDArray[np.float64]:
    value = np.asarray(color, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]))


def fitted(text: str, width: float, height: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font at the largest size at which a text fits."""
    for size in range(max(5, int(height * 1.3)), 3, -1):
        font = ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(text)
        if right - left <= width and bottom - top <= height:
            break
    return font


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the whole series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the posters")
    parser.add_argument("--size", type=int, default=900, help="longest side in px")
    parser.add_argument("--steps", type=int, help="steps at each level, for a quick look")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    overrides = {} if given.steps is None else {"optimize.steps": given.steps}
    for product in PRODUCTS:
        for look in LOOKS:
            path = given.out / f"{product.name}-{look}.png"
            poster(product, look, size=given.size, overrides=overrides).save(path)
            print(path)


if __name__ == "__main__":
    main()
