"""Masks beside a photo: ``PHOTO.masks/REGION.png`` stands in for what a recipe selects.

`layered-nst masks` writes them there, each with a seal of its pixels. A mask whose seal holds says
no more than the recipe did and is not used; one that was mended in an editor, or drawn by hand, is.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from PIL import Image

from layered_nst.files.hashes import bytes_hash
from layered_nst.recipe.nodes import Node, Place, from_plain, region_name

SEAL = "layered-nst mask"
"""Under this key a mask carries the seal of its pixels."""

PHOTOS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""How the names of photos end; others may lie beside them under the same name."""

OVERLAY = "overlay"
"""Name of the picture of all masks beside them."""


def masks_folder(photo: Path) -> Path:
    """The folder for a photo's masks: ``PHOTO.masks``, without the photo's suffix.

    Where photos of two suffixes share a name, the suffix stays: ``PHOTO.jpg.masks``.
    """
    short, full = photo.with_suffix(".masks"), photo.with_name(f"{photo.name}.masks")
    others = photo.parent.glob(f"{glob.escape(photo.stem)}.*")
    # Not mine.segments.png or mine.preview.png beside mine.jpg: their names only begin alike.
    alike = (other for other in others if other.stem == photo.stem and other.name != photo.name)
    shared = any(other.suffix.lower() in PHOTOS for other in alike)
    if os.path.isdir(full) or (shared and not os.path.isdir(short)):
        return full
    return short


def mask_stems(names: Sequence[str]) -> list[str]:
    """Names of mask files, without suffix, for regions or classes.

    A class may be called anything, some disks ignore case, and `OVERLAY` is taken.
    """
    taken, stems = {OVERLAY}, list[str]()
    for name in names:
        plain = re.sub(r'[\x00-\x1f\\/:*?"<>|]', "_", name.strip("()")).strip(". ") or "mask"
        stem = next(s for s in _variants(plain[:60]) if s.casefold() not in taken)
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def _variants(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem} {number}" for number in count(2))


def seal_of(mask: Image.Image) -> str:
    """SHA-256 of the size and the gray values of a mask, in hex."""
    return bytes_hash([repr(mask.size).encode(), mask.convert("L").tobytes()])


def is_as_written(path: Path) -> bool:
    """Whether a file is a mask that this program wrote and nobody has changed since."""
    try:
        with Image.open(path, formats=["PNG"]) as mask:
            seal = mask.info.get(SEAL)
            return seal is not None and mask.mode in ("L", "RGB") and seal == seal_of(mask)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def with_masks_beside(root: Node) -> Node:
    """The recipe with the masks beside its photo among its ``photos``.

    Args:
        root: a recipe with absolute paths.
    """
    content = root.child("content")
    if content is None or not isinstance(content.value, str):
        return root
    photo = Path(content.value)
    found = {
        name: {"mask": str(mask), "exact": True}
        for name, mask in _masks_of(photo, _region_names(root)).items()
        if not is_as_written(mask)
    }
    return _with_selectors(root, str(photo), found) if found else root


def _masks_of(photo: Path, names: Sequence[str]) -> dict[str, Path]:
    folder = masks_folder(photo)
    files = {
        name: folder / f"{stem}.png" for name, stem in zip(names, mask_stems(names), strict=True)
    }
    return {name: file for name, file in files.items() if os.path.isfile(file)}


def _region_names(root: Node) -> list[str]:
    regions = root.child("regions")
    stated = regions.value if regions is not None and isinstance(regions.value, list) else []
    return [name for name in map(region_name, stated) if name is not None]


def _with_selectors(root: Node, photo: str, selectors: dict[str, dict[str, object]]) -> Node:
    place = Place("", None, Path(photo).parent)
    photos = root.child("photos")
    others = photos.value if photos is not None and isinstance(photos.value, dict) else {}
    stated = others[photo].value if photo in others else {}
    own = {**stated, **{name: from_plain(value, place) for name, value in selectors.items()}}
    return Node({**root.value, "photos": Node({**others, photo: Node(own, place)}, place)}, place)
