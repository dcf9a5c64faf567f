"""What programs ask of a photo, as the commands of the same names do; nothing is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from layered_nst.outputs.rerun import holds_recipe
from layered_nst.picture import MAX_PIXELS
from layered_nst.recipe import Recipe
from layered_nst.recipe.starter import write_starter
from layered_nst.views.findings import Findings, photo_masks, recipe_masks


def masks(
    source: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Findings:
    """Find the regions of a recipe on its photo, or the classes of a photo.

    Args:
        source: a recipe as ``apply`` takes it, or the path of a photo.
        content: the photo, in place of the recipe's.
        size: longest side of the masks in px.
        overrides: of the recipe.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.

    Returns:
        The photo and a mask (H, W) in [0, 1] for each region or class.

    Raises:
        LayeredNstError: the recipe or the photo is at fault.
    """
    if isinstance(source, str | Path) and not holds_recipe(Path(source)):
        return segment(
            source, size=size, device=device, weights_dir=weights_dir, max_pixels=max_pixels
        )
    return recipe_masks(
        source,
        content,
        size=size,
        overrides=overrides,
        device=device,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
    )


def segment(
    photo: Any,
    *,
    segmenter: str = "scenes",
    size: int | None = None,
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Findings:
    """Find the classes of a photo, each pixel in the likeliest one.

    Args:
        photo: as ``apply`` takes its content.
        segmenter: a name of the catalogue, or the path of a file.
        size: longest side of the masks in px; 768 if not given.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.

    Returns:
        The photo and a mask (H, W), 0 or 1, for each class that is there.

    Raises:
        LayeredNstError: the photo cannot be read, or the segmenter's weights are missing.
    """
    return photo_masks(
        photo,
        size=size,
        segmenter=segmenter,
        device=device,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
    )


def new(
    photo: str | Path,
    recipe: str | Path = "recipe.yaml",
    *,
    styles: Sequence[str | Path] = (),
    force: bool = False,
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Path:
    """Write a commented starter recipe: a photo's subject is kept, a style goes over the rest.

    Args:
        photo: a file.
        recipe: the file to write; paths in it are relative to its folder.
        styles: pictures: one for the rest, further ones for the largest classes; without any, a
            watercolor is written beside the recipe.
        force: replace a recipe that is there.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.

    Returns:
        The recipe.

    Raises:
        OutputError: the recipe is there already, or cannot be written.
        PictureError: the photo or a style is not there.
    """
    found = segment(Path(photo), device=device, weights_dir=weights_dir, max_pixels=max_pixels)
    path, looks = Path(recipe), [Path(style) for style in styles]
    classes, subject = found.classes_beside_subject(), found.subject_seen()
    write_starter(path, Path(photo), classes, subject=subject, styles=looks, force=force)
    return path
