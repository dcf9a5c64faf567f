"""A folder in which each frame lands as a file, so that nothing that was painted is lost.

``clip.json`` says what the frames belong to. Of each frame there is first its state
(``000012.state``), all that later frames depend on, then its picture (``000012.png``), and then its
line in ``frames.jsonl``: a frame without a line was not finished, and is painted again.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from layered_nst.errors import CheckpointError, LayeredNstWarning, OutputError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import check_target, make_folder
from layered_nst.files.tensors import read_tensors, write_tensors
from layered_nst.files.texts import json_text
from layered_nst.outputs.manifest import mapping_in
from layered_nst.picture import read_picture, write_picture

FORMAT = 6
CARD, LINES = "clip.json", "frames.jsonl"
SUFFIX = ".frames"
_OURS = re.compile(r"\d{6,}\.(png|state)|\..*\.part")


def frames_folder(output: Path) -> Path:
    """The folder for the frames of a clip: ``OUT.frames`` beside ``OUT.mp4``.

    Where clips of two formats share a name, it is that of the one it belongs to.
    """
    usual, whole = output.with_suffix(SUFFIX), output.with_name(output.name + SUFFIX)
    if whole.is_dir():
        return whole
    card = _card(usual)
    return whole if card is not None and card.get("output") not in (None, output.name) else usual


def _card(folder: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError):
        found = mapping_in((folder / CARD).read_bytes())
        if found is not None and "layered-nst frames" in found:
            return found
    return None


class FrameStore:
    """The frames of a clip that have been painted.

    Args:
        folder: where they lie; made when the first one comes.
        belongs: what they can go on with and no other.
        output: name of the clip that they will be.

    Attributes:
        lines: what is known of each frame, in order.
    """

    def __init__(self, folder: Path, belongs: Mapping[str, str], *, output: str = "") -> None:
        self.folder, self.belongs, self.output = folder, dict(belongs), output
        self.lines: list[dict[str, Any]] = []

    @staticmethod
    def check(folder: Path) -> None:
        """Refuse, before the work, a folder in which frames could not or must not be written.

        Raises:
            OutputError: it holds something else, or cannot be written to.
        """
        if not os.path.lexists(folder):
            check_target(folder)
            return
        if not folder.is_dir():
            raise OutputError(f"{folder}: is in the way: frames are kept there until they are done")
        if _card(folder) is None and any(folder.iterdir()):
            raise OutputError(
                f"{folder}: is there and holds no frames of layered-nst; name another clip"
            )

    def begin(self, *, resume: bool) -> None:
        """Look at what lies there: go on from it, or start afresh.

        Raises:
            CheckpointError: it cannot be gone on from.
            OutputError: the folder cannot be written to.
        """
        card = _card(self.folder)
        if resume and card is not None:
            self._go_on(card)
        elif resume:
            _warn(f"{self.folder}: no frames there; the work starts afresh")
        elif card is not None and (self.folder / LINES).exists():
            _warn(f"{self.folder}: frames of a run that did not end are painted anew")
        if not self.lines:
            self._clear()
            make_folder(self.folder)
            told = {"layered-nst frames": FORMAT, "output": self.output, "belongs": self.belongs}
            with replacing(self.folder / CARD) as file:
                file.write(json_text(told, indent=2).encode())
        self._write_lines()

    def _go_on(self, card: Mapping[str, Any]) -> None:
        known = card.get("belongs")
        if card.get("layered-nst frames") != FORMAT or not isinstance(known, dict):
            raise CheckpointError(
                f"{self.folder}: its frames belong to another version of layered-nst; start "
                "without `resume`, or name another clip"
            )
        other = [name for name, value in self.belongs.items() if known.get(name) != value]
        if other:
            raise CheckpointError(
                f"{self.folder}: its frames belong to another {other[0]}; start without `resume`, "
                "or name another clip"
            )
        self.lines = self._whole_lines()
        if self.lines:
            _warn(f"{self.folder}: the work goes on there, at frame {len(self.lines)}")

    def _whole_lines(self) -> list[dict[str, Any]]:
        """The lines of frames that are there as a whole."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for text in (self.folder / LINES).read_text("utf-8").splitlines():
                line = mapping_in(text)
                if line is None or not self.file(len(found)).is_file():
                    break
                found.append(line)
        # The last frame's state is what the next one goes on from; those between two scenes are
        # made all at once.
        while found and (found[-1].get("mixed") or not self._is_usable(len(found) - 1)):
            found.pop()
        return found

    def _is_usable(self, number: int) -> bool:
        try:
            read_tensors(self._state(number), prefix="canvas")
            self.pixels(number)
        except (OSError, SafetensorError, ValueError):
            return False
        return True

    def _write_lines(self) -> None:
        with replacing(self.folder / LINES) as file:
            file.write("".join(f"{json_text(line)}\n" for line in self.lines).encode())

    def _clear(self) -> None:
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if _OURS.fullmatch(path.name) or path.name in (CARD, LINES):
                with contextlib.suppress(OSError):
                    path.unlink()

    def file(self, number: int) -> Path:
        """Where the picture of a frame is."""
        return self.folder / f"{number:06d}.png"

    def _state(self, number: int) -> Path:
        return self.folder / f"{number:06d}.state"

    def put(
        self,
        rgb: Tensor,
        alpha: Tensor | None,
        state: Mapping[str, Tensor],
        line: Mapping[str, Any],
        *,
        depth: int,
    ) -> None:
        """Keep the next frame: when this returns, it is on disk.

        Raises:
            OutputError: it cannot be written; the frames before it are kept.
        """
        number = len(self.lines)
        try:
            write_tensors(self._state(number), state, {"frame": str(number)})
            write_picture(self.file(number), rgb, alpha=alpha, depth=depth)
            with (self.folder / LINES).open("ab") as file:
                file.write(f"{json_text(dict(line))}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(
                f"{why if isinstance(error, OutputError) else f'{self.folder}: {why.lower()}'}; "
                f"{number} frames are kept, and `resume` goes on from there"
            ) from error
        self.lines.append(dict(line))

    def state(self, number: int) -> dict[str, Tensor]:
        """All that later frames depend on of a frame.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        try:
            return read_tensors(self._state(number))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{self._state(number)}: cannot be gone on from: {error}"
            ) from error

    def forget_states(self, keep: Iterable[int]) -> None:
        """Remove the states of all frames but these."""
        kept = set(keep)
        for path in self.folder.glob("*.state"):
            if path.stem.isdecimal() and int(path.stem) not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()

    def pixels(self, number: int) -> NDArray[Any]:
        """A frame's pixels, shape (H, W, 3 or 4), uint8 or uint16."""
        path = self.file(number)
        with Image.open(path) as picture:
            deep = self.lines[number].get("depth") == 16 if number < len(self.lines) else False
            if not deep:
                picture.load()
                return np.asarray(picture)
        found = read_picture(path)
        planes = [*found.rgb, *([] if found.alpha is None else [found.alpha])]
        stacked = np.stack([plane.numpy() for plane in planes], -1)
        return (stacked * 65535 + 0.5).astype(np.uint16)

    def discard(self) -> None:
        """Remove the folder once the clip has been written; what is not ours stays in it."""
        self._clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands in a state below a prefix, by the names behind it."""
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}


def _warn(sentence: str) -> None:
    warnings.warn(sentence, LayeredNstWarning, stacklevel=4)
