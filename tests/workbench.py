"""A folder with a small photo, two styles and a recipe, and the command line run in it."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from layered_nst import cli

RECIPE = """\
recipe: 1
content: photo.png
size: 48
regions:
  - name: ground
    select: rest
    style: stripes.png
  - name: sky
    select: {box: [0, 0, 1, 0.5]}
    style: dots.png
    fixed: true
optimize: {steps: 1}
encoder: light
"""


def lay_out(folder: Path) -> Path:
    """Write ``photo.png`` (64×48 px), ``stripes.png``, ``dots.png`` and ``look.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo()).save(folder / "photo.png")
    y, x = np.mgrid[:40, :40]
    Image.fromarray(_colored(np.sin(x + y / 3) > 0, (240, 200, 40))).save(folder / "stripes.png")
    Image.fromarray(_colored((x % 8 - 4) ** 2 + (y % 8 - 4) ** 2 < 9, (30, 60, 200))).save(
        folder / "dots.png"
    )
    (folder / "look.yaml").write_text(RECIPE)
    return folder


def photo(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Light above, dark and speckled below, (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    grey = np.where(y < height // 2, 210 - y, 40 + 60 * ((x // 4 + y // 4) % 2))
    return np.stack([grey, grey * 0.9, grey * 0.7], -1).astype(np.uint8)


def _colored(mask: NDArray[np.bool_], color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.where(mask[..., None], np.array(color), 255 - np.array(color)).astype(np.uint8)


@dataclass(frozen=True)
class Ran:
    """Exit code and output of a run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The last line on standard error, without its label."""
        return self.err.splitlines()[-1].removeprefix("error: ")


def run(*arguments: str | Path) -> Ran:
    """Run ``layered-nst ARGUMENTS`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    words = ["layered-nst", *map(str, arguments)]
    code: Any = None
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as leave:
            code = leave.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Ran(int(code or 0), out.getvalue(), err.getvalue())
