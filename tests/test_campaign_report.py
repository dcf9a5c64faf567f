"""The page of a campaign in a browser: of ten thousand pictures one is found, failures are read.

Slow, and needs Chromium, as `test_outputs_report.py` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from layered_nst.campaign.jobs import WORK, Ending, Job, JobState, Outcome, thumbnail_path
from layered_nst.campaign.ledger import Ledger
from layered_nst.campaign.reporting import write_campaign_report

BROKEN = "/photos/<b>one</b>.jpg: is broken"


def reported(folder: Path, count: int, photos: int) -> Path:
    """A campaign of which every hundredth failed and one ended its worker; its page."""
    jobs = [
        Job(
            f"{number}.png",
            f"{number}.png",
            "look.yaml",
            f"{number % photos}.jpg",
            number,
            spec="s",
            labels={"photo": f"photo {number % photos}", "recipe": f"look {number % 3}"},
        )
        for number in range(1, count + 1)
    ]
    (folder / WORK / "thumbnails").mkdir(parents=True)
    with Ledger(folder, create=True) as ledger, ledger.batch():
        ledger.add(jobs)
        for job in jobs:
            if job.number % 100 == 0:
                ledger.end(job.name, JobState.FAILED, Outcome(Ending.FAILED, BROKEN))
            elif job.number > 1:
                done = Outcome(Ending.DONE, seconds=2.0, size=9, pixels=(40, 30), exit_code=0)
                ledger.end(job.name, JobState.DONE, done)
                Image.new("RGB", (40, 30), "teal").save(thumbnail_path(folder / WORK, job.mark))
        ledger.end("1.png", JobState.POISONED, Outcome(Ending.FAILED, "ended its worker 3 times"))
    return write_campaign_report(folder).page


class Page:
    """The page, opened, and what it says."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.absolute().as_uri())
        self.page.wait_for_load_state("networkidle")

    def count(self) -> str:
        return str(self.page.locator("output").text_content())


@pytest.mark.slow
def test_of_ten_thousand_pictures_those_in_view_are_loaded_and_any_is_found(
    browser: Any, tmp_path: Path
) -> None:
    shown = Page(browser, reported(tmp_path, 10_000, 2_500))
    page = shown.page
    assert shown.count() == "10000 of 10000"
    assert len(shown.asked) < 100, "pictures far below wait until they are looked at"
    assert page.locator("li").count() < 500
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("document.querySelectorAll('li').length > 300")
    assert page.evaluate("(() => { const t = performance.now(); choose(); "
                         "return performance.now() - t; })()") < 1000  # fmt: skip
    # Of so many photos no menu helps: one types.
    page.fill("input[name=photo]", "photo 17")
    assert shown.count() == "444 of 10000"
    page.select_option("select[name=recipe]", "look 1")
    page.select_option("select[name=state]", "done")
    page.fill("input[name=text]", "5017.png")
    assert shown.count() == "1 of 10000"
    assert page.locator("li b").text_content() == "5017  5017.png"
    assert not shown.said


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_failures_are_read_as_they_were_told(browser: Any, tmp_path: Path, width: int) -> None:
    shown = Page(browser, reported(tmp_path, 300, 10))
    page = shown.page
    page.set_viewport_size({"width": width, "height": 800})
    assert page.locator("select[name=photo] option").count() == 11
    page.select_option("select[name=state]", "bad")
    assert shown.count() == "4 of 300"
    assert page.locator("li.poisoned p").text_content() == "ended its worker 3 times"
    assert page.locator("li.failed p").first.text_content() == BROKEN
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.select_option("select[name=state]", "done")
    assert page.evaluate("document.querySelector('li a').href").endswith("/2.png")
    assert not shown.said
