from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from layered_nst.errors import ModelError, OutputError
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.segmenters import load_segmenter
from layered_nst.networks.segmenters.checkpoints import (
    Description,
    read_description,
    save_segmenter,
)
from layered_nst.networks.segmenters.network import LITE0, build_network
from layered_nst.training.segmenters.averaging import average_segmenters

CLASSES = ("stripes", "noise")


def write(path: Path, *, seed: int, width: int = 16, classes: tuple[str, ...] = CLASSES) -> Path:
    """A segmenter that nobody trained, with statistics as a training leaves them."""
    torch.manual_seed(seed)
    network = build_network(
        architecture="DeepLabV3Plus", encoder=LITE0, classes=len(classes), decoder_channels=width
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    save_segmenter(
        network,
        path,
        Description("DeepLabV3Plus", LITE0, width, classes, 0.5, 0.25, {"epoch": seed}),
    )
    return path


def test_every_weight_is_the_mean_of_the_files_weights(tmp_path: Path):
    first, second = (write(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    output = tmp_path / "mean.safetensors"
    average_segmenters([first, second, second], output)
    mean, a, b = load_file(output), load_file(first), load_file(second)
    assert mean.keys() == a.keys()
    for name, value in mean.items():
        expected = ((a[name].double() + 2 * b[name].double()) / 3).half()
        torch.testing.assert_close(value, expected, rtol=2e-3, atol=1e-6)
    described = read_description(output)
    assert described is not None
    assert described.classes == CLASSES
    told = [(told["file"], told["epoch"]) for told in described.notes["mean_of"]]
    assert told == [("1.safetensors", 1), ("2.safetensors", 2), ("2.safetensors", 2)]


def test_the_mean_of_a_segmenter_with_itself_sees_as_it_does(tmp_path: Path):
    output = tmp_path / "same.safetensors"
    average_segmenters([weights_path("scenes")] * 2, output)
    photo = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load_segmenter(str(output))(photo), load_segmenter("scenes")(photo))


def test_segmenters_of_different_make_have_no_mean(tmp_path: Path):
    first = write(tmp_path / "first.safetensors", seed=1)
    wider = write(tmp_path / "wider.safetensors", seed=1, width=24)
    other = write(tmp_path / "other.safetensors", seed=1, classes=("dots", "noise"))
    output = tmp_path / "mean.safetensors"
    with pytest.raises(ModelError, match=r"wider.*: decoder_channels 24, but .*first.* has 16"):
        average_segmenters([first, wider], output)
    with pytest.raises(ModelError, match=r"other.*: classes dots, noise, but .* stripes, noise"):
        average_segmenters([first, other], output)
    with pytest.raises(ModelError, match="1 segmenter; a mean needs at least two"):
        average_segmenters([first], output)
    with pytest.raises(ModelError, match=r"hed-vgg16\.safetensors: not written by"):
        average_segmenters([first, weights_path("hed-vgg16")], output)
    with pytest.raises(OutputError, match=r"weights are written as \.safetensors"):
        average_segmenters([first, first], tmp_path / "mean.pth")
    assert not output.exists()


def test_a_damaged_file_is_named(tmp_path: Path):
    first = write(tmp_path / "first.safetensors", seed=1)
    broken = tmp_path / "broken.safetensors"
    with safe_open(first, framework="pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k not in ("seal", "digest")}
    tensors = load_file(first)
    dropped = next(name for name in tensors if name.startswith("decoder"))
    save_file({k: v for k, v in tensors.items() if k != dropped}, broken, metadata=metadata)
    with pytest.raises(ModelError, match=r"broken\.safetensors: does not fit this architecture"):
        average_segmenters([first, broken], tmp_path / "mean.safetensors")
