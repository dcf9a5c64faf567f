"""Everything works on a device beside the CPU that knows no float64, whatever callers hand over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import THERE, OnlyFloat32, there
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_map
from workbench import lay_out, photo, run

from layered_nst import Interrupted, apply, apply_video, check, plugins, score, segment
from layered_nst.machine import device
from layered_nst.networks.segmenters import Segmentation
from layered_nst.plugins import manifests
from layered_nst.regions.points import Clickable, Clicks

DRAWN = {"box": [0, 0, 1, 0.5]}
ASTRONAUT = Path(__file__).parents[1] / "assets" / "photos" / "astronaut.jpg"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, on a machine that has such a device."""
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    monkeypatch.setattr(device, "KINDS", (*device.KINDS, THERE.type))
    monkeypatch.setattr(device, "WITHOUT_FLOAT64", (THERE.type,))
    monkeypatch.setattr(manifests, "DEVICES", (*manifests.DEVICES, THERE.type))
    # Where other tests have read what is built in, it is said to run on the usual ones alone.
    monkeypatch.setattr(plugins, "_registry", None)
    plugins._built_in.cache_clear()
    with OnlyFloat32():
        yield tmp_path
    plugins._built_in.cache_clear()


def recipe(*regions: dict[str, Any], **said: Any) -> dict[str, Any]:
    whole = {"name": "ground", "select": "rest", "style": "stripes.png"}
    common = {"recipe": 1, "content": "photo.png", "size": 32, "encoder": "light"}
    return {**common, "optimize": {"steps": 1}, **said, "regions": [whole, *regions]}


def sky(**said: Any) -> dict[str, Any]:
    return {"name": "sky", "select": DRAWN, "fixed": True, "style": "dots.png", **said}


def far(first: Any, second: Any) -> int:
    """The largest difference of two results, of 255."""
    pictures = [np.asarray(one.image.convert("RGB")).astype(int) for one in (first, second)]
    return int(np.abs(pictures[0] - pictures[1]).max())


def test_what_would_fail_on_such_a_device_is_seen() -> None:
    away, here = there(torch.ones(2, 3)), torch.ones(2, 3)
    for wrong in (
        lambda: away + here,
        lambda: torch.where(here > 0, away, 0),
        lambda: torch.cat([away, here]),
        lambda: here[there(torch.tensor([0]))],
        lambda: away @ torch.ones(3, 1),
    ):
        with pytest.raises(RuntimeError, match="tensors of two devices"):
            wrong()
    for wrong in (away.double, lambda: torch.zeros(2, dtype=torch.float64, device=THERE)):
        with pytest.raises(TypeError, match="knows no float64"):
            wrong()
    # What a device takes from the CPU: single numbers, positions, and what is copied to it.
    assert torch.equal((away * torch.tensor(2.0))[torch.tensor([1])].cpu(), here[:1] * 2)
    assert torch.equal(away.new_tensor([1.0, 2.0]).cpu(), torch.tensor([1.0, 2.0]))
    away.copy_(here + 1)
    assert torch.equal(away.cpu(), here + 1)


MIXTURE = [{"image": "dots.png", "weight": 0.4}, {"image": "stripes.png", "weight": 0.6}]
CASES = {
    "colors": recipe(sky(color="luminance", strength=0.5, content=2)),
    "mixture": recipe(sky(style=MIXTURE, flow={"from": "top", "to": "bottom"})),
    "protected": recipe({"name": "sky", "select": DRAWN, "fixed": True, "protect": True}),
    "clicked": recipe(
        sky(select={"points": {"in": [[0.5, 0.2]], "out": [[0.5, 0.9]]}}),
        {"name": "earth", "select": {"class": "ground"}, "style": "dots.png"},
    ),
    "product": recipe(sky(), strategy="product-then-style", product=["sky"]),
    "levels": recipe(sky(), size=96, optimize={"steps": 2, "levels": [48, 96]}),
    "adam": recipe(sky(), optimize={"steps": 2, "optimizer": "adam"}),
    "contours": recipe(sky(), encoder="hed-vgg16"),
    "instant": recipe(sky(strength=0.7), optimize={"quality": "instant"}, encoder="hed-vgg16"),
}


def slow(*names: str) -> list[Any]:
    """Cases of which some are slow, since others see nearly as much."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in names)) for name in CASES]


@pytest.mark.parametrize(
    "name", slow("clicked", "mixture", "protected", "product", "levels", "adam")
)
def test_a_recipe_paints_there_what_it_paints_here(name: str) -> None:
    assert far(apply(CASES[name], device=THERE), apply(CASES[name], device="cpu")) <= 2


@pytest.mark.slow
def test_a_picture_in_tiles_is_painted_there() -> None:
    asked = recipe(sky(), size=640, optimize={"steps": 1, "levels": [640]})
    painted = [apply(asked, device=where, memory="900M") for where in (THERE, "cpu")]
    assert "tiles" in " ".join(painted[0].notes)
    assert far(*painted) <= 2


@pytest.mark.parametrize("kind", ["bytes", "numbers"])
def test_a_photo_may_be_a_tensor_of_another_device(kind: str) -> None:
    pixels = torch.from_numpy(photo()).movedim(-1, 0)
    given = pixels if kind == "bytes" else pixels.float() / 255
    wanted = check(recipe(sky()), device="cpu").scene.picture.rgb
    for content, runs in ((there(given), "cpu"), (given, THERE), (there(given), THERE)):
        found = check(recipe(sky()), content, device=runs).scene.picture.rgb
        assert found.device.type == torch.device(runs).type
        assert torch.equal(found.cpu(), wanted)


@pytest.mark.slow
def test_a_photo_of_another_device_is_segmented() -> None:
    pixels = torch.from_numpy(photo()).movedim(-1, 0)
    assert segment(there(pixels), device="cpu").names == segment(pixels, device="cpu").names


def test_a_look_of_a_library_is_used_there() -> None:
    words = ("--scale", "24,34", "--encoder", "light")
    assert run("styles", "build", "dusk", "dots.png", "-o", "team.safetensors", *words).code == 0
    asked = recipe(sky(style={"library": "team/dusk"}, strength=0.5))
    assert far(apply(asked, device=THERE), apply(asked, device="cpu")) <= 2


def test_what_was_clicked_at_is_outlined_there() -> None:
    rgb = torch.from_numpy(photo(32, 24)).movedim(-1, 0) / 255
    light = (rgb.mean(0, keepdim=True) > 0.6).float()
    seen, clicks = torch.cat([light, 1 - light]), Clicks([(0.5, 0.2)], [(0.5, 0.9)])
    here, away = (
        Clickable(photo, Segmentation(classes, ("sky", "ground"), "made")).mask(clicks)
        for photo, classes in ((rgb, seen), (there(rgb), there(seen)))
    )
    assert (here > 0.5).any()
    assert torch.equal(away.cpu(), here)


@pytest.mark.slow
def test_faces_are_found_there() -> None:
    with Image.open(ASTRONAUT) as picture:
        picture.resize((160, 160)).save("face.png")
    part = {"name": "eyes", "select": {"face": "all", "part": "eyes"}, "style": "dots.png"}
    face = {"name": "face", "select": {"face": "largest"}, "style": "dots.png"}
    found = apply(recipe(face, part, content="face.png"), device=THERE)
    assert min(found.coverage["face"], found.coverage["eyes"]) > 0.001


@pytest.mark.slow
def test_a_clip_is_painted_there() -> None:
    Path("clip").mkdir()
    for number in range(3):
        Image.fromarray(np.roll(photo(), number, 1)).save(f"clip/{number}.png")
    assert len(apply_video(recipe(sky(), content="clip"), device=THERE)) == 3


@pytest.mark.slow
def test_a_run_that_was_stopped_there_goes_on_there(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = torch.load

    def load(path: Any, *, map_location: Any = "cpu", **options: Any) -> Any:
        """As ``torch.load``, which knows of no imitations."""
        found = usual(path, map_location="cpu", **options)
        return tree_map(lambda v: v.to(map_location) if isinstance(v, Tensor) else v, found)

    monkeypatch.setattr(torch, "load", load)
    asked, steps = recipe(sky(), optimize={"steps": 3}), iter(range(9))
    with pytest.raises(Interrupted):
        apply(asked, device=THERE, checkpoint="c", stop=lambda: next(steps) >= 2)
    assert Path("c").exists()
    resumed = apply(asked, device=THERE, checkpoint="c", resume=True)
    assert far(resumed, apply(asked, device=THERE)) == 0


@pytest.mark.slow
def test_a_picture_is_finished_and_scored_there() -> None:
    apply(recipe(sky()), device=THERE).save("draft.png")
    asked = {"approved": "draft.png"}
    apply("draft.png", size=48, overrides=asked, device=THERE).save("out.png")
    found, wanted = (score("out.png", device=where) for where in (THERE, "cpu"))
    assert found.edges == pytest.approx(wanted.edges, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "segmenter train data -o own.safetensors --epochs 32:1 --batch 2 --width 8",
        "encoder score light data/images",
        "painter score instant data/images data/images",
        "features photo.png --size 48 --encoder light",
        "contours photo.png --size 48",
        "texture dots.png --size 32 --steps 1 --encoder light",
        "gallery . --size 32 --steps 1",
        "styles build dusk dots.png -o own.safetensors --scale 24,34 --encoder light",
    ],
)
def test_commands_run_there(words: str) -> None:
    for part in ("images", "labels"):
        Path("data", part).mkdir(parents=True)
    for name in "abc":
        Image.fromarray(photo()).save(f"data/images/{name}.jpg")
        Image.new("L", (64, 48), 1).save(f"data/labels/{name}.png")
    Path("data/classes.txt").write_text("one\ntwo\n")
    Path("data/train.txt").write_text("a\nb\n")
    Path("data/val.txt").write_text("c\n")
    ran = run(*words.split(), "--device", THERE.type)
    assert ran.code == 0, ran.err
