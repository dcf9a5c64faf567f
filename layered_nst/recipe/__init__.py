"""Recipes: which regions a photo has, which styles they get, and what must stay recognizable."""

from layered_nst.recipe.dumping import dump_recipe
from layered_nst.recipe.files import is_stream, named_files
from layered_nst.recipe.json_schema import json_schema
from layered_nst.recipe.libraries import find_library, find_look
from layered_nst.recipe.loading import load_recipe
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
from layered_nst.recipe.selectors import (
    AllSelector,
    AlphaSelector,
    AnySelector,
    BoxSelector,
    ClassSelector,
    ColorSelector,
    EllipseSelector,
    FramesSelector,
    MaskSelector,
    NotSelector,
    PolygonSelector,
    RestSelector,
    Selector,
    SubjectSelector,
)

__all__ = [
    "AllSelector",
    "AlphaSelector",
    "AnySelector",
    "BoxSelector",
    "ClassSelector",
    "ColorSelector",
    "CustomSegmenter",
    "EllipseSelector",
    "Flow",
    "FramesSelector",
    "MaskSelector",
    "NotSelector",
    "Optimize",
    "Output",
    "PolygonSelector",
    "Recipe",
    "Region",
    "RestSelector",
    "Selector",
    "StyleSource",
    "SubjectSelector",
    "Video",
    "dump_recipe",
    "find_library",
    "find_look",
    "is_stream",
    "json_schema",
    "load_recipe",
    "named_files",
]
