"""The command line: parse, call, print."""

from __future__ import annotations

import copy
import gc
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from layered_nst.cli import (
    cache,
    campaign,
    encoder,
    finding,
    finishing,
    gallery,
    live,
    looking,
    models,
    packing,
    painter,
    painting,
    plugins,
    quick,
    scoring,
    segmenter,
    styles,
    varying,
)
from layered_nst.cli.added import Commands
from layered_nst.cli.console import (
    SaidCode,
    err,
    never_fail_on_characters,
    print_json,
    show_log,
    spelled,
)
from layered_nst.cli.signals import Stop
from layered_nst.cli.starving import (
    ended_for_want_of_memory,
    is_shortage_while_importing,
    room_in_words,
)
from layered_nst.errors import Interrupted, LayeredNstError
from layered_nst.machine.allocator import collect_rarely, reuse_memory
from layered_nst.plugins import add_file

# torch takes seconds to import, so each command imports what it needs and --help stays quick.

app = typer.Typer(
    name="layered-nst",
    cls=Commands,
    help="Restyle a photo region by region, as a recipe says.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from layered_nst._version import __version__

        print(f"layered-nst {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and what is done.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say what is done: device, tiles, cache, times.")
    ] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin", metavar="FILE.py", help="Use the parts of a plug-in of one file, too."
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    context.ensure_object(dict)["debug"] = debug


app.command()(painting.apply)
app.command()(quick.paint)
app.command()(painting.check)
app.command()(finishing.finish)
app.command()(packing.pack)
app.command()(finding.masks)
app.command()(finding.segment)
app.command()(finding.contours)
app.command()(finding.new)
app.command()(finding.schema)
app.command()(looking.features)
app.command()(looking.texture)
app.command()(scoring.score)
app.command()(gallery.gallery)
app.command()(live.live)
app.command()(varying.vary)
app.add_typer(campaign.app, name="campaign")
app.add_typer(segmenter.app, name="segmenter")
app.add_typer(encoder.app, name="encoder")
app.add_typer(painter.app, name="painter")
app.add_typer(models.app, name="models")
app.add_typer(styles.app, name="styles")
app.add_typer(cache.app, name="cache")
app.add_typer(plugins.app, name="plugins")


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    stop = Stop()
    never_fail_on_characters()
    reuse_memory()
    collect_rarely()
    debug, verbose = _flag("--debug"), _flag("--verbose")
    files = _values("--plugin")
    if debug or verbose:
        show_log(logging.DEBUG if debug else logging.INFO)
    if ended_for_want_of_memory():
        sentence = f"out of memory: libraries give up within {room_in_words()}"
        sys.exit(_failed(MemoryError(sentence), 3, debug, sentence))
    try:
        for file in files:
            add_file(file)
        code = _narrowed(app)(standalone_mode=False, prog_name="layered-nst") or 0
        if code == 130 and stop.asked and not isinstance(code, SaidCode):
            # Typer makes an exit code of what nobody has caught, and says nothing.
            raise KeyboardInterrupt
        sys.stdout.flush()
    except LayeredNstError as error:
        code = _failed(error, error.exit_code, debug)
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort) as error:
        code = _failed(error, 130, debug, "interrupted")
    except (BrokenPipeError, SystemExit):
        # Typer itself meets a broken pipe with SystemExit, and nothing else here raises that.
        code = _unread()
    except Exception as error:
        code = _failed(error, 130, debug, "interrupted") if stop.asked else _other(error, debug)
    # Before it exits Python looks for cycles among all objects, and torch's half a million take it
    # half a second; what is frozen is not looked at.
    gc.freeze()
    sys.exit(code)


def _narrowed(whole: typer.Typer) -> typer.Typer:
    """With the one command alone that is named: Typer takes longer to make all than it to run."""
    named, found = next(iter(sys.argv[1:]), ""), copy.copy(whole)
    found.registered_groups = [one for one in whole.registered_groups if one.name == named]
    found.registered_commands = [
        one
        for one in whole.registered_commands
        if one.callback is not None and (one.name or one.callback.__name__) == named
    ]
    # What is no command of ours wants to be told which there are.
    return found if found.registered_groups or found.registered_commands else whole


def _flag(name: str) -> bool:
    """Whether an option is given, which then stands for all commands, and taken out."""
    given = name in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != name]
    return given


def _values(name: str) -> list[str]:
    """What an option is given that stands for all commands, and taken out."""
    found, rest = [], iter(sys.argv[1:])
    kept = sys.argv[:1]
    for word in rest:
        if word == name and (value := next(rest, None)) is not None:
            found.append(value)
        elif word.startswith(f"{name}="):
            found.append(word.removeprefix(f"{name}="))
        else:
            kept.append(word)
    sys.argv[:] = kept
    return found


def _unread() -> int:
    """Whoever read our output, such as ``head``, has seen enough."""
    # Python flushes once more at exit and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


# Of torch, and of C++ where torch hands its errors on.
_SHORTAGE = ("not enough memory", "std::bad_alloc")


def _other(error: Exception, debug: bool) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "show"):
        error.show()
        return int(error.exit_code)
    if is_shortage_while_importing(error):
        sentence = f"out of memory: not even the libraries fit into {room_in_words()}"
        return _failed(error, 3, debug, sentence)
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SHORTAGE):
        return _failed(error, 3, debug, "out of memory; try a smaller --size")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _failed(error, 3, debug, f"{place}{error.strerror or error}")
    sentence = f"unexpected {type(error).__name__}: {error} (run with --debug to see where)"
    return _failed(error, 1, debug, sentence)


def _failed(error: BaseException, code: int, debug: bool, sentence: str | None = None) -> int:
    if debug:
        traceback.print_exception(error)
    label = "" if code == 130 else "[red]error:[/] "
    said = spelled(sentence or str(error))
    err.print(label + escape(said), highlight=False)
    if "--json" in sys.argv:
        print_json({"error": {"code": _named(error, code), "message": said, "exit_code": code}})
    return code


def _named(error: BaseException, exit_code: int) -> str:
    """A word for the kind of an error, also of one that is not this package's."""
    usual = {3: "system", 130: Interrupted.code}.get(exit_code, "unexpected")
    return error.code if isinstance(error, LayeredNstError) else usual
