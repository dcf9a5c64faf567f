"""A gallery paints all recipes of a folder onto one sheet, and shows those that fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from workbench import RECIPE, lay_out, run

from layered_nst import api
from layered_nst.cli.display import Display
from layered_nst.errors import Interrupted, RecipeError
from layered_nst.painting.progress import Progress
from layered_nst.picture.layout import ALARM, GAP, LINE, PAPER
from layered_nst.views import gallery
from layered_nst.views.gallery import (
    BETWEEN,
    NARROWEST,
    Cell,
    default_folder,
    find_recipes,
    gallery_sheet,
    paint_gallery,
)

SIZE = 32
QUICK = ["--size", str(SIZE), "--steps", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipes ``a``, ``b``, whose style is missing, and, a folder deeper, ``more/c``."""
    lay_out(tmp_path / "looks")
    (tmp_path / "looks/look.yaml").rename(tmp_path / "looks/a.yaml")
    broken = RECIPE.replace("dots.png", "dost.png")
    (tmp_path / "looks/b.yml").write_text(f"name: Broken\n{broken}")
    (tmp_path / "looks/more").mkdir()
    changed = (
        "extends: ../a.yaml\nname: Only stripes\nregions:\n  - {name: sky, style: ../stripes.png}\n"
    )
    (tmp_path / "looks/more/c.yaml").write_text(changed)
    monkeypatch.chdir(tmp_path)
    return Path("looks")


def filled(number: int, *, width: int = 40, height: int = 30) -> Cell:
    """A tile of plain colors that no other has."""
    photo, picture = (Image.new("RGB", (width, height), (number, 200, blue)) for blue in (10, 90))
    return Cell(
        Path("x.yaml"), f"look {number}", "Name", photo, picture, {"ground": 0.4, "sky": 0.6}
    )


def box_of(sheet: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of a color."""
    found = np.argwhere((np.asarray(sheet) == np.array(color)).all(-1))
    (top, left), (bottom, right) = found.min(0), found.max(0)
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def is_drawn(area: NDArray[Any]) -> bool:
    return bool((area != np.array(PAPER)).any())


def test_tiles_stand_in_their_order_row_by_row() -> None:
    sheet = gallery_sheet([filled(n) for n in range(5)], size=40, columns=2)
    assert sheet.size == (GAP + 2 * (NARROWEST + GAP), GAP + 3 * (30 + 2 * LINE + GAP))
    for number in range(5):
        left = GAP + number % 2 * (NARROWEST + GAP)
        top = GAP + number // 2 * (30 + 2 * LINE + GAP)
        assert box_of(sheet, (number, 200, 10)) == (left, top, left + 40, top + 30)
        after = left + 40 + BETWEEN
        assert box_of(sheet, (number, 200, 90)) == (after, top, after + 40, top + 30)


def test_a_row_is_as_high_as_its_highest_picture_and_large_pictures_widen_it() -> None:
    tiles = [filled(0, width=200, height=90), filled(1, width=80, height=200), filled(2)]
    sheet = gallery_sheet(tiles, size=200, columns=2)
    width = 400 + BETWEEN
    assert sheet.size == (GAP + 2 * (width + GAP), GAP + 200 + 30 + 2 * (2 * LINE + GAP))
    assert box_of(sheet, (2, 200, 10))[:2] == (GAP, GAP + 200 + 2 * LINE + GAP)


def test_a_single_recipe_makes_a_sheet_of_one_column() -> None:
    assert gallery_sheet([filled(0)], size=40, columns=4).width == GAP + NARROWEST + GAP


def test_recipe_and_regions_are_written_below_the_pictures() -> None:
    full = gallery_sheet([filled(0)], size=40)
    pixels = np.asarray(full)
    first, second = GAP + 30, GAP + 30 + LINE
    assert is_drawn(pixels[first + 2 : second])
    assert is_drawn(pixels[second + 2 : second + LINE])
    tile = Cell(Path("x"), "look 0", photo=filled(0).photo, picture=filled(0).picture)
    bare = np.asarray(gallery_sheet([tile], size=40))
    assert not is_drawn(bare[second + 2 : second + LINE])


def test_captions_stay_within_their_tile_however_long() -> None:
    tile = filled(0)
    names = {f"a region with a long name {n}": 0.1 for n in range(20)}
    long = Cell(tile.file, "label " * 30, "name " * 60, tile.photo, tile.picture, names)
    pixels = np.asarray(gallery_sheet([long, filled(1)], size=40))
    assert not is_drawn(pixels[:, GAP + NARROWEST + 1 : GAP + NARROWEST + GAP])


def test_what_is_transparent_shows_the_paper() -> None:
    picture = Image.new("RGBA", (40, 30), (9, 9, 9, 0))
    picture.paste((200, 0, 0, 255), (0, 0, 20, 30))
    sheet = gallery_sheet([Cell(Path("x"), "x", photo=picture, picture=picture)], size=40)
    assert sheet.getpixel((GAP + 5, GAP + 5)) == (200, 0, 0)
    assert sheet.getpixel((GAP + 35, GAP + 5)) == PAPER


@pytest.mark.parametrize("error", ["short", "word " * 400, "x" * 3000, "one\ntwo\nthree"])
def test_a_failed_recipe_shows_its_sentence_within_a_frame(error: str) -> None:
    sheet = gallery_sheet([Cell(Path("x"), "x", error=error), filled(1)], size=90)
    frame = (GAP, GAP, GAP + NARROWEST, GAP + 60)
    assert box_of(sheet, ALARM) == frame
    inside = np.asarray(sheet.crop((frame[0] + 1, frame[1] + 1, frame[2] - 1, frame[3] - 1)))
    assert is_drawn(inside)


def test_recipes_come_by_name_those_of_subfolders_last(folder: Path) -> None:
    for name in ("Z.yaml", "_base.yaml", ".hidden.yaml", "notes.txt", "more/d.YAML"):
        (folder / name).write_text("")
    (folder / "_old").mkdir()
    (folder / "_old/e.yaml").write_text("")
    names = [path.relative_to(folder).as_posix() for path in find_recipes(folder)]
    assert names == ["Z.yaml", "a.yaml", "b.yml", "more/c.yaml", "more/d.YAML"]


def test_the_sheet_holds_photo_and_result_of_each_recipe_and_the_failure_of_one(
    folder: Path,
) -> None:
    ran = run("gallery", folder, *QUICK, "-o", "sheet.png", "--json")
    assert (ran.code, ran.json["failed"]) == (1, 1)
    first, failed, last = ran.json["recipes"]
    assert [r["recipe"] for r in ran.json["recipes"]] == ["a", "b", "more/c"]
    assert list(first["coverage"]) == ["ground", "sky"]
    assert first["coverage"]["sky"] == pytest.approx(0.5, abs=0.05)
    assert (first["error"], last["error"], last["name"]) == (None, None, "Only stripes")
    assert "dost.png (did you mean dots.png?)" in failed["error"]
    with Image.open("sheet.png") as opened:
        sheet = opened.convert("RGB")
    assert sheet.size == (ran.json["width"], ran.json["height"])
    for entry, column, row in ((first, 0, 0), (last, 0, 1)):
        result = api.apply(
            entry["file"], size=SIZE, overrides=["optimize.steps=1", "optimize.quality=draft"]
        )
        left = GAP + column * (NARROWEST + GAP) + SIZE + BETWEEN
        top = GAP + row * (24 + 2 * LINE + GAP)
        tile = sheet.crop((left, top, left + SIZE, top + 24))
        assert np.array_equal(np.asarray(tile), np.asarray(result.image))


def test_a_gallery_without_failures_ends_well_and_says_what_it_did(folder: Path) -> None:
    (folder / "b.yml").unlink()
    ran = run("gallery", folder, *QUICK)
    assert ran.code == 0, ran.err
    assert "a (1 of 2) joint 1/1  32×24 px" in ran.err
    assert "more/c (2 of 2) joint" in ran.err
    assert ran.err.splitlines()[-1].startswith("gallery.png")
    assert "failed" not in ran.err
    assert Path("gallery.png").is_file()


def test_a_failure_is_told_when_it_happens_and_counted_at_the_end(folder: Path) -> None:
    ran = run("gallery", folder, *QUICK)
    lines = ran.err.splitlines()
    failure = next(n for n, line in enumerate(lines) if line.startswith("b  failed: "))
    assert any(line.startswith("more/c (3 of 3)") for line in lines[failure:])
    assert lines[-1].endswith("3 recipes, 1 of them failed")


def test_all_recipes_paint_the_photo_that_is_given(folder: Path) -> None:
    (folder / "b.yml").unlink()
    Image.new("RGB", (30, 60), "teal").save("other.png")
    ran = run("gallery", folder, *QUICK, "-c", "other.png", "-o", "sheet.png", "--json")
    assert ran.code == 0
    with Image.open("sheet.png") as sheet:
        for row in range(2):
            top = GAP + row // 2 * (32 + 2 * LINE + GAP)
            assert sheet.getpixel((GAP + row * (NARROWEST + GAP) + 8, top + 16)) == (0, 128, 128)


def test_progress_counts_all_recipes(folder: Path) -> None:
    (folder / "b.yml").unlink()
    heard: list[Progress] = []
    options: dict[str, Any] = {"size": SIZE, "overrides": ["optimize.steps=2"]}
    tiles = paint_gallery(folder, **options, on_progress=heard.append)
    assert [p.done for p in heard] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert heard[-1].seconds_left == pytest.approx(0, abs=0.1)
    assert [tile.label for tile in tiles] == ["a", "more/c"]


def interrupted_at(label: str) -> Callable[[Display, Progress], None]:
    def step(display: Display, progress: Progress) -> None:
        if progress.stage.startswith(label):
            raise KeyboardInterrupt

    return step


def test_ctrl_c_keeps_the_recipes_that_are_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Display, "step", interrupted_at("more/c"))
    ran = run("gallery", folder, *QUICK, "-o", "sheet.png")
    assert (ran.code, ran.error) == (
        130,
        "interrupted; the recipes so far are on sheet.partial.png",
    )
    assert not Path("sheet.png").exists()
    with Image.open("sheet.partial.png") as sheet:
        assert sheet.height == GAP + 24 + 2 * LINE + GAP


def test_ctrl_c_in_the_first_recipe_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Display, "step", interrupted_at("a "))
    ran = run("gallery", folder, *QUICK)
    assert (ran.code, ran.error) == (
        130,
        "interrupted before the first recipe was done; nothing was written",
    )
    assert not list(Path().glob("*.png"))


def test_ctrl_c_while_a_recipe_is_prepared_is_no_failure_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery.api, "load", stopped)
    with pytest.raises(Interrupted) as stop:
        paint_gallery(folder)
    assert stop.value.partial is None


def test_the_folder_is_recipes_here_or_else_that_of_the_clone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clone = Path(gallery.__file__).absolute().parents[2]
    assert default_folder() == clone / "recipes"
    folder.rename("recipes")
    assert default_folder() == Path("recipes")
    Path("recipes").rename("looks")
    monkeypatch.setattr(
        gallery, "__file__", str(tmp_path / "installed/layered_nst/views/gallery.py")
    )
    (tmp_path / "installed/recipes").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"^recipes: no such folder here; name one: "):
        default_folder()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nowhere", "nowhere: no such folder"),
        ("looks/a.yaml", "looks/a.yaml: is a file, a gallery is a folder"),
        ("empty", "empty: no recipe in it, none of its files ends in .yaml, .yml or .lnst"),
    ],
)
def test_a_folder_without_recipes_is_one_sentence(folder: Path, place: str, sentence: str) -> None:
    Path("empty").mkdir()
    ran = run("gallery", place, *QUICK)
    assert (ran.code, ran.error) == (1, sentence)


@pytest.mark.parametrize("output", ["looks/photo.png", "looks/dots.png"])
def test_the_sheet_replaces_nothing_that_a_recipe_reads(folder: Path, output: str) -> None:
    before = Path(output).read_bytes()
    ran = run("gallery", folder, *QUICK, "-o", output)
    assert (ran.code, ran.error) == (
        3,
        f"{output}: would replace a file that is read; name another",
    )
    assert Path(output).read_bytes() == before
