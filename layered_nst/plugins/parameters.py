"""What a recipe may say to a plug-in's part: its JSON Schema (draft 2020-12), and sentences."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layered_nst.errors import PluginError
from layered_nst.plugins.manifests import Part
from layered_nst.words import did_you_mean

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

Steps = tuple[str | int, ...]
"""A path of keys and positions."""

_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with what a recipe says to a part.

    Attributes:
        path: to it, below the part's name.
        sentence: what was found and what is allowed.
        found: the value.
    """

    path: Steps
    sentence: str
    found: Any


def check_schema(part: Part) -> None:
    """See whether what a part states as its parameters is a JSON Schema.

    Raises:
        PluginError: it is none.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(part.parameters)
    except SchemaError as error:
        at = ".".join(map(str, error.path))
        raise PluginError(
            f"{part}: parameters are no JSON Schema{f' at {at}' if at else ''}: {error.message}"
        ) from error


def taken(part: Part, said: Any) -> tuple[Any, list[Fault]]:
    """What a recipe says to a part, with the defaults of what it leaves open.

    Nothing, and ``true``, stand for a mapping of no keys where a mapping is wanted.

    Returns:
        The value, and what is wrong with it.

    Raises:
        PluginError: the part's schema is none.
    """
    check_schema(part)
    if said is None or (said is True and part.parameters.get("type") == "object"):
        said = {}
    value = _with_defaults(part.parameters, copy.deepcopy(said))
    errors = sorted(_validator(part).iter_errors(value), key=lambda e: [*map(str, e.path)])
    faults = {(f.path, f.sentence): f for error in errors for f in _faults(error)}
    return value, [*faults.values()]


def accepted(part: Part, said: Any) -> Any:
    """``taken``, where there is no recipe whose lines could be named.

    Raises:
        PluginError: the part does not take it.
    """
    value, faults = taken(part, said)
    if faults:
        at = ".".join((part.full_name, *map(str, faults[0].path)))
        raise PluginError(f"{part.kind} {at}: {faults[0].sentence}")
    return value


def _validator(part: Part) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # YAML knows numbers that JSON does not: no bound would hold .nan, which is below none.
    numbers = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number)
    # References lead nowhere but into the schema itself: nothing is fetched.
    kind: Any = extend(Draft202012Validator, type_checker=numbers)  # type: ignore[no-untyped-call]
    made: Validator = kind(part.parameters)
    return made


def _is_number(_: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, Mapping):
        return value
    # An empty value takes the default, as in the rest of a recipe.
    stated = {k: v for k, v in value.items() if v is not None or k not in properties}
    for key, below in properties.items():
        if not isinstance(below, Mapping):
            continue
        if key in stated:
            stated[key] = _with_defaults(below, stated[key])
        elif "default" in below:
            stated[key] = copy.deepcopy(below["default"])
    return stated


def _faults(error: ValidationError) -> Iterator[Fault]:
    path = tuple(error.absolute_path)
    found: Any = error.instance
    wanted: Any = error.validator_value
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "required":
        for key in (key for key in wanted if key not in found):
            yield Fault((*path, key), "is missing", found)
    elif error.validator == "additionalProperties" and isinstance(found, Mapping):
        known = [*schema.get("properties", {})]
        for key in found:
            if key not in known:
                hint = did_you_mean(str(key), known)
                rest = f"; allowed: {', '.join(known)}" if known else "; it takes no parameters"
                yield Fault((*path, key), f"unknown key{hint or rest}", found[key])
    else:
        hint = ""
        if "enum" in schema and isinstance(found, str):
            hint = did_you_mean(found, [v for v in schema["enum"] if isinstance(v, str)])
        allowed = in_words(schema) or error.message
        yield Fault(path, f"found {_shown(found)}, allowed: {allowed}{hint}", found)


def in_words(schema: Any) -> str:
    """What a JSON Schema allows, in a few words; empty if there are none for it."""
    if not isinstance(schema, Mapping):
        return ""
    if "const" in schema:
        return _shown(schema["const"])
    if "enum" in schema:
        return ", ".join(map(_shown, schema["enum"]))
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(filter(None, map(in_words, several))))
    kinds = schema.get("type", "object" if "properties" in schema else ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_of_type(kind, schema) for kind in kinds)


def _of_type(kind: str, schema: Mapping[str, Any]) -> str:
    words = _TYPES.get(kind, kind)
    if kind in ("number", "integer"):
        return words + _span(schema)
    if kind == "string" and schema.get("format") == "path":
        return "the path of a file"
    if kind == "string" and "pattern" in schema:
        return f"{words} of the form {schema['pattern']}"
    if kind == "array":
        return words + _count(schema) + _items(schema)
    if kind == "object" and schema.get("properties"):
        return f"{words} with {', '.join(schema['properties'])}"
    return words


def _span(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = f"above {above:g}" if above is not None else "" if least is None else f"{least:g}"
    high = f"below {below:g}" if below is not None else "" if most is None else f"{most:g}"
    if low and high:
        return f" from {low} to {high}"
    if low:
        return f" {low}" if above is not None else f" of at least {low}"
    return "" if not high else f" {high}" if below is not None else f" of at most {high}"


def _count(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if least == most:
        return f" of {least}"
    return f" of at least {least}" if least else f" of at most {most}" if most < math.inf else ""


def _items(schema: Mapping[str, Any]) -> str:
    inner = in_words(schema.get("items"))
    return f", each {inner}" if inner else ""


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def paths_in(schema: Any, value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Where in what a recipe says to a part stand texts that its schema calls paths of files."""
    if not isinstance(schema, Mapping):
        return
    for below in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from paths_in(below, value, steps)
    if isinstance(value, str) and schema.get("format") == "path":
        yield steps
    if isinstance(value, Mapping):
        for key, below in schema.get("properties", {}).items():
            if key in value:
                yield from paths_in(below, value[key], (*steps, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths_in(schema.get("items"), item, (*steps, number))
