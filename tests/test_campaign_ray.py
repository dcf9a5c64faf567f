"""Campaigns on Ray: the same engine, and clear words where Ray is not as it should be."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from test_campaign_engine import TASK, jobs_of, states
from test_campaign_run import hundred, sentences
from workbench import lay_out, photo, run

from layered_nst.campaign import Campaign, streaming
from layered_nst.campaign.carrying import laid_down, packed, paint_carried
from layered_nst.campaign.engine import Engine, Happening, Rules
from layered_nst.campaign.executors import cluster, pool, rays
from layered_nst.campaign.executors.interface import Workers
from layered_nst.campaign.executors.rays import RayExecutor, open_ray
from layered_nst.campaign.jobs import JobState
from layered_nst.campaign.ledger import Ledger
from layered_nst.errors import CampaignError, ExecutorError


def test_ray_that_is_absent_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ExecutorError, match=r"^ray is not installed: pip install 'layered-nst\[ray"
    ):
        open_ray(Workers(1, 1, "cpu"))
    monkeypatch.chdir(lay_out(tmp_path))
    ran = run("campaign", "run", "look.yaml", "photo.png", "-o", "out", "--executor", "ray")
    assert (ran.code, ran.error[:24]) == (2, "ray is not installed: pi")
    ran = run("campaign", "run", "look.yaml", "photo.png", "-o", "out", "--executor", "rya")
    assert "no executor is called 'rya' (did you mean ray?)" in ran.error


def test_ray_of_an_old_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("ray")
    old.__version__ = "1.13.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", old)
    with pytest.raises(ExecutorError, match=r"ray 1\.13\.0: this program needs 2\.9 or newer"):
        open_ray(Workers(1, 1, "cpu"))


class FakeRay(types.ModuleType):
    """As much of Ray as is asked before a cluster is joined."""

    __version__ = "2.60.0"

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with Ray 2.40\nmore of it")


def test_an_address_that_nobody_answers_at_is_told_in_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay("ray"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ExecutorError, match=rf"127\.0\.0\.1:{port}: nobody answers there \(conn"):
        open_ray(Workers(1, 1, "cpu", address=f"127.0.0.1:{port}"))
    with pytest.raises(ExecutorError, match="`address=here`: allowed: HOST:PORT"):
        open_ray(Workers(1, 1, "cpu", address="here"))


def test_a_cluster_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay("ray"))
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        address = f"127.0.0.1:{there.getsockname()[1]}"
        with pytest.raises(ExecutorError) as caught:
            open_ray(Workers(1, 1, "cpu", address=address))
    assert str(caught.value) == (
        f"ray: {address} cannot be used: Version mismatch: The cluster was started with Ray 2.40"
    )


def test_a_cluster_that_asks_for_a_token_says_where_it_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = FakeRay("ray")
    monkeypatch.setattr(ray, "init", refused)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ExecutorError, match="at here; if it asks for a token, RAY_AUTH_TOKEN has"):
        open_ray(Workers(1, 1, "cpu", address="auto"))


def refused(**_: Any) -> None:
    raise ConnectionError("Failed to connect to Ray cluster at here")


def test_a_picture_that_was_carried_has_the_bytes_of_one_that_was_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Image.fromarray(photo(48, 64)).save("cup.png")
    Path("cup.masks").mkdir()
    Image.new("L", (48, 64), 255).crop((0, 0, 48, 64)).save("cup.masks/sky.png")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    Path(tempfile.tempdir or "").mkdir()
    formats = {"all": {"size": 32}, "square": {"size": 32, "crop": "1:1", "keep": "center"}}
    more = {"quality": "draft", "set": {"optimize.steps": 1}, "formats": formats}
    asked = Campaign.of("look.yaml", ["cup.png", "photo.png"], "out", more=more)
    jobs = {job.name: job for job in asked.jobs().jobs}
    for name in ("cup-look-all.png", "photo-look-square.png"):
        job = jobs[name]
        parcel = packed(job)
        assert {Path(file).name for file in parcel.files} >= {"dots.png", "stripes.png"}
        outcome = paint_carried(job, parcel, lambda _: None, threading.Event())
        assert not Path(job.output).exists(), "nothing is written where the campaign is"
        laid_down(outcome)
        content = job.photo
        if job.crop:
            (found,) = Path("out/.campaign/crops").rglob("photo.png")
            content = str(found.absolute())
        words = ("--quality", "draft", "--steps", "1", "--size", "32", "-o", "single.png")
        ran = run("apply", "look.yaml", "-c", content, *words)
        assert ran.code == 0, ran.err
        assert Path("single.png").read_bytes() == Path(job.output).read_bytes(), name
        assert outcome.photo_key
        assert Path(f"out/.campaign/thumbnails/{job.mark}.jpg").is_file()


def test_the_folder_of_a_cluster_is_short_enough_for_its_sockets_and_goes_with_its_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T")
    assert cluster.own_folder() == Path("/tmp", f"lnst-ray-{os.getpid()}")
    monkeypatch.setattr(tempfile, "tempdir", "/scratch")
    assert cluster.own_folder() == Path("/scratch", f"lnst-ray-{os.getpid()}")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = ("lnst-ray-mine", f"lnst-ray-{os.getpid()}", f"ray-{gone.pid}")
    for name in (*kept, f"lnst-ray-{gone.pid}"):
        (tmp_path / name / "session").mkdir(parents=True)
    cluster._sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def fake_executor(monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int | None) -> RayExecutor:
    """On a cluster of so many processors, with workers of one thread that are never begun."""
    ray = FakeRay("ray")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus}, raising=False)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(RayExecutor, "_started", lambda _: None)
    return RayExecutor(Workers(workers, 1, "cpu", TASK, address="auto"))


def test_a_pool_that_would_hang_is_refused_before_it_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = fake_executor(monkeypatch, cpus=4, workers=4)
    with pytest.raises(ExecutorError) as caught:
        next(iter(executor.stream([])))
    assert str(caught.value) == (
        "`workers=4`: pictures painted at once go through Ray Data, which waits for ever where "
        "workers take all 4 processors of the cluster; allowed: at most 3"
    )
    assert fake_executor(monkeypatch, cpus=4, workers=3)._pool_size() == 3
    assert fake_executor(monkeypatch, cpus=4, workers=None)._pool_size() == 3
    assert not fake_executor(monkeypatch, cpus=1, workers=1).can_stream()


DRAFT = {"quality": "draft"}


def paint_long() -> None:
    """A recipe of forty steps that are kept now and then, and a second photo."""
    steps = "optimize: {steps: 40, levels: [48], checkpoint: 0.01, tolerance: 0}"
    text = Path("look.yaml").read_text().replace("optimize: {steps: 1}", steps)
    Path("long.yaml").write_text(text)
    Image.fromarray(photo(48, 64)).save("cup.png")


def processes_of_ray(driver: int) -> list[psutil.Process]:
    """Those of a cluster that a process has begun for itself."""
    found = psutil.Process(driver).children(recursive=True)
    return [one for one in found if "ray" in " ".join(one.cmdline())]


def await_done(folder: Path, count: int, driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until so many pictures are done; the processes of the driver's cluster."""
    while driver.poll() is None:
        time.sleep(0.1)
        with contextlib.suppress(CampaignError), Ledger(folder, readonly=True) as ledger:
            if ledger.counts()[JobState.DONE] >= count:
                return processes_of_ray(driver.pid)
    pytest.fail("it ended before")


def is_alive(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
class TestOnRay:
    """With Ray itself."""

    @pytest.fixture(autouse=True)
    def there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ray", exc_type=ImportError)
        paths = [str(Path(__file__).parent), *filter(None, sys.path)]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def test_five_bad_pictures_of_a_hundred_leave_ninety_five_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(lay_out(tmp_path / "work"))
        Path("shots").mkdir()
        said = sentences(hundred("ray", memory="600M", seconds=8))
        assert "ended its worker 2 times" in said["segfault"]
        assert "was killed or crashed" in said["segfault"]
        assert "GB of memory, allowed: 0.6 GB" in said["memory"]
        assert said["endless"] == "took longer than 8 s (limits.time)"
        assert said["broken"].endswith("broken.png: is broken")
        assert "list.csv:46: regions.sky.style" in said["styleless"]

    def test_more_workers_than_fit_are_refused_and_a_bad_task_is_told(self, tmp_path: Path) -> None:
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
        with pytest.raises(ExecutorError, match="2 workers of 1 threads do not fit"):
            open_ray(Workers(2, 1, "cpu", TASK))
        ray.shutdown()
        with Ledger(tmp_path / "out", create=True) as ledger:
            jobs = jobs_of(ledger.folder, "good-1")
            with ledger.batch():
                ledger.add(jobs)
            executor = open_ray(Workers(1, 1, "cpu", "no_such_module:say"))
            try:
                summary = Engine(ledger, executor, jobs, rules=Rules()).run()
            finally:
                executor.close()
        assert summary.exit_code == 3
        assert "no worker could be started: its worker could not begin: ModuleNotFound" in (
            summary.halted
        )

    def test_a_job_that_ray_ends_for_its_memory_is_told_and_no_other_is_blamed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = psutil.virtual_memory()
        most = (memory.total - memory.available + 2e9) / memory.total
        monkeypatch.setenv("RAY_memory_usage_threshold", f"{most:.4f}")
        monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
        with Ledger(tmp_path / "out", create=True) as ledger:
            jobs = jobs_of(ledger.folder, "memory", "good-1", "good-2", "good-3")
            with ledger.batch():
                ledger.add(jobs)
            executor = open_ray(Workers(1, 1, "cpu", TASK))
            try:
                summary = Engine(ledger, executor, jobs, rules=Rules(tries=1)).run()
            finally:
                executor.close()
            assert (summary.counts[JobState.DONE], summary.counts.bad) == (3, 1)
            said = {entry.name: (entry.tries, entry.sentence) for entry in ledger.entries()}
            assert {tries for tries, _ in said.values()} == {1}
            assert re.fullmatch(
                r"ended its worker once: Ray ended it as its machine ran out of memory "
                r"\([\d.]+GB of [\d.]+GB taken\)",
                said["memory.txt"][1],
            )

    def test_pictures_have_the_bytes_of_a_single_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(lay_out(tmp_path / "work"))
        Image.fromarray(photo(48, 64)).save("cup.png")
        more = {"quality": "draft", "set": {"optimize.steps": 2}}
        asked = Campaign.of("look.yaml", ["photo.png", "cup.png"], "out", more=more)
        events: list[Happening] = []
        summary = asked.run("ray", workers=1, threads=1, on_event=events.append)
        assert (summary.exit_code, summary.done) == (0, 2)
        ran = run("apply", "look.yaml", "-c", "cup.png", "--quality", "draft", "--steps", "2",
                  "-o", "single.png")  # fmt: skip
        assert ran.code == 0, ran.err
        assert Path("single.png").read_bytes() == Path("out/cup-look.png").read_bytes()
        assert asked.run("ray", workers=1).done == 0
        os.remove("out/cup-look.png")
        summary = asked.run("ray", workers=1, threads=1, carry=True)
        assert (summary.exit_code, summary.done) == (0, 1)
        assert Path("single.png").read_bytes() == Path("out/cup-look.png").read_bytes()

    def test_a_picture_whose_actor_is_killed_goes_on_from_its_checkpoint_and_no_other_is_touched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(lay_out(tmp_path / "work"))
        paint_long()
        kills: list[int] = []
        events: list[Happening] = []

        def heard(event: Happening) -> None:
            events.append(event)
            far = event.told.get("done", 0.0) > 0.4 and event.job.checkpoint.exists()
            if far and not kills:
                working = processes_of_ray(os.getpid())
                actor = next(one for one in working if "ActorWorker" in one.cmdline()[0])
                actor.kill()
                kills.append(len(events))

        asked = Campaign.of("long.yaml", ["cup.png", "photo.png"], "out", more=DRAFT)
        summary = asked.run("ray", workers=2, threads=1, on_event=heard)
        assert (summary.exit_code, summary.done, len(kills)) == (0, 2, 1)
        (again,) = [event for event in events if event.kind == "again"]
        killed = again.job.name
        assert "was killed or crashed" in again.sentence
        later = [one for one in events[events.index(again) :] if one.job.name == killed]
        shares = [one.told.get("done", 0.0) for one in later]
        assert min(share for share in shares if share) > 1.5 / 40, "not from its first step"
        with Ledger(asked.output, readonly=True) as ledger:
            tries = {entry.name: entry.tries for entry in ledger.entries()}
        (other,) = tries.keys() - {killed}
        assert (tries[killed], tries[other]) == (2, 1)
        for name in ("cup", "photo"):
            ran = run("apply", "long.yaml", "-c", f"{name}.png", "--quality", "draft",
                      "-o", "single.png")  # fmt: skip
            assert ran.code == 0, ran.err
            assert Path("single.png").read_bytes() == Path(f"out/{name}-long.png").read_bytes()

    def test_a_driver_that_is_killed_repeats_no_finished_picture(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(lay_out(tmp_path / "work"))
        Path("shots").mkdir()
        for number in range(6):
            Image.fromarray(photo(48, 64)).rotate(40 * number).save(f"shots/{number}.png")
        paint_long()
        words = ["run", "long.yaml", "shots", "-o", "out", "--quality", "draft"]
        options = ["--executor", "ray", "--workers", "1", "--threads", "1"]
        command = [sys.executable, "-m", "layered_nst.cli", "campaign", *words, *options]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as driver:
            ours = await_done(Path("out"), 2, driver)
            ours = [one for one in ours if "Agent" not in one.name()]
            driver.kill()
        # Its cluster ends with it; Ray's agents alone take a minute to notice.
        end = time.monotonic() + 30
        while any(is_alive(one) for one in ours) and time.monotonic() < end:
            time.sleep(0.1)
        assert not [one for one in ours if is_alive(one)]
        with Ledger(Path("out"), readonly=True) as ledger:
            done = [Path("out", entry.name) for entry in ledger.entries((JobState.DONE,))]
        stamps = {path: path.stat().st_mtime_ns for path in done}
        assert 2 <= len(done) < 6
        ran = run("campaign", "resume", "out", *options, "--json")
        assert (ran.code, ran.json["done"]) == (0, 6), ran.err
        # One that was painted when nobody could write it down any more counts as done.
        assert 6 - len(done) - 1 <= ran.json["painted"] <= 6 - len(done)
        assert {path: path.stat().st_mtime_ns for path in done} == stamps
        assert not (cluster.own_folder().parent / f"{cluster.OWN}{driver.pid}").exists()

    def test_photos_painted_at_once_go_through_ray_data_to_the_same_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("pyarrow")
        monkeypatch.setattr(streaming, "MANY", 10)
        monkeypatch.chdir(lay_out(tmp_path / "work"))
        Path("shots").mkdir()
        for number in range(24):
            Image.fromarray(photo(40 + number, 48)).save(f"shots/{number}.png")
        Path("shots/broken.png").write_bytes(b"\x89PNG broken")
        asked = Campaign.of("look.yaml", ["shots"], "out", more={"quality": "instant"})
        events: list[Happening] = []
        summary = asked.run("ray", workers=1, threads=1, on_event=events.append)
        assert (summary.exit_code, summary.done, summary.counts.bad) == (1, 24, 1)
        assert {event.worker for event in events} == {"stream"}
        words = ("--quality", "instant", "-o", "single.png")
        ran = run("apply", "look.yaml", "-c", "shots/7.png", *words)
        assert ran.code == 0, ran.err
        assert Path("single.png").read_bytes() == Path("out/7-look.png").read_bytes()
        assert asked.run("ray", workers=1).done == 0

    def test_what_ends_the_pool_is_found_and_all_others_are_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("pyarrow")
        monkeypatch.setattr(streaming, "MANY", 10)
        monkeypatch.setattr(pool, "STALLS", 30.0)
        monkeypatch.setattr(rays, "STALLS", 30.0)
        names = [
            *(f"good-{n}" for n in range(30)),
            "segfault",
            *(f"good-{n}" for n in range(40, 60)),
        ]
        with Ledger(tmp_path / "out", create=True) as ledger:
            jobs = jobs_of(ledger.folder, *names, at_once=True)
            with ledger.batch():
                ledger.add(jobs)
            executor = open_ray(Workers(2, 1, "cpu", TASK))
            try:
                first = streaming.streamed(executor, ledger, jobs, lambda _: None)
                rest = Engine(ledger, executor, first.left, rules=Rules(tries=1)).run()
            finally:
                executor.close()
            assert (rest.counts[JobState.DONE], rest.counts.bad) == (50, 1)
            assert states(ledger)["segfault"] is JobState.POISONED
            assert first.done > 0
