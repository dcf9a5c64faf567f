"""What this package brings keeps the contracts of plug-ins; parts that do not are found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packages import Site, manifest_of

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.testing import Contract, NotHere, contracts
from layered_nst.testing.samples import sample

OWN = contracts("layered-nst")


def marked(contract: Contract) -> Any:
    """Clusters take a while to begin."""
    slow = [pytest.mark.slow] if contract.part.name == "ray" else []
    return pytest.param(contract, marks=slow, id=str(contract))


@pytest.mark.parametrize("contract", [marked(contract) for contract in OWN])
def test_ours_keep_what_plugins_must(contract: Contract) -> None:
    try:
        contract()
    except NotHere as reason:
        pytest.skip(str(reason))


BAD = """
import random, torch

def out_of_range(said, view):
    return view.picture.rgb[0] * 2

def moody(said, view):
    return torch.full(view.picture.size, random.random())

def scribbler(said, view):
    view.picture.rgb[0] = 0
    return view.picture.rgb[0]

def litterer(said, view):
    torch.manual_seed(3)
    torch.rand(1)
    return view.picture.rgb[0].clamp(0, 1)

sent_nowhere = lambda said, view: view.picture.rgb[0]

class Loss:
    by_channel = False

    def __init__(self, terms):
        self.terms = terms

def wrong_gradient(asked):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square().mean()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return 3 * gradient * x / x.numel()

    return Loss(lambda picture: {"a": Wrong.apply(picture)})

def endless(asked):
    return Loss(lambda picture: {"a": picture.mean() / 0})

def no_pull(asked):
    return Loss(lambda picture: {"a": 0 * picture.mean()})

def falling_apart(asked):
    # Says that channels may be looked at one by one, and they may not.
    loss = Loss(lambda picture: {"a": picture.mean().square()})
    loss.by_channel = True
    return loss

class Edges:
    layers, linear = ("conv3_1",), True

    def prepare(self, sight):
        self.size = sight.size

    def on(self, tile):
        # Counts all that a tile reads, not what it owns.
        return lambda layer, features: (features.square().mean(1).sum(),)

    def terms(self, sums):
        return {"a": sums["conv3_1"][0] / (self.size[0] * self.size[1])}

def twice_counted(asked):
    return Edges()

def half_sure(device):
    class Half:
        name, classes = "half", ("sky", "ground")

        def __call__(self, rgb):
            return rgb[:2] * 0 + 0.25

    return Half()

from layered_nst.picture.writing import PictureFormat
import itertools
_count = itertools.count()

def numbered(picture):
    return b"%d" % next(_count)

counting = PictureFormat(numbered)
"""


@pytest.mark.parametrize(
    ("kind", "name", "contract", "said"),
    [
        ("selector", "out-of-range", "its masks are in", "its mask has values"),
        ("selector", "moody", "the same photo gives", "two masks differ"),
        ("selector", "moody", "it leaves the program", "Python's random numbers"),
        ("selector", "scribbler", "the photo stays", "it writes into the photo"),
        ("selector", "litterer", "it leaves the program", "torch's random numbers"),
        ("selector", "sent-nowhere", "it can be sent", "it cannot be pickled"),
        ("loss", "wrong-gradient", "its gradient is that", "misses finite differences by"),
        ("loss", "endless", "its terms and", "its term endless.a is"),
        ("loss", "no-pull", "it pulls", "it pulls nowhere"),
        ("loss", "falling-apart", "its tiles give", "in tiles"),
        ("loss", "twice-counted", "its tiles give", "in tiles"),
        ("segmenter", "half-sure", "its probabilities sum", "do not sum to 1"),
        ("output", "counting", "the same picture gives", "two files differ"),
    ],
)
def test_what_breaks_a_contract_is_found_out(
    kind: str, name: str, contract: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_registry", None)
    site = Site(tmp_path / "site", monkeypatch)
    part = {"kind": kind, "name": name}
    if kind == "output":
        part |= {"suffixes": [".xyz"], "holds": "picture"}
    site.install("bad", manifest_of("bad", part), BAD)
    (found,) = [one for one in contracts("bad") if one.name.startswith(contract)]
    state, why = found.tell()
    assert state == "broken", why
    assert said in why


def test_a_plugin_that_is_not_there_is_said_so() -> None:
    with pytest.raises(PluginError, match=r"no plug-in is called 'layered-nts' \(did you mean"):
        contracts("layered-nts")


def test_what_may_be_said_to_a_part_follows_from_its_schema() -> None:
    number = {"type": "number"}
    for schema, wanted in (
        ({"type": "object", "properties": {"a": number}, "required": ["a"]}, {"a": 1.0}),
        ({"type": "object", "properties": {"a": number}}, {}),
        ({**number, "minimum": 2, "maximum": 4}, 3.0),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"enum": ["x", "y"]}, "x"),
        ({"examples": [{"b": 2}], "type": "object"}, {"b": 2}),
        ({"oneOf": [{"const": 5}, number]}, 5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
    ):
        assert sample(schema) == wanted
