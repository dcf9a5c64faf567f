"""A Ray cluster to run on: one that is there, or a small one of our own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import psutil

from layered_nst.campaign.executors.places import SettledWorkers, gpus
from layered_nst.campaign.standing import alone, is_running
from layered_nst.errors import ExecutorError

OLDEST = (2, 9)
"""The first release of Ray that is known to do."""
ANSWERS_WITHIN = 5.0
"""Seconds that the address of a cluster has to answer."""
STORE = 256 * 2**20
"""Bytes of shared memory: jobs and outcomes are small."""
ADVICE = "pip install 'layered-nst[ray]'"
OWN = "lnst-ray-"
"""How the folders of our own clusters begin."""
LONGEST = 41
"""Bytes of such a folder's path: names of sockets may have 103, and Ray adds 62."""


class Cluster:
    """What ``ray.init`` begins or joins, until it is closed; one that was joined before stays."""

    def __init__(self) -> None:
        self.ray = imported()
        self.own = not self.ray.is_initialized()
        self._held = contextlib.ExitStack()

    def begin(self, asked: SettledWorkers) -> None:
        """Join a cluster, or begin one of our own.

        Raises:
            ExecutorError: nobody answers, or its versions are not ours.
        """
        if not self.own:
            return
        folder = own_folder()
        if not asked.address:
            _sweep(folder.parent)
            # Whoever sweeps later sees that it is in use.
            self._held.enter_context(alone(folder))
            self._held.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            _begun(self.ray, asked, folder)
        except BaseException:
            self._held.close()
            raise

    def begin_again(self, asked: SettledWorkers) -> None:
        """Get rid of all that runs there, if it is our own."""
        if self.own:
            self.close()
            self.begin(asked)

    def close(self) -> None:
        """Leave the cluster; our own ends."""
        if self.own:
            self.ray.shutdown()
            self._held.close()


def imported() -> Any:
    """Ray itself.

    Raises:
        ExecutorError: it is not installed, or too old.
    """
    # It asks for nothing and tells nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # What it says of workers that have ended goes to standard output otherwise, amid our own.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^A worker died|low on memory")
    try:
        import ray
    except ImportError as error:
        raise ExecutorError(f"ray is not installed: {ADVICE}") from error
    version = str(getattr(ray, "__version__", "0"))
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise ExecutorError(f"ray {version}: this program needs {needed} or newer: {ADVICE}")
    return ray


def _begun(ray: Any, asked: SettledWorkers, folder: Path) -> None:
    """Join a cluster, or begin one of our own.

    Raises:
        ExecutorError: nobody answers, or its versions are not ours.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if asked.address:
        _check_answers(asked.address)
        options["address"] = asked.address
    else:
        options |= {
            # One more than workers take, for what Ray Data does besides: it takes next to nothing.
            "num_cpus": asked.count * asked.threads + 1,
            "include_dashboard": False,
            "object_store_memory": STORE,
            "_temp_dir": str(folder),
        }
        if asked.device not in ("auto", "cuda"):
            options["num_gpus"] = 0
        elif gpus():
            options["num_gpus"] = len(gpus())
    try:
        ray.init(**options)
    except Exception as error:
        where = asked.address or "a cluster of our own"
        said = first_line(str(error))
        if asked.address and said.startswith("Failed to connect"):
            # It does answer.
            said += "; if it asks for a token, RAY_AUTH_TOKEN has to hold it"
        raise ExecutorError(f"ray: {where} cannot be used: {said}") from error


def own_folder() -> Path:
    """Where a cluster of our own keeps its sockets and logs."""
    usual, name = tempfile.gettempdir(), f"{OWN}{os.getpid()}"
    fits = len(os.fsencode(os.path.join(usual, name))) <= LONGEST
    return Path(usual if fits or os.name == "nt" else "/tmp", name)


def _sweep(place: Path) -> None:
    """Remove the folders of clusters whose driver was killed."""
    for folder in place.glob(f"{OWN}*"):
        pid = folder.name.removeprefix(OWN)
        if pid.isdecimal() and not psutil.pid_exists(int(pid)) and not is_running(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _check_answers(address: str) -> None:
    """Find out in seconds what Ray itself would wait minutes for."""
    match = re.fullmatch(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d+)", address)
    if match is None:
        if address == "auto":
            return
        raise ExecutorError(f"`address={address}`: allowed: HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((match[1], int(match[2])), ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExecutorError(f"{address}: nobody answers there ({str(reason).lower()})") from error


def first_line(text: str) -> str:
    """What a long message of Ray's says first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason is told"
