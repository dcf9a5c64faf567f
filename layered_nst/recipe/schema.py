"""What a recipe may say: frozen models with every key, its default and its range.

What stands below a key is its entry in the handbook, recipes/README.md, and what editors show. A
key that may be left open ends it with a sentence "Without it, …", which the handbook gives as the
key's default.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StringConstraints,
    Tag,
    WrapValidator,
    model_validator,
)

from layered_nst import plugins
from layered_nst.recipe.parts import (
    WEIGHTS_SUFFIX,
    LossFactors,
    PluginLosses,
    PluginPart,
    PluginSegmenter,
    PluginStrategy,
    found_part,
    names_plugin_part,
    plugin_parts,
    spelled_part,
    written_part,
)
from layered_nst.recipe.selectors import (
    MaskSelector,
    PluginSelector,
    Selector,
    SubjectSelector,
    leaves,
)
from layered_nst.recipe.values import (
    Allowed,
    Color,
    FilePath,
    Flag,
    Name,
    Number,
    PerChannel,
    Section,
    SomeTexts,
    Text,
    Texts,
    Title,
    Weight,
    Whole,
    percent,
    problem,
)
from layered_nst.words import did_you_mean

MAX_SIZE = 32768
"""Longest side of a result, px."""

LayerName = Literal[
    "conv1_1", "conv1_2",
    "conv2_1", "conv2_2",
    "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4",
    "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip
"""Convolutions of VGG-16 and VGG-19; the ``_4`` ones are VGG-19's alone."""


LAYER_NAMES: tuple[str, ...] = get_args(LayerName)


def _or_of_encoder(name: Any, handler: Any) -> Any:
    """A layer of a plug-in's encoder, or else one of ours."""
    others = [] if name in LAYER_NAMES else plugin_parts("encoder")
    if any(name in part.layer_names for part in others):
        return name
    return handler(name)


Layer = Annotated[LayerName, WrapValidator(_or_of_encoder), PlainSerializer(str)]
"""A layer of some encoder; whether of the recipe's own, ``Recipe`` sees."""


def _or_of_plugin(kind: str, value: Any, handler: Any) -> Any:
    """The text of a plug-in's part and what is said to it, or else one of ours."""
    if names_plugin_part(kind, value):
        return spelled_part(kind, value)
    return handler(value)


EncoderName = Literal["hed-vgg16", "light", "vgg16", "vgg19"]

ENCODER_NAMES: tuple[str, ...] = get_args(EncoderName)

PROFILE = r"\.[iI][cC][cCmM]$"
"""A color profile that ends so is the path of a file."""

ENCODERS_ALLOWED = f"{', '.join(ENCODER_NAMES)}, or the path of a {WEIGHTS_SUFFIX} file"

Encoder = Annotated[
    EncoderName | Annotated[str, StringConstraints(pattern=rf"\{WEIGHTS_SUFFIX}$")],
    Allowed(ENCODERS_ALLOWED),
    WrapValidator(partial(_or_of_plugin, "encoder")),
    PlainSerializer(written_part),
]
"""An encoder that has a name, or the path of a file."""

Painter = Annotated[
    Literal["instant"] | Annotated[str, StringConstraints(pattern=rf"\{WEIGHTS_SUFFIX}$")],
    Allowed(f"instant, or the path of a {WEIGHTS_SUFFIX} file"),
]
"""A painter that has a name, or the path of a file."""


class CustomSegmenter(Section):
    """A team's own checkpoint of segmentation-models-pytorch, in place of a segmenter's name."""

    architecture: Literal["DeepLabV3", "DeepLabV3Plus"]
    """The network."""
    encoder: Text
    """Its encoder, as segmentation-models-pytorch calls it, such as resnet34."""
    weights: FilePath
    """The checkpoint: safetensors, or a state dict without code."""
    classes: SomeTexts
    """Names of the classes, in the order of the network's outputs."""
    mean: PerChannel | None = None
    """Subtracted from the picture, whose values are 0 to 1: one number, or one for red, green and
    blue. Without it, what the encoder was trained with."""
    std: PerChannel | None = None
    """What the picture is divided by then, above 0. Without it, what the encoder was trained
    with."""
    decoder_channels: Annotated[int, Whole(1, 4096)] = 256
    """Channels of the decoder."""

    @model_validator(mode="after")
    def _std_is_positive(self) -> Self:
        if self.std and min(self.std) <= 0:
            raise problem(f"found {min(self.std):g}, allowed: numbers above 0", at=("std",))
        return self


class StyleSource(Section):
    """One style of a region: a picture or a look, so it has `image` or `library`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["library"]}]}
    )

    image: FilePath | None = None
    """The style picture."""
    library: Text | None = None
    """A look of a style library, LIBRARY/LOOK. LIBRARY is a path, or the name of a file beside the
    recipe or in the user's data directory; a library of one look needs no LOOK."""
    weight: Weight = 1.0
    """Share in the mixture; only the proportions of a region's weights count."""
    weight_mask: FilePath | None = None
    """A picture with the photo's aspect ratio that says where the style counts: white all of its
    weight, black nothing. Styles without one share what the masks leave. Without it, the weight is
    the same all over the region."""
    mask: FilePath | None = None
    """A picture with the style picture's aspect ratio: what is white in it is style. Without it,
    all of the picture is. For pictures only: a look keeps the masks that it was built with."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.image and self.library:
            raise problem("has both image and library, keep one")
        if not self.image and not self.library:
            raise problem("needs image: or library:")
        if self.library and self.mask:
            raise problem("has both library and mask; a look keeps the masks it was built with")
        return self


Side = Literal[
    "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right"
]


class Flow(Section):
    """How the styles of a region flow into one another, in their order, at equal distances.

    Where two of them meet, they count by their weights.
    """

    from_: Annotated[Side, Field(alias="from")]
    """Side or corner of the region's bounding box where the first style is alone."""
    to: Side
    """Side or corner where the last one is."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.from_ == self.to:
            raise problem(f"from and to are both {self.to}")
        return self


def _spell_out_styles(value: Any) -> Any:
    """Turn the short forms of ``style`` into a list of mappings."""
    items = [value] if isinstance(value, str | Mapping | StyleSource) else value
    if not isinstance(items, list | tuple):
        return items
    return [{"image": item} if isinstance(item, str) else item for item in items]


LARGEST_BRUSH = 2.0
"""How much larger a strength past 1 can make strokes, as a factor."""


class Region(Section):
    """A part of the photo and what happens to it. It has a `style`, or `protect: true`."""

    name: Name
    """What messages, masks, layers and `--set` call it; unique in the recipe. Letters, digits,
    single spaces, - and _, 60 at most."""
    select: Selector
    """Which part of the photo it is."""
    style: Annotated[
        tuple[StyleSource, ...],
        BeforeValidator(
            _spell_out_styles,
            json_schema_input_type=FilePath | StyleSource | list[FilePath | StyleSource] | None,
        ),
    ] = ()
    """What the region is painted with: the path of a picture, a mapping, or a list of them, which
    is a mixture by weight. Without it, `protect: true`."""
    flow: Flow | None = None
    """Lets the styles flow into one another across the region. Without it, their mixture is the
    same all over."""
    strength: Annotated[float, Number(0, 100), percent(0, 100)] = 1.0
    """How far the region goes from the photo to its style, also as `60%`: at 0 it is the photo,
    and below 1 the photo shines through what is painted at 1, the same strokes at any strength.
    Past 1 less of the photo is held and strokes grow with its root, to twice their size. It means
    the same at any size of picture and region."""
    scale: Annotated[float, Number(0.1, 10)] = 1.0
    """Size of the strokes. At 1 the style picture is seen as large as the result is, longest side
    by longest side; at 2 its strokes are twice as large."""
    color: Literal["style", "content", "luminance"] = "style"
    """Whose colors it has: those of the style; the photo's, with the style's texture in them
    (`content`); or the photo's hues with the light and dark of the style (`luminance`)."""
    grow: Annotated[float, Number(-MAX_SIZE, MAX_SIZE)] = 0.0
    """How far the region reaches beyond what its selector finds, px of the result; negative
    shrinks it."""
    feather: Annotated[float, Number(0, MAX_SIZE)] = 4.0
    """Width of the soft border to the regions below, px of the result."""
    content: Weight = 1.0
    """How firmly the photo's forms are held, in steps that look alike when it doubles: at 0.3 they
    dissolve, at 2.5 a facade stays readable, at 8 little is repainted."""
    contour: Weight | None = None
    """How firmly the photo's drawing is held, the lines that `layered-nst contours` shows. Without
    it, 1 for a product that is painted first and 0 for all other regions."""
    realism: Annotated[float, Number(0, 1), percent(0, 1)] = 0.0
    """How far it stays a photograph, also as `60%`: at 1 its colors are the photo's, moved alike
    all around, so that edges are the photo's and nothing looks painted. For advertising, and for
    styles that are photographs."""
    palette: Annotated[tuple[Color, ...], Field(min_length=1, max_length=16)] | None = None
    """The colors that it is held to, such as a brand's: each of its colors becomes the nearest
    mixture of them; of a single one, its tints and shades. Without it, colors are free."""
    refine: Flag | None = None
    """Fits the border to the photo's edges nearby. Without it, `true` for a product that is painted
    first, unless it comes from a mask or from the photo's alpha; `false` for all other regions."""
    protect: Flag = False
    """Keeps the photo's pixels exactly, in place of a style."""
    if_empty: Literal["skip", "whole", "error"] = "skip"
    """What happens on a photo where the region finds nothing: it is left out with a note (`skip`);
    it takes the whole photo but what the regions above it take (`whole`); or the run ends with an
    error (`error`), as it does for all regions with `--strict`."""
    losses: LossFactors = Field(default_factory=dict)
    """How strongly the losses of `optimize.losses` pull here, as factors. Without it, 1 for
    each."""
    fixed: Flag = False
    """Its shapes and mask files hold for every photo, as those of a frame or of a place for text
    do. Otherwise they hold for the recipe's own photo, and are refused on another one."""

    @property
    def strokes(self) -> float:
        """Size of its strokes, as a factor: a strength past 1 is a bolder hand with a larger brush,
        as pulling harder at what is painted already shows little."""
        return self.scale * min(LARGEST_BRUSH, math.sqrt(max(1.0, self.strength)))

    @model_validator(mode="after")
    def _style_or_protect(self) -> Self:
        if self.style and self.protect:
            raise problem("has both style and protect: true, keep one")
        if not self.style and not self.protect:
            raise problem("needs a style, or protect: true")
        if self.style and not any(source.weight for source in self.style):
            raise problem("the weights are all 0, at least one must be above 0", at=("style",))
        return self

    @model_validator(mode="after")
    def _one_say_in_colors(self) -> Self:
        if self.palette and self.color == "luminance":
            raise problem("has both palette and color: luminance, keep one", at=("palette",))
        return self

    @model_validator(mode="after")
    def _flows_between_several(self) -> Self:
        count = sum(source.weight > 0 for source in self.style)
        if self.flow and count < 2:
            found = f"found {count} with a weight above 0, allowed: at least 2"
            raise problem(f"flows between styles; {found}", at=("flow",))
        if self.flow and any(source.weight_mask for source in self.style):
            raise problem("has both flow and weight_mask, keep one")
        return self


class Optimize(Section):
    """How the picture is computed. Most recipes need no more of it than `quality`."""

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """What takes the steps: L-BFGS, or Adam, which needs more of them."""
    quality: Literal["instant", "draft", "standard", "fine", "print"] = "standard"
    """How long to work on it: sets encoder, levels and steps where they are left open. `instant`
    optimizes nothing: a network paints the picture at once."""
    seed: Annotated[int, Whole(0, 2**63 - 1)] = 0
    """Seed of the random numbers. The same seed gives the same picture on the same machine."""
    style: Weight | None = None
    """Weight of the style losses of all regions. Without it, 30."""
    content: Weight | None = None
    """Weight of the content loss. Without it, 1."""
    contour: Weight | None = None
    """Weight of the contour loss, where a region has one. Without it, 20."""
    total_variation: Weight | None = None
    """Weight of smoothness; each region is smoothed as much as its style itself is smooth. Without
    it, 0.05."""
    layers: Annotated[dict[Layer, Weight], Field(min_length=1)] | None = None
    """The encoder's layers that styles are compared at, with weights, of which only the proportions
    count. Without it,
    `{conv1_1: 256, conv2_1: 64, conv3_1: 16, conv4_1: 4, conv5_1: 1}`."""
    content_layers: Annotated[dict[Layer, Weight], Field(min_length=1)] | None = None
    """The layers that the photo's forms are held at, with weights. Without it, `{conv4_2: 1}`."""
    losses: PluginLosses = Field(default_factory=dict)
    """Losses of plug-ins that pull too, by name, each with a mapping of what its plug-in takes,
    such as a weight."""
    pooling: Literal["max", "average"] | None = None
    """How the encoder halves its maps. Without it, `max`."""
    start: Literal["strokes", "lines", "color", "content", "noise"] | None = None
    """What the coarsest level starts from: the photo with its colors moved to those of the styles
    (`color`), that with strokes cut out of the styles, as dark as what they are laid on
    (`strokes`), the same composed where thin lines and small forms can be seen, for drawings,
    etchings, woodcuts and photos that are to stay readable (`lines`), the photo (`content`), or
    `noise`. Without it, `strokes`; where a product is painted first, `color`."""
    levels: (
        Annotated[tuple[Annotated[int, Whole(1, MAX_SIZE)], ...], Field(min_length=1)] | None
    ) = None
    """Longest sides of the picture as it is worked on, from coarse to fine, px; the last is
    always the result's own. Without it, the quality's."""
    steps: Annotated[
        Annotated[int, Whole(0)]
        | Annotated[tuple[Annotated[int, Whole(0)], ...], Field(min_length=1)]
        | None,
        Allowed("a whole number of at least 0, or a list with one for each level"),
    ] = None
    """Steps, at every level alike, or a list with one number for each level. Without it, the
    quality's."""
    learning_rate: Annotated[float, Number(0, above=True)] | None = None
    """How far a step goes. Without it, 1 for `lbfgs` and 0.02 for `adam`."""
    area_exponent: Annotated[float, Number(0, 4)] = 1.0
    """How a region's pull grows with its share of the picture: at 1 every pixel is pulled alike,
    below that small regions are pulled harder."""
    precision: Literal["float32", "bfloat16"] | None = None
    """How the encoder multiplies: bfloat16 is faster, float32 alike on all machines. Without it,
    `bfloat16` where the device has it natively."""
    history: Annotated[int, Whole(1, 1000)] = 10
    """How many past steps L-BFGS remembers."""
    tolerance: Weight | None = None
    """A level ends early when ten steps have lowered its loss by less than this share of it.
    Without it, 0.001."""
    checkpoint: Weight = 60.0
    """Seconds from one checkpoint to the next; 0 writes none."""

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        levels = self.levels or ()
        if any(low >= high for low, high in pairwise(levels)):
            raise problem(f"found {list(levels)}, allowed: rising sizes", at=("levels",))
        if levels and isinstance(self.steps, tuple) and len(self.steps) != len(levels):
            counts = f"{len(self.steps)} numbers for {len(levels)} levels"
            raise problem(f"found {counts}, allowed: one for each", at=("steps",))
        return self

    @model_validator(mode="after")
    def _some_layer_counts(self) -> Self:
        for key in ("layers", "content_layers"):
            weights = getattr(self, key)
            if weights and not any(weights.values()):
                sentence = "the weights are all 0, at least one must be above 0"
                raise problem(sentence, at=(key,))
        return self


class Output(Section):
    """The file that is written."""

    dpi: Annotated[float, Number(0, above=True)] | None = None
    """Pixels per inch, noted in the file; changes no pixel. Without it, those of the photo."""
    format: (
        Annotated[
            Literal["png", "jpeg", "tiff", "webp"],
            WrapValidator(partial(_or_of_plugin, "output")),
            PlainSerializer(written_part),
        ]
        | None
    ) = None
    """File format. Without it, that of the file's name, which must not say otherwise."""
    quality: Annotated[int, Whole(1, 100)] = 95
    """Quality of JPEG, WebP and films; at 100 WebP is lossless."""
    codec: Literal["vp9", "av1", "prores", "ffv1", "mjpeg", "h264", "h265"] | None = None
    """How a film is written: `vp9` and `av1` are free of licenses, `prores` is for editing, `ffv1`
    loses nothing, `h264` and `h265` are written by x264 and x265, which are GPL. Without it, vp9
    for `.mp4`, `.webm` and `.mkv`, or av1 where the clip has more than 8 bits; prores for `.mov`,
    mjpeg for `.avi`."""
    depth: Literal[8, 16] | None = None
    """Bits per channel; PNG and TIFF hold 16. Without it, those of the photo as far as the format
    holds them."""
    profile: Annotated[
        Literal["sRGB", "keep"] | Annotated[str, StringConstraints(pattern=PROFILE)],
        Allowed("sRGB, keep, or the path of an .icc file"),
    ] = "sRGB"
    """Color profile of the file: sRGB; the photo's own RGB profile (`keep`), in which protected
    pixels come back as they were; or that of an ICC file, for a press. CMYK is written as TIFF or
    JPEG."""
    proof: FilePath | None = None
    """An ICC file of what the picture will be shown or printed with: a soft proof, `OUT.proof.png`,
    is written beside it, and a note tells how much of it is out of gamut. Without it, there is a
    note where `profile` is a file, and no proof."""
    background: Color | None = None
    """What a transparent picture is laid on: `"#rrggbb"`, a name such as white, or
    `[red, green, blue]` from 0 to 255. Without it, it stays transparent; JPEG, and films that hold
    no transparency, take white."""

    @model_validator(mode="after")
    def _depth_fits_format(self) -> Self:
        if self.depth == 16 and self.format in ("jpeg", "webp"):
            raise problem(f"found 16, allowed: 8 for format {self.format}", at=("depth",))
        return self


def _known_flow(name: str) -> str:
    found_part("flow", name)
    return name


class Video(Section):
    """How a clip is painted, in place of a photo; photos know nothing of it."""

    steadiness: Weight = 1.0
    """How firmly a frame is held to those before it, moved along by the optical flow: at 0 strokes
    are only begun from there, at 4 they hardly change."""
    steps: Annotated[int, Whole(0)] | None = None
    """Steps of each frame but the first of its shot, which has those of `optimize`; none with
    `quality: instant`. Without it, 2 in a draft, 5 in `standard` and 8 in `fine`."""
    segment_every: Annotated[int, Whole(1)] = 8
    """Regions are found anew in every so manyth frame, and carried by the flow in between."""
    flow: Annotated[
        Text,
        AfterValidator(_known_flow),
        WrapValidator(partial(_or_of_plugin, "flow")),
        PlainSerializer(written_part),
    ] = "dis"
    """What finds the optical flow: `dis`, or a plug-in's name."""
    loop: Flag = False
    """Closes a loop: the last frames lead back to the first one."""


def _segmentation_tag(value: Any) -> str:
    if isinstance(value, PluginSegmenter) or names_plugin_part("segmenter", value):
        return "is:plugin"
    return "is:custom" if isinstance(value, Mapping | CustomSegmenter) else "is:name"


Segmentation = Annotated[
    Annotated[
        Annotated[str, Field(min_length=1), Allowed("the name of a segmenter, or a mapping")],
        Tag("is:name"),
    ]
    | Annotated[CustomSegmenter, Tag("is:custom")]
    | Annotated[PluginSegmenter, Tag("is:plugin")],
    Discriminator(_segmentation_tag),
]


def _strategy_tag(value: Any) -> str:
    of_plugin = isinstance(value, PluginStrategy) or names_plugin_part("strategy", value)
    return "is:plugin" if of_plugin else "is:name"


Strategy = Annotated[
    Annotated[Literal["joint", "product-then-style"], Tag("is:name")]
    | Annotated[PluginStrategy, Tag("is:plugin")],
    Discriminator(_strategy_tag),
]


class Recipe(Section):
    """Which regions a photo has, which styles they get, and how the picture is computed.

    Relative paths start at the folder of the file that states them.
    """

    recipe: Literal[1]
    """Version of the recipe format."""
    name: Title = ""
    """Name of the recipe, for people; layers and reports show it."""
    content: FilePath | None = None
    """The photo or clip, unless `--content` names one. Without it, `--content` must name one."""
    size: Annotated[int, Whole(1, MAX_SIZE)] = 1024
    """Longest side of the result, px."""
    encoder: Encoder | None = None
    """The network that sees content and style, at all levels: a name, or the path of a file that
    `layered-nst encoder distill` wrote. Without it, the quality chooses one for each level."""
    painter: Painter = "instant"
    """What paints with `quality: instant`: a name, or the path of a file that `layered-nst painter
    train` wrote."""
    segmentation: Segmentation = "scenes"
    """What finds classes in the photo: a name that `layered-nst models` lists, the path of a file
    that `layered-nst segmenter train` wrote, or a mapping for a team's own checkpoint."""
    strategy: Strategy = "joint"
    """All regions at once, or the product first and then all, starting from it; or a strategy of
    a plug-in."""
    product: Texts = ()
    """Names of the regions that must stay recognizable; `product-then-style` paints them first.
    Without it, those that select the subject."""
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    """The regions, bottom to top: an upper one is cut out of the lower ones. What none of them
    takes stays the photo."""
    photos: dict[Text, dict[Name, Selector]] = Field(default_factory=dict)
    """What stands in for the `select` of regions on some photos: by the photo's file name or path,
    by region, a selector. A mask `REGION.png` in the folder `PHOTO.masks` beside the photo counts
    before both."""
    approved: FilePath | None = None
    """A picture that was painted from this recipe and is to be finished, larger or better: its
    composition stays, and only what is finer is painted. `layered-nst finish` sets it."""
    optimize: Optimize = Optimize()
    """How the picture is computed."""
    video: Video = Video()
    """How a clip is painted, in place of a photo."""
    output: Output = Output()
    """The file that is written."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [region.name for region in self.regions]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise problem(f"a region named {name} is there already", at=("regions", index))
        return self

    @model_validator(mode="after")
    def _product_is_there(self) -> Self:
        names = [region.name for region in self.regions]
        for index, name in enumerate(self.product):
            if name not in names:
                sentence = f"no region named {name!r}{did_you_mean(name, names)}"
                known = f"{sentence}; the regions are {', '.join(names)}"
                raise problem(known, at=("product", index))
        if self.strategy == "product-then-style" and not self.products:
            sentence = "product-then-style needs product: [region, …], or a region of the subject"
            raise problem(sentence, at=("strategy",))
        start = self.optimize.start
        if self.strategy == "product-then-style" and start in ("noise", "strokes", "lines"):
            sentence = (
                f"found {start}, allowed: color, content (product-then-style starts from the "
                "product)"
            )
            raise problem(sentence, at=("optimize", "start"))
        return self

    @model_validator(mode="after")
    def _factors_are_of_losses(self) -> Self:
        for index, region in enumerate(self.regions):
            for name in region.losses:
                if name not in self.optimize.losses:
                    sentence = "pulls nowhere: it does not stand under optimize.losses"
                    raise problem(sentence, at=("regions", index, "losses", name))
        return self

    @model_validator(mode="after")
    def _photos_speak_of_regions(self) -> Self:
        names = [region.name for region in self.regions]
        for photo, selectors in self.photos.items():
            for name in selectors:
                if name not in names:
                    hint = did_you_mean(name, names) or f"; the regions are {', '.join(names)}"
                    raise problem(f"no region named {name!r}{hint}", at=("photos", photo, name))
        return self

    def selectors_for(self, photo: Path | None) -> dict[str, Selector]:
        """What stands in for ``select`` on a photo, by region.

        Args:
            photo: absolute path; None for a photo that came from no file.
        """
        found: dict[str, Selector] = {}
        for by_name in (True, False):
            for key, selectors in self.photos.items():
                if photo is not None and key == (photo.name if by_name else str(photo)):
                    found |= selectors
        return found

    def regions_on(self, photo: Path | None) -> tuple[Region, ...]:
        """The regions with the selectors that they have on a photo; see ``selectors_for``."""
        others = self.selectors_for(photo)
        return tuple(
            _selecting(region, others[region.name]) if region.name in others else region
            for region in self.regions
        )

    def is_painted_first(self, region: Region) -> bool:
        """Whether the recipe's strategy paints a region before all others, as a product."""
        return self.strategy == "product-then-style" and region.name in self.products

    @model_validator(mode="after")
    def _layers_are_the_encoders(self) -> Self:
        stated = {key: getattr(self.optimize, key) for key in ("layers", "content_layers")}
        if not any(stated.values()):
            return self  # nor is it looked for what is installed
        named = "" if self.encoder is None else plugins.name_in(self.encoder)
        part = plugins.find("encoder", named) if named else None
        own = () if part is None else part.layer_names
        for key, layers in stated.items():
            for layer in layers or ():
                if layer not in (own or LAYER_NAMES):
                    allowed = ", ".join(own) or "conv1_1 to conv5_4"
                    said = f"{named or 'the encoder'} has no such layer, allowed: {allowed}"
                    raise problem(said, at=("optimize", key, layer))
        return self

    def plugin_parts(self) -> Iterator[tuple[str, str]]:
        """Kind and full name of each part of a plug-in that it names, on its own photo."""
        for region in self.regions_on(self.content):
            for leaf in leaves(region.select):
                if isinstance(leaf, PluginSelector):
                    yield "selector", leaf.part
        for said in (self.segmentation, self.strategy):
            if isinstance(said, PluginPart):
                yield said.kind, said.part
        yield from (("loss", name) for name in self.optimize.losses)
        others = [("encoder", self.encoder), ("output", self.output.format)]
        for kind, text in (*others, ("flow", self.video.flow)):
            name = "" if text is None else plugins.name_in(text)
            if "/" in name and not name.endswith(WEIGHTS_SUFFIX):
                yield kind, name

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the product's regions: those of ``product``, or those of the subject."""
        if self.product or self.strategy == "joint":
            return self.product
        return tuple(r.name for r in self.regions if isinstance(r.select, SubjectSelector))


def _selecting(region: Region, selector: Any) -> Region:
    """A region by another selector; an exact mask is what has come of growing and refining."""
    exact = isinstance(selector, MaskSelector) and selector.exact
    settled = {"grow": 0.0, "refine": False} if exact else {}
    return region.model_copy(update={"select": selector, **settled})
