"""A commented recipe to start from."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from layered_nst.errors import OutputError, PictureError
from layered_nst.files.atomic import replacing
from layered_nst.files.names import did_you_mean_file

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
    select: {{class: {name}}}
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
        OutputError: the file is there already, or cannot be written.
        PictureError: a style picture is not there.
    """
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; `force` replaces it")
    for style in styles:
        if not style.is_file():
            raise PictureError(f"{style}: no such file{did_you_mean_file(style)}")
    text = starter(path, photo, coverage, styles)
    with replacing(path) as file:
        file.write(text.encode())


def starter(path: Path, photo: Path, coverage: Mapping[str, float], styles: Sequence[Path]) -> str:
    """The text of a starter recipe; see ``write_starter``."""
    found = sorted(
        (item for item in coverage.items() if item[1] >= SMALLEST_SHARE),
        key=lambda item: -item[1],
    )
    left = 1 - sum(share for _, share in found)
    looks = (_look(path, styles, number) for number in itertools.count())
    head = _HEAD.format(
        photo=photo.name,
        argument=shlex.quote(path.name),
        name=_scalar(photo.stem),
        content=_scalar(_relative(photo, path)),
    )
    regions = [_REST.format(style=next(looks))] if left >= SMALLEST_REST else []
    regions += [
        _REGION.format(name=_scalar(name), share=share, style=next(looks)) for name, share in found
    ]
    return head + "".join(regions) + _TAIL


def _look(path: Path, styles: Sequence[Path], number: int) -> str:
    if not styles:
        return _PROTECTED
    return _STYLED.format(style=_scalar(_relative(styles[number % len(styles)], path)))


def _relative(file: Path, recipe: Path) -> str:
    return Path(os.path.relpath(file.absolute(), recipe.absolute().parent)).as_posix()


def _scalar(text: str) -> str:
    return (
        yaml.safe_dump(text, default_flow_style=True, width=4096, allow_unicode=True)
        .removesuffix("\n...\n")
        .strip()
    )
