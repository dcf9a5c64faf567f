"""Encoders: one pass, any layers, any size; torchvision's weights; files of their own; contours."""

from __future__ import annotations

import os
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from narrow import narrow_encoder
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

from layered_nst.errors import ModelError
from layered_nst.files import tensors as sealed
from layered_nst.networks.encoders import Encoder, contour_logits, contour_map, load_encoder
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.networks.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, VGG16, VGG19
from layered_nst.networks.encoders.encoder_files import (
    EncoderFile,
    read_encoder_file,
    write_encoder_file,
)

FILES = {"vgg16": "vgg16-397923af.pth", "vgg19": "vgg19-dcbb9e9d.pth"}
STYLE = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]


def random_picture(*size: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, *size, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def narrow() -> Encoder:
    return narrow_encoder()


@pytest.fixture(scope="module")
def bundled() -> Encoder:
    return load_encoder("hed-vgg16")


@pytest.fixture
def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Kernels of all convolutions made from here on."""
    made: list[Tensor] = []
    convolve = functional.conv2d

    def counted(*args, **kwargs):
        made.append(args[1])
        return convolve(*args, **kwargs)

    monkeypatch.setattr(functional, "conv2d", counted)
    return made


def test_layers_are_named_as_in_the_papers(bundled: Encoder) -> None:
    assert len(bundled.layers) == 13
    assert bundled.layers[:3] == ("conv1_1", "conv1_2", "conv2_1")
    assert bundled.layers[-1] == "conv5_3"
    nineteen = narrow_encoder(blocks=VGG19)
    assert len(nineteen.layers) == 16
    assert nineteen.layers[-1] == "conv5_4"


def test_the_bundled_encoder_has_the_widths_of_a_vgg(bundled: Encoder) -> None:
    assert [bundled.width(layer) for layer in STYLE] == [64, 128, 256, 512, 512]


def test_one_pass_gives_any_set_of_layers(narrow: Encoder) -> None:
    picture = random_picture(21, 34)
    together = narrow(picture, {"conv4_2", "conv1_1", "conv3_1"})
    assert set(together) == {"conv4_2", "conv1_1", "conv3_1"}
    for layer, features in together.items():
        # Where the first block runs in bands, sums are made in another order.
        alone = narrow(picture, [layer])[layer]
        torch.testing.assert_close(features, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        (["conv1_1"], 1),
        (["conv2_1"], 3),
        (["conv3_3"], 7),
        (["conv4_2", "conv1_1"], 9),
        (STYLE, 11),
        (["conv5_3"], 13),
        ([], 0),
    ],
)
def test_a_pass_stops_at_the_deepest_layer_asked_for(
    narrow: Encoder, convolutions: list[Tensor], layers: list[str], count: int
) -> None:
    assert list(narrow(random_picture(16, 16), layers)) == sorted(layers)
    assert len(convolutions) == count


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 200), (17, 33), (31, 16)])
def test_a_picture_may_have_any_size(narrow: Encoder, size: tuple[int, int], pooling: str) -> None:
    found = narrow(random_picture(*size), narrow.layers, pooling=pooling)
    sizes = narrow.layer_sizes(size)
    for number, block in enumerate(narrow.blocks):
        for layer in block:
            assert sizes[layer] == tuple(-(-side // 2**number) for side in size)
            assert found[layer].shape == (1, narrow.width(layer), *sizes[layer])
            assert found[layer].isfinite().all()


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 3)])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pooling_takes_the_largest_or_the_mean_of_each_square(
    narrow: Encoder, pooling: str, size: tuple[int, int]
) -> None:
    found = narrow(random_picture(*size), ["conv1_2", "conv2_1"], pooling=pooling)
    before = found["conv1_2"][0]
    height, width = -(-size[0] // 2), -(-size[1] // 2)
    pooled = torch.empty(len(before), height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            square = before[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten(1)
            pooled[:, i, j] = square.amax(1) if pooling == "max" else square.mean(1)
    weight, bias = narrow.conv2_1_weight, narrow.conv2_1_bias
    framed = functional.pad(pooled[None], (1, 1, 1, 1), "replicate")
    wanted = functional.conv2d(framed, weight, bias).relu()
    assert torch.allclose(found["conv2_1"], wanted, atol=1e-12)


def test_an_unknown_layer_is_named(narrow: Encoder) -> None:
    with pytest.raises(ValueError, match="no layer conv9_1"):
        narrow(random_picture(4, 4), ["conv1_1", "conv9_1"])


def test_a_plain_picture_gets_no_frame_at_the_first_layer(narrow: Encoder) -> None:
    plain = torch.full((1, 3, 9, 9), 0.8, dtype=torch.float64)
    features = narrow(plain, ["conv1_1"])["conv1_1"]
    assert torch.allclose(features, features[:, :, :1, :1].expand_as(features), atol=1e-12)


def test_several_pictures_in_one_pass_do_not_mix(narrow: Encoder) -> None:
    pictures = random_picture(12, 15, batch=3)
    together = narrow(pictures, ["conv4_1"])["conv4_1"]
    for number in range(3):
        alone = narrow(pictures[number : number + 1], ["conv4_1"])["conv4_1"]
        assert torch.allclose(together[number : number + 1], alone, atol=1e-12)


def test_weights_are_frozen_and_gradients_reach_the_picture(narrow: Encoder) -> None:
    picture = random_picture(5, 6).requires_grad_()
    assert not any(tensor.requires_grad for tensor in narrow.state_dict().values())
    layers = ["conv1_1", "conv1_2", "conv2_1", "conv3_1"]
    torch.autograd.gradcheck(lambda p: tuple(narrow(p, layers).values()), picture)


def test_a_pass_leaves_the_picture_as_it_is(narrow: Encoder) -> None:
    picture = random_picture(6, 6)
    before = picture.clone()
    narrow(picture, narrow.layers)
    assert torch.equal(picture, before)


@pytest.fixture(scope="module")
def seeing() -> tuple[Encoder, dict[str, int]]:
    encoder = narrow_encoder(widths=(1, 1, 1, 1, 1), positive=True)
    return encoder, encoder.receptive_fields()


@pytest.mark.parametrize("layer", ["conv1_1", "conv1_2", *STYLE[1:], "conv5_3"])
def test_a_unit_sees_exactly_its_receptive_field(
    seeing: tuple[Encoder, dict[str, int]], layer: str
) -> None:
    encoder, fields = seeing
    side = fields[layer] + 64
    picture = random_picture(side, 24)

    def unit(changed: Tensor) -> Tensor:
        column = encoder(changed, [layer], pooling="average")[layer][0, 0].sum(1)
        return column[len(column) // 2]

    def seen(row: int) -> bool:
        changed = picture.clone()
        changed[:, :, row] += 1
        return bool((unit(changed) - unit(picture)).abs() > 1e-12)

    tried = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(unit(tried), tried)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    first, last = int(rows[0]), int(rows[-1])
    assert last - first + 1 == fields[layer]
    assert 0 < first < last < side - 1
    assert seen(first)
    assert seen(last)
    assert not seen(first - 1)
    assert not seen(last + 1)


def test_receptive_fields_are_those_of_the_papers() -> None:
    sixteen, nineteen = narrow_encoder(), narrow_encoder(blocks=VGG19)
    assert [sixteen.receptive_fields()[layer] for layer in STYLE] == [3, 10, 24, 60, 132]
    assert [nineteen.receptive_fields()[layer] for layer in STYLE] == [3, 10, 24, 68, 156]


def torchvision_features(name: str) -> nn.Sequential:
    """torchvision's own convolutions with few channels, in double."""
    narrow = {64: 4, 128: 5, 256: 6, 512: 7}
    plan = [
        entry if entry == "M" else narrow[entry] for entry in cfgs["E" if "19" in name else "D"]
    ]
    generator = torch.Generator().manual_seed(0)
    features = make_layers(plan).double().requires_grad_(False)
    for tensor in features.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return features.eval()


def save(features: nn.Sequential, path: Path) -> Path:
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.mark.parametrize(("name", "blocks"), [("vgg16", VGG16), ("vgg19", VGG19)])
def test_torchvision_weights_compute_what_torchvision_computes(
    name: str, blocks: tuple[int, ...], tmp_path: Path
) -> None:
    features = torchvision_features(name)
    save(features, tmp_path / FILES[name])
    encoder = load_encoder(name, weights_dir=tmp_path, dtype=torch.float64)
    assert len(encoder.layers) == sum(blocks)
    assert not encoder.has_contours
    for module in features:
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "replicate"
    picture = random_picture(64, 96)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)[:, None, None]
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)[:, None, None]
    found = encoder(picture, encoder.layers)
    hidden, names = (picture - mean) / std, iter(encoder.layers)
    for module in features[:-1]:
        hidden = module(hidden)
        if isinstance(module, nn.ReLU):
            assert torch.allclose(found[next(names)], hidden, rtol=1e-6, atol=1e-9)
    assert next(names, None) is None


@pytest.mark.parametrize("name", ["hed-vgg16", "light"])
def test_one_color_is_seen_alike_up_to_the_edges(name: str) -> None:
    """A frame of zeros around a layer made more of the deep layers' spread than most styles do."""
    encoder = load_encoder(name)
    plain = torch.tensor([0.8, 0.3, 0.1])[:, None, None].expand(3, 40, 50)[None]
    for layer, features in encoder(plain, encoder.layers).items():
        spread = features.flatten(2).std(2).max()
        assert spread < 1e-3 * features.abs().max(), layer


def test_only_the_frame_differs_from_torchvision(tmp_path: Path) -> None:
    features = torchvision_features("vgg16")
    save(features, tmp_path / FILES["vgg16"])
    encoder = load_encoder("vgg16", weights_dir=tmp_path, dtype=torch.float64)
    picture = random_picture(40, 40)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)[:, None, None]
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)[:, None, None]
    theirs = features[:9]((picture - mean) / std)
    ours = encoder(picture, ["conv2_2"])["conv2_2"]
    same = torch.isclose(ours, theirs, rtol=1e-6, atol=1e-9).all(1)[0]
    reach = -(-encoder.receptive_fields()["conv2_2"] // 4)
    assert same[reach:-reach, reach:-reach].all()
    assert not same[0].all()


def test_the_sizes_of_torchvision_files_come_out_in_single_precision(tmp_path: Path) -> None:
    save(torchvision_features("vgg16"), tmp_path / FILES["vgg16"])
    encoder = load_encoder("vgg16", weights_dir=tmp_path)
    assert {tensor.dtype for tensor in encoder.state_dict().values()} == {torch.float32}


def test_an_unknown_encoder_is_refused_with_those_there_are() -> None:
    wanted = (
        r"'ligth': no such encoder \(did you mean light\?\); there are hed-vgg16, light, .*files"
    )
    with pytest.raises(ModelError, match=wanted):
        load_encoder("ligth")


def spell(encoder: Encoder) -> dict[str, Tensor]:
    """The tensors of an encoder by the names that a file gives them, in float16."""
    kinds = ("_weight", "_bias", "_map")
    names = {n: n[: -len(k)] + "." + k[1:] for n in encoder.state_dict() for k in kinds if k in n}
    return {names[name]: value.half() for name, value in encoder.state_dict().items()}


@pytest.fixture
def own(narrow: Encoder, tmp_path: Path) -> Path:
    """A narrow encoder with a map at one layer, in a file of its own."""
    path = tmp_path / "ours.safetensors"
    tensors = spell(narrow) | {"conv2_1.map": 2 * torch.eye(5).half()}
    write_encoder_file(path, EncoderFile(tensors, VGG16, {"teacher": "narrow"}))
    return path


def test_an_encoder_in_a_file_is_called_by_its_stem_and_sees_what_was_stored(own: Path) -> None:
    encoder = load_encoder(own, dtype=torch.float64)
    assert (encoder.name, encoder.source) == ("ours", str(own))
    assert encoder.has_contours
    same = Encoder("same", {k: v.double() for k, v in spell(encoder).items()}, VGG16)
    assert encoder.fingerprint == same.fingerprint
    picture = random_picture(13, 9)
    plain = {name: v.double() for name, v in spell(encoder).items() if not name.endswith(".map")}
    unmapped = Encoder("plain", plain, VGG16)(picture, ["conv2_1", "conv2_2"])
    seen = encoder(picture, ["conv2_1", "conv2_2"])
    assert torch.allclose(seen["conv2_1"], 2 * unmapped["conv2_1"], atol=1e-12)
    assert torch.equal(seen["conv2_2"], unmapped["conv2_2"])


def test_the_same_encoder_is_stored_as_the_same_bytes(own: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    for _ in range(4):
        write_encoder_file(again, read_encoder_file(own))
        assert again.read_bytes() == own.read_bytes()
    assert own.stat().st_mode & 0o044 == 0o044 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rewritten(path: Path, **texts: str) -> None:
    """The same file with other texts in its metadata; None leaves one out."""
    metadata = {**sealed.read_metadata(path), **texts}
    sealed.write_tensors(path, load_file(path), {k: v for k, v in metadata.items() if v})


def with_tensors(path: Path, **tensors: Tensor | None) -> None:
    named = {name.replace("__", "."): value for name, value in tensors.items()}
    kept = {**load_file(path), **named}
    metadata = sealed.read_metadata(path) | {"digest": ""}
    rest = {name: value for name, value in kept.items() if value is not None}
    sealed.write_tensors(path, rest, {k: v for k, v in metadata.items() if v})


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


SPOILED = {
    "missing": (Path.unlink, "no such file of an encoder's weights"),
    "empty": (lambda p: p.write_bytes(b""), "is broken, cut short, or no safetensors file"),
    "text": (lambda p: p.write_text("weights"), "is broken, cut short, or no safetensors file"),
    "cut short": (
        lambda p: p.write_bytes(p.read_bytes()[:-100]),
        "is broken, cut short, or no safetensors file",
    ),
    "another kind": (
        lambda p: rewritten(p, format="layered-nst styles 1"),
        "is no encoder; `layered-nst encoder distill` writes such files",
    ),
    "of tomorrow": (
        lambda p: rewritten(p, format="layered-nst encoder 2"),
        "written as 'layered-nst encoder 2'; this version reads 'layered-nst encoder 1'",
    ),
    "no blocks": (lambda p: rewritten(p, blocks=""), "what it says about itself is damaged"),
    "odd blocks": (lambda p: rewritten(p, blocks="[2, 2]"), r"is damaged \(blocks \(2, 2\)\)"),
    "odd notes": (lambda p: rewritten(p, notes="[1"), "what it says about itself is damaged"),
    "another bit": (flip_a_bit, "is damaged; its data is not what was stored"),
    "no number": (
        lambda p: with_tensors(p, conv3_1__bias=torch.full((6,), torch.nan)),
        "conv3_1.bias holds values that are no numbers",
    ),
    "infinite": (
        lambda p: with_tensors(p, conv1_1__bias=torch.full((4,), torch.inf)),
        "conv1_1.bias holds values that are no numbers",
    ),
    "whole numbers": (
        lambda p: with_tensors(p, conv1_1__bias=torch.ones(4, dtype=torch.int32)),
        "conv1_1.bias is stored as torch.int32",
    ),
    "a hole": (lambda p: with_tensors(p, conv5_3__weight=None), "conv5_3.weight is missing"),
    "a guest": (
        lambda p: with_tensors(p, conv5_4__weight=torch.ones(7, 7, 3, 3)),
        "conv5_4.weight belongs to no such encoder",
    ),
    "another width": (
        lambda p: with_tensors(p, conv2_1__weight=torch.ones(5, 3, 3, 3)),
        "conv2_1.weight is 5×3×3×3, not 5×4×3×3",
    ),
    "an odd map": (
        lambda p: with_tensors(p, conv2_1__map=torch.ones(5, 4)),
        "conv2_1.map is 5×4, not 5×5",
    ),
    "half a head": (lambda p: with_tensors(p, side3__bias=None), "side3.bias is missing"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_file_that_is_no_whole_encoder_is_one_sentence(own: Path, what: str) -> None:
    spoil, sentence = SPOILED[what]
    spoil(own)
    with pytest.raises(ModelError, match=rf"ours\.safetensors: .*{sentence}") as caught:
        load_encoder(own)
    assert "\n" not in str(caught.value)


def broken_text(path: Path) -> None:
    path.write_text("not a checkpoint")


def broken_empty(path: Path) -> None:
    path.touch()


def broken_other(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def broken_list(path: Path) -> None:
    torch.save([torch.zeros(3)], path)


def broken_truncated(path: Path) -> None:
    save(torchvision_features("vgg19"), path)
    path.write_bytes(path.read_bytes()[:-2000])


def broken_shallow(path: Path) -> None:
    save(torchvision_features("vgg16"), path)


@pytest.mark.parametrize(
    "write",
    [broken_text, broken_empty, broken_other, broken_list, broken_truncated, broken_shallow],
)
def test_a_file_that_holds_no_such_weights_is_named(write, tmp_path: Path) -> None:
    write(tmp_path / FILES["vgg19"])
    with pytest.raises(ModelError, match=r"vgg19-dcbb9e9d\.pth: not the weights of vgg19"):
        load_encoder("vgg19", weights_dir=tmp_path)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"features.0.weight": Trap()}, tmp_path / FILES["vgg16"])
    with pytest.raises(ModelError):
        load_encoder("vgg16", weights_dir=tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_contours_lie_where_a_square_ends(bundled: Encoder) -> None:
    picture = torch.full((3, 64, 64), 0.2)
    picture[:, 16:48, 16:48] = 0.9
    found = contour_map(bundled, picture)
    assert found.shape == (6, 64, 64)
    assert found.min() >= 0
    assert found.max() <= 1
    border = torch.cat([found[0, 15:17, 18:46].flatten(), found[0, 18:46, 47:49].flatten()])
    assert border.mean() > 0.5
    assert found[0, 28:36, 28:36].mean() < 0.2


def test_contours_need_the_heads_of_hed(tmp_path: Path) -> None:
    save(torchvision_features("vgg16"), tmp_path / FILES["vgg16"])
    encoder = load_encoder("vgg16", weights_dir=tmp_path)
    with pytest.raises(ModelError, match="vgg16 sees no contours; hed-vgg16 does"):
        contour_logits(encoder, {})


def test_contours_read_the_last_layer_of_each_block(narrow: Encoder) -> None:
    assert contour_layers(narrow) == ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
    assert contour_layers(narrow, (2, 4)) == ("conv2_2", "conv4_3")
    features = narrow(random_picture(16, 16), ["conv2_2", "conv3_3"])
    logits = contour_logits(narrow, features)
    assert [logit.shape for logit in logits] == [(1, 1, 8, 8), (1, 1, 4, 4)]
    wanted = (features["conv2_2"] * narrow.side2_weight).sum(1) + narrow.side2_bias
    assert torch.allclose(logits[0][:, 0], wanted, atol=1e-12)


def test_layer_sizes_halve_and_round_up(narrow: Encoder) -> None:
    sizes = narrow.layer_sizes((65, 40))
    heights = [sizes[block[0]][0] for block in narrow.blocks]
    assert heights == list(accumulate([65, 33, 17, 9, 5], lambda h, _: -(-h // 2)))
