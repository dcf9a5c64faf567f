"""A commented recipe to start from."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from layered_nst.errors import OutputError, PictureError
from layered_nst.files.atomic import replacing
from layered_nst.files.names import did_you_mean_file
from layered_nst.files.targets import check_target
from layered_nst.files.texts import readable
from layered_nst.recipe.dumping import dump_text
from layered_nst.recipe.values import NOT_IN_NAMES

# Regions smaller than this are left to the rest: a starter should be short.
SMALLEST_SHARE = 0.02
# With less than this left, a region for the rest would only be noted as empty.
SMALLEST_REST = 0.001

_HEAD = """\
# {photo}: a starting point. Run it with
#     layered-nst apply {argument}
# and look at its regions with
#     layered-nst masks {argument} -o masks
recipe: 1
name: {name}
content: {content}
size: 1024                    # longest side of the result, px
segmentation: scenes          # the segmenter that finds the classes below
strategy: joint               # all regions in one optimization

# Bottom to top: an upper region is cut out of the lower ones.
regions:
"""

_REST = """\
  - name: rest
    select: rest              # whatever no other region takes
{style}

"""

_REGION = """  - name: {name}  # {share:.0%} of this photo
    select: {{class: {class_}}}
    feather: 4                # width of the soft border, px of the result
{style}

"""

_TAIL = """\
optimize:
  quality: standard           # draft | standard | fine
  seed: 0
"""

_STYLED = """\
    style: {style}
    strength: 1.0             # 0.5 is half as strong
    scale: 1.0                # size of the strokes
    color: style              # style | content | luminance"""
_PROTECTED = """\
    protect: true             # the photo as it is; for a style write instead
    # style: path/to/style.png"""


def write_starter(
    path: Path,
    photo: Path,
    coverage: Mapping[str, float],
    *,
    styles: Sequence[Path] = (),
    force: bool = False,
) -> None:
    """Write a starter recipe.

    Args:
        path: the recipe to write; paths in it are relative to its folder.
        photo: the photo it is for.
        coverage: share of each class found, 0 to 1.
        styles: given to the regions in turn; without any, regions keep the photo.
        force: replace an existing file.

    Raises:
        OutputError: the file is there already, is the photo or a style, or cannot be written.
        PictureError: a style picture is not there.
    """
    check_starter(path, photo, styles=styles, force=force)
    text = starter(path, photo, coverage, styles)
    with replacing(path) as file:
        file.write(text.encode())


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


def starter(path: Path, photo: Path, coverage: Mapping[str, float], styles: Sequence[Path]) -> str:
    """The text of a starter recipe; see ``write_starter``."""
    found = sorted(
        (item for item in coverage.items() if item[1] >= SMALLEST_SHARE),
        key=lambda item: -item[1],
    )
    left = 1 - sum(share for _, share in found)
    looks = (_look(path, styles, number) for number in itertools.count())
    head = _HEAD.format(
        photo=_in_comment(photo.name),
        argument=_in_comment(shlex.quote(path.name)),
        name=dump_text(readable(photo.stem)),
        content=dump_text(_relative(photo, path)),
    )
    regions = [_REST.format(style=next(looks))] if left >= SMALLEST_REST else []
    names = _names([name for name, _ in found])
    regions += [
        _REGION.format(
            name=dump_text(name), class_=dump_text(called), share=share, style=next(looks)
        )
        for name, (called, share) in zip(names, found, strict=True)
    ]
    return head + "".join(regions) + _TAIL


def _look(path: Path, styles: Sequence[Path], number: int) -> str:
    if not styles:
        return _PROTECTED
    return _STYLED.format(style=dump_text(_relative(styles[number % len(styles)], path)))


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
