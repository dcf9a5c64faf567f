"""``features`` and ``texture``: what a photo and a style are to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layered_nst.cli.console import print_json, printed_notes
from layered_nst.cli.display import Display
from layered_nst.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    LayersOption,
    MaxPixelsOption,
    PhotoArgument,
    Quality,
    QualityOption,
    SeedOption,
    StepsOption,
    WeightsOption,
    limits,
)
from layered_nst.cli.signals import undisturbed

if TYPE_CHECKING:
    from layered_nst.picture import Picture
    from layered_nst.recipe import Optimize
    from layered_nst.views.feature_sheets import FeatureMaps
    from layered_nst.views.textures import Texture


_SheetOrFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR|SHEET",
        help="A folder for one sheet each, or a picture for all. [PHOTO.features.png]",
    ),
]
_ShownLayers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="NAME,NAME",
        help="Layers. [conv1_1,conv3_1,conv5_1, or all that a plug-in names]",
    ),
]
_TextureSheet = Annotated[
    Path | None, typer.Option("--output", "-o", help="Sheet. [STYLE.texture.png]")
]
_TextureSize = Annotated[
    int, typer.Option("--size", min=1, max=4096, help="Longest side of a texture in px.")
]
_Channels = Annotated[int, typer.Option("--channels", min=1, help="Channels shown of each layer.")]


def features(
    photo: PhotoArgument,
    layers: _ShownLayers = None,
    output: _SheetOrFolder = None,
    channels: _Channels = 24,
    size: Annotated[
        int, typer.Option("--size", min=1, max=4096, help="Longest side of the photo seen, in px.")
    ] = 512,
    encoder: EncoderOption = "hed-vgg16",
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the layers of the encoder answer to in a photo, as sheets of feature maps."""
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.outputs.result import check_writable
    from layered_nst.picture import read_picture
    from layered_nst.views import feature_sheets as sheets

    target = output or photo.with_name(f"{photo.stem}.features.png")
    if sheets.is_sheet(target):
        check_writable(target, keep=(photo,), named=output is not None)
    chosen = choose_device(device)
    with printed_notes() as notes:
        picture = read_picture(photo, **limits(max_pixels))
        network = load_encoder(encoder, weights_dir=weights, device=chosen)
    seen = sheets.seen(picture, size).to(chosen)
    names = _names(layers) if layers else sheets.shown_of(network)
    found = sheets.feature_maps(network, seen, names, count=channels)
    paths = sheets.write_feature_sheets(found, seen, target, reads=[photo])
    if as_json:
        layers_told = {maps.layer: _told(maps) for maps in found}
        print_json({"files": [*map(str, paths)], "layers": layers_told, "notes": notes})
        return
    for path in paths:
        print(path)


def _told(maps: FeatureMaps) -> dict[str, Any]:
    energy = dict(zip(map(str, maps.channels), maps.energy.tolist(), strict=True))
    return {"channels": maps.width, "energy": energy, "top": maps.top}


def texture(
    style: Annotated[Path, typer.Argument(metavar="STYLE", help="Style picture.")],
    layers: LayersOption = None,
    output: _TextureSheet = None,
    size: _TextureSize = 256,
    steps: StepsOption = None,
    quality: QualityOption = None,
    seed: SeedOption = 0,
    encoder: EncoderOption = "hed-vgg16",
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a style's texture from noise, with one layer more on each tile of a sheet.

    What the deepest tile shows is all of the style that the engine knows of.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.outputs.result import check_writable
    from layered_nst.picture import read_picture
    from layered_nst.views.textures import synthesize

    target = output or style.with_name(f"{style.stem}.texture.png")
    check_writable(target, keep=(style,), named=output is not None)
    chosen = choose_device(device)
    with printed_notes() as notes, Display(quiet=as_json) as display:
        picture = read_picture(style, **limits(max_pixels))
        made = synthesize(
            load_encoder(encoder, weights_dir=weights, device=chosen),
            picture,
            layers=_names(layers) if layers else None,
            size=size,
            options=_options(quality, steps, seed),
            on_progress=display.step,
        )
    _write_textures(target, picture, made)
    distances = {texture.layers[-1]: texture.distance for texture in made}
    if as_json:
        print_json({"sheet": str(target), "distances": distances, "notes": notes})
    else:
        print(target)


def _options(quality: Quality | None, steps: int | None, seed: int) -> Optimize:
    from layered_nst.recipe import Optimize

    return Optimize(quality=quality.value if quality else "standard", steps=steps, seed=seed)


def _write_textures(target: Path, style: Picture, made: Sequence[Texture]) -> None:
    from layered_nst.picture import write_image
    from layered_nst.views.textures import texture_sheet

    sheet = texture_sheet(style, made)
    with undisturbed():
        write_image(target, sheet)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
