"""What a recipe may say: frozen models with every key, its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from layered_nst.recipe.selectors import Selector
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
    Weight,
    Whole,
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


EncoderName = Literal["hed-vgg16", "light", "vgg16", "vgg19"]

ENCODER_NAMES: tuple[str, ...] = get_args(EncoderName)

ENCODER_SUFFIX = ".safetensors"
"""An encoder that ends so is the path of a file."""

ENCODERS_ALLOWED = f"{', '.join(ENCODER_NAMES)}, or the path of a {ENCODER_SUFFIX} file"

Encoder = Annotated[
    EncoderName | Annotated[str, StringConstraints(pattern=rf"\{ENCODER_SUFFIX}$")],
    Allowed(ENCODERS_ALLOWED),
]
"""An encoder that has a name, or the path of a file."""


class CustomSegmenter(Section):
    """A team's own segmentation-models-pytorch checkpoint."""

    architecture: Literal["DeepLabV3", "DeepLabV3Plus"]
    """The network."""
    encoder: Text
    """Name of its encoder in segmentation-models-pytorch."""
    weights: FilePath
    """Path of the checkpoint (safetensors or a state dict)."""
    classes: SomeTexts
    """Class names, in the order of the network's outputs."""
    mean: PerChannel | None = None
    """Mean subtracted from the picture, per channel; without it, the encoder's own."""
    std: PerChannel | None = None
    """Standard deviation it is divided by, per channel; without it, the encoder's own."""
    decoder_channels: Annotated[int, Whole(1, 4096)] = 256
    """Width of the decoder."""

    @model_validator(mode="after")
    def _std_is_positive(self) -> Self:
        if self.std and min(self.std) <= 0:
            raise problem(f"found {min(self.std):g}, allowed: numbers above 0", at=("std",))
        return self


class StyleSource(Section):
    """One style of a region: a picture, or an entry of a style library."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["library"]}]}
    )

    image: FilePath | None = None
    """Path of the style picture."""
    library: Text | None = None
    """A look of a style library: LIBRARY/LOOK, where LIBRARY is a path or the name of a file
    beside the recipe or in the user's data directory."""
    weight: Weight = 1.0
    """Share in the blend; the weights of a region are normalized."""
    weight_mask: FilePath | None = None
    """Path of a picture with the photo's aspect ratio, by which the weight varies over the photo:
    white has all of it, black nothing. Styles without one share what the masks leave."""
    mask: FilePath | None = None
    """Path of a mask on the style picture: white is used."""

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
    """How the styles of a region flow into one another, from the first to the last."""

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


class Region(Section):
    """A part of the photo and what happens to it."""

    name: Name
    """Name, unique in the recipe."""
    select: Selector
    """Which part of the photo it is."""
    style: Annotated[
        tuple[StyleSource, ...],
        BeforeValidator(
            _spell_out_styles,
            json_schema_input_type=str | StyleSource | list[str | StyleSource] | None,
        ),
    ] = ()
    """The style or blend of styles: a path, a mapping, or a list of them."""
    flow: Flow | None = None
    """Lets the styles flow into one another across the region, instead of one mixture all over."""
    strength: Annotated[float, Number(0, 100)] = 1.0
    """How strong the style is; 1 is the tuned default at any size and area."""
    scale: Annotated[float, Number(0.1, 10)] = 1.0
    """Size of the style's strokes relative to the result."""
    color: Literal["style", "content", "luminance"] = "style"
    """Colors of the style, colors of the photo, or only the style's luminance."""
    grow: Annotated[float, Number(-MAX_SIZE, MAX_SIZE)] = 0.0
    """Pixels of the result by which the region grows; negative shrinks."""
    feather: Annotated[float, Number(0, MAX_SIZE)] = 4.0
    """Width of the soft border, px of the result."""
    content: Weight = 1.0
    """Factor on the content weight inside the region."""
    contour: Weight | None = None
    """How firmly the photo's drawing is kept; without it, 1 for a product that is painted first
    and 0 for all others."""
    refine: Flag | None = None
    """Fit the border to the photo's edges nearby; without it, products that are painted first are,
    unless they come from a mask or from the photo's alpha."""
    protect: Flag = False
    """Keep the pixels of the photo as they are."""

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
    def _flows_between_several(self) -> Self:
        count = sum(source.weight > 0 for source in self.style)
        if self.flow and count < 2:
            found = f"found {count} with a weight above 0, allowed: at least 2"
            raise problem(f"flows between styles; {found}", at=("flow",))
        if self.flow and any(source.weight_mask for source in self.style):
            raise problem("has both flow and weight_mask, keep one")
        return self


class Optimize(Section):
    """How the picture is computed. A key left out takes the tuned default of its quality."""

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """The optimizer."""
    quality: Literal["draft", "standard", "fine"] = "standard"
    """The preset that sets everything left out below."""
    seed: Annotated[int, Whole(0, 2**63 - 1)] = 0
    """Seed of the random numbers."""
    style: Weight | None = None
    """Weight of the style loss."""
    content: Weight | None = None
    """Weight of the content loss."""
    contour: Weight | None = None
    """Weight of the contour loss, where a region has one."""
    total_variation: Weight | None = None
    """Weight of the total variation, which is relative to the style's own."""
    layers: Annotated[dict[LayerName, Weight], Field(min_length=1)] | None = None
    """Style layers and their weights."""
    content_layers: Annotated[dict[LayerName, Weight], Field(min_length=1)] | None = None
    """Content layers and their weights."""
    pooling: Literal["max", "average"] | None = None
    """Pooling of the encoder."""
    start: Literal["color", "content", "noise"] = "color"
    """Start from the photo with its colors moved to the styles', from the photo, or from noise."""
    levels: (
        Annotated[tuple[Annotated[int, Whole(1, MAX_SIZE)], ...], Field(min_length=1)] | None
    ) = None
    """Longest side of the picture at each level of the pyramid, rising, px."""
    steps: Annotated[
        Annotated[int, Whole(0)]
        | Annotated[tuple[Annotated[int, Whole(0)], ...], Field(min_length=1)]
        | None,
        Allowed("a whole number of at least 0, or a list with one for each level"),
    ] = None
    """Optimizer steps, at every level alike or one number for each."""
    learning_rate: Annotated[float, Number(0, above=True)] | None = None
    """Learning rate."""
    area_exponent: Annotated[float, Number(0, 4)] = 1.0
    """Exponent of a region's area in its style loss: 1 pulls every pixel alike."""
    precision: Literal["float32", "bfloat16"] | None = None
    """How the encoder multiplies; by default in bfloat16 where the device does so natively."""
    history: Annotated[int, Whole(1, 1000)] = 10
    """Past steps that L-BFGS remembers."""
    tolerance: Weight | None = None
    """Relative improvement of the loss below which a level ends early."""
    checkpoint: Weight = 60.0
    """Seconds between checkpoints; 0 writes none."""

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
    """Pixels per inch, noted in the file; without it, those of the photo."""
    format: Literal["png", "jpeg", "tiff", "webp"] | None = None
    """File format; without it, the one of the file name, which must not say otherwise."""
    quality: Annotated[int, Whole(1, 100)] = 95
    """Quality of JPEG and WebP; 100 makes WebP lossless."""
    depth: Literal[8, 16] | None = None
    """Bits per channel; without it, those of the photo as far as the format holds them."""
    profile: Literal["sRGB", "keep"] = "sRGB"
    """Color profile of the file: sRGB, or that of the photo."""
    background: Color | None = None
    """Color that the picture is laid on, instead of being transparent; JPEG takes white."""

    @model_validator(mode="after")
    def _depth_fits_format(self) -> Self:
        if self.depth == 16 and self.format in ("jpeg", "webp"):
            raise problem(f"found 16, allowed: 8 for format {self.format}", at=("depth",))
        return self


def _segmentation_tag(value: Any) -> str:
    return "is:custom" if isinstance(value, Mapping | CustomSegmenter) else "is:name"


Segmentation = Annotated[
    Annotated[
        Annotated[str, Field(min_length=1), Allowed("the name of a segmenter, or a mapping")],
        Tag("is:name"),
    ]
    | Annotated[CustomSegmenter, Tag("is:custom")],
    Discriminator(_segmentation_tag),
]


class Recipe(Section):
    """Which regions a photo has, which styles they get, and how the picture is computed.

    Paths are absolute once a recipe has been loaded.
    """

    recipe: Literal[1]
    """Version of the recipe format."""
    name: Annotated[str, Allowed("a text (numbers need quotes)")] = ""
    """Name of the recipe, for people."""
    content: FilePath | None = None
    """Path of the photo; --content overrides it."""
    size: Annotated[int, Whole(1, MAX_SIZE)] = 1024
    """Longest side of the result, px."""
    encoder: Encoder | None = None
    """The network whose features make up content and style: a name, or the path of a file that
    `layered-nst encoder distill` wrote; by default the quality chooses."""
    segmentation: Segmentation = "scenes"
    """Name of a segmenter, or a team's own checkpoint."""
    strategy: Literal["joint", "product-then-style"] = "joint"
    """All regions at once, or the product first and the styles around it."""
    product: Texts = ()
    """Names of the regions kept recognizable, painted first."""
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    """The regions, bottom to top: an upper one is cut out of the lower ones."""
    optimize: Optimize = Optimize()
    """How the picture is computed."""
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
        if self.strategy == "product-then-style" and not self.product:
            raise problem("product-then-style needs product: [region, …]", at=("strategy",))
        if self.strategy == "product-then-style" and self.optimize.start == "noise":
            sentence = (
                "found noise, allowed: color, content (product-then-style starts from the product)"
            )
            raise problem(sentence, at=("optimize", "start"))
        return self

    def is_painted_first(self, region: Region) -> bool:
        """Whether the recipe's strategy paints a region before all others, as a product."""
        return self.strategy == "product-then-style" and region.name in self.product


LAYER_NAMES: tuple[str, ...] = get_args(LayerName)
