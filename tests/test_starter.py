"""``new`` writes a recipe that loads, says what it does and is easy to go on from."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from workbench import lay_out, run

from layered_nst.errors import OutputError, PictureError
from layered_nst.recipe import load_recipe
from layered_nst.recipe.starter import Seen, write_starter

FOUND = {
    "sky": Seen(0.5, 0.97),
    "building": Seen(0.3, 0.9),
    "grass": Seen(0.19),
    "person": Seen(0.01, 0.5),
}
THREE = [Path("dots.png"), Path("stripes.png"), Path("dots.png")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo and two styles in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def commands(recipe: str) -> list[list[str]]:
    """The commands in the head of a starter."""
    lines = [line.removeprefix("#").strip() for line in Path(recipe).read_text().splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("layered-nst ")]


@pytest.mark.parametrize("styles", [[], ["--style", "stripes.png"]])
def test_the_commands_in_the_head_of_a_starter_run(styles: list[str]) -> None:
    ran = run("new", "photo.png", "-o", "mine.yaml", *styles)
    assert (ran.code, ran.out) == (0, "mine.yaml\n"), ran.err
    told = commands("mine.yaml")
    assert [command[0] for command in told] == ["masks", "apply"]
    for command in told:
        small = ["--set", "optimize.steps=0"] if command[0] == "apply" else []
        done = run(*command, "--size", "32", *small)
        assert done.code == 0, done.err
    assert Path("mine.png").is_file()
    assert Path("photo.masks/rest.png").is_file()


def test_without_a_style_a_watercolor_stands_in() -> None:
    ran = run("new", "photo.png")
    assert "note: no style was named; recipe-style.jpg stands in for yours\n" in ran.err
    assert load_recipe("recipe.yaml").regions[0].style[0].image.name == "recipe-style.jpg"
    assert run("new", "photo.png", "--force").code == 0
    assert not Path("recipe-style.2.jpg").exists(), "the same watercolor is there already"
    Path("recipe-style.jpg").write_text("mine")
    assert run("new", "photo.png", "--force").code == 0
    assert Path("recipe-style.jpg").read_text() == "mine"
    assert load_recipe("recipe.yaml").regions[0].style[0].image.name == "recipe-style.2.jpg"


def test_the_subject_stays_the_photo_and_the_style_goes_over_the_rest() -> None:
    write_starter(
        Path("r.yaml"), Path("photo.png"), FOUND, subject=Seen(0.34, 0.91), styles=THREE[:1]
    )
    rest, subject = load_recipe("r.yaml").regions
    assert (rest.name, rest.style[0].image.name, subject.protect) == ("rest", "dots.png", True)
    assert subject.select.subject is True
    text = Path("r.yaml").read_text()
    assert "# what the photo was taken of: 34% of this photo, 91% sure" in text
    assert "# Found: a subject, 34% of this photo, 91% sure; sky, 50%; building, 30%" in text


def test_what_is_hardly_there_is_no_subject() -> None:
    for subject in (None, Seen(0.01, 0.6)):
        write_starter(
            Path("r.yaml"), Path("photo.png"), FOUND, subject=subject, styles=THREE, force=True
        )
        assert "subject" not in Path("r.yaml").read_text().replace("a subject", "")


def test_more_regions_are_suggested_and_are_recipes_when_uncommented() -> None:
    write_starter(Path("r.yaml"), Path("photo.png"), FOUND, styles=THREE[:1])
    text = Path("r.yaml").read_text()
    assert [region.name for region in load_recipe("r.yaml").regions] == ["rest"]
    lines = [line[1:] for line in text.splitlines() if line.startswith("#  - ")]
    more = yaml.safe_load("\n".join(lines).replace("…", "dots.png"))
    assert [(region["name"], region["select"]) for region in more] == [
        (name, {"class": name}) for name in ("sky", "building", "grass")
    ]


def test_new_with_styles_writes_a_recipe_that_runs() -> None:
    styles = ["--style", "dots.png", "--style", "stripes.png"]
    assert "note" not in run("new", "photo.png", "-o", "mine.yaml", *styles).err
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


def test_further_styles_go_to_the_largest_classes_under_the_subject() -> None:
    write_starter(Path("r.yaml"), Path("photo.png"), FOUND, subject=Seen(0.15), styles=THREE)
    regions = load_recipe("r.yaml").regions
    assert [region.name for region in regions] == ["rest", "sky", "building", "subject"]
    used = [region.style[0].image.name for region in regions if region.style]
    assert used == ["dots.png", "stripes.png", "dots.png"]
    assert "# 30% of this photo, 90% sure" in Path("r.yaml").read_text()


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
    found = {name: Seen(0.5, 0.9), f"{name}.": Seen(0.3, 0.9)}
    write_starter(Path("r.yaml"), Path("photo.png"), found, subject=Seen(0.1), styles=THREE)
    regions = load_recipe("r.yaml").regions
    assert [r.select.class_ for r in regions if hasattr(r.select, "class_")] == [
        (name,),
        (f"{name}.",),
    ]
    assert len({region.name for region in regions}) == 4


@pytest.mark.parametrize("stem", ["a\nb", "a\r\nrecipe: 2", "x # y", "\u2028z", "\x1b[2J"])
def test_a_name_with_line_breaks_does_not_leave_its_comment(stem: str, folder: Path) -> None:
    photo = Path("photo.png").rename(f"{stem}.png")
    write_starter(
        folder / "r.yaml", photo.absolute(), {"sky": Seen(1.0)}, styles=[Path("dots.png")]
    )
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
    write_starter(path, photo, {"sky": Seen(1.0)}, styles=[style])
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
