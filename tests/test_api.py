"""``apply`` as scripts use it: what goes in, what comes out, and nothing beside."""

from __future__ import annotations

import copy
import io
import json
import logging
import re
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
from layered_nst import LayeredNstError, Progress, Recipe, Result, apply, errors, load_recipe
from layered_nst.errors import (
    Interrupted,
    LayeredNstWarning,
    OutOfMemoryError,
    OutputError,
    PictureError,
    RecipeError,
)
from layered_nst.outputs.track import Track
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
    assert len(layered_nst.__all__) <= 15
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


# stopping


@pytest.mark.parametrize("form", ["event", "callable"])
def test_a_run_stops_after_the_step_when_it_is_asked_to(form: str) -> None:
    event, seen = threading.Event(), []

    def step(progress: Progress) -> None:
        seen.append(progress)
        if progress.level == 2:
            event.set()

    stop = event if form == "event" else event.is_set
    many = {**LEVELS, "optimize.steps": 5}
    with pytest.raises(Interrupted) as caught:
        apply("look.yaml", overrides=many, stop=stop, on_progress=step, checkpoint="c.checkpoint")
    assert len(seen) == 6
    partial = caught.value.partial
    assert (partial.complete, partial.image.size, len(partial.losses)) == (False, (48, 36), 6)
    assert caught.value.checkpoint == Path("c.checkpoint")
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        resumed = apply("look.yaml", overrides=many, checkpoint="c.checkpoint", resume=True)
    assert pixels(resumed) == pixels(apply("look.yaml", overrides=many))


def test_a_run_that_was_stopped_before_it_began_takes_no_step() -> None:
    seen: list[Progress] = []
    with pytest.raises(Interrupted) as caught:
        apply("look.yaml", stop=lambda: True, on_progress=seen.append)
    assert (caught.value.partial, seen) == (None, [])


def test_an_error_in_a_callback_keeps_the_checkpoint_and_the_picture_so_far() -> None:
    class MineError(Exception):
        pass

    def fail(progress: Progress) -> None:
        if progress.level == 2:
            raise MineError

    with pytest.raises(MineError) as caught:
        apply("look.yaml", overrides=LEVELS, on_progress=fail, checkpoint="c.checkpoint")
    kept = caught.value.__cause__
    assert isinstance(kept, Interrupted)
    assert kept.partial is not None
    assert kept.partial.image.size == (48, 36)
    assert kept.checkpoint == Path("c.checkpoint")
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        resumed = apply("look.yaml", overrides=LEVELS, checkpoint="c.checkpoint", resume=True)
    assert pixels(resumed) == pixels(apply("look.yaml", overrides=LEVELS))


@pytest.mark.parametrize(
    "shortage", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_where_memory_runs_out_the_checkpoint_is_kept_and_no_picture_is_made(
    shortage: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(progress: Progress) -> None:
        if progress.level == 2:
            raise shortage

    monkeypatch.setattr(Track, "partial", lambda _: pytest.fail("a picture took memory"))
    with pytest.raises(OutOfMemoryError, match="out of memory at 48×36 px"):
        apply("look.yaml", overrides=LEVELS, on_progress=fail, checkpoint="c.checkpoint")
    assert Path("c.checkpoint").exists()


# the names that the command line has


def test_quality_steps_and_seed_stand_in_for_the_recipes_own() -> None:
    noise = {"optimize.start": "noise", "optimize.steps": 9}
    given = apply("look.yaml", quality="fine", steps=2, seed=3, overrides=noise)
    stated = {"optimize.quality": "fine", "optimize.steps": 2, "optimize.seed": 3}
    assert pixels(given) == pixels(apply("look.yaml", overrides={**noise, **stated}))
    assert pixels(given) != pixels(apply("look.yaml", quality="fine", steps=2, overrides=noise))
    listed = apply("look.yaml", steps=[1, 2], overrides=["optimize.levels=[24, 48]"])
    assert len(listed.losses) == 3
    with pytest.raises(
        RecipeError, match=r"optimize\.quality: found 'best', allowed: instant, draft"
    ):
        apply("look.yaml", quality="best")


def test_a_check_tells_what_a_run_would_find_and_cost() -> None:
    found = layered_nst.check("look.yaml", steps=2, overrides=LEVELS)
    result = apply("look.yaml", steps=2, overrides=LEVELS)
    assert isinstance(found, layered_nst.Check)
    assert (found.plan, found.notes) == (result.plan, result.notes)
    assert found.scene.masks.coverage == result.coverage
    assert [cost.level.longest for cost in found.costs] == [24, 48]
    assert 0 < found.seconds < 600
    assert 300 < found.megabytes < 3000
    said = json.loads(json.dumps(found.as_dict()))
    assert said["levels"] == [[24, 2], [48, 2]]
    assert said["coverage"] == pytest.approx({"ground": 0.5, "sky": 0.5}, abs=0.01)
    assert re.fullmatch(r"<Check of a recipe: 48×36 px, about \d+ s and \d+ MB>", repr(found))
    with pytest.raises(OutOfMemoryError, match=r"`memory=1M` is too little"):
        layered_nst.check("look.yaml", memory="1M")


def test_masks_segments_and_recipes_are_found_without_the_command_line() -> None:
    found = layered_nst.masks("look.yaml", size=32)
    assert (found.names, tuple(found.masks.shape)) == (("ground", "sky"), (2, 24, 32))
    assert layered_nst.masks(mapping(), photo(40, 80), size=40).masks.shape == (2, 40, 20)
    classes = layered_nst.segment(photo())
    assert layered_nst.masks("photo.png").names == classes.names
    assert classes.masks.sum(0).max() == 1
    path = layered_nst.new("photo.png", "new.yaml", styles=["dots.png"])
    assert apply(path, steps=1, size=32).image.size == (32, 24)
    with pytest.raises(OutputError, match="is there already"):
        layered_nst.new("photo.png", "new.yaml")


def test_a_step_is_told_as_data() -> None:
    told: list[dict[str, Any]] = []
    apply("look.yaml", on_progress=lambda progress: told.append(progress.as_dict()))
    (step,) = json.loads(json.dumps(told, allow_nan=False))
    assert (step["stage"], step["level"], step["step"], step["size"]) == ("joint", 1, 1, [36, 48])
    assert step["losses"]["total"] > 0
    assert "picture" not in step
    odd = Progress("joint", 1, 1, (1, 1), 1, 1, 1.0, 0.0, {"total": float("nan")}, torch.zeros(3))
    assert odd.as_dict()["losses"] == {"total": None}


def test_a_result_shows_itself_in_a_line_and_in_a_small_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = apply("look.yaml", overrides={"name": "Neon"}, steps=0)
    assert re.fullmatch(r"<Result of Neon: 48×36 px, 0 steps in \d+ s>", repr(result))
    for side, size in ((512, (48, 36)), (32, (32, 24))):
        monkeypatch.setattr("layered_nst.outputs.result.SHOWN_SIDE", side)
        with Image.open(io.BytesIO(result._repr_png_())) as shown:
            assert (shown.format, shown.size) == ("PNG", size)


def test_errors_have_a_code_of_their_own() -> None:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    kinds = [kind for kind in kinds if issubclass(kind, LayeredNstError)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)) > 10
    assert {"recipe", "picture", "memory", "output", "interrupted"} < set(codes)


# a program around it


@pytest.mark.parametrize(
    "around",
    [torch.no_grad, torch.inference_mode, lambda: torch.autograd.set_grad_enabled(False)],
    ids=["no_grad", "inference_mode", "set_grad_enabled"],
)
def test_a_program_that_has_switched_gradients_off_gets_the_same_picture(around: Any) -> None:
    wanted = pixels(apply(with_classes(), photo()))
    with around():
        array = torch.from_numpy(photo().copy()).permute(2, 0, 1) / 255
        found = apply(with_classes(), array)
        costs = layered_nst.check("look.yaml")
        enabled = torch.is_grad_enabled()
    assert pixels(found) == wanted
    assert costs.seconds > 0
    assert not enabled
    assert torch.is_grad_enabled()


def test_a_run_says_in_the_log_what_it_does_and_is_quiet_by_itself(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    apply("look.yaml")
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("layered_nst").handlers
    caplog.set_level(logging.DEBUG, "layered_nst")
    apply("look.yaml", memory="100G")
    said = "\n".join(record.getMessage() for record in caplog.records)
    for words in ("48×36 px on cpu", "plan: Plan(", ": served", "stage joint took"):
        assert words in said
