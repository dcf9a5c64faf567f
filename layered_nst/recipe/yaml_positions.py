"""YAML text to nodes: safe, bounded, and with the line of every key.

Plain scalars follow the core schema of YAML 1.2 rather than PyYAML's 1.1: only ``true`` and
``false`` are booleans (``on``, ``no`` and ``y`` are words), ``1e-3`` is a number, and dates and
``12:30`` are text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from layered_nst.errors import RecipeError
from layered_nst.files.texts import half_character, whole_characters
from layered_nst.recipe.nodes import MAX_DEPTH, MAX_NODES, Node, Place
from layered_nst.recipe.spaces import ODD, odd_edge, odd_space

MAX_BYTES = 1_000_000
"""Size limit of a recipe file."""

_HASH_COLOR = re.compile(r":[ \t]+#[0-9a-fA-F]{3,6}\b")
"""A color that YAML takes for a comment."""

_TAG = "tag:yaml.org,2002:"
CORE_SCALARS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
)
"""Kind, pattern and first characters of the plain scalars that are not text."""


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with YAML 1.2 scalars and limits; it never constructs an object."""

    depth = 0
    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        # PyYAML composes by recursion: without the limit deep nesting ends in a RecursionError.
        self.depth += 1
        self.count += 1
        if self.depth > MAX_DEPTH or self.count > MAX_NODES:
            raise _too_much(self.peek_event().start_mark, deep=self.depth > MAX_DEPTH)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}  # without YAML 1.1's
for _kind, _pattern, _first in CORE_SCALARS:
    _Loader.add_implicit_resolver(_TAG + _kind, _pattern, _first)


def parse_yaml(text: str, *, source: str, folder: Path, numbered: bool = True) -> Node | None:
    """Parse one YAML document into nodes; None if it is empty.

    ``source`` names the text in messages, ``folder`` is where its relative paths start. With
    ``numbered=False`` the places carry no line, for text that is not a file.

    Raises:
        RecipeError: The text is not one valid YAML document, states a key twice, uses a tag, or
            is larger than `MAX_DEPTH` and `MAX_NODES` allow.
    """
    try:
        loader = _Loader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        return _Builder(text, source=source, folder=folder, numbered=numbered).build(document)
    except yaml.MarkedYAMLError as error:
        raise RecipeError(
            _syntax_sentence(error, text, source=source, numbered=numbered)
        ) from error
    except yaml.reader.ReaderError as error:
        found = f"character {error.character!r} at position {error.position}"
        raise RecipeError(f"{source}: is not a text file ({found})") from error
    except (ValueError, OverflowError) as error:
        # An escape such as "\\UFFFFFFFF" is a number that no character has.
        raise RecipeError(f"{source}: not valid YAML: an escape names no character") from error


class _Builder:
    """Writes out aliases and merge keys, with a budget so that an anchors bomb stays small."""

    def __init__(self, text: str, *, source: str, folder: Path, numbered: bool) -> None:
        self.source = source
        self.folder = folder
        self.lines = text.splitlines()
        self.numbered = numbered
        self.count = 0

    def build(self, node: yaml.Node, *, depth: int = 0) -> Node:
        place = self._place(node) if depth else Place(self.source, None, self.folder)
        return Node(self._value(node, depth), place)

    def _place(self, node: yaml.Node) -> Place:
        line = node.start_mark.line + 1 if self.numbered else None
        return Place(self.source, line, self.folder)

    def _value(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        if depth >= MAX_DEPTH or self.count > MAX_NODES:
            raise _too_much(node.start_mark, deep=depth >= MAX_DEPTH)
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, depth)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.build(item, depth=depth + 1) for item in node.value]
        return _scalar(node)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Node]:
        stated: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise _at(key.start_mark, "a key is a word, not a list or a mapping")
            _refuse_odd_characters(key)
            if key.value == "<<" and key.style is None:
                merged = self._merge_key(value, depth)
                continue
            if key.value in stated:
                first = stated[key.value].place.line
                also = f" (first on line {first})" if first else ""
                raise _at(key.start_mark, f"the key {_short(key.value)} is stated twice{also}")
            # The key's line is where a reader looks, even if its value starts further down.
            stated[key.value] = Node(self._value(value, depth + 1), self._place(key))
            if key.value in ("color", "background") and stated[key.value].value is None:
                self._refuse_hash_color(key)
        return {**merged, **stated}

    def _refuse_hash_color(self, key: ScalarNode) -> None:
        line = self.lines[key.start_mark.line]
        if _HASH_COLOR.search(line, key.start_mark.column):
            raise _at(key.start_mark, "a color that starts with # needs quotes")

    def _merge_key(self, value: yaml.Node, depth: int) -> dict[str, Node]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        merged: dict[str, Node] = {}
        for source in reversed(sources):
            node = self.build(source, depth=depth + 1)
            if not isinstance(node.value, dict):
                raise _at(source.start_mark, "<< merges a mapping, nothing else")
            merged |= node.value
        return merged


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(_TAG)
    if not isinstance(node, ScalarNode) or kind not in ("null", "bool", "int", "float", "str"):
        raise _at(node.start_mark, f"the tag {_short(node.tag)} is not allowed in a recipe")
    _refuse_odd_characters(node)
    try:
        return _read_scalar(kind, node.value)
    except ValueError as error:
        raise _at(
            node.start_mark, f"{_short(node.value)} is not a number of a usable size"
        ) from error


def _short(text: str) -> str:
    return text if len(text) <= 50 else text[:49] + "…"


def _read_scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
    if kind == "float":
        return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
    return whole_characters(text)


def _refuse_odd_characters(node: ScalarNode) -> None:
    """Refuse what looks like a space or like nothing beside a word, and halves of characters."""
    odd = odd_edge(node.value) if node.style is None else None
    if odd:
        word = _short(node.value.strip(f"{ODD} -"))
        words = "write a plain one, or put the text into quotes"
        raise _at(node.start_mark, f"{odd} stands beside {word!r}; {words}")
    half = half_character(whole_characters(node.value))
    if half:
        raise _at(node.start_mark, f"{half} is half of a character, without its other half")


def _at(mark: yaml.Mark | None, problem: str) -> yaml.MarkedYAMLError:
    return _Refused(problem=problem, problem_mark=mark)


def _too_much(mark: yaml.Mark | None, *, deep: bool) -> yaml.MarkedYAMLError:
    if deep:
        return _at(mark, f"the recipe is nested more than {MAX_DEPTH} levels deep")
    return _at(mark, f"the recipe has more than {MAX_NODES} values, aliases written out")


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a recipe may not use."""


def _syntax_sentence(error: yaml.MarkedYAMLError, text: str, *, source: str, numbered: bool) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1}:{mark.column + 1}" if numbered and mark else source
    what = error.problem or error.context or "cannot be read"
    if isinstance(error, _Refused):
        return f"{where}: {what}"
    odd = odd_space(text, until=mark.line if mark else len(text))
    if odd:
        return f"{where}: not valid YAML: {odd}" if numbered else f"{where}: {odd}"
    return f"{where}: not valid YAML: {what}{_syntax_hint(what, text)}"


def _syntax_hint(what: str, text: str) -> str:
    if re.search(r"^(<<<<<<<|>>>>>>>) ", text, re.MULTILINE):
        return " (the file has the marks of an unresolved merge conflict)"
    if r"'\t'" in what:
        return " (indent by spaces, not by tabs)"
    if _HASH_COLOR.search(text):
        return " (a color that starts with # needs quotes)"
    if "mapping values are not allowed" in what:
        return " (a text with a colon needs quotes)"
    return ""
