"""The kinds of values that a recipe's keys take, each with the words that say what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from PIL import ImageColor
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from layered_nst.files.texts import is_utf8, readable


class Section(BaseModel):
    """Base of all recipe models: frozen, and an unknown key is an error.

    A key with an empty value takes its default, so that a block whose lines are all commented out
    is no mistake.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_alias=True,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        known = keys_of(cls)
        return {key: v for key, v in data.items() if v is not None or key not in known}


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a model as YAML spells them."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def problem(sentence: str, *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """An error for a validator to raise; ``at`` is the key path below the model."""
    # pydantic formats the text with its context, so braces in it must go in as context.
    return PydanticCustomError("problem", "{sentence}", {"sentence": sentence, "at": at})


@dataclass(frozen=True)
class Allowed:
    """Annotation: whatever is wrong with the value, the message says "allowed: TEXT"."""

    text: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="allowed", custom_error_message=self.text
        )


@dataclass(frozen=True)
class Number:
    """Annotation: a finite float from ``least`` to ``most``; ``above`` excludes ``least``."""

    least: float | None = None
    most: float | None = None
    above: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = core_schema.float_schema(
            strict=True,
            allow_inf_nan=False,
            le=self.most,
            ge=None if self.above else self.least,
            gt=self.least if self.above else None,
        )
        return core_schema.custom_error_schema(
            schema, custom_error_type="allowed", custom_error_message=self.text
        )

    @property
    def text(self) -> str:
        """What is allowed, in words."""
        return "a number" + _range_in_words(self.least, self.most, above=self.above)


@dataclass(frozen=True)
class Whole:
    """Annotation: an int from ``least`` to ``most``."""

    least: int
    most: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = core_schema.int_schema(strict=True, ge=self.least, le=self.most)
        text = "a whole number" + _range_in_words(self.least, self.most)
        return core_schema.custom_error_schema(
            schema, custom_error_type="allowed", custom_error_message=text
        )


def _range_in_words(least: float | None, most: float | None, *, above: bool = False) -> str:
    if least is None:
        return "" if most is None else f" of at most {most:.15g}"
    if most is None:
        return f" above {least:.15g}" if above else f" of at least {least:.15g}"
    return f" from {'above ' if above else ''}{least:.15g} to {most:.15g}"


def _refuse_what_is_no_text(value: str) -> str:
    if not is_utf8(value):
        raise problem(f"found '{readable(value)}', allowed: a text without broken characters")
    return value


PERCENT = r"^\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*$"


def _read_percent(value: Any) -> Any:
    match = re.match(PERCENT, value) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else value


def percent(least: float, most: float) -> BeforeValidator:
    """Annotation: a number that may also be written as ``60%``."""
    stated = Annotated[float, Field(ge=least, le=most)]
    share = Annotated[str, StringConstraints(pattern=PERCENT)]
    return BeforeValidator(_read_percent, json_schema_input_type=stated | share)


Flag = Annotated[bool, Strict(), Allowed("true or false")]
Text = Annotated[str, StringConstraints(min_length=1), Allowed("a text (numbers need quotes)")]
Title = Annotated[
    str, Allowed("a text (numbers need quotes)"), AfterValidator(_refuse_what_is_no_text)
]
FilePath = Annotated[Path, Allowed("the path of a file")]
Weight = Annotated[float, Number(0)]

_KEY_LETTERS = r'\s.=/\\:*?"<>|()\[\]{}'
NOT_IN_NAMES = rf"[{_KEY_LETTERS}]"
NAME_PATTERN = rf"^[^{_KEY_LETTERS}]+( [^{_KEY_LETTERS}]+)*$"
"""Words without what would break a key path or the name of a file made for a region."""

Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN, max_length=60),
    Allowed("a name of letters, digits, single spaces, - and _ (numbers need quotes)"),
]


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(_one_as_list, json_schema_input_type=Text | list[Text]),
]
"""One text or a list of texts."""

SomeTexts = Annotated[
    tuple[Text, ...],
    Field(min_length=1),
    BeforeValidator(
        _one_as_list,
        json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)],
    ),
]
"""One text or a list of at least one."""


def _read_color(value: Any) -> Any:
    if isinstance(value, str):
        named = ImageColor.colormap.get(value.lower(), value)
        # Pillow replaces a name's digits by a tuple once anybody has drawn with it.
        return _read_hex(named) if isinstance(named, str) else list(named[:3])
    return value


def _read_hex(text: str) -> Any:
    match = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", text)
    if not match:
        return text
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]


def _write_color(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


_Byte = Annotated[int, Whole(0, 255)]
Color = Annotated[
    tuple[_Byte, _Byte, _Byte],
    BeforeValidator(_read_color, json_schema_input_type=str | tuple[_Byte, _Byte, _Byte]),
    PlainSerializer(_write_color, return_type=str),
    Allowed('a color: "#rrggbb", a name such as white, or [red, green, blue] from 0 to 255'),
]
"""Red, green and blue, 0 to 255; written as ``"#rrggbb"``, a CSS name or a list."""


def _same_for_all_channels(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] * 3 if is_number else value


_Channel = Annotated[float, Number()]
PerChannel = Annotated[
    tuple[_Channel, _Channel, _Channel],
    BeforeValidator(
        _same_for_all_channels,
        json_schema_input_type=_Channel | tuple[_Channel, _Channel, _Channel],
    ),
    Allowed("a number, or three numbers for red, green and blue"),
]
"""Three numbers for red, green and blue; a single number stands for three equal ones."""
