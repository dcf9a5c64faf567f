"""A plug-in's encoder need not be a VGG: a torchvision ResNet paints, whole and in tiles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonschema import Draft202012Validator
from packages import Site, manifest_of
from torch import Tensor, nn
from workbench import lay_out, run

import layered_nst
from layered_nst import plugins
from layered_nst.errors import PluginError, RecipeError
from layered_nst.networks.encoders import load_encoder
from layered_nst.networks.encoders.tiles import cut
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import make_plan
from layered_nst.painting.tiled import TiledObjective
from layered_nst.recipe import Optimize, json_schema, load_recipe
from layered_nst.strategies import budget, costs
from layered_nst.testing import contracts
from layered_nst.testing.samples import photo, problem

CODE = """
import math
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig
from torchvision.models.resnet import BasicBlock, ResNet

class Layered(nn.Module):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def _normalized(self, picture):
        mean, std = (picture.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (picture - mean) / std

class Residual(Layered):
    strides = {"stem": 2, "layer1": 4, "layer2": 8}
    widths = {"stem": 64, "layer1": 64, "layer2": 128}
    reach = {"stem": 3, "layer1": 13, "layer2": 25}

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            whole = ResNet(BasicBlock, [1, 1, 1, 1])
        self.stem = nn.Sequential(whole.conv1, whole.bn1, nn.ReLU())
        self.pool, self.layer1, self.layer2 = whole.maxpool, whole.layer1, whole.layer2

    def forward(self, picture, layers):
        stem = self.stem(self._normalized(picture))
        one = self.layer1(self.pool(stem))
        found = {"stem": stem, "layer1": one}
        if "layer2" in layers:
            found["layer2"] = self.layer2(one)
        return found

def residual(*, device, dtype, seed):
    return Residual(seed).to(device, dtype)

class Squeezed(Layered):
    # As in EfficientNet, each block weighs its channels by what it sees of the whole picture.
    strides, widths = {"early": 2, "late": 4}, {"early": 8, "late": 16}
    reach = {"early": 1, "late": math.inf}

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.early = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU())
            shape = InvertedResidualConfig(8, 3, 24, 16, True, "HS", 2, 1, 1)
            self.late = InvertedResidual(shape, nn.BatchNorm2d)

    def forward(self, picture, layers):
        early = self.early(self._normalized(picture))
        return {"early": early, "late": self.late(early)}

def squeezed(*, device, dtype):
    return Squeezed()

def changed(**keys):
    def make(*, device, dtype):
        made = Residual(1)
        for key, value in keys.items():
            setattr(made, key, value)
        return made
    return make

short_sighted = changed(reach={"stem": 3, "layer1": 13, "layer2": 20})
odd = changed(strides={"stem": 2, "layer1": 4, "layer2": 6})
narrow = changed(widths={"stem": 64, "layer1": 64, "layer2": 100})
unsaid = changed(reach={"stem": 3})
renamed = changed(**{k: {"a": v} for k, v in (("strides", 2), ("widths", 64), ("reach", 3))})

def bare(*, device, dtype):
    return nn.Conv2d(3, 4, 3)

def fallen(*, device, dtype):
    made = Residual(1)
    made.layer2.register_forward_hook(lambda *_: 1 / 0)
    return made
"""
LAYERS = {
    "layers": {"stem": 16, "layer1": 4, "layer2": 0},
    "content_layers": {"layer2": 1},
}
SEED = {"seed": {"type": "integer", "default": 1}}
NAMES = ("odd", "narrow", "unsaid", "renamed", "bare", "fallen")
RECIPE = """\
recipe: 1
content: photo.png
size: 160
encoder: studio/residual
regions:
  - name: ground
    select: rest
    style: stripes.png
  - name: sky
    select: {box: [0, 0, 1, 0.5]}
    style: dots.png
optimize: {steps: 2, levels: [160]}
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The current folder with a photo and styles, and a package ``studio`` beside it."""
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("r.yaml").write_text(RECIPE)
    found = Site(tmp_path / "site", monkeypatch)
    encoders: list[dict[str, Any]] = [
        {"name": "residual", **LAYERS, "parameters": {"type": "object", "properties": SEED}},
        {"name": "squeezed", "layers": {"early": 4, "late": 1}, "content_layers": {"late": 1}},
        *({"name": name, **LAYERS} for name in NAMES),
        {"name": "short-sighted", **LAYERS},
        {"name": "parted", "layers": {"low": 1}, "content_layers": {"high": 1}},
    ]
    parts = [{"kind": "encoder", **encoder} for encoder in encoders]
    found.install("studio", manifest_of("studio", *parts), CODE)
    return found


def stated(**changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(RECIPE), **changes}


@pytest.mark.parametrize("name", ["residual", "squeezed"])
def test_it_keeps_the_contracts_of_encoders(name: str) -> None:
    found = [(c.name, *c.tell()) for c in contracts("studio") if c.part.name == name]
    assert len(found) >= 9
    assert not [row for row in found if row[1] != "kept"]


@pytest.mark.parametrize("name", ["residual", "squeezed"])
def test_its_gradient_in_tiles_is_that_of_the_whole(name: str) -> None:
    encoder = load_encoder(f"studio/{name}", dtype=torch.float64)
    size = (224, 192)
    plan = make_plan(Optimize(), size, f"studio/{name}")
    asked = problem(*size, double=True)
    whole = Objective(encoder, asked, plan, size)
    tiled = TiledObjective(encoder, asked, plan, size, side=64)
    assert len(tiled.tiles) == 12
    assert (tiled.tiles[0].pixels < size[0] * size[1]) == (name == "residual")
    picture = asked.start[None] + 0.1
    (wanted, gradient), (terms, found) = whole.backward(picture), tiled.backward(picture)
    assert {name.partition(".")[0] for name in terms} >= {"style", "content", "contour"}
    for term, value in wanted.items():
        assert float(terms[term]) == pytest.approx(float(value), rel=1e-6), term
    assert float((found - gradient).norm() / gradient.norm()) < 1e-6


def test_its_moments_are_those_of_the_bare_network() -> None:
    """By another way: the network itself, and explicit sums over positions."""
    namespace: dict[str, Any] = {}
    exec(CODE, namespace)
    bare: nn.Module = namespace["Residual"](1).eval()
    rgb = photo(40, 56)[None]
    with torch.no_grad():
        wanted: dict[str, Tensor] = bare(rgb, ("layer1", "layer2"))
        found = load_encoder("studio/residual")(rgb, ("layer1", "layer2"))
    for layer in ("layer1", "layer2"):
        assert torch.equal(found[layer], wanted[layer])


def test_a_recipe_paints_with_it_in_tiles_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = stated(size=320, optimize={"steps": 1, "levels": [320]})
    whole = layered_nst.apply(recipe, device="cpu", cache=False)
    assert any(name.startswith("style.sky.layer1") for name in whole.manifest["losses"])
    assert not any("layer2" in name for name in whole.manifest["losses"] if "style" in name)
    assert "content.layer2" in whole.manifest["losses"]
    assert float((whole.rgb - whole.scene.picture.rgb).abs().mean()) > 0.01
    # What there is anyway is more than so small a picture takes.
    monkeypatch.setattr(costs, "BYTES_AT_REST", 0.0)
    monkeypatch.setattr(budget, "SMALLEST_TILE", 48)
    low = layered_nst.apply(recipe, device="cpu", cache=False, memory="110M")
    assert any(re.search(r"painted in tiles: 320 px by \d+ px", note) for note in low.notes), (
        low.notes
    )
    assert float((low.rgb - whole.rgb).abs().max()) < 0.02


def test_layers_of_a_recipe_are_those_of_its_encoder() -> None:
    layers = {"layer1": 2, "layer2": 1}
    recipe = load_recipe(stated(optimize={"layers": layers}))
    plan = make_plan(recipe.optimize, (64, 64), recipe.encoder)
    assert plan.layers == {"layer1": pytest.approx(2 / 3), "layer2": pytest.approx(1 / 3)}
    assert plan.content_layers == {"layer2": 1}
    check = Draft202012Validator(json_schema())
    assert check.is_valid(stated(optimize={"layers": layers}))
    for changes, said in (
        ({"optimize": {"layers": {"conv1_1": 1}}}, "layer1, layer2, stem"),
        ({"encoder": "light", "optimize": {"layers": layers}}, "conv1_1 to conv5_4"),
        ({"optimize": {"layers": {"layer9": 1}}}, "unknown layer"),
    ):
        with pytest.raises(RecipeError, match=rf"optimize.layers.*{said}"):
            load_recipe(stated(**changes))


def test_a_layer_that_holds_forms_alone_is_one_for_recipes_and_editors() -> None:
    recipe = stated(encoder="studio/parted", optimize={"content_layers": {"high": 2}})
    assert load_recipe(recipe).optimize.content_layers == {"high": 2}
    assert Draft202012Validator(json_schema()).is_valid(recipe)


def test_nothing_installed_is_looked_for_where_a_recipe_names_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins.Registry, "installed", lambda _: pytest.fail("it is looked for"))
    for changes in ({}, {"optimize": {"layers": {"conv1_1": 1}}}, {"encoder": "light"}):
        load_recipe({**stated(encoder=None), **changes})


def test_a_view_shows_its_layers_where_none_are_named() -> None:
    ran = run("features", "photo.png", "--encoder", "studio/residual", "-o", "f", "--size", "48")
    assert ran.code == 0, ran.err
    assert {path.stem for path in Path("f").iterdir()} == {"stem", "layer1", "layer2"}
    made = {path: np.array(path.stat().st_size) for path in Path("f").iterdir()}
    assert all(made.values())


WRONG = {
    "odd": "layer2 has a stride of 6, no power of 2",
    "narrow": r"its layer layer2 is \(1, 128, .*\), not \(1, 100, ",
    "unsaid": "its reach are of stem, its strides of",
    "renamed": "plugin.yaml names a layer layer1, and it has a",
    "bare": "made a Conv2d, which is no encoder: allowed: a torch.nn.Module with strides, widths",
    "fallen": "ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_it_is_one_sentence(name: str) -> None:
    with pytest.raises(PluginError, match=rf"^plug-in studio 1.2, encoder {name}: .*{WRONG[name]}"):
        layered_nst.apply(stated(encoder=f"studio/{name}", size=32), device="cpu", cache=False)


def test_a_pooling_that_it_cannot_have_is_refused() -> None:
    recipe = stated(optimize={"pooling": "average", "steps": 1}, size=32)
    with pytest.raises(PluginError, match="halves its maps in its own way"):
        layered_nst.apply(recipe, device="cpu", cache=False)


def test_a_reach_that_is_not_true_is_found_out() -> None:
    rows = [
        c.tell()
        for c in contracts("studio")
        if c.part.name == "short-sighted" and c.name.startswith(("its tiles", "its units"))
    ]
    assert [state for state, _ in rows] == ["broken", "broken"]
    assert "layer2 sees 25 px beyond its square, and says 20" in rows[1][1]


def test_tiles_begin_at_multiples_of_its_strides() -> None:
    encoder = load_encoder("studio/residual")
    for tile in cut((301, 190), 48, encoder, encoder.layers):
        assert all(part.start % 8 == 0 for part in (*tile.read, *tile.owned))


MANIFESTS = {
    "a loss with layers": ({"kind": "loss", **LAYERS}, "layers: allowed: for encoders alone"),
    "no content": ({"kind": "encoder", "layers": {"a": 1}}, "content_layers: found None, allowed"),
    "a dot": (
        {"kind": "encoder", "layers": {"a.b": 1}, "content_layers": {"a": 1}},
        "layers: found 'a.b', allowed: names of letters and digits",
    ),
    "below 0": (
        {"kind": "encoder", "layers": {"a": -1}, "content_layers": {"a": 1}},
        "layers: found .*, allowed: weights by layer, none below 0",
    ),
    "all 0": (
        {"kind": "encoder", "layers": {"a": 0}, "content_layers": {"a": 1}},
        "layers: no weight is above 0",
    ),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_layers_that_a_manifest_may_not_name_are_refused(site: Site, case: str) -> None:
    part, said = MANIFESTS[case]
    site.install("other", manifest_of("other", {"name": "x", **part}), "")
    (broken,) = plugins.installed().broken
    assert broken.name == "other"
    assert re.search(said, broken.problem), broken.problem
