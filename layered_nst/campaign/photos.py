"""The photos of a campaign: folders, patterns and CSV files become rows."""

from __future__ import annotations

import csv
import glob
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layered_nst.campaign.loading import Stated
from layered_nst.errors import CampaignError, RecipeError
from layered_nst.recipe.beside import PHOTOS
from layered_nst.recipe.files import absolute, shown
from layered_nst.recipe.nodes import Node, Place, from_plain
from layered_nst.recipe.problems import Mistake
from layered_nst.recipe.schema import Recipe
from layered_nst.recipe.values import keys_of
from layered_nst.recipe.yaml_positions import parse_yaml
from layered_nst.words import closest, listed

COLUMN = "photo"
OWN_COLUMNS = (COLUMN, "recipe", "format", "seed", "skip")
"""Columns that choose; further ones are keys of a recipe, or fields for names."""
MAX_CSV = 100_000_000
"""Bytes of a CSV file, at most."""
NO = ("", "0", "no", "false", "n")


@dataclass(frozen=True)
class Row:
    """A photo, and what is otherwise for it.

    Attributes:
        photo: absolute path.
        where: file and line that name it, for messages; empty for one found in a folder.
        chosen: cells of ``recipe``, ``format`` and ``seed``, "" for all.
        values: of keys of a recipe, with their places.
        fields: further cells, for names.
        skip: whether it is left out for now.
        problem: what is wrong with the row; "" if nothing is.
    """

    photo: Path
    where: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Node] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    skip: bool = False
    problem: str = ""


def rows_of(stated: Stated) -> list[Row]:
    """All photos of a campaign, in the order in which it names them.

    Raises:
        CampaignError: an entry that names nothing, or a CSV file that cannot be read.
    """
    rows: list[Row] = []
    for number, entry in enumerate(stated.asked.photos):
        node = stated.node("photos", number)
        place = node.place if node.value is not None else stated.node("photos").place
        rows += _rows(entry, place)
    found = dict.fromkeys(row.photo for row in rows if not row.where)
    plain = [Row(photo) for photo in found]
    return [*plain, *(row for row in rows if row.where)] if found else rows


def _rows(entry: str, place: Place) -> Iterator[Row]:
    path = absolute(entry, place.folder)
    if path.is_dir():
        yield from map(Row, _in_folder(path, entry, place))
    elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
        yield from _of_csv(path)
    elif path.exists() or not glob.has_magic(entry):
        # One that is missing fails when its turn comes: the others are painted.
        yield Row(path)
    else:
        yield from map(Row, _matching(path, entry, place))


def _in_folder(folder: Path, entry: str, place: Place) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(one.name for one in entries if one.is_file())
    found = [n for n in names if Path(n).suffix.lower() in PHOTOS and n[0] != "."]
    if not found:
        raise _at(place, f"{entry}: no photo in this folder; names end in {', '.join(PHOTOS)}")
    return [folder / name for name in found]


def _matching(path: Path, entry: str, place: Place) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    photos = [one for one in found if one.suffix.lower() in PHOTOS and one.is_file()]
    if not photos:
        raise _at(place, f"{entry}: no photo is called so")
    return photos


def _at(place: Place, sentence: str) -> CampaignError:
    return CampaignError(str(Mistake(place, "photos", sentence)))


def _of_csv(path: Path) -> list[Row]:
    text = _text_of(path)
    head = text.split("\n", 1)[0]
    delimiter = (
        max(",;\t", key=head.count) if head.count(",") < max(map(head.count, ";\t")) else ","
    )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        lines = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise CampaignError(f"{shown(path)}:{reader.line_num}: no valid CSV: {error}") from error
    if not lines:
        raise CampaignError(f"{shown(path)}: has no rows below its columns")
    return [_row(path, line, columns, cells) for line, cells in lines]


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CSV:
            raise CampaignError(f"{shown(path)}: is larger than {MAX_CSV:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CampaignError(f"{shown(path)}: cannot be read: {reason}") from error
    # What Excel calls Unicode text is UTF-16 with its mark.
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        at = f"byte {error.start} is 0x{data[error.start]:02x}"
        hint = "save it as CSV UTF-8"
        raise CampaignError(f"{shown(path)}: is not UTF-8 text ({at}); {hint}") from error


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if COLUMN not in columns:
        near = closest(COLUMN, columns)
        hint = f" (did you mean {near}?)" if near else f"; it has {listed(columns or ['none'])}"
        raise CampaignError(f"{shown(path)}:1: has no column {COLUMN}{hint}")
    for column in columns:
        if column and columns.count(column) > 1:
            raise CampaignError(f"{shown(path)}:1: has two columns {column}, keep one")


def is_key(column: str) -> bool:
    """Whether a column says a value of a recipe, not a field for names."""
    return "." in column or column in set(keys_of(Recipe)) - {"name", "recipe"}


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    where = f"{shown(path)}:{line}"
    given = {c: cell.strip() for c, cell in zip(columns, cells, strict=False) if c}
    photo = given.get(COLUMN, "")
    problem = "" if photo else f"{where}: names no photo"
    if len([cell for cell in cells[len(columns) :] if cell.strip()]):
        problem = f"{where}: has {len(cells)} cells for {len(columns)} columns"
    values: dict[str, Node] = {}
    try:
        keyed = {c: cell for c, cell in given.items() if is_key(c) and cell}
        values = {
            c: _value(cell, Place(shown(path), line, path.parent)) for c, cell in keyed.items()
        }
    except RecipeError as error:
        problem = str(error)
    return Row(
        photo=absolute(photo, path.parent),
        where=where,
        chosen={key: given.get(key, "") for key in ("recipe", "format", "seed")},
        values=values,
        fields={c: cell for c, cell in given.items() if c not in OWN_COLUMNS and c not in values},
        skip=given.get("skip", "").lower() not in NO,
        problem=problem,
    )


def _value(cell: str, place: Place) -> Node:
    """A cell as the YAML value that it is."""
    if cell.startswith("#"):  # a color; YAML would take it for a comment
        return from_plain(cell, place)
    source = f"{place.source}:{place.line}"
    node = parse_yaml(cell, source=source, folder=place.folder, numbered=False)
    return from_plain(None if node is None else node.plain(), place)
