"""A recipe without a file: a photo in a style, and what of the photo is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layered_nst.recipe.libraries import find_look

KEPT: dict[str, dict[str, Any]] = {
    "subject": {"select": {"subject": True}},
    # A face that ends sharply looks pasted on.
    "face": {"select": {"face": "all"}, "feather": 10},
    "eyes": {"select": {"face": "all", "part": "eyes"}},
    "mouth": {"select": {"face": "all", "part": "mouth"}},
    "skin": {"select": {"face": "all", "part": "skin"}, "feather": 10},
    "hair": {"select": {"face": "all", "part": "hair"}},
}
"""Regions of what can be kept by a word of its own; any other is a class of the segmenter."""


CONTOUR = 0.6
"""How firmly the photo's lines are held where nobody says: with none, eyes look elsewhere and small
things in the distance are strokes; more takes of the style."""


def recipe_at_once(photo: Path, style: str, *, keep: Sequence[str] = ()) -> dict[str, Any]:
    """A photo in a style as a recipe, as data.

    Args:
        photo: its path.
        style: path of a picture, or a look of a style library, LIBRARY/LOOK.
        keep: what stays the photo, to the pixel: subject, face, eyes, mouth, skin, hair, or
            classes.
    """
    kept = [
        {"name": word, **KEPT.get(word, {"select": {"class": word}}), "protect": True}
        for word in dict.fromkeys(keep)
    ]
    name = "style" if "style" not in keep else "painted"
    painted = {"name": name, "select": "rest", "style": [_source(style)], "contour": CONTOUR}
    return {
        "recipe": 1,
        "name": f"{photo.stem} in {Path(style).stem}",
        "content": str(photo),
        "regions": [painted, *kept],
    }


def _source(style: str) -> dict[str, str]:
    library = find_look(style, Path.cwd())[0]
    is_look = library.is_file() and not Path(style).is_file()
    return {"library" if is_look or style.endswith(".safetensors") else "image": style}
