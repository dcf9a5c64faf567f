"""``paint``: one line from a photo and a style to a picture that can be made again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from workbench import lay_out, run

from layered_nst import api
from layered_nst.networks.faces import detect_faces, load_detector
from layered_nst.networks.segmenters import load_segmenter, segment
from layered_nst.picture import Picture, read_picture
from layered_nst.recipe import load_recipe
from layered_nst.recipe.at_once import recipe_at_once
from layered_nst.regions import select
from layered_nst.regions.faces import face_mask

FACE = Path(__file__).parents[1] / "assets" / "photos" / "astronaut.jpg"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def pixels(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
        return np.asarray(picture if size is None else picture.resize(size, 1)).astype(int)


def test_a_photo_is_painted_in_a_style_and_the_picture_can_be_made_again() -> None:
    ran = run("paint", "photo.png", "dots.png", "--steps", "1", "--size", "48")
    assert ran.code == 0, ran.err
    assert Path("photo-dots.png").is_file()
    again = run("apply", "photo-dots.json", "-o", "again.png")
    assert again.code == 0, again.err
    assert (pixels("photo-dots.png") == pixels("again.png")).all()


def test_a_picture_that_is_there_is_not_replaced_unless_it_is_named() -> None:
    quick = ("paint", "photo.png", "dots.png", "--steps", "0", "--size", "32")
    Path("photo-dots.png").write_text("mine")
    assert run(*quick, "--json").json["output"] == "photo-dots.2.png"
    assert Path("photo-dots.png").read_text() == "mine"
    assert run(*quick, "-o", "photo-dots.png").code == 0
    assert pixels("photo-dots.png").shape == (24, 32, 3)


def test_what_is_kept_stays_the_photo() -> None:
    size = ("--steps", "1", "--size", "128", "--quality", "draft")
    ran = run("paint", FACE, "dots.png", "--keep", "face", "-o", "out.png", *size, "--json")
    assert ran.code == 0, ran.err
    assert 0.01 < ran.json["coverage"]["face"] < 0.2
    made, photo = pixels("out.png"), pixels(FACE, (128, 128))
    assert np.abs(made[28:34, 54:60] - photo[28:34, 54:60]).mean() < 6, "the face"
    assert np.abs(made[:20, 100:] - photo[:20, 100:]).mean() > 12, "the background"


@pytest.mark.parametrize(("edge", "is_hers"), [(0.51, True), (0.45, False)])
def test_a_kept_face_takes_nothing_of_the_wall_beside_it(edge: float, is_hers: bool) -> None:
    """A wall that begins in the middle of the face says that who was found there is not she."""
    photo = Picture(read_picture(FACE).rgb[:, ::2, ::2])
    seen = segment(load_segmenter("scenes"), photo.rgb)
    # As if the right of her were taken for the wall.
    known = torch.arange(seen.size[1]) < seen.size[1] * edge
    wall = F.one_hot(torch.tensor(seen.classes.index("backdrop")), len(seen.classes)).float()
    probabilities = torch.where(known, seen.probabilities, wall[:, None, None])
    assert seen.subject is not None
    seen = replace(seen, probabilities=probabilities, subject=seen.subject * known)
    face = load_recipe(recipe_at_once(FACE, "dots.png", keep=["face"])).regions[1]
    assert (face.name, face.protect, face.feather) == ("face", True, 10)
    kept = select(face.select, picture=photo, segment=lambda: seen)
    drawn = face_mask(detect_faces(load_detector(), photo.rgb), photo.rgb)
    assert (drawn[:, ~known] >= 0.5).any(), "by itself the face would reach onto the wall"
    assert bool((kept[:, ~known] >= 0.5).any()) is not is_hers
    assert bool((kept == drawn).all()) is not is_hers
    sure = slice(int(seen.size[1] * 0.44))
    assert (kept - drawn)[:, sure].abs().sum() < 0.05 * drawn[:, sure].sum()


def test_several_words_are_kept_each_once() -> None:
    stated = recipe_at_once(Path("photo.png"), "dots.png", keep=["sky", "subject", "sky"])
    recipe = load_recipe(stated)
    assert [region.name for region in recipe.regions] == ["style", "sky", "subject"]
    assert [region.protect for region in recipe.regions] == [False, True, True]
    assert recipe.regions[2].select.subject is True


def test_the_lines_of_a_photo_are_held_unless_one_says_otherwise() -> None:
    words = ("paint", "photo.png", "dots.png", "--size", "64", "--quality", "draft", "-o")
    lines = {}
    for name, more in {"held": (), "free": ("--set", "regions.style.contour=0")}.items():
        assert run(*words, f"{name}.png", *more).code == 0
        manifest = json.loads(Path(f"{name}.json").read_text("utf-8"))
        lines[name] = manifest["recipe"]["regions"][0].get("contour")
        assert ("contour.sides" in manifest["losses"]) == (name == "held")
    assert lines["held"] > 0.5
    assert lines["free"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["foto.png", "dots.png"], "no such file: foto.png (did you mean photo.png?)"),
        (["photo.png", "dot.png"], "no such file: dot.png (did you mean dots.png?)"),
        (["photo.png", "dots.png", "--keep", "ski"], "this segmenter knows only"),
        (["photo.png", "dots.png", "--keep", "cup"], "write object to take every object"),
        (["photo.png", "dots.png", "--keep", "a.b"], "allowed: a name of letters"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    ran = run("paint", *arguments)
    assert ran.code == 1
    assert sentence in ran.error
    assert not list(Path().glob("photo-*"))


def test_a_look_of_a_library_is_a_style_too() -> None:
    built = run("styles", "build", "look", "dots.png", "--scale", "32", "-o", "team.safetensors")
    assert built.code == 0, built.err
    ran = run("paint", "photo.png", "team/look", "--steps", "0", "--size", "32", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == "photo-look.png"


def test_keys_can_be_set() -> None:
    quick = ("paint", "photo.png", "dots.png", "--steps", "0", "--size", "32", "--strength", "0.5")
    ran = run(*quick, "--set", "regions.style.color=luminance", "-o", "out.png")
    assert ran.code == 0, ran.err
    region = api.load("out.png").regions[0]
    assert (region.strength, region.color) == (0.5, "luminance")


def test_strength_is_a_number_or_a_share() -> None:
    quick = ("paint", "photo.png", "dots.png", "--steps", "0", "--size", "32", "-o", "out.png")
    assert run(*quick, "--strength", "60%").code == 0
    assert api.load("out.png").regions[0].strength == 0.6
    for wrong in ("half", "101", "-1", "nan"):
        ran = run(*quick, "--strength", wrong)
        assert ran.code == 1
        assert "strength: found" in ran.error
        assert "allowed: a number from 0 to 100" in ran.error
