"""What every test gets without asking."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

# Tests work on small tensors and start processes side by side, where threads that wait for one
# another cost several times what they bring. Set before torch is imported, and for processes too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Fixtures of whole modules run before any test has its cache: the user's must not serve them.
os.environ["LAYERED_NST_CACHE_DIR"] = tempfile.mkdtemp(prefix="layered-nst-tests-")
# Processes that tests start find what others have compiled of this package, as a user's do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Whatever the processor of this machine likes best; test_precision.py looks at that.
os.environ["LAYERED_NST_PRECISION"] = "float32"


_NUMBERS = count()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, empty and not yet made: the user's stays as it is."""
    # ``mktemp`` looks through the folders of all tests before for a number that is free.
    folder = tmp_path_factory.getbasetemp() / "caches" / str(next(_NUMBERS)) / "layered-nst"
    folder.parent.mkdir(parents=True)
    monkeypatch.setenv("LAYERED_NST_CACHE_DIR", str(folder))
    monkeypatch.delenv("LAYERED_NST_CACHE_SIZE", raising=False)
    return folder


@pytest.fixture(autouse=True)
def reused_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line asks of the C library outlasts its test, so all begin with it.

    It also takes a fourteenth off the whole suite: large tensors are no new memory each time.
    """
    from layered_nst.machine.allocator import reuse_memory

    reuse_memory()
    # A process that ends may leave its garbage; this one has thousands of runs before it.
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, also where pytest runs in the background and was told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose run gets as far as reading the photo or painting."""
    from layered_nst import api

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the work began before the output was checked")

    monkeypatch.setattr(api, "prepare", refuse)
    monkeypatch.setattr(api, "paint", refuse)


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as session:
        # Chromium refuses its sandbox to root, which is who runs in a container.
        started = session.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()
