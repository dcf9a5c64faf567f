"""Commands of plug-ins among ours: listed from their manifests, imported when they are run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from layered_nst import plugins
from layered_nst.plugins import Part


class Commands(TyperGroup):
    """Our commands, and below them those of plug-ins; none of ours can be hidden by one."""

    _running = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all."""
        own = super().list_commands(ctx)
        return [*own, *(_called(part, own) for part in plugins.commands())]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to be run."""
        self._running = True
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name; one of a plug-in is imported only to be run."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for part in plugins.commands():
            if cmd_name in (part.name, part.full_name):
                function = _guarded(part) if self._running else _nothing
                return _command(part, function)
        return None


def _called(part: Part, own: list[str]) -> str:
    return part.full_name if part.name in own else part.name


def _nothing() -> None:
    pass


def _command(part: Part, function: Callable[..., Any]) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(
        part.name,
        help=part.summary or None,
        rich_help_panel="Commands of plug-ins",
        short_help=f"{part.summary} ({part.full_name})".strip(),
    )(function)
    return typer.main.get_command(app)


def _guarded(part: Part) -> Callable[..., Any]:
    """A plug-in's function, whose errors name the plug-in."""
    function = plugins.object_of(part)

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        with plugins.blamed(part):
            try:
                return function(*args, **options)
            except Exception as error:
                if not isinstance(error, typer.Exit | typer.Abort) and not hasattr(error, "show"):
                    raise
                leave = error
        raise leave

    return call
