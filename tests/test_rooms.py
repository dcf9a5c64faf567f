"""The house has rooms: each imports only from those above it, lazily and for types too."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import layered_nst

PACKAGE = Path(layered_nst.__file__).parent
OPEN = ("errors", "_version", "words")
"""Open to all."""
ROOMS = (
    "plugins",
    "files",
    "machine",
    "picture",
    "recipe",
    "networks",
    "regions",
    "styles",
    "instant",
    "painting",
    "scene",
    "strategies",
    "outputs",
    "api",
    "judge",
    "views",
    "training",
    "video",
    "live",
    "campaign",
    "testing",
    "cli",
)
"""From top to bottom; a room knows nothing of those below it."""
LONGEST_CHAIN = 12
LONG, MOST_LONG, TOO_LONG = 40, 8, 70


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE), ast.parse(file.read_text("utf-8"))


def room_of(file: Path) -> str:
    return file.with_suffix("").parts[0]


def imported(tree: ast.Module) -> Iterator[str]:
    """The rooms that a module imports from, at any depth of its code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "layered_nst" and rest:
                yield rest.partition(".")[0]


def doors() -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for file, tree in modules():
        if file.name not in ("__init__.py", "__main__.py") or len(file.parts) > 1:
            found[room_of(file)] |= {*imported(tree)} - {room_of(file)}
    return found


def test_every_module_has_a_room() -> None:
    assert {room_of(file) for file, _ in modules()} <= {*OPEN, *ROOMS, "__init__", "__main__"}


def test_a_room_imports_only_from_rooms_above_it() -> None:
    for room, others in doors().items():
        above = ROOMS[: ROOMS.index(room)] if room in ROOMS else ()
        wrong = others - {*OPEN, *above}
        assert not wrong, f"{room} imports from {', '.join(sorted(wrong))}"


def test_a_forbidden_import_would_be_seen() -> None:
    hidden = "def f():\n    if True:\n        from layered_nst.cli.console import err\n"
    assert [*imported(ast.parse(hidden))] == ["cli"]
    assert [*imported(ast.parse("import layered_nst.api as a"))] == ["api"]
    assert [*imported(ast.parse("from layered_nst import api, words"))] == ["api", "words"]


def test_no_chain_of_rooms_is_long() -> None:
    found = doors()

    @cache
    def chain(room: str) -> tuple[str, ...]:
        below = (chain(other) for other in found[room])
        return (room, *max(below, key=len, default=()))

    longest = max((chain(room) for room in [*found]), key=len)
    assert len(longest) <= LONGEST_CHAIN, longest


def test_no_class_name_stands_for_two_things() -> None:
    homes = defaultdict(list)
    for file, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(file))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def test_the_recipe_needs_no_torch() -> None:
    for file, tree in modules():
        if room_of(file) in ("recipe", "plugins"):
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.split(".")[0] == "torch" for name in names), file
                assert not any(name.startswith("layered_nst.picture") for name in names), file


def functions() -> Iterator[tuple[str, int, int]]:
    """Name, lines without the docstring, and lines of the body alone, of every function."""
    for file, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                told = sum((n.end_lineno or 0) - n.lineno + 1 for n in node.body if n not in body)
                lines = (node.end_lineno or 0) - node.lineno + 1 - told
                start = body[0].lineno if body else node.end_lineno or 0
                yield f"{file}: {node.name}", lines, (node.end_lineno or 0) - start + 1


def test_functions_are_short() -> None:
    """What makes the few long ones long is a list of options, not what they do."""
    long = {name: lines for name, lines, _ in functions() if lines > LONG}
    assert len(long) <= MOST_LONG, long
    too_long = [name for name, lines in long.items() if lines > TOO_LONG]
    assert all(name.startswith("cli") for name in too_long), too_long
    assert not [name for name, _, body in functions() if body > LONG]
