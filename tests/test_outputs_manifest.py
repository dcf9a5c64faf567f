"""What a picture says of itself: in its own metadata and in the file beside it."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from workbench import RECIPE, lay_out, photo, run

from layered_nst import Progress, Result, apply
from layered_nst.cli.display import Display
from layered_nst.errors import OutputError, PictureError
from layered_nst.networks.catalogue import weights_path
from layered_nst.outputs.manifest import MANIFEST_KEY, RECIPE_KEY, write_manifest
from layered_nst.picture import read_metadata
from layered_nst.recipe import Recipe, load_recipe, named_files
from layered_nst.scene.provenance import read_inputs, recipe_hash

CLASSES = "{class: object}"
BOX = "{box: [0, 0, 1, 0.5]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A result whose sky was looked for by class and drawn as a mask as well."""
    folder = lay_out(tmp_path_factory.mktemp("made"))
    Image.new("L", (64, 48), 255).save(folder / "top.png")
    text = RECIPE.replace(BOX, "{any: [{class: object}, {mask: top.png}]}")
    (folder / "look.yaml").write_text(text + "name: Dusk\n")
    return apply(folder / "look.yaml", overrides={"optimize.seed": 5})


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def hash_of(recipe: Recipe) -> str:
    return recipe_hash(recipe, {path: sha256(path) for path in named_files(recipe).values()})


# what it holds


def test_a_manifest_is_plain_data_that_json_can_hold(painted: Result) -> None:
    assert json.loads(json.dumps(painted.manifest, allow_nan=False)) == painted.manifest


def test_a_manifest_has_the_hashes_of_all_that_went_in(painted: Result) -> None:
    manifest, recipe = painted.manifest, painted.recipe
    assert manifest["photo"] == {
        "path": str(recipe.content),
        "sha256": sha256(str(recipe.content)),
        "width": 64,
        "height": 48,
    }
    assert manifest["files"].keys() == {
        "regions.ground.style[0].image",
        "regions.sky.style[0].image",
        "regions.sky.select.any[1].mask",
    }
    for entry in manifest["files"].values():
        assert entry["sha256"] == sha256(entry["path"])
    assert manifest["models"] == {
        "encoder": {"name": "light", "sha256": sha256(weights_path("light"))},
        "segmenter": {"name": "scenes", "sha256": sha256(weights_path("scenes"))},
    }
    assert manifest["recipe_sha256"] == hash_of(recipe)


def test_a_manifest_says_how_and_how_well(painted: Result) -> None:
    manifest = painted.manifest
    assert (manifest["width"], manifest["height"], manifest["seed"]) == (48, 36, 5)
    assert manifest["device"] == str(painted.scene.picture.rgb.device)
    assert manifest["versions"] == {
        "layered-nst": version("layered-nst"),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    assert manifest["losses"] == dict(painted.losses[-1])
    assert manifest["coverage"] == painted.coverage
    assert manifest["notes"] == list(painted.notes)
    assert manifest["notes"]
    assert manifest["seconds"] == pytest.approx(painted.seconds, abs=0.01)
    assert manifest["complete"]


def test_the_recipe_in_a_manifest_is_the_whole_resolved_one(painted: Result) -> None:
    assert load_recipe(painted.manifest["recipe"]) == painted.recipe
    assert painted.manifest["recipe"]["regions"][0]["feather"] == 4


def test_both_encoders_of_a_mixed_plan_are_named() -> None:
    Path("look.yaml").write_text(RECIPE.replace("encoder: light\n", ""))
    levels = {"optimize.levels": [24, 48], "optimize.steps": 1}
    models = apply("look.yaml", overrides=levels).manifest["models"]
    named = {part: model["name"] for part, model in models.items() if model is not None}
    assert named["encoder"] == "hed-vgg16"
    assert named["encoder of coarse levels"] == "light"
    assert models["encoder of coarse levels"]["sha256"] == sha256(weights_path("light"))
    draft = apply("look.yaml", overrides={**levels, "optimize.quality": "draft"}).manifest
    assert draft["models"]["encoder"]["name"] == "light"
    assert "encoder of coarse levels" not in draft["models"]


def test_a_segmenter_that_nobody_asked_is_not_named() -> None:
    assert apply("look.yaml").manifest["models"]["segmenter"] is None


def test_a_photo_without_a_file_is_known_by_its_pixels() -> None:
    changed = photo()
    changed[0, 0, 0] ^= 1
    given = [photo(), Image.fromarray(photo()), changed]
    entries = [apply("look.yaml", content).manifest["photo"] for content in given]
    assert [entry["path"] for entry in entries] == [None] * 3
    assert entries[0] == entries[1]
    assert entries[0]["sha256"] != entries[2]["sha256"]


def test_a_loss_that_is_no_number_is_nothing(painted: Result) -> None:
    bad = replace(painted, losses=[{"total": float("inf"), "range": float("nan"), "a": 1.0}])
    assert bad.manifest["losses"] == {"total": None, "range": None, "a": 1.0}
    assert replace(painted, losses=[]).manifest["losses"] == {}


def test_hashes_are_those_of_the_files_that_were_read() -> None:
    before = sha256("stripes.png")

    def redraw(*_: Any) -> None:
        Path("stripes.png").write_bytes(b"something else")

    result = apply("look.yaml", on_scene=redraw)
    assert result.manifest["files"]["regions.ground.style[0].image"]["sha256"] == before
    result.save("out.png")


def test_a_file_that_is_gone_since_it_was_read_is_named(painted: Result) -> None:
    gone = load_recipe("look.yaml")
    Path("dots.png").unlink()
    with pytest.raises(PictureError, match=r"dots\.png cannot be read: no such file"):
        read_inputs(replace(painted.scene, recipe=gone), ["hed-vgg16"], "float32")


# the hash of a recipe


def test_the_hash_is_the_same_wherever_the_files_lie_and_whatever_the_photo(folder: Path) -> None:
    here = load_recipe("look.yaml")
    there = load_recipe(lay_out(folder / "elsewhere") / "look.yaml")
    Image.fromarray(photo()[::-1]).save("other.png")
    assert hash_of(here) == hash_of(there) == hash_of(load_recipe("look.yaml", content="other.png"))
    assert hash_of(here) == hash_of(load_recipe("look.yaml", overrides={"optimize.seed": 0}))


@pytest.mark.parametrize(
    "change",
    [{"optimize.seed": 1}, {"size": 47}, {"regions.sky.strength": 0.9}, {"output.dpi": 300}],
    ids=str,
)
def test_the_hash_changes_with_every_value(change: dict[str, Any]) -> None:
    assert hash_of(load_recipe("look.yaml", overrides=change)) != hash_of(load_recipe("look.yaml"))


def test_the_hash_changes_with_a_style_that_is_redrawn_under_its_name() -> None:
    before = hash_of(load_recipe("look.yaml"))
    Path("stripes.png").write_bytes(Path("dots.png").read_bytes())
    assert hash_of(load_recipe("look.yaml")) != before


def test_the_hash_knows_a_look_by_its_library_and_name(folder: Path) -> None:
    hashes = []
    for place, look, content in [
        ("a", "dusk", b"1"),
        ("b", "dusk", b"1"),
        ("a", "dawn", b"1"),
        ("a", "dusk", b"2"),
    ]:
        lay_out(folder / place)
        (folder / place / "team.safetensors").write_bytes(content)
        recipe = folder / place / "look.yaml"
        recipe.write_text(RECIPE.replace("style: dots.png", f"style: {{library: team/{look}}}"))
        hashes.append(hash_of(load_recipe(recipe)))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


# where it goes


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_every_format_carries_recipe_and_manifest(
    painted: Result, folder: Path, suffix: str
) -> None:
    stored = read_metadata(painted.save(folder / f"out.{suffix}"))
    assert load_recipe(yaml.safe_load(stored[RECIPE_KEY])) == painted.recipe
    kept = {k: v for k, v in painted.manifest.items() if k not in ("recipe", "seconds")}
    assert json.loads(stored[MANIFEST_KEY]) == kept


def test_the_same_run_gives_the_same_bytes_however_long_it_took(
    painted: Result, folder: Path
) -> None:
    painted.save(folder / "a.png")
    replace(painted, seconds=99.0).save(folder / "b.png")
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_a_result_made_by_hand_has_a_manifest_too(painted: Result) -> None:
    by_hand = Result(torch.rand_like(painted.rgb), painted.scene, painted.plan, [], 0.0)
    wanted = painted.manifest
    assert {**by_hand.manifest, "losses": {}, "seconds": 0} == {
        **wanted,
        "losses": {},
        "seconds": 0,
        "notes": by_hand.manifest["notes"],
    }


def test_apply_writes_the_manifest_beside_the_picture() -> None:
    Image.new("CMYK", (64, 48), (0, 90, 200, 10)).save("ink.jpg")
    ran = run("apply", "look.yaml", "-c", "ink.jpg", "-o", "out.webp", "--seed", "3")
    assert ran.code == 0
    manifest = json.loads(Path("out.json").read_text("utf-8"))
    assert (manifest["output"], manifest["seed"]) == ("out.webp", 3)
    assert manifest["photo"]["sha256"] == sha256("ink.jpg")
    assert manifest["seconds"] > 0
    assert "ink.jpg is CMYK without a profile" in manifest["notes"][0]
    assert len(manifest["notes"]) == len(set(manifest["notes"]))
    assert any("thinner" in note for note in manifest["notes"])
    stored = json.loads(read_metadata("out.webp")[MANIFEST_KEY])
    assert stored["recipe_sha256"] == manifest["recipe_sha256"]


def test_an_interrupted_picture_says_that_it_is_not_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = Display.step

    def step(self: Display, progress: Progress) -> None:
        usual(self, progress)
        raise KeyboardInterrupt

    monkeypatch.setattr(Display, "step", step)
    ran = run("apply", "look.yaml", "-o", "out.jpg", "--set", "output.format=jpeg")
    assert (ran.code, ran.error) == (130, "interrupted; the picture so far is out.partial.jpg")
    assert not json.loads(read_metadata("out.partial.jpg")[MANIFEST_KEY])["complete"]
    assert not list(Path().glob("*.json"))


def test_no_manifest_is_written_if_none_is_wanted() -> None:
    assert run("apply", "look.yaml", "--no-manifest").code == 0
    assert Path("look.png").exists()
    assert not Path("look.json").exists()
    assert MANIFEST_KEY in read_metadata("look.png")


@pytest.mark.parametrize("content", ["{}", '{"recipe": 1}', "[1", "", "[" * 100_000])
def test_a_file_that_is_no_manifest_is_not_replaced(content: str) -> None:
    Path("look.json").write_text(content)
    ran = run("apply", "look.yaml")
    assert ran.code == 3
    assert ran.error.startswith("look.json: is there and is no manifest of a picture; name another")
    assert Path("look.json").read_text() == content
    assert not Path("look.png").exists()
    assert run("apply", "look.yaml", "--no-manifest").code == 0


def test_an_older_manifest_is_replaced() -> None:
    assert run("apply", "look.yaml").code == 0
    assert run("apply", "look.yaml", "--seed", "8").code == 0
    assert json.loads(Path("look.json").read_text())["seed"] == 8


def test_a_folder_in_the_manifests_place_is_refused_before_the_work() -> None:
    Path("look.json").mkdir()
    ran = run("apply", "look.yaml")
    assert (ran.code, ran.error.split(":")[0]) == (3, "look.json")
    assert not Path("look.png").exists()


def test_a_manifest_that_does_not_fit_on_the_disk_costs_no_picture(
    painted: Result, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = painted.save(folder / "out.png")
    old = write_manifest(painted, picture).read_text()
    before = picture.read_bytes()

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("layered_nst.files.atomic.os.fsync", fail)
    with pytest.raises(OutputError, match=r"out\.json: cannot be written: no space left"):
        write_manifest(painted, picture)
    assert (picture.read_bytes(), (folder / "out.json").read_text()) == (before, old)
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))
