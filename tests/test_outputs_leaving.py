"""All that a run leaves, written by one call as a service would make it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from workbench import lay_out

from layered_nst import Interrupted, apply, load_recipe
from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.outputs.leaving import Targets, Written, write_all, write_partial
from layered_nst.outputs.report.recorder import Recorder
from layered_nst.outputs.result import files_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


EVERYTHING = Targets(Path("out.png"), layers=Path("out.ora"), report=Path("page"))


def painted(targets: Targets, **keys: Any) -> Any:
    return apply("look.yaml", checkpoint=targets.checkpoint, output=targets.picture, **keys)


def test_one_call_writes_picture_manifest_layers_and_report_and_removes_the_checkpoint() -> None:
    recorder = Recorder()
    result = painted(EVERYTHING, on_scene=recorder.scene, on_progress=recorder.step)
    assert EVERYTHING.checkpoint.exists()
    written = write_all(result, EVERYTHING, recording=recorder, notes=["from outside"])
    assert written == Written(
        Path("out.png"), Path("out.json"), Path("out.ora"), Path("page/index.html")
    )
    assert Image.open("out.png").size == (48, 36)
    assert json.loads(Path("out.json").read_text())["notes"][0] == "from outside"
    assert "from outside" in Path("page/index.html").read_text()
    assert (Path("page/files") / "film.gif").exists()
    assert not EVERYTHING.checkpoint.exists()


def test_what_nobody_asked_for_is_not_written() -> None:
    targets = Targets(Path("out.png"), manifest=False)
    assert write_all(painted(targets), targets) == Written(Path("out.png"))
    assert {path.name for path in Path().glob("out*")} == {"out.png"}


def test_where_something_cannot_be_written_the_checkpoint_stays_and_is_named() -> None:
    result = painted(EVERYTHING)
    Path("out.ora").mkdir()
    with pytest.raises(OutputError, match=r"kept in out\.checkpoint, and `resume` will write it$"):
        write_all(result, EVERYTHING)
    assert EVERYTHING.checkpoint.exists()
    Path("out.ora").rmdir()
    with pytest.warns(LayeredNstWarning, match="goes on from there"):
        again = painted(EVERYTHING, resume=True)
    write_all(again, EVERYTHING)
    assert not EVERYTHING.checkpoint.exists()


def test_the_picture_so_far_takes_a_name_of_its_own_and_the_checkpoint_stays() -> None:
    Path("out.partial.png").write_bytes(Path("photo.png").read_bytes())
    with pytest.raises(Interrupted) as caught:
        painted(EVERYTHING, steps=5, stop=iter([False, False, True]).__next__)
    written = write_partial(caught.value, EVERYTHING)
    assert written is not None
    assert written.picture == Path("out.partial.2.png")
    assert written.report == Path("page/index.html")
    assert EVERYTHING.checkpoint.exists()
    assert write_partial(Interrupted("stopped"), EVERYTHING) is None


def test_targets_are_refused_before_the_work() -> None:
    recipe = load_recipe("look.yaml")
    reads = files_of(recipe)
    refused = [
        Targets(Path("photo.png"), reads=reads),
        Targets(Path("out.gif")),
        Targets(Path("nowhere/out.png")),
        Targets(Path("out.png"), layers=Path("out.tif")),
        Targets(Path("out.png"), report=Path("look.yaml")),
    ]
    for targets in refused:
        with pytest.raises(OutputError):
            targets.check(recipe)
    Path("out.json").write_text("{}")
    with pytest.raises(OutputError, match=r"out\.json"):
        Targets(Path("out.png")).check(recipe)
    Targets(Path("out.png"), manifest=False).check(recipe)
    with pytest.raises(OutputError, match="16383 px a side"):
        Targets(Path("out.webp")).check_size((10, 16384))
