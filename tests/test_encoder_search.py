"""A search for a light encoder's widths: shared weights, errors, times, the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from searches import counted_times, small_pictures
from torch import Tensor
from workbench import lay_out, run

from layered_nst.errors import ModelError
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.training.encoders import latency
from layered_nst.training.encoders.distilling import widths_of
from layered_nst.training.encoders.latency import key_of, measured, predicted, timed_layers
from layered_nst.training.encoders.matching import MAIN_LAYERS, DistillPlan
from layered_nst.training.encoders.searching import EncoderSubject
from layered_nst.training.encoders.sharing import filled_student, space_of, student_part
from layered_nst.training.encoders.students import RIDGE, Student, sampled
from layered_nst.training.searching.fronts import Front
from layered_nst.training.searching.searching import search
from layered_nst.training.searching.spaces import Numbers, Space
from layered_nst.training.searching.subjects import SearchPlan

LIGHT = (32, 16, 32, 32, 64, 64, 64, *6 * (128,))
PLAN = SearchPlan(steps=2, evaluations=5, batch=2, crop=48)


@pytest.fixture(scope="module")
def teacher() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


@pytest.fixture(scope="module")
def space(teacher: Encoder) -> Space:
    """Halves and wholes of what the teacher has."""
    return Space(tuple((teacher.width(k) // 2, teacher.width(k)) for k in teacher.layers))


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return small_pictures("photos", 72)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    counted_times(monkeypatch, latency)


# Shared weights


def test_light_is_among_the_forms_and_none_is_wider_than_its_teacher() -> None:
    teacher = load_encoder("hed-vgg16")
    space = space_of(teacher)
    assert all(width in choice for width, choice in zip(LIGHT, space.choices, strict=True))
    for layer, choice in zip(teacher.layers, space.choices, strict=True):
        assert list(choice) == sorted(set(choice))
        assert choice[-1] <= teacher.width(layer)
        assert all(width % 8 == 0 for width in choice)


def whole_student(teacher: Encoder) -> Student:
    torch.manual_seed(0)
    widths = {layer: teacher.width(layer) for layer in teacher.layers}
    whole = Student(teacher.blocks, widths, widths)
    for weight in whole.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return whole


def test_a_part_sees_with_the_first_channels_and_what_it_learns_the_whole_learns(
    teacher: Encoder, space: Space
) -> None:
    whole, picture = whole_student(teacher), torch.rand(1, 3, 32, 32)
    part = student_part(whole, space.smallest)
    alone = Student(teacher.blocks, dict(zip(teacher.layers, space.smallest, strict=True)),
                    {layer: teacher.width(layer) for layer in teacher.layers})  # fmt: skip
    given = {name: value.detach().numpy() for name, value in whole.named_parameters()}
    with torch.no_grad():
        for name, parameter in alone.named_parameters():
            first = given[name][tuple(map(slice, parameter.shape))]
            parameter.copy_(torch.from_numpy(first.copy()))
    for layer, seen in part(picture).items():
        assert torch.allclose(seen, alone(picture)[layer], atol=1e-5), layer
        assert torch.equal(part.maps[layer], alone.maps[layer])
    part(picture)["conv2_1"].sum().backward()
    gradient = whole.kernels("conv1_1")[0].grad
    assert gradient is not None
    own = space.smallest[0]
    assert float(gradient[:own].abs().sum()) > 0 == float(gradient[own:].abs().sum())
    with pytest.raises(ValueError, match="conv1_1: 9999 channels are no part of"):
        student_part(whole, (9999, *space.smallest[1:]))


def test_a_whole_that_is_filled_has_the_encoder_in_it(teacher: Encoder, space: Space) -> None:
    widths = dict(zip(teacher.layers, space.smallest, strict=True))
    start = latency.encoder_of(teacher, space.smallest)
    whole = whole_student(teacher)
    filled_student(whole, start)
    picture = torch.rand(1, 3, 32, 32)
    seen, wanted = student_part(whole, space.smallest)(picture), start(picture, start.layers)
    for layer in widths:
        assert torch.allclose(seen[layer], wanted[layer], atol=1e-5), layer


# What a form is worth


def test_a_form_is_worth_what_least_squares_explain_of_pictures_that_were_held_out(
    teacher: Encoder, space: Space, pictures: list[Tensor]
) -> None:
    subject = EncoderSubject(teacher, pictures, space=space)
    assert {id(p) for p in subject.held}.isdisjoint(id(p) for p in subject.pictures)
    torch.manual_seed(0)
    subject.begin(PLAN)
    subject.settle(PLAN)
    form = space.smallest
    with torch.no_grad():
        assert 3 * subject.error(space.largest) < subject.error(form) < 1
        (first, given), (held, wanted) = subject.judged_on
        part = student_part(subject.whole, form)
        sources, seen = sampled(part, first), sampled(part, held)
        # What the teacher sees at the same places of the same crops.
        again = sampled(lambda some: teacher(some, teacher.layers), held)
    total = weights = 0.0
    for layer, weight in {k: DistillPlan().weights.get(k, 0.25) for k in teacher.layers}.items():
        assert torch.equal(again[layer], wanted[layer])
        ridge = RIDGE * float(sources[layer].square().sum(0).mean())
        left = np.vstack([sources[layer].numpy(), ridge**0.5 * np.eye(sources[layer].shape[1])])
        right = np.vstack([given[layer].numpy(), np.zeros((left.shape[1], given[layer].shape[1]))])
        taken = np.linalg.lstsq(left.astype(float), right.astype(float), rcond=None)[0]
        target = wanted[layer].numpy()
        unexplained = ((target - seen[layer].numpy() @ taken) ** 2).sum()
        total += weight * unexplained / (target.var(0) * len(target)).sum()
        weights += weight
    with torch.no_grad():
        assert subject.error(form) == pytest.approx(total / weights, rel=1e-3)


def test_a_file_is_as_large_as_is_told(pictures: list[Tensor]) -> None:
    subject = EncoderSubject(load_encoder("hed-vgg16"), pictures)
    told, there = subject.size(LIGHT), weights_path("light").stat().st_size
    assert told < there < told + 20_000  # what it says of itself


# Times


def test_the_ends_take_what_they_took_and_others_a_share_of_their_layers(
    teacher: Encoder, space: Space, quick: None
) -> None:
    few = Space(tuple(c if n in (0, 4) else c[:1] for n, c in enumerate(space.choices)))
    table = measured(teacher, few)
    layers = timed_layers(teacher.layers)
    assert layers[-1] == "conv5_1"
    assert len(table) == len(layers) + 4 + 2  # two widths each are given by one, read by the next
    times = sorted(seconds for name, seconds in table.items() if ":" in name)
    assert times == pytest.approx([n / 1000 for n in range(1, len(layers) + 5)])

    def together(form: Numbers) -> float:
        pairs = zip(layers, (3, *form), form, strict=False)
        return sum(table[key_of(*pair)] for pair in pairs)

    low, high = (len(layers) + 5) / 1000, (len(layers) + 6) / 1000
    share = (high - low) / (together(few.largest) - together(few.smallest))
    for form in few:
        wanted = max(0.0, low - share * together(few.smallest)) + share * together(form)
        assert predicted(teacher.layers, form, table) == pytest.approx(wanted)


def test_layers_are_timed_as_an_encoder_computes_them(
    teacher: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer after layer they take what a step takes, but for what a busy machine does beside."""
    monkeypatch.setattr(latency, "SIDE", 64)
    form = tuple(2 * teacher.width(layer) for layer in teacher.layers)
    table = measured(teacher, Space(tuple((width,) for width in form)))
    layers = sum(seconds for name, seconds in table.items() if ":" in name)
    assert set(MAIN_LAYERS) <= {name.split(":")[0] for name in table if ":" in name}
    whole = latency.least_seconds(latency._step_of(teacher, form))
    assert 0.3 < layers / whole < 3


# The whole


def test_a_search_goes_on_where_it_was_and_comes_to_the_same_front(
    teacher: Encoder, space: Space, pictures: list[Tensor], tmp_path: Path, quick: None
) -> None:
    told: list[str] = []

    def found(folder: Path, stop_at: int | None = None) -> Front:
        folder.mkdir(exist_ok=True)

        def tell(done: int, of: int, what: str) -> None:
            told.append(what)
            if len(told) == stop_at:
                raise KeyboardInterrupt

        subject = EncoderSubject(teacher, pictures, space=space)
        return search(subject, folder, plan=PLAN, on_step=tell)

    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "broken", stop_at=4)
    stored = json.loads((tmp_path / "broken" / "journal.json").read_text())
    assert 1 <= len(stored["found"]) < 8
    told.clear()
    again = found(tmp_path / "broken")
    assert "shared weights" not in told
    # The times are of the one machine, so the journal of the other starts with the same.
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "journal.json").write_text(json.dumps({**stored, "found": []}))
    assert found(tmp_path / "whole") == again
    assert len(again.evolved) == len(again.drawn) == 5
    start = latency.encoder_of(teacher, space.smallest)
    assert EncoderSubject(teacher, pictures, start=start, space=space).known == [space.smallest]
    assert not EncoderSubject(teacher, pictures, start=start, space=Space(space.choices[:1])).known
    with pytest.raises(ModelError, match="made with another start"):
        search(EncoderSubject(teacher, pictures, start=start, space=space), tmp_path / "whole",
               plan=PLAN)  # fmt: skip


def test_the_command_searches_and_distills_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Tensor], quick: None
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("pictures").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(f"pictures/{number}.png")
    Path("front").mkdir()
    plan = {"steps": 1, "evaluations": 3, "batch": 1, "crop": 32, "learning_rate": 5e-4, "seed": 0}
    Path("front/plan.json").write_text(json.dumps(plan))
    words = ("encoder", "search", "pictures", "--start", "light", "--latency", "1h", "--json")
    ran = run(*words)
    assert ran.code == 0, ran.err
    chosen = ran.json["chosen"]
    assert ran.json["hypervolume"].keys() == {"evolution", "chance"}
    assert chosen["error"] == min(one["error"] for one in ran.json["front"])
    assert (
        "| form | error | ms for a step at 320×320 px | MB |" in Path("front/front.md").read_text()
    )
    tiny = ("--steps", "1", "--batch", "1", "--crop", "32", "-o", "own.safetensors")
    taught = run("encoder", "distill", "pictures", "--form", chosen["form"], *tiny)
    assert taught.code == 0, taught.err
    own = load_encoder("own.safetensors")
    assert ",".join(str(own.width(layer)) for layer in own.layers) == chosen["form"]
    assert Path("own.safetensors").stat().st_size - chosen["size"] < 20_000
    shutil.rmtree("front")
    again = run("encoder", "distill", "pictures", *tiny)
    assert again.error.startswith("own.safetensors.training: made with ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "pictures", "--latency", "soon"), "allowed: a time above 0"),
        (("search", "pictures", "--budget", "0s"), "allowed: a time above 0"),
        (("distill", "p", "--form", "a,b"), "allowed: a whole number for each layer"),
        (("distill", "p", "--form", "0,1"), "allowed: widths of at least 1"),
        (("distill", "p", "--form", "1,1", "--start", "light"), "widths of its own"),
        (("distill", "p", "--form", "1,1", "--width", "0.5"), "both tell widths"),
    ],
)
def test_words_that_mean_nothing_are_wrong_usage(words: tuple[str, ...], said: str) -> None:
    ran = run("encoder", *words)
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())


def test_a_form_has_a_width_for_each_layer_and_none_above_the_teachers(teacher: Encoder) -> None:
    with pytest.raises(ModelError, match="form: found 2 widths, narrow has 13 layers"):
        widths_of(teacher, DistillPlan(form=(4, 4)))
    with pytest.raises(ModelError, match=r"form: found 5 channels at conv1_1, allowed: up to 4"):
        widths_of(teacher, DistillPlan(form=(5, *12 * (1,))))
