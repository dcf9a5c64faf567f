"""An approved picture is finished: larger or better, and still the same picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from workbench import lay_out, photo, run

from layered_nst import api, apply
from layered_nst.errors import PictureError
from layered_nst.painting.plan import NEAREST, make_plan
from layered_nst.picture import average, read_picture
from layered_nst.recipe import Optimize
from layered_nst.strategies.run import stages

DRAFT = ("apply", "look.yaml", "--size", "64", "--steps", "12", "--quality", "draft")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@pytest.fixture
def approved(look: Path) -> Path:
    assert run(*DRAFT, "-o", "out.png", "--no-preview").code == 0
    return look / "out.png"


def likeness(one: Tensor, other: Tensor) -> float:
    """Correlation of light and dark between a fiftieth and a twelfth of the width."""

    def band(rgb: Tensor) -> np.ndarray:
        small = average(rgb, (36, 48)).mean(0).numpy()
        return np.asarray(ndimage.gaussian_filter(small, 1) - ndimage.gaussian_filter(small, 4))

    return float(np.corrcoef(band(one).ravel(), band(other).ravel())[0, 1])


def test_a_larger_picture_shows_the_approved_one(approved: Path) -> None:
    before = approved.read_bytes()
    ran = run("finish", "out.png", "--size", "96", "--steps", "6", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == "out-finished.png"
    assert approved.read_bytes() == before
    found, small = read_picture("out-finished.png"), read_picture(approved)
    assert found.size == (72, 96)
    assert likeness(found.rgb, small.rgb) > 0.85


def test_what_finishing_costs_is_told_without_painting(look: Path) -> None:
    """A print from an approved picture composes nothing: it has the finest levels alone."""
    ran = run(
        "apply", "look.yaml", "--size", "200", "--steps", "1", "-o", "out.png", "--no-preview"
    )
    assert ran.code == 0, ran.err
    kept = {path.name for path in look.iterdir()}
    asked = ("--size", "400", "--quality", "print", "--json")
    told = run("finish", "out.png", "--check", *asked)
    anew = run("check", "out.png", *asked)
    assert told.code == anew.code == 0, told.err
    assert len(told.json["levels"]) < len(anew.json["levels"])
    assert told.json["levels"] == anew.json["levels"][-len(told.json["levels"]) :]
    assert {path.name for path in look.iterdir()} == kept


def test_it_begins_with_the_approved_picture_and_paints_what_is_finer(approved: Path) -> None:
    finished = api.load(approved, size=96, overrides={"approved": str(approved)})
    scene, plan = api.prepare(finished)
    assert [level.longest for level in plan.levels] == [96]
    assert scene.approved is not None
    assert torch.equal(scene.approved.cpu(), read_picture(approved).rgb)
    (stage,) = stages(scene, plan)
    assert stage.plan.levels == plan.levels
    untouched = apply(finished, steps=0).rgb
    assert likeness(untouched, read_picture(approved).rgb) > 0.94


@pytest.mark.parametrize("quality", ["draft", "standard", "fine", "print"])
@pytest.mark.parametrize(("side", "longest"), [(400, 400), (1000, 3508), (700, 768), (400, 200)])
def test_levels_that_the_approved_picture_has_are_left_out(
    quality: str, side: int, longest: int
) -> None:
    size = (longest, longest * 3 // 4)
    every = make_plan(Optimize(quality=quality), size).levels
    found = make_plan(Optimize(quality=quality), size, approved=side).levels
    assert found == (tuple(v for v in every if v.longest > NEAREST * side) or every[-1:])


def test_a_draft_becomes_standard_and_standard_fine(approved: Path) -> None:
    for number, wanted in enumerate(("standard", "fine", "fine")):
        ran = run("finish", approved, "--steps", "1", "-o", f"{number}.png", "--no-cache")
        assert ran.code == 0, ran.err
        approved = Path(f"{number}.png")
        assert api.load(approved).optimize.quality == wanted


def test_the_finished_picture_says_what_it_was_made_of_and_can_be_made_again(
    approved: Path,
) -> None:
    assert run("finish", approved, "--size", "80", "--steps", "2", "-o", "end.png").code == 0
    manifest = json.loads(Path("end.json").read_text())
    assert Path(manifest["recipe"]["approved"]).name == "out.png"
    assert "approved" in manifest["files"]
    assert run("apply", "end.png", "-o", "again.png").code == 0
    assert torch.equal(read_picture("again.png").rgb, read_picture("end.png").rgb)


def test_on_another_photo_the_look_begins_anew(approved: Path) -> None:
    assert run("finish", approved, "--size", "80", "--steps", "2", "-o", "end.png").code == 0
    Image.fromarray(255 - photo(48, 64)).save("other.png")
    approved.unlink()
    assert api.load("end.png", "other.png").approved is None
    ran = run("apply", "end.png", "-o", "again.png")
    assert ran.code == 1
    assert "approved: no such file" in ran.error


def test_a_picture_of_another_shape_is_refused(approved: Path) -> None:
    Image.fromarray(photo(64, 64)).save("square.png")
    with pytest.raises(PictureError, match=r"square\.png: 64×64 px does not have the shape of"):
        apply("look.yaml", overrides={"approved": "square.png"}, steps=1)


def test_what_is_finished_is_not_written_over(approved: Path) -> None:
    before = approved.read_bytes()
    ran = run("finish", "out.png", "--steps", "1", "-o", "out.png")
    assert ran.code == 3
    assert approved.read_bytes() == before


def test_a_picture_without_a_recipe_cannot_be_finished(look: Path) -> None:
    ran = run("finish", "photo.png")
    assert ran.code == 1
    assert "photo.png: holds no recipe" in ran.error
