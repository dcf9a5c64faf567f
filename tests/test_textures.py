"""A style's texture from noise: near the style's moments, and more of the style with each layer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from workbench import lay_out, run

from layered_nst.errors import PictureError, RecipeError
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem
from layered_nst.painting.progress import Progress
from layered_nst.picture import Picture, read_picture
from layered_nst.recipe import Optimize
from layered_nst.views import textures as textures_module
from layered_nst.views.textures import Texture, synthesize, texture_sheet

SIZE = 40
LAYERS = ("conv1_1", "conv2_1", "conv3_1")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("hed-vgg16")


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    return read_picture(lay_out(tmp_path_factory.mktemp("styles")) / "stripes.png")


@pytest.fixture(scope="module")
def textures(encoder: Encoder, style: Picture) -> list[Texture]:
    return synthesize(encoder, style, layers=LAYERS, size=SIZE, options=Optimize(steps=60))


def gram(encoder: Encoder, rgb: torch.Tensor, layer: str) -> NDArray[np.float64]:
    """The Gram matrix of a layer, by numpy, in float64."""
    features = encoder(rgb[None], [layer])[layer][0].flatten(1).numpy().astype(np.float64)
    return np.einsum("cn,dn->cd", features, features) / features.shape[1]


def apart(encoder: Encoder, one: torch.Tensor, other: torch.Tensor, layer: str) -> float:
    wanted = gram(encoder, other, layer)
    return float(np.linalg.norm(gram(encoder, one, layer) - wanted) / np.linalg.norm(wanted))


def test_there_is_a_texture_for_each_set_of_layers_from_the_shallow_end(
    textures: list[Texture],
) -> None:
    assert [t.layers for t in textures] == [LAYERS[:1], LAYERS[:2], LAYERS]
    for texture in textures:
        assert texture.rgb.shape == (3, SIZE, SIZE)
        assert 0 <= texture.rgb.min() <= texture.rgb.max() <= 1


def test_moments_come_close_to_the_styles_from_far_away(
    encoder: Encoder, style: Picture, textures: list[Texture]
) -> None:
    noise = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for texture in textures:
        for layer in texture.layers:
            assert apart(encoder, noise, style.rgb, layer) > 0.3
            assert apart(encoder, texture.rgb, style.rgb, layer) < 0.15


def test_the_distance_told_is_the_mean_over_the_layers(
    encoder: Encoder, style: Picture, textures: list[Texture]
) -> None:
    for texture in textures:
        wanted = np.mean([apart(encoder, texture.rgb, style.rgb, k) for k in texture.layers])
        assert texture.distance == pytest.approx(wanted, rel=1e-3)


def test_a_deeper_set_of_layers_brings_back_what_a_shallow_one_leaves_open(
    encoder: Encoder, style: Picture, textures: list[Texture]
) -> None:
    found = [apart(encoder, texture.rgb, style.rgb, LAYERS[-1]) for texture in textures]
    assert found[0] > 3 * found[-1]
    for one, other in pairwise(textures):
        assert (one.rgb - other.rgb).abs().mean() > 0.02


def test_the_seed_alone_decides_over_the_noise(encoder: Encoder, style: Picture) -> None:
    def made(seed: int) -> torch.Tensor:
        options = Optimize(steps=2, seed=seed)
        return synthesize(encoder, style, layers=LAYERS[:1], size=24, options=options)[0].rgb

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))


def test_what_is_transparent_in_a_style_takes_no_part(encoder: Encoder, style: Picture) -> None:
    rgb = torch.cat([torch.full((3, 40, 20), 0.2), style.rgb[:, :, 20:]], 2)
    alpha = torch.cat([torch.zeros(40, 20), torch.ones(40, 20)], 1)
    options = Optimize(steps=15)
    (texture,) = synthesize(
        encoder, Picture(rgb, alpha), layers=LAYERS[:1], size=SIZE, options=options
    )
    mean = texture.rgb.mean((1, 2))
    assert mean == pytest.approx(style.rgb[:, :, 20:].mean((1, 2)), abs=0.05)


def test_progress_counts_over_all_textures(encoder: Encoder, style: Picture) -> None:
    heard: list[Progress] = []
    synthesize(
        encoder,
        style,
        layers=["conv2_1", "conv1_1"],
        size=24,
        options=Optimize(steps=2, tolerance=0.0),
        on_progress=heard.append,
    )
    assert [(p.stage, p.step) for p in heard] == [
        (layer, step) for layer in LAYERS[:2] for step in (1, 2)
    ]
    assert [p.done for p in heard] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert heard[-1].seconds_left == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (["conv6_1"], "layer conv6_1: not in hed-vgg16, which has conv1_1, conv1_2"),
        ([], "layers: name at least one, such as conv1_1"),
    ],
)
def test_impossible_layers_are_refused(
    encoder: Encoder, style: Picture, layers: list[str], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        synthesize(encoder, style, layers=layers)


def test_a_style_without_a_visible_pixel_is_refused(encoder: Encoder) -> None:
    clear = Picture(torch.rand(3, 20, 30), torch.zeros(20, 30), source="clear.png")
    with pytest.raises(PictureError, match=r"clear\.png: its mask or alpha leaves nothing of it"):
        synthesize(encoder, clear, layers=["conv1_1"], size=SIZE)


@pytest.mark.parametrize("name", ["hed-vgg16", "light"])
def test_one_encoder_at_all_levels_is_not_tuned_for_another(
    name: str, style: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    real = textures_module.optimize

    def watched(encoder: Encoder, problem: Problem, plan: Plan, **keys: object) -> torch.Tensor:
        plans.append(plan)
        return real(encoder, problem, replace(plan, levels=plan.levels[:1]), **keys)

    monkeypatch.setattr(textures_module, "optimize", watched)
    options = Optimize(levels=(16,), steps=1)
    synthesize(load_encoder(name), style, layers=["conv1_1"], size=SIZE, options=options)
    (plan,) = plans
    assert len(plan.levels) > 1
    assert {(v.style, v.total_variation) for v in plan.levels} == {(1.0, 1.0)}


def test_the_sheet_shows_the_style_and_every_texture(
    style: Picture, textures: list[Texture]
) -> None:
    sheet = np.asarray(texture_sheet(style, textures, columns=2)).astype(int)
    places = []
    for rgb in [style.rgb, *(t.rgb for t in textures)]:
        tile = np.floor(rgb.permute(1, 2, 0).numpy() * 255 + 0.5).astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (SIZE, SIZE))
        found = np.argwhere((windows == tile[..., 0]).all((2, 3)))
        assert len(found) == 1
        places.append(tuple(found[0]))
    (a, b), (c, d) = places[:2], places[2:]
    assert a[0] == b[0] < c[0] == d[0]
    assert a[1] == c[1] < b[1] == d[1]


def test_the_command_writes_a_sheet_and_tells_how_near_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    options = ["--size", "24", "--steps", "2", "--layers", "conv1_1, conv2_1"]
    ran = run("texture", "dots.png", *options, "--json")
    assert (ran.code, ran.json["sheet"]) == (0, "dots.texture.png")
    assert list(ran.json["distances"]) == ["conv1_1", "conv2_1"]
    with Image.open("dots.texture.png") as sheet:
        sheet.load()
    ran = run("texture", "dots.png", *options, "-o", "sheet.jpg")
    assert (ran.code, ran.out) == (0, "sheet.jpg\n")
    assert "conv2_1 1/1  24×24 px" in ran.err
    ran = run("texture", "dots.png", "-o", "dots.png")
    assert (ran.code, ran.error) == (
        3,
        "dots.png: would replace a file that is read; name another",
    )
    ran = run("texture", "nothing.png")
    assert ran.code == 1
    assert "nothing.png" in ran.error
