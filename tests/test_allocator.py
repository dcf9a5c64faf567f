"""What the command line asks of the C library: keep what was freed, and give it back when told."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from layered_nst.machine import allocator

PROGRAM = """
import resource
import psutil, torch
from layered_nst.machine import allocator

def held():
    return psutil.Process().memory_info().rss / 1e6

def faults():
    '''Pages that three steps ask for, with tensors of 40 to 120 MB.'''
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        parts = [torch.ones(size * 1_000_000) for size in (10, 20, 30)]
        sums = [part + 1 for part in parts]
        del parts, sums
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
usual = faults()
allocator.reuse_memory()
faults()
reused, full = faults(), held()
allocator.give_back()
returned = full - held()
faults()
full = held()
allocator.spare_memory()
spared = full - held()
before, anew = held(), faults()
with allocator.reusing():
    faults()
    within, full = faults(), held()
print(usual, reused, returned, spared, anew, within, full - before, held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again_until_it_is_given_back() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    words = map(float, ended.stdout.split())
    usual, reused, returned, spared, anew, within, kept, left = words
    assert usual > 0
    assert reused < usual / 2
    assert returned > 200
    assert spared > 200
    assert within < anew / 2
    assert kept > 200
    assert left < 50


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    allocator._glibc.cache_clear()
    try:
        allocator.reuse_memory()
        allocator.give_back()
        assert allocator._glibc() is None
    finally:
        allocator._glibc.cache_clear()


def test_what_a_small_picture_has_left_behind_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = []
    library = SimpleNamespace(malloc_trim=trimmed.append)
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    allocator.give_back((180, 320))
    assert not trimmed
    allocator.give_back((1024, 768))
    allocator.give_back()
    assert trimmed == [0, 0]
