"""Where things of this machine's own lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "LAYERED_NST_CACHE_DIR"


def cache_folder() -> Path:
    """Where the system keeps caches, or ``LAYERED_NST_CACHE_DIR``; it may not be there yet."""
    folder = os.environ.get(FOLDER_VARIABLE) or platformdirs.user_cache_dir("layered-nst")
    return Path(folder).expanduser().absolute()
