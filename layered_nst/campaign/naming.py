"""Names of pictures: from a template to a path below the output, the same on every run."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from layered_nst.files.hashes import bytes_hash
from layered_nst.files.texts import readable
from layered_nst.recipe.values import problem
from layered_nst.words import did_you_mean

LONGEST = 180
"""Bytes of a part of a name; disks hold 255, and previews and parts have longer ones."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|]')
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""How names of pictures end, each with its format."""
ENDINGS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "webp": ".webp"}


def fields_of(template: str) -> list[str]:
    """The names in braces of a template.

    Raises:
        ValueError: braces that don't close, or what is no plain name in them.
    """
    found = []
    for _, field, form, conversion in string.Formatter().parse(template):
        if field is None:
            continue
        if (
            not re.fullmatch(r"[\w.\-\[\] ]+", field)
            or conversion
            or not re.fullmatch(r"0?\d*", form or "")
        ):
            raise ValueError(field)
        found.append(field)
    return found


def check_template(template: str) -> str:
    """Refuse a template that would lead out of the output, or that names nothing."""
    try:
        fields = fields_of(template)
    except ValueError as error:
        sentence = (
            f"found {template!r}, allowed: fields such as {{photo}}, {{recipe}} or {{number:04}}"
        )
        raise problem(sentence) from error
    parts = PurePosixPath(template).parts
    if template.startswith("/") or ".." in parts or not fields or template.endswith("/"):
        raise problem(
            f"found {template!r}, allowed: a path below the output with a field such as {{photo}}"
        )
    return template


def named(template: str, values: Mapping[str, str | int], suffix: str) -> str:
    """The name of a picture: a template with its fields filled in, each part fit for any disk.

    Args:
        values: by field; what they hold makes no folders of its own.
        suffix: added where the template names no format.

    Raises:
        KeyError: a field that has no value; its text says which there are.
    """
    pieces = []
    for literal, field, form, _ in string.Formatter().parse(template):
        pieces.append(literal)
        if field is not None:
            pieces.append(_value(field, form or "", values))
    text = unicodedata.normalize("NFC", "".join(pieces))
    ending = ending_of(template) or suffix
    *folders, last = [part for part in text.split("/") if part]
    stem = last.removesuffix(ending)
    return "/".join([*(fitted(part) for part in folders), fitted(stem, ending)])


def ending_of(template: str) -> str:
    """The suffix of a picture's format that a template itself ends with, or the empty string."""
    ending = PurePosixPath(template).suffix
    return ending if ending.lower() in SUFFIXES else ""


def _value(field: str, form: str, values: Mapping[str, str | int]) -> str:
    if field not in values:
        hint = did_you_mean(field, values) or f"; there are {', '.join(values)}"
        raise KeyError(f"no field {{{field}}}{hint}")
    value = values[field]
    if form and isinstance(value, int):
        return format(value, form)
    return _FORBIDDEN.sub("-", readable(str(value)))


def fitted(part: str, suffix: str = "") -> str:
    """A part of a name, cut where it is too long for a disk; two that differ stay different."""
    plain = part.strip(" ") if suffix else part.strip(" .")
    plain = plain or "_"
    if len((plain + suffix).encode()) <= LONGEST:
        return plain + suffix
    tail = f"~{bytes_hash([plain.encode()])[:12]}{suffix}"
    room = LONGEST - len(tail.encode())
    return plain.encode()[:room].decode("utf-8", "ignore") + tail


def same_name(name: str) -> str:
    """What is alike for names that some disk would take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def default_template(
    *, recipes: int, formats: Sequence[str], seeds: int, vary: Sequence[str]
) -> str:
    """A template that tells apart what a campaign has several of."""
    parts = ["{photo}", "{recipe}"] if recipes > 1 or not vary else ["{photo}"]
    parts += ["{format}"] if len(formats) > 1 else []
    parts += ["{seed}"] if seeds > 1 else []
    return "-".join([*parts, *(f"{{{key}}}" for key in vary)])
