"""What ``plugins new`` writes of each kind keeps its contracts, and does what its README says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from packages import Site, installed
from workbench import lay_out, run

from layered_nst import plugins
from layered_nst.plugins.manifests import OPEN
from layered_nst.recipe import load_recipe
from layered_nst.testing import contracts
from layered_nst.testing.template import KINDS
from layered_nst.video.flow import flow_of


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Site(tmp_path / "site", monkeypatch)


def new(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a package of a kind, install it, and return its README."""
    # Each has a module of its own, as Python knows each name once.
    assert run("plugins", "new", f"new-{kind}", "--kind", kind).code == 0
    installed(Path(f"new-{kind}"), tmp_path / "installed", monkeypatch)
    plugins._registry = None
    return Path(f"new-{kind}/README.md").read_text()


def test_there_is_one_to_begin_with_of_every_kind() -> None:
    assert {*KINDS} == {*OPEN}


def _marked(kind: str) -> Any:
    """Workers take a while to begin."""
    return pytest.param(kind, marks=[pytest.mark.slow] if kind == "executor" else [], id=kind)


@pytest.mark.parametrize("kind", [_marked(kind) for kind in KINDS])
def test_it_keeps_every_contract(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new(kind, tmp_path, monkeypatch)
    found = contracts(f"new-{kind}")
    assert len(found) >= 4
    told = {contract.name: contract.tell() for contract in found}
    missing = {"its pixels come back"} if kind == "output" else set()  # .ppm is not read here
    assert {name for name, (state, _) in told.items() if state != "kept"} == missing, told


USED = [kind for kind in KINDS if KINDS[kind].get("where") is None]


@pytest.mark.parametrize("kind", USED)
def test_a_recipe_uses_it_as_its_readme_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = new(kind, tmp_path, monkeypatch).partition("```yaml\n")[2].partition("```")[0]
    said = yaml.safe_load(text)
    stated: dict[str, Any] = yaml.safe_load(Path("look.yaml").read_text())
    if kind == "selector":
        stated["regions"][-1] = {**stated["regions"][-1], **said}
    else:
        stated |= said
    recipe = load_recipe(stated)
    assert (kind, f"new-{kind}/{KINDS[kind]['part']}") in {*recipe.plugin_parts()}


def test_the_command_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "layered-nst light photo.jpg" in new("command", tmp_path, monkeypatch)
    shown = run("light", "--help").out
    assert "After the point. (a whole number from 0 to 9) [3]" in " ".join(shown.split())
    ran = run("light", "photo.png", "--digits", "2")
    assert ran.code == 0, ran.err
    assert 0 < float(ran.out) < 1
    assert len(ran.out.strip()) == 4
    assert run("light", "photo.png", "--digits", "11").error == (
        "command new-command/light.digits: found 11, allowed: a whole number from 0 to 9"
    )
    assert run("light").code == 2


def test_the_flow_finds_a_shift_to_any_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new("flow", tmp_path, monkeypatch)
    one = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(1))
    for across, down in ((4, -3), (-7, 2), (0, 0)):
        other = one.roll((down, across), (1, 2))
        found = flow_of("new-flow/shift")(one, other)
        assert found[:, 5, 5].tolist() == [across, down]
