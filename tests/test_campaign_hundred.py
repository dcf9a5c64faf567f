"""A hundred real pictures of which five go wrong, each in its own way, by the command line."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from workbench import lay_out, photo

from layered_nst.campaign.jobs import JobState
from layered_nst.campaign.ledger import Ledger

WRONG = '''
"""A loss that goes wrong as it is told to."""

import ctypes
import threading

PLUGIN = {
    "api": 1,
    "parts": [
        {
            "kind": "loss",
            "name": "wrong",
            "object": "wrong",
            "parameters": {
                "type": "object",
                "properties": {"how": {"enum": ["segfault", "memory", "endless"]}},
            },
        }
    ],
}


def wrong(asked, *, how):
    held = []
    while how == "memory":
        held.append(bytearray(b"x" * 20_000_000))
    if how == "segfault":
        ctypes.string_at(0)
    threading.Event().wait()
'''
HOW = "optimize.losses"


def hundred(folder: Path) -> None:
    """Photos, the table that names them, and the campaign."""
    lay_out(folder)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "shots").mkdir()
    good = [f"good-{n}" for n in range(95)]
    names = [*good[:40], "segfault", "broken", "endless", "memory", "styleless", *good[40:]]
    picture = Image.fromarray(photo())
    for number, name in enumerate(names):
        picture.rotate(number).save(folder / f"shots/{name}.png")
    data = (folder / "shots/broken.png").read_bytes()
    (folder / "shots/broken.png").write_bytes(data[: len(data) // 2])
    with (folder / "list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["photo", "regions.sky.style", HOW])
        for name in names:
            bad = name in ("segfault", "memory", "endless")
            style = "gone.png" if name == "styleless" else ""
            table.writerow([f"shots/{name}.png", style, f"wrong: {{how: {name}}}" if bad else ""])
    (folder / "team.yaml").write_text(
        "campaign: 1\nphotos: list.csv\nrecipes: look.yaml\nquality: draft\n"
        "set: {size: 32, optimize.steps: 1}\nlimits: {memory: 1200M, time: 20 s, tries: 2}\n"
    )


def campaign(*words: str, folder: Path) -> tuple[int, Any, str]:
    """Exit code, what ``--json`` tells, and what is said besides."""
    program = [sys.executable, "-m", "layered_nst.cli", "--plugin", "wrong.py", "campaign"]
    ran = subprocess.run([*program, *words, "--json"], cwd=folder, capture_output=True, text=True)
    return ran.returncode, json.loads(ran.stdout), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_five_bad_pictures_of_a_hundred_leave_ninety_five_done_and_told(
    tmp_path: Path, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if executor == "ray":
        pytest.importorskip("ray", exc_type=ImportError)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    hundred(tmp_path)
    options = ["--executor", executor, "--workers", "2", "--threads", "1"]
    code, told, said = campaign("run", "team.yaml", *options, folder=tmp_path)
    assert (code, told["done"], told["failed"] + told["poisoned"]) == (1, 95, 5), said
    assert said == "", "nothing but what was asked for"
    _, status, _ = campaign("status", "team.yaml", folder=tmp_path)
    wrong = {Path(one["name"]).stem.split("-")[0]: one["sentence"] for one in status["jobs_failed"]}
    assert wrong.keys() == {"segfault", "broken", "endless", "memory", "styleless"}
    assert wrong["segfault"].startswith("ended its worker 2 times: its process ")
    assert re.fullmatch(r"took \d\.\d GB of memory, allowed: 1\.2 GB", wrong["memory"])
    assert wrong["endless"] == "took longer than 20 s (limits.time)"
    assert "broken.png is broken" in wrong["broken"]
    assert "list.csv:46: regions.sky.style" in wrong["styleless"]
    with Ledger(tmp_path / "team", readonly=True) as ledger:
        done = ledger.entries((JobState.DONE,))
    assert {entry.tries for entry in done} == {1}, "nobody else was begun twice"
    for entry in done:
        assert Image.open(tmp_path / "team" / entry.name).size == (32, 24)
