"""What doesn't compute doesn't wait: --help and the import of the package."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "PIL", "pydantic", "yaml", "safetensors")
FACTOR = 2.0
"""Machines differ; a module too many costs more than this on any."""


def seconds(*words: str) -> float:
    """Processor time of Python with these arguments, whatever else the machine is doing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (("-m", "layered_nst.cli", "--help"), 0.4),
        (("-m", "layered_nst.cli", "apply", "--help"), 0.4),
        (("-c", "import layered_nst"), 0.1),
    ],
)
def test_it_is_quick(words: tuple[str, ...], most: float) -> None:
    # The first time, bytecode may have to be written.
    assert min(seconds(*words) for _ in range(3)) <= FACTOR * most


@pytest.mark.parametrize(
    "statement",
    ["import layered_nst", "import layered_nst.cli", "from layered_nst import LayeredNstError"],
)
def test_nothing_heavy_is_imported_before_it_is_wanted(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {*ran.stdout.split()} & {*HEAVY}


def test_the_version_is_looked_up_when_it_is_asked_for() -> None:
    code = (
        "import sys, layered_nst\n"
        "assert 'importlib.metadata' not in sys.modules\n"
        "assert layered_nst.__version__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
