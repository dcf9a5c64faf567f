"""Crops of one form for photos of all: as large as they can be, around the product, which stays
whole. A crop is a picture of its own that a single run can be given as its photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from layered_nst import api
from layered_nst.campaign.schema import aspect
from layered_nst.errors import PictureError
from layered_nst.files.hashes import text_hash
from layered_nst.files.targets import make_folder
from layered_nst.machine.device import choose_device
from layered_nst.networks.segmenters import load_segmenter, segment
from layered_nst.picture import (
    Picture,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize_picture,
    write_picture,
)
from layered_nst.recipe import Recipe
from layered_nst.recipe.photos import is_drawn_on_its_photo
from layered_nst.recipe.selectors import SubjectSelector
from layered_nst.regions import select

if TYPE_CHECKING:
    from layered_nst.campaign.jobs import Job

SEEN_AT = 512
"""Longest side at which the product is looked for, px."""
MARGIN = 0.02
"""Room around a product, as a share of the photo's longer side."""
SPECK = 0.002
"""Rows and columns that hold less than this share of the product don't count as its ends."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in px; right and bottom are just outside."""


def cropped(job: Job, recipe: Recipe, photo_hash: str) -> Path:
    """The part of a job's photo that is painted, as a file beside its checkpoints.

    Args:
        recipe: on the whole photo.
        photo_hash: SHA-256 of the photo's file.

    Raises:
        PictureError: the product would be cut, or shapes drawn on the photo would be moved.
    """
    photo = Path(job.photo)
    if recipe.selectors_for(photo) or is_drawn_on_its_photo(recipe):
        raise PictureError(
            f"{photo}: regions are drawn on it, which a crop to {job.crop} would move; say fixed: "
            "true where they hold for every photo, or leave crop out of the format"
        )
    path = crop_path(job, recipe, photo_hash)
    if not path.is_file():
        picture = read_picture(photo)
        box = None if job.keep == "center" else _product(job, recipe)
        ratio, most = aspect(job.crop), job.keep == "most"
        left, top, right, bottom = window(picture.size, ratio, box, called=str(photo), most=most)
        make_folder(path.parent)
        _write(path, picture, (left, top, right, bottom))
    return path


def crop_path(job: Job, recipe: Recipe, photo_hash: str) -> Path:
    """Where a crop lies: by all that decides its pixels."""
    product = "" if job.keep == "center" else _product_key(recipe)
    key = text_hash(f"{photo_hash} {job.crop} {job.keep} {product}")[:20]
    return Path(job.work, "crops", key, f"{Path(job.photo).stem}.png")


def _product_key(recipe: Recipe) -> str:
    """What decides where the product is, but the photo."""
    named = set(recipe.products)
    regions = [
        r for r in recipe.regions if r.name in named or isinstance(r.select, SubjectSelector)
    ]
    return f"{recipe.segmentation} {[r.model_dump_json() for r in regions]}"


def _product(job: Job, recipe: Recipe) -> tuple[float, float, float, float] | None:
    """Where the product is: left, top, right and bottom as shares; None if there is none."""
    names = recipe.products or tuple(
        region.name for region in recipe.regions if isinstance(region.select, SubjectSelector)
    )
    if not names:
        return _subject(Path(job.photo), job.device)
    small = recipe.model_copy(update={"size": SEEN_AT})
    scene, _ = api.prepare(small, Path(job.photo), device=job.device, cache=job.cache)
    chosen = [i for i, name in enumerate(scene.masks.names) if name in names]
    return extent(scene.masks.masks[chosen].amax(0).cpu()) if chosen else None


def _subject(photo: Path, device: str) -> tuple[float, float, float, float] | None:
    """Where what a photo was taken of is, which is its product if the recipe names none."""
    chosen, picture = choose_device(device), read_picture(photo)
    if max(picture.size) > SEEN_AT:
        picture = resize_picture(picture, fit_within(picture.size, SEEN_AT))
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(chosen)
    seen = segment(load_segmenter("scenes", device=chosen), rgb)
    if seen.subject is None:
        return None
    shown = replace(picture, rgb=rgb, alpha=None, native=None)
    mask = select(SubjectSelector(subject=True), picture=shown, segment=lambda: seen)
    return extent(mask.cpu())


def extent(mask: Tensor) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of a mask (H, W) in [0, 1] as shares; None if it is empty."""
    inside = (mask >= 0.5).float()
    total = float(inside.sum())
    if not total:
        return None
    across, down = inside.sum(0), inside.sum(1)
    columns = torch.nonzero(across >= SPECK * total / 10).flatten()
    rows = torch.nonzero(down >= SPECK * total / 10).flatten()
    height, width = mask.shape
    return (
        float(columns[0]) / width,
        float(rows[0]) / height,
        float(columns[-1] + 1) / width,
        float(rows[-1] + 1) / height,
    )


def window(
    size: tuple[int, int],
    ratio: float,
    product: tuple[float, float, float, float] | None,
    *,
    called: str,
    most: bool = False,
) -> Box:
    """The largest part of a form, around the product.

    Args:
        size: height and width of the photo, px.
        ratio: width by height of the part.
        product: left, top, right and bottom as shares of the photo; None for its center.
        called: what a message calls the photo.
        most: a product that does not fit is cut on both sides alike.

    Raises:
        PictureError: the product does not fit into it whole.
    """
    height, width = size
    wide = min(width, max(1, round(height * ratio)))
    high = min(height, max(1, round(width / ratio)))
    if product is None:
        left, top = (width - wide) // 2, (height - high) // 2
        return left, top, left + wide, top + high
    across = (product[2] - product[0]) * width, wide, width, "width"
    down = (product[3] - product[1]) * height, high, height, "height"
    for taken, part, whole, side in (across, down):
        if taken > part and not most:
            raise PictureError(
                f"{called}: the product takes {taken / whole:.1%} of its {side} and the crop "
                f"{part / whole:.1%}; say keep: most or keep: center where it may be cut"
            )
    left = _placed(width, wide, product[0], product[2], max(size))
    top = _placed(height, high, product[1], product[3], max(size))
    return left, top, left + wide, top + high


def _placed(whole: int, part: int, start: float, end: float, longest: int) -> int:
    """Where a part of a side begins that lies around a stretch of it, px."""
    first, last = start * whole, end * whole
    centered = round((first + last - part) / 2)
    if last - first > part:
        return max(0, min(whole - part, centered))
    margin = min(MARGIN * longest, (part - (last - first)) / 2)
    most, least = int(first - margin), int(last + margin + 0.999) - part
    return max(0, min(whole - part, max(least, min(most, centered))))


def _write(path: Path, picture: Picture, box: Box) -> None:
    left, top, right, bottom = box
    alpha = None if picture.alpha is None else picture.alpha[top:bottom, left:right]
    write_picture(
        path,
        picture.rgb[:, top:bottom, left:right].contiguous(),
        alpha=None if alpha is None else alpha.contiguous(),
        dpi=picture.dpi,
        depth=picture.depth,
        profile=picture.profile,
    )
