"""What a campaign file may say: photos, recipes, formats, what varies, limits, names.

What stands below a key is what editors show. A key that may be left open ends it with a sentence
"Without it, …".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from layered_nst.campaign.naming import check_template
from layered_nst.recipe.schema import MAX_SIZE
from layered_nst.recipe.values import (
    Allowed,
    FilePath,
    Name,
    Number,
    Section,
    SomeTexts,
    Text,
    Title,
    Whole,
    problem,
)
from layered_nst.words import amount

_ASPECT = re.compile(r"(\d+(?:\.\d+)?)\s*[:x/]\s*(\d+(?:\.\d+)?)")
_TIME = re.compile(r"(\d+(?:\.\d*)?)\s*(s|min|h|d)?")
_SECONDS = {None: 1, "s": 1, "min": 60, "h": 3600, "d": 86400}
WIDEST = 20.0
"""The longer side of a crop by the shorter one, at most."""


def _read_aspect(value: str) -> str:
    ratio = aspect(value)
    if not 1 / WIDEST <= ratio <= WIDEST:
        raise problem(f"found {value}, allowed: a ratio from 1:{WIDEST:g} to {WIDEST:g}:1")
    return value


def aspect(text: str) -> float:
    """Width by height from ``4:5``; 0 if it is none."""
    match = _ASPECT.fullmatch(text.strip())
    width, height = (float(match[1]), float(match[2])) if match else (0.0, 1.0)
    return width / height if height else 0.0


def _seconds(value: Any) -> Any:
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) * _SECONDS[match[2]] if match else value


def _bytes(value: Any) -> Any:
    found = amount(value) if isinstance(value, str) else None
    return value if found is None else found


Aspect = Annotated[
    str, Allowed("width by height, such as 4:5 or 16:9"), AfterValidator(_read_aspect)
]
Duration = Annotated[
    float,
    Number(0, above=True),
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Allowed("a time above 0, such as 90 s, 20 min or 2 h"),
]
Amount = Annotated[
    float,
    Number(1e6),
    BeforeValidator(_bytes, json_schema_input_type=float | str),
    Allowed("an amount of at least a megabyte, such as 6G or 4000M"),
]


class Format(Section):
    """A size and form that pictures are made in."""

    size: Annotated[int, Whole(1, MAX_SIZE)] | None = None
    """Longest side, px. Without it, the recipe's."""
    crop: Aspect | None = None
    """Width by height that the photo is cut to before it is painted, around its product, which
    stays whole. Without it, the photo keeps its form."""
    keep: Literal["product", "most", "center"] = "product"
    """What a crop lies around: the product, which must fit into it whole; the product, as much of
    it as fits (`most`); or the photo's center, whatever that cuts."""
    dpi: Annotated[float, Number(0, above=True)] | None = None
    """Pixels per inch, noted in the file. Without it, the recipe's, or those of the photo."""
    file: Literal["png", "jpeg", "tiff", "webp"] | None = None
    """File format. Without it, that of the name, or the recipe's, or PNG."""


class Limits(Section):
    """What a picture, or the whole campaign, may take."""

    time: Duration | None = None
    """Of one picture, such as `20 min`: one that takes longer fails. Without it, thirty times what
    was expected, and at least an hour."""
    memory: Amount | None = None
    """Of the process that paints a picture, such as `6G`: it is painted in tiles where it would not
    fit, and fails above that. Without it, an equal share of what is free."""
    disk: Amount | None = None
    """Of all pictures together; the campaign stops before it is exceeded. Without it, what is
    free."""
    tries: Annotated[int, Whole(1, 100)] = 3
    """How often a picture is begun that ends its process, before it is given up as poisoned."""


class Finish(Section):
    """What is told when a campaign has ended."""

    command: Text | None = None
    """A command line; it gets the summary as JSON on its standard input. Without it, none."""
    url: Annotated[str, Field(pattern=r"^https?://"), Allowed("http://… or https://…")] | None = (
        None
    )
    """An address that the summary is sent to, as JSON by POST. Without it, none."""


def _as_formats(value: Any) -> Any:
    """A list of sizes, or sizes by name, as formats."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list | tuple):
        value = {str(size): size for size in value}
    if isinstance(value, Mapping):
        sizes = (int,)
        return {
            key: {"size": v} if isinstance(v, sizes) and not isinstance(v, bool) else v
            for key, v in value.items()
        }
    return value


def _one_seed(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


Seeds = Annotated[
    tuple[Annotated[int, Whole(0, 2**63 - 1)], ...],
    BeforeValidator(_one_seed, json_schema_input_type=int | list[int]),
    Field(min_length=1),
]


class CampaignFile(Section):
    """Which photos are painted by which recipes, in which formats, and where they go.

    Relative paths start at the folder of the file.
    """

    campaign: Literal[1]
    """Version of the form of campaign files."""
    title: Title = ""
    """Name of the campaign, for people. Without it, that of its file."""
    photos: SomeTexts
    """Photos: files, folders, patterns such as `shots/*.jpg`, and CSV files with a column `photo`.
    Further columns say what is otherwise for a photo: `regions.sky.strength`, `size`, `recipe`,
    `format`, `seed`, `skip`; what is no key of a recipe can be used in `name`."""
    recipes: SomeTexts
    """Recipes, or patterns of them; looks and painted pictures count as recipes too."""
    formats: (
        Annotated[dict[Name, Format], BeforeValidator(_as_formats), Field(min_length=1)] | None
    ) = None
    """Sizes and forms by name, each a mapping or a size, or a list of sizes. Without it, what the
    recipe says."""
    seeds: Seeds | None = None
    """Seeds of the random numbers: a picture for each. Without it, the recipe's."""
    quality: Text | None = None
    """How long to work on each picture: `draft`, `standard`, `fine`. Without it, the recipe's."""
    set: dict[Text, Any] = Field(default_factory=dict)
    """Values of all recipes by key path, such as `optimize.steps: 20`."""
    vary: dict[Text, Annotated[list[Any], Field(min_length=1), Allowed("a list of values")]] = (
        Field(default_factory=dict)
    )
    """Values by key path of which all are painted: `regions.sky.strength: [0.5, 1]`."""
    name: Annotated[str, AfterValidator(check_template)] | None = None
    """Names of the pictures below `output`, such as `{photo}/{recipe}-{format}.png`. Without it,
    photo and recipe, and of format, seed and what varies as much as there is several of."""
    output: FilePath | None = None
    """Folder of the pictures, the ledger and the report. Without it, a folder beside the file,
    named after it."""
    limits: Limits = Limits()
    """What a picture, or the whole campaign, may take."""
    finish: Finish = Finish()
    """What is told when the campaign has ended."""

    @model_validator(mode="after")
    def _no_key_twice(self) -> Self:
        for key in self.vary:
            if key in self.set:
                raise problem("is in set and in vary, keep one", at=("vary", key))
        return self


SECTIONS: Mapping[str, type[Section]] = {"formats": Format, "limits": Limits, "finish": Finish}
"""The kinds of mappings in a campaign file, by the keys that lead to them."""


def campaign_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of campaign files, for editors."""
    schema = CampaignFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
