"""bfloat16 where the device has it: the same look, faster; and where it is chosen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from layered_nst import apply
from layered_nst.errors import DeviceError
from layered_nst.machine.device import PRECISION_VARIABLE, multiplies_bfloat16
from layered_nst.networks.encoders import Encoder, contour_logits, load_encoder
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.painting.levels import optimize
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.recipe import Optimize
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.looks import planned
from layered_nst.styles.layers import STYLE_LAYERS
from layered_nst.styles.style import StylePicture

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(
            not torch.cuda.is_available(), reason="CUDA is not on this machine"
        ),
    ),
]
LAYERS = (*STYLE_LAYERS, "conv4_2")


def smooth(height: int, width: int, seed: int) -> Tensor:
    """A picture of soft blotches, shape (3, height, width), as photos rather than noise are."""
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    size = (height, width)
    return functional.interpolate(coarse, size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


@pytest.fixture(scope="module", params=["hed-vgg16", "light"])
def exact(request: pytest.FixtureRequest) -> Encoder:
    return load_encoder(request.param)


def problem(device: str = "cpu") -> Problem:
    photo, size = smooth(72, 96, 1).to(device), (72, 96)
    ramp = torch.linspace(-1, 2, 96, device=device).clamp(0, 1).expand(size)
    styles = [
        StylePicture(smooth(72, 96, k).to(device), torch.ones(size, device=device), 1.0, str(k))
        for k in (2, 3)
    ]
    regions = [
        PaintedRegion("left", 1 - ramp, [styles[0]]),
        PaintedRegion("right", ramp, [styles[1]], contour=0.5),
    ]
    return Problem(photo, photo, photo, regions, torch.zeros(size, device=device))


def plan(precision: str, *levels: Level) -> Plan:
    made = make_plan(Optimize(), (72, 96), precision=precision)
    return replace(made, levels=levels, tolerance=-1.0)


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_those_of_float32_to_the_rounding_of_bfloat16(
    exact: Encoder, device: str
) -> None:
    exact = exact.to(device)
    picture = smooth(70, 90, 4)[None].to(device)
    wanted = exact(picture, exact.layers)
    found = exact.multiplying_in("bfloat16")(picture, exact.layers)
    assert {part.dtype for part in found.values()} == {torch.float32}
    for layer in exact.layers:
        apart = (found[layer] - wanted[layer]).norm() / wanted[layer].norm()
        # Eight bits of mantissa round by up to 0.4 %, once more at each layer; what the first one
        # sees is computed in float32 and rounded once, by 0.17 % of it on the whole.
        assert 0 < apart < (0.002 if layer == "conv1_1" else 0.02), (layer, apart)


def test_the_weights_are_shared_and_what_they_are_known_by_stays(exact: Encoder) -> None:
    other = exact.multiplying_in("bfloat16")
    assert exact.multiplying_in("float32") is exact
    assert other.fingerprint == exact.fingerprint
    assert other.conv2_1_weight is exact.conv2_1_weight
    picture = smooth(32, 32, 5)[None]
    assert not torch.equal(
        other(picture, ["conv3_1"])["conv3_1"], exact(picture, ["conv3_1"])["conv3_1"]
    )
    assert torch.equal(
        exact(picture, ["conv3_1"])["conv3_1"],
        load_encoder(exact.name)(picture, ["conv3_1"])["conv3_1"],
    )


@pytest.mark.parametrize("device", DEVICES)
def test_losses_and_their_gradient_are_those_of_float32(exact: Encoder, device: str) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        level = Level(96, 1)
        objective = Objective(exact.to(device), problem(device), plan(precision, level), (72, 96))
        terms, slope = objective.backward(smooth(72, 96, 6)[None].to(device))
        assert any(name.startswith("contour.") for name in terms)
        found[precision] = ({n: v.item() for n, v in terms.items()}, slope.flatten())
    (wanted, gradient), (terms, other) = found["float32"], found["bfloat16"]
    for name, value in wanted.items():
        assert terms[name] == pytest.approx(value, rel=0.03, abs=1e-4), name
    assert functional.cosine_similarity(other, gradient, dim=0) > 0.995


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_a_picture_comes_as_near_to_its_styles(exact: Encoder, device: str) -> None:
    exact, asked = exact.to(device), problem(device)
    judge = Objective(exact, asked, plan("float32"), (72, 96))
    totals = {
        precision: float(
            sum(judge(optimize(exact, asked, plan(precision, Level(96, 25)))[None]).values())
        )
        for precision in ("float32", "bfloat16")
    }
    start = float(sum(judge(asked.start[None]).values()))
    assert totals["float32"] < 0.5 * start
    assert totals["bfloat16"] - totals["float32"] < 0.05 * (start - totals["float32"])


def test_contours_are_read_in_either_precision() -> None:
    encoder = load_encoder("hed-vgg16")
    picture, layers = smooth(48, 64, 7)[None], contour_layers(encoder)
    wanted = contour_logits(encoder, encoder(picture, layers))
    narrow = encoder.multiplying_in("bfloat16")
    found = contour_logits(narrow, narrow(picture, layers))
    for here, there in zip(found, wanted, strict=True):
        assert (here.sigmoid() - there.sigmoid()).abs().max() < 0.05


# where it is chosen


def processor(monkeypatch: pytest.MonkeyPatch, **features: bool) -> None:
    monkeypatch.delenv(PRECISION_VARIABLE, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)


def test_a_processor_that_has_it_is_known_by_its_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = torch.device("cpu")
    for features, wanted in (
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True}, False),
        ({}, False),
    ):
        processor(monkeypatch, **features)
        assert multiplies_bfloat16(here) is wanted
    monkeypatch.setattr(torch, "cpu", SimpleNamespace())
    assert multiplies_bfloat16(here) is False
    assert multiplies_bfloat16(torch.device("mps")) is False


def test_a_gpu_that_only_imitates_it_multiplies_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert multiplies_bfloat16(torch.device("cuda")) is False
    assert asked == [False]


RECIPE = {
    "recipe": 1,
    "size": 48,
    "regions": [{"name": "all", "select": "rest", "style": "stripes.png"}],
    "optimize": {"steps": 2},
}


@pytest.fixture
def recipe(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(tmp_path)
    from layered_nst.picture import to_image

    to_image(smooth(40, 48, 8)).save("stripes.png")
    return RECIPE | {"content": "stripes.png"}


@pytest.mark.parametrize("native", [True, False])
def test_the_recipe_decides_before_the_processor(
    recipe: dict, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layered_nst import load_recipe

    processor(monkeypatch, avx512_bf16=native)
    chosen = planned(resolve(load_recipe(recipe))).precision
    assert chosen == ("bfloat16" if native else "float32")
    for asked in ("float32", "bfloat16"):
        stated = load_recipe(recipe, overrides=[f"optimize.precision={asked}"])
        assert planned(resolve(stated)).precision == asked


def test_a_team_decides_for_all_its_machines(recipe: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from layered_nst import load_recipe

    scene = resolve(load_recipe(recipe))
    for native, asked in ((True, "float32"), (False, "bfloat16")):
        processor(monkeypatch, avx512_bf16=native)
        monkeypatch.setenv(PRECISION_VARIABLE, asked)
        assert planned(scene).precision == asked
    monkeypatch.setenv(PRECISION_VARIABLE, "half")
    wanted = r"LAYERED_NST_PRECISION=half: no such precision; allowed: float32 or bfloat16"
    with pytest.raises(DeviceError, match=wanted):
        planned(scene)


def test_the_picture_says_how_it_was_multiplied(recipe: dict) -> None:
    results = {
        asked: apply(recipe, overrides=[f"optimize.precision={asked}"])
        for asked in ("float32", "bfloat16")
    }
    assert {k: r.manifest["precision"] for k, r in results.items()} == {k: k for k in results}
    assert not torch.equal(results["float32"].rgb, results["bfloat16"].rgb)
    again = apply(recipe, overrides=["optimize.precision=bfloat16"])
    assert torch.equal(again.rgb, results["bfloat16"].rgb)
