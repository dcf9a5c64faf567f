"""What a campaign leaves to look at: a page, a table and a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Template
from PIL import Image

from layered_nst.campaign.jobs import WORK, JobState, thumbnail_path
from layered_nst.campaign.ledger import Counts, Entry, Ledger
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import FOREIGN, check_target, free_name, make_folder
from layered_nst.files.texts import readable
from layered_nst.outputs.report.template import page_template
from layered_nst.words import duration, storage

FOLDER, PAGE, SHEET, TABLE = "report", "index.html", "contact.jpg", "campaign.csv"
GENERATOR = b'<meta name="generator" content="layered-nst campaign">'
MOST_ON_SHEET = 600
"""Pictures of a contact sheet; more would be too small to see, or too large a file."""
SIDE = 160
"""Longest side of a picture on the contact sheet, px."""
COLUMNS = (
    "number", "name", "state", "photo", "recipe", "format", "seed", "varied", "seconds", "width",
    "height", "bytes", "tries", "sha256", "sentence",
)  # fmt: skip
_KNOWN = ("photo", "recipe", "format", "seed")


@dataclass(frozen=True)
class Reported:
    """The files of a report."""

    page: Path
    table: Path
    sheet: Path | None


def write_campaign_report(folder: Path) -> Reported:
    """Write the report of the campaign in a folder, from its ledger.

    Raises:
        CampaignError: no campaign has been run there.
        OutputError: it cannot be written, or somebody else's file is in its place.
    """
    with Ledger(folder, readonly=True) as ledger:
        entries, counts = ledger.entries(), ledger.counts()
        title = ledger.told("title") or folder.name
    page, table = folder / FOLDER / PAGE, folder / TABLE
    check_report(folder)
    make_folder(page.parent)
    _write_table(table, entries)
    shown = _write_sheet(page.parent, folder, entries)
    _write_page(page, title, entries, counts, folder, shown)
    return Reported(page, table, shown)


def check_report(folder: Path) -> None:
    """Refuse, before the work, what a report would replace that is somebody else's.

    Raises:
        OutputError: a page or a table is in the way that this program did not write.
    """
    first = ",".join(COLUMNS).encode()
    page, table = folder / FOLDER / PAGE, folder / TABLE
    if page.exists():
        check_target(page, known=lambda path: GENERATOR in _head(path), otherwise=FOREIGN)
    if table.exists():
        check_target(
            table, known=lambda path: _head(path).lstrip(b"\xef\xbb\xbf").startswith(first)
        )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError:
        return b""


def _write_table(path: Path, entries: Sequence[Entry]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_plain(cell) for cell in _cells(entry)])
    with replacing(path) as file:
        # Excel takes UTF-8 for what it is by this mark alone.
        file.write(b"\xef\xbb\xbf" + readable(text.getvalue()).encode())


def _plain(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _cells(entry: Entry) -> list[Any]:
    labels = entry.labels
    return [
        entry.number, entry.name, entry.state.value, entry.photo, labels.get("recipe", ""),
        labels.get("format", ""), labels.get("seed", ""), _varied(labels),
        round(entry.seconds, 2), entry.width, entry.height, entry.bytes, entry.tries,
        entry.sha256, entry.sentence,
    ]  # fmt: skip


def _varied(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={text}" for key, text in labels.items() if key not in _KNOWN)


def thumbnail_of(folder: Path, entry: Entry) -> Path:
    """The small picture of a job; its worker wrote it."""
    return thumbnail_path(folder / WORK, entry.mark)


def _write_sheet(place: Path, folder: Path, entries: Sequence[Entry]) -> Path | None:
    """The contact sheet; None if there is no picture yet."""
    from layered_nst.picture import is_ours, write_image
    from layered_nst.picture.layout import Words, grid, tile

    done = [e for e in entries if e.state is JobState.DONE and thumbnail_of(folder, e).is_file()]
    if not done:
        return None
    # Of very many, as many as fit, evenly through the campaign.
    step = max(1, -(-len(done) // MOST_ON_SHEET))
    tiles = []
    for entry in done[::step]:
        with Image.open(thumbnail_of(folder, entry)) as opened:
            small = opened.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        names = (Words(f"{entry.number}"), Words(entry.name, 11, ends=True))
        tiles.append(tile(small, [names], width=SIDE))
    columns = max(4, min(12, round((len(tiles) * 1.4) ** 0.5)))
    path = free_name(place / SHEET, known=is_ours)
    write_image(path, grid(tiles, columns=columns), quality=82)
    return path


def _write_page(
    path: Path,
    title: str,
    entries: Sequence[Entry],
    counts: Counts,
    folder: Path,
    sheet: Path | None,
) -> None:
    done = counts[JobState.DONE]
    mean = counts.seconds / done if done else 0.0
    text = _template().render(
        title=title,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        total=counts.total,
        done=done,
        bad=counts.bad,
        mean=duration(mean) if mean >= 10 else f"{mean:.1f} s",
        worked=duration(counts.seconds),
        bytes=storage(counts.bytes),
        sheet=None if sheet is None else sheet.name,
        data=_as_script([_card(folder, entry) for entry in entries]),
    )
    with replacing(path) as file:
        file.write(readable(text).encode())


def _card(folder: Path, entry: Entry) -> dict[str, Any]:
    thumbnail = thumbnail_of(folder, entry)
    there = entry.state is JobState.DONE and thumbnail.is_file()
    return {
        "n": entry.number,
        "name": entry.name,
        "href": f"../{quote(entry.name)}" if entry.state is JobState.DONE else "",
        "thumb": f"../{quote(os.path.relpath(thumbnail, folder))}" if there else "",
        "state": entry.state.value,
        "photo": entry.labels.get("photo", ""),
        "recipe": entry.labels.get("recipe", ""),
        "more": ", ".join(filter(None, (entry.labels.get("format", ""), _varied(entry.labels)))),
        "seconds": round(entry.seconds, 1),
        "size": f"{entry.width}×{entry.height} px" if entry.width else "",
        "sentence": entry.sentence,
    }


def _as_script(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


@cache
def _template() -> Template:
    return page_template("campaign")
