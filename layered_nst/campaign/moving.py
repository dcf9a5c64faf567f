"""A campaign whose folder was moved: where its file, recipes and photos are now."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from layered_nst.errors import CampaignError, LayeredNstWarning


def found_again(told: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """What a ledger tells of its campaign, with the paths of files that were moved along with it.

    What is still where it was stays the campaign's, also if its pictures alone were moved.

    Args:
        told: as ``Stated.as_data`` gave it when the campaign was last run.
        output: absolute path of the folder of its pictures now.

    Raises:
        CampaignError: none of its photos, or of its recipes, is in either place.
    """
    before = Path(told["output"])
    if before == output:
        return dict(told)

    def now(path: str) -> str:
        return str(_found(Path(path), before, output))

    folder = now(told["folder"])
    for key in ("photos", "recipes"):
        named = told["stated"].get(key, [])
        paths = [Path(folder, now(one)) for one in ([named] if isinstance(named, str) else named)]
        if paths and not any(_plain_part(path).exists() for path in paths):
            raise CampaignError(
                f"{output}: was moved from {before}, and of its {key} {paths[0]} is neither where "
                "it was nor was it moved along; put it back, or load the campaign from its file"
            )
    if folder != told["folder"]:
        sentence = f"{output}: was moved from {before}; its files are taken from {folder}"
        warnings.warn(sentence, LayeredNstWarning, stacklevel=2)
    file = told["file"] and now(told["file"])
    over = {key: _renamed(told.get(key), now) for key in ("over", "over_from")}
    stated = _renamed(told["stated"], now)
    return {**told, **over, "stated": stated, "folder": folder, "file": file}


def _found(path: Path, before: Path, output: Path) -> Path:
    """A path where it was, or as far from the output as it was; itself where neither is there."""
    part = _plain_part(path)
    if not path.is_absolute() or part.exists():
        return path
    for was, now in zip((before, *before.parents), (output, *output.parents), strict=False):
        if part.is_relative_to(was) and (now / part.relative_to(was)).exists():
            return now / path.relative_to(was)
    return path


def _plain_part(path: Path) -> Path:
    """A path as far as it is no pattern."""
    patterns = [part for part in path.parents if glob.has_magic(part.name)]
    last = patterns[-1] if patterns else path
    return last.parent if glob.has_magic(last.name) and not os.path.exists(path) else path


def _renamed(value: Any, now: Callable[[str], str]) -> Any:
    """Data with all absolute paths in it called otherwise; relative ones start at its folder."""
    if isinstance(value, Mapping):
        return {key: _renamed(item, now) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, now) for item in value]
    return now(value) if isinstance(value, str) else value
