"""A plug-in's judge scores a result as ours does, is held to its promises, and is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packages import Site, manifest_of
from workbench import lay_out, run

import layered_nst
from layered_nst import api, plugins
from layered_nst.errors import PluginError
from layered_nst.judge import Ruler, load_judge
from layered_nst.judge.measures import style_distance
from layered_nst.judge.network import region_moments
from layered_nst.machine.plugin_code import identity
from layered_nst.testing import contracts

CODE = """
import torch
from torch.nn import functional as F

class Steps:
    def __init__(self, device, maps):
        self.device, self.maps = device, maps

    def __call__(self, rgb):
        found, seen = [], rgb[None].to(self.device)
        for _ in range(self.maps):
            across = seen.diff(dim=3, append=seen[..., -1:])
            found.append(torch.cat([seen, across], 1)[0])
            seen = F.avg_pool2d(seen, 2, ceil_mode=True)
        return found

def steps(device, *, maps):
    return Steps(device, maps)

def blind(device):
    return lambda rgb: [torch.full((2, 4, 4), float("nan"))]

def vague(device):
    return lambda rgb: [rgb.mean((1, 2), keepdim=True)]

def flat(device):
    return lambda rgb: [rgb[0]]

def nothing(device):
    return lambda rgb: []

def fickle(device):
    return lambda rgb: [rgb[: 1 + int(rgb.mean() > 0.5)]]

def coarse(device):
    return lambda rgb: [F.interpolate(rgb[None], scale_factor=2)[0]]

def clumsy(device):
    def look(rgb):
        raise ValueError("seen too much")
    return look

def idle(device):
    return 3
"""
MAPS = {"type": "integer", "minimum": 1, "maximum": 6}
NAMES = ("blind", "vague", "flat", "nothing", "fickle", "coarse", "clumsy", "idle")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The current folder with a photo, styles and look.yaml, and a package ``studio`` beside it."""
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    found = Site(tmp_path / "site", monkeypatch)
    parameters = {"type": "object", "properties": {"maps": {**MAPS, "default": 3}}}
    parts: list[dict[str, Any]] = [
        {"kind": "judge", "name": "steps", "parameters": parameters},
        *({"kind": "judge", "name": name} for name in NAMES),
        {"kind": "judge", "name": "abroad", "devices": ["cuda"], "object": "studio:blind"},
    ]
    found.install("studio", manifest_of("studio", *parts), CODE)
    return found


def scored(judge: str, picture: str = "stripes.png") -> Any:
    return run("score", picture, "-r", "look.yaml", "-c", picture, "--judge", judge, "--json")


def test_a_plugins_judge_scores_and_is_named_with_its_version(site: Site) -> None:
    found = layered_nst.score(Path("photo.png"), "look.yaml", judge="studio/steps")
    assert found.judge == '{"studio/steps": {"maps": 3}}'
    (plugin,) = plugins.installed().plugins
    assert found.plugins == {"studio": identity(plugin)}
    assert found.gain == found.content == 0
    ran = run("score", "photo.png", "-r", "look.yaml", "--judge", "steps")
    assert 'judge     {"studio/steps": {"maps": 3}} (studio 1.2)' in ran.out


def test_what_is_said_to_a_judge_reaches_it_and_is_told() -> None:
    one, two = scored("studio/steps").json, scored("{studio/steps: {maps: 1}}").json
    assert two["judge"] == '{"studio/steps": {"maps": 1}}'
    assert one["regions"][0]["distance"] != two["regions"][0]["distance"]


def test_its_numbers_are_those_of_its_own_maps(site: Site) -> None:
    scene = api.prepare(api.load("look.yaml", size=48), device="cpu")[0]
    ruler = Ruler.of(scene, load_judge("studio/steps"))
    namespace: dict[str, Any] = {}
    exec(CODE, namespace)  # the same code, by no registry
    maps = namespace["steps"]("cpu", maps=3)(scene.picture.rgb)
    wanted = [
        [style_distance(region_moments(maps, mask[None])[0], target) for target in ruler.targets]
        for mask in ruler.masks
    ]
    found = ruler.distances(load_judge("studio/steps")(scene.picture.rgb))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


WRONG = {
    "blind": "gave what is no number, in map 0",
    "flat": r"gave \(\d+, \d+\); allowed: maps \(channels, height, width\)",
    "nothing": "gave nothing; allowed: maps",
    "coarse": r"gave a map \(\d+, \d+\) of \(\d+, \d+\) px, larger than the picture",
    "clumsy": r"ValueError: seen too much \(studio/__init__.py, line \d+\)",
    "idle": "made a int, which sees no pictures",
    "abroad": "runs on cuda, not on cpu",
    "stepz": r"no judge is called 'stepz' \(did you mean steps\?\)",
    "{studio/steps: {maps: 9}}": "studio/steps.maps: found 9, allowed: a whole number from 1 to 6",
    "{steps: {mops: 2}}": r"studio/steps.mops: unknown key \(did you mean maps\?\)",
    "{steps: }}": "allowed: a name, or {NAME: {KEY: VALUE}}",
    "{a: 1, b: 2}": "allowed: a name, or {NAME: {KEY: VALUE}}",
    "{efficientnet-lite0: {maps: 2}}": "unknown key; it takes no parameters",
}


@pytest.mark.parametrize("judge", WRONG)
def test_what_is_wrong_with_a_judge_is_one_sentence(judge: str) -> None:
    with pytest.raises(PluginError, match=WRONG[judge]) as caught:
        layered_nst.score(Path("photo.png"), "look.yaml", judge=judge, device="cpu")
    ran = run("score", "photo.png", "-r", "look.yaml", "--judge", judge, "--device", "cpu")
    assert ran.code == 1
    assert ran.error == str(caught.value)


BROKEN = {
    "blind": ("its maps are finite", "gave what is no number"),
    "fickle": ("its maps are finite", "channels, and of another picture"),
    "vague": ("it sees where something is", "changes the left as much"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_contract_is_found_out(name: str) -> None:
    contract, said = BROKEN[name]
    (found,) = (
        c for c in contracts("studio") if c.part.name == name and c.name.startswith(contract)
    )
    state, why = found.tell()
    assert state == "broken"
    assert said in why


def test_a_judge_that_is_as_it_must_be_keeps_every_contract() -> None:
    found = [(str(c), *c.tell()) for c in contracts("studio") if c.part.name == "steps"]
    assert len(found) >= 9
    assert not [row for row in found if row[1] != "kept"]
