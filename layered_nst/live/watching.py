"""Watches a recipe and all that it reads, and paints again whatever has changed."""

from __future__ import annotations

import io
import statistics
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event
from typing import Any

from layered_nst.errors import Interrupted, LayeredNstError
from layered_nst.outputs.result import Result, files_of
from layered_nst.picture.writing import to_image

PAUSE = 0.1
"""Seconds between two looks at the files."""
REMEMBERED = 9
"""Pictures whose time says how many a second there would be."""
QUALITY = 90
"""Of the JPEG that is shown."""

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Shown:
    """What there is to see.

    Attributes:
        version: counted up with every picture and every error.
        picture: the last picture, as a JPEG; empty before the first.
        photo: what it was painted from, as a JPEG.
        size: height and width of the picture.
        seconds: that it took, reading and all.
        rate: pictures a second, of late.
        notes: sentences about it.
        error: what is wrong with the recipe as it is now; then the picture is the one before.
    """

    version: int = 0
    picture: bytes = field(default=b"", repr=False)
    photo: bytes = field(default=b"", repr=False)
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    rate: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """All but the pictures, as data that JSON can hold."""
        height, width = self.size
        return {
            "version": self.version,
            "width": width,
            "height": height,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 2),
            "notes": list(self.notes),
            "error": self.error,
        }


class Follower(ABC):
    """Shows what a recipe paints, always by the recipe as it is now.

    Args:
        recipe: its file; it need not be there, or right, yet.
        files: that are looked at beside it, such as a photo that stands in for the recipe's own.
    """

    def __init__(self, recipe: Path, *, files: Iterable[Path] = ()) -> None:
        self.recipe, self.files = recipe, tuple(files)
        self._read: tuple[Path, ...] = ()
        self._stamp: Stamp | None = None
        self._taken: deque[float] = deque(maxlen=REMEMBERED)
        self._news = Condition()
        self.shown = Shown()

    @abstractmethod
    def look(self) -> bool:
        """Paint what there is to be painted; says whether there was anything."""

    def run(self, stop: Event) -> None:
        """Look again and again until somebody sets ``stop``."""
        while not stop.is_set():
            if not self.look():
                stop.wait(PAUSE)

    def later_than(self, version: int, *, patience: float) -> Shown:
        """What is shown once it is of a later version, or after so many seconds."""
        with self._news:
            self._news.wait_for(lambda: self.shown.version > version, patience)
            return self.shown

    def _show(self, **what: Any) -> None:
        before = self.shown
        kept = {k: getattr(before, k) for k in ("picture", "photo", "size", "seconds", "rate")}
        with self._news:
            self.shown = Shown(before.version + 1, **{**kept, **what})
            self._news.notify_all()

    def _stamp_now(self) -> Stamp:
        return stamp_of((self.recipe, *self.files, *self._read))


class Watcher(Follower):
    """Paints a recipe, and again when it, its photo or a file that it reads has changed.

    Args:
        recipe, files: of ``Follower``.
        paint: gives the picture of the recipe as it is now.
    """

    def __init__(
        self, recipe: Path, paint: Callable[[], Result], *, files: Iterable[Path] = ()
    ) -> None:
        super().__init__(recipe, files=files)
        self.paint = paint

    def look(self) -> bool:
        """Paint if something has changed since the last look; says whether it had."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        started = time.perf_counter()
        try:
            result = self.paint()
        except Interrupted:
            raise
        except LayeredNstError as error:
            self._stamp = stamp
            self._show(error=str(error))
            return True
        self._read = tuple(files_of(result.recipe))
        # What was read is known only now; what changes from here on is seen by the next look.
        self._stamp = self._stamp_now()
        picture, photo = jpeg(result.image), jpeg(to_image(result.scene.picture.rgb))
        seconds = time.perf_counter() - started
        self._taken.append(seconds)
        self._show(
            picture=picture,
            photo=photo,
            size=result.scene.size,
            seconds=seconds,
            rate=1 / statistics.median(self._taken),
            notes=result.notes,
        )
        return True


def stamp_of(files: Iterable[Path]) -> Stamp:
    """What changes when one of these files does: names, places, sizes and times."""
    found = []
    for path in dict.fromkeys(files):
        try:
            known = path.stat()
        except OSError:
            found.append((str(path), 0, -1, 0))
        else:
            found.append((str(path), known.st_ino, known.st_size, known.st_mtime_ns))
    return tuple(found)


def jpeg(image: Any) -> bytes:
    """The bytes of a picture as the page shows it."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
