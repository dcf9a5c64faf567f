"""Rectangles of the result that a stage works on, and its picture within the whole one."""

from __future__ import annotations

from torch import Tensor

from layered_nst.picture import resize, size_of

Window = tuple[slice, slice]
"""Rows and columns, in px of the result."""


def whole(size: tuple[int, int]) -> Window:
    """All of a picture of this height and width."""
    return slice(0, size[0]), slice(0, size[1])


def window_around(mask: Tensor, margin: int) -> Window:
    """Rows and columns with anything of a mask (H, W), and ``margin`` px around them."""
    spans = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        found = (mask > 0).any(axis).nonzero().flatten()
        spans.append(
            slice(max(0, int(found[0]) - margin), min(length, int(found[-1]) + 1 + margin))
        )
    return spans[0], spans[1]


def on(window: Window, size: tuple[int, int], other: tuple[int, int]) -> Window:
    """A window of a picture of one height and width as one of the same picture at another."""
    rows, columns = (
        slice(round(part.start * there / here), max(1, round(part.stop * there / here)))
        for part, here, there in zip(window, size, other, strict=True)
    )
    return rows, columns


def placed(picture: Tensor, window: Window, start: Tensor) -> Tensor:
    """The picture of a window within the whole picture, at the window's scale.

    Args:
        picture: of the window, shape (3, h, w).
        window: in px of ``start``.
        start: what is seen around it, shape (3, H, W).
    """
    rows, columns = window
    extent = (rows.stop - rows.start, columns.stop - columns.start)
    if extent == size_of(start):
        return picture
    scale = max(picture.shape[1:]) / max(extent)
    size = (max(1, round(start.shape[1] * scale)), max(1, round(start.shape[2] * scale)))
    around = resize(start, size)
    top = min(round(rows.start * scale), size[0] - 1)
    left = min(round(columns.start * scale), size[1] - 1)
    place = around[:, top : top + picture.shape[1], left : left + picture.shape[2]]
    place.copy_(picture[:, : place.shape[1], : place.shape[2]])
    return around
