"""Selectors: how a region says which part of the photo it is.

In YAML a selector is a mapping whose one telling key names its kind, ``{class: sky}``, or the word
``rest``. Lengths are fractions of the photo's width and height if all numbers are at most 1, else
pixels of the photo; ``unit`` forces one or the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from layered_nst.recipe.parts import PluginPart, names_plugin_part
from layered_nst.recipe.values import (
    Allowed,
    Color,
    FilePath,
    Flag,
    Number,
    Section,
    SomeTexts,
    Whole,
)

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


Spots = Annotated[
    tuple[tuple[_Coordinate, _Coordinate], ...],
    Allowed("a list of points [x, y]"),
]


class _SelectorModel(Section):
    """Base of all selectors, so that a ready-made one can be told from a mapping."""


class ClassSelector(_SelectorModel):
    """What the segmenter takes for these classes."""

    class_: Annotated[SomeTexts, Field(alias="class")]
    """One or several. Words for them will do, in any case and in the plural: `tree` is `plant`,
    `product` is `object`."""
    largest: Annotated[int, Whole(1)] | None = None
    """Keeps only this many of the largest connected pieces. Without it, all of them."""
    threshold: Annotated[float, Number(0, 1)] | None = None
    """Takes every pixel that is one of the classes with at least this probability. Without it,
    every pixel that they are likelier for than any other class."""


class SubjectSelector(_SelectorModel):
    """What the photo was taken of, whatever it is, as the segmenter sees it."""

    subject: Annotated[
        # In this order, as 1 equals True.
        Annotated[int, Whole(1)] | Literal[True],
        Allowed("true, or a whole number of at least 1"),
    ]
    """`true` takes all of it; a number, only so many of its largest connected pieces. Its shadow
    and what it stands on are not part of it, and holes in it stay holes. Of a thing that was cut
    out, as a PNG with transparency, it is all that is left."""


class FaceSelector(_SelectorModel):
    """Faces, fitted to their skin and to the photo's edges."""

    face: Annotated[
        Literal["all", "largest"] | Annotated[int, Whole(1)],
        Allowed("all, largest, or how many of the largest"),
    ]
    """`all` of them, the `largest`, or how many of the largest. Turned, small and painted ones are
    found as it comes."""
    part: Annotated[
        Literal["face", "eyes", "mouth", "skin", "hair"],
        Allowed("face, eyes, mouth, skin or hair"),
    ] = "face"
    """What of each face: all of it, its `eyes` or its `mouth`; or, of who has it, the bare `skin`,
    face, neck, arms and hands, or the `hair`, with a hat in its place, as far as colors tell."""


class Clicked(Section):
    """Points of a thing and of what is not it."""

    in_: Annotated[Spots, Field(alias="in", min_length=1)]
    """Points in the thing, each `[x, y]`. The first says what is meant, each later one mends what
    lies around it."""
    out: Spots = ()
    """Points that are not in it."""


class PointsSelector(_SelectorModel):
    """The thing at which was clicked, outlined along the photo's edges."""

    points: Clicked
    """`{in: [[x, y], ...], out: [[x, y], ...]}`; `out` may be left away."""
    unit: _Unit = None
    """What the numbers are: fractions of the photo's width and height, or px of the photo. Without
    it, fractions if all are at most 1, else px."""


class ObjectSelector(_SelectorModel):
    """The thing in a box that was drawn around it by hand."""

    object_in: Bounds
    """`[left, top, right, bottom]` around the thing and a little more."""
    unit: _Unit = None
    """What the numbers are: fractions of the photo's width and height, or px of the photo. Without
    it, fractions if all are at most 1, else px."""


class MaskSelector(_SelectorModel):
    """What is drawn in a picture."""

    mask: FilePath
    """A picture with the photo's aspect ratio, of any size: white is in, black is out, gray in
    part."""
    exact: Flag = False
    """Takes the mask as it is where it is all that a region selects: neither grown nor refined."""


class BoxSelector(_SelectorModel):
    """A rectangle."""

    box: Bounds
    """`[left, top, right, bottom]`."""
    unit: _Unit = None
    """What the numbers are: fractions of the photo's width and height, or px of the photo. Without
    it, fractions if all are at most 1, else px."""


class EllipseSelector(_SelectorModel):
    """An ellipse."""

    ellipse: Bounds
    """`[left, top, right, bottom]` of the box that it fills."""
    unit: _Unit = None
    """What the numbers are: fractions of the photo's width and height, or px of the photo. Without
    it, fractions if all are at most 1, else px."""


class PolygonSelector(_SelectorModel):
    """What a closed line surrounds."""

    polygon: Corners
    """Its corners in order, each `[x, y]`, at least three."""
    unit: _Unit = None
    """What the numbers are: fractions of the photo's width and height, or px of the photo. Without
    it, fractions if all are at most 1, else px."""


def _as_number(key: Any) -> Any:
    """A key of a mapping: files state them as text."""
    return int(key) if isinstance(key, str) and key.isdecimal() else key


FrameNumber = Annotated[int, Whole(0), BeforeValidator(_as_number)]


class FramesSelector(_SelectorModel):
    """What is drawn in some frames of a clip; in between it follows what moves there, from the one
    before and back from the next."""

    frames: Annotated[
        dict[FrameNumber, Selector],
        Field(min_length=1),
        Allowed("selectors by the numbers of frames, from 0"),
    ]
    """Selectors by the numbers of frames, counted from 0:
    `{frames: {0: {ellipse: [0.2, 0.1, 0.5, 0.9]}, 48: {box: [0.4, 0.1, 0.7, 0.9]}}}`. Masks may be
    written shorter, as `mask: {0: a.png, 48: b.png}`."""

    def at(self, number: int) -> Selector:
        """That of the last key frame up to this one, or the first of all."""
        keys = sorted(self.frames)
        return self.frames[max((key for key in keys if key <= number), default=keys[0])]


class ColorSelector(_SelectorModel):
    """The pixels near a color."""

    color: Color
    """The color: `"#rrggbb"`, a CSS name such as orange, or `[red, green, blue]` from 0 to 255."""
    tolerance: Annotated[float, Number(0)] = 12.0
    """How far a color may be from it, in ΔE of CIE Lab (1976): 2 is hardly seen, 12 is another
    shade, 40 another color."""


class AlphaSelector(_SelectorModel):
    """The opaque part of a photo with transparency."""

    alpha: Annotated[Literal[True], Allowed("true")]
    """Always true. A photo without transparency is opaque everywhere."""


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
    """What at least one of several selectors takes."""

    any: Annotated[tuple[Selector, ...], Field(min_length=1)]
    """Such as `{any: [{class: sky}, {class: water}]}`."""


class AllSelector(_SelectorModel):
    """What several selectors take in common."""

    all: Annotated[tuple[Selector, ...], Field(min_length=1)]
    """Such as `{all: [{class: person}, {box: [0, 0, 0.5, 1]}]}`."""


class NotSelector(_SelectorModel):
    """What a selector does not take."""

    not_: Annotated[Selector, Field(alias="not")]
    """Such as `{not: {class: sky}}`."""


class PluginSelector(PluginPart, _SelectorModel):
    """A plug-in's selector."""

    kind = "selector"


def _tag(value: Any) -> str | None:
    """The tag of the selector that the user means, or None if that cannot be told."""
    if isinstance(value, _SelectorModel):
        return TAGS_BY_MODEL[type(value)]
    if value == "rest":
        return "is:rest"
    found = kinds_in(value) if isinstance(value, Mapping) else ()
    if not found and names_plugin_part("selector", value):
        return "is:plugin"
    return f"is:{found[0]}" if len(found) == 1 else None


Selector = Annotated[
    Annotated[ClassSelector, Tag("is:class")]
    | Annotated[SubjectSelector, Tag("is:subject")]
    | Annotated[FaceSelector, Tag("is:face")]
    | Annotated[PointsSelector, Tag("is:points")]
    | Annotated[ObjectSelector, Tag("is:object_in")]
    | Annotated[MaskSelector, Tag("is:mask")]
    | Annotated[BoxSelector, Tag("is:box")]
    | Annotated[EllipseSelector, Tag("is:ellipse")]
    | Annotated[PolygonSelector, Tag("is:polygon")]
    | Annotated[FramesSelector, Tag("is:frames")]
    | Annotated[ColorSelector, Tag("is:color")]
    | Annotated[AlphaSelector, Tag("is:alpha")]
    | Annotated[RestSelector, Tag("is:rest")]
    | Annotated[AnySelector, Tag("is:any")]
    | Annotated[AllSelector, Tag("is:all")]
    | Annotated[NotSelector, Tag("is:not")]
    | Annotated[PluginSelector, Tag("is:plugin")],
    Discriminator(_tag),
]
"""Any selector. Which one is decided by its telling key, so that errors are about that one."""

SELECTORS: dict[str, type[_SelectorModel]] = {
    "is:class": ClassSelector,
    "is:subject": SubjectSelector,
    "is:face": FaceSelector,
    "is:points": PointsSelector,
    "is:object_in": ObjectSelector,
    "is:mask": MaskSelector,
    "is:box": BoxSelector,
    "is:ellipse": EllipseSelector,
    "is:polygon": PolygonSelector,
    "is:frames": FramesSelector,
    "is:color": ColorSelector,
    "is:alpha": AlphaSelector,
    "is:rest": RestSelector,
    "is:any": AnySelector,
    "is:all": AllSelector,
    "is:not": NotSelector,
}
"""The model behind each tag of `Selector`."""

TAGS_BY_MODEL: dict[type[_SelectorModel], str] = {
    **{model: tag for tag, model in SELECTORS.items()},
    PluginSelector: "is:plugin",
}


def kind_of(selector: _SelectorModel) -> str:
    """The word by which a selector is known: its telling key, ``rest``, or a plug-in's name."""
    if isinstance(selector, PluginSelector):
        return selector.part
    return TAGS_BY_MODEL[type(selector)].removeprefix("is:")


KINDS = tuple(tag.removeprefix("is:") for tag in SELECTORS if tag != "is:rest")
"""The telling keys."""


def kinds_in(mapping: Mapping[Any, Any]) -> tuple[str, ...]:
    """The telling keys that a mapping has."""
    return tuple(kind for kind in KINDS if kind in mapping)


def leaves(selector: Selector) -> Iterator[Selector]:
    """The selectors that a selector is made of, itself if it is made of no others."""
    match selector:
        case AnySelector(any=parts) | AllSelector(all=parts):
            for part in parts:
                yield from leaves(part)
        case NotSelector(not_=part):
            yield from leaves(part)
        case FramesSelector(frames=parts):
            for part in parts.values():
                yield from leaves(part)
        case _:
            yield selector


for _model in (AnySelector, AllSelector, NotSelector, FramesSelector):
    _model.model_rebuild()
