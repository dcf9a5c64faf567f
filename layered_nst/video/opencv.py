"""OpenCV, which only clips need."""

from __future__ import annotations

from typing import Any

from layered_nst.video.clips import needed


def cv2() -> Any:
    """The package cv2.

    Raises:
        ClipError: it is not installed.
    """
    return needed("cv2")
