"""What is wrong with a recipe, in short sentences: place, key path, found, allowed.

Pydantic finds the mistakes; its own wording never reaches the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import ImageColor
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from layered_nst import plugins
from layered_nst.errors import RecipeError
from layered_nst.files.texts import is_utf8, readable
from layered_nst.recipe.nodes import Node, Place, Steps, region_name
from layered_nst.recipe.parts import plugin_parts
from layered_nst.recipe.schema import (
    ENCODER_NAMES,
    ENCODERS_ALLOWED,
    LAYER_NAMES,
    CustomSegmenter,
    Flow,
    Optimize,
    Output,
    Recipe,
    Region,
    StyleSource,
)
from layered_nst.recipe.selectors import KINDS, SELECTORS, kinds_in
from layered_nst.recipe.values import NAME_PATTERN, Section, keys_of
from layered_nst.words import did_you_mean

MAX_SHOWN = 20
"""Problems that one message lists."""

_TAGS = {*SELECTORS, "is:custom", "is:name", "is:plugin"}
_MODELS: dict[str, type[Section]] = {
    "regions": Region,
    "style": StyleSource,
    "flow": Flow,
    "optimize": Optimize,
    "output": Output,
    "is:custom": CustomSegmenter,
    **SELECTORS,
}
_HOMES: dict[str, type[Section]] = {
    "a region": Region,
    "optimize": Optimize,
    "output": Output,
    "the recipe": Recipe,
}


@dataclass(frozen=True)
class Vocabulary:
    """The kinds of mappings that a file may have, by which an unknown key is told.

    Attributes:
        root: that of the whole file.
        sections: the others, by the keys or tags that lead to them.
        homes: by a name in words, where a key may belong that stands in a wrong place.
        more: keys of the root that its model doesn't have.
    """

    root: type[Section]
    sections: Mapping[str, type[Section]]
    homes: Mapping[str, type[Section]]
    more: tuple[str, ...] = ()


OF_RECIPES = Vocabulary(Recipe, _MODELS, _HOMES, ("extends",))

_KIND_WORDS = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "a text",
    "string_unicode": "a text without broken characters",
}
_KINDS_OF_PARTS: Mapping[Any, str] = {"strategy": "strategy", "format": "output"}
"""Of keys that name one of our parts, or one of a plug-in."""
_BOOLEAN_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false"}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, where it was written and the key path to it."""

    place: Place
    key_path: str
    sentence: str

    def __str__(self) -> str:
        path = f"{self.key_path}: " if self.key_path else ""
        if self.place.source.startswith("`"):
            return f"{self.place.source} {path}{self.sentence}"
        line = f":{self.place.line}" if self.place.line else ""
        source = f"{self.place.source}{line}: " if self.place.source else ""
        return f"{source}{path}{self.sentence}"


def as_error(problems: Sequence[Mistake]) -> RecipeError:
    """One error that lists all problems in the order of their lines, one per line."""
    sources = list(dict.fromkeys(problem.place.source for problem in problems))
    ordered = sorted(problems, key=lambda p: (sources.index(p.place.source), p.place.line or 0))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    hidden = len(lines) - MAX_SHOWN
    more = [f"and {hidden} more"] if hidden > 0 else []
    return RecipeError("\n".join([*lines[:MAX_SHOWN], *more]))


def problem_at(root: Node, steps: Steps, sentence: str) -> Mistake:
    """A problem with the value at ``steps`` of a recipe."""
    return Mistake(root.place_of(steps), spell_path(root, steps), sentence)


def problems_of(
    error: ValidationError, root: Node, *, words: Vocabulary = OF_RECIPES
) -> list[Mistake]:
    """Translate pydantic's errors about the recipe ``root``, or about another kind of file."""
    found = [detail for detail in error.errors(include_url=False) if not _is_echo(detail)]
    return [_problem(detail, root, words) for detail in found]


def spell_path(root: Node, steps: Steps) -> str:
    """Spell a key path, regions by name: ``regions.sky.style[0].image``."""
    text = ""
    for index, step in enumerate(steps):
        name = _name_of_region(root, steps[: index + 1])
        if isinstance(step, int) and name is None:
            text += f"[{step}]"
        else:
            key = _printable(name or _as_written(root, steps[: index + 1]))
            text += f".{key}" if text else key
    return text


def _as_written(root: Node, steps: Steps) -> str:
    """The last key of a path, as the recipe spells it."""
    node: Node | None = root
    for step in steps:
        node = node and node.child(step)
    return (node and node.place.key) or str(steps[-1])


def _printable(key: str) -> str:
    # Keys come from the file: line breaks and terminal codes must not reach the message.
    return key if key.isprintable() else repr(key)


def show(value: Any) -> str:
    """Show what was found, in at most about 40 characters and in YAML's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(list(value) if isinstance(value, tuple) else value)
    if len(text) <= 40:
        return text
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else text[:39] + "…"


def _name_of_region(root: Node, steps: Steps) -> str | None:
    if len(steps) != 2 or steps[0] != "regions":
        return None
    regions = root.child("regions")
    region = regions.child(steps[1]) if regions else None
    name = region_name(region) if region else None
    # A name that breaks the path is no help in it.
    return name if name and re.fullmatch(NAME_PATTERN, name) else None


def _is_echo(detail: ErrorDetails) -> bool:
    """Whether a list is only called too short because its items are wrong themselves."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _problem(detail: ErrorDetails, root: Node, words: Vocabulary) -> Mistake:
    steps = tuple(step for step in detail["loc"] if step not in _TAGS and step != "[key]")
    steps += tuple(detail.get("ctx", {}).get("at", ()))
    return problem_at(root, steps, _sentence(detail, words))


def _sentence(detail: ErrorDetails, words: Vocabulary) -> str:
    kind, found = detail["type"], detail["input"]
    if kind == "problem":
        return str(detail["ctx"]["sentence"])
    if isinstance(found, str) and not is_utf8(found):
        return f"found '{readable(found)}', allowed: a text without broken characters"
    if kind == "allowed":
        return f"found {show(found)}, allowed: {detail['msg']}{_hint(found, detail)}"
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return _unknown_key(detail, words)
    if kind == "literal_error":
        return _not_one_of(detail)
    if kind == "union_tag_not_found":
        return _no_selector(found)
    if kind == "too_short":
        return f"found {show(found)}, allowed: at least {detail['ctx']['min_length']}"
    if kind in _KIND_WORDS:
        return f"found {show(found)}, allowed: {_KIND_WORDS[kind]}"
    return f"found {show(found)}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _last(detail: ErrorDetails) -> str:
    return str(detail["loc"][-1]) if detail["loc"] else ""


def _hint(found: Any, detail: ErrorDetails) -> str:
    if not isinstance(found, str):
        return ""
    if detail["msg"].startswith("true"):
        word = _BOOLEAN_WORDS.get(found.lower())
        return f" (did you mean {word}?)" if word else ""
    if detail["msg"] == ENCODERS_ALLOWED:
        return did_you_mean(found, (*ENCODER_NAMES, *plugins.known("encoder")))
    return did_you_mean(found, ImageColor.colormap) if detail["msg"].startswith("a color") else ""


def _unknown_key(detail: ErrorDetails, words: Vocabulary) -> str:
    key, model = _last(detail), _model_around(detail["loc"], words)
    keys = (*keys_of(model), *(words.more if model is words.root else ()))
    homes = (home for home, kind in words.homes.items() if key in keys_of(kind))
    hint = did_you_mean(key, keys) or next((f" (it belongs in {home})" for home in homes), "")
    return f"unknown key{hint or '; allowed: ' + ', '.join(keys)}"


def _model_around(loc: Steps, words: Vocabulary) -> type[Section]:
    for step in reversed(loc[:-1]):
        if isinstance(step, str) and step in words.sections:
            return words.sections[step]
    return words.root


def _not_one_of(detail: ErrorDetails) -> str:
    found, expected = detail["input"], str(detail["ctx"]["expected"])
    options = re.findall(r"'([^']*)'", expected)
    kind = _KINDS_OF_PARTS.get(next(s for s in reversed(detail["loc"]) if s not in _TAGS))
    options += [part.full_name for part in plugin_parts(kind)] if kind else []
    hint = did_you_mean(found, options) if isinstance(found, str) else ""
    if tuple(options) == LAYER_NAMES:
        return f"unknown layer, allowed: conv1_1 to conv5_4{hint}"
    return f"found {show(found)}, allowed: {', '.join(options) or expected}{hint}"


WHOLE = {"alpha": "true", "subject": "true", "face": "all"}
"""What selectors that take next to nothing are mostly written with."""


def _no_selector(found: Any) -> str:
    of_plugins = [part.full_name for part in plugin_parts("selector")]
    kinds = ", ".join((*KINDS, *of_plugins))
    if isinstance(found, str):
        written = f"{{{found}: {WHOLE[found]}}}" if found in WHOLE else f"{{class: {found}}}"
        hint = did_you_mean(found, ["rest", *of_plugins]) or f" (did you mean {written}?)"
        return f"found {show(found)}, allowed: rest, or a mapping with one of {kinds}{hint}"
    if not isinstance(found, Mapping):
        return f"found {show(found)}, allowed: rest, or a mapping with one of {kinds}"
    stated = kinds_in(found)
    if stated:
        return f"found {' and '.join(stated)} in one selector; combine selectors with any or all"
    keys = [_printable(str(key)) for key in found]
    told = next((key for key in keys if plugins.find("selector", key)), None)
    if told is not None:
        return f"what is said to {told} stands below it: {{{told}: {{KEY: VALUE}}}}"
    known = (*KINDS, "rest", *of_plugins, *(part.name for part in plugin_parts("selector")))
    hint = next(filter(None, (did_you_mean(key, known) for key in keys)), "")
    return f"found {', '.join(keys) or 'an empty mapping'}, allowed: one of {kinds}{hint}"
