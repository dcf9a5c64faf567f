"""``apply OUT.png``: a picture that was made before is made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from workbench import RECIPE, Ran, lay_out, photo, run

from layered_nst import apply
from layered_nst.errors import LayeredNstWarning, PictureError, RecipeError
from layered_nst.outputs.manifest import MANIFEST_KEY, RECIPE_KEY
from layered_nst.outputs.rerun import read_record
from layered_nst.picture import read_metadata, read_picture, write_picture

SUFFIXES = ["png", "jpg", "tif", "webp"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photo, styles, recipe, and out.png, out.jpg, … with their out.json."""
    folder = lay_out(tmp_path_factory.mktemp("made"))
    options = ["--seed", "3", "--set", "optimize.start=noise", "--set", "output.dpi=300"]
    assert run("apply", folder / "look.yaml", "-o", folder / "out.png", *options).code == 0
    for suffix in SUFFIXES[1:]:
        again = apply(folder / "out.png")
        again.save(folder / f"out.{suffix}")
    return folder


@pytest.fixture(autouse=True)
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """``made`` as the current folder, put in order again after each test."""
    monkeypatch.chdir(made)
    before = {path: path.read_bytes() for path in made.iterdir()}
    yield made
    for path in set(made.iterdir()) - set(before):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, content in before.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def refused(*arguments: str | Path) -> str:
    ran: Ran = run(*arguments)
    assert ran.code == 1
    return ran.error


@pytest.mark.parametrize("source", [*(f"out.{suffix}" for suffix in SUFFIXES), "out.json"])
def test_a_picture_and_its_manifest_give_the_same_pixels_again(source: str) -> None:
    ran = run("apply", source, "-o", "second.png")
    assert ran.code == 0, ran.err
    assert "changed" not in ran.err
    assert (pixels("second.png") == pixels("out.png")).all()
    assert Image.open("second.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)
    first, second = (json.loads(Path(f).read_text()) for f in ("out.json", "second.json"))
    for key in ("recipe", "recipe_sha256", "photo", "files", "models", "losses", "coverage"):
        assert first[key] == second[key]


def test_the_file_itself_is_the_same_byte_for_byte() -> None:
    assert run("apply", "out.png", "-o", "second.png").code == 0
    assert Path("second.png").read_bytes() == Path("out.png").read_bytes()


def test_from_python_it_is_the_same_and_nothing_is_warned_of(
    recwarn: pytest.WarningsRecorder,
) -> None:
    result = apply("out.png")
    assert (np.asarray(result.image) == pixels("out.png")).all()
    assert (np.asarray(apply(Path("out.json")).image) == pixels("out.png")).all()
    assert not recwarn.list


def test_it_runs_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert (np.asarray(apply(folder / "out.png").image) == pixels(folder / "out.png")).all()


def test_a_manifest_names_what_lies_in_its_tree_from_its_own_folder(folder: Path) -> None:
    text = Path("out.json").read_text()
    manifest = json.loads(text)
    assert manifest["folder"] == str(Path.cwd())
    del manifest["folder"]
    assert str(Path.cwd()) not in json.dumps(manifest)
    assert manifest["recipe"]["content"] == manifest["photo"]["path"] == "photo.png"
    assert Path("out.json").parent.joinpath(manifest["recipe"]["content"]).exists()


@pytest.mark.parametrize("source", ["out.json", "out.png"])
def test_a_folder_that_was_moved_is_painted_again_from_what_lies_in_it(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder, source: str
) -> None:
    before = pixels("out.png")
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    Image.fromarray(photo()[:, ::-1]).save("photo.png")  # the moved one counts
    result = apply(moved / source)
    assert (np.asarray(result.image) == before).all()
    assert result.recipe.content == moved / "photo.png"
    assert not recwarn.list


def test_a_manifest_of_another_picture_moves_nothing(folder: Path) -> None:
    moved = Path(shutil.copytree(folder, folder.parent / "beside"))
    manifest = json.loads((moved / "out.json").read_text())
    (moved / "out.json").write_text(json.dumps({**manifest, "output": "another.png"}))
    assert read_record(moved / "out.png").recipe["content"] == str(folder / "photo.png")


def test_a_manifest_alone_elsewhere_finds_what_has_not_moved(folder: Path) -> None:
    away = folder.parent / "away"
    away.mkdir()
    shutil.copy("out.json", away / "out.json")
    assert (np.asarray(apply(away / "out.json").image) == pixels("out.png")).all()


def test_options_change_what_the_picture_says() -> None:
    Image.fromarray(photo()[:, ::-1]).save("other.png")
    options = ["-c", "other.png", "--size", "32", "--set", "regions.sky.strength=0.5"]
    assert run("apply", "out.png", *options, "-o", "second.png").code == 0
    stored = yaml.safe_load(read_metadata("second.png")[RECIPE_KEY])
    assert stored["regions"][1]["strength"] == 0.5
    assert (stored["size"], Path(stored["content"]).name) == (32, "other.png")
    assert stored["optimize"]["seed"] == 3
    assert Image.open("second.png").size == (32, 24)


# it does not take its own place


def test_without_a_name_it_takes_the_next_number() -> None:
    before = Path("out.png").read_bytes(), Path("out.json").read_bytes()
    for source, name in [("out.png", "out.2.png"), ("out.2.png", "out.3.png")]:
        ran = run("apply", source)
        assert (ran.code, ran.err.splitlines()[-1].split()[0]) == (0, name)
        assert (pixels(name) == pixels("out.png")).all()
        assert Path(name).with_suffix(".json").exists()
    assert run("apply", "out.jpg", "--no-manifest").code == 0
    assert Image.open("out.2.jpg").format == "JPEG"
    assert run("apply", "out.json", "--set", "output.format=webp", "--no-manifest").code == 0
    assert Image.open("out.2.webp").format == "WEBP"
    assert run("apply", "out.json").code == 0
    assert Path("out.4.png").exists()
    assert (Path("out.png").read_bytes(), Path("out.json").read_bytes()) == before


# files that are gone or changed


@pytest.mark.parametrize("command", ["check", "masks"])
def test_a_change_is_told_once(command: str) -> None:
    Path("dots.png").write_bytes(Path("stripes.png").read_bytes())
    ran = run(command, "out.json")
    assert (ran.code, ran.err.count("has changed since")) == (0, 1)


def test_a_style_that_changed_is_a_note_that_names_it() -> None:
    Path("dots.png").write_bytes(Path("stripes.png").read_bytes())
    ran = run("apply", "out.png", "-o", "second.png")
    assert ran.code == 0
    said = [line for line in ran.err.splitlines() if "changed" in line]
    assert len(said) == 1
    assert said[0].startswith("note: regions.sky.style[0].image: ")
    assert said[0].endswith("dots.png has changed since out.png was made")
    notes = json.loads(Path("second.json").read_text())["notes"]
    assert any("dots.png has changed" in note for note in notes)
    with pytest.warns(LayeredNstWarning, match="dots.png has changed since out.json was made"):
        apply("out.json")


def test_a_photo_that_changed_is_a_note_unless_another_is_given() -> None:
    Image.fromarray(photo()[::-1]).save("photo.png")
    assert "photo.png has changed since out.json" in run("check", "out.json").err
    Image.fromarray(photo()).save("other.png")
    assert "changed" not in run("check", "out.json", "-c", "other.png").err


@pytest.mark.parametrize("source", ["out.tif", "out.json"])
def test_a_file_that_is_gone_is_an_error_that_names_it(source: str) -> None:
    Path("photo.png").unlink()
    Path("dots.png").unlink()
    ran = run("apply", source, "-o", "second.png")
    assert ran.code == 1
    assert [line.removeprefix("error: ") for line in ran.err.splitlines()] == [
        f"{source}: content: no such file: photo.png",
        f"{source}: regions.sky.style[0].image: no such file: dots.png",
    ]
    replaced = ["-c", "stripes.png", "--set", "regions.sky.style=stripes.png"]
    assert run("apply", source, "-o", "second.png", *replaced).code == 0


def test_other_versions_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_record(Path("out.png"))
    assert record is not None
    manifest = json.loads(Path("out.json").read_text())
    manifest["versions"]["torch"] = "2.0.0"
    Path("old.json").write_text(json.dumps(manifest))
    said = run("check", "old.json").err
    assert f"old.json was made with torch 2.0.0 (now {record.versions['torch']})" in said


# pictures that say nothing


@pytest.mark.parametrize("command", ["apply", "check"])
def test_a_picture_without_a_recipe_says_so(command: str) -> None:
    said = refused(command, "photo.png")
    assert said.startswith("photo.png: holds no recipe; only pictures that layered-nst wrote do")
    with pytest.raises(RecipeError, match="holds no recipe"):
        apply("photo.png")


def test_a_picture_that_another_program_saved_says_so() -> None:
    Image.open("out.png").save("saved.png")
    assert "unless another program has saved them since" in refused("apply", "saved.png")


def test_a_picture_that_is_missing_or_broken_is_named() -> None:
    assert refused("apply", "aut.png") == "no such picture: aut.png (did you mean out.png?)"
    Path("broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"broken\.png is not a picture in a format"):
        apply("broken.png")
    assert refused("apply", "none.json").startswith("no such file: none.json")


@pytest.mark.parametrize("text", ["", "- a", "recipe: [", "a: *b", "recipe: 1"])
def test_a_damaged_recipe_in_a_picture_is_one_sentence_that_names_it(text: str) -> None:
    write_picture("bad.png", read_picture("photo.png").rgb, metadata={RECIPE_KEY: text})
    assert refused("apply", "bad.png").startswith("bad.png: ")


@pytest.mark.parametrize(
    "manifest", ["{", "[]", "3", '{"files": 3, "photo": [], "versions": {"torch": 2}}']
)
def test_a_damaged_manifest_does_not_keep_a_picture_from_being_made(manifest: str) -> None:
    stored = {**read_metadata("out.png"), MANIFEST_KEY: manifest}
    write_picture("bad.png", read_picture("photo.png").rgb, metadata=stored)
    assert run("check", "bad.png").code == 0


# recipes stay recipes


def test_a_recipe_written_as_json_is_a_recipe() -> None:
    Path("look2.json").write_text(json.dumps(yaml.safe_load(RECIPE)))
    assert read_record(Path("look2.json")) is None
    assert run("apply", "look2.json", "--no-manifest").code == 0
    assert Image.open("look2.png").size == (48, 36)


# other commands


@pytest.mark.parametrize("source", ["out.webp", "out.json"])
def test_check_and_masks_take_a_picture_for_its_recipe(source: str) -> None:
    ran = run("check", source, "--json")
    assert ran.json["coverage"] == pytest.approx({"ground": 0.5, "sky": 0.5}, abs=0.01)
    assert run("masks", source, "-o", "regions").code == 0
    names = {path.name for path in Path("regions").iterdir()}
    assert names == {"ground.png", "sky.png", "overlay.png"}


def test_masks_of_a_photo_are_still_its_classes() -> None:
    assert run("masks", "photo.png", "-o", "classes").code == 0
    assert not (Path("classes") / "ground.png").exists()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two threads want two processors")
def test_threads_that_painted_a_picture_paint_it_again(folder: Path) -> None:
    texts = read_metadata(folder / "out.png")
    before = torch.get_num_threads()
    assert json.loads(texts[MANIFEST_KEY])["threads"] == before
    others = 2 if before == 1 else 1
    try:
        torch.set_num_threads(others)
        assert run("apply", "look.yaml", "-o", "two.png").code == 0
        assert json.loads(Path("two.json").read_text())["threads"] == others
        torch.set_num_threads(before)
        assert run("apply", "look.yaml", "-o", "one.png").code == 0
        assert Path("one.png").read_bytes() != Path("two.png").read_bytes()
        assert run("apply", "two.png", "-o", "again.png").code == 0
        assert Path("again.png").read_bytes() == Path("two.png").read_bytes()
        torch.set_num_threads(before)
        assert run("finish", "two.png", "--steps", "1", "-o", "finished.png").code == 0
        assert json.loads(Path("finished.json").read_text())["threads"] == before
    finally:
        torch.set_num_threads(before)
