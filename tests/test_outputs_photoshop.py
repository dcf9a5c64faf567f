"""PSD files, read back and composed by psd-tools."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from flattening import differences, flat, layered, ramp_alpha
from PIL import Image, ImageCms
from psd_tools import PSDImage
from psd_tools.composite import composite
from psd_tools.constants import Resource

from layered_nst.errors import OutputError
from layered_nst.outputs.layered.layers import Layer, LayeredPicture
from layered_nst.outputs.layered.writing import write_layered

SIZE = (40, 64)
ALPHAS = {
    "opaque": None,
    "ramp": ramp_alpha(*SIZE),
    "noise": torch.rand(SIZE, generator=torch.Generator().manual_seed(0)),
}
NAMES = ("Ä/ö\\ü", "🦊 & <fox> \"'", "sky", "Sky", "sky ", "ßky\u0301", "x" * 255)


def written(picture: LayeredPicture, folder: Path) -> PSDImage:
    write_layered(folder / "a.psd", picture)
    return PSDImage.open(folder / "a.psd")


def pixels(image: Image.Image | None) -> np.ndarray:
    assert image is not None
    return np.asarray(image.convert("RGBA")).astype(int)


def composed(file: PSDImage) -> np.ndarray:
    """The layers laid over one another in floating point, (H, W, 4) rounded to whole steps."""
    color, _, alpha = composite(file, force=True)
    return np.rint(np.concatenate([color, alpha], 2) * 255).astype(int)


@pytest.mark.parametrize("kind", ALPHAS)
def test_the_flattened_layers_are_the_flat_picture(kind: str, tmp_path: Path) -> None:
    for seed, names in enumerate([("all",), ("ground", "sky"), tuple("abcdefg")]):
        picture = layered(names, alpha=ALPHAS[kind], seed=seed)
        color, alpha = differences(composed(written(picture, tmp_path)), flat(picture))
        assert (color <= 1, alpha) == (True, 0)


@pytest.mark.parametrize("kind", ALPHAS)
def test_the_picture_that_psd_tools_composes_is_within_a_step(kind: str, tmp_path: Path) -> None:
    picture = layered(alpha=ALPHAS[kind])
    file = written(picture, tmp_path)
    found = pixels(file.composite(ignore_preview=True, force=True, apply_icc=False))
    assert max(differences(found, flat(picture))) <= 1


@pytest.mark.parametrize("kind", ALPHAS)
def test_the_merged_picture_is_the_flat_picture(kind: str, tmp_path: Path) -> None:
    picture = layered(alpha=ALPHAS[kind])
    file = written(picture, tmp_path)
    assert file.has_preview()
    assert file.channels == (3 if kind == "opaque" else 4)
    found, wanted = pixels(file.topil(apply_icc=False)), flat(picture)
    assert (found[..., 3] == wanted[..., 3]).all()
    # The format keeps these colors laid on white, so that faint ones have fewer steps.
    seen = wanted[..., 3:] / 255
    assert np.abs((found[..., :3] - wanted[..., :3]) * seen).max() <= 1


def test_one_group_holds_all_layers_in_order_and_hides_photo_and_contour(tmp_path: Path) -> None:
    file = written(layered(name="Temple at dusk"), tmp_path)
    (group,) = file
    assert group.is_group()
    assert group.name == "Temple at dusk"
    assert group.visible
    found = [(layer.name, layer.visible, layer.kind) for layer in group]
    shown = [(name, True, "pixel") for name in ("ground", "house", "sky")]
    assert found == [("photo", False, "pixel"), *shown, ("contour", False, "pixel")]


def test_soft_masks_are_layer_masks_over_pixels_with_the_photos_alpha(tmp_path: Path) -> None:
    alpha = ramp_alpha(*SIZE)
    picture = layered(alpha=alpha)
    (group,) = written(picture, tmp_path)
    for found, layer in zip(group, picture.layers, strict=True):
        assert found.has_mask() == (layer.mask is not None)
        if layer.mask is None:
            continue
        box = (slice(found.top, found.bottom), slice(found.left, found.right))
        assert found.mask.bbox == found.bbox
        assert found.mask.background_color == 0
        assert not found.mask.disabled
        assert np.abs(np.asarray(found.topil())[..., 3] - alpha[box].numpy() * 255).max() <= 0.51
        mask = layer.mask[box].numpy() * 255
        solid = (alpha[box] == 1).numpy()
        assert np.abs(np.asarray(found.mask.topil()) - mask)[solid].max() <= 0.51


def test_the_hidden_layers_hold_the_photo_and_the_contour(tmp_path: Path) -> None:
    picture = layered()
    (group,) = written(picture, tmp_path)
    for found, layer in ((group[0], picture.layers[0]), (group[-1], picture.layers[-1])):
        wanted = flat(LayeredPicture((), layer.rgb, layer.alpha))
        box = (slice(found.top, found.bottom), slice(found.left, found.right))
        assert differences(pixels(found.topil(apply_icc=False)), wanted[box]) == (0, 0)
        assert not wanted[..., 3].sum() - wanted[box][..., 3].sum()


def test_names_come_back_as_they_were(tmp_path: Path) -> None:
    (group,) = written(layered(NAMES, name="Größe/🦊"), tmp_path)
    assert group.name == "Größe/🦊"
    assert tuple(layer.name for layer in group)[1:-1] == NAMES


def test_resolution_and_profile_are_in_the_file(tmp_path: Path) -> None:
    file = written(layered(dpi=(300, 72.5)), tmp_path)
    info = file.image_resources.get_data(Resource.RESOLUTION_INFO)
    assert (info.horizontal / 65536, info.vertical / 65536) == (300, 72.5)
    assert (info.horizontal_unit, info.vertical_unit) == (1, 1)
    profile = file.image_resources.get_data(Resource.ICC_PROFILE)
    described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert "sRGB" in described
    assert Resource.RESOLUTION_INFO not in written(layered(), tmp_path).image_resources


def test_pillow_reads_the_merged_picture(tmp_path: Path) -> None:
    picture = layered()
    write_layered(tmp_path / "a.psd", picture)
    with Image.open(tmp_path / "a.psd") as image:
        assert image.size == (64, 40)
        assert (pixels(image) == flat(picture)).all()


def test_an_empty_region_is_a_layer_that_covers_nothing(tmp_path: Path) -> None:
    picture = layered(("all",))
    nothing = torch.zeros(SIZE)
    empty = Layer("nothing", picture.rgb, nothing, mask=nothing)
    file = written(LayeredPicture([*picture.layers, empty], picture.rgb), tmp_path)
    (group,) = file
    assert group[-1].name == "nothing"
    assert differences(composed(file), flat(picture))[1] == 0


def test_equal_pictures_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.psd", "b.psd"):
        write_layered(tmp_path / name, layered(alpha=ramp_alpha(*SIZE)))
    assert (tmp_path / "a.psd").read_bytes() == (tmp_path / "b.psd").read_bytes()


def test_a_picture_too_wide_for_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.psd: PSD holds 30000 px a side, not 30001×1"):
        write_layered(tmp_path / "a.psd", layered(("all",), size=(1, 30001)))
    assert list(tmp_path.iterdir()) == []
