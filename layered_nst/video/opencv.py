"""OpenCV, which only clips need."""

from __future__ import annotations

from typing import Any

from layered_nst.errors import ClipError
from layered_nst.video.clips import NEEDED


def cv2() -> Any:
    """The package cv2.

    Raises:
        ClipError: it is not installed.
    """
    try:
        import cv2 as found
    except ImportError as error:
        raise ClipError(NEEDED) from error
    return found
