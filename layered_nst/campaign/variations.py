"""Variation sheets: a recipe with some of its values turned, on one sheet, each cell by a number.

A sheet is a small campaign, and runs as one: several cells at once, none twice.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layered_nst.campaign.campaign import Campaign
from layered_nst.campaign.jobs import AGAIN, JobState
from layered_nst.campaign.ledger import Entry, Ledger
from layered_nst.errors import CampaignError, RecipeError
from layered_nst.recipe.overrides import as_mapping

SUFFIX = ".vary"
"""Of the folder beside a sheet that holds its cells."""
MOST = 400
"""Cells of one sheet."""
KEY = "layered-nst variations"
"""Under this key a sheet says how its cells were made."""

Axes = Mapping[str, Sequence[Any]]
"""Values by key path."""


@dataclass(frozen=True)
class Variations:
    """What a sheet shows.

    Attributes:
        recipe: absolute path.
        content: absolute path of the photo; None for the recipe's own.
        axes: the values that are turned, by key path.
        overrides: further values, the same for all cells.
    """

    recipe: Path
    content: Path | None
    axes: Axes
    overrides: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Cells."""
        product = 1
        for values in self.axes.values():
            product *= len(values)
        return product

    @property
    def columns(self) -> int:
        """Cells in a row: one for each value of the last key, or all of a single row of few."""
        *_, last = self.axes.values()
        return len(last) if len(self.axes) > 1 else min(len(last), 6)

    def cell(self, number: int) -> dict[str, Any]:
        """The values of a cell, by key path.

        Args:
            number: from 1, as the sheet says it.

        Raises:
            CampaignError: there is none of that number.
        """
        if not 1 <= number <= self.count:
            raise CampaignError(f"cell {number}: allowed: 1 to {self.count}")
        combination = next(
            itertools.islice(itertools.product(*self.axes.values()), number - 1, None)
        )
        return {**self.overrides, **dict(zip(self.axes, combination, strict=True))}

    def campaign(
        self, folder: Path, *, size: int, quality: str, device: str, cache: bool
    ) -> Campaign:
        """The campaign of all cells.

        Args:
            folder: that they go to.
            size: longest side of each, px.
        """
        more = {
            "quality": quality,
            "set": {**self.overrides, "size": size},
            "vary": {key: list(values) for key, values in self.axes.items()},
            # By values, so that a cell keeps its picture when others come in between.
            "name": "-".join(f"{{{key}}}" for key in self.axes) + ".png",
            "title": f"variations of {self.recipe.stem}",
        }
        photos = [] if self.content is None else [self.content]
        made = Campaign.of(self.recipe, photos, folder, more=more, device=device)
        return replace(made, cache=cache)

    def as_json(self) -> str:
        """The same as a text that a sheet can carry."""
        content = None if self.content is None else str(self.content)
        return json.dumps({**vars(self), "recipe": str(self.recipe), "content": content})


def read_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Values by key path, from texts such as ``regions.sky.strength=0.5,1,2``.

    Raises:
        CampaignError: a text without values, a key twice, or more cells than fit on a sheet.
        RecipeError: a value that is no valid YAML.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        parts = [part for part in _parts(values) if part.strip()]
        if not equals or not key or not parts:
            raise CampaignError(f"{text}: allowed: KEY=VALUE,VALUE, such as optimize.seed=0,1")
        if key in axes:
            raise CampaignError(f"{text}: {key} is given twice, keep one")
        axes[key] = [as_mapping([f"{key}={part}"])[key] for part in parts]
    if not axes:
        raise CampaignError("nothing varies: name values such as regions.sky.strength=0.5,1,2")
    count = Variations(Path(), None, axes, {}).count
    if count > MOST:
        raise CampaignError(f"{count} cells: allowed: at most {MOST} on one sheet")
    return axes


def _parts(text: str) -> list[str]:
    """Cut a text at its commas, but not within brackets or quotes."""
    pieces = re.findall(r"""\[[^\]]*\]|\{[^}]*\}|"[^"]*"|'[^']*'|,|[^,\[{"']+|.""", text)
    found = [""]
    for piece in pieces:
        if piece == ",":
            found.append("")
        else:
            found[-1] += piece
    return found


def read_sheet(path: Path) -> Variations | None:
    """How the cells of a sheet were made; None if a file is no such sheet.

    Raises:
        PictureError: a picture that cannot be read.
    """
    from layered_nst.picture import FORMATS, read_metadata

    if path.suffix.lower() not in FORMATS or not path.is_file():
        return None
    told = read_metadata(path).get(KEY)
    if told is None:
        return None
    try:
        said = json.loads(told)
        content = None if said["content"] is None else Path(said["content"])
        return Variations(Path(said["recipe"]), content, said["axes"], said["overrides"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{path}: what it says of its cells is damaged") from error


def write_variations(made: Variations, folder: Path, target: Path, *, side: int) -> list[Entry]:
    """Draw the sheet of the cells in a folder, and write it.

    Args:
        side: longest side of a cell, px.

    Returns:
        What the ledger says of the cells, in their order.

    Raises:
        OutputError: it cannot be written.
    """
    from PIL import Image

    from layered_nst.picture import read_picture, write_picture
    from layered_nst.picture.layout import (
        ALARM,
        INK,
        Line,
        Words,
        blank,
        grid,
        tile,
        wrapped,
        write,
    )

    with Ledger(folder, readonly=True) as ledger:
        entries = ledger.entries((JobState.DONE, *AGAIN, JobState.QUEUED))
    tiles = []
    for entry in entries:
        if entry.state is JobState.DONE:
            with Image.open(folder / entry.name) as opened:
                shown = opened.convert("RGB")
        else:
            shown = blank(side, side * 2 // 3)
            sentence = entry.sentence or "not painted yet"
            for number, line in enumerate(wrapped(sentence, 13, side - 8)[: side // 30]):
                write(shown, Words(line, color=ALARM), (4, 4 + number * 19), width=side - 8)
        values = made.cell(entry.number)
        words = [Words(f"{key.rpartition('.')[2]} {_shown(values[key])}") for key in made.axes]
        first, *rest = words
        lines: list[Line] = [(Words(f"{entry.number}", 15, INK), first), *rest]
        tiles.append(tile(shown, lines, width=side))
    sheet = grid(tiles, columns=made.columns)
    drawn = read_picture(sheet, max_pixels=sheet.width * sheet.height)
    write_picture(target, drawn.rgb, quality=85, metadata={KEY: made.as_json()})
    return entries


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return Path(value).stem if "/" in value else value
    return json.dumps(value)
