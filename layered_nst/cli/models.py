"""``models``: what there is, and fetching what is not bundled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from layered_nst.cli.console import err, out, print_json
from layered_nst.cli.options import JsonOption, WeightsOption

if TYPE_CHECKING:
    from layered_nst.networks.catalogue import Model

app = typer.Typer(help="List the models, or fetch one.", invoke_without_command=True)


@app.callback()
def models(
    context: typer.Context, weights: WeightsOption = None, as_json: JsonOption = False
) -> None:
    """List the models: what for, size, license, and whether they are on this machine."""
    from layered_nst.networks import catalogue

    if context.invoked_subcommand is not None:
        return
    if as_json:
        print_json({model.name: _told(model, weights) for model in catalogue.models()})
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "kind", "here", "MB", "license", "note"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
    for model in catalogue.models():
        here = catalogue.is_present(model.name, weights_dir=weights)
        where = "bundled" if model.bundled else "yes" if here else "no"
        table.add_row(
            model.name, model.kind, where, f"{model.megabytes:.0f}", model.license, model.note
        )
    Console(width=max(out.width, 120)).print(table)


def _told(model: Model, weights: Path | None) -> dict[str, Any]:
    from layered_nst.networks.catalogue import is_present

    return {
        "kind": model.kind,
        "bundled": model.bundled,
        "here": is_present(model.name, weights_dir=weights),
        "megabytes": model.megabytes,
        "license": model.license,
        "note": model.note,
    }


@app.command("fetch")
def fetch_model(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name that `layered-nst models` lists.")
    ],
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a model's weights, and print where they are."""
    from layered_nst.networks.catalogue import fetch

    bar = Progress(
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(name, total=None)
        path = fetch(
            name,
            weights_dir=weights,
            on_bytes=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if as_json:
        print_json({"model": name, "path": str(path)})
    else:
        print(path)
