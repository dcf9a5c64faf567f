"""What commands keep."""

from __future__ import annotations

from inspect import Signature

import typer
import typer.main

from layered_nst import plugins
from layered_nst.plugins import Part


def has_help(part: Part) -> None:
    assert part.summary, "it has no summary, by which commands are listed"
    function = plugins.object_of(part)
    assert callable(function), f"it is a {type(function).__name__}, and no function"
    if part.parameters.get("properties"):
        Signature.from_callable(function).bind(**dict.fromkeys(part.parameters["properties"]))
        return  # its options follow from its schema
    app = typer.Typer(add_completion=False)
    app.command(part.name)(function)
    command = typer.main.get_command(app)
    command.make_context(part.name, [], resilient_parsing=True)


CONTRACTS = {"a command is made of it, and it says what it does": has_help}
