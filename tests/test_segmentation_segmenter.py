from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from layered_nst.errors import ModelError, OutputError
from layered_nst.networks.segmenters import NetworkSegmenter, Segmentation, load_segmenter, segment
from layered_nst.networks.segmenters.checkpoints import (
    Description,
    read_description,
    read_tensors,
    save_segmenter,
)
from layered_nst.networks.segmenters.labels import SCENES, VOC
from layered_nst.networks.segmenters.network import (
    IMAGENET_MEAN,
    build_network,
    build_torchvision_network,
)
from layered_nst.networks.segmenters.segmenter import LONGEST, working_size
from layered_nst.networks.weights import CATALOGUE

PHOTOS = Path(__file__).parent.parent / "assets" / "photos"
NAMES = ("bag", "shoe", "rest")


@dataclass(frozen=True)
class Spec:
    """What a recipe says of a team's own network."""

    weights: Path
    architecture: str = "DeepLabV3Plus"
    encoder: str = "resnet18"
    classes: tuple[str, ...] = NAMES
    mean: float | tuple[float, float, float] | None = None
    std: float | tuple[float, float, float] | None = None
    decoder_channels: int = 16


@pytest.fixture(scope="module")
def scenes() -> NetworkSegmenter:
    return load_segmenter("scenes")


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    torch.manual_seed(0)
    return build_network(
        architecture="DeepLabV3Plus", encoder="resnet18", classes=3, decoder_channels=16
    ).eval()


def photo(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (700, 9), (15, 17), (481, 321)])
def test_scenes_labels_photos_of_any_size(scenes: NetworkSegmenter, size: tuple[int, int]):
    seen = segment(scenes, photo(*size), scales=(0.5,))
    assert seen.probabilities.shape == (12, *size)
    assert seen.probabilities.dtype == torch.float32
    torch.testing.assert_close(seen.probabilities.sum(0), torch.ones(size))
    assert seen.probabilities.min() >= 0
    assert (seen.classes, seen.segmenter) == (SCENES, "scenes")
    assert sum(seen.shares().values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("temple", {"sky": 0.45, "building": 0.27, "plant": 0.25}),
        ("mountain", {"mountain": 0.38, "grass": 0.29, "sky": 0.26}),
    ],
)
def test_scenes_finds_the_large_parts_of_real_photos(
    scenes: NetworkSegmenter, name: str, expected: dict[str, float]
):
    with Image.open(PHOTOS / f"{name}.jpg") as picture:
        picture.thumbnail((400, 400))
        rgb = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1) / 255
    seen = segment(scenes, rgb)
    for label, share in expected.items():
        assert seen.shares()[label] == pytest.approx(share, abs=0.1)
    assert (seen.winner[:20] == SCENES.index("sky")).float().mean() > 0.9


def test_masks_may_take_part_in_losses_with_gradients(scenes: NetworkSegmenter):
    rgb = photo(40, 50).requires_grad_()
    probabilities = scenes(rgb.detach())
    (rgb * probabilities[:1]).square().sum().backward()
    assert rgb.grad is not None


def test_a_mirrored_photo_gives_mirrored_probabilities(scenes: NetworkSegmenter):
    rgb = photo(64, 96)
    there = segment(scenes, rgb, mirror=True, refine=False).probabilities
    back = segment(scenes, rgb.flip(-1), mirror=True, refine=False).probabilities.flip(-1)
    torch.testing.assert_close(there, back, atol=1e-4, rtol=0)


def test_two_calls_give_the_same_bytes(scenes: NetworkSegmenter):
    rgb = photo(50, 70)
    assert torch.equal(scenes(rgb), scenes(rgb))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((321, 481), (321, 481)),
        ((1, 1), (4, 4)),
        ((1000, 1000), (393, 393)),
        ((40, 40), (160, 160)),
    ],
)
def test_the_working_size_keeps_area_and_shape(size: tuple[int, int], expected: tuple[int, int]):
    assert working_size(size, 481 * 321) == expected


def test_the_working_size_of_a_ribbon_is_bounded():
    assert max(working_size((1, 1_000_000), 481 * 321)) == LONGEST


def test_the_winner_and_the_shares_follow_the_probabilities():
    probabilities = torch.tensor([[[0.9, 0.2, 0.1, 0.6]], [[0.1, 0.8, 0.9, 0.4]]])
    seen = Segmentation(probabilities, ("a", "b"), "test")
    assert seen.winner.tolist() == [[0, 1, 1, 0]]
    assert seen.shares() == {"a": 0.5, "b": 0.5}


def test_any_function_with_a_name_and_classes_is_a_segmenter():
    class Halves:
        name, classes = "halves", ("left", "right")

        def __call__(self, rgb: Tensor) -> Tensor:
            right = torch.arange(rgb.shape[-1]) >= rgb.shape[-1] // 2
            return torch.stack([~right, right])[:, None].expand(2, *rgb.shape[1:]).float()

    assert segment(Halves(), photo(4, 6)).shares() == {"left": 0.5, "right": 0.5}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_a_teams_checkpoint_is_loaded_whatever_its_prefix(
    tmp_path: Path, tiny: nn.Module, suffix: str, prefix: str
):
    path = tmp_path / f"team{suffix}"
    tensors = {prefix + k: v for k, v in tiny.state_dict().items()}
    if suffix == ".pth":
        torch.save({"state_dict": {**tensors, "loss.weight": torch.ones(3)}, "epoch": 7}, path)
    else:
        save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    loaded = load_segmenter(Spec(path))
    assert (loaded.name, loaded.classes, loaded.mean) == ("team", NAMES, IMAGENET_MEAN)
    rgb = photo(64, 64)
    plain = replace(loaded, scales=(1.0,), connect=False, refine=False, pixels=64 * 64)
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        shown = (rgb - torch.tensor(IMAGENET_MEAN)[:, None, None]) / std
        expected = tiny(shown[None])[0].softmax(0)
    torch.testing.assert_close(plain(rgb), expected, atol=1e-5, rtol=1e-4)


def test_a_wrong_number_of_classes_is_refused_with_both_numbers(tmp_path: Path, tiny: nn.Module):
    torch.save(tiny.state_dict(), tmp_path / "team.pth")
    with pytest.raises(ModelError, match=r"team.pth: tells 3 classes apart, but 2 class names"):
        load_segmenter(Spec(tmp_path / "team.pth", classes=("a", "b")))


@pytest.mark.parametrize(
    "change", [{"encoder": "resnet34"}, {"architecture": "DeepLabV3"}, {"decoder_channels": 32}]
)
def test_another_network_than_the_file_holds_is_refused(
    tmp_path: Path, tiny: nn.Module, change: dict[str, object]
):
    torch.save(tiny.state_dict(), tmp_path / "team.pth")
    with pytest.raises(ModelError, match=r"team.pth: does not fit this architecture and encoder"):
        load_segmenter(replace(Spec(tmp_path / "team.pth"), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"encoder": "nonsense"}, {"architecture": "Unet"}, {"encoder": "vgg16"}]
)
def test_a_network_that_cannot_be_built_is_named(tmp_path: Path, change: dict[str, object]):
    (tmp_path / "team.pth").touch()
    with pytest.raises(ModelError, match=next(iter(change.values()))):  # type: ignore[call-overload]
        load_segmenter(replace(Spec(tmp_path / "team.pth"), **change))  # type: ignore[arg-type]


def test_a_checkpoint_with_code_in_it_is_not_opened(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="holds more than tensors"):
        load_segmenter(Spec(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["half.pth", "half.safetensors", "text.pth", "text.safetensors"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, tiny: nn.Module, name: str):
    path = tmp_path / name
    if name == "half.pth":
        torch.save(tiny.state_dict(), path)
    elif name == "half.safetensors":
        save_file({k: v.contiguous() for k, v in tiny.state_dict().items()}, path)
    else:
        path.write_text("not weights at all")
    path.write_bytes(path.read_bytes()[: max(10, path.stat().st_size // 2)])
    with pytest.raises(ModelError, match=name):
        load_segmenter(Spec(path))


def test_a_missing_checkpoint_and_an_unknown_name_are_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"gone\.pth: no such weights file"):
        load_segmenter(Spec(tmp_path / "gone.pth"))
    with pytest.raises(ModelError, match=r"no segmenter is called 'scene' \(did you mean scenes"):
        load_segmenter("scene")


def test_an_encoder_is_no_segmenter():
    with pytest.raises(ModelError, match="no segmenter is called 'vgg19'"):
        load_segmenter("vgg19")


def test_a_model_of_torchvision_is_loaded_from_the_weights_folder(tmp_path: Path):
    name = "deeplabv3_mobilenet_v3_large"
    stored = build_torchvision_network(name).state_dict()
    extra = {"aux_classifier.4.weight": torch.zeros(21, 10, 1, 1)}
    torch.save({**stored, **extra}, tmp_path / CATALOGUE[name].file)
    loaded = load_segmenter(name, weights_dir=tmp_path)
    seen = segment(replace(loaded, pixels=2000), photo(30, 44))
    assert seen.classes == VOC
    assert seen.probabilities.shape == (21, 30, 44)


def test_a_model_of_torchvision_that_is_not_there_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"deeplabv3_resnet101_coco-586e9e4e.pth.*bundled.*scenes"):
        load_segmenter("deeplabv3_resnet101", weights_dir=tmp_path)


def describe(network: nn.Module, path: Path) -> None:
    described = Description("DeepLabV3Plus", "resnet18", 16, NAMES, 0.5, 0.25, {"epoch": 3})
    save_segmenter(network, path, described)


def test_our_own_files_describe_themselves(tmp_path: Path, tiny: nn.Module):
    path = tmp_path / "own.safetensors"
    describe(tiny, path)
    described = read_description(path)
    assert described is not None
    assert described.notes == {"epoch": 3}
    loaded = load_segmenter(str(path))
    assert (loaded.name, loaded.classes, loaded.mean, loaded.std) == ("own", NAMES, 0.5, 0.25)
    assert load_segmenter(Spec(path)).mean == 0.5
    assert load_segmenter(Spec(path, mean=0.1)).mean == 0.1
    # Files hold float16.
    picture = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, wanted = loaded.network.eval()(picture), tiny.eval()(picture)
    torch.testing.assert_close(found, wanted, atol=5e-3, rtol=5e-3)


def test_statistics_of_normalizations_are_stored_in_their_weights(
    tmp_path: Path, tiny: nn.Module
) -> None:
    network = copy.deepcopy(tiny)
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.running_var):
                value.uniform_(0.5, 2, generator=generator)
            for value in (module.bias.data, module.running_mean):
                value.uniform_(-1, 1, generator=generator)
    path = tmp_path / "own.safetensors"
    describe(network, path)
    assert not [name for name in read_tensors(path) if "running" in name]
    picture = torch.rand(1, 3, 64, 48, generator=generator)
    with torch.no_grad():
        found = load_segmenter(str(path)).network.eval()(picture)
        wanted = network.eval()(picture)
        flat = tiny.eval()(picture)
    assert (found - wanted).abs().max() < 0.02 * (flat - wanted).abs().max()


def test_files_of_version_1_with_statistics_of_their_own_still_load(
    tmp_path: Path, tiny: nn.Module
) -> None:
    path = tmp_path / "old.safetensors"
    describe(tiny, path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | {"format": "layered-nst segmenter 1"}
    del metadata["seal"], metadata["digest"]
    state = {k: v for k, v in tiny.state_dict().items() if "num_batches" not in k}
    save_file(state, path, metadata=metadata)
    for name, value in load_segmenter(str(path)).network.state_dict().items():
        assert torch.equal(value, tiny.state_dict()[name])


def test_no_flipped_byte_of_a_file_of_ours_is_believed(tmp_path: Path, tiny: nn.Module):
    path = tmp_path / "ours.safetensors"
    describe(tiny, path)
    said, whole = read_description(path), path.read_bytes()
    start = whole.index(b'"__metadata__"')
    for place in [*range(start, start + 500, 3), len(whole) - 5]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        path.write_bytes(spoiled)
        with suppress(ModelError):
            read_tensors(path)
            assert read_description(path) == said
            assert place != len(whole) - 5, "a weight has changed and nobody noticed"


def test_a_file_without_description_is_asked_for_one(tmp_path: Path, tiny: nn.Module):
    save_file({k: v.contiguous() for k, v in tiny.state_dict().items()}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="describe it in the recipe"):
        load_segmenter(str(tmp_path / "x.safetensors"))


def test_saving_leaves_the_old_file_when_it_breaks_off(
    tmp_path: Path, tiny: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "own.safetensors"
    describe(tiny, path)
    before = path.read_bytes()

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(OutputError, match=r"own\.safetensors: cannot be written: no space"):
        describe(tiny, path)
    assert path.read_bytes() == before
