"""Selectors: how a region says which part of the photo it is.

In YAML a selector is a mapping whose one telling key names its kind, ``{class: sky}``, or the word
``rest``. Lengths are fractions of the photo's width and height if all numbers are at most 1, else
pixels of the photo; ``unit`` forces one or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from layered_nst.recipe.values import Allowed, Color, FilePath, Number, Section, SomeTexts, Whole

_Coordinate = Annotated[float, Number()]
_Unit = Literal["fraction", "px"] | None


def _left_to_right(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise ValueError
    return box


Bounds = Annotated[
    tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate],
    AfterValidator(_left_to_right),
    Allowed("four numbers [left, top, right, bottom] with left < right and top < bottom"),
]
Corners = Annotated[
    tuple[tuple[_Coordinate, _Coordinate], ...],
    Field(min_length=3),
    Allowed("a list of at least three points [x, y]"),
]


class _SelectorModel(Section):
    """Base of all selectors, so that a ready-made one can be told from a mapping."""


class ClassSelector(_SelectorModel):
    """What the segmenter takes for one of these classes."""

    class_: Annotated[SomeTexts, Field(alias="class")]
    """One or several class names of the segmenter."""
    largest: Annotated[int, Whole(1)] | None = None
    """Keep only this many of the largest connected components."""
    threshold: Annotated[float, Number(0, 1)] | None = None
    """Take every pixel whose probability is at least this."""


class MaskSelector(_SelectorModel):
    """A picture with the photo's aspect ratio: white is in, black is out."""

    mask: FilePath
    """Path of the mask."""


class BoxSelector(_SelectorModel):
    """A rectangle."""

    box: Bounds
    """Left, top, right, bottom."""
    unit: _Unit = None
    """What the numbers are; without it, fractions if all are at most 1, else px."""


class EllipseSelector(_SelectorModel):
    """The ellipse that fills a bounding box."""

    ellipse: Bounds
    """Left, top, right, bottom of its bounding box."""
    unit: _Unit = None
    """What the numbers are; without it, fractions if all are at most 1, else px."""


class PolygonSelector(_SelectorModel):
    """A closed polygon."""

    polygon: Corners
    """Its corners, each [x, y]."""
    unit: _Unit = None
    """What the numbers are; without it, fractions if all are at most 1, else px."""


class ColorSelector(_SelectorModel):
    """The pixels near a color, by distance in CIE Lab."""

    color: Color
    """The color: "#rrggbb", a CSS name, or [red, green, blue]."""
    tolerance: Annotated[float, Number(0)] = 12.0
    """Largest distance, in ΔE (CIE 1976)."""


class AlphaSelector(_SelectorModel):
    """The opaque part of a photo with transparency."""

    alpha: Annotated[Literal[True], Allowed("true")]
    """Always true."""


class RestSelector(_SelectorModel):
    """Whatever no other region takes; in YAML the word ``rest``."""

    model_config = ConfigDict(title="rest")

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        return {} if data == "rest" else data

    @model_serializer
    def _to_word(self) -> str:
        return "rest"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"const": "rest", "description": "Whatever no other region takes."}


class AnySelector(_SelectorModel):
    """The union of selectors."""

    any: Annotated[tuple[Selector, ...], Field(min_length=1)]
    """Selectors of which one is enough."""


class AllSelector(_SelectorModel):
    """The intersection of selectors."""

    all: Annotated[tuple[Selector, ...], Field(min_length=1)]
    """Selectors that must all agree."""


class NotSelector(_SelectorModel):
    """Everything outside a selector."""

    not_: Annotated[Selector, Field(alias="not")]
    """The selector to turn round."""


def _tag(value: Any) -> str | None:
    """Return the tag of the selector that the user means, or None if that cannot be told."""
    if isinstance(value, _SelectorModel):
        return TAGS_BY_MODEL[type(value)]
    if value == "rest":
        return "is:rest"
    found = kinds_in(value) if isinstance(value, Mapping) else ()
    return f"is:{found[0]}" if len(found) == 1 else None


Selector = Annotated[
    Annotated[ClassSelector, Tag("is:class")]
    | Annotated[MaskSelector, Tag("is:mask")]
    | Annotated[BoxSelector, Tag("is:box")]
    | Annotated[EllipseSelector, Tag("is:ellipse")]
    | Annotated[PolygonSelector, Tag("is:polygon")]
    | Annotated[ColorSelector, Tag("is:color")]
    | Annotated[AlphaSelector, Tag("is:alpha")]
    | Annotated[RestSelector, Tag("is:rest")]
    | Annotated[AnySelector, Tag("is:any")]
    | Annotated[AllSelector, Tag("is:all")]
    | Annotated[NotSelector, Tag("is:not")],
    Discriminator(_tag),
]
"""Any selector. Which one is decided by its telling key, so that errors are about that one."""

SELECTORS: dict[str, type[_SelectorModel]] = {
    "is:class": ClassSelector,
    "is:mask": MaskSelector,
    "is:box": BoxSelector,
    "is:ellipse": EllipseSelector,
    "is:polygon": PolygonSelector,
    "is:color": ColorSelector,
    "is:alpha": AlphaSelector,
    "is:rest": RestSelector,
    "is:any": AnySelector,
    "is:all": AllSelector,
    "is:not": NotSelector,
}
"""The model behind each tag of `Selector`."""

TAGS_BY_MODEL = {model: tag for tag, model in SELECTORS.items()}
KINDS = tuple(tag.removeprefix("is:") for tag in SELECTORS if tag != "is:rest")
"""The telling keys."""


def kinds_in(mapping: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the telling keys that a mapping has."""
    return tuple(kind for kind in KINDS if kind in mapping)


for _model in (AnySelector, AllSelector, NotSelector):
    _model.model_rebuild()
