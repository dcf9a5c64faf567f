"""Sheets are laid out one way: paper, ink, tiles in rows, words that fit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import layered_nst
from layered_nst.picture import layout
from layered_nst.picture.layout import (
    BELOW,
    GAP,
    INK,
    LINE,
    PAPER,
    Words,
    beside,
    fitting,
    font,
    grid,
    stacked,
    tile,
    wrapped,
)

PACKAGE = Path(layered_nst.__file__).parent
DRAWERS = {"picture/layout.py", "regions/overlay.py"}
"""The sheets' one layout, and the names that are written into a photo."""


def plain(width: int, height: int, color: tuple[int, int, int] = (200, 0, 0)) -> Image.Image:
    return Image.new("RGB", (width, height), color)


def drawn(picture: Image.Image) -> np.ndarray:
    return (np.asarray(picture) != np.array(PAPER)).any(-1)


def test_letters_are_set_in_one_place() -> None:
    for file in PACKAGE.rglob("*.py"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module == "PIL"
            for alias in node.names
        }
        assert "ImageFont" not in names or file.relative_to(PACKAGE).as_posix() in DRAWERS, file


def test_a_text_is_cut_to_the_last_letter_that_fits() -> None:
    width = font(13).getlength("harbor at night")
    assert fitting("harbor at night", 13, width) == "harbor at night"
    cut = fitting("harbor at night", 13, width - 1)
    assert cut.endswith("…")
    assert font(13).getlength(cut) <= width - 1
    longer = "harbor at night"[: len(cut)] + "…"
    assert font(13).getlength(longer) > width - 1
    assert fitting("harbor", 13, 2) == ""


def test_a_long_text_is_broken_between_words_and_where_its_lines_break() -> None:
    text = "one two three four\nfive"
    lines = wrapped(text, 13, font(13).getlength("one two thr"))
    assert lines == ["one two", "three four", "five"]
    assert wrapped("m" * 80, 13, 90) == [fitting("m" * 80, 13, 90)]


def test_words_stand_below_their_picture_and_within_the_tile() -> None:
    made = tile(plain(60, 40), [Words("words " * 20, 15, INK), Words("more " * 30)], width=100)
    assert made.size == (100, 40 + 2 * LINE)
    below = drawn(made)[40:]
    assert not below[:BELOW].any()
    assert below[:LINE].any()
    assert below[LINE:].any()
    assert drawn(tile(plain(60, 40), [Words("")], width=100))[40:].sum() == 0


def test_words_of_two_inks_share_a_line_and_its_width() -> None:
    line = (Words("label", 15, INK), Words("a name that is much too long for the tile"))
    made = np.asarray(tile(plain(120, 10), [line]))[10:]
    dark = np.argwhere((made == np.array(INK)).all(-1))[:, 1]
    assert dark.size
    assert drawn(Image.fromarray(made))[:, dark.max() + 6 :].any()


def test_a_row_is_as_high_as_its_highest_tile() -> None:
    tiles = [plain(50, 20), plain(40, 30), plain(50, 10, (0, 0, 200))]
    sheet = grid(tiles, columns=2)
    assert sheet.size == (3 * GAP + 2 * 50, 3 * GAP + 30 + 10)
    assert sheet.getpixel((GAP, GAP)) == (200, 0, 0)
    assert sheet.getpixel((2 * GAP + 50, GAP + 29)) == (200, 0, 0)
    assert sheet.getpixel((GAP, 2 * GAP + 30)) == (0, 0, 200)
    assert sheet.getpixel((2 * GAP + 50, 2 * GAP + 30)) == PAPER
    assert grid(tiles[:1], columns=4).width == 2 * GAP + 50


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_paper_shows_through_what_is_transparent(mode: str) -> None:
    shape = (10, 10, 4 if mode == "RGBA" else 2)
    clear = Image.fromarray(np.zeros(shape, np.uint8), mode)
    assert not drawn(beside([clear, clear])).any()


def test_sheets_stand_below_one_another() -> None:
    whole = stacked([plain(30, 10), plain(50, 20, (0, 0, 200))])
    assert whole.size == (50, 30)
    assert whole.getpixel((40, 5)) == PAPER
    assert whole.getpixel((40, 15)) == (0, 0, 200)


def test_names_that_begin_alike_keep_their_ends() -> None:
    name = "harbor-at-night-and-by-day-square.png"
    width = font(11).getlength("harbor-at-night-square.png")
    cut = fitting(name, 11, width, ends=True)
    begins, ends = cut.split("…")
    assert name.startswith(begins)
    assert name.endswith(ends)
    assert abs(len(begins) - len(ends)) <= 1
    assert font(11).getlength(cut) <= width
    assert fitting(name, 11, 1, ends=True) == ""


@pytest.fixture
def no_other_typefaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(layout, "OTHERS", ())
    caches = (layout._others, layout.lettered)
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


@pytest.mark.usefixtures("no_other_typefaces")
def test_letters_that_no_typeface_has_are_told_by_those_that_come_near() -> None:
    assert fitting("Rückseite – 4×5, Łódź", 13, 500) == "Ruckseite - 4x5, Lodz"
    assert fitting("北京.png", 13, 500) == "??.png"


def test_no_letter_is_drawn_as_a_box() -> None:
    text, face = layout.lettered("Überblick – Größe 4×5", 13)
    box = face.getmask("\uffff")
    for letter in set(text) - {" "}:
        mask = face.getmask(letter)
        assert (mask.size, bytes(mask)) != (box.size, bytes(box)), letter
