"""What the commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from layered_nst.errors import LayeredNstWarning
from layered_nst.files.texts import json_text, readable

# Names of files and regions are the user's: a :cat: among them is no emoji.
out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)


_OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "address",
        "carry",
        "content",
        "device",
        "encoder",
        "force",
        "form",
        "max_pixels",
        "memory",
        "output",
        "pooling",
        "quality",
        "rebuild",
        "recipe",
        "resume",
        "seed",
        "size",
        "steps",
        "strict",
        "within",
        "threads",
        "workers",
    )
} | {"layers": "--layer", "overrides": "--set", "sides": "--scale", "weights_dir": "--weights"}
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`]+))?`")


def spelled(sentence: str) -> str:
    """A sentence of the package with its arguments as options: `` `size=64` `` is ``--size 64``."""

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        if name not in _OPTIONS:
            return found[0]
        return _OPTIONS[name] if value in (None, "True") else f"{_OPTIONS[name]} {value}"

    return _ARGUMENT.sub(option, sentence)


def show_log(level: int) -> None:
    """Show what the package logs from a level on, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)6d ms  %(name)s: %(message)s"))
    logger = logging.getLogger("layered_nst")
    logger.handlers = [handler]
    logger.setLevel(level)


def note(sentence: str) -> None:
    err.print(f"[yellow]note:[/] {escape(spelled(sentence))}", highlight=False)


@contextmanager
def printed_notes() -> Iterator[list[str]]:
    """Print the package's warnings as notes, one line each, and keep them."""
    kept: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", LayeredNstWarning)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, LayeredNstWarning):
                kept.append(spelled(str(message)))
                note(str(message))
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield kept


class SaidCode(int):
    """An exit code of a command that has said itself how it ended."""


def print_json(value: dict[str, Any]) -> None:
    # A loss may be infinite, which JSON has no word for.
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    text = json_text(finite)
    print(text if _can_show(text) else json.dumps(finite))


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


# What our own sentences are made of, where a stream has no sign for it.
_PLAIN = {"×": "x", "…": "...", "–": "-", "’": "'"}


def never_fail_on_characters() -> None:
    """Print what a stream cannot show as an escape, on standard output as on standard error.

    On standard output a byte of a file's name that is no UTF-8 leaves as it came, so that a
    printed path can be used.
    """
    codecs.register_error("layered-nst output", _printed)
    codecs.register_error("layered-nst errors", _told)
    for stream, kind in ((sys.stdout, "output"), (sys.stderr, "errors")):
        # None without a console, or whatever a program has put in its place.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=f"layered-nst {kind}")


def _printed(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00]), error.start + 1
    return _told(error)


def _told(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    letter = error.object[error.start]
    escaped = readable(letter).encode("ascii", "backslashreplace").decode()
    return _PLAIN.get(letter, escaped), error.start + 1
