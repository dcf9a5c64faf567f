"""``plugins``: what is installed, what is in it, whether it keeps what it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from layered_nst import plugins as registered
from layered_nst.cli.console import out, print_json
from layered_nst.cli.options import JsonOption
from layered_nst.plugins import Part, Plugin
from layered_nst.words import fine_duration, storage

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
        print_json({"plugins": rows, "broken": broken, "left_out": list(found.left_out)})
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
        hashed = {} if plugin is None else registered.identity(plugin)
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
    from layered_nst.errors import PluginError
    from layered_nst.words import did_you_mean

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
    yield "sha256", registered.identity(plugin)["sha256"]


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
