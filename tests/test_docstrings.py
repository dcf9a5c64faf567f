"""Docstrings speak one dialect: a summary, then Args, Returns and Raises as they are needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import layered_nst

PACKAGE = Path(layered_nst.__file__).parent
SECTIONS = ("Args:", "Attributes:", "Yields:", "Returns:", "Raises:")


def docstrings() -> Iterator[tuple[str, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{file.relative_to(PACKAGE)}: {node.name}", text


def test_errors_stand_in_a_section_of_their_own() -> None:
    loose = [where for where, text in docstrings() if re.search(r"\bRaises? \w+Error", text)]
    assert not loose


def test_a_summary_says_what_is_returned_without_saying_that_it_is() -> None:
    assert not [where for where, text in docstrings() if re.match(r"Returns? ", text)]


def test_sections_stand_in_their_order_after_the_summary() -> None:
    for where, text in docstrings():
        found = [line for line in text.splitlines() if line in SECTIONS]
        assert found == sorted(found, key=SECTIONS.index), where
        assert len(found) == len({*found}), where
        assert text.splitlines()[0] not in SECTIONS, where


def test_a_summary_is_a_sentence() -> None:
    for where, text in docstrings():
        summary = text.split("\n\n")[0]
        assert re.search(r"[.:!?]$", summary) or "\n" in summary, f"{where}: {summary!r}"
