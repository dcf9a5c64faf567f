"""Variation sheets: every combination on one sheet, each cell to be made again by its number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from workbench import lay_out, run

from layered_nst.campaign.variations import Variations, read_axes, read_sheet
from layered_nst.errors import CampaignError

AXES = ("regions.sky.strength=0.25,2", "optimize.seed=0,1")
FAST = ("--size", "32", "--workers", "1", "--set", "optimize.steps=1")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Path()


def test_values_are_cut_at_their_commas_alone() -> None:
    found = read_axes(
        [
            "regions.sky.strength=0.5,1, 2",
            "regions.sky.style=[{image: a.png, weight: 1}, {image: b.png}],c.png",
            "output.background='a, b',#ff0000",
        ]
    )
    assert found["regions.sky.strength"] == [0.5, 1, 2]
    assert found["regions.sky.style"] == [
        [{"image": "a.png", "weight": 1}, {"image": "b.png"}],
        "c.png",
    ]
    assert found["output.background"] == ["a, b", "#ff0000"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "nothing varies: name values such as regions.sky.strength=0.5,1,2"),
        (["optimize.seed"], "optimize.seed: allowed: KEY=VALUE,VALUE, such as optimize.seed=0,1"),
        (["optimize.seed="], "optimize.seed=: allowed: KEY=VALUE,VALUE"),
        (["size=1", "size=2"], "size=2: size is given twice, keep one"),
        ([f"size={','.join(map(str, range(401)))}"], "401 cells: allowed: at most 400"),
    ],
)
def test_axes_at_fault_are_told(texts: list[str], said: str) -> None:
    with pytest.raises(CampaignError) as caught:
        read_axes(texts)
    assert said in str(caught.value)


def test_a_cell_is_its_combination() -> None:
    made = Variations(Path("r"), None, {"a": [1, 2], "b": ["x", "y", "z"]}, {"c": 5})
    assert (made.count, made.columns) == (6, 3)
    assert made.cell(1) == {"a": 1, "b": "x", "c": 5}
    assert made.cell(6) == {"a": 2, "b": "z", "c": 5}
    with pytest.raises(CampaignError, match="cell 7: allowed: 1 to 6"):
        made.cell(7)


def test_a_sheet_shows_every_cell_and_any_of_them_is_made_again_at_full_size() -> None:
    ran = run("vary", "look.yaml", *AXES, *FAST, "-o", "sheet.png", "--json")
    assert ran.code == 0, ran.err
    cells: list[dict[str, Any]] = ran.json["cells"]
    assert [cell["state"] for cell in cells] == ["done"] * 4
    values = {"regions.sky.strength": 2, "optimize.seed": 0, "optimize.steps": 1}
    assert cells[2]["values"] == values
    made = read_sheet(Path("sheet.png"))
    assert made is not None
    assert made.cell(3) == values
    assert read_sheet(Path("photo.png")) is None
    small = run("vary", "sheet.png", "--cell", "3", "-o", "third.png")
    assert small.code == 0, small.err
    words = ("--set", "regions.sky.strength=2", "--seed", "0", "--steps", "1", "-o", "single.png")
    assert run("apply", "look.yaml", *words).code == 0
    assert Path("third.png").read_bytes() == Path("single.png").read_bytes()
    assert Image.open("third.png").size == (48, 36)
    # A value more paints its cells alone; the sheet's own size tells the rows and columns.
    stamps = {p.name: p.stat().st_mtime_ns for p in Path("sheet.vary").glob("*.png")}
    width, height = Image.open("sheet.png").size
    assert width == 16 + 2 * (32 + 16)
    more = ("regions.sky.strength=0.25,3,2", AXES[1])
    ran = run("vary", "look.yaml", *more, *FAST, "-o", "sheet.png", "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json["cells"]) == 6
    now = {p.name: p.stat().st_mtime_ns for p in Path("sheet.vary").glob("*.png")}
    assert {name: now[name] for name in stamps} == stamps
    assert Image.open("sheet.png").height > height


@pytest.mark.slow
def test_a_cell_that_fails_shows_its_sentence_and_the_others_are_there() -> None:
    ran = run(
        "vary", "look.yaml", "regions.sky.style=dots.png,gone.png", *FAST, "--json"
    )  # fmt: skip
    assert ran.code == 1
    states = [cell["state"] for cell in ran.json["cells"]]
    assert states == ["done", "failed"]
    assert "no such file: gone.png" in ran.json["cells"][1]["error"]
    ran = run("vary", "look.yaml", "regions.sky.style=dots.png,gone.png", *FAST)
    assert ran.code == 1
    assert "failed: gone.png" in ran.err, "said here too, not on the sheet alone"
    assert "no such file: gone.png" in ran.err
    assert Path("look.variations.png").is_file()
