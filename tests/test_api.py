"""``apply`` as scripts use it: what goes in, what comes out, and nothing beside."""

from __future__ import annotations

import copy
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from workbench import RECIPE, lay_out, photo

import layered_nst
from layered_nst import LayeredNstError, Progress, Recipe, Result, apply, load_recipe
from layered_nst.errors import Interrupted, OutputError, PictureError, RecipeError
from layered_nst.painting.plan import Plan
from layered_nst.picture import read_metadata
from layered_nst.scene.scene import Scene

LEVELS = {"optimize.levels": [24, 48]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def mapping() -> dict[str, Any]:
    """The recipe of the file as a script would build it."""
    return dict(yaml.safe_load(RECIPE))


def pixels(result: Result) -> bytes:
    return result.rgb.numpy().tobytes()


def with_classes() -> dict[str, Any]:
    """A recipe that needs the segmenter."""
    recipe = mapping()
    recipe["regions"][1]["select"] = {"class": "object"}
    return recipe


def test_the_public_names_are_few_and_there() -> None:
    assert len(layered_nst.__all__) <= 10
    for name in layered_nst.__all__:
        assert getattr(layered_nst, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = layered_nst.nonsense


# what goes in


def test_a_recipe_is_a_path_a_mapping_or_a_recipe() -> None:
    results = [
        apply(r) for r in ("look.yaml", Path("look.yaml"), mapping(), load_recipe(mapping()))
    ]
    assert len({pixels(result) for result in results}) == 1
    assert all(isinstance(result.recipe, Recipe) for result in results)


def test_a_photo_is_a_path_a_pillow_picture_or_an_array() -> None:
    array = photo()[:, ::-1].copy()
    Image.fromarray(array).save("other.png")
    given = ["other.png", Path("other.png"), Image.fromarray(array), array]
    results = [apply("look.yaml", content) for content in given]
    assert len({pixels(result) for result in results}) == 1
    assert pixels(results[0]) != pixels(apply("look.yaml"))


def test_a_given_photo_stands_in_for_one_that_is_missing() -> None:
    Path("photo.png").unlink()
    for content in (photo(), Image.fromarray(photo())):
        assert apply("look.yaml", content).image.size == (48, 36)
        assert apply("look.yaml", content, overrides={"size": 32}).image.size == (32, 24)
    with pytest.raises(RecipeError, match=r"look.yaml:2: content: no such file: photo.png"):
        apply("look.yaml")


def test_an_array_may_be_grey_or_have_alpha_or_16_bits() -> None:
    alpha = np.dstack([photo(), np.full((48, 64), 200, np.uint8)])
    assert apply(mapping(), photo()[..., 0]).image.mode == "RGB"
    assert apply(mapping(), alpha).image.mode == "RGBA"
    assert apply(mapping(), photo().astype(np.uint16) * 257).image.mode == "RGB"


def test_overrides_are_a_list_or_a_mapping() -> None:
    listed = apply("look.yaml", overrides=["regions.sky.strength=0.2", "optimize.seed=3"])
    mapped = apply("look.yaml", overrides={"regions.sky.strength": 0.2, "optimize.seed": 3})
    assert pixels(listed) == pixels(mapped) != pixels(apply("look.yaml"))
    assert listed.recipe.optimize.seed == 3
    with pytest.raises(RecipeError, match=r"regions\.sky\.strenght: unknown key \(did you mean"):
        apply("look.yaml", overrides=["regions.sky.strenght=1"])


def test_the_size_is_that_of_the_longest_side() -> None:
    assert apply("look.yaml", size=32).image.size == (32, 24)
    assert apply("look.yaml", photo(40, 80), size=30).image.size == (15, 30)
    with pytest.raises(RecipeError, match="size: found 0, allowed: a whole number from 1 to 32768"):
        apply("look.yaml", size=0)


def test_faults_are_errors_of_this_package_and_of_python() -> None:
    with pytest.raises(LayeredNstError):
        apply("nowhere.yaml")
    with pytest.raises(ValueError, match="no such file"):
        apply("look.yaml", "nowhere.png")
    with pytest.raises(PictureError, match=r"more than the limit of 0\.001"):
        apply("look.yaml", max_pixels=1000)
    with pytest.raises(LayeredNstError, match="device nonsense: no such kind"):
        apply("look.yaml", device="nonsense")
    with pytest.raises(LayeredNstError, match="region 'sky' is empty"):
        apply("look.yaml", overrides={"regions.sky.select": {"color": "#00ff00"}}, strict=True)


# what comes out


def test_a_result_has_picture_masks_losses_coverage_and_notes() -> None:
    result = apply("look.yaml", overrides={**LEVELS, "optimize.steps": 2})
    assert result.image.size == (48, 36)
    assert result.image.mode == "RGB"
    assert result.complete
    assert list(result.masks) == ["ground", "sky"]
    for mask in result.masks.values():
        assert (mask.mode, mask.size) == ("L", (48, 36))
    total = sum(np.asarray(mask).astype(int) for mask in result.masks.values())
    assert np.abs(total - 255).max() <= 1
    assert result.coverage == pytest.approx({"ground": 0.5, "sky": 0.5}, abs=0.01)
    assert len(result.losses) == 4
    assert {"style.sky.conv1_1", "content.conv4_2", "total"} <= result.losses[-1].keys()
    assert result.losses[1]["total"] < result.losses[0]["total"]
    assert any("thinner" in note for note in result.notes)
    assert result.seconds > 0


def test_a_result_saves_in_the_format_of_the_suffix_with_its_recipe_inside() -> None:
    result = apply("look.yaml", overrides={"output.dpi": 300})
    for suffix in ("png", "jpg", "tif", "webp"):
        path = result.save(f"out.{suffix}")
        assert path == Path(f"out.{suffix}")
        with Image.open(path) as saved:
            assert saved.size == (48, 36)
        stored = yaml.safe_load(read_metadata(path)["layered-nst recipe"])
        assert pixels(apply(stored)) == pixels(result)
    assert Image.open("out.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)
    with pytest.raises(OutputError, match="names no format"):
        result.save("out")


def test_alpha_of_the_photo_goes_through() -> None:
    cut = np.dstack([photo(), np.where(np.arange(64) < 32, 255, 0)[None].repeat(48, 0)])
    result = apply(mapping(), cut.astype(np.uint8))
    assert result.image.mode == "RGBA"
    alpha = np.asarray(result.image)[..., 3]
    assert alpha[:, :22].min() == 255
    assert alpha[:, 26:].max() == 0


def test_a_protected_region_keeps_the_photos_bytes() -> None:
    recipe = mapping()
    recipe["regions"][1] |= {"protect": True, "feather": 0}
    del recipe["regions"][1]["style"]
    image = np.asarray(apply(recipe, size=64).image)
    assert (image[:23] == photo()[:23]).all()
    assert (image[25:] != photo()[25:]).mean() > 0.5


# progress


def test_a_callback_hears_of_every_step_after_the_regions_are_known() -> None:
    heard: list[Any] = []
    result = apply(
        "look.yaml",
        overrides={**LEVELS, "optimize.steps": 2},
        on_scene=lambda scene, plan: heard.append((scene, plan)),
        on_progress=heard.append,
    )
    (scene, plan), *steps = heard
    assert isinstance(scene, Scene)
    assert isinstance(plan, Plan)
    assert scene.notes == result.notes
    assert all(isinstance(step, Progress) for step in steps)
    assert [(s.level, s.step) for s in steps] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [s.size for s in steps] == [(18, 24)] * 2 + [(36, 48)] * 2
    done = [s.done for s in steps]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert steps[-1].seconds_left == pytest.approx(0)
    assert [s.losses for s in steps] == list(result.losses)
    assert steps[-1].picture.shape == (3, 36, 48)


def test_an_error_in_a_callback_comes_out_as_it_is() -> None:
    class MineError(Exception):
        pass

    def fail(_: Progress) -> None:
        raise MineError

    with pytest.raises(MineError):
        apply("look.yaml", on_progress=fail)


def test_a_callback_that_interrupts_gets_the_picture_so_far() -> None:
    def stop(progress: Progress) -> None:
        if progress.level == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        apply("look.yaml", overrides=LEVELS, on_progress=stop)
    partial = caught.value.partial
    assert isinstance(partial, Result)
    assert not partial.complete
    assert partial.image.size == (48, 36)
    assert len(partial.losses) == 2


# nothing beside


def test_nothing_is_printed_warned_or_left_behind(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    before = {path.name for path in folder.iterdir()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply(with_classes())
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in folder.iterdir()} == before


def test_torch_is_left_as_it_was() -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.mkldnn.enabled,
            torch.get_float32_matmul_precision(),
        )

    torch.manual_seed(5)
    before, generator, numpy = state(), torch.get_rng_state(), np.random.get_state()[1].copy()
    apply(with_classes(), overrides={"optimize.start": "noise"})
    assert state() == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert (np.random.get_state()[1] == numpy).all()


def test_the_callers_recipe_photo_and_overrides_stay_as_they_are() -> None:
    recipe, content, overrides = mapping(), photo(), dict(LEVELS)
    before = copy.deepcopy((recipe, overrides))
    apply(recipe, content, overrides=overrides)
    assert (recipe, overrides) == before
    assert (content == photo()).all()


def test_the_seed_decides_over_noise() -> None:
    def run(seed: int) -> bytes:
        return pixels(
            apply(mapping(), overrides={"optimize.start": "noise", "optimize.seed": seed})
        )

    assert run(1) == run(1) != run(2)


def test_calls_in_a_row_and_at_once_do_not_disturb_each_other() -> None:
    jobs = [
        (with_classes(), {**LEVELS, "optimize.steps": 2}),
        (mapping(), {"optimize.start": "noise", "optimize.steps": 3, "optimize.optimizer": "adam"}),
    ]
    alone = [pixels(apply(recipe, overrides=overrides)) for recipe, overrides in jobs]
    together: dict[int, bytes] = {}
    ready = threading.Barrier(len(jobs))

    def work(index: int) -> None:
        recipe, overrides = jobs[index]
        ready.wait()
        together[index] = pixels(apply(recipe, overrides=overrides))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[index] for index in range(len(jobs))] == alone
    assert [pixels(apply(recipe, overrides=overrides)) for recipe, overrides in jobs] == alone
