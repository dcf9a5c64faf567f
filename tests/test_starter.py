"""``new`` writes a recipe that loads, says what it does and is easy to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from workbench import lay_out, run

from layered_nst.errors import OutputError, PictureError
from layered_nst.recipe import load_recipe
from layered_nst.recipe.starter import write_starter

FOUND = {"sky": 0.5, "building": 0.3, "grass": 0.19, "person": 0.01}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo and two styles in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def test_new_writes_a_recipe_that_checks_and_keeps_the_photo() -> None:
    ran = run("new", "photo.png")
    assert (ran.code, ran.out) == (0, "recipe.yaml\n")
    assert ran.error == (
        "note: no style yet: give a region of the recipe one, or run this again with --style"
    )
    regions = load_recipe("recipe.yaml").regions
    assert all(region.protect for region in regions)
    refused = run("apply", "recipe.yaml", "--size", "32")
    assert refused.code == 1
    assert refused.error.endswith("nothing to paint")


def test_new_with_styles_writes_a_recipe_that_runs() -> None:
    styles = ["--style", "dots.png", "--style", "stripes.png"]
    assert run("new", "photo.png", "-o", "mine.yaml", *styles).err == ""
    ran = run("apply", "mine.yaml", "--size", "32", "--steps", "1", "--json")
    assert ran.code == 0
    assert ran.json["losses"]["total"] > 0
    assert not [note for note in ran.json["notes"] if "empty" in note]


def test_new_replaces_a_recipe_only_by_force() -> None:
    Path("recipe.yaml").write_text("mine")
    ran = run("new", "photo.png")
    assert (ran.code, ran.error) == (3, "recipe.yaml: is there already; --force replaces it")
    assert Path("recipe.yaml").read_text() == "mine"
    assert run("new", "photo.png", "--force").code == 0
    assert Path("recipe.yaml").read_text().startswith("# photo.png: a starting point.")


def test_new_without_its_photo_or_style_says_so() -> None:
    ran = run("new", "foto.png")
    assert ran.code == 1
    assert ran.error == "no such picture: foto.png (did you mean photo.png?)"
    ran = run("new", "photo.png", "--style", "dot.png")
    assert (ran.code, ran.error) == (1, "dot.png: no such file (did you mean dots.png?)")
    assert not Path("recipe.yaml").exists()


def test_regions_go_from_the_largest_up_and_small_ones_are_left_to_the_rest() -> None:
    write_starter(Path("r.yaml"), Path("photo.png"), FOUND)
    names = [region.name for region in load_recipe("r.yaml").regions]
    assert names == ["rest", "sky", "building", "grass"]
    assert "# 30% of this photo" in Path("r.yaml").read_text()


def test_there_is_no_rest_where_nothing_is_left() -> None:
    write_starter(Path("r.yaml"), Path("photo.png"), {"sky": 0.6, "building": 0.4})
    assert [region.name for region in load_recipe("r.yaml").regions] == ["sky", "building"]


def test_styles_go_round_the_regions() -> None:
    write_starter(
        Path("r.yaml"), Path("photo.png"), FOUND, styles=[Path("dots.png"), Path("stripes.png")]
    )
    used = [r.style[0].image.name for r in load_recipe("r.yaml").regions if r.style[0].image]
    assert used == ["dots.png", "stripes.png", "dots.png", "stripes.png"]


@pytest.mark.parametrize("styles", [[], ["dots.png"]])
def test_a_starter_says_what_every_key_is_for_in_plain_american_english(styles: list[str]) -> None:
    write_starter(
        Path("r.yaml"), Path("photo.png"), FOUND, styles=[Path(style) for style in styles]
    )
    text = Path("r.yaml").read_text()
    assert text.count("#") >= 8
    assert "optimis" not in text
    assert max(map(len, text.splitlines())) <= 88
    assert "\n\n\n" not in text
    assert text.endswith("seed: 0\n")


@pytest.mark.parametrize(
    "name",
    ["1e3", "5e12", "0o17", "0x1F", "1_000", ".5", "no", "a, b", "x}", "walls/brick", "a: b",
     "天空", "rest", "#1", "?", "\u00a0x", "it's", "null", "~", "a b c " * 30],
)  # fmt: skip
def test_any_class_name_gives_a_recipe_that_its_loader_reads(name: str) -> None:
    found = {name: 0.5, f"{name}.": 0.3}
    write_starter(Path("r.yaml"), Path("photo.png"), found, styles=[Path("dots.png")])
    regions = load_recipe("r.yaml").regions
    assert [r.select.class_ for r in regions if hasattr(r.select, "class_")] == [
        (name,),
        (f"{name}.",),
    ]
    assert len({region.name for region in regions}) == 3


@pytest.mark.parametrize("stem", ["a\nb", "a\r\nrecipe: 2", "x # y", "\u2028z", "\x1b[2J"])
def test_a_name_with_line_breaks_does_not_leave_its_comment(stem: str, folder: Path) -> None:
    photo = Path("photo.png").rename(f"{stem}.png")
    write_starter(folder / "r.yaml", photo.absolute(), {"sky": 1.0}, styles=[Path("dots.png")])
    assert load_recipe("r.yaml").content == photo.absolute()


@pytest.mark.parametrize(
    "stem",
    ["my photo", "früh: 写真 #1", "2024", "true", "it's [1] {x}", "1e3", "0o17", "5E-2", "on"],
)
def test_any_file_name_survives_in_a_starter(stem: str, folder: Path) -> None:
    place = lay_out(folder / "deep" / "down")
    photo = (place / "photo.png").rename(place / f"{stem}.png")
    style = (place / "dots.png").rename(place / f"{stem} style.png")
    path = folder / "elsewhere" / f"{stem}.yaml"
    path.parent.mkdir()
    write_starter(path, photo, {"sky": 1.0}, styles=[style])
    loaded = load_recipe(path)
    assert loaded.content == photo
    assert loaded.regions[0].style[0].image == style
    assert loaded.name == stem
    plain = yaml.safe_load(path.read_text("utf-8"))
    assert plain["content"] == f"../deep/down/{stem}.png"


def test_a_starter_that_cannot_be_written_leaves_nothing(folder: Path) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        write_starter(Path("nowhere/r.yaml"), Path("photo.png"), FOUND)
    with pytest.raises(PictureError, match="nowhere"):
        write_starter(Path("r.yaml"), Path("photo.png"), FOUND, styles=[Path("nowhere/x.png")])
    assert sorted(path.name for path in folder.iterdir()) == [
        "dots.png",
        "look.yaml",
        "photo.png",
        "stripes.png",
    ]
