"""Commands of plug-ins among ours: listed from their manifests, imported when they are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from layered_nst import plugins
from layered_nst.plugins import Part
from layered_nst.plugins.parameters import accepted, in_words


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
                if part.parameters.get("properties"):
                    return _command(part, _stated(part))
                function = _guarded(part, plugins.object_of(part)) if self._running else _nothing
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


def _stated(part: Part) -> Callable[..., Any]:
    """A function with the parameters of a part's schema; nothing is imported to show them."""
    properties = part.parameters["properties"]
    names = {key.replace("-", "_"): key for key in properties}
    needed = [*part.parameters.get("required", ())]
    wanted = sorted(names, key=lambda name: names[name] not in needed)
    stated = [_parameter(name, properties[names[name]], names[name] in needed) for name in wanted]

    def call(**given: Any) -> Any:
        said = {names[name]: value for name, value in given.items() if value not in (None, [])}
        value = accepted(part, said)
        return _guarded(part, plugins.object_of(part))(**value)

    call.__signature__ = Signature(stated)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in stated}
    return call


_TYPES = {"integer": int, "number": float, "boolean": bool, "string": str}


def _parameter(name: str, schema: Mapping[str, Any], needed: bool) -> Parameter:
    """An argument for what is needed, an option for what may be left out."""
    several = schema.get("type") == "array"
    told = schema.get("items", {}) if several else schema
    kind: Any = _TYPES.get(told.get("type", "string"), str)
    if several:
        kind = list[kind]
    about = f"{schema.get('description', '')} ({in_words(schema)})".strip()
    if "default" in schema:
        about += f" [{schema['default']}]"
    if needed:
        argument = typer.Argument(help=about)
        return Parameter(name, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, argument])
    option = typer.Option(f"--{name.replace('_', '-')}", help=about, show_default=False)
    optional = Annotated[kind | None, option]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=optional)


def _guarded(part: Part, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plug-in's function, whose errors name the plug-in."""

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
