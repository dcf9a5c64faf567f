"""How memory is handed out, and how often it is searched for what is left over.

What is about the C library does nothing where that is not glibc.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache

# Of mallopt(3), with what holds by default.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
USUAL = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}
REUSING = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_MAX: 0}

SMALL = 2**18
"""Pixels of a picture that leaves little behind."""
KERNELS = "64"
"""Kernels of oneDNN that are kept: a frame of a clip asks for fewer of its own than that."""
KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

_reusing = _spared = False


def reuse_memory() -> None:
    """Have this whole process keep what it frees, up to ``give_back``.

    By default every tensor of more than 32 MB is new memory of the system's, which it clears page
    by page. Keeping it took 8 to 18 % off whole runs at 1024 px, for 5 to 11 % more memory. For
    programs of one's own, such as the command line; a library leaves such settings to the program
    that it serves.
    """
    _set(REUSING)


def collect_rarely() -> None:
    """Have this whole process look for cycles of objects less often.

    At its usual pace the search would walk the half million objects of torch again and again while
    they are imported, for a sixth of the time that this takes.
    """
    gc.set_threshold(100_000, 50, 50)


def keep_few_kernels() -> None:
    """Have this process keep fewer of the kernels that oneDNN compiles, if it has compiled none.

    It keeps 1024 of them, one for each size that it has ever met, and regions of clips have other
    sizes in each frame: after 400 frames they took 340 MB.
    """
    for name in KERNEL_CACHES:
        os.environ.setdefault(name, KERNELS)


def spare_memory() -> None:
    """Undo ``reuse_memory``, where it was called: memory matters more than time."""
    global _spared
    if _reusing:
        _set(USUAL)
        give_back()
        _spared = True


@contextlib.contextmanager
def reusing() -> Iterator[None]:
    """Have this whole process keep what is freed within, where ``spare_memory`` had it given back,
    and give it back at the end.

    For what asks for the same sizes again and again, as tiles do. With a new page for each number
    the system worked for a third of the time of a print.
    """
    spared = _spared
    if spared:
        _set(REUSING)
    try:
        yield
    finally:
        if spared:
            _set(USUAL)
        give_back()


def _set(options: Mapping[int, int]) -> None:
    global _reusing
    library = _glibc()
    if library is not None:
        for option, value in options.items():
            library.mallopt(option, value)
        _reusing = options is REUSING


def give_back(size: tuple[int, int] | None = None) -> None:
    """Give back to the system what is free: glibc keeps what was freed in small pieces.

    Args:
        size: height and width of the picture that was worked on, px. What a small one leaves behind
            the next one takes; cleared anew each time it was a tenth of the time of a clip's frame.
    """
    if size is not None and size[0] * size[1] <= SMALL:
        return
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    known = all(hasattr(library, name) for name in ("mallopt", "malloc_trim"))
    return library if known else None
