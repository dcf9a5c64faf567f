"""A result as layers: which there are, what they hold, and that they flatten to the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from flattening import differences, over, ramp_alpha, random_shares, read_ora
from psd_tools import PSDImage
from workbench import RECIPE, lay_out, photo

from layered_nst import Result, apply
from layered_nst.networks.encoders import contour_map, load_encoder
from layered_nst.outputs.layered.layers import Layer, region_layers, soft_masks


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def recipe(*, sky: dict[str, Any] | None = None, ground: dict[str, Any] | None = None) -> Any:
    """look.yaml with a wide feather between ground and sky."""
    mapping = yaml.safe_load(RECIPE)
    mapping["regions"][0] |= ground or {}
    mapping["regions"][1] |= {"feather": 12} | (sky or {})
    return mapping


def protected() -> Any:
    mapping = recipe(sky={"protect": True})
    del mapping["regions"][1]["style"]
    return mapping


def cut_out() -> np.ndarray:
    """The photo, transparent at its left, opaque at its right, with every step between."""
    alpha = (ramp_alpha(48, 64) * 255).round().to(torch.uint8).numpy()
    return np.dstack([photo(), alpha])


CASES: dict[str, tuple[Any, np.ndarray]] = {
    "feathered": (recipe(), photo()),
    "alpha": (recipe(), cut_out()),
    "protected": (protected(), photo()),
    "protected on alpha": (protected(), cut_out()),
    "uncovered": (recipe(ground={"select": {"box": [0, 0.5, 0.7, 1]}, "feather": 5}), photo()),
    "uncovered on alpha": (
        recipe(ground={"select": {"box": [0, 0.5, 0.7, 1]}, "fixed": True}),
        cut_out(),
    ),
}


def flattened(layers: tuple[Layer, ...]) -> np.ndarray:
    """The visible layers laid over one another in double precision, (H, W, 4) in [0, 1]."""
    canvas = np.zeros((*layers[0].alpha.shape, 4))
    for layer in layers:
        if layer.visible:
            sheet = torch.cat([layer.rgb.movedim(0, -1), layer.alpha[..., None]], 2)
            canvas = over(canvas, sheet.double().numpy())
    return canvas


def whole(result: Result) -> np.ndarray:
    return np.asarray(result.image.convert("RGBA")).astype(int)


# the mathematics


@pytest.mark.parametrize("opaque", [True, False])
def test_soft_masks_give_each_layer_its_share_of_the_flattened_pixel(opaque: bool) -> None:
    shares = random_shares(5, 20, 30).double()
    shares /= shares.sum(0)
    alpha = torch.rand(20, 30, dtype=torch.float64)
    opacity = soft_masks(shares, None if opaque else alpha) * (1 if opaque else alpha)
    for y, x in [(0, 0), (7, 11), (19, 29), (10, 4)]:
        for k in range(5):
            left = 1.0
            for above in range(k + 1, 5):
                left *= 1 - float(opacity[above, y, x])
            wanted = float(shares[k, y, x]) * (1 if opaque else float(alpha[y, x]))
            assert float(opacity[k, y, x]) * left == pytest.approx(wanted, abs=1e-9)


def test_layers_of_different_colors_flatten_to_their_weighted_mean() -> None:
    shares, colors = random_shares(4, 20, 30), torch.rand(4, 3, 20, 30)
    plain = region_layers("abcd", shares, rgb=colors[0], alpha=None)
    layers = tuple(Layer(la.name, c, la.alpha) for la, c in zip(plain, colors, strict=True))
    wanted = (shares[:, None] * colors).sum(0).movedim(0, -1)
    assert np.abs(flattened(layers)[..., :3] - wanted.numpy()).max() < 1e-5


def test_a_layer_without_share_covers_nothing_and_the_lowest_one_everything() -> None:
    shares = torch.tensor([[0, 0.25, 1], [0.5, 0.75, 0], [0.5, 0, 0]])[:, None]
    masks = soft_masks(shares, None)[:, 0].tolist()
    assert masks == [[0, 1, 1], [1, 0.75, 0], [0.5, 0, 0]]


# the layers of a result


@pytest.mark.parametrize("case", CASES)
def test_flattening_gives_the_picture(case: str) -> None:
    result = apply(*CASES[case])
    canvas = flattened(result.layers)
    seen = canvas[..., 3:] > 1e-3
    rgb = result.rgb.movedim(0, -1).numpy()
    assert np.abs(canvas[..., :3] - rgb).max(where=seen, initial=0) < 1e-4
    alpha = 1.0 if result.alpha is None else result.alpha.numpy()
    assert np.abs(canvas[..., 3] - alpha).max() < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_both_files_flatten_to_the_picture(case: str) -> None:
    result = apply(*CASES[case])
    found = read_ora(result.save_layers("a.ora")).flattened()
    color, alpha = differences(found, whole(result))
    assert (color <= 1, alpha) == (True, 0)
    psd = PSDImage.open(result.save_layers("a.psd"))
    composed = psd.composite(ignore_preview=True, force=True, apply_icc=False)
    assert max(differences(np.asarray(composed.convert("RGBA")), whole(result))) <= 1


def test_there_is_a_layer_for_each_region_between_the_photo_and_the_contour() -> None:
    layers = apply(*CASES["feathered"]).layers
    assert [layer.name for layer in layers] == ["photo", "ground", "sky", "contour"]
    assert [layer.visible for layer in layers] == [False, True, True, False]
    assert [layer.mask is None for layer in layers] == [True, False, False, True]


def test_what_no_region_takes_is_the_lowest_of_the_regions() -> None:
    result = apply(*CASES["uncovered"])
    assert result.scene.masks.names[-1] == "(photo)"
    assert [la.name for la in result.layers] == ["photo", "(photo)", "ground", "sky", "contour"]
    assert result.layers[1].visible


def test_an_empty_region_keeps_its_layer() -> None:
    result = apply(recipe(sky={"select": {"color": "#00ff00", "tolerance": 1}}), photo())
    sky = result.layers[2]
    assert (sky.name, sky.visible, float(sky.alpha.max())) == ("sky", True, 0)
    assert differences(read_ora(result.save_layers("a.ora")).flattened(), whole(result))[1] == 0


def test_the_hidden_photo_is_the_photo_at_the_results_size() -> None:
    result = apply(recipe(), cut_out())
    layer = result.layers[0]
    assert torch.equal(layer.rgb, result.scene.picture.rgb)
    assert torch.equal(layer.alpha, result.alpha)


def test_the_contour_is_black_lines_where_the_network_sees_them_in_the_product() -> None:
    mapping = recipe() | {"product": ["ground"]}
    result = apply(mapping, cut_out())
    contour, picture = result.layers[-1], result.scene.picture
    assert not contour.rgb.any()
    lines = contour_map(load_encoder("hed-vgg16"), picture.rgb)[0]
    wanted = lines * result.scene.mask("ground") * picture.alpha
    assert torch.allclose(contour.alpha, wanted, atol=1e-6)
    assert contour.alpha.max() > 0.1
    assert not contour.alpha[:12].any()


def test_without_a_product_the_contour_is_that_of_all_styled_regions() -> None:
    both, ground = apply(recipe(), photo()), apply(protected(), photo())
    lines = contour_map(load_encoder("hed-vgg16"), both.scene.picture.rgb)[0]
    assert torch.allclose(both.layers[-1].alpha, lines, atol=1e-5)
    assert torch.allclose(ground.layers[-1].alpha[24:], lines[24:], atol=1e-5)
    assert not ground.layers[-1].alpha[:12].any()


def test_the_contour_is_the_bundled_networks_whatever_the_recipes_encoder() -> None:
    result = apply(recipe(), photo())
    other = result.recipe.model_copy(update={"encoder": "vgg19"})
    changed = replace(result, scene=replace(result.scene, recipe=other))
    assert torch.equal(changed.layers[-1].alpha, result.layers[-1].alpha)


def test_layers_are_made_once_and_know_nothing_of_earlier_results() -> None:
    first = apply(recipe(), photo())
    assert first.layers is first.layers
    for _ in range(2):
        second = apply(recipe(), photo())
        assert len(read_ora(second.save_layers("a.ora")).layers) == 4


# the file of a result


def test_the_group_is_named_by_the_recipe_or_by_the_file() -> None:
    for name, wanted in (("Temple at dusk", "Temple at dusk"), ("", "poster 1")):
        result = apply(recipe() | {"name": name}, photo())
        (group,) = read_ora(result.save_layers("poster 1.ora")).groups
        assert group.attrib["name"] == wanted
        (folder,) = PSDImage.open(result.save_layers(Path("poster 1.psd")))
        assert folder.name == wanted


def test_the_resolution_is_the_recipes_or_the_photos() -> None:
    result = apply(recipe() | {"output": {"dpi": 240}}, photo())
    assert read_ora(result.save_layers("a.ora")).image.attrib["xres"] == "240"
    result = apply(recipe(), photo())
    assert "xres" not in read_ora(result.save_layers("a.ora")).image.attrib


def test_sixteen_bits_in_the_picture_are_eight_in_the_layers() -> None:
    result = apply(recipe() | {"output": {"depth": 16}}, photo())
    assert differences(read_ora(result.save_layers("a.ora")).flattened(), whole(result))[0] <= 1
    assert PSDImage.open(result.save_layers("a.psd")).depth == 8


def test_regions_that_are_called_like_a_hidden_layer_can_be_told_from_it() -> None:
    mapping = recipe()
    for region, name in zip(mapping["regions"], ("photo", "contour"), strict=True):
        region["name"] = name
    layers = apply(mapping, photo(), steps=0).layers
    assert [(layer.name, layer.visible) for layer in layers] == [
        ("photo (hidden)", False),
        ("photo", True),
        ("contour", True),
        ("contour (hidden)", False),
    ]
