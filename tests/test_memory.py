"""Out of memory: how much there is, and the size that would do with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from workbench import lay_out

from layered_nst import apply, memory
from layered_nst.errors import OutOfMemoryError
from layered_nst.estimate import TOLERANCE, Footprint
from layered_nst.memory import advice, memory_errors, obtainable_bytes

NEED = Footprint(at_rest=1e9, per_pixel=3500)


def advised(sentence: str) -> int:
    (size,) = re.findall(r"and --size (\d+) would do", sentence)
    return int(size)


@pytest.mark.parametrize("gigabytes", [1.2, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("size", [(3072, 4096), (4000, 1000)])
def test_the_size_that_is_advised_fits_and_the_next_one_does_not(
    gigabytes: float, size: tuple[int, int]
) -> None:
    longest = advised(advice(size, NEED, gigabytes * 1e9))
    other = min(size) / max(size)
    assert NEED.bytes(longest**2 * other) * TOLERANCE <= gigabytes * 1e9
    assert NEED.bytes((longest + memory.ROUND) ** 2 * other) * TOLERANCE > gigabytes * 1e9


def test_a_size_that_has_failed_is_never_advised() -> None:
    sentence = advice((768, 1024), NEED, 50e9)
    assert sentence.startswith("out of memory at 1024×768 px: there are 50.0 GB for it, and --size")
    assert advised(sentence) < 1000


def test_no_size_is_advised_where_none_would_do() -> None:
    for there in (0.5e9, 1.08e9):
        assert advice((768, 1024), NEED, there) == (
            f"out of memory at 1024×768 px: there are {there / 1e9:.1f} GB for it, too little for "
            "any size; close other programs or read smaller pictures"
        )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_every_way_to_run_out_is_one_error(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="smaller"), memory_errors(lambda: "smaller"):
        raise error


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="broken"), memory_errors(lambda: "smaller"):
        raise RuntimeError("broken")


def test_a_run_that_does_not_fit_says_which_size_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("layered_nst.api.obtainable_bytes", lambda _: 1.5e9)
    monkeypatch.setattr("layered_nst.strategy.optimize", fail)
    with pytest.raises(OutOfMemoryError, match=r"at 1024×768 px: there are 1\.5 GB") as painting:
        apply("look.yaml", size=1024)
    monkeypatch.setattr("layered_nst.api.resolve", fail)
    with pytest.raises(OutOfMemoryError, match=r"at 9000×9000 px: there are 1\.5 GB") as reading:
        apply("look.yaml", size=9000)
    sizes = [advised(str(told.value)) for told in (painting, reading)]
    # 1.5 / 1.07 GB less 1 GB at rest, by 3540 bytes a pixel: 113 000 pixels, 4 : 3 and square.
    assert sizes == [384, 336]


# how much there is


def test_what_this_process_holds_counts_as_obtainable(monkeypatch: pytest.MonkeyPatch) -> None:
    left = SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: left)
    before = obtainable_bytes(torch.device("cpu"))
    held = torch.ones(50_000_000)
    assert 190e6 < obtainable_bytes(torch.device("cpu")) - before < 250e6
    assert held.sum() > 0


@pytest.mark.parametrize(
    ("line", "folder", "files"),
    [
        ("0::/job", "job", ("memory.max", "memory.current", "inactive_file")),
        ("0::/of/the/host", "", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:cpu,memory:/job",
            "memory/job",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_a_container_leaves_what_its_group_may_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    folder: str,
    files: tuple[str, str, str],
) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True, exist_ok=True)
    (tmp_path / "groups").write_text(f"9:name=systemd:/\n{line}\n")
    for name, text in zip(files, ("3000000", "1000000", ""), strict=True):
        (place / name).write_text(text)
    (place / "memory.stat").write_text(f"anon 5\n{files[2]} 500000\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "MOUNT", tmp_path)
    assert list(memory._left_in_groups()) == [2500000]
    (place / files[0]).write_text("max\n")
    assert list(memory._left_in_groups()) == []


LIMITED = """
import resource, torch
from layered_nst.memory import obtainable_bytes
import psutil
here = psutil.Process()
limit = here.memory_info().vms + 1_000_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(obtainable_bytes(torch.device("cpu")) - here.memory_info().rss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are those of Linux")
def test_a_limit_of_the_address_space_counts() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True, env=os.environ
    )
    assert 700e6 < float(said.stdout) <= 750e6
