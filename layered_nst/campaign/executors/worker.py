"""A warm worker process: takes jobs from its standard input, one after another, and tells of them.

Run as ``python -m layered_nst.campaign.executors.worker TASK [PLUGIN…]``. Libraries, models and
what the task keeps stay loaded from job to job. If whoever started it is gone, it stops its job,
which leaves a checkpoint, and ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Iterable
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

from layered_nst import plugins
from layered_nst.campaign.executors.surroundings import threads_in_words
from layered_nst.campaign.executors.watching import Watch, outcome_of
from layered_nst.campaign.jobs import Job
from layered_nst.machine.allocator import collect_rarely

BEAT = 1.0
"""Seconds between signs of life."""
GRACE = 20.0
"""Seconds that a job has to stop once nobody waits for it any more."""


class Line:
    """Messages over a pair of pipes: each a length and a pickle."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self.reading, self.writing = reading, writing
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OSError: nobody reads any more.
        """
        data = pickle.dumps(message)
        with self._lock:
            self.writing.write(len(data).to_bytes(8, "little") + data)
            self.writing.flush()

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError: the other side has closed.
        """
        head = self.reading.read(8)
        size = int.from_bytes(head, "little")
        data = self.reading.read(size)
        if len(head) < 8 or len(data) < size:
            raise EOFError
        return pickle.loads(data)


def task_at(place: str) -> Any:
    """The function that ``package.module:name`` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def ready_task(place: str, files: Iterable[str]) -> Any:
    """A worker's task, with the plug-ins of single files in their places."""
    collect_rarely()
    for file in files:
        plugins.add_file(file)
    return task_at(place)


def actors_task(place: str, threads: int, files: Iterable[str]) -> Any:
    """The same in an actor of Ray, which is not told its threads when it is begun."""
    os.environ.update(threads_in_words(threads))
    return ready_task(place, files)


def main() -> None:
    """Work until the line closes."""
    faulthandler.enable()
    code = 1
    try:
        _work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Unloading torch takes a while, nothing is left to be written, and a thread that waits
        # for the line would keep Python from ending in order.
        sys.stderr.flush()
        os._exit(code)


def _work() -> None:
    line = Line(sys.stdin.buffer, _own_output())
    stop, jobs = threading.Event(), SimpleQueue[Job | None]()
    threading.Thread(target=_listen, args=(line, stop, jobs), daemon=True).start()
    task = ready_task(sys.argv[1], sys.argv[2:])
    # Before the first job: one that ends us must not look as if we had never begun.
    line.send(("told", {}))
    threading.Thread(target=_beat, args=(line,), daemon=True).start()
    with contextlib.suppress(OSError):
        while (job := jobs.get()) is not None:
            with Watch(job.memory, lambda said: line.send(("lost", said))):
                outcome = outcome_of(task, job, lambda told: line.send(("told", told)), stop)
            line.send(("ended", outcome))


def _own_output() -> IO[bytes]:
    """Standard output for messages alone: what libraries print goes to the log."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


def _listen(line: Line, stop: threading.Event, jobs: SimpleQueue[Job | None]) -> None:
    try:
        while True:
            kind, value = line.receive()
            if kind == "job":
                # Here and not where it begins: it may be asked to stop before that.
                stop.clear()
                jobs.put(value)
            else:
                stop.set()
    except (EOFError, OSError):
        stop.set()
        jobs.put(None)
        threading.Timer(GRACE, os._exit, (1,)).start()


def _beat(line: Line) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while not pause.wait(BEAT):
            line.send(("told", {}))


if __name__ == "__main__":
    main()
