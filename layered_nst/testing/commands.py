"""What commands keep."""

from __future__ import annotations

import typer
import typer.main

from layered_nst import plugins
from layered_nst.plugins import Part


def has_help(part: Part) -> None:
    app = typer.Typer(add_completion=False)
    app.command(part.name)(plugins.object_of(part))
    command = typer.main.get_command(app)
    command.make_context(part.name, [], resilient_parsing=True)
    assert part.summary, "it has no summary, by which commands are listed"


CONTRACTS = {"typer makes a command of it, and it says what it does": has_help}
