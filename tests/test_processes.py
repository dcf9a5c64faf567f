"""A process that was forked from one that has painted says so, and does not wait forever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from narrow import narrow_encoder
from test_optimize import plan_of, problem_of
from layered_nst.errors import ProcessError
from layered_nst.machine.device import choose_device
from layered_nst.painting.levels import optimize

def paint():
    optimize(narrow_encoder(dtype=torch.float32), problem_of(), plan_of((32, 1)))

torch.set_num_threads(2)
if {painted}:
    paint()
child = os.fork()
if not child:
    torch.set_num_threads({threads})
    try:
        choose_device()
        paint()
    except ProcessError as error:
        print(error)
        os._exit(7)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def ended(*, painted: bool, threads: int) -> list[str]:
    script = SCRIPT.format(tests=os.path.dirname(__file__), painted=painted, threads=threads)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            # What hangs here is the fork, which would outlive the process that waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    return said.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_says_that_it_cannot_paint() -> None:
    sentence, code = ended(painted=True, threads=2)
    assert "was forked from one that has painted" in sentence
    assert "`spawn` or `forkserver`" in sentence
    assert code == "7"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(("painted", "threads"), [(False, 2), (True, 1)])
def test_one_that_can_paint_does(painted: bool, threads: int) -> None:
    assert ended(painted=painted, threads=threads) == ["0"]
