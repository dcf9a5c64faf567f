"""Campaigns as programs and the command line drive them: load, plan, run, look, run again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layered_nst import plugins
from layered_nst.campaign.engine import Engine, Happening, OnEvent, Rules, Summary
from layered_nst.campaign.executors.interface import PAINT, Executor, Workers
from layered_nst.campaign.executors.measuring import remembered
from layered_nst.campaign.executors.places import leaves_threads_open, processors, tried
from layered_nst.campaign.expanding import Expansion, expand
from layered_nst.campaign.identity import Hashes, photo_key
from layered_nst.campaign.jobs import AGAIN, OPEN, WORK, Ending, Job, JobState, Outcome, mark_path
from layered_nst.campaign.ledger import NAME, Counts, Ledger, Standing
from layered_nst.campaign.loading import Stated, load_campaign, of_mapping, simple
from layered_nst.campaign.moving import found_again
from layered_nst.campaign.reporting import check_report
from layered_nst.campaign.standing import Status, alone, status_of
from layered_nst.campaign.streaming import streamed
from layered_nst.errors import CampaignError, DeviceError, OutputError, PictureError
from layered_nst.files.hashes import file_hash
from layered_nst.files.targets import make_folder, probe

GONE = "no longer in the campaign"


OnStart = Callable[[Counts, Sequence[Job]], None]
"""Is told how the ledger stands before the first job, and which jobs are to be done."""


@dataclass(frozen=True)
class Campaign:
    """Many photos in many looks and formats.

    Attributes:
        stated: what its file says, and where.
        cache: whether what was computed before is used and kept.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest there is.
    """

    stated: Stated
    device: str = "auto"
    cache: bool = True
    task: str = field(default=PAINT, repr=False)

    @classmethod
    def load(
        cls, path: str | Path, *, output: str | Path | None = None, device: str = "auto"
    ) -> Campaign:
        """Load a campaign from its file, or from the folder of one that was begun.

        Raises:
            CampaignError: every problem found, one per line, each with file, line and key.
        """
        path, target = Path(path), None if output is None else Path(output).absolute()
        if path.is_dir():
            return cls(begun_in(path), device)
        return cls(load_campaign(path, output=target), device)

    @classmethod
    def of(
        cls,
        recipe: str | Path,
        photos: Sequence[str | Path],
        output: str | Path,
        *,
        more: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> Campaign:
        """A campaign of one recipe on some photos, without a file.

        Args:
            photos: files, folders or CSV files.
            output: folder.
            more: further keys of a campaign file, such as ``{"quality": "draft"}``.
        """
        paths = [Path(photo) for photo in photos]
        return cls(
            simple(Path(recipe), paths, output=Path(output).absolute(), more=more or {}), device
        )

    @property
    def output(self) -> Path:
        """The folder of pictures, ledger and report."""
        return self.stated.output

    def jobs(self) -> Expansion:
        """All jobs, as plain data, with what is wrong about some of them.

        Raises:
            CampaignError: photos or recipes that match nothing.
        """
        return expand(self.stated, hashes=Hashes(), device=self.device, cache=self.cache)

    def run(
        self,
        executor: str | Executor = "local",
        *,
        workers: int | None = None,
        threads: int | None = None,
        address: str = "",
        carry: bool = False,
        again: bool = False,
        rebuild: bool = False,
        on_event: OnEvent = lambda _: None,
        on_start: OnStart = lambda *_: None,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> Summary:
        """Paint all pictures that are not there yet, or no longer as the campaign says.

        Args:
            executor: ``local``, ``ray``, another that is registered, ``{NAME: {KEY: VALUE}}``, or
                an ``Executor``.
            workers: how many; as many as fit if not given.
            threads: of each worker, on which the last digits of pictures depend; if not given,
                those that the campaign was begun with, or as many as do most here, which is tried
                once on a machine where the campaign will take long.
            address: of a Ray cluster; one of our own if not given.
            carry: files travel with the jobs, for workers that share no disk with this machine.
            again: begin jobs again that have failed.
            rebuild: make a damaged ledger anew from the pictures.
            on_event: is told what happens; what it raises ends the run.
            on_start: is told how the ledger stands and what is to be done.
            on_note: is told in a sentence what was found out about this machine.

        Returns:
            How the campaign stands; its ``exit_code`` is not 0 if any picture is missing.

        Raises:
            CampaignError: two pictures of one name, a damaged ledger, another run in the folder.
            OutputError: the folder cannot be written to.
            ExecutorError: the executor is not here, or does not answer.
            DeviceError: no such kind of device.
        """
        _check_device(self.device)
        make_folder(self.output)
        _check_writable(self.output)
        check_report(self.output)
        with alone(self.output):
            if rebuild:
                _set_aside(self.output)
            ledger = Ledger(self.output, create=True)
            try:
                self._refuse_second(ledger)
                threads = threads or int(ledger.told("threads") or 0) or None
                asked = self._workers(workers, threads, address, carry)
                found = None
                if isinstance(executor, str) and leaves_threads_open(asked):
                    asked = self._tried(asked, found := self.jobs(), on_note)
                # Its workers load their libraries while we see to the jobs.
                with _opened(executor, asked) as runs:
                    jobs = self._prepared(ledger, found or self.jobs(), again, rebuild)
                    # Other threads would change the last digits of pictures half done.
                    ledger.tell("threads", str(runs.threads))
                    return self._run(ledger, runs, jobs, on_event, on_start)
            finally:
                with contextlib.suppress(OutputError), ledger.batch():
                    ledger.beat_ended()
                ledger.close()

    def _workers(
        self, count: int | None, threads: int | None, address: str, carry: bool
    ) -> Workers:
        limits = self.stated.asked.limits
        return Workers(
            count=count,
            threads=threads,
            device=self.device,
            task=self.task,
            logs=self.output / WORK / "logs",
            address=address,
            carry=carry,
            memory=limits.memory or 1.5e9,
        )

    def _tried(
        self, asked: Workers, all_jobs: Expansion, on_note: Callable[[str], None]
    ) -> Workers:
        """Workers that know which size counts; how many threads are best for it is tried."""
        good = [job for job in all_jobs.jobs if not job.problem]
        asked = replace(asked, size=usual_size(good))
        before = remembered(processors(), asked.size)
        found = tried(asked, sum(job.cost for job in good))
        if found is not None and found != before:
            on_note(found.in_words())
        return asked

    def _run(
        self,
        ledger: Ledger,
        executor: Executor,
        jobs: Sequence[Job],
        on_event: OnEvent,
        on_start: OnStart,
    ) -> Summary:
        limits = self.stated.asked.limits
        rules = Rules(tries=limits.tries, time=limits.time, disk=limits.disk)
        work = self.output / WORK

        def told(event: Happening) -> None:
            if event.kind == "done":
                _forget_mark(work, event.job)
            on_event(event)

        jobs = [self._with_memory(job, len(executor.places)) for job in jobs]
        on_start(ledger.counts(), jobs)
        began = time.monotonic()
        first = streamed(executor, ledger, jobs, told)
        if first.interrupted or first.halted:
            rest = Summary(ledger.counts(), 0.0, halted=first.halted, interrupted=first.interrupted)
        else:
            rest = Engine(ledger, executor, first.left, rules=rules, on_event=told).run()
        return replace(
            rest,
            seconds=time.monotonic() - began,
            worked=rest.worked + first.worked,
            done=rest.done + first.done,
        )

    def _with_memory(self, job: Job, places: int) -> Job:
        """A job that knows how many share this machine with it."""
        return job if job.memory is not None else replace(job, sharing=places)

    def _refuse_second(self, ledger: Ledger) -> None:
        other = ledger.running_elsewhere()
        if other:
            raise CampaignError(f"{self.output}: {other} is running a campaign there")

    def _prepared(self, ledger: Ledger, found: Expansion, again: bool, rebuild: bool) -> list[Job]:
        """Bring the ledger up to what the campaign says now; the jobs that are to be done."""
        if found.clashes:
            shown = [*found.clashes[:20], *_more(len(found.clashes) - 20)]
            raise CampaignError("\n".join(shown))
        adopted = _marks(self.output / WORK)
        if rebuild:
            from layered_nst.campaign.rebuilding import adopted_from

            adopted |= adopted_from(found.jobs)
        with ledger.batch():
            ledger.tell("campaign", json.dumps(self.stated.as_data()))
            ledger.tell("title", self.stated.title)
            _settle(ledger, found, adopted, again=again)
        for mark in adopted:
            with contextlib.suppress(OSError):
                mark_path(self.output / WORK, mark).unlink()
        open_names = {e.name for e in ledger.entries((JobState.QUEUED,))}
        return _measured([job for job in found.jobs if job.name in open_names], ledger)

    def status(self) -> Status:
        """How the campaign stands, whether a run is going on or not.

        Raises:
            CampaignError: it has not been run, or its ledger is damaged.
        """
        return status_of(self.output)


@contextlib.contextmanager
def _opened(executor: str | Executor, asked: Workers) -> Iterator[Executor]:
    """An executor by its name, closed in the end; one that was handed over stays open."""
    if not isinstance(executor, str):
        yield executor
        return
    part, said = plugins.meant("executor", executor)
    with plugins.blamed(part):
        opened: Executor = plugins.object_of(part)(asked, **said)
    try:
        yield opened
    except CampaignError:
        # Nothing has begun that could want a moment to stop.
        opened.close(kill=True)
        raise
    finally:
        opened.close()


def begun_in(folder: Path) -> Stated:
    """The campaign that was begun in a folder, as its ledger tells it.

    Raises:
        CampaignError: none was; or it was moved, and what it names is not found.
    """
    told = _told_in(folder)
    if told is None:
        raise CampaignError(f"{folder / NAME}: does not tell its campaign; name its file")
    told = found_again(told, folder.absolute())
    file = None if told["file"] is None else Path(told["file"])
    if file is not None and file.is_file():
        return load_campaign(file, output=folder.absolute(), **_laid_on(told))
    return of_mapping(
        told["stated"], folder=Path(told["folder"]), file=file, output=folder.absolute()
    )


def begun_by(file: Path) -> Stated:
    """The campaign of a file as it was begun: with what options said then.

    Raises:
        CampaignError: what the file says is wrong, or it was never begun.
    """
    stated = load_campaign(file)
    laid = _laid_on(_told_in(stated.output) or {})
    return load_campaign(file, **laid) if laid else stated


def _told_in(folder: Path) -> dict[str, Any] | None:
    with Ledger(folder, readonly=True) as ledger:
        told: dict[str, Any] | None = json.loads(ledger.told("campaign") or "null")
    return told


def _laid_on(told: Mapping[str, Any]) -> dict[str, Any]:
    """What was laid on a campaign's file when it was begun, as ``load_campaign`` takes it."""
    over = told.get("over")  # ledgers of before do not tell it
    return {} if over is None else {"more": over, "beside": Path(told["over_from"])}


def usual_size(jobs: Sequence[Job]) -> int:
    """The longest side, px, of pictures that take most of the time; 0 if there are none."""
    costs: dict[int, float] = defaultdict(float)
    for job in jobs:
        costs[job.size] += job.cost
    return max(costs, key=lambda size: (costs[size], size), default=0)


def _more(count: int) -> list[str]:
    return [f"and {count} more"] if count > 0 else []


DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
"""Kinds of devices; whether a machine has one, its workers find out."""


def _check_device(name: str) -> None:
    if name.partition(":")[0] not in DEVICES:
        raise DeviceError(f"device {name}: no such kind; allowed: {', '.join(DEVICES)}")


def _check_writable(folder: Path) -> None:
    try:
        probe(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{folder}: cannot be written: {reason}") from error


def _set_aside(folder: Path) -> None:
    """Put a ledger out of the way, with what belongs to it."""
    aside = time.strftime("%Y%m%d-%H%M%S")
    for name in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
        with contextlib.suppress(FileNotFoundError):
            shutil.move(folder / name, folder / f"{name}.damaged-{aside}")


def _marks(work: Path) -> dict[str, Mapping[str, Any]]:
    """What workers have left of jobs that were done when nobody could hear it any more."""
    found, any_mark = {}, mark_path(work, "*")
    for path in any_mark.parent.glob(any_mark.name):
        with contextlib.suppress(OSError, ValueError):
            found[path.stem] = json.loads(path.read_text("utf-8"))
    return found


def _forget_mark(work: Path, job: Job) -> None:
    with contextlib.suppress(OSError):
        mark_path(work, job.mark).unlink()


def _settle(
    ledger: Ledger, found: Expansion, adopted: Mapping[str, Mapping[str, Any]], *, again: bool
) -> None:
    """Say of every job in the ledger where it stands now."""
    standing = ledger.standing()
    anew = (JobState.SKIPPED, *(AGAIN if again else ()))
    new, kept, bad = list[Job](), list[Job](), list[Job]()
    for job in found.jobs:
        known, mark = standing.get(job.name), adopted.get(job.mark)
        if mark is not None and _is_there(job, mark):
            ledger.add([job])
            ledger.end(job.name, JobState.DONE, _adopted(mark))
        elif job.problem:
            bad.append(job)
        elif known is None or known.state in anew or not is_same(job, known):
            new.append(job)
        else:
            kept.append(job)
            if known.state is JobState.RUNNING:
                ledger.release(job.name, counted=False)
    ledger.add(new)
    ledger.renumber(kept)
    ledger.add(bad, state=JobState.FAILED)
    ledger.add(found.skipped, state=JobState.SKIPPED)
    names = {job.name for job in (*found.jobs, *found.skipped)}
    ledger.set_state(sorted(standing.keys() - names), JobState.SKIPPED, GONE)


def is_same(job: Job, known: Standing) -> bool:
    """Whether what the ledger says of a job still speaks of the same picture."""
    if known.spec != job.spec:
        return False
    if known.state is JobState.DONE and not os.path.isfile(job.output):
        return False
    if known.photo_state == job.photo_state or known.state in OPEN:
        return True
    # Touched, copied anew or changed: its bytes tell.
    return known.state is JobState.DONE and _key_of(job) == known.photo_key


def _key_of(job: Job) -> str:
    """See ``Outcome.photo_key``; "" of a photo that cannot be read, which its worker will tell."""
    try:
        return photo_key(file_hash(Path(job.photo)), job.drawn)
    except PictureError:
        return ""


def _is_there(job: Job, mark: Mapping[str, Any]) -> bool:
    """Whether the picture that a mark speaks of is the one that lies there."""
    if mark.get("spec") != job.spec or not os.path.isfile(job.output):
        return False
    if job.problem or mark.get("photo_key") != _key_of(job):
        return False
    return file_hash(Path(job.output)) == mark.get("sha256")


def _adopted(mark: Mapping[str, Any]) -> Outcome:
    width, height = mark.get("pixels", (0, 0))
    return Outcome(
        Ending.DONE,
        str(mark.get("sentence", "")),
        sha256=str(mark["sha256"]),
        size=int(mark.get("size", 0)),
        photo_key=str(mark.get("photo_key", "")),
        exit_code=0,
        pixels=(int(width), int(height)),
    )


def _measured(jobs: Sequence[Job], ledger: Ledger) -> list[Job]:
    """Jobs with what they cost by what others of their group have taken."""
    taken = ledger.measured()
    return [replace(job, cost=job.cost * taken.get(job.group, 1.0)) for job in jobs]
