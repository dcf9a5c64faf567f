"""How much memory there is, and what running out of it looks like."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch

from layered_nst.errors import BudgetError, OutOfMemoryError
from layered_nst.words import amount

# What torch says on the CPU; of oneDNN's convolutions it only knows that they could not begin.
SHORTAGE = (
    "not enough memory", "DefaultCPUAllocator", "could not create a primitive", "std::bad_alloc",
)  # fmt: skip
RESERVED = 250e6
"""Bytes of addresses that a run reserves and never uses, measured at 64 to 256 px."""

GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_errors(sentence: Callable[[], str]) -> Iterator[None]:
    """Turn every way in which torch and Python run out of memory into an OutOfMemoryError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        raise OutOfMemoryError(sentence()) from error


def is_shortage(error: Exception) -> bool:
    """Whether an error of torch or Python says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in SHORTAGE)


def parse_memory(value: float | str) -> float:
    """Bytes from a number of them, or from ``6G``, ``6GB``, ``4000M``; see ``words.amount``.

    Raises:
        BudgetError: no amount of memory, or less than a megabyte.
    """
    found = amount(str(value))
    if found is None:
        raise BudgetError(f"memory {value}: allowed: an amount such as 6G, 2.5GB or 4000M")
    if found < 1e6:
        number = re.match(r"[\d.]+", str(value).strip())
        hint = f"; did you mean {number[0]}G?" if number else ""
        raise BudgetError(f"memory {value}: is less than a megabyte{hint}")
    return found


def obtainable_bytes(device: torch.device) -> float:
    """Memory of the device that this process has or could still get."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device))
    here = psutil.Process()
    held = here.memory_info()
    more: list[float] = [psutil.virtual_memory().available, *_left_in_groups()]
    if hasattr(psutil, "RLIMIT_AS"):
        limit = here.rlimit(psutil.RLIMIT_AS)[0]
        more += [limit - held.vms - RESERVED] if limit != psutil.RLIM_INFINITY else []
    return float(held.rss + max(0, min(more)))


def _left_in_groups() -> Iterator[int]:
    """What the control groups of Linux, such as a container's, leave to this process."""
    with contextlib.suppress(OSError):
        for line in GROUPS.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                yield from _left(MOUNT, place, ("memory.max", "memory.current", "inactive_file"))
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _left(MOUNT / "memory", place, names)


def _left(root: Path, place: str, names: tuple[str, str, str]) -> Iterator[int]:
    # Inside of a container its own group is the root, and the path is one of the host.
    for folder in (root / place.lstrip("/"), root):
        with contextlib.suppress(OSError, ValueError, KeyError):
            limit, used = (int((folder / name).read_text()) for name in names[:2])
            counts = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
            # What the group has read from files is given back when it is wanted.
            yield limit - used + int(counts[names[2]])
