"""One process at a time: what is read, changed and written back must not change in between."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from layered_nst.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a file for oneself among all processes that ask for it here; others wait.

    The lock is an empty hidden file beside it, which goes with the last of them. Processes that
    are killed leave nothing locked. Where a disk or a system knows no locks, nothing is held.

    Raises:
        OutputError: the folder is missing or closed to us.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}.lock")
    handle = _held(lock, str(path))
    try:
        yield
    finally:
        # Removed while it is held, so that whoever waits for it sees that it is gone.
        with contextlib.suppress(OSError):
            if os.fstat(handle).st_size == 0:
                lock.unlink()
        os.close(handle)


def _held(lock: Path, name: str) -> int:
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"{name}: cannot be written: {reason}") from error
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(lock, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(lock: Path, handle: int) -> bool:
    """Whether the file that was opened still has its name; who held it before may have left."""
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except FileNotFoundError:
        return False
