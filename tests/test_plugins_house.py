"""The chapter on plug-ins does what it says: its lines are run, its plug-in paints."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packages import Site
from test_papers import HOUSE, blocks, command_lines
from workbench import lay_out, run

from layered_nst import plugins
from layered_nst.plugins.manifests import _PART_KEYS
from layered_nst.testing.template import KINDS

CHAPTER = HOUSE.read_text("utf-8").partition("## How to write a plug-in")[2].partition("\n## ")[0]


def lines() -> list[str]:
    found = [block.text for block in blocks("bash") if block.page == HOUSE]
    return [line for text in found if text in CHAPTER for line in command_lines(text)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Site(tmp_path / "site", monkeypatch)


def test_the_lines_of_the_chapter_run_in_their_order(site: Site) -> None:
    for line in lines():
        words = shlex.split(line)
        if words[0] == "pip":
            # As the line does, but into a folder of the test's own.
            assert words[:3] == ["pip", "install", "-e"]
            pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
            subprocess.run([*pip, "-q", "--target", str(site.folder), words[3]], check=True)
            plugins._registry = None
        elif "--plugin" in words:
            (code,) = (b.text for b in blocks("python") if b.text.startswith("PLUGIN = "))
            Path("dark.py").write_text(code)
            ran = run(*words[1:], "--json")
            assert ran.code == 0, ran.err
            assert ran.json["losses"]["dark"] > 0
        else:
            ran = run(*words[1:])
            assert ran.code == 0, ran.err
    assert "studio-looks" in run("plugins", "list").out


def test_the_recipe_of_the_chapter_is_one(site: Site) -> None:
    assert run("plugins", "new", "studio-looks").code == 0
    (text,) = (block.text for block in blocks("text") if block.text in CHAPTER)
    stated: dict[str, Any] = yaml.safe_load(text)
    others = {"encoder": "filters", "output": "ppm", "video": "shift", "segmentation": "halves"}
    assert set(stated) == {"regions", "optimize", "strategy", *others}
    for key, part in others.items():
        assert f"studio-looks/{part}" in str(stated[key])
        assert part in [about["part"] for about in KINDS.values()]
    (name,) = stated["regions"][0]["select"]
    manifest = yaml.safe_load(Path("studio-looks/studio_looks/plugin.yaml").read_text())
    assert name == f"studio-looks/{manifest['parts'][0]['name']}"


def test_the_chapter_tells_every_key_of_a_part() -> None:
    rows = [line for line in CHAPTER.splitlines() if line.startswith("| `")]
    told = {word for row in rows for word in row.split("|")[1].replace("`", "").split(", ")}
    assert {word.strip() for word in told} == {*_PART_KEYS} - {"summary"}
