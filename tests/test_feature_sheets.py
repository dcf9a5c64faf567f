"""Sheets of feature maps: the right channels, in the right order, on one honest scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from single import Single
from workbench import lay_out, run

from layered_nst.errors import OutputError, RecipeError
from layered_nst.networks.encoders import Encoder
from layered_nst.picture import Picture
from layered_nst.views.feature_sheets import (
    CELL,
    CLIPPED,
    colored,
    feature_maps,
    feature_sheet,
    seen,
    write_feature_sheets,
)

LAYERS = ("conv1_2", "conv3_1")


@pytest.fixture
def encoder() -> Encoder:
    return narrow_encoder(widths=(9, 8, 12, 5, 5), dtype=torch.float32)


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(3))


def test_the_most_energetic_channels_come_first(encoder: Encoder, photo: torch.Tensor) -> None:
    for found in feature_maps(encoder, photo, LAYERS, count=4):
        features = encoder(photo[None], [found.layer])[found.layer][0].numpy().astype(float)
        energy = [(channel**2).sum() for channel in features]
        order = sorted(range(len(energy)), key=lambda c: -energy[c])[:4]
        assert list(found.channels) == order
        assert found.width == len(energy)
        assert found.energy.tolist() == pytest.approx([energy[c] / sum(energy) for c in order])
        assert np.allclose(found.maps.numpy(), features[order])


def test_all_channels_together_have_all_the_energy(encoder: Encoder, photo: torch.Tensor) -> None:
    (found,) = feature_maps(encoder, photo, ["conv2_1"], count=99)
    assert len(found.channels) == 8
    assert float(found.energy.sum()) == pytest.approx(1)


def test_all_maps_of_a_layer_share_one_scale_that_clips_next_to_nothing(
    encoder: Encoder, photo: torch.Tensor
) -> None:
    for found in feature_maps(encoder, photo, LAYERS):
        beyond = float((found.maps > found.top).double().mean())
        assert 0 < beyond <= CLIPPED + 1 / found.maps.numel()


def test_the_strongest_are_found_on_a_device_without_float64(
    encoder: Encoder, photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = feature_maps(encoder, photo, ["conv3_1"], count=4)
    look = encoder.forward
    monkeypatch.setattr(
        encoder,
        "forward",
        lambda *a, **k: {layer: f.as_subclass(Single) for layer, f in look(*a, **k).items()},
    )
    (found,) = feature_maps(encoder, photo, ["conv3_1"], count=4)
    assert found.channels == wanted.channels
    assert torch.equal(found.maps, wanted.maps)
    assert found.top == wanted.top


def test_colors_rise_in_lightness_from_zero_to_the_top() -> None:
    ramp = colored(np.linspace(0, 2.0, 256)[None], 2.0)[0].astype(float)
    lightness = ramp @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) >= 0).all()
    assert ramp[0].tolist() == [0, 0, 4]
    assert ramp[-1].tolist() == [252, 253, 191]
    assert colored(np.array([[-1.0, 5.0]]), 2.0)[0].tolist() == [[0, 0, 4], [252, 253, 191]]
    assert colored(np.zeros((1, 1)), 0.0)[0, 0].tolist() == [0, 0, 4]


def test_a_sheet_shows_each_map_in_its_colors_as_square_pixels(
    encoder: Encoder, photo: torch.Tensor
) -> None:
    (found,) = feature_maps(encoder, photo, ["conv3_1"], count=8)
    sheet = np.asarray(feature_sheet(found, photo))
    height, width = 113, CELL
    for index in range(8):
        picture = Image.fromarray(colored(found.maps[index].numpy(), found.top))
        tile = np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
        windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], (height, width))
        candidates = np.argwhere(
            (windows[:, :, 0] == tile[0, :, 0]).all(2)
            & (windows[:, :, :, 0] == tile[:, 0, 0]).all(2)
        )
        assert any((sheet[y : y + height, x : x + width] == tile).all() for y, x in candidates), (
            f"map {index} is not on the sheet"
        )


def test_transparent_colors_are_not_seen() -> None:
    rgb = torch.full((3, 20, 30), 0.25)
    rgb[:, :, :10] = 1.0
    alpha = torch.ones(20, 30)
    alpha[:, :10] = 0
    found = seen(Picture(rgb, alpha), 15)
    assert found.shape == (3, 10, 15)
    assert found.max() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("layers", "named"), [(["conv1_1", "conv9"], "conv9"), ([], "at least")])
def test_impossible_layers_are_refused(
    encoder: Encoder, photo: torch.Tensor, layers: list[str], named: str
) -> None:
    with pytest.raises(RecipeError, match=named):
        feature_maps(encoder, photo, layers)


def test_sheets_go_into_a_folder_or_below_one_another(
    encoder: Encoder, photo: torch.Tensor, tmp_path: Path
) -> None:
    found = feature_maps(encoder, photo, LAYERS, count=3)
    paths = write_feature_sheets(found, photo, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["conv1_2.png", "conv3_1.png"]
    heights = [Image.open(path).height for path in paths]
    (path,) = write_feature_sheets(found, photo, tmp_path / "all.png")
    assert Image.open(path).height == sum(heights)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made a folder"):
        write_feature_sheets(found, photo, tmp_path / "file")


def test_the_command_writes_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    ran = run("features", "photo.png", "--size", "48", "--channels", "3", "-o", "maps")
    assert (ran.code, ran.out.split()) == (
        0,
        ["maps/conv1_1.png", "maps/conv3_1.png", "maps/conv5_1.png"],
    )
    ran = run("features", "photo.png", "--size", "48", "--layers", "conv2_2")
    assert (ran.code, ran.out) == (0, "photo.features.png\n")
    assert Image.open("photo.features.png").width > 6 * CELL
    ran = run("features", "photo.png", "-o", "photo.png")
    assert ran.code == 3
    ran = run("features", "photo.png", "--layers", "conv7_1")
    assert (ran.code, ran.error.split(",")[0]) == (1, "layer conv7_1: not in hed-vgg16")
