"""A search for a painter's form: shared weights, times, and going on after a break."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from searches import counted_times, small_pictures
from torch import Tensor
from workbench import lay_out, run

from layered_nst.errors import ModelError
from layered_nst.instant.network import DEFAULT_FORM, Form, Painter
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.training.painters import latency
from layered_nst.training.painters.latency import key_of, measured, predicted
from layered_nst.training.painters.searching import PainterSubject
from layered_nst.training.painters.sharing import filled, form_of, numbers_of, part_of
from layered_nst.training.searching.fronts import Front
from layered_nst.training.searching.searching import search
from layered_nst.training.searching.spaces import Space
from layered_nst.training.searching.subjects import SearchPlan

CHANNELS = (128, 64, 32)
SPACE = Space(((4, 8), (4, 6), (4,), (2, 4), (0, 1), (0,), (0, 1), (0,)))
SMALLEST, LARGEST = form_of(SPACE.smallest), form_of(SPACE.largest)
PLAN = SearchPlan(steps=2, evaluations=5, batch=1, crop=64)


@pytest.fixture(scope="module")
def light() -> Encoder:
    return load_encoder("light")


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return small_pictures("styles", 80)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    counted_times(monkeypatch, latency)


def drawn(painter: Painter, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    carried = [
        torch.randn(1, width, 32 // scale, 32 // scale, generator=generator)
        for width, scale in zip(CHANNELS, (8, 4, 2), strict=True)
    ]
    code = painter.code(
        [torch.rand(1, w, generator=generator) for w in CHANNELS],
        [torch.rand(1, w, generator=generator) for w in CHANNELS],
    )
    modulation = [part[:, :, None, None] for part in code]
    result: Tensor = painter(torch.rand(1, 3, 32, 32, generator=generator), carried, modulation)
    return result


def whole_of(form: Form) -> Painter:
    torch.manual_seed(0)
    whole = Painter(form, CHANNELS)
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return whole


# Shared weights


def test_a_part_paints_with_the_first_channels_of_the_whole() -> None:
    whole, form = whole_of(LARGEST), SMALLEST
    alone = Painter(form, CHANNELS)
    given = dict(whole.named_parameters())
    with torch.no_grad():
        for name, parameter in alone.named_parameters():
            value = given[name].detach().numpy()
            if name.startswith("modulate"):
                factors, summands = np.split(value, 2)
                own = len(parameter) // 2
                value = np.concatenate([factors[:own], summands[:own]])
            parameter.copy_(torch.from_numpy(value[tuple(map(slice, parameter.shape))].copy()))
    assert torch.allclose(drawn(part_of(whole, form)), drawn(alone), atol=1e-6)


def test_what_a_part_learns_the_whole_learns() -> None:
    whole = whole_of(LARGEST)
    drawn(part_of(whole, SMALLEST)).square().sum().backward()
    gradient = dict(whole.named_parameters())["stages.0.beside"].grad
    assert gradient is not None
    assert float(gradient[:4].abs().sum()) > 0
    assert float(gradient[4:].abs().sum()) == 0


def test_what_is_larger_is_no_part() -> None:
    with pytest.raises(ValueError, match="is no part of"):
        part_of(Painter(SMALLEST, CHANNELS), LARGEST)


def test_a_whole_that_is_filled_has_the_smaller_one_in_it() -> None:
    start = whole_of(SMALLEST)
    whole = Painter(LARGEST, CHANNELS)
    filled(whole, start)
    assert torch.allclose(drawn(part_of(whole, SMALLEST)), drawn(start), atol=1e-5)


def test_forms_are_said_and_read_alike() -> None:
    assert str(DEFAULT_FORM) == "96,48,32,16/1,1,1,0"
    assert Form.of(str(DEFAULT_FORM)) == form_of(numbers_of(DEFAULT_FORM)) == DEFAULT_FORM
    for text in ("", "1,2,3/1,1,1,0", "0,1,1,1/0,0,0,0", "1,1,1,1/-1,0,0,0", "a,b,c,d/0,0,0,0"):
        with pytest.raises(ValueError, match=r".+"):
            Form.of(text)


# Times


def test_a_painter_takes_the_sum_of_its_stages(quick: None) -> None:
    table = measured(SPACE, CHANNELS)
    for form in map(form_of, SPACE):
        parts = [table[key_of(form, stage)] for stage in range(4)]
        assert predicted(form, table) == pytest.approx(sum(parts) + table["rest"])


def test_measured_times_are_of_what_is_painted() -> None:
    space = Space(((4,), (4,), (4,), (2, 64), (0,), (0,), (0,), (0,)))
    table = measured(space, CHANNELS)
    assert all(value >= 0 for value in table.values())
    assert table[key_of(form_of(space.largest), 3)] > table[key_of(form_of(space.smallest), 3)]


# The whole


def test_a_search_goes_on_where_it_was_and_comes_to_the_same_front(
    light: Encoder, pictures: list[Tensor], tmp_path: Path, quick: None
) -> None:
    told: list[tuple[int, int, str]] = []

    def found(folder: Path, stop_at: int | None = None) -> Front:
        folder.mkdir(exist_ok=True)

        def tell(done: int, of: int, what: str) -> None:
            told.append((done, of, what))
            if len(told) == stop_at:
                raise KeyboardInterrupt

        subject = PainterSubject(light, pictures, pictures, space=SPACE)
        return search(subject, folder, plan=PLAN, on_step=tell)

    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "broken", stop_at=4)
    stored = json.loads((tmp_path / "broken" / "journal.json").read_text())
    assert 1 <= len(stored["found"]) < 8
    told.clear()
    again = found(tmp_path / "broken")
    assert "shared weights" not in {what for *_, what in told}
    # The times are of the one machine, so the journal of the other starts with the same.
    (tmp_path / "whole").mkdir()
    journal = {**stored, "found": []}
    (tmp_path / "whole" / "journal.json").write_text(json.dumps(journal))
    assert found(tmp_path / "whole") == again
    first, second = ((tmp_path / n / "front.json").read_bytes() for n in ("broken", "whole"))
    assert first == second
    assert len(again.evolved) == len(again.drawn) == 5
    assert 0 <= again.volumes[1] <= 1


def test_a_search_of_other_photos_is_not_gone_on_with(
    light: Encoder, pictures: list[Tensor], tmp_path: Path, quick: None
) -> None:
    plan = SearchPlan(steps=1, evaluations=2, batch=1, crop=64)
    search(PainterSubject(light, pictures, pictures, space=SPACE), tmp_path, plan=plan)
    other = PainterSubject(light, pictures[::-1], pictures, space=SPACE)
    with pytest.raises(ModelError, match="made with other photos"):
        search(other, tmp_path, plan=plan)


def test_a_file_is_as_large_as_is_told(light: Encoder, pictures: list[Tensor]) -> None:
    subject = PainterSubject(light, pictures, pictures)
    path = weights_path("instant")
    told = subject.size(numbers_of(DEFAULT_FORM))
    assert told < path.stat().st_size < told + 6000  # what it says of itself


def test_the_command_searches_and_teaches_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Tensor], quick: None
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("pictures").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(f"pictures/{number}.png")
    Path("front").mkdir()
    plan = {"steps": 1, "evaluations": 3, "batch": 1, "crop": 64, "learning_rate": 5e-4, "seed": 0}
    Path("front/plan.json").write_text(json.dumps(plan))
    ran = run("painter", "search", "pictures", "pictures", "--latency", "1h", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["hypervolume"].keys() == {"evolution", "chance"}
    words = ("--form", ran.json["chosen"]["form"], "--steps", "1", "--batch", "1", "--crop", "64")
    taught = run("painter", "train", "pictures", "pictures", "-o", "own.safetensors", *words)
    assert taught.code == 0, taught.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "pictures", "pictures", "--latency", "soon"), "allowed: a time above 0"),
        (("search", "pictures", "pictures", "--budget", "0s"), "allowed: a time above 0"),
        (("train", "pictures", "pictures", "--form", "1,2"), "four widths and four depths"),
        (("train", "p", "p", "--form", "1,1,1,1/0,0,0,0", "--start", "instant"), "name one"),
    ],
)
def test_words_that_mean_nothing_are_wrong_usage(words: tuple[str, ...], said: str) -> None:
    ran = run("painter", *words)
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())
