"""A recipe back to YAML, for reports and for the metadata of a result."""

from __future__ import annotations

import re
from typing import Any

import yaml

from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.spaces import ODD
from layered_nst.recipe.yaml_positions import CORE_SCALARS


class Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1, 1.2 or our own loader would not take for that very text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern, _first in CORE_SCALARS:
    Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, _first)
Dumper.add_implicit_resolver("!odd", re.compile(rf"[{ODD}].*|.*[{ODD}]$", re.DOTALL), None)


def dump_text(text: str) -> str:
    """A text as YAML that fits into one line, also between brackets."""
    dumped: str = yaml.dump(
        [text], Dumper=Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True
    )
    return dumped.strip()[1:-1]


def dump_recipe(recipe: Recipe) -> str:
    """YAML of the whole recipe, defaults included, that loads to an equal recipe."""
    stated = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.dump(stated, Dumper=Dumper, sort_keys=False, allow_unicode=True)
