"""The keys of a recipe as Markdown: the generated parts of the handbook, recipes/README.md.

A page says where they belong by marks, ``<!-- keys of Region -->`` to ``<!-- end of keys -->``;
what stands around them is written by hand. Everything comes from the JSON Schema of recipes, and so
from the types and docstrings of `layered_nst.recipe.schema`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layered_nst.errors import RecipeError
from layered_nst.files.atomic import replacing
from layered_nst.recipe.json_schema import json_schema
from layered_nst.recipe.parts import WEIGHTS_SUFFIX
from layered_nst.recipe.schema import (
    CustomSegmenter,
    Flow,
    Optimize,
    Output,
    Recipe,
    Region,
    StyleSource,
    Video,
)
from layered_nst.recipe.selectors import SELECTORS
from layered_nst.recipe.values import PERCENT, Section
from layered_nst.words import did_you_mean

Schema = Mapping[str, Any]

CHAPTERS: Mapping[type[Section], str] = {
    Recipe: "the-recipe",
    Region: "regions",
    StyleSource: "styles",
    Flow: "flow",
    Optimize: "optimize",
    Video: "video",
    Output: "output",
    CustomSegmenter: "segmentation",
}
"""The kinds of mappings, each with the heading of the handbook that tells of it."""

ALL_SELECTORS = "Selectors"
"""The name in marks of one table for all selectors."""

_OF_PLUGINS: Mapping[tuple[type[Section], str], str] = {
    (Region, "losses"): "losses, each with a number from 0",
    (Optimize, "losses"): "losses, each with a mapping",
}
"""What is allowed where that depends on what is installed."""

_HEADINGS = {kind.__name__: heading for kind, heading in CHAPTERS.items()}
_MARKED = re.compile(r"(<!-- keys of (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)
_OPEN = re.compile(r"(.*?) Without it, (.*?)\.( [A-Z].*)?")
_HEAD = "| key | what it says | allowed | default |\n|---|---|---|---|\n"


def filled(page: str) -> str:
    """A Markdown page with its marked parts written anew.

    Raises:
        RecipeError: The page has no marks, or one that names nothing of a recipe.
    """
    tables = key_tables()
    named = [match[2] for match in _MARKED.finditer(page)]
    if not named:
        raise RecipeError(
            "no mark such as <!-- keys of Region -->, with <!-- end of keys --> below"
        )
    for name in named:
        if name not in tables:
            hint = did_you_mean(name, tables) or f"; there are {', '.join(tables)}"
            raise RecipeError(f"<!-- keys of {name} -->: nothing of a recipe is called so{hint}")
    return _MARKED.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n{match[3]}", page)


def fill_page(path: Path) -> None:
    """Write the marked parts of a Markdown file anew; what stands around them stays.

    Raises:
        RecipeError: The file cannot be read, has no marks, or one that names nothing of a recipe.
        OutputError: The file cannot be written.
    """
    try:
        page = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    try:
        text = filled(page)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    with replacing(path) as file:
        file.write(text.encode())


def key_tables() -> dict[str, str]:
    """The Markdown of all keys, by the name of the model that has them."""
    schema = json_schema(installed=False)
    schemas: dict[str, Schema] = {"Recipe": schema, **schema["$defs"]}
    tables = {
        kind.__name__: f"{_flowing(schemas[kind.__name__]['description'])}\n\n{_HEAD}"
        + "".join(_rows(kind, schemas))
        for kind in CHAPTERS
    }
    selectors = (row for kind in SELECTORS.values() for row in _selector_rows(kind, schemas))
    return {**tables, ALL_SELECTORS: _HEAD + "".join(selectors)}


def _rows(kind: type[Section], schemas: Mapping[str, Schema]) -> Iterator[str]:
    for key, value in schemas[kind.__name__]["properties"].items():
        meaning, default = _meaning(value, schemas)
        allowed = _OF_PLUGINS.get((kind, key)) or _allowed(value)
        yield _row(f"`{key}`", meaning, allowed, _default(kind, key, value) or default)


def _selector_rows(kind: type[Section], schemas: Mapping[str, Schema]) -> Iterator[str]:
    """The rows of one selector; the first says what it takes."""
    schema = schemas[kind.__name__]
    if "const" in schema:
        yield _row(f"**{_code(schema['const'])}**", schema["description"], "this word alone", "")
    for number, (key, value) in enumerate(schema.get("properties", {}).items()):
        meaning, default = _meaning(value, schemas)
        if number:
            yield _row(f"`{key}`", meaning, _allowed(value), default or _plain_default(value))
        else:
            yield _row(f"**`{key}`**", f"{schema['description']} {meaning}", _allowed(value), "")


def _row(*cells: str) -> str:
    # A line break would end the table.
    plain = (_flowing(cell).replace("|", r"\|") for cell in cells)
    return "".join(f"| {cell} " if cell else "| " for cell in plain) + "|\n"


def _meaning(value: Schema, schemas: Mapping[str, Schema]) -> tuple[str, str]:
    """What a key says, and what is so without it."""
    said = value.get("description") or schemas[_referred(value)]["description"]
    text = _flowing(said)
    found = _OPEN.fullmatch(text)
    return (f"{found[1]}{found[3] or ''}", found[2]) if found else (text, "")


def _flowing(text: str) -> str:
    return " ".join(text.split())


def _referred(value: Schema) -> str:
    return str(value["$ref"]).rpartition("/")[2]


def _default(kind: type[Section], key: str, value: Schema) -> str:
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    if key in fields and fields[key].is_required():
        return "(needed)"
    return _plain_default(value)


def _plain_default(value: Schema) -> str:
    default = value.get("default")
    if not default and not isinstance(default, bool | int | float):
        return ""
    if isinstance(default, Mapping):
        return ""
    if isinstance(default, float):
        return f"{default:g}"
    return _code(default) if isinstance(default, str | bool) else str(default)


def _code(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _allowed(value: Schema) -> str:
    """What a key takes, in words."""
    if "const" in value:
        return _code(value["const"])
    if "enum" in value:
        return ", ".join(map(_code, value["enum"]))
    if "$ref" in value:
        return _linked(_referred(value))
    several = value.get("anyOf") or value.get("oneOf")
    return _one_of(several) if several else _of_type(value)


def _one_of(several: Sequence[Schema]) -> str:
    given = [one for one in several if one.get("type") != "null"]
    words = list(dict.fromkeys(_allowed(one) for one in given if "items" not in one))
    lists = [one for one in given if "items" in one]
    items = [
        "a list of them" if _allowed(one["items"]) == " or ".join(words) else _allowed(one)
        for one in lists
    ]
    return " or ".join([*words, *items])


def _linked(name: str) -> str:
    if name.endswith("Selector"):
        return "[selector](#selectors)"
    # A small mapping is told by the key that takes it.
    return f"[mapping](#{_HEADINGS[name]})" if name in _HEADINGS else "mapping"


def _of_type(value: Schema) -> str:
    kind = value["type"]
    if kind == "array":
        return _list(value)
    if kind == "object":
        return _mapping(value)
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "string":
        return _text(value)
    span = _range(value)
    noun = "whole number" if kind == "integer" else "" if span else "number"
    return f"{noun} {span}".strip()


def _mapping(value: Schema) -> str:
    """A mapping whose keys are names: of layers, or of photos and of regions."""
    (inner,) = [*value.get("patternProperties", {}).values()] or [value["additionalProperties"]]
    if inner.get("type") == "number":
        return f"layers, each with a number {_allowed(inner)}"
    if inner.get("type") == "object":
        return f"photos, each with {_mapping(inner)}"
    return f"regions, each with a {_allowed(inner)}"


def _text(value: Schema) -> str:
    if WEIGHTS_SUFFIX in value.get("pattern", ""):
        return f"path of a {WEIGHTS_SUFFIX} file"
    if value.get("pattern") == PERCENT:
        return "`60%`"
    return "path" if value.get("format") == "path" else "text"


def _list(value: Schema) -> str:
    if "prefixItems" in value:
        item = _allowed(value["prefixItems"][0])
        return f"{len(value['prefixItems'])} {_plural(item)}"
    pairs = "prefixItems" in value["items"]
    return "list of [x, y]" if pairs else f"list of {_plural(_allowed(value['items']))}"


def _plural(item: str) -> str:
    for noun in ("number", "text", "path", "selector", "mapping"):
        item = re.sub(rf"\b{noun}\b(?!s|\()", f"{noun}s", item, count=1)
    return item


def _range(value: Schema) -> str:
    least, most, above = (value.get(k) for k in ("minimum", "maximum", "exclusiveMinimum"))
    if above is not None:
        return f"above {above}"
    if least is None:
        return ""
    return f"from {least}" if most is None or most >= 2**53 else f"{least} to {most}"
