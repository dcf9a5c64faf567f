"""Names of files: which one was meant."""

from __future__ import annotations

import os
from pathlib import Path

from layered_nst.words import closest


def nearest_name(path: Path) -> str | None:
    """The name in the same folder that is most like the missing one; None if none is near."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return None
    # By stem, since a suffix in common makes any two short names look alike; of two files with one
    # stem, that of the same suffix is meant.
    names.sort(key=lambda name: (name.endswith(path.suffix), name))
    by_stem = {Path(name).stem: name for name in names}
    match = closest(path.stem, by_stem)
    return by_stem[match] if match else None


def did_you_mean_file(path: Path) -> str:
    """``" (did you mean sky.png?)"``, or the empty string if no name is near."""
    near = nearest_name(path)
    return f" (did you mean {near}?)" if near else ""
