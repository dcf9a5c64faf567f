"""``masks``, ``segment``, ``contours``, ``new``, ``schema``: what is needed to write a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layered_nst.cli.console import err, note, print_json, printed_notes, spelled
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    EncoderOption,
    ForceOption,
    JsonOption,
    MaxPixelsOption,
    NoCacheOption,
    PhotoArgument,
    SetOption,
    SizeOption,
    StyleOption,
    WeightsOption,
    limits,
)

if TYPE_CHECKING:
    from layered_nst.recipe import Recipe


def masks(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|PHOTO", help="Recipe or photo.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. [PHOTO.masks]"),
    ] = None,
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one PNG for each region and a colored overlay with names; of a clip, a sheet of frames.

    For a photo, the regions are the classes that the bundled segmenter finds. A picture made
    before, or its OUT.json, counts as its recipe.

    Masks in PHOTO.masks count: mend one in any editor, and recipes with a region of its name take
    it on this photo. What was mended is never replaced.
    """
    from layered_nst import api
    from layered_nst.cli.clips import is_clip_of
    from layered_nst.outputs.rerun import holds_recipe
    from layered_nst.recipe.beside import masks_folder
    from layered_nst.recipe.files import shown
    from layered_nst.views.findings import photo_masks, recipe_masks, write_masks

    options: dict[str, Any] = {"device": device, "weights_dir": weights, **limits(max_pixels)}
    with printed_notes() as notes:
        if holds_recipe(source):
            options["cache"] = not no_cache
            loaded = api.load(source, content, size=size, overrides=set_ or ())
            if is_clip_of(loaded):
                _tell_masks_of_clip(source, loaded, output, notes, as_json, **options)
                return
            found = recipe_masks(loaded, content, **options)
            found = replace(found, files=(source, *found.files))
        else:
            found = photo_masks(source, size=size, **options)
        usual = Path(shown(masks_folder(found.photo or Path("photo"))))
        written = write_masks(found, output or usual)
    for sentence in found.notes:
        note(sentence)
    told = {"coverage": found.coverage, "notes": [*notes, *map(spelled, found.notes)]}
    _tell_files(written, as_json, **told)


def _tell_masks_of_clip(
    source: Path,
    loaded: Recipe,
    output: Path | None,
    notes: list[str],
    as_json: bool,
    **options: Any,
) -> None:
    """Write a sheet of a clip's frames with their regions."""
    from layered_nst.recipe.beside import masks_folder
    from layered_nst.recipe.files import shown
    from layered_nst.video.looking import video_masks

    usual = Path(shown(masks_folder(loaded.content or Path("clip"))))
    sheet, shares, more = video_masks(loaded, output or usual, keep=[source], **options)
    for sentence in more:
        note(sentence)
    _tell_files([sheet], as_json, coverage=shares, notes=[*notes, *map(spelled, more)])


def _tell_files(paths: Iterable[Path], as_json: bool, **more: Any) -> None:
    """Print the names of files, or one JSON object of them and of what else there is to tell."""
    if as_json:
        print_json({"files": [str(path) for path in paths], **more})
        return
    for path in paths:
        print(path)


_OverlaySize = Annotated[
    int | None,
    typer.Option("--size", min=1, max=32768, help="Longest side of the overlay in px. [768]"),
]


def segment(
    photo: PhotoArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Overlay. [PHOTO.segments.png]")
    ] = None,
    segmenter: Annotated[
        str, typer.Option(help="A name that `layered-nst models` lists, or a .safetensors file.")
    ] = "scenes",
    size: _OverlaySize = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the classes found in a photo, with their share, and write an overlay."""
    from layered_nst.outputs.result import check_writable
    from layered_nst.views.findings import photo_masks, write_overlay

    target = output or photo.with_name(f"{photo.stem}.segments.png")
    check_writable(target, keep=(photo,), named=output is not None)
    with printed_notes() as notes:
        found = photo_masks(
            photo,
            size=size,
            segmenter=segmenter,
            device=device,
            weights_dir=weights,
            **limits(max_pixels),
        )
    path = write_overlay(found, target)
    shares = dict(sorted(found.coverage.items(), key=lambda item: -item[1]))
    subject = found.subject_seen()
    if as_json:
        seen = {"subject": None if subject is None else vars(subject)}
        print_json({"overlay": str(path), "classes": shares, **seen, "notes": notes})
        return
    for name, share in shares.items():
        print(f"{share:6.1%}  {name}")
    if subject is not None:
        print(f"{subject.share:6.1%}  subject, {subject.sure:.0%} sure")
    print(path)


def contours(
    photo: PhotoArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder. [PHOTO.contours]"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, max=32768, help="Longest side of the maps in px. [1024]"),
    ] = None,
    encoder: EncoderOption = "hed-vgg16",
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the contours that an encoder sees in a photo, fused and at each scale.

    These are the lines that a region's `contour` keeps. White is a contour.
    """
    from layered_nst.views.findings import check_contours, photo_contours, write_contours

    folder = output or photo.with_name(f"{photo.stem}.contours")
    check_contours(folder, reads=[photo])
    with printed_notes() as notes:
        found = photo_contours(
            photo,
            size=size,
            encoder=encoder,
            device=device,
            weights_dir=weights,
            **limits(max_pixels),
        )
    written = write_contours(found, folder, reads=[photo])
    _tell_files(written, as_json, notes=notes)


def new(
    photo: PhotoArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Recipe to write.")] = Path(
        "recipe.yaml"
    ),
    style: StyleOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a commented starter recipe: the subject stays the photo, a style goes over the rest.

    Further styles go to the largest other regions that segmentation finds. Without --style, a
    watercolor is written beside the recipe.
    """
    from layered_nst.recipe.starter import check_starter, write_starter
    from layered_nst.views.findings import photo_masks

    check_starter(output, photo, styles=style or (), force=force)
    with printed_notes() as notes:
        found = photo_masks(photo, device=device, weights_dir=weights, **limits(max_pixels))
    subject = found.subject_seen()
    classes = found.classes_beside_subject()
    recipe, *stand_in = write_starter(
        output, photo, classes, subject=subject, styles=style or (), force=force
    )
    if stand_in:
        sentence = f"no style was named; {stand_in[0]} stands in for yours"
        notes.append(sentence)
        note(sentence)
    if as_json:
        seen = {"subject": None if subject is None else vars(subject)}
        print_json({"recipe": str(recipe), "coverage": found.coverage, **seen, "notes": notes})
        return
    if subject is not None:
        err.print(f"subject  {subject}", highlight=False)
    print(recipe)


def schema(
    handbook: Annotated[
        Path | None,
        typer.Option(
            "--handbook",
            metavar="PAGE.md",
            help="Instead, write the tables of keys of a Markdown page anew, between its marks.",
        ),
    ] = None,
    campaign: Annotated[
        bool, typer.Option("--campaign", help="That of campaign files, in place of recipes.")
    ] = False,
) -> None:
    """Print the JSON Schema of recipes, for editors that complete and check them."""
    from layered_nst.campaign.schema import campaign_schema
    from layered_nst.recipe import json_schema
    from layered_nst.recipe.handbook import fill_page

    if handbook is None:
        print(json.dumps(campaign_schema() if campaign else json_schema(), indent=2))
    else:
        fill_page(handbook)
