"""Which picture of a TIFF is meant: it may hold thumbnails, or be a camera raw."""

from __future__ import annotations

from typing import Any

import tifffile

from layered_nst.errors import PictureError

_CFA, _LINEAR_RAW = 32803, 34892
_DNG_VERSION, _DNG_BACKWARD = 50706, 50707
_REDUCED = 1
_MOST_PAGES = 16


def refuse_camera_raw(name: str, file: tifffile.TiffFile) -> None:
    """Refuse raw sensor data, whose TIFF begins with a thumbnail.

    Raises:
        PictureError: saying what to do.
    """
    pages = _first_pages(file)
    inner = [page for outer in pages for page in _below(outer)]
    raw = any(_photometric(page) in (_CFA, _LINEAR_RAW) for page in (*pages, *inner))
    first = pages[0].tags
    if raw or _DNG_VERSION in first or _DNG_BACKWARD in first or _is_canon(file):
        raise PictureError(
            f"{name} is a camera raw, not a picture in a format that can be read; develop it first"
        )


def main_page(file: tifffile.TiffFile) -> int:
    """The number of the first page that is no thumbnail of another; 0 if all are."""
    for number, page in enumerate(_first_pages(file)):
        if not int(getattr(page, "subfiletype", 0) or 0) & _REDUCED:
            return number
    return 0


def _first_pages(file: tifffile.TiffFile) -> list[Any]:
    """Pages as far as they can be read; no thumbnail comes after so many."""
    pages = []
    for number in range(min(len(file.pages), _MOST_PAGES)):
        try:
            pages.append(file.pages[number])
        except Exception:  # The first page is a whole picture, whatever follows it.
            break
    return pages or [file.pages.first]


def _below(page: Any) -> list[Any]:
    """The pages of a page's SubIFDs; none where they are broken."""
    try:
        return list(page.pages or ())
    except Exception:  # Whatever a broken file does to the parser, it is no sign of a camera.
        return []


def _photometric(page: Any) -> int:
    return int(getattr(page, "photometric", -1) or 0)


def _is_canon(file: tifffile.TiffFile) -> bool:
    file.filehandle.seek(8)
    return bytes(file.filehandle.read(2)) == b"CR"
