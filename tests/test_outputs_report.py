"""The report: what the page says, that it has all it names, and that a real browser shows it.

The test in a browser is slow and needs Chromium (on Debian ``apt-get install chromium``).
"""

from __future__ import annotations

import csv
import errno
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from workbench import RECIPE, lay_out, photo, run

from layered_nst import Result, api, apply, load_recipe
from layered_nst.cli import display as display_module
from layered_nst.errors import Interrupted, OutputError
from layered_nst.outputs.report.page import check_report_folder, write_report
from layered_nst.outputs.report.recorder import Recorder
from layered_nst.recipe import dump_recipe

STEPS = {"optimize.levels": [24, 48], "optimize.steps": [3, 2], "optimize.tolerance": 0}
VOID = {"meta", "link", "img", "input", "br"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def mapping(**changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(RECIPE), **changes}


def recorded(recipe: Any = "look.yaml", *args: Any, **options: Any) -> tuple[Result, Recorder]:
    recorder = Recorder()
    options.setdefault("overrides", STEPS)
    result = apply(recipe, *args, on_scene=recorder.scene, on_progress=recorder.step, **options)
    return result, recorder


class Page(HTMLParser):
    """A page as a browser would read it: elements with attributes, and the text in them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.text = path, path.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[int] = []
        self.texts: dict[int, str] = {}
        self.feed(self.text)
        self.close()
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.texts[index] = self.texts.get(index, "") + data

    def found(self, tag: str, **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and text of the elements of a kind."""
        names = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            (attrs, self.texts.get(index, ""))
            for index, (name, attrs) in enumerate(self.elements)
            if name == tag and all(attrs.get(k) == v for k, v in names.items())
        ]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table of times."""
        cells = [" ".join(text.split()) for _, text in self.found("td")]
        return [cells[i : i + 6] for i in range(0, len(cells), 6)]

    @property
    def named(self) -> set[str]:
        """Everything that the page loads or leads to."""
        keys = ("src", "href", "data-film", "data-still", "srcset", "poster")
        return {a[key] or "" for _, a in self.elements for key in keys if key in a} - {"data:,"}

    @property
    def plain(self) -> str:
        """All text outside of style and script, with single spaces."""
        body = re.sub(r"(?s)<(style|script)\b.*?</\1>", " ", self.text)
        return " ".join(re.sub("<[^>]*>", " ", body).split())


def files(folder: str | Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


# what the page says


def test_every_file_that_the_page_names_is_there_and_no_other() -> None:
    result, recorder = recorded()
    page = Page(write_report(result, "report", recording=recorder))
    assert page.path == Path("report/index.html")
    assert page.named | {"index.html"} == files("report")
    for name in page.named:
        assert not Path(name).is_absolute()
        assert ".." not in name
        if name.endswith((".jpg", ".png", ".webp", ".gif")):
            with Image.open(Path("report", name)) as picture:
                picture.load()


def test_pictures_are_as_large_as_the_page_says_and_are_described() -> None:
    result, recorder = recorded()
    page = Page(write_report(result, "report", recording=recorder))
    pictures = page.found("img")
    assert len(pictures) >= 7
    for attrs, _ in pictures:
        with Image.open(Path("report", attrs["src"] or "")) as picture:
            assert (str(picture.width), str(picture.height)) == (attrs["width"], attrs["height"])
        assert attrs["alt"]


def test_nothing_is_loaded_from_elsewhere() -> None:
    result, recorder = recorded()
    text = write_report(result, "report", recording=recorder).read_text("utf-8")
    # The name of the kind of XML is the one address there may be; nobody goes there.
    assert set(re.findall(r"https?://[^\"'\s<)]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|//cdn|fetch\(|XMLHttpRequest", text)


def test_photo_and_result_on_the_page_are_those_of_the_run() -> None:
    result, _ = recorded()
    write_report(result, "report")
    for name, rgb in (("photo", result.scene.picture.rgb), ("result", result.rgb)):
        found = np.asarray(Image.open(f"report/files/{name}.jpg")).astype(float)
        wanted = 255 * rgb.permute(1, 2, 0).numpy()
        assert np.abs(found - wanted).mean() < 6


def test_regions_are_told_with_coverage_styles_and_settings() -> None:
    changes = {"regions.sky.strength": 1.75, "regions.sky.scale": 0.5, "regions.sky.contour": 0.25}
    result, _ = recorded(overrides={**STEPS, **changes})
    page = Page(write_report(result, "report"))
    sky, ground = page.found("article")
    for (_, text), name, style in ((sky, "sky", "dots.png"), (ground, "ground", "stripes.png")):
        assert name in text
        assert style in text
        assert f"{100 * result.coverage[name]:.1f} %" in text
    chips = [" ".join(text.split()) for _, text in page.found("li")]
    assert {"strength 1.75", "scale 0.5", "contour 0.25", "color style"} <= set(chips)


def test_a_blend_is_told_by_shares_and_a_protected_region_as_the_photo() -> None:
    recipe = mapping()
    recipe["regions"][0]["style"] = [
        {"image": "stripes.png", "weight": 3},
        {"image": "dots.png", "weight": 1},
    ]
    del recipe["regions"][1]["style"]
    recipe["regions"][1]["protect"] = True
    result, _ = recorded(recipe)
    page = Page(write_report(result, "report"))
    sky, ground = (" ".join(text.split()) for _, text in page.found("article"))
    assert sky.endswith("The photo as it is.")
    assert re.search(r"stripes\.png ?75 % .*dots\.png ?25 %", ground)


def test_the_recipe_round_trips_out_of_the_page_and_out_of_its_file() -> None:
    result, _ = recorded()
    page = Page(write_report(result, "report"))
    ((_, text),) = page.found("code", id="recipe-text")
    assert yaml.safe_load(text) == yaml.safe_load(dump_recipe(result.recipe))
    assert load_recipe("report/files/recipe.yaml") == result.recipe
    assert load_recipe(yaml.safe_load(text)) == result.recipe


def test_losses_levels_and_times_are_told() -> None:
    result, recorder = recorded()
    page = Page(write_report(result, "report", recording=recorder))
    titles = [text for _, text in page.found("h3")]
    assert {"ground: style by layer", "sky: style by layer"} <= set(titles)
    for attrs, _ in page.found("path"):
        if "data-name" in attrs:
            assert len((attrs["data-values"] or "").split()) == 5
    assert [row[0] for row in page.rows] == ["preparing", "joint", "joint", "finishing"]
    assert [row[1:3] for row in page.rows[1:3]] == [["24×18", "3"], ["48×36", "2"]]
    first, last = result.losses[0]["total"], result.losses[2]["total"]
    assert page.rows[1][3] == f"{first:.3g} → {last:.3g}"


def test_the_stages_of_a_layered_strategy_are_told_apart() -> None:
    recipe = mapping(strategy="product-then-style", product=["sky"])
    result, recorder = recorded(recipe)
    page = Page(write_report(result, "report", recording=recorder))
    stages = list(dict.fromkeys(step.stage for step in recorder.steps))
    assert len(stages) == 2
    names = [text for attrs, text in page.found("text") if "stage-name" in (attrs["class"] or "")]
    assert names[:2] == stages
    assert list(dict.fromkeys(row[0] for row in page.rows[1:-1])) == stages


def test_all_losses_stand_in_a_table() -> None:
    result, recorder = recorded()
    write_report(result, "report", recording=recorder)
    with open("report/files/losses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["level"], row["longest_px"]) for row in rows] == [
        ("1", "1", "24"),
        ("2", "1", "24"),
        ("3", "1", "24"),
        ("4", "2", "48"),
        ("5", "2", "48"),
    ]
    for row, losses in zip(rows, result.losses, strict=True):
        for name, value in losses.items():
            assert float(row[name]) == value


def test_times_of_levels_sum_to_the_time_of_the_run() -> None:
    result, recorder = recorded()
    page = Page(write_report(result, "report", recording=recorder))
    widths = [
        float(re.sub("[^0-9.]", "", attrs["style"] or ""))
        for attrs, _ in page.found("i")
        if (attrs["style"] or "").startswith("width") and "background" not in (attrs["style"] or "")
    ]
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert 0 < recorder.steps[-1].seconds <= result.seconds


def test_without_a_recording_there_is_no_film_but_all_else() -> None:
    result, _ = recorded()
    page = Page(write_report(result, "report"))
    assert not page.found("section", id="film")
    assert not page.found("section", id="times")
    assert len(page.found("section", id="curves")) == 1
    assert page.named | {"index.html"} == files("report")


def test_a_run_of_no_steps_has_a_report() -> None:
    result, recorder = recorded(overrides={"optimize.steps": 0})
    page = Page(write_report(result, "report", recording=recorder))
    assert not page.found("section", id="curves")
    assert page.named | {"index.html"} == files("report")


def test_notes_are_shown() -> None:
    result, _ = recorded()
    page = Page(write_report(result, "report", notes=["a note of the command line"]))
    shown = [text for _, text in page.found("li")]
    assert {"a note of the command line", *result.notes} <= set(shown)


def test_alpha_of_the_photo_shows_on_the_page() -> None:
    cut = np.dstack([photo(), np.where(np.arange(64) < 32, 255, 0)[None].repeat(48, 0)])
    result, recorder = recorded(mapping(), cut.astype(np.uint8))
    page = Page(write_report(result, "report", recording=recorder))
    assert {"files/photo.png", "files/result.png"} <= page.named
    alpha = np.asarray(Image.open("report/files/result.png"))[..., 3]
    assert alpha[:, :22].min() == 255
    assert alpha[:, 26:].max() == 0


# names that would be markup


def test_whatever_a_name_holds_it_is_text(folder: Path) -> None:
    evil = '<script>alert("x")</script>&amp;'
    places = [folder / f"{part}.png" for part in ("<img src=x>", "a&b'\"<b>")]
    for place, source in zip(places, ("stripes.png", "photo.png"), strict=True):
        shutil.copy(source, place)
    recipe = mapping(name=evil, content=str(places[1]))
    recipe["regions"][0]["style"] = str(places[0])
    recipe["regions"][0]["name"] = "a&amp;b;'"
    result, recorder = recorded(recipe)
    page = Page(write_report(result, "report", recording=recorder, notes=[evil]))
    assert len(page.found("script")) == 1
    assert not [a for a, _ in page.found("img") if a.get("src") == "x"]
    (((_, title)),) = page.found("h1")
    assert title == evil
    assert evil in [text for _, text in page.found("li")]
    assert any(text == "a&amp;b;'" for _, text in page.found("h3"))
    assert any(a.get("title") == str(places[0]) for a, _ in page.found("figure"))
    ((_, text),) = page.found("code", id="recipe-text")
    assert load_recipe(yaml.safe_load(text)) == result.recipe


# the folder


def test_an_older_report_is_replaced_and_other_files_stay() -> None:
    result, recorder = recorded()
    write_report(result, "report", recording=recorder)
    Path("report/mine.txt").write_text("mine")
    Path("report/files/mine.txt").write_text("mine")
    before = Path("report/files/result.jpg").read_bytes()
    write_report(replace(result, rgb=1 - result.rgb), "report", recording=recorder)
    assert Path("report/mine.txt").read_text() == "mine"
    assert Path("report/files/mine.txt").read_text() == "mine"
    assert Path("report/files/result.jpg").read_bytes() != before
    assert not [name for name in files("report") if name.endswith(".part")]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda: Path("report").touch(), "report: cannot be a folder: "),
        (
            lambda: Path("report").mkdir() or Path("report/files").touch(),
            "report: cannot be a folder: report/files is a file",
        ),
    ],
    ids=["a file", "a file within"],
)
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    spoil: Callable[[], Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil()
    monkeypatch.setattr(api, "prepare", lambda *_, **__: pytest.fail("the work began"))
    ran = run("apply", "look.yaml", "--report", "report")
    assert ran.code == 3
    assert ran.error.startswith(sentence)


@pytest.mark.parametrize("made", ["report", "report/files"])
def test_a_closed_folder_is_refused(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(made).mkdir(parents=True)
    usual = Path.touch

    # Rights alone would not stop root, who runs tests in a container.
    def touch(self: Path, *args: Any, **options: Any) -> None:
        if self.absolute().parent == Path(made).absolute():
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        usual(self, *args, **options)

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(OutputError, match=r"^report: cannot be written to \(Permission denied\)$"):
        check_report_folder(Path("report"))


def test_checking_a_folder_makes_and_leaves_nothing(folder: Path) -> None:
    before = files(folder)
    check_report_folder(folder / "new" / "report")
    check_report_folder(folder)
    assert files(folder) == before
    assert not (folder / "new").exists()


def test_a_file_that_is_read_is_never_replaced(folder: Path) -> None:
    (folder / "files").mkdir()
    kept = folder / "files" / "photo.jpg"
    Image.open("photo.png").save(kept)
    ran = run("apply", "look.yaml", "-c", kept, "--report", ".")
    assert ran.code == 3
    assert ran.error == f".: a report here would replace {kept}; name another folder"
    with pytest.raises(OutputError, match="would replace"):
        check_report_folder(folder, keep=[folder / "index.html"])


# the command


def test_apply_writes_a_report_and_says_where() -> None:
    options = ["--set", "optimize.steps=4", "--no-preview", "-o", "out.png"]
    ran = run("apply", "look.yaml", *options, "--report", "deep/report", "--json")
    assert (ran.code, ran.json["report"]) == (0, str(Path("deep/report/index.html")))
    page = Page(Path("deep/report/index.html"))
    assert page.named | {"index.html"} == files("deep/report")
    with Image.open("deep/report/files/film.webp") as film:
        # One for each step; the result is one more where it is not what the last step left.
        assert film.n_frames in (4, 5)
    ran = run("apply", "look.yaml", *options)
    assert ran.code == 0
    assert "report" not in ran.err


def test_an_interrupted_run_reports_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = display_module.Display.step

    def step(self: Any, progress: Any) -> None:
        usual(self, progress)
        if (progress.level, progress.step) == (2, 1):
            raise KeyboardInterrupt

    monkeypatch.setattr(display_module.Display, "step", step)
    overrides = [x for k, v in STEPS.items() for x in ("--set", f"{k}={v}")]
    ran = run("apply", "look.yaml", *overrides, "-o", "out.png", "--report", "report")
    assert ran.code == 130
    assert ran.error == (
        "interrupted; the picture so far is out.partial.png, its report "
        + str(Path("report/index.html"))
        + "; --resume goes on from out.checkpoint"
    )
    page = Page(Path("report/index.html"))
    ((_, sentence),) = page.found("p", class_="stopped")
    assert sentence == "Stopped after 4 steps: this is the picture so far."
    assert page.rows[2][1:3] == ["48×36", "1 of 2"]
    assert page.named | {"index.html"} == files("report")


def test_a_run_stopped_before_its_first_step_has_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(api, "apply", stop)
    ran = run("apply", "look.yaml", "--report", "report")
    assert (ran.code, ran.error) == (130, "interrupted before the first step; nothing was written")
    assert not Path("report").exists()


def test_a_busy_picture_has_a_report_too() -> None:
    result, _ = recorded()
    noise = torch.rand(result.rgb.shape, generator=torch.Generator().manual_seed(0)).round()
    write_report(replace(result, rgb=noise), "report")
    found = np.asarray(Image.open("report/files/result.jpg")).astype(float)
    assert np.abs(found / 255 - noise.permute(1, 2, 0).numpy()).mean() < 0.1


# in a browser


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")], ids=str
)
def test_a_browser_shows_the_page_and_its_slider_moves(
    browser: Any, width: int, scheme: str
) -> None:
    result, recorder = recorded(mapping(size=160))
    path = write_report(result, "report", recording=recorder)
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 500
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.absolute().as_uri())
    page.wait_for_load_state("networkidle")

    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    # Nothing sticks out to the side.
    assert page.evaluate("document.documentElement.scrollWidth") == width
    _slider_moves_by_keyboard_and_mouse(page)
    if width < 500:
        _slider_moves_by_touch(page)
    _dividing_line_parts_photo_and_result(page, result)
    _film_pauses(page)
    _curves_tell_their_numbers(page, result)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")

    assert said == []
    assert all(url.startswith("file:") or url == "data:," for url in asked)


def share(page: Any) -> float:
    """How much of the width is cut off the result, in percent, as the browser computed it."""
    clip = page.evaluate("getComputedStyle(document.querySelector('.after')).clipPath")
    return float(re.search(r"([\d.]+)%", clip)[1]) if "%" in clip else 0.0


def _slider_moves_by_keyboard_and_mouse(page: Any) -> None:
    assert share(page) == 50
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    assert share(page) == 51
    page.keyboard.press("Home")
    assert share(page) == 0
    page.keyboard.press("End")
    assert share(page) == 100
    assert page.get_attribute("#slider", "aria-valuetext") == "100 % photo"
    box = page.locator("#compare").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + 0.25 * box["width"], middle)
    assert share(page) == pytest.approx(25, abs=1.5)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=4)
    page.mouse.up()
    assert share(page) == pytest.approx(80, abs=1.5)


def _slider_moves_by_touch(page: Any) -> None:
    box = page.locator("#compare").bounding_box()
    page.touchscreen.tap(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 3)
    assert share(page) == pytest.approx(40, abs=1.5)


def _dividing_line_parts_photo_and_result(page: Any, result: Result) -> None:
    """Left of the line a screenshot shows the photo, right of it the result."""
    page.focus("#slider")
    page.locator("#slider").evaluate("e => { e.value = 50; e.dispatchEvent(new Event('input')); }")
    shot = page.locator("#compare").screenshot(path="slider.png")
    assert shot
    with Image.open("slider.png") as picture:
        shown = np.asarray(picture.convert("RGB")).astype(float)
    height, width = shown.shape[:2]
    size = (width, height)
    before, after = (
        np.asarray(Image.open(f"report/files/{name}.jpg").resize(size)).astype(float)
        for name in ("photo", "result")
    )
    left, right = np.s_[: height // 3, : width // 3], np.s_[: height // 3, -width // 3 :]
    assert np.abs(shown - before)[left].mean() < np.abs(shown - after)[left].mean() / 3
    assert np.abs(shown - after)[right].mean() < np.abs(shown - before)[right].mean() / 3


def _film_pauses(page: Any) -> None:
    assert page.get_attribute("#moving", "src") == "files/film.webp"
    page.click("#play")
    assert page.get_attribute("#moving", "src") == "files/film-still.jpg"
    assert page.inner_text("#play") == "Play"
    page.click("#play")
    assert page.get_attribute("#moving", "src") == "files/film.webp"


def _curves_tell_their_numbers(page: Any, result: Result) -> None:
    chart = page.locator(".chart").first
    chart.focus()
    page.keyboard.press("End")
    names = chart.locator(".name").all_text_contents()
    assert f"total {result.losses[-1]['total']:.3g}" in names
    page.keyboard.press("ArrowLeft")
    spoken = page.locator("figure.card output").first.text_content()
    assert spoken.startswith(f"step {len(result.losses) - 1}: ")
    assert f"total {result.losses[-2]['total']:.3g}" in spoken
