"""A commented recipe to start from."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from layered_nst.errors import OutputError, PictureError
from layered_nst.files.atomic import replacing
from layered_nst.files.names import did_you_mean_file
from layered_nst.files.targets import check_target, free_name
from layered_nst.files.texts import readable
from layered_nst.recipe.at_once import CONTOUR
from layered_nst.recipe.dumping import dump_text
from layered_nst.recipe.values import NOT_IN_NAMES

# Regions smaller than this are left to the rest: a starter should be short.
SMALLEST_SHARE = 0.02

_HEAD = """\
# {photo}: a starting point. From the folder of this file,
#     layered-nst masks {argument}
# writes the regions as masks, to look at and to mend, and
#     layered-nst apply {argument} --quality draft
# paints a first look; without --quality, the picture.
#
# {found}
recipe: 1
name: {name}
content: {content}
size: 1024                    # longest side of the result, px
segmentation: scenes          # what finds the regions in the photo
strategy: joint               # all regions in one optimization

# Bottom to top: an upper region is cut out of the lower ones.
regions:
  - name: rest
    select: rest              # whatever no other region takes
{style}

"""

_REGION = """\
  - name: {name}  # {how}
    select: {{class: {class_}}}
    feather: 4                # width of the soft border, px of the result
{style}

"""

_SUBJECT = """\
  - name: {name}
    select: {{subject: true}}   # what the photo was taken of: {how}
    if_empty: skip            # skip | whole | error, on photos without a subject
    protect: true             # the photo as it is; for a style, write style: as above instead

"""

_MORE = """\
# More regions for the asking:
{lines}
"""

_TAIL = """\
optimize:
  quality: standard           # instant | draft | standard | fine
  seed: 0
"""

_STYLED = """\
    style: {style}
    strength: 1.0             # 0.5 is half as strong
    scale: 1.0                # size of the strokes
    contour: {contour}              # how firmly the photo's lines are held
    color: style              # style | content | luminance"""

WATERCOLOR = Path(__file__).with_name("watercolor.jpg")
"""What a starter is painted with if nobody names a style."""


@dataclass(frozen=True)
class Seen:
    """What was found of a class, or of the subject, in a photo.

    Attributes:
        share: of the photo, 0 to 1.
        sure: how sure the segmenter is of it, 0 to 1; None if it was not asked.
    """

    share: float
    sure: float | None = None

    def __str__(self) -> str:
        sure = "" if self.sure is None else f", {self.sure:.0%} sure"
        return f"{self.share:.0%} of this photo{sure}"


_Named = tuple[str, tuple[str, Seen]]
"""A region's name, and the class and what was seen of it."""


def write_starter(
    path: Path,
    photo: Path,
    classes: Mapping[str, Seen],
    *,
    subject: Seen | None = None,
    styles: Sequence[Path] = (),
    force: bool = False,
) -> list[Path]:
    """Write a starter recipe: the subject stays the photo, a style goes over the rest.

    Args:
        path: the recipe to write; paths in it are relative to its folder.
        photo: the photo it is for.
        classes: what was found outside of the subject.
        subject: what was found of it; None or too little leaves it out.
        styles: the first is for the rest, further ones are for the largest classes; without any,
            a watercolor is written beside the recipe.
        force: replace an existing file.

    Returns:
        The files that were written.

    Raises:
        OutputError: the file is there already, is the photo or a style, or cannot be written.
        PictureError: a style picture is not there.
    """
    check_starter(path, photo, styles=styles, force=force)
    stand_in = [] if styles else [_write_watercolor(path)]
    text = starter(path, photo, classes, subject=subject, styles=[*styles, *stand_in])
    with replacing(path) as file:
        file.write(text.encode())
    return [path, *stand_in]


def _write_watercolor(recipe: Path) -> Path:
    style = WATERCOLOR.read_bytes()
    usual = recipe.with_name(f"{recipe.stem}-style.jpg")
    path = free_name(usual, known=lambda file: file.read_bytes() == style)
    with replacing(path) as file:
        file.write(style)
    return path


def check_starter(
    path: Path, photo: Path, *, styles: Sequence[Path] = (), force: bool = False
) -> None:
    """Refuse, before the work, what ``write_starter`` would refuse after it."""
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; `force` replaces it")
    check_target(path, reads=[photo, *styles])
    for style in styles:
        if not style.is_file():
            raise PictureError(f"{style}: no such file{did_you_mean_file(style)}")


def starter(
    path: Path,
    photo: Path,
    classes: Mapping[str, Seen],
    *,
    subject: Seen | None = None,
    styles: Sequence[Path],
) -> str:
    """The text of a starter recipe; see ``write_starter``."""
    found = sorted(
        (item for item in classes.items() if item[1].share >= SMALLEST_SHARE),
        key=lambda item: -item[1].share,
    )
    kept = subject if subject is not None and subject.share >= SMALLEST_SHARE else None
    looks = [
        _STYLED.format(style=dump_text(_relative(style, path)), contour=CONTOUR) for style in styles
    ]
    named = [*zip(_names([name for name, _ in found]), found, strict=True)]
    left = 1 - (0.0 if kept is None else kept.share)
    painted = _with_rest_left(named, left)[: len(looks) - 1]
    more = [region for region in named if region not in painted]
    regions = [
        _REGION.format(name=dump_text(name), class_=dump_text(called), how=seen, style=look)
        for (name, (called, seen)), look in zip(painted, looks[1:], strict=False)
    ]
    head = _HEAD.format(
        photo=_in_comment(photo.name),
        argument=_in_comment(shlex.quote(path.name)),
        found=_said(found, kept),
        name=dump_text(readable(photo.stem)),
        content=dump_text(_relative(photo, path)),
        style=looks[0],
    )
    name = "subject" if "subject" not in [name for name, _ in named] else "the subject"
    last = [] if kept is None else [_SUBJECT.format(name=name, how=kept)]
    return head + "".join([*regions, *last, *_suggested(more)]) + _TAIL


def _with_rest_left(named: Sequence[_Named], left: float) -> list[_Named]:
    """The regions that leave something for the rest, which is painted too."""
    kept = list[_Named]()
    for region in named:
        share = region[1][1].share
        if left - share >= SMALLEST_SHARE:
            kept.append(region)
            left -= share
    return kept


def _said(found: Sequence[tuple[str, Seen]], subject: Seen | None) -> str:
    parts = [] if subject is None else [f"a subject, {subject}"]
    parts += [f"{_in_comment(name)}, {seen.share:.0%}" for name, seen in found]
    return "\n# ".join(textwrap.wrap(f"Found: {'; '.join(parts) or 'nothing by name'}.", 84))


def _suggested(more: Sequence[_Named]) -> list[str]:
    lines = [
        f"#  - {{name: {dump_text(name)}, select: {{class: {dump_text(called)}}}, style: …}}\n"
        for name, (called, _) in more
    ]
    return [_MORE.format(lines="".join(lines))] if lines else []


def _relative(file: Path, recipe: Path) -> str:
    return Path(os.path.relpath(file.absolute(), recipe.absolute().parent)).as_posix()


def _in_comment(text: str) -> str:
    """A name on one line of a comment: a file may be called anything."""
    return readable("".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in text))


def _names(classes: Sequence[str]) -> list[str]:
    """Names of regions for classes, which may be called anything."""
    names = ["rest"]
    for text in classes:
        plain = re.sub(NOT_IN_NAMES, " ", readable(text))
        stem = " ".join(plain.split())[:50].strip() or "region"
        free = (stem if n == 1 else f"{stem} {n}" for n in itertools.count(1))
        names.append(next(name for name in free if name not in names))
    return names[1:]
