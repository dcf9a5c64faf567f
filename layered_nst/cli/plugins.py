"""``plugins``: what is installed, what is in it, whether it keeps what it promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from layered_nst import plugins as registered
from layered_nst.cli.console import out, print_json, printed_notes
from layered_nst.cli.options import (
    ContentOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    NoCacheOption,
    QualityOption,
    RecipeArgument,
    SetOption,
    SizeOption,
    StepsOption,
    WeightsOption,
    joined_overrides,
    limits,
)
from layered_nst.errors import PluginError
from layered_nst.machine.plugin_code import identity
from layered_nst.plugins import Part, Plugin
from layered_nst.words import did_you_mean, fine_duration, storage

if TYPE_CHECKING:
    from layered_nst.testing.checking import Verdict
    from layered_nst.testing.tracing import Used

app = typer.Typer(
    help="Show, check and write plug-ins: what other packages bring.", no_args_is_help=True
)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List what is installed and what is wrong with it; every part is imported, far from here."""
    from layered_nst.plugins.examining import examine

    found = registered.installed()
    examined = examine(found.plugins)
    rows = [_told(plugin, examined[plugin.name]) for plugin in found.plugins]
    broken = [
        {"name": b.name, "package": b.distribution, "problem": b.problem} for b in found.broken
    ]
    if as_json:
        print_json(
            {
                "plugins": rows,
                "broken": broken,
                "left_out": list(found.left_out),
                "unknown": list(found.unknown),
            }
        )
        return
    _print_list(rows)
    for row in rows:
        for problem in row["problems"]:
            out.print(f"[red]{escape(row['name'])}:[/] {escape(problem)}", highlight=False)
    for row in broken:
        said = f"[red]{escape(row['name'])}:[/] cannot be used: {escape(row['problem'])}"
        out.print(said, highlight=False)
    if found.left_out:
        names = ", ".join(found.left_out)
        out.print(f"left out by {registered.VARIABLE}: {escape(names)}", highlight=False)
    for sentence in registered.unknown_allowed():
        out.print(f"[yellow]{escape(sentence)}[/]", highlight=False)


@app.command("check")
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A plug-in, a FILE.py that is one, or the folder of a package."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Test whether a plug-in keeps what every part of its kind must keep.

    Of a package its wheel is built and tested, as others will get it.
    """
    from layered_nst.testing.checking import check_plugin

    found = []
    for verdict in check_plugin(target):
        found.append(verdict)
        if not as_json:
            _print_verdict(verdict)
    broken = sum(verdict.state == "broken" for verdict in found)
    if as_json:
        print_json({"broken": broken, "contracts": [verdict.as_dict() for verdict in found]})
    else:
        kept = sum(verdict.state == "kept" for verdict in found)
        out.print(f"{kept} kept, {broken} broken", highlight=False)
    if broken:
        raise typer.Exit(1)


def _print_verdict(verdict: Verdict) -> None:
    color = {"kept": "green", "broken": "red"}.get(verdict.state, "yellow")
    said = f": {verdict.said}" if verdict.said else ""
    line = f"{escape(verdict.part)}: {escape(verdict.contract + said)}"
    out.print(f"[{color}]{verdict.state:<9}[/]{line}", highlight=False)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the plug-in is called.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="Of its part: selector, segmenter, encoder, loss, strategy, output, flow, "
            "executor, judge or command.",
        ),
    ] = "selector",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the package. [NAME]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a package with a plug-in to start from, that passes its own tests."""
    from layered_nst.testing.template import write_package

    folder = output or Path(name)
    written = write_package(name, folder, kind=kind)
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    for path in written:
        print(path)


@app.command("trace")
def trace(
    recipe: RecipeArgument,
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint a recipe with few steps, and show which parts it uses and what each takes.

    Nothing is written. Times are those of the parts' own code: the way back through the encoder,
    and the optimizer, are in the whole alone.
    """
    from layered_nst.testing.tracing import trace as traced

    with printed_notes() as notes:
        used, seconds = traced(
            recipe,
            content,
            size=size,
            overrides=joined_overrides(set_, steps=2 if steps is None else steps, quality=quality),
            device=device,
            weights_dir=weights,
            **limits(max_pixels),
            cache=not no_cache,
        )
    rows = [_used_as_data(one) for one in used]
    if as_json:
        print_json({"parts": rows, "seconds": round(seconds, 2), "notes": notes})
    else:
        _print_used(rows, seconds)


def _used_as_data(used: Used) -> dict[str, Any]:
    plugin = None if used.part.is_own else used.part.plugin
    return {
        "kind": used.part.kind,
        "part": used.part.full_name,
        "version": "" if plugin is None else plugin.version,
        "calls": used.calls,
        "seconds": round(used.seconds, 4),
    }


def _print_used(rows: list[dict[str, Any]], seconds: float) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "part", "version", "calls", "seconds"):
        table.add_column(heading, justify="right" if heading in ("calls", "seconds") else "left")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    table.add_row("", "the whole", "", "", f"{seconds:.2f}")
    out.print(table)


def _told(plugin: Plugin, examined: Any) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "license": plugin.license,
        "summary": plugin.summary,
        "package": plugin.distribution,
        "source": str(plugin.source),
        "parts": [{"kind": part.kind, "name": part.full_name} for part in _parts_of(plugin)],
        "seconds": examined.seconds,
        "problems": list(examined.problems),
    }


def _parts_of(plugin: Plugin) -> list[Part]:
    return [part for part in registered.parts() if part.plugin == plugin]


def _print_list(rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print("no plug-in is installed", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("plug-in", "version", "license", "parts", "import"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        parts = ", ".join(f"{p['kind']} {p['name'].partition('/')[2]}" for p in row["parts"])
        cells = (row["name"], row["version"], row["license"], parts)
        table.add_row(*map(escape, cells), fine_duration(row["seconds"]))
    Console(width=max(out.width, 120)).print(table)


@app.command("info")
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A plug-in, or a part, such as studio/grain.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show what a plug-in or a part says of itself: parameters, devices, memory, license."""
    plugin, parts = _found(name)
    if as_json:
        hashed = {} if plugin is None else identity(plugin)
        whole = {} if plugin is None else {"plugin": plugin.name, "license": plugin.license}
        print_json({**whole, **hashed, "parts": [_part_as_data(part) for part in parts]})
        return
    if plugin is not None:
        out.print(f"[bold]{escape(plugin.name)}[/] {escape(plugin.version)}", highlight=False)
        for key, value in _lines_of(plugin):
            out.print(f"{key:<10}{escape(value)}", highlight=False)
    for part in parts:
        out.print(f"\n[bold]{part.kind} {escape(part.full_name)}[/]", highlight=False)
        for key, value in _lines_of_part(part):
            out.print(f"  {key:<14}{escape(value)}", highlight=False)


def _found(name: str) -> tuple[Plugin | None, list[Part]]:
    """A plug-in with all its parts, or the parts of a name."""
    every = registered.parts()
    of_plugin = [part for part in every if part.plugin is not None and part.plugin.name == name]
    if of_plugin:
        return of_plugin[0].plugin, of_plugin
    named = [part for part in every if name in (part.full_name, part.name)]
    if not named:
        known = {part.plugin.name for part in every if part.plugin is not None}
        known |= {part.full_name for part in every}
        broken = [b for b in registered.installed().broken if name in (b.name, b.distribution)]
        why = f"; it cannot be used: {broken[0].problem}" if broken else ""
        hint = did_you_mean(name, sorted(known))
        raise PluginError(f"no plug-in and no part of one is called {name!r}{hint}{why}")
    return named[0].plugin, named


def _lines_of(plugin: Plugin) -> Iterator[tuple[str, str]]:
    yield from [("summary", plugin.summary)] if plugin.summary else []
    yield "license", plugin.license
    yield from [("package", plugin.distribution)] if plugin.distribution else []
    yield "source", str(plugin.source)
    yield "sha256", identity(plugin)["sha256"]


def _lines_of_part(part: Part) -> Iterator[tuple[str, str]]:
    from layered_nst.plugins.parameters import in_words

    yield from [("summary", part.summary)] if part.summary else []
    yield "object", part.object.lstrip(":") if isinstance(part.object, str) else repr(part.object)
    yield from [("suffixes", ", ".join(part.suffixes))] if part.suffixes else []
    yield "bytes", "the same for the same seed" if part.determinism == "same-bytes" else "vary"
    yield "devices", ", ".join(part.devices)
    if part.memory or part.bytes_per_pixel:
        per_pixel = f" and {part.bytes_per_pixel:g} bytes for each pixel"
        yield "memory", storage(part.memory) + (per_pixel if part.bytes_per_pixel else "")
    properties = part.parameters.get("properties", {})
    if not properties and part.parameters.get("type") != "object":
        yield "takes", in_words(part.parameters)
    for key, schema in properties.items():
        default = f", {schema['default']!r} without it" if "default" in schema else ""
        needed = ", needed" if key in part.parameters.get("required", ()) else ""
        about = f"; {schema['description']}" if schema.get("description") else ""
        yield key, f"{in_words(schema)}{default}{needed}{about}"


def _part_as_data(part: Part) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "name": part.full_name,
        "summary": part.summary,
        "object": part.object if isinstance(part.object, str) else repr(part.object),
        "parameters": dict(part.parameters),
        "suffixes": list(part.suffixes),
        "determinism": part.determinism,
        "devices": list(part.devices),
        "memory": part.memory,
        "bytes_per_pixel": part.bytes_per_pixel,
    }
