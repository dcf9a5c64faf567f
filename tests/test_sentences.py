"""What the package says: in the words of Python outside of the command line, and in American."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import layered_nst

PACKAGE = Path(layered_nst.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+|(?<![\w-])-[a-z](?![\w-])")
ALLOWED = {
    # A recipe's comment tells what to type.
    "recipe/starter.py": {"-o", "--quality"},
    # What they start is another program.
    "plugins/examining.py": {"-c"},
    "testing/checking.py": {
        *("-m", "-w", "--json", "--no-deps", "--quiet", "--disable-pip-version-check"),
        "--no-build-isolation",
    },
    # Its README tells what to type.
    "testing/template.py": {"-e"},
    # How Python is told to run a module as a worker.
    "campaign/executors/local.py": {"-m"},
    "campaign/executors/measuring.py": {"-m"},
}
"""Options that a module outside of the command line may name, each with its reason."""

BRITISH = re.compile(
    r"(?i)colour|centre|centring|licence|grey|neighbour|favour|behaviour|flavour"
    r"|(?:optim|normal|minim|maxim|initial|synthes|recogn|organ|quant|regular|special|stabil|visual"
    r"|general|harmon|emphas|summar|standard)is(?:e[sdr]?|ing|ation)s?(?![a-z])"
    r"|analys(?:e[sd]?|ing)(?![a-z])|label(?:led|ling)|model(?:led|ling)|travel(?:led|ling)"
    r"|cancel(?:led|ling)|artefact|whilst"
)


STORED = {("training/encoders/hed_vgg16.py", "licence")}
"""Keys of files that are there already."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text("utf-8"))


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of a module with their lines: all but docstrings, which nobody is told."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id


def test_no_sentence_outside_of_the_command_line_names_an_option() -> None:
    found = [
        f"{file}:{line}: {option[0]}"
        for file, tree in modules()
        if not file.startswith("cli/")
        for line, text in sentences(tree)
        for option in OPTION.finditer(text)
        if option[0] not in ALLOWED.get(file, ())
    ]
    # Sentences name the argument in backticks, and the command line spells it as its option.
    assert not found


def test_sentences_and_names_are_american() -> None:
    found = [
        f"{file}:{line}: {match[0]}"
        for file, tree in modules()
        for line, text in (*sentences(tree), *names(tree))
        for match in BRITISH.finditer(text)
        if (file, match[0]) not in STORED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("word", "british"),
    [("colour", True), ("color", False), ("optimised", True), ("optimized", False),
     ("precise", False), ("exercise", False), ("greyscale", True), ("synthesis", False)],
)  # fmt: skip
def test_british_words_are_known(word: str, british: bool) -> None:
    assert bool(BRITISH.search(word)) == british
