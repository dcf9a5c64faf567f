"""Parts of plug-ins in a recipe: by name, with what is said to them checked by their own schema.

A recipe names what is installed and never loads code of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    GetJsonSchemaHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.plugins import Part
from layered_nst.plugins.parameters import Fault, taken
from layered_nst.recipe.values import Section, Weight, problem

WEIGHTS_SUFFIX = ".safetensors"
"""An encoder or a segmenter that ends so is the path of a file."""


class PluginPart(Section):
    """A part of a plug-in with what the recipe says to it; in YAML its name, or ``{NAME: …}``."""

    kind: ClassVar[str]
    """Of the part."""

    part: str
    """Its full name, ``plug-in/part``."""
    parameters: Any
    """What is said to it, every default filled in."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, said: Any) -> Any:
        if isinstance(said, cls):
            return said
        name, value = next(iter(_as_mapping(said).items()))
        full_name, parameters = _told(cls.kind, name, value)
        return {"part": full_name, "parameters": parameters}

    @model_serializer
    def _write(self) -> Any:
        return {self.part: self.parameters} if self.parameters else self.part

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return schema_of_parts(cls.kind)


class PluginStrategy(PluginPart):
    """A plug-in's strategy."""

    kind = "strategy"


class PluginSegmenter(PluginPart):
    """A plug-in's segmenter."""

    kind = "segmenter"


def spelled_part(kind: str, said: Any) -> str:
    """A part of a plug-in and what a recipe says to it, as one text; see ``plugins.spelling``.

    Args:
        said: its name, ``{NAME: {KEY: VALUE}}``, or a text of that.

    Raises:
        PydanticCustomError, ValidationError: as ``found_part`` and ``checked``.
    """
    (name, value), *_ = _as_mapping(said).items()
    return plugins.spelled(*_told(kind, name, value))


def _told(kind: str, name: str, said: Any) -> tuple[str, Any]:
    """Full name of a plug-in's part, and what a recipe says to it, with the part's defaults."""
    part = found_part(kind, name)
    if part.is_own:
        raise problem(f"{name} takes no parameters; write its name alone")
    return part.full_name, checked(part, said, at=name)


def written_part(text: Any) -> Any:
    """What stands in a recipe for a text of ``spelled_part``."""
    if not isinstance(text, str) or not text.startswith("{"):
        return text
    return _as_mapping(text)


def _as_mapping(said: Any) -> Mapping[str, Any]:
    if isinstance(said, Mapping):
        return said
    try:
        name, value = plugins.apart(said)
    except PluginError as error:
        raise problem(str(error)) from None
    return {name: value}


def found_part(kind: str, name: str) -> Part:
    """The part that a recipe names.

    Raises:
        PydanticCustomError: there is none, or several are meant, for the message of a recipe.
    """
    try:
        return plugins.part(kind, name)
    except PluginError as error:
        raise problem(str(error)) from None


def names_plugin_part(kind: str, said: Any) -> bool:
    """Whether a recipe means a plug-in's part, or one that is not there, and none of ours."""
    if isinstance(said, str) and said.startswith("{"):
        said = _as_mapping(said)
    if isinstance(said, Mapping):
        name = next(iter(said), None) if len(said) == 1 else None
    else:
        name = said
    if not isinstance(name, str) or not name or name.endswith(WEIGHTS_SUFFIX):
        return False
    try:
        part = plugins.find(kind, name)
    except PluginError:
        return True
    return "/" in name if part is None else not part.is_own or isinstance(said, Mapping)


def checked(part: Part, said: Any, *, at: str) -> Any:
    """What a recipe says to a part, with the part's defaults.

    Args:
        at: the key that it stands under.

    Raises:
        ValidationError: each thing that is wrong, with its path.
        PydanticCustomError: the part itself is at fault.
    """
    try:
        value, faults = taken(part, said)
    except PluginError as error:
        raise problem(str(error)) from None
    if faults:
        raise ValidationError.from_exception_data(part.name, [_detail(at, f) for f in faults])
    return value


def _detail(at: str, fault: Fault) -> InitErrorDetails:
    error = PydanticCustomError("problem", "{sentence}", {"sentence": fault.sentence, "at": ()})
    return InitErrorDetails(type=error, loc=(at, *fault.path), input=fault.found)


def schema_of_parts(kind: str) -> dict[str, Any]:
    """JSON Schema of what a recipe may say to mean a part of a plug-in.

    One that takes nothing but what it has defaults for may stand as its name alone.
    """
    several = [s for part in plugin_parts(kind) for s in _schemas(part)]
    return {"anyOf": several} if several else {"not": {}}


def plugin_parts(kind: str) -> list[Part]:
    """The parts of a kind that are of plug-ins."""
    return [part for part in plugins.parts(kind) if not part.is_own]


def spelled_names(part: Part) -> list[str]:
    """How a recipe may call a part: in full, and in short where that is unique."""
    try:
        short = plugins.find(part.kind, part.name)
    except PluginError:
        short = None
    return [part.full_name, *([part.name] if short == part else [])]


def _schemas(part: Part) -> Iterator[dict[str, Any]]:
    names = spelled_names(part)
    if not part.parameters.get("required"):
        yield {"enum": names, **_described(part)}
    for name in names:
        yield {
            "type": "object",
            "properties": {name: {**part.parameters, **_described(part)}},
            "required": [name],
            "additionalProperties": False,
        }


def _described(part: Part) -> dict[str, str]:
    return {"description": part.summary} if part.summary else {}


def _read_losses(said: Any) -> Any:
    if not isinstance(said, Mapping):
        return said
    found: dict[str, Any] = {}
    for name, value in said.items():
        part = plugins.part("loss", _loss_name(str(name)))
        if part.is_own:
            raise problem("is a loss of this package, with a key of its own", at=(name,))
        if part.full_name in found:
            raise problem(f"{part.full_name} stands there twice, keep one", at=(name,))
        found[part.full_name] = checked(part, value, at=str(name))
    return found


class _ByLoss:
    """Annotation: a mapping whose keys are the names of plug-ins' losses.

    Args:
        value: JSON Schema of a value; None for what is said to the loss.
    """

    def __init__(self, value: dict[str, Any] | None = None) -> None:
        self.value = value

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        named = {
            name: self.value or {"anyOf": [part.parameters, {"type": "null"}]}
            for part in plugin_parts("loss")
            for name in spelled_names(part)
        }
        return {"type": "object", "properties": named, "additionalProperties": False}


PluginLosses = Annotated[dict[str, Any], BeforeValidator(_read_losses), _ByLoss()]
"""Losses of plug-ins by name, each with what is said to it."""


def _read_factors(said: Any) -> Any:
    if not isinstance(said, Mapping):
        return said
    return {_loss_name(str(name)): value for name, value in said.items()}


def _loss_name(name: str) -> str:
    try:
        return plugins.part("loss", name).full_name
    except PluginError as error:
        raise problem(str(error), at=(name,)) from None


LossFactors = Annotated[
    dict[str, Weight],
    BeforeValidator(_read_factors),
    _ByLoss({"type": "number", "minimum": 0}),
]
"""How strongly losses of plug-ins pull in a region, as factors, by name."""
