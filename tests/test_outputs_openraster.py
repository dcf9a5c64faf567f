"""OpenRaster files, read back with a zip reader, an XML parser and Pillow alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flattening import OraFile, differences, flat, layered, ramp_alpha, read_ora

from layered_nst.outputs.layered.layers import LayeredPicture
from layered_nst.outputs.layered.writing import write_layered

SIZE = (40, 64)
ALPHAS = {
    "opaque": None,
    "ramp": ramp_alpha(*SIZE),
    "noise": torch.rand(SIZE, generator=torch.Generator().manual_seed(0)),
    "none": torch.zeros(SIZE),
}


def written(picture: LayeredPicture, folder: Path) -> OraFile:
    write_layered(folder / "a.ora", picture)
    return read_ora(folder / "a.ora")


@pytest.mark.parametrize("kind", ALPHAS)
def test_the_flattened_layers_are_the_flat_picture(kind: str, tmp_path: Path) -> None:
    for seed, names in enumerate([("all",), ("ground", "sky"), tuple("abcdefg")]):
        picture = layered(names, alpha=ALPHAS[kind], seed=seed)
        file = written(picture, tmp_path)
        color, alpha = differences(file.flattened(), flat(picture))
        assert (color <= 1, alpha) == (True, 0)
        assert max(differences(file.flattened(whole_steps=True), flat(picture))) <= 1


@pytest.mark.parametrize("kind", ALPHAS)
def test_the_merged_picture_is_the_flat_picture(kind: str, tmp_path: Path) -> None:
    picture = layered(alpha=ALPHAS[kind])
    merged = written(picture, tmp_path).merged
    assert merged.mode == ("RGB" if kind == "opaque" else "RGBA")
    assert (np.asarray(merged.convert("RGBA")) == flat(picture)).all()


def test_one_group_holds_all_layers_in_order_and_hides_photo_and_contour(tmp_path: Path) -> None:
    file = written(layered(name="Temple at dusk"), tmp_path)
    (group,) = file.groups
    assert (group.tag, group.attrib["name"]) == ("stack", "Temple at dusk")
    assert [child.tag for child in group] == ["layer"] * 5
    found = [(layer.name, layer.visible) for layer in file.layers]
    shown = [(name, True) for name in ("ground", "house", "sky")]
    assert found == [("photo", False), *shown, ("contour", False)]


def test_the_hidden_layers_hold_the_photo_and_the_contour(tmp_path: Path) -> None:
    picture = layered(alpha=ramp_alpha(*SIZE))
    file = written(picture, tmp_path)
    for found, layer in (
        (file.layers[0], picture.layers[0]),
        (file.layers[-1], picture.layers[-1]),
    ):
        wanted = LayeredPicture((), layer.rgb, layer.alpha)
        assert differences(found.pixels, flat(wanted)) == (0, 0)


def test_the_archive_is_laid_out_as_the_draft_wants(tmp_path: Path) -> None:
    file = written(layered(), tmp_path)
    start = (tmp_path / "a.ora").read_bytes()[:54]
    assert start[30:] == b"mimetypeimage/openraster"
    names = [entry.filename for entry in file.entries]
    assert names[0] == "mimetype"
    assert file.entries[0].compress_type == zipfile.ZIP_STORED
    assert sorted(names[1:]) == sorted(
        ["stack.xml", "mergedimage.png", "Thumbnails/thumbnail.png"]
        + [f"data/layer{number}.png" for number in range(5)]
    )
    assert file.image.tag == "image"
    assert file.image.attrib == {"version": "0.0.5", "w": "64", "h": "40"}
    assert file.canvas == SIZE


def test_every_png_says_that_it_is_srgb(tmp_path: Path) -> None:
    file = written(layered(dpi=(300, 300)), tmp_path)
    for image in (file.merged, file.thumbnail, *(layer.image for layer in file.layers)):
        assert image.info["srgb"] == 0
        assert image.info["gamma"] == pytest.approx(1 / 2.2, abs=1e-5)
        assert image.info["chromaticity"][2:4] == (0.64, 0.33)
        assert not image.info.get("interlace")


def test_the_resolution_is_in_the_stack_and_in_every_layer(tmp_path: Path) -> None:
    file = written(layered(dpi=(300, 150)), tmp_path)
    assert (file.image.attrib["xres"], file.image.attrib["yres"]) == ("300", "150")
    for image in (file.merged, *(layer.image for layer in file.layers)):
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert "dpi" not in written(layered(), tmp_path).merged.info


@pytest.mark.parametrize(("size", "wanted"), [((300, 600), (256, 128)), ((30, 20), (20, 30))])
def test_the_thumbnail_is_at_most_256_px(
    size: tuple[int, int], wanted: tuple[int, int], tmp_path: Path
) -> None:
    picture = layered(size=size, alpha=ramp_alpha(*size))
    thumbnail = written(picture, tmp_path).thumbnail
    assert thumbnail.size == wanted
    assert thumbnail.mode == "RGBA"
    width, alpha = wanted[0], np.asarray(thumbnail)[..., 3]
    assert alpha[:, 0].max() < 20
    assert alpha[:, -1].min() > 235
    rough = picture.rgb.numpy().mean((1, 2)) * 255
    seen = np.asarray(thumbnail)[:, width // 2 :, :3]
    assert np.abs(seen.mean((0, 1)) - rough).max() < 12


NAMES = ("Ä/ö\\ü", "🦊 & <fox> \"'", "sky", "Sky", "sky ", "ßky\u0301", "../../etc")


def test_names_come_back_as_they_were(tmp_path: Path) -> None:
    file = written(layered(NAMES, name="Größe/🦊\n2"), tmp_path)
    assert tuple(layer.name for layer in file.layers[1:-1]) == NAMES
    assert file.groups[0].attrib["name"] == "Größe/🦊\N{REPLACEMENT CHARACTER}2"
    assert all(not entry.filename.startswith(("/", "..")) for entry in file.entries)


def test_equal_pictures_give_equal_files(tmp_path: Path) -> None:
    options: dict[str, Any] = {"alpha": ramp_alpha(*SIZE), "dpi": (72.0, 72.0)}
    for name in ("a.ora", "b.ora"):
        write_layered(tmp_path / name, layered(**options))
    assert (tmp_path / "a.ora").read_bytes() == (tmp_path / "b.ora").read_bytes()


def test_a_picture_of_one_pixel_has_layers(tmp_path: Path) -> None:
    picture = layered(("all",), size=(1, 1))
    assert differences(written(picture, tmp_path).flattened(), flat(picture)) == (0, 0)


def test_layers_are_cut_where_that_makes_the_file_smaller(tmp_path: Path) -> None:
    file = written(
        layered(alpha=torch.zeros(SIZE).index_fill_(1, torch.arange(20, 40), 1)), tmp_path
    )
    assert all(layer.image.width <= 20 for layer in file.layers)
