"""``masks``, ``segment``, ``contours``, ``new``, ``schema``: what is needed to write a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from layered_nst.cli.console import note, print_json, printed_notes
from layered_nst.cli.options import (
    ContentOption,
    EncoderOption,
    JsonOption,
    MaxPixelsOption,
    PhotoArgument,
    SetOption,
    SizeOption,
    WeightsOption,
    limits,
)


def masks(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|PHOTO", help="Recipe or photo.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. [PHOTO.masks]"),
    ] = None,
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """Write one PNG for each region and a colored overlay with names.

    For a photo, the regions are the classes that the bundled segmenter finds. A picture made
    before, or its OUT.json, counts as its recipe.

    Masks in PHOTO.masks count: mend one in any editor, and recipes with a region of its name take
    it on this photo. What was mended is never replaced.
    """
    from layered_nst.outputs.rerun import holds_recipe
    from layered_nst.recipe.beside import masks_folder
    from layered_nst.views.findings import photo_masks, recipe_masks, write_masks

    with printed_notes():
        if holds_recipe(source):
            found = recipe_masks(
                source,
                content,
                size=size,
                overrides=set_ or (),
                weights_dir=weights,
                **limits(max_pixels),
            )
        else:
            found = photo_masks(source, size=size, weights_dir=weights, **limits(max_pixels))
        written = write_masks(found, output or masks_folder(found.photo or Path("photo")))
    for path in written:
        print(path)
    for sentence in found.notes:
        note(sentence)


def segment(
    photo: PhotoArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Overlay. [PHOTO.segments.png]")
    ] = None,
    segmenter: Annotated[
        str, typer.Option(help="A name that `layered-nst models` lists, or a .safetensors file.")
    ] = "scenes",
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, help="Longest side of the overlay in px. [1024]"),
    ] = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the classes found in a photo, with their share, and write an overlay."""
    from layered_nst.outputs.result import check_writable
    from layered_nst.views.findings import photo_masks, write_overlay

    target = output or photo.with_name(f"{photo.stem}.segments.png")
    check_writable(target, keep=(photo,))
    with printed_notes() as notes:
        found = photo_masks(
            photo, size=size, segmenter=segmenter, weights_dir=weights, **limits(max_pixels)
        )
    path = write_overlay(found, target)
    shares = dict(sorted(found.coverage.items(), key=lambda item: -item[1]))
    if as_json:
        print_json({"overlay": str(path), "classes": shares, "notes": notes})
        return
    for name, share in shares.items():
        print(f"{share:6.1%}  {name}")
    print(path)


def contours(
    photo: PhotoArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. [PHOTO.contours]"),
    ] = None,
    size: SizeOption = None,
    encoder: EncoderOption = "hed-vgg16",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """Write the contours that an encoder sees in a photo, fused and at each scale.

    These are the lines that a region's `contour` keeps. White is a contour.
    """
    from layered_nst.views.findings import photo_contours, write_contours

    folder = output or photo.with_name(f"{photo.stem}.contours")
    with printed_notes():
        found = photo_contours(
            photo, size=size, encoder=encoder, weights_dir=weights, **limits(max_pixels)
        )
    for path in write_contours(found, folder):
        print(path)


def new(
    photo: PhotoArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Recipe to write.")] = Path(
        "recipe.yaml"
    ),
    style: Annotated[
        list[Path] | None,
        typer.Option("--style", help="Style picture; may be given several times."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
    weights: WeightsOption = None,
) -> None:
    """Write a commented starter recipe with the regions that segmentation finds."""
    from layered_nst.recipe.starter import write_starter
    from layered_nst.views.findings import photo_masks

    with printed_notes():
        found = photo_masks(photo, weights_dir=weights)
    write_starter(output, photo, found.coverage, styles=style or (), force=force)
    print(output)
    if not style:
        note("no style yet: give a region of the recipe one, or run this again with --style")


def schema(
    handbook: Annotated[
        Path | None,
        typer.Option(
            "--handbook",
            metavar="PAGE.md",
            help="Instead, write the tables of keys of a Markdown page anew, between its marks.",
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of recipes, for editors that complete and check them."""
    from layered_nst.recipe import json_schema
    from layered_nst.recipe.handbook import fill_page

    if handbook is None:
        print(json.dumps(json_schema(), indent=2))
    else:
        fill_page(handbook)
