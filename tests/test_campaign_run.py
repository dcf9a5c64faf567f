"""Campaigns that run: pictures as single runs make them, none lost, none done twice."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from workbench import lay_out, photo, run

from layered_nst.campaign import Campaign
from layered_nst.campaign.campaign import begun_by, begun_in
from layered_nst.campaign.engine import Happening, Summary
from layered_nst.campaign.executors import measuring, places
from layered_nst.campaign.jobs import Ending, Job, JobState, Outcome
from layered_nst.campaign.ledger import NAME, VERSION, Ledger
from layered_nst.campaign.loading import load_campaign
from layered_nst.campaign.planning import forecast
from layered_nst.campaign.standing import alone, is_running
from layered_nst.campaign.work import paint
from layered_nst.errors import CampaignError, LayeredNstWarning, OutputError

TASK = "jobs_to_try:say"
CAMPAIGN = """\
campaign: 1
title: Spring
photos: list.csv
recipes: look.yaml
quality: draft
set: {optimize.steps: 1}
formats: {small: 32, tall: {size: 32, crop: "3:4", keep: center, file: jpeg, dpi: 300}}
name: "{photo}/{recipe}-{format}"
"""


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a campaign that was run: two photos, a broken one and one that is missing."""
    folder = lay_out(tmp_path_factory.mktemp("campaign"))
    before = Path.cwd()
    os.chdir(folder)
    Image.fromarray(photo()).save("Überblick – 1.png")
    Image.fromarray(photo(48, 64)).save("cup.png")
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    rows = "Überblick – 1.png,0.5\ncup.png,\nbroken.png,\ngone.png,\n"
    Path("list.csv").write_text(f"photo,regions.sky.strength\n{rows}", "utf-8")
    Path("team.yaml").write_text(CAMPAIGN)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def first(painted: Path) -> Any:
    return run("campaign", "run", "team.yaml", "--workers", "1", "--threads", "1", "--json")


def test_what_can_be_painted_is_and_the_rest_is_told(painted: Path, first: Any) -> None:
    assert first.code == 1, first.err
    assert (first.json["done"], first.json["failed"], first.json["total"]) == (4, 4, 8)
    status = run("campaign", "status", "team.yaml", "--json").json
    assert (status["done"], status["failed"], status["active"]) == (4, 4, False)
    said = {one["name"]: one["sentence"] for one in status["jobs_failed"]}
    assert "broken.png is broken" in said["broken/look-small.png"]
    assert said["gone/look-tall.jpg"] == f"list.csv:5: {painted}/gone.png: no such file"


def test_every_picture_has_the_bytes_of_a_single_run(painted: Path, first: Any) -> None:
    one = ("--quality", "draft", "--steps", "1", "--size", "32")
    strong = ("--set", "regions.sky.strength=0.5")
    own = "Überblick – 1"
    ran = run("apply", "look.yaml", "-c", f"{own}.png", *one, *strong, "-o", "single.png")
    assert ran.code == 0, ran.err
    assert Path("single.png").read_bytes() == Path(f"team/{own}/look-small.png").read_bytes()
    (crop,) = Path("team/.campaign/crops").rglob("cup.png")
    asked = ("--set", "output.dpi=300", "--set", "output.format=jpeg")
    ran = run("apply", "look.yaml", "-c", crop.absolute(), *one, *asked, "-o", "single.jpg")
    assert ran.code == 0, ran.err
    assert Path("single.jpg").read_bytes() == Path("team/cup/look-tall.jpg").read_bytes()
    assert Image.open("team/cup/look-tall.jpg").size == (24, 32)
    assert Image.open("team/cup/look-tall.jpg").info["dpi"] == (300, 300)


def test_what_a_campaign_leaves_can_be_looked_at(painted: Path, first: Any) -> None:
    page = Path("team/report/index.html").read_text("utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [one["state"] for one in data].count("done") == 4
    assert all(Path("team/report", one["thumb"].replace("%20", " ")).is_file()
               for one in data if one["state"] == "done")  # fmt: skip
    assert "<title>Spring</title>" in page
    with open("team/campaign.csv", encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table].count("failed") == 4
    assert {row["width"] for row in table if row["state"] == "done"} == {"32", "24"}
    sheet = Image.open("team/report/contact.jpg")
    assert sheet.width > 600
    assert not list(Path("team/.campaign/done").iterdir()), "the ledger has all of them"
    assert not list(Path("team/.campaign/checkpoints").iterdir())


def test_nothing_is_done_twice_and_what_was_mended_is_done(painted: Path, first: Any) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in Path("team").rglob("look-*")}
    Image.fromarray(photo()).save("gone.png")
    os.utime("cup.png")
    ran = run("campaign", "resume", "team", "--workers", "1", "--json")
    assert ran.code == 1
    assert (ran.json["painted"], ran.json["done"]) == (2, 6)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    Path("broken.png").write_bytes(Path("cup.png").read_bytes())
    os.remove("team/cup/look-small.png")
    ran = run("campaign", "retry", "team.yaml", "--workers", "1")
    assert ran.code == 0, ran.err
    assert "8 done" in ran.err
    assert Path("team/cup/look-small.png").is_file()


def test_a_ledger_is_made_anew_from_the_pictures(painted: Path, first: Any) -> None:
    shutil.copytree("team", "copy")
    shutil.rmtree("copy/.campaign/done")
    shutil.move("team", "away")
    shutil.move("copy", "team")
    path = Path("team/campaign.db")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("run", "status", "report"):
        ran = run("campaign", name, "team.yaml")
        assert ran.code == 1, name
        assert "campaign.db: is damaged" in ran.error
        assert "--rebuild makes it again from the pictures" in ran.error
    stamps = {p: p.stat().st_mtime_ns for p in Path("team").rglob("look-*")}
    ran = run("campaign", "run", "team.yaml", "--rebuild", "--workers", "1", "--json")
    assert (ran.json["painted"], ran.json["done"]) == (0, ran.json["total"] - ran.json["failed"])
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert list(Path("team").glob("campaign.db.damaged-*"))


def test_a_finished_picture_is_a_recipe_for_other_photos_and_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Image.fromarray(photo(48, 64)).save("cup.png")
    small = ("--size", "32", "--steps", "1")
    assert run("apply", "look.yaml", "--quality", "draft", *small, "-o", "draft.png").code == 0
    ran = run("finish", "draft.png", "--quality", "draft", *small, "-o", "finished.png")
    assert ran.code == 0, ran.err
    for photos in (["cup.png"], []):
        (job,) = Campaign.of("finished.png", photos, "out").jobs().jobs
        paint(job, lambda _: None, threading.Event())
        ran = run("apply", "finished.png", "-c", job.photo, "-o", "single.png")
        assert ran.code == 0, ran.err
        assert Path("single.png").read_bytes() == Path(job.output).read_bytes()
    assert job.photo == str(Path("photo.png").absolute())


# with jobs that write a line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("shots").mkdir()
    return Path()


def campaign(*names: str, more: str = "") -> Campaign:
    for name in names:
        Image.fromarray(photo()).save(f"shots/{name}.png")
    Path("team.yaml").write_text(f"campaign: 1\nphotos: shots\nrecipes: look.yaml\n{more}")
    return replace(Campaign.load("team.yaml"), task=TASK)


def quick(asked: Campaign, **more: Any) -> Summary:
    return asked.run(workers=1, **more)


def test_a_photo_or_a_style_that_changes_is_done_again_and_a_touched_one_is_not(
    folder: Path,
) -> None:
    asked = campaign("a", "b")
    assert quick(asked).done == 2
    os.utime("shots/a.png", (1, 1))
    assert quick(asked).done == 1, "these jobs take no hash, so the time is all there is"
    with Ledger(asked.output) as ledger:
        ledger.end(
            "a-look.png", JobState.DONE, Outcome(Ending.DONE, photo_key=_sha256("shots/a.png"))
        )
    os.utime("shots/a.png", (5, 5))
    assert quick(asked).done == 0
    Image.fromarray(255 - photo()).save("shots/a.png")
    assert quick(asked).done == 1
    Image.open("dots.png").rotate(90).save("stripes.png")
    assert quick(asked).done == 2


def test_what_goes_on_keeps_the_options_that_it_was_begun_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign("a", "b")
    file = Path("team.yaml").absolute()
    more = {"quality": "draft", "set": {"size": 24, "regions.sky.style": "stripes.png"}}
    assert quick(replace(Campaign(load_campaign(file, more=more)), task=TASK)).done == 2
    monkeypatch.chdir(tmp_path)  # the style is found where the command was given
    for stated in (begun_by(file), begun_in(file.with_suffix(""))):
        assert quick(replace(Campaign(stated), task=TASK)).done == 0
    file.parent.rename(tmp_path / "moved")
    with pytest.warns(LayeredNstWarning, match="was moved from"):
        found = begun_in(tmp_path / "moved" / "team")
    assert found.over is not None
    assert found.over.place.folder == tmp_path / "moved"
    file = tmp_path / "moved" / file.name
    assert quick(replace(Campaign(found), task=TASK)).done == 0
    assert quick(replace(Campaign.load(file), task=TASK)).done == 2, "a run without them is another"
    assert quick(replace(Campaign(begun_by(file)), task=TASK)).done == 0


def test_a_folder_that_was_moved_with_its_photos_goes_on_and_repeats_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quick(campaign("a", "b")).done == 2
    named = ["shots", "shots/[b].png"]
    assert quick(replace(Campaign.of("look.yaml", named, "direct"), task=TASK)).done == 2
    moved = tmp_path / "other" / "place"
    moved.parent.mkdir()
    monkeypatch.chdir(tmp_path)
    Path("work").rename(moved)
    monkeypatch.chdir(moved)
    Image.fromarray(255 - photo()).save("shots/c.png")
    for output in ("team", "direct"):
        assert run("campaign", "status", output, "--json").json["done"] == 2
        said = f"{output}: was moved from {tmp_path}/work/{output}; its files are taken from"
        with pytest.warns(LayeredNstWarning, match=f"{said} {moved}"):
            found = replace(Campaign.load(output), task=TASK)
        assert quick(found).done == 1
        assert found.status().counts[JobState.DONE] == 3
        assert run("campaign", "report", output).code == 0
        assert Campaign.load(output).stated.folder == moved, "told once"


def test_a_folder_that_was_moved_away_from_its_photos_says_so_and_loses_nothing(
    folder: Path, tmp_path: Path
) -> None:
    assert quick(campaign("a", "b")).done == 2
    Path("team").rename(tmp_path / "alone")
    assert Campaign.load(tmp_path / "alone").stated.file == Path("team.yaml").absolute()
    shutil.rmtree("shots")
    Path("team.yaml").unlink()
    before = (tmp_path / "alone" / NAME).read_bytes()
    ran = run("campaign", "resume", str(tmp_path / "alone"))
    assert ran.code == 1
    assert ran.error == (
        f"{tmp_path}/alone: was moved from {Path.cwd()}/team, and of its photos "
        f"{Path.cwd()}/shots is neither where it was nor was it moved along; put it back, or load "
        "the campaign from its file"
    )
    assert (tmp_path / "alone" / NAME).read_bytes() == before
    assert run("campaign", "status", str(tmp_path / "alone"), "--json").json["done"] == 2


def test_a_plan_says_what_the_next_run_paints(folder: Path) -> None:
    asked = campaign("a", "b", "c")
    assert quick(asked).done == 3
    assert (forecast(asked).done, forecast(asked).to_do) == (3, 0)
    Image.fromarray(255 - photo()).save("shots/a.png")
    Path("shots/b.png").write_bytes(b"broken")
    told = forecast(asked)
    assert (told.done, told.to_do, len(told.problems)) == (1, 1, 1)


def test_of_very_many_failures_the_first_are_told_and_json_tells_all(folder: Path) -> None:
    with Ledger(Path("out"), create=True) as ledger, ledger.batch():
        jobs = [Job(f"{n}.png", f"{n}.png", "r", "p", n, problem="is broken") for n in range(3000)]
        ledger.add(jobs, state=JobState.FAILED)
    lines = run("campaign", "status", "out").out.splitlines()
    assert len(lines) < 30
    assert lines[-2:] == [
        "  failed: 19.png  is broken",
        "  and 2980 more; --json and the report show all",
    ]
    assert len(run("campaign", "status", "out", "--json").json["jobs_failed"]) == 3000


def test_a_long_campaign_tries_once_how_many_threads_are_best_and_a_short_one_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    sides: list[int] = []

    def rates(_: int, side: int) -> dict[int, float]:
        sides.append(side)
        return {1: 4.0, 2: 9.0}

    monkeypatch.setattr(measuring, "_rates", rates)
    monkeypatch.setattr(places, "processors", lambda: 2)
    monkeypatch.setattr("layered_nst.campaign.campaign.processors", lambda: 2)
    monkeypatch.setattr(places, "gpus", list)
    short = campaign("a")
    assert short.run().done == 1
    assert not sides, "it would take longer than it saves"
    long = campaign(
        "a", more="output: long\nset: {size: 2000, optimize.steps: 120}\nquality: fine\n"
    )
    notes: list[str] = []
    assert long.run(on_note=notes.append).done == 1
    assert (sides, notes) == (
        [768],
        ["steps a second here by threads of a worker: 4.0 by 1, 9.0 by 2"],
    )
    with Ledger(long.output, readonly=True) as ledger:
        assert ledger.told("threads") == "2"
    again = replace(long, stated=replace(long.stated, output=Path("again").absolute()))
    assert again.run(on_note=notes.append).done == 1
    assert len(sides) == len(notes) == 1, "it is remembered"


def test_times_come_from_pictures_that_were_timed(folder: Path) -> None:
    asked = campaign("a", "b")
    jobs = asked.jobs().jobs
    with Ledger(asked.output, create=True) as ledger:
        ledger.add(jobs)
        for job, seconds in zip(jobs, (6.0 * jobs[0].cost, 0.0), strict=True):
            ledger.end(job.name, JobState.DONE, Outcome(Ending.DONE, seconds=seconds))
        assert ledger.measured() == {jobs[0].group: pytest.approx(6.0)}


def _sha256(name: str) -> str:
    from layered_nst.files.hashes import file_hash

    return file_hash(Path(name))


def test_jobs_that_left_the_campaign_are_skipped_and_come_back(folder: Path) -> None:
    asked = campaign("a", "b")
    quick(asked)
    os.rename("shots/b.png", "b.png")
    summary = quick(asked)
    assert (summary.counts[JobState.SKIPPED], summary.counts[JobState.DONE]) == (1, 1)
    assert summary.exit_code == 0
    os.rename("b.png", "shots/b.png")
    assert quick(asked).counts[JobState.SKIPPED] == 0


def test_a_second_run_in_one_folder_is_refused(folder: Path) -> None:
    asked = campaign("a")
    asked.output.mkdir()
    with alone(asked.output):
        assert is_running(asked.output)
        code = f"from layered_nst.campaign import Campaign\nCampaign.load({'team.yaml'!r}).run()"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.returncode == 1
        assert f"a campaign is running there already (process {os.getpid()} on" in ran.stderr
        assert "CampaignError" in ran.stderr
    assert not is_running(asked.output)


def test_a_run_on_another_machine_is_seen_by_its_counter_not_by_its_clock(folder: Path) -> None:
    asked = campaign("a")
    with Ledger(asked.output, create=True) as ledger:
        beat = {"host": "elsewhere", "pid": 7, "count": 1, "at": time.time() + 1e6}
        ledger.tell("beat", json.dumps(beat))
        assert ledger.running_elsewhere(patience=0.6) == "", "a clock that is ahead is no life"

        def beats() -> None:
            other = Ledger(asked.output)
            other.tell("beat", json.dumps({**beat, "count": 2, "at": 0}))

        timer = threading.Timer(0.3, beats)
        timer.start()
        assert ledger.running_elsewhere(patience=3) == "process 7 on elsewhere"
        timer.join()


def test_a_clock_that_was_set_back_repeats_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = campaign("a", "b")
    assert quick(asked).done == 2
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert quick(asked).done == 0


@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
def test_a_signal_between_two_statements_leaves_no_transaction_open(
    folder: Path, word: str
) -> None:
    class Stopped:
        """A connection on which a signal comes after the first statement, or before the last."""

        def __getattr__(self, name: str) -> Any:
            return getattr(db, name)

        def execute(self, sql: str, *more: Any) -> Any:
            if sql == "COMMIT" == word:
                raise KeyboardInterrupt
            ran = db.execute(sql, *more)
            if sql.startswith(word):
                raise KeyboardInterrupt
            return ran

    with Ledger(Path("out"), create=True) as ledger:
        db, ledger._db = ledger._db, Stopped()  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt), ledger.batch():
            ledger.tell("title", "Spring")
        ledger._db = db
        with ledger.batch():
            assert ledger.told("title") == ""


def test_a_ledger_of_a_newer_version_is_left_as_it_is(folder: Path) -> None:
    asked = campaign("a")
    quick(asked)
    path = asked.output / "campaign.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(CampaignError, match=rf"a ledger of version {VERSION + 1}; this program"):
        quick(asked)
    assert path.read_bytes() == before


def test_a_file_that_is_no_ledger_is_left_as_it_is(folder: Path) -> None:
    asked = campaign("a")
    asked.output.mkdir()
    path = asked.output / "campaign.db"
    for content in (b"mine", b""):
        path.write_bytes(content)
        if content:
            with pytest.raises(CampaignError, match=r"campaign\.db: is damaged"):
                quick(asked)
            assert path.read_bytes() == content
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    with pytest.raises(CampaignError, match="is no ledger of a campaign; name another output"):
        quick(asked)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_an_output_that_is_closed_is_told_before_anything_starts(folder: Path) -> None:
    asked = campaign("a")
    asked.output.mkdir()
    asked.output.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written: permission denied"):
        quick(asked)


def test_an_output_that_cannot_be_made_is_told_before_anything_starts(folder: Path) -> None:
    asked = campaign("a", more="output: photo.png/out\n")
    with pytest.raises(OutputError, match="cannot be made a folder"):
        quick(asked)
    ran = run("campaign", "run", "team.yaml", "-o", "/proc/nothing")
    assert ran.code == 3
    assert "/proc/nothing: cannot be made a folder" in ran.error


def test_a_command_and_an_address_are_told_of_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layered_nst.campaign.hooks import tell_of_end
    from layered_nst.campaign.schema import Finish

    finish = Finish(command="cat > told.json", url="http://127.0.0.1:9/none")
    (sentence,) = tell_of_end(finish, {"done": 3})
    assert json.loads(Path("told.json").read_text()) == {"done": 3}
    assert sentence.startswith("finish.url: http://127.0.0.1:9/none: cannot be told: ")
    (sentence,) = tell_of_end(Finish(command="exit 4"), {})
    assert sentence == "finish.command: exit 4: ended with code 4"


# what goes wrong


def hundred(executor: str, *, memory: str, seconds: int) -> Campaign:
    """A hundred photos, of which five cannot be painted, have been given to an executor."""
    good = [f"good-{n}" for n in range(95)]
    names = [*good[:40], "segfault", "broken", "endless", "memory", "styleless", *good[40:]]
    rows = [f"shots/{n}.png,{'gone.png' if n == 'styleless' else ''}" for n in names]
    Path("list.csv").write_text("\n".join(["photo,regions.sky.style", *rows]))
    limits = f"limits: {{memory: {memory}, time: {seconds} s, tries: 2}}\n"
    asked = campaign(*names, more=limits)
    Path("team.yaml").write_text(Path("team.yaml").read_text().replace("shots", "list.csv"))
    asked = replace(Campaign.load("team.yaml"), task=TASK)
    summary = asked.run(executor, workers=2, threads=1)
    assert (summary.counts[JobState.DONE], summary.counts.bad) == (95, 5)
    assert summary.exit_code == 1
    for name in good:
        lines = (asked.output / f"{name}-look.png").read_text().splitlines()
        assert len(lines) == 1, "done once"
    return asked


def sentences(asked: Campaign) -> dict[str, str]:
    return {e.name.removesuffix("-look.png"): e.sentence for e in asked.status().failed}


def test_five_bad_pictures_of_a_hundred_leave_ninety_five_done(folder: Path) -> None:
    asked = hundred("local", memory="300M", seconds=4)
    said = sentences(asked)
    assert "ended its worker 2 times: its process was ended by SIGSEGV" in said["segfault"]
    assert re.fullmatch(r"took 0\.\d GB of memory, allowed: 0\.3 GB", said["memory"])
    assert said["broken"].endswith("broken.png: is broken")
    assert said["endless"] == "took longer than 4 s (limits.time)"
    assert "list.csv:46: regions.sky.style" in said["styleless"]
    assert "gone.png" in said["styleless"]
    with Ledger(asked.output, readonly=True) as ledger:
        (poisoned,) = ledger.entries((JobState.POISONED,))
    assert (poisoned.name, poisoned.tries) == ("segfault-look.png", 2)


@pytest.mark.slow
def test_ten_broken_photos_of_ten_thousand_are_told_and_the_others_done(folder: Path) -> None:
    data = Path("photo.png").read_bytes()
    for number in range(10_000):
        kind = "good" if number % 1000 else "broken"
        Path(f"shots/{kind}-{number:05}.png").write_bytes(data)
    asked = replace(Campaign.of("look.yaml", ["shots"], "out"), task=TASK)
    summary = asked.run(workers=2, threads=1)
    assert (summary.done, summary.counts.bad, summary.exit_code) == (9_990, 10, 1)
    assert all(said.endswith(".png: is broken") for said in sentences(asked).values())
    assert asked.run(workers=2).done == 0


def test_a_disk_that_is_full_for_the_ledger_is_told_and_nothing_is_half_written(
    folder: Path,
) -> None:
    with Ledger(Path("out"), create=True) as ledger:
        (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count={pages + 2}")
        jobs = [Job(f"{n}.png", f"{n}.png", "r", "p", n) for n in range(1000)]
        with pytest.raises(OutputError, match=r"campaign\.db: cannot be written: .*full"):
            _written_together(ledger, jobs)
        assert (ledger.told("title"), ledger.counts().total) == ("", 0)


def _written_together(ledger: Ledger, jobs: Sequence[Job]) -> None:
    with ledger.batch():
        ledger.tell("title", "Spring")
        ledger.add(jobs)


def test_a_disk_that_can_only_be_read_is_told_before_anything_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    asked = campaign("a")
    monkeypatch.setattr("layered_nst.campaign.campaign.probe", closed)
    with pytest.raises(OutputError, match="team: cannot be written: read-only file system"):
        quick(asked)
    assert not (asked.output / "campaign.db").exists()


# killed


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from dataclasses import replace
from layered_nst.cli.signals import Stop
from layered_nst.campaign import Campaign
Stop()
asked = replace(Campaign.load("team.yaml"), task={task!r})
def heard(event):
    print(event.kind, event.job.name, flush=True)
sys.exit(asked.run(workers=2, on_event=heard).exit_code)
"""


@contextmanager
def driver() -> Iterator[subprocess.Popen[str]]:
    code = DRIVER.format(tests=str(Path(__file__).parent), task=TASK)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as found:
        try:
            yield found
        finally:
            found.kill()


def read_until(process: subprocess.Popen[str], kind: str, times: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        times -= line.startswith(kind)
        if times <= 0:
            return
    pytest.fail(f"it ended before {kind}")


def test_a_driver_that_is_killed_repeats_no_finished_job(folder: Path) -> None:
    asked = campaign(*(f"slow-{n}" for n in range(16)))
    with driver() as process:
        read_until(process, "done", 5)
        process.kill()
        process.wait()
    assert status_counts(asked)["done"] >= 5
    with Ledger(asked.output, readonly=True) as ledger:
        done = {entry.name for entry in ledger.entries((JobState.DONE,))}
    summary = asked.run(workers=2)
    assert summary.exit_code == 0
    assert summary.counts[JobState.DONE] == 16
    assert summary.done == 16 - len(done)
    for name in done:
        assert len((asked.output / name).read_text().splitlines()) == 1


def status_counts(asked: Campaign) -> dict[str, int]:
    return {state.value: asked.status().counts[state] for state in JobState}


def test_a_campaign_that_was_interrupted_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(asked: Campaign, *_: Any, **__: Any) -> Summary:
        with Ledger(asked.output, create=True) as ledger:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except KeyboardInterrupt:
                return Summary(ledger.counts(), 1.0, interrupted=True)
        pytest.fail("it was not interrupted")

    monkeypatch.setattr(Campaign, "run", interrupted)
    words = ("campaign", "run", "look.yaml", "photo.png", "-o", "out")
    ran = run(*words, "--json")
    assert (ran.code, ran.json["interrupted"], ran.err) == (130, True, "")
    ran = run(*words)
    assert (ran.code, ran.err.count("interrupted")) == (130, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_campaign_in_order(folder: Path, number: signal.Signals) -> None:
    asked = campaign("patient", *(f"slow-{n}" for n in range(8)))
    with driver() as process:
        read_until(process, "done", 2)
        process.send_signal(number)
        assert process.wait(20) == 130
    counts = status_counts(asked)
    assert counts["running"] == counts["failed"] == 0
    assert counts["done"] + counts["queued"] == 9
    assert not is_running(asked.output)


def test_a_picture_whose_worker_is_killed_goes_on_from_its_checkpoint(
    painted: Path, first: Any
) -> None:
    """The real thing: the worker of a picture gets SIGKILL in the middle of it."""
    steps = "optimize: {steps: 40, levels: [48], checkpoint: 0.01, tolerance: 0}"
    text = Path("look.yaml").read_text().replace("optimize: {steps: 1}", steps)
    Path("long.yaml").write_text(text)
    asked = Campaign.of("long.yaml", ["cup.png"], "long", more={"quality": "draft"})
    shares: list[float] = []

    def heard(event: Happening) -> None:
        shares.append(event.told.get("done", 0.0))
        checkpoints = Path("long/.campaign/checkpoints")
        if shares[-1] > 0.4 and len(kills) == 0 and any(checkpoints.glob("*.checkpoint")):
            (worker,) = [
                p for p in psutil.Process().children() if "executors.worker" in str(p.cmdline())
            ]
            worker.kill()
            kills.append(len(shares))

    kills: list[int] = []
    summary = asked.run(workers=1, threads=1, on_event=heard)
    assert summary.exit_code == 0
    assert kills
    # A slow disk has rarer checkpoints; whatever there is, it did not begin with its first step.
    assert min(share for share in shares[kills[0] :] if share) > 1.5 / 40
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    words = ["apply", "long.yaml", "-c", "cup.png", "--quality", "draft", "-o", "unbroken.png"]
    subprocess.run([sys.executable, "-m", "layered_nst.cli", *words], check=True, env=surroundings)
    assert Path("unbroken.png").read_bytes() == Path("long/cup-long.png").read_bytes()
