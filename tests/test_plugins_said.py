"""What a recipe or an option says to a part of a plug-in: to any kind, checked and told alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonschema import Draft202012Validator
from packages import Site, manifest_of
from PIL import Image
from workbench import lay_out, run

import layered_nst
from layered_nst import plugins
from layered_nst.campaign.campaign import _opened
from layered_nst.campaign.executors.interface import Workers
from layered_nst.errors import PluginError, RecipeError
from layered_nst.networks.encoders import load_encoder
from layered_nst.recipe import dump_recipe, json_schema, load_recipe
from layered_nst.scene.provenance import recipe_hash
from layered_nst.video.flow import flow_of

CODE = """
import torch
from layered_nst.networks.encoders import load_encoder
from layered_nst.picture.writing import PictureFormat

def gain(*, device, dtype, factor, notes=None):
    made = load_encoder("light", device=device, dtype=dtype)
    made.conv1_1_weight = made.conv1_1_weight * factor
    return made

class Encode:
    def __init__(self, comment):
        self.comment = comment.encode()

    def __call__(self, picture):
        height, width = picture.pixels.shape[:2]
        head = b"P6\\n#%s\\n%d %d\\n255\\n" % (self.comment, width, height)
        return head + picture.pixels.tobytes()

def ppm(*, comment):
    return PictureFormat(Encode(comment), alpha=False)

def drift(one, other, *, px):
    return torch.full((2, *one.shape[1:]), float(px))

class Opened:
    places, threads = ("only",), 1

    def __init__(self, asked, queue):
        self.asked, self.queue = asked, queue

    def close(self, *, kill=False):
        self.closed = True

def queued(asked, *, queue):
    return Opened(asked, queue)
"""


def takes(key: str, **schema: Any) -> dict[str, Any]:
    return {"parameters": {"type": "object", "properties": {key: schema}}}


FACTOR = {"type": "number", "exclusiveMinimum": 0, "default": 1}
PARTS: list[dict[str, Any]] = [
    {
        "kind": "encoder",
        "name": "gain",
        "parameters": {
            "type": "object",
            "properties": {"factor": FACTOR, "notes": {"type": "string", "format": "path"}},
        },
    },
    {
        "kind": "output",
        "name": "ppm",
        "suffixes": [".ppm"],
        "holds": "picture",
        **takes("comment", type="string", default="plain"),
    },
    {"kind": "strategy", "name": "slow", **takes("rounds", type="integer", default=1)},
    {"kind": "segmenter", "name": "halves", **takes("px", type="integer", default=1)},
    {"kind": "flow", "name": "drift", **takes("px", type="number", default=0)},
    {"kind": "executor", "name": "queued", **takes("queue", enum=["day", "night"], default="day")},
]
RECIPE = """\
recipe: 1
content: photo.png
size: 48
encoder: {gain: {factor: 2}}
regions:
  - name: ground
    select: rest
    style: stripes.png
optimize: {steps: 1, levels: [48]}
output: {format: {studio/ppm: {comment: by night}}}
video: {flow: {drift: {px: 3}}}
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The current folder with a photo and styles, and a package ``studio`` beside it."""
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    found = Site(tmp_path / "site", monkeypatch)
    found.install("studio", manifest_of("studio", *PARTS), CODE)
    return found


def written(text: str = RECIPE, **changes: Any) -> Path:
    stated = {**yaml.safe_load(text), **changes}
    Path("r.yaml").write_text(yaml.safe_dump(stated, sort_keys=False))
    return Path("r.yaml")


def test_it_stands_in_the_recipe_as_it_was_said_with_every_default() -> None:
    recipe = load_recipe(written(video={"flow": "drift"}))
    stated = yaml.safe_load(dump_recipe(recipe))
    assert stated["encoder"] == {"studio/gain": {"factor": 2}}
    assert stated["output"]["format"] == {"studio/ppm": {"comment": "by night"}}
    assert stated["video"]["flow"] == {"studio/drift": {"px": 0}}
    assert load_recipe(stated) == recipe
    assert {*recipe.plugin_parts()} == {
        ("encoder", "studio/gain"),
        ("output", "studio/ppm"),
        ("flow", "studio/drift"),
    }


@pytest.mark.parametrize("kind", ["strategy", "segmentation"])
def test_what_is_said_to_it_may_be_a_text_as_on_the_command_line(kind: str) -> None:
    said = {"studio/slow": {"rounds": 3}} if kind == "strategy" else {"studio/halves": {"px": 3}}
    found = [load_recipe(written(**{kind: form})) for form in (said, json.dumps(said))]
    assert found[0] == found[1]
    assert getattr(found[1], kind).parameters == next(iter(said.values()))


WRONG = {
    "encoder": ({"gain": {"factor": 0}}, r"r.yaml:\d+: encoder.gain.factor: found 0, .*above 0$"),
    "output": (
        {"format": {"ppm": {"coment": "x"}}},
        r"output.format.ppm.coment: unknown key \(did you mean comment\?\)$",
    ),
    "video": ({"flow": {"drift": {"px": "far"}}}, r"video.flow.drift.px: found far, .* a number$"),
}


@pytest.mark.parametrize("key", WRONG)
def test_what_is_wrong_is_said_with_file_line_and_key(key: str) -> None:
    value, said = WRONG[key]
    with pytest.raises(RecipeError, match=said):
        load_recipe(written(**{key: value}))
    assert not Draft202012Validator(json_schema()).is_valid({**yaml.safe_load(RECIPE), key: value})


def test_editors_know_it() -> None:
    check = Draft202012Validator(json_schema())
    assert check.is_valid(yaml.safe_load(RECIPE))
    assert check.is_valid({**yaml.safe_load(RECIPE), "encoder": "gain", "video": {"flow": "dis"}})
    assert not Draft202012Validator(json_schema(installed=False)).is_valid(yaml.safe_load(RECIPE))


def test_a_file_that_is_said_to_an_encoder_is_looked_for_and_hashed() -> None:
    said = {"gain": {"notes": "notes.txt"}}
    with pytest.raises(RecipeError, match=r"encoder.gain.notes: no such file: notes.txt"):
        load_recipe(written(encoder=said))
    Path("notes.txt").write_text("one")
    recipe = load_recipe(written(encoder=said))
    assert str(Path("notes.txt").absolute()) in recipe.encoder


def test_other_values_are_another_recipe_another_encoder_and_another_file() -> None:
    one = layered_nst.apply(written(), device="cpu", cache=False)
    two = layered_nst.apply(written(encoder={"gain": {"factor": 0.25}}), device="cpu", cache=False)
    assert recipe_hash(one.recipe, {}) != recipe_hash(two.recipe, {})
    assert not torch.equal(one.rgb, two.rgb)
    assert one.manifest["models"]["encoder"]["name"] == '{"studio/gain": {"factor": 2}}'
    path = one.save("out.ppm")
    assert path.read_bytes().startswith(b"P6\n#by night\n48 36\n255\n")
    with Image.open(path) as read:
        assert read.size == (48, 36)
    prints = {f: load_encoder(f"{{studio/gain: {{factor: {f}}}}}").fingerprint for f in (1, 2)}
    assert prints[1] == load_encoder("studio/gain").fingerprint != prints[2]


def test_the_command_line_says_it_as_a_recipe_does() -> None:
    words = ("apply", written(output={}), "--set", "encoder={gain: {factor: 3}}", "-o", "o.ppm")
    ran = run(*words, "--json")
    assert ran.code == 0, ran.err
    assert Path("o.ppm").read_bytes().startswith(b"P6\n#plain\n")
    assert run("features", "photo.png", "--encoder", "{gain: {factor: 3}}", "-o", "f").code == 0
    ran = run("features", "photo.png", "--encoder", "{gain: {factor: -3}}", "-o", "g")
    assert ran.error == "encoder studio/gain.factor: found -3, allowed: a number above 0"


def test_a_flow_and_an_executor_are_told_what_was_said() -> None:
    one = torch.rand(3, 8, 9)
    assert flow_of("{drift: {px: 2}}")(one, one).mean() == 2
    assert flow_of("drift")(one, one).mean() == 0
    with _opened("{queued: {queue: night}}", Workers()) as opened:
        assert opened.queue == "night"
    with (
        pytest.raises(PluginError, match=r"queued.queue: found nite, allowed: day, night.*night"),
        _opened("{queued: {queue: nite}}", Workers()),
    ):
        pass
