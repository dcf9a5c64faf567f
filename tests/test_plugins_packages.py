"""The plug-ins beside these tests: each a package of its own, built, tested and used as others'."""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from packages import PACKAGES, installed
from PIL import Image
from workbench import lay_out, run

import layered_nst
from layered_nst import plugins
from layered_nst.errors import LibraryError, ModelError, RecipeError
from layered_nst.files.hashes import bytes_hash
from layered_nst.outputs.layered.writing import write_layered
from layered_nst.picture import Picture
from layered_nst.testing import Contract, NotHere, contracts
from layered_nst.testing.checking import check_plugin
from layered_nst.testing.losses import _found, _objective, _picture
from layered_nst.testing.outputs import _layered
from layered_nst.testing.samples import photo, random

NAMES = {
    "frozen_api_1": "frozen-looks",
    "layered_tiff": "tiff",
    "rembg": "rembg",
    "sliced": "sliced",
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a photo and styles, and all packages installed."""
    monkeypatch.setattr(plugins, "_registry", None)
    for name in NAMES:
        installed(PACKAGES / name, tmp_path / "site" / name, monkeypatch)
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return tmp_path


def test_every_package_is_here_with_a_readme_that_names_it(work: Path) -> None:
    folders = sorted(path.name for path in PACKAGES.iterdir() if path.is_dir())
    assert folders == sorted(NAMES)
    assert {plugin.name for plugin in plugins.installed().plugins} >= {*NAMES.values()}
    assert plugins.installed().broken == ()
    for name in {*NAMES} - {"frozen_api_1"}:
        assert "pip install" in (PACKAGES / name / "README.md").read_text() or name == "sliced"


@pytest.mark.parametrize("name", NAMES.values())
def test_it_keeps_its_contracts(work: Path, name: str) -> None:
    for contract in contracts(name):
        kept = said_of(contract)
        assert kept[0] != "broken", f"{contract}: {kept[1]}"


def said_of(contract: Contract) -> tuple[str, str]:
    try:
        return "kept", contract() or ""
    except NotHere as reason:
        return "not here", str(reason)


@pytest.mark.slow
@pytest.mark.parametrize("folder", NAMES)
def test_its_wheel_is_whole_and_keeps_its_contracts(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_registry", None)
    monkeypatch.chdir(tmp_path)
    found = [*check_plugin(str(PACKAGES / folder))]
    assert len(found) > 5
    assert not [verdict for verdict in found if verdict.state == "broken"]


# What was written for api 1


def test_the_plugin_that_was_frozen_is_as_it_was() -> None:
    """Whoever has to change it breaks the plug-ins of others, which need another api then."""
    package = PACKAGES / "frozen_api_1" / "frozen_looks"
    files = [*sorted(package.glob("*.py")), package / "plugin.yaml"]
    assert bytes_hash(path.read_bytes() for path in files) == FROZEN


FROZEN = "c0cafd66161b813aef961fe45121f413a89a294b891290bc95336c131d2d8864"


def test_a_plugin_for_api_1_still_does_all_that_it_did(work: Path) -> None:
    stated = yaml.safe_load(Path("look.yaml").read_text())
    stated["regions"][0]["losses"] = {"dark": 0.5}
    stated["regions"][1]["select"] = {"frozen-looks/bright": {"above": 0.4}}
    stated["regions"].append({"name": "ridge", "select": {"class": "sky"}, "protect": True})
    stated |= {
        "segmentation": "halves",
        "encoder": "frozen-looks/small",
        "strategy": {"lighter": {"light": 1.5}},
        "optimize": {"steps": 2, "losses": {"calm": None, "dark": {"weight": 3}}},
    }
    Path("all.yaml").write_text(yaml.safe_dump(stated))
    ran = run("apply", "all.yaml", "-o", "out.ppm", "--json")
    assert ran.code == 0, ran.err
    assert Path("out.ppm").read_bytes().startswith(b"P6\n48 36\n255\n")
    assert Image.open("out.ppm").size == (48, 36)
    assert ran.json["losses"]["dark"] > 0
    assert ran.json["losses"]["calm.conv3_1"] > 0
    assert ran.json["coverage"]["ridge"] == pytest.approx(0.5, abs=0.1)
    known = json.loads(Path("out.json").read_text())["plugins"]
    assert known["frozen-looks"]["version"] == "1.0.0"
    assert run("apply", "out.json", "-o", "again.ppm").code == 0
    assert Path("again.ppm").read_bytes() == Path("out.ppm").read_bytes()
    assert run("frozen", "--name", "api one").out == "api one is frozen\n"


# Sliced Wasserstein


def test_histograms_hold_all_weight_and_their_gradient_is_a_slope(work: Path) -> None:
    from layered_nst_sliced.loss import Axes

    along = torch.eye(2, dtype=torch.float64)
    axes = Axes(along, torch.tensor([-1.0, 0.0]).double(), torch.tensor([0.5, 1.0]).double(), 8)
    rows = random(30, 2, seed=3).double() * 2
    weights = random(3, 30, seed=4).double()
    found = axes.histogram(rows, weights)
    assert found.shape == (3, 2, 8)
    assert torch.allclose(found.sum(2), weights.sum(1)[:, None].expand(3, 2))
    # The mean of a histogram is the mean of what is in it.
    at = axes.low[:, None] + axes.step[:, None] * torch.arange(8).double()
    mean = (found * at).sum(2) / weights.sum(1)[:, None]
    assert torch.allclose(mean, (weights @ rows) / weights.sum(1)[:, None])


def test_the_distance_is_scipys_of_the_same_features(work: Path) -> None:
    """One region, one direction: |F − F*| over bins against scipy's distance of all values."""
    from layered_nst_sliced.loss import Axes, _shares
    from scipy.stats import wasserstein_distance

    one, other = random(400, 1, seed=1).double(), random(300, 1, seed=2).double() ** 2
    step = torch.tensor([1 / 255], dtype=torch.float64)
    axes = Axes(torch.ones(1, 1).double(), torch.zeros(1).double(), step, 256)
    here, there = (_shares(axes.histogram(r, torch.ones(1, len(r)).double())) for r in (one, other))
    found = (here - there).cumsum(2).abs().sum().item() / 255
    wanted = wasserstein_distance(one[:, 0].numpy(), other[:, 0].numpy())
    assert found == pytest.approx(wanted, rel=0.01)


def test_it_is_least_where_the_features_are_the_styles(work: Path) -> None:
    part = plugins.part("loss", "sliced/wasserstein")
    objective = _objective(part)
    style = objective.losses[0].inner.sight.regions[0].styles[0].rgb
    like = torch.nn.functional.interpolate(style[None], (72, 56), mode="bilinear")
    near, far = (
        sum(v for k, v in _found(objective, x)[0].items() if k.startswith("wasserstein.r0."))
        for x in (like, _picture())
    )
    assert near < 0.4 * far


def test_it_draws_a_picture_nearer_and_a_factor_of_0_leaves_a_region_alone(work: Path) -> None:
    stated = yaml.safe_load(Path("look.yaml").read_text())
    stated["optimize"] = {
        "steps": 12,
        "levels": [48],
        "style": 0,
        "losses": {"wasserstein": {"weight": 30}},
    }
    result = layered_nst.apply(stated, device="cpu")
    first, last = (
        {k: v for k, v in terms.items() if k.startswith("wasserstein.")}
        for terms in (result.losses[0], result.losses[-1])
    )
    assert set(first) == {
        f"wasserstein.{region}.conv{n}_1" for region in ("ground", "sky") for n in range(1, 6)
    }
    assert sum(last.values()) < 0.8 * sum(first.values())
    stated["regions"][1]["losses"] = {"wasserstein": 0}
    left = layered_nst.apply(stated, device="cpu").losses[-1]
    assert sum(v for k, v in left.items() if k.startswith("wasserstein.sky")) == 0
    assert sum(v for k, v in left.items() if k.startswith("wasserstein.ground")) > 0


def test_a_look_without_pictures_is_refused_in_a_sentence(work: Path) -> None:
    words = ("styles", "build", "dusk", "dots.png", "-o", "team.safetensors", "--no-pictures")
    assert run(*words, "--scale", "24,34,48", "--encoder", "light").code == 0
    stated = yaml.safe_load(Path("look.yaml").read_text())
    stated |= {"encoder": "light", "optimize": {"steps": 1, "losses": {"wasserstein": {}}}}
    stated["regions"][0]["style"] = {"library": "team.safetensors/dusk"}
    with pytest.raises(LibraryError, match=r"dusk.*keeps thumbnails alone, and sliced/wasserstein"):
        layered_nst.apply(stated, device="cpu")


# Layered TIFF


def layers_of(path: Path) -> list[Any]:
    from psdtags import TiffImageSourceData

    return list(TiffImageSourceData.fromtiff(path).layers)


@pytest.mark.parametrize("transparent", [False, True])
def test_layers_come_back_to_the_pixel(work: Path, transparent: bool) -> None:
    from layered_nst.outputs.layered.sheets import flat_pixels, mask_sheets

    alpha = random(40, 60, seed=8) if transparent else None
    picture = _layered(Picture(photo(40, 60), alpha))
    write_layered(Path("out.tif"), picture)
    for layer, sheet in zip(layers_of(Path("out.tif")), mask_sheets(picture), strict=True):
        planes = {int(channel.channelid): channel.data for channel in layer.channels}
        assert layer.name == sheet.name
        assert tuple(layer.rectangle)[:2] == (sheet.top, sheet.left)
        assert np.array_equal(planes[-1], sheet.alpha)
        assert np.array_equal(planes[-2], sheet.mask)
        assert np.array_equal(np.dstack([planes[k] for k in range(3)]), sheet.color)
    seen = np.asarray(Image.open("out.tif"))
    assert np.array_equal(seen, flat_pixels(picture))


def test_psd_tools_reads_the_same_layers(work: Path) -> None:
    """A reader that knows nothing of who wrote them."""
    import tifffile
    from psd_tools.psd.layer_and_mask import LayerInfo

    write_layered(Path("out.tif"), _layered(Picture(photo(40, 60), None)))
    with tifffile.TiffFile("out.tif") as file:
        data = file.pages[0].tags[37724].value
    head = b"Adobe Photoshop Document Data Block\0" + b"8BIMLayr"
    assert data.startswith(head)
    found = LayerInfo.read(io.BytesIO(data[len(head) :]))
    assert [record.name for record in found.layer_records] == ["ground", "sky"]
    (planes, *_) = found.channel_image_data
    assert len(planes) == 5


def test_a_run_leaves_a_layered_tiff_and_a_picture_stays_one(work: Path) -> None:
    words = ("apply", "look.yaml", "-o", "out.tif", "--layers", "layers.tif")
    assert run(*words).code == 0
    names = [layer.name for layer in layers_of(Path("layers.tif"))]
    assert names == ["photo", "ground", "sky", "contour"]
    hidden = [bool(layer.flags & 2) for layer in layers_of(Path("layers.tif"))]
    assert hidden == [True, False, False, True]
    import tifffile

    with tifffile.TiffFile("out.tif") as file:
        assert 37724 not in file.pages[0].tags


# rembg


@pytest.fixture
def stub(work: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of rembg's form with one network, that says the upper half is the subject."""
    from layered_nst_rembg import subject

    subject._session.cache_clear()

    class Session:
        here = True

        @classmethod
        def name(cls) -> str:
            return "u2net"

        @classmethod
        def resolve_existing(cls, name: str) -> str | None:
            return name if cls.here else None

        @classmethod
        def model_dir(cls) -> str:
            return "/home/me/.rembg/models/u2net"

        def predict(self, image: Image.Image) -> list[Image.Image]:
            mask = Image.new("L", image.size, 0)
            mask.paste(200, (0, 0, image.width, image.height // 2))
            return [mask]

    found = types.ModuleType("rembg.session_factory")
    found.new_session = lambda name: Session()  # type: ignore[attr-defined]
    kinds = types.ModuleType("rembg.sessions")
    kinds.sessions_class = [Session]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", types.ModuleType("rembg"))
    monkeypatch.setitem(sys.modules, "rembg.session_factory", found)
    monkeypatch.setitem(sys.modules, "rembg.sessions", kinds)
    yield kinds
    subject._session.cache_clear()


def with_subject(**said: Any) -> dict[str, Any]:
    stated = yaml.safe_load(Path("look.yaml").read_text())
    stated["regions"][1] |= {"select": {"rembg/subject": said}, "feather": 0}
    return stated


def test_a_network_of_rembg_selects(stub: types.ModuleType) -> None:
    soft = layered_nst.check(with_subject(), device="cpu").scene.mask("sky")
    assert soft[:15].mean().item() == pytest.approx(200 / 255, abs=0.01)
    crisp = layered_nst.check(with_subject(border=0.5), device="cpu").scene.mask("sky")
    assert crisp[:15].min().item() == 1
    assert crisp[21:].max().item() == 0


def test_what_rembg_lacks_is_said_in_a_sentence(
    stub: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="this version of rembg knows no network silueta"):
        layered_nst.check(with_subject(network="silueta"), device="cpu")
    monkeypatch.setattr(stub.sessions_class[0], "here", False)
    with pytest.raises(ModelError) as caught:
        layered_nst.check(with_subject(), device="cpu")
    assert str(caught.value) == (
        "the network u2net is not on this machine; run `rembg d u2net` where there is a "
        "connection, or copy its file to /home/me/.rembg/models/u2net"
    )
    with pytest.raises(RecipeError, match=r"network: found u2nett, allowed: .*mean u2net"):
        layered_nst.check(with_subject(network="u2nett"), device="cpu")
    monkeypatch.setitem(sys.modules, "rembg.session_factory", None)
    with pytest.raises(ModelError, match=r"rembg cannot be imported .*pip install 'rembg\[cpu\]'"):
        layered_nst.check(with_subject(), device="cpu")


@pytest.mark.slow
def test_rembg_itself_runs_a_tiny_network_in_place_of_u2net(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own code to find, load, feed and read a network, with one that answers to light."""
    pytest.importorskip("rembg")
    onnx = pytest.importorskip("onnx")
    from layered_nst_rembg import subject

    subject._session.cache_clear()
    monkeypatch.setenv("REMBG_HOME", str(work / "rembg"))
    monkeypatch.setenv("U2NET_HOME", str(work / "rembg"))
    with pytest.raises(ModelError, match="u2net is not on this machine; run `rembg d u2net`"):
        layered_nst.check(with_subject(), device="cpu")
    from onnx import TensorProto, helper

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["gray"], keepdims=1),
        helper.make_node("Sigmoid", ["gray"], ["y"]),
    ]
    shapes = {"x": [1, 3, 320, 320], "y": [1, 1, 320, 320]}
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items())
    graph = helper.make_graph(nodes, "tiny", [x], [y], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    home = work / "rembg" / "models" / "u2net"
    home.mkdir(parents=True)
    onnx.save(model, home / "u2net.onnx")
    mask = layered_nst.check(with_subject(), device="cpu").scene.mask("sky")
    assert mask[:14].mean() > mask[22:].mean() + 0.4, "the photo is light above"
    for contract in contracts("rembg"):
        assert said_of(contract)[0] == "kept", str(contract)
    (home / "u2net.onnx").write_bytes(b"no network")
    subject._session.cache_clear()
    with pytest.raises(ModelError, match="the network u2net cannot be read: "):
        layered_nst.check(with_subject(), device="cpu")
    subject._session.cache_clear()
