"""The engine and its workers: whatever a job does to its worker, all others are done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from layered_nst.campaign import streaming
from layered_nst.campaign.engine import Engine, Happening, Rules, Summary
from layered_nst.campaign.executors import measuring
from layered_nst.campaign.executors.interface import Workers
from layered_nst.campaign.executors.local import LocalExecutor, ended_how
from layered_nst.campaign.executors.measuring import Measured
from layered_nst.campaign.executors.places import settled
from layered_nst.campaign.jobs import Ending, Job, JobState, Outcome
from layered_nst.campaign.ledger import Ledger
from layered_nst.campaign.scheduling import Schedule
from layered_nst.campaign.streaming import Brought
from layered_nst.errors import ExecutorError

TASK = "jobs_to_try:say"


def jobs_of(folder: Path, *names: str, cost: float = 1.0, **more: object) -> list[Job]:
    return [
        Job(
            name=f"{name}.txt",
            output=str(folder / f"{name}.txt"),
            recipe="look.yaml",
            photo=f"/photos/{name}.jpg",
            number=number,
            spec=name,
            group=name.split("-")[-1],
            cost=cost,
            **more,  # type: ignore[arg-type]
        )
        for number, name in enumerate(names, 1)
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(tmp_path / "out", create=True)
    yield found
    found.close()


def ran(
    ledger: Ledger,
    jobs: list[Job],
    *,
    workers: int = 2,
    rules: Rules | None = None,
    on_event: Callable[[Happening], None] = lambda _: None,
) -> Summary:
    with ledger.batch():
        ledger.add(jobs)
    asked = Workers(workers, 1, "cpu", TASK, ledger.folder / ".campaign" / "logs")
    executor = LocalExecutor(asked)
    try:
        return Engine(ledger, executor, jobs, rules=rules or Rules(), on_event=on_event).run()
    finally:
        executor.close()


def states(ledger: Ledger) -> dict[str, JobState]:
    return {entry.name.removesuffix(".txt"): entry.state for entry in ledger.entries()}


def sentence(ledger: Ledger, name: str) -> str:
    return next(e.sentence for e in ledger.entries() if e.name == f"{name}.txt")


def test_a_worker_that_hangs_with_all_its_threads_is_ended(ledger: Ledger) -> None:
    jobs = jobs_of(ledger.folder, "hang", "good-1", "bug", "good-2")
    summary = ran(ledger, jobs, rules=Rules(tries=1, lease=3.0))
    assert summary.counts[JobState.DONE] == 2
    assert sentence(ledger, "hang") == (
        "ended its worker once: its worker has shown no sign of life for 3 s"
    )
    assert sentence(ledger, "bug") == "unexpected KeyError: 'nothing'"


def test_a_job_whose_worker_is_killed_is_begun_again_and_no_other(ledger: Ledger) -> None:
    jobs = jobs_of(ledger.folder, "twice", "good-1", "good-2", "good-3")
    again: list[str] = []

    def heard(event: Happening) -> None:
        if event.kind == "again":
            again.append(event.job.name)

    summary = ran(ledger, jobs, on_event=heard)
    assert (summary.exit_code, again) == (0, ["twice.txt"])
    tries = {entry.name: entry.tries for entry in ledger.entries()}
    assert tries == {"twice.txt": 2, "good-1.txt": 1, "good-2.txt": 1, "good-3.txt": 1}


def test_a_full_disk_stops_the_campaign_and_fails_no_job(ledger: Ledger) -> None:
    jobs = jobs_of(ledger.folder, "good-1", "full", *(f"slow-{n}" for n in range(2, 22)))
    summary = ran(ledger, jobs, workers=1)
    assert summary.exit_code == 3
    assert "no space left" in summary.halted
    assert (summary.counts.bad, summary.counts[JobState.DONE]) == (0, 1)
    assert summary.counts[JobState.QUEUED] == 21


def test_pictures_stop_at_the_limit_of_the_disk(ledger: Ledger) -> None:
    jobs = jobs_of(ledger.folder, *(f"good-{n}" for n in range(10)))
    summary = ran(ledger, jobs, workers=1, rules=Rules(disk=20))
    assert summary.exit_code == 3
    assert "limits.disk allows 0.0 MB" in summary.halted
    assert 1 < summary.counts[JobState.DONE] < 10


def test_workers_that_cannot_start_end_the_campaign_by_a_sentence(ledger: Ledger) -> None:
    jobs = jobs_of(ledger.folder, "good-1")
    with ledger.batch():
        ledger.add(jobs)
    logs = ledger.folder / ".campaign" / "logs"
    executor = LocalExecutor(Workers(1, 1, "cpu", "no_such_module:say", logs))
    try:
        summary = Engine(ledger, executor, jobs, rules=Rules(tries=100)).run()
    finally:
        executor.close()
    assert summary.exit_code == 3
    assert summary.halted.startswith("no worker could be started: its process ended with code 1")
    assert "No module named 'no_such_module'" in (logs / "worker-1.log").read_text()


def test_one_interrupt_stops_jobs_kindly_and_gives_them_back(ledger: Ledger) -> None:
    def interrupt(event: Happening) -> None:
        if event.kind == "progress":
            raise KeyboardInterrupt

    summary = ran(ledger, jobs_of(ledger.folder, "patient", "good-1"), on_event=interrupt)
    assert (summary.interrupted, summary.exit_code) == (True, 130)
    assert states(ledger)["patient"] is JobState.QUEUED
    assert [e.tries for e in ledger.entries() if e.name == "patient.txt"] == [0]


def test_a_second_interrupt_ends_jobs_at_once(ledger: Ledger) -> None:
    began = time.monotonic()

    def interrupt(event: Happening) -> None:
        if event.kind == "started":
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
            threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    summary = ran(ledger, jobs_of(ledger.folder, "endless"), workers=1, on_event=interrupt)
    assert summary.interrupted
    assert time.monotonic() - began < 6
    assert states(ledger)["endless"] is JobState.QUEUED


def test_workers_end_when_their_driver_is_killed(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_campaign_engine import jobs_of, ran
        from layered_nst.campaign.ledger import Ledger
        ledger = Ledger(Path({str(tmp_path / "out")!r}), create=True)
        jobs = jobs_of(ledger.folder, "patient", "good-1")
        def heard(event):
            if event.kind == "progress":
                print(*(p.process.pid for p in engine._at.values()), flush=True)
        import test_campaign_engine as here
        usual = here.LocalExecutor
        def started(asked):
            global engine
            engine = usual(asked)
            return engine
        here.LocalExecutor = started
        ran(ledger, jobs, on_event=heard)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        driver.kill()
    assert pids
    end = time.monotonic() + 15
    while any(_lives(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# which job comes next


def test_the_longest_job_comes_first_and_warm_workers_stay_with_their_group(
    tmp_path: Path,
) -> None:
    def job(name: str, group: str, cost: float) -> Job:
        return Job(name, name, "r", "p", group=group, cost=cost)

    waiting = Schedule([job("a9", "a", 9), job("a5", "a", 5), job("b8", "b", 8), job("b1", "b", 1)])
    assert len(waiting) == 4
    taken = [waiting.take("b"), waiting.take("a"), waiting.take("b"), waiting.take("b")]
    # b8 is warm and nearly as long as a9; b1 is warm, but far shorter than a5.
    assert [one.name for one in taken if one] == ["b8", "a9", "a5", "b1"]
    assert waiting.take() is None
    assert len(waiting) == waiting.cost == 0


def test_every_job_is_taken_once_whatever_comes_in_between() -> None:
    jobs = [Job(f"{n}", "", "", "", n, group=f"{n % 7}", cost=(n * 37) % 11) for n in range(200)]
    waiting, taken = Schedule(jobs), []
    for turn in range(260):
        one = waiting.take(f"{turn % 9}")
        if one is None:
            break
        if turn % 5 == 0 and len(taken) < 250:
            waiting.add(one)
        else:
            taken.append(one.name)
    while (one := waiting.take()) is not None:
        taken.append(one.name)
    assert sorted(taken, key=int) == [job.name for job in jobs]


# places


def test_workers_and_threads_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    from layered_nst.campaign.executors import places

    monkeypatch.setattr(places, "processors", lambda: 8)
    monkeypatch.setattr(places, "gpus", list)
    few = settled(Workers(device="cpu", memory=1.0))
    assert (few.count, few.threads) == (8, 1)
    assert settled(Workers(3, device="cpu")).threads == 2
    assert settled(Workers(threads=4, device="cpu", memory=1.0)).count == 2
    large = settled(Workers(device="cpu", memory=1e15))
    assert (large.count, large.threads) == (1, 8), "what is left over becomes threads"
    monkeypatch.setattr(places, "gpus", lambda: ["0", "1"])
    assert settled(Workers(device="cuda")).count == 2, "each takes a card"


def test_threads_are_those_that_were_measured_to_do_most(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    from layered_nst.campaign.executors import places

    assert Measured({1: 10.0, 2: 10.3, 4: 8.0}).best == 1, "a little more is not worth its memory"
    assert Measured({1: 10.0, 2: 12.0, 4: 11.0}).best == 2
    monkeypatch.setattr(places, "processors", lambda: 8)
    monkeypatch.setattr(places, "gpus", list)
    monkeypatch.setattr(measuring, "_rates", lambda *_: {1: 10.0, 4: 15.0})
    asked = Workers(device="cpu", memory=1.0)
    assert settled(asked).threads == 1, "nothing was measured"
    assert measuring.measured(8).best == 4
    assert (settled(asked).count, settled(asked).threads) == (2, 4)
    assert settled(Workers(8, device="cpu")).threads == 1, "who asks for workers has them"
    monkeypatch.setattr(measuring, "_rates", lambda *_: pytest.fail("it was measured before"))
    assert measuring.measured(8).rates == {1: 10.0, 4: 15.0}
    assert measuring.remembered(4) is None, "another machine"
    assert measuring.remembered(8, 320) is not None, "nearest to what was tried"
    assert measuring.remembered(8, 1024) is None, "larger pictures are tried by themselves"
    monkeypatch.setattr(measuring, "_rates", lambda *_: {1: 1.0, 8: 2.0})
    assert (measuring.measured(8, 1024).best, measuring.measured(8, 256).best) == (8, 4)
    assert settled(replace(asked, size=2000)).threads == 8
    for damage in ("", "[]", '{"of": 1}', "{"):
        (cache_folder / measuring.FILE).write_text(damage)
        assert measuring.remembered(8) is None


@pytest.mark.slow
def test_threads_are_measured_by_processes_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TURNS", 1)
    found = measuring.measured(2)
    assert found.rates.keys() == {1, 2}
    assert min(found.rates.values()) > 0
    assert measuring.remembered(2) == found
    assert not [p for p in psutil.Process().children() if "measuring" in str(p.cmdline())]


def test_a_process_that_cannot_measure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "true")
    with pytest.raises(ExecutorError, match="could not be measured: a process that tried has end"):
        measuring.measured(2)
    assert measuring.remembered(2) is None


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(ExecutorError, match="`workers=0`: allowed: at least 1"):
        settled(Workers(0))


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert ended_how(3) == "its process ended with code 3"
    assert ended_how(-9) == "its process was ended by SIGKILL, as where memory runs out"
    assert ended_how(-200) == "its process was ended by signal 200"


# what is seen


def test_the_table_shows_what_runs_how_far_and_how_long_it_takes() -> None:

    from layered_nst.campaign.ledger import Counts
    from layered_nst.cli.watching import CampaignDisplay

    jobs = jobs_of(Path(), "a", "b", "c", "d", cost=10.0)
    display = CampaignDisplay(quiet=True)
    display.start(Counts({JobState.QUEUED: 4, JobState.DONE: 6}), jobs)
    told = {"done": 0.25, "level": 1, "levels": 3, "seconds_left": 70.0}
    done = Outcome(Ending.DONE, seconds=5.0, pixels=(64, 48), exit_code=0)
    display.tell(Happening("started", jobs[0], "worker-1"))
    display.tell(Happening("done", jobs[0], "worker-1", outcome=done))
    display.tell(Happening("failed", jobs[1], "worker-2", "is broken"))
    display.tell(Happening("progress", jobs[2], "worker-1", told=told))
    console = Console(width=110, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    display.began -= 36.0
    console.print(display._table())
    text = console.export_text()
    assert "8 of 10  1 failed  100 an hour  about 1 min 12 s left" in text
    assert re.search(r"worker-1 +c\.txt +level 1 of 3  25%  1 min 10 s left", text)
    assert "a.txt" not in text


# many short ones at once


class Stream(LocalExecutor):
    """Brings half of the jobs together, one of them broken and one stopped, and then ends."""

    def can_stream(self) -> bool:
        return True

    def stream(self, jobs: Sequence[Job]) -> Iterator[Brought]:
        done = Outcome(Ending.DONE, seconds=0.5, size=7, exit_code=0)
        yield []
        yield [(job, done) for job in jobs[: len(jobs) // 2]]
        yield [(jobs[-1], Outcome(Ending.FAILED, "is broken")), (jobs[-2], Outcome(Ending.STOPPED))]


def test_what_a_stream_does_not_bring_is_left_to_the_engine(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"good-{n}" for n in range(streaming.MANY)]
    short = jobs_of(ledger.folder, *names, at_once=True)
    long = jobs_of(ledger.folder, "long")
    with ledger.batch():
        ledger.add([*short, *long])
    monkeypatch.setattr(Stream, "__init__", lambda _: None)
    events: list[Happening] = []
    found = streaming.streamed(Stream(), ledger, [*short, *long], events.append)  # type: ignore[call-arg]
    half = streaming.MANY // 2
    assert (found.done, found.worked) == (half, 0.5 * half)
    assert [job.name for job in found.left] == [
        *(job.name for job in short[half:-1]),
        "long.txt",
    ]
    kinds = [event.kind for event in events]
    assert (kinds.count("done"), kinds[-2:]) == (half, ["failed", "again"])
    counts = ledger.counts()
    assert (counts[JobState.DONE], counts.bad, counts[JobState.RUNNING]) == (half, 1, 0)
    few = streaming.streamed(Stream(), ledger, short[:9], events.append)  # type: ignore[call-arg]
    assert few.left == short[:9], "few are not worth its start"


def test_a_full_disk_stops_a_stream(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"good-{n}" for n in range(streaming.MANY)]
    short = jobs_of(ledger.folder, *names, at_once=True)
    ledger.add(short)
    monkeypatch.setattr(Stream, "__init__", lambda _: None)
    full = Outcome(Ending.HALTED, "no space left")
    monkeypatch.setattr(Stream, "stream", lambda _, jobs: ([(job, full)] for job in jobs))
    found = streaming.streamed(Stream(), ledger, short, lambda _: None)  # type: ignore[call-arg]
    assert (found.halted, found.done, len(found.left)) == ("no space left", 0, len(short))
    assert ledger.counts()[JobState.QUEUED] == len(short)
