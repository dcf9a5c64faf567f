"""One registry of what may be added: all or nothing, no name twice, nothing imported too early."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_tiles import plan_of, problem_of
from workbench import lay_out

from layered_nst import load_recipe, plugins
from layered_nst.errors import OutputError, PluginError
from layered_nst.networks.catalogue import CATALOGUE, find_model
from layered_nst.networks.encoders import load_encoder
from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.outputs.layered.writing import LayeredFormat, write_layered
from layered_nst.painting.objective import Objective
from layered_nst.picture import write_picture
from layered_nst.picture.writing import PictureFormat
from layered_nst.plugins import BUILT_IN, Registry
from layered_nst.recipe import json_schema
from layered_nst.recipe.selectors import KINDS
from layered_nst.scene.resolving import resolve
from layered_nst.strategies import joint
from layered_nst.strategies.looks import planned
from layered_nst.strategies.problems import finished, problem
from layered_nst.strategies.run import Strategy, paint


def test_an_entry_is_had_by_its_kind_and_name() -> None:
    registry = Registry({"loss": {"grain": len}})
    registry.add({"loss": {"halo": max}, "judge": {"grain": min}})
    assert registry.get("loss", "halo") is max
    assert registry.get("judge", "grain") is min
    assert registry.names("loss") == ("grain", "halo")
    assert registry.names("flow") == ()


def test_adding_is_all_or_nothing() -> None:
    registry = Registry({"loss": {"grain": len}})
    refused = [
        {"loss": {"halo": max, "grain": min}},
        {"loss": {"halo": max}, "looses": {"halo": max}},
        {"loss": {"halo": max}, "judge": {"eye": "nowhere"}},
        {"loss": {"halo": max}, "judge": {"eye": "module:"}},
    ]
    for entries in refused:
        with pytest.raises(PluginError):
            registry.add(entries)
        assert registry.names("loss") == ("grain",)
        assert registry.get("loss", "grain") is len


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(PluginError, match=r"^there is already a strategy called 'joint'$"):
        plugins.add({"strategy": {"joint": print}})


def test_what_is_not_there_is_said_with_what_was_probably_meant() -> None:
    registry = Registry({"loss": {"grain": len, "halo": max}})
    with pytest.raises(PluginError) as caught:
        registry.get("loss", "gain")
    assert str(caught.value) == (
        "no loss is called 'gain' (did you mean grain?); there are grain, halo"
    )
    with pytest.raises(PluginError, match=r"no flow is called 'x'; there are none"):
        registry.get("flow", "x")
    with pytest.raises(PluginError, match=r"no kind of plug-in is called 'los' \(did you mean"):
        registry.get("los", "grain")


def test_a_place_is_imported_when_it_is_asked_for_and_not_before() -> None:
    registry = Registry({"loss": {"there": "math:sqrt", "gone": "math:nothing", "no": "no_such:x"}})
    assert registry.get("loss", "there")(4) == 2
    for name in ("gone", "no"):
        with pytest.raises(PluginError, match=rf"^loss {name}: cannot be had from"):
            registry.get("loss", name)


def test_an_error_within_an_imported_module_is_not_hidden(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "breaks_on_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(folder)
    registry = Registry({"loss": {"broken": "breaks_on_import:loss"}})
    with pytest.raises(PluginError, match=r"broken: cannot be had .*: ZeroDivisionError: ") as told:
        registry.get("loss", "broken")
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_threads_that_add_at_once_lose_nothing() -> None:
    registry = Registry()
    names = [f"n{number}" for number in range(64)]
    ready = threading.Barrier(8)

    def add(part: int) -> None:
        ready.wait()
        for name in names[part::8]:
            registry.add({"loss": {name: name.upper}})

    threads = [threading.Thread(target=add, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(registry.names("loss")) == sorted(names)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, entries in BUILT_IN.items() for name in entries]
)
def test_all_that_is_built_in_is_where_the_table_says(kind: str, name: str) -> None:
    assert plugins.get(kind, name) is not None


def test_selectors_and_models_are_registered_by_the_names_that_recipes_use() -> None:
    assert set(plugins.names("selector")) == {*KINDS, "rest"}
    for kind in ("encoder", "segmenter", "detector", "judge"):
        assert plugins.names(kind) == tuple(m.name for m in CATALOGUE.values() if m.kind == kind)
    schema = json_schema(installed=False)
    assert set(plugins.names("strategy")) == set(schema["properties"]["strategy"]["enum"])
    formats = schema["$defs"]["Output"]["properties"]["format"]["anyOf"][0]["enum"]
    pictures = [part.name for part in plugins.parts("output") if part.holds == "picture"]
    assert formats == pictures


def test_what_is_added_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy of one's own paints, a model of one's own is found."""
    monkeypatch.setattr(plugins, "_registry", Registry(BUILT_IN))
    plugins.add({"segmenter": {"mine": replace(CATALOGUE["scenes"], name="mine")}})
    assert find_model("mine", kind="segmenter").name == "mine"
    monkeypatch.chdir(lay_out(tmp_path))
    recipe = load_recipe("look.yaml").model_copy(update={"strategy": "still"})
    plugins.add({"strategy": {"still": Strategy(joint.stages, lambda run: run.problem.start)}})
    scene = resolve(recipe)
    plan = planned(scene)
    canvas = paint(scene, {}, plan, on_progress=lambda _: pytest.fail("a step"))
    assert torch.equal(canvas, finished(problem(scene, plan).start, scene))


def test_a_loss_that_is_added_is_part_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Darkness:
        by_channel = True

        def terms(self, picture: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"dark": picture.mean()}

    monkeypatch.setattr(plugins, "_registry", Registry(BUILT_IN))
    encoder, problem, plan = load_encoder("light"), problem_of(32, 24), plan_of((32, 1))
    size = (problem.start.shape[1], problem.start.shape[2])
    before = Objective(encoder, problem, plan, size)(problem.start[None])
    plugins.add({"loss": {"dark": lambda asked: Darkness(), "none": lambda asked: None}})
    after = Objective(encoder, problem, plan, size)(problem.start[None])
    assert set(after) - set(before) == {"dark"}
    assert after["dark"] == problem.start.mean()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_format_that_is_added_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registry", Registry(BUILT_IN))
    raw = PictureFormat(lambda picture: picture.pixels.tobytes(), longest=50)
    plugins.add({"output": {".raw": raw, ".txt": LayeredFormat(lambda p: p.name.encode())}})
    path = tmp_path / "out.raw"
    write_picture(path, torch.ones(3, 2, 4))
    assert path.read_bytes() == b"\xff" * 24
    with pytest.raises(OutputError, match="RAW holds 50 px a side, not 51×1 px"):
        write_picture(path, torch.ones(3, 1, 51))
    write_layered(tmp_path / "out.txt", LayeredPicture([], torch.ones(3, 2, 2), name="mine"))
    assert (tmp_path / "out.txt").read_bytes() == b"mine"
    for write, name in ((write_picture, "out.txt"), (write_layered, "out.raw")):
        with pytest.raises(OutputError, match=r"format.*; use \.\w+, "):
            write(tmp_path / name, torch.ones(3, 2, 2))


def test_looking_up_names_imports_no_torch() -> None:
    program = (
        "import sys; from layered_nst import plugins; print(plugins.names('strategy'), "
        "[m for m in ('torch', 'PIL', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "('joint', 'product-then-style') []\n", done.stderr
