"""A recipe back to YAML, for reports and for the metadata of a result."""

from __future__ import annotations

from typing import Any

import yaml

from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.yaml_positions import CORE_SCALARS


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either YAML 1.1 or 1.2 would take for something other than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern, _first in CORE_SCALARS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, _first)


def dump_recipe(recipe: Recipe) -> str:
    """Return YAML of the whole recipe, defaults included, that loads to an equal recipe."""
    stated = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.dump(stated, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
