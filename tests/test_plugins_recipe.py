"""A recipe uses a plug-in's parts as it uses ours: checked, hashed, remembered, and told of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonschema import Draft202012Validator
from packages import Site, manifest_of
from workbench import lay_out, run

import layered_nst
from layered_nst import plugins
from layered_nst.errors import (
    CheckpointError,
    Interrupted,
    LayeredNstWarning,
    PluginError,
    RecipeError,
)
from layered_nst.machine.plugin_code import identity
from layered_nst.recipe import dump_recipe, json_schema, load_recipe
from layered_nst.scene.provenance import recipe_hash

CODE = """
import torch
from layered_nst.networks.encoders import load_encoder
from layered_nst.strategies import joint
from layered_nst.strategies.run import Strategy

def bright(said, view):
    level = said["above"]
    return (view.picture.rgb.mean(0) > level).float()

class Dark:
    by_channel = False

    def __init__(self, weight):
        self.weight = weight

    def terms(self, picture):
        return {"dark": self.weight * picture.square().mean()}

def dark(asked, *, weight):
    return Dark(weight) if weight else None

def still(*, light):
    def paint(run):
        return run.problem.start * light
    return Strategy(joint.stages, paint)

class Halves:
    name, classes = "halves", ("sky", "ground")

    def __call__(self, rgb):
        top = torch.zeros_like(rgb[0])
        top[: rgb.shape[1] // 2] = 1
        return torch.stack([top, 1 - top])

def halves(device, *, turned):
    made = Halves()
    if turned:
        made.classes = ("ground", "sky")
    return made

def small(*, device, dtype):
    return load_encoder("light", device=device, dtype=dtype)
"""
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
PARTS: list[dict[str, Any]] = [
    {
        "kind": "selector",
        "name": "bright",
        "summary": "The bright part of a photo.",
        "parameters": {
            "type": "object",
            "properties": {
                "above": {**SHARE, "default": 0.5},
                "mode": {"enum": ["soft", "hard"]},
                "lut": {"type": "string", "format": "path"},
            },
        },
    },
    {
        "kind": "loss",
        "name": "dark",
        "parameters": {
            "type": "object",
            "properties": {"weight": {"type": "number", "minimum": 0, "default": 1}},
        },
    },
    {
        "kind": "strategy",
        "name": "still",
        "parameters": {"type": "object", "properties": {"light": SHARE}, "required": ["light"]},
    },
    {
        "kind": "segmenter",
        "name": "halves",
        "parameters": {
            "type": "object",
            "properties": {"turned": {"type": "boolean", "default": False}},
        },
    },
    {"kind": "encoder", "name": "small"},
]
RECIPE = """\
recipe: 1
content: photo.png
size: 48
regions:
  - name: ground
    select: rest
    style: stripes.png
  - name: sky
    select: {studio/bright: {above: 0.4}}
    style: dots.png
optimize: {steps: 1, quality: draft}
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The current folder with a photo and styles, and a package ``studio`` beside it."""
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    found = Site(tmp_path / "site", monkeypatch)
    found.install("studio", manifest_of("studio", *PARTS), CODE)
    return found


def written(text: str, **changes: Any) -> Path:
    stated = {**yaml.safe_load(text), **changes}
    Path("r.yaml").write_text(yaml.safe_dump(stated, sort_keys=False))
    return Path("r.yaml")


def selecting(select: Any) -> Path:
    stated = yaml.safe_load(RECIPE)
    stated["regions"][1]["select"] = select
    return written(yaml.safe_dump(stated))


def test_a_recipe_is_loaded_with_full_names_and_every_default() -> None:
    recipe = load_recipe(
        written(
            RECIPE,
            strategy={"still": {"light": 0.5}},
            segmentation="halves",
            encoder="small",
            optimize={"losses": {"dark": None}},
        )
    )
    stated = yaml.safe_load(dump_recipe(recipe))
    assert stated["regions"][1]["select"] == {"studio/bright": {"above": 0.4}}
    assert stated["strategy"] == {"studio/still": {"light": 0.5}}
    assert stated["segmentation"] == {"studio/halves": {"turned": False}}
    assert stated["encoder"] == "studio/small"
    assert stated["optimize"]["losses"] == {"studio/dark": {"weight": 1}}
    assert load_recipe(stated) == recipe
    assert set(recipe.plugin_parts()) == {
        ("selector", "studio/bright"),
        ("strategy", "studio/still"),
        ("segmenter", "studio/halves"),
        ("loss", "studio/dark"),
        ("encoder", "studio/small"),
    }


@pytest.mark.parametrize(
    "select", ["bright", "studio/bright", {"bright": None}, {"bright": True}, {"bright": {}}]
)
def test_what_takes_nothing_may_be_written_short(select: Any) -> None:
    region = load_recipe(selecting(select)).regions[1]
    assert region.select.model_dump() == {"studio/bright": {"above": 0.5}}


def test_a_plugins_selector_combines_with_ours() -> None:
    both = {"all": [{"bright": {"above": 0.4}}, {"not": {"box": [0, 0, 0.5, 1]}}]}
    stated = {**yaml.safe_load(selecting(both).read_text())}
    stated["regions"][1]["fixed"] = True
    result = layered_nst.apply(stated, device="cpu", cache=False)
    mask = torch.from_numpy(np.array(result.masks["sky"]))
    assert mask[:, :20].max() == 0
    assert mask[2:14, 30:].min() == 255


WRONG: dict[str, tuple[Any, str]] = {
    "misspelled": (
        {"studio/brigth": {}},
        r"r.yaml:\d+: regions.sky.select: no selector is called 'studio/brigth' \(did you mean "
        r"studio/bright\?\)",
    ),
    "short and misspelled": ({"brigth": {}}, r"select: found brigth, .*did you mean bright\?"),
    "not installed": ({"atelier/x": {}}, "select: no selector .*no plug-in atelier is installed"),
    "out of range": (
        {"bright": {"above": 2}},
        r"r.yaml:13: regions.sky.select.bright.above: found 2, allowed: a number from 0 to 1$",
    ),
    "no number": (
        {"bright": {"above": float("nan")}},
        r"r.yaml:13: regions.sky.select.bright.above: found nan, allowed: a number from 0 to 1$",
    ),
    "wrong type": (
        {"bright": {"above": "half"}},
        r"regions.sky.select.bright.above: found half, allowed: a number from 0 to 1$",
    ),
    "unknown key": (
        {"bright": {"abov": 0.5}},
        r"r.yaml:13: regions.sky.select.bright.abov: unknown key \(did you mean above\?\)$",
    ),
    "no such word": (
        {"bright": {"mode": "sofft"}},
        r"bright.mode: found sofft, allowed: soft, hard \(did you mean soft\?\)$",
    ),
    "beside it": (
        {"bright": {}, "above": 0.4},
        r"what is said to bright stands below it: {bright: {KEY: VALUE}}$",
    ),
    "a list": ({"bright": [1]}, r"select.bright: found \[1\], allowed: a mapping with above"),
    "a missing file": (
        {"bright": {"lut": "no.cube"}},
        "regions.sky.select.bright.lut: no such file: no.cube",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_file_line_and_key(case: str) -> None:
    select, said = WRONG[case]
    with pytest.raises(RecipeError, match=said):
        load_recipe(selecting(select))


def test_all_that_is_wrong_is_said_at_once() -> None:
    path = selecting({"bright": {"above": 3, "mode": 1}})
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides=["size=0"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": "still"}, "strategy.still.light: is missing"),
        ({"strategy": {"joint": {}}}, "strategy: joint takes no parameters; write its name alone"),
        (
            {"strategy": "stil"},
            r"strategy: found 'stil', allowed: joint, product-then-style, studio/still",
        ),
        ({"segmentation": {"halves": {"turned": 1}}}, "turned: found 1, allowed: true or false"),
        ({"encoder": {"small": {"a": 1}}}, "encoder.small.a: unknown key; it takes no parameters"),
        ({"encoder": {"light": {}}}, "encoder: light takes no parameters; write its name alone"),
        ({"encoder": {"a": 1, "b": 2}}, "encoder: found a mapping, allowed: hed-vgg16, light"),
        ({"output": {"format": {"studio/x": 1}}}, "output.format: no output is called 'studio/x'"),
        ({"output": {"format": {"png": {}}}}, "output.format: png takes no parameters"),
        ({"video": {"flow": "diss"}}, r"video.flow: no flow is called 'diss' \(did you mean dis"),
        ({"encoder": "studio/smal"}, r"encoder: no encoder is called .*mean studio/small\?"),
        ({"optimize": {"losses": {"dork": {}}}}, r"optimize.losses.dork: no loss .*mean dark\?"),
        ({"optimize": {"losses": {"style": {}}}}, "losses.style: is a loss of this package"),
        (
            {"optimize": {"losses": {"dark": {"weight": -1}}}},
            "optimize.losses.dark.weight: found -1, allowed: a number of at least 0",
        ),
        (
            {"optimize": {"losses": {"dark": {}, "studio/dark": {}}}},
            "stands there twice, keep one",
        ),
    ],
)
def test_other_parts_are_checked_as_well(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(written(RECIPE, **changes))


def test_a_factor_for_a_loss_that_does_not_pull_is_refused() -> None:
    stated = yaml.safe_load(RECIPE)
    stated["regions"][0]["losses"] = {"dark": 2}
    with pytest.raises(RecipeError, match=r"losses.studio/dark: pulls nowhere"):
        load_recipe(stated)
    recipe = load_recipe({**stated, "optimize": {"losses": {"dark": {}}}})
    assert recipe.regions[0].losses == {"studio/dark": 2}


def test_a_plugin_whose_schema_is_none_is_said_where_it_is_named(site: Site) -> None:
    part = {"kind": "selector", "name": "odd", "parameters": {"type": "nonsense"}}
    site.install("worn", manifest_of("worn", part))
    with pytest.raises(RecipeError, match=r"plug-in worn 1\.2, selector odd: parameters are no"):
        load_recipe(selecting({"worn/odd": {}}))


def test_paths_start_at_the_recipe_and_their_files_are_hashed(tmp_path: Path) -> None:
    Path("lut.cube").write_text("one")
    path = selecting({"bright": {"lut": "lut.cube"}})
    recipe = load_recipe(path)
    (said,) = recipe.regions[1].select.model_dump().values()
    lut = Path("lut.cube").absolute()
    assert said["lut"] == str(lut)
    from layered_nst.recipe import named_files

    assert named_files(recipe)["regions.sky.select.studio/bright.lut"] == lut
    assert recipe_hash(recipe, {lut: "1"}) != recipe_hash(recipe, {lut: "2"})


def test_the_schema_knows_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Draft202012Validator(json_schema())
    stated = yaml.safe_load(RECIPE)
    stated |= {"strategy": {"still": {"light": 1}}, "encoder": "studio/small"}
    stated["optimize"]["losses"] = {"dark": {"weight": 2}}
    assert check.is_valid(stated)
    for wrong in (
        {"strategy": "still"},
        {"strategy": {"still": {"light": 2}}},
        {"encoder": "small-one"},
        {"optimize": {"losses": {"dork": {}}}},
        {"regions": [{"name": "a", "select": {"bright": {"abov": 1}}, "style": "dots.png"}]},
    ):
        assert not check.is_valid({**stated, **wrong}), wrong
    assert json_schema(installed=False) != json_schema()
    monkeypatch.setenv("LAYERED_NST_PLUGINS", "off")
    assert json_schema(installed=False) == json_schema()


def test_a_run_with_plugins_paints_and_tells_of_them(tmp_path: Path) -> None:
    recipe = written(
        RECIPE, segmentation="halves", optimize={"steps": 2, "losses": {"dark": {"weight": 3}}}
    )
    ran = run("apply", recipe, "--set", "regions.ground.select={class: ground}", "-o", "out.png")
    assert ran.code == 0, ran.err
    manifest = json.loads(Path("out.json").read_text())
    (plugin,) = plugins.installed().plugins
    assert manifest["plugins"] == {"studio": identity(plugin)}
    assert manifest["models"]["segmenter"]["name"] == "studio/halves"
    assert manifest["losses"]["dark"] > 0
    assert run("apply", "out.png", "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_a_loss_of_a_plugin_changes_the_picture_and_weight_0_does_not() -> None:
    def painted(weight: float | None) -> torch.Tensor:
        losses = {} if weight is None else {"losses": {"dark": {"weight": weight}}}
        stated = {**yaml.safe_load(RECIPE), "optimize": {"steps": 12, "levels": [48], **losses}}
        return layered_nst.apply(stated, device="cpu").rgb

    assert torch.equal(painted(None), painted(0))
    assert painted(300).mean() < painted(0).mean() - 0.02


def test_a_strategy_and_an_encoder_of_a_plugin_paint() -> None:
    stated = {**yaml.safe_load(RECIPE), "strategy": {"still": {"light": 0.25}}}
    dim = layered_nst.apply(stated, device="cpu").rgb
    stated["strategy"] = {"still": {"light": 0.5}}
    assert torch.allclose(layered_nst.apply(stated, device="cpu").rgb, 2 * dim, atol=1e-5)
    ours = {**yaml.safe_load(RECIPE), "encoder": "light"}
    theirs = {**ours, "encoder": "studio/small"}
    assert torch.equal(
        layered_nst.apply(theirs, device="cpu").rgb, layered_nst.apply(ours, device="cpu").rgb
    )


def test_other_code_is_another_run_for_cache_and_checkpoint_and_is_told_of(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {**yaml.safe_load(RECIPE), "segmentation": "halves"}
    stated["regions"][1]["select"] = {"class": "sky"}
    first = layered_nst.apply(stated, device="cpu", checkpoint="c.checkpoint")
    first.save("out.png")
    layered_nst.apply(stated, device="cpu", checkpoint="c.checkpoint")
    package = site.folder / "studio" / "__init__.py"
    # Of another length: bytecode of the same second and length would be taken for its own.
    package.write_text(package.read_text().replace("// 2", "// (1 + 2)"))
    import importlib
    import sys

    importlib.reload(sys.modules["studio"])
    with pytest.warns(LayeredNstWarning, match="plug-in studio, other code of the same version"):
        again = layered_nst.apply("out.png", device="cpu")
    assert again.coverage["sky"] == pytest.approx(1 / 3, abs=0.05)
    assert first.coverage["sky"] == pytest.approx(1 / 2, abs=0.05)
    with pytest.raises(CheckpointError, match="belongs to another encoder or segmenter"):
        layered_nst.apply(stated, device="cpu", checkpoint="c.checkpoint", resume=True)


FAILING = """
import torch

class Fails:
    by_channel = False
    count = 0

    def terms(self, picture):
        self.count += 1
        if self.count > 2:
            raise {error}
        return {{"x": 0 * picture.mean()}}

def dark(asked, *, weight):
    return Fails()
"""


@pytest.mark.parametrize("error", ["ZeroDivisionError('by nothing')", "KeyError('sky')"])
def test_an_error_while_painting_names_the_plugin_and_keeps_the_work(
    site: Site, error: str
) -> None:
    loss = [part for part in PARTS if part["name"] == "dark"]
    site.install("fails", manifest_of("fails", *loss), FAILING.format(error=error))
    optimize = {"steps": 5, "levels": [48], "losses": {"fails/dark": {}}}
    recipe = written(RECIPE, optimize=optimize)
    ran = run("apply", recipe, "-o", "out.png")
    assert ran.code == 1
    assert ran.error.startswith(f"plug-in fails 1.2: {error.partition('(')[0]}: ")
    assert ran.error.endswith("(fails/__init__.py, line 11)")
    assert "--resume goes on from out.checkpoint" in ran.err
    assert "the picture so far is out.partial.png" in ran.err
    assert Path("out.checkpoint").is_file()
    assert Path("out.partial.png").is_file()
    assert "Traceback" not in ran.err
    with pytest.raises(PluginError) as caught:
        layered_nst.apply(recipe, device="cpu")
    first: BaseException = caught.value
    while first.__cause__ is not None:
        first = first.__cause__
    assert isinstance(first, Interrupted)
    assert first.partial is not None


def answer(site: Site, code: str, part: dict[str, Any]) -> str:
    """What is said of a run with a part whose code is this."""
    site.install("odd", manifest_of("odd", part), f"import torch\n{code}")
    changes: dict[str, Any] = {
        "loss": {"optimize": {"steps": 1, "losses": {"odd/x": {}}}},
        "strategy": {"strategy": "odd/x"},
        "segmenter": {"segmentation": "odd/x"},
        "encoder": {"encoder": "odd/x"},
        "selector": {},
    }[part["kind"]]
    stated = {**yaml.safe_load(RECIPE), **changes}
    if part["kind"] == "selector":
        stated["regions"][1]["select"] = "odd/x"
    if part["kind"] == "segmenter":
        stated["regions"][1]["select"] = {"class": "sky"}
    with pytest.raises(PluginError) as caught:
        layered_nst.apply(stated, device="cpu")
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("selector", "def x(s, v): return torch.ones(3, 4)", r"its mask has shape \(3, 4\), the"),
        ("selector", "def x(s, v): return v.picture.rgb[0] * 3", "has values from .* not 0 to 1"),
        ("selector", "def x(s, v): return v.picture.rgb[0] * float('nan')", "values from nan"),
        ("selector", "def x(s, v): return None", r"^plug-in odd 1.2, selector x: RuntimeError: "),
        ("loss", "def x(asked): return 3", "made a int, which is no loss"),
        (
            "loss",
            "class x:\n by_channel=False\n def __init__(self, a): ...\n"
            " def terms(self, p): return {'a': p}",
            r"its term a is of shape \(1, 3, \d+, \d+\), not a tensor of one number",
        ),
        ("strategy", "x = 3", "^plug-in odd 1.2, strategy x: is a int, which is no Strategy$"),
        (
            "segmenter",
            "class x:\n name, classes = 'x', ('sky',)\n def __init__(self, d): ...\n"
            " def __call__(self, rgb): return rgb",
            r"its probabilities are \(3, .*for 1 classes",
        ),
        (
            "encoder",
            "def x(*, device, dtype): return 4",
            "made a int, which is no encoder: allowed",
        ),
    ],
)
def test_a_part_that_gives_what_it_must_not_is_said_in_a_sentence(
    site: Site, kind: str, code: str, said: str
) -> None:
    found = answer(site, code, {"kind": kind, "name": "x"})
    assert re.search(said, found), found
    assert "odd" in found


def test_a_device_that_a_part_does_not_run_on_is_refused(site: Site) -> None:
    part = {"kind": "selector", "name": "x", "devices": ["cuda"]}
    said = answer(site, "def x(s, v): ...", part)
    assert said == "plug-in odd 1.2, selector x: runs on cuda, not on cpu"
