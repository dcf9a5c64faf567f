"""What the commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from layered_nst.errors import LayeredNstWarning

# Names of files and regions are the user's: a :cat: among them is no emoji.
out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)


def note(sentence: str) -> None:
    err.print(f"[yellow]note:[/] {escape(sentence)}", highlight=False)


@contextmanager
def printed_notes() -> Iterator[list[str]]:
    """Print the package's warnings as notes, one line each, and keep them."""
    kept: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", LayeredNstWarning)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, LayeredNstWarning):
                kept.append(str(message))
                note(str(message))
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield kept


def print_json(value: dict[str, Any]) -> None:
    # A loss may be infinite, which JSON has no word for.
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    print(json.dumps(finite, ensure_ascii=False))
