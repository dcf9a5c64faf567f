"""``styles``: libraries of looks that a team shares."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from layered_nst.cli.console import err, out, print_json, printed_notes
from layered_nst.cli.options import (
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    WeightsOption,
    limits,
)

app = typer.Typer(help="Build and show libraries of looks.", no_args_is_help=True)

LibraryArgument = Annotated[
    str, typer.Argument(metavar="LIBRARY", help="A file, or the name of one as recipes use it.")
]

LibraryOutput = Annotated[
    Path, typer.Option("--output", "-o", help="Library to write or add to (.safetensors).")
]


class Pooling(StrEnum):
    """Values of ``optimize.pooling``."""

    MAX = "max"
    AVERAGE = "average"


@app.command("build")
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What recipes call the look.")],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help="Its pictures.")],
    output: LibraryOutput = Path("styles.safetensors"),
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask", help="Which part of a picture is style; one for each picture, - for all."
        ),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="Share of a picture; one for each picture. [equal]"),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale", metavar="PX,PX,…", help="Longest sides to look at. [64 to 1024 px by √2]"
        ),
    ] = None,
    license: Annotated[
        str, typer.Option("--license", help="Terms of the pictures, in words.")
    ] = "",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", help="Layer to store; may be given several times. [the default plan's]"
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="Encoder of the recipes. [hed-vgg16 and light, which the qualities use]",
        ),
    ] = None,
    pooling: Annotated[
        Pooling, typer.Option("--pooling", help="Pooling of the recipes.")
    ] = Pooling.MAX,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Keep thumbnails in place of the pictures.")
    ] = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store a look of one or several pictures in a library.

    A library that is there keeps its other looks; a look of the same name is replaced. The
    pictures need not be there when a recipe names the look as `{library: LIBRARY/NAME}`.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoders
    from layered_nst.painting.plan import HEAVY, LIGHT
    from layered_nst.styles.library import build_look, check_names, store_look
    from layered_nst.styles.library.building import SIDES

    check_names(output, name)
    names = (HEAVY, LIGHT) if encoder is None else (encoder,)
    loaded = load_encoders(names, weights_dir=weights, device=choose_device(device))
    first, *others = loaded.values()
    with printed_notes() as notes, Progress(console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(name, total=len(pictures))
        look = build_look(
            first,
            pictures,
            masks=[None if str(path) == "-" else path for path in mask or ()],
            weights=weight or (),
            sides=SIDES if scale is None else _sides(scale),
            layers=layer or None,
            pooling=pooling.value,
            license=license,
            keep_pictures=not no_pictures,
            others=others,
            **limits(max_pixels),
            on_picture=lambda done, of: bar.update(task, completed=done, total=of),
        )
    store_look(output, name, look)
    if as_json:
        print_json({"library": str(output), "look": name, "notes": notes})
    else:
        print(f"{output}  {name}")


def _sides(text: str) -> list[int]:
    try:
        return [int(side) for side in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--scale {text}: write PX,PX,…, e.g. 128,256,512") from error


@app.command("list")
def list_looks(library: LibraryArgument, as_json: JsonOption = False) -> None:
    """List the looks of a library: pictures, sizes, encoder, license."""
    from layered_nst.recipe import find_library
    from layered_nst.styles.library import read_records

    records = read_records(find_library(library, Path.cwd()))
    if as_json:
        print_json({name: record.model_dump(mode="json") for name, record in records.items()})
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("look", "pictures", "px", "encoder", "pooling", "kept", "license"):
        table.add_column(heading)
    for name, record in records.items():
        table.add_row(
            name,
            ", ".join(source.name for source in record.sources),
            f"{record.sides[0]}–{record.sides[-1]}",
            ", ".join(record.encoders),
            record.pooling,
            record.kept,
            record.license or "(not stated)",
        )
    out.print(table)


@app.command("show")
def show(
    library: LibraryArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Sheet to write. [styles.png]")
    ] = None,
    size: Annotated[
        int, typer.Option("--size", min=16, max=1024, help="Longest side of a picture on it in px.")
    ] = 160,
    as_json: JsonOption = False,
) -> None:
    """Write a sheet of a library's looks with their pictures."""
    from layered_nst.outputs.result import check_writable
    from layered_nst.picture import write_image
    from layered_nst.recipe import find_library
    from layered_nst.styles.library import read_looks
    from layered_nst.views.library_sheet import library_sheet

    path = find_library(library, Path.cwd())
    target = output or Path("styles.png")
    check_writable(target, keep=[path], named=output is not None)
    looks = read_looks(path)
    write_image(target, library_sheet(looks, size=size))
    if as_json:
        print_json({"sheet": str(target), "looks": [*looks]})
    else:
        print(target)


@app.command("merge")
def merge(
    libraries: Annotated[list[str], typer.Argument(metavar="LIBRARY…", help="Libraries.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Library to write (.safetensors).")
    ] = Path("merged.safetensors"),
    as_json: JsonOption = False,
) -> None:
    """Put the looks of several libraries into one."""
    from layered_nst.recipe import find_library
    from layered_nst.styles.library import merge_libraries

    paths = [find_library(library, Path.cwd()) for library in libraries]
    names = merge_libraries(paths, output)
    if as_json:
        print_json({"library": str(output), "looks": names})
    else:
        print(f"{output}  {', '.join(names)}")
