"""Checkpoints of a running run: written now and then, and when it is stopped."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.files.hashes import text_hash
from layered_nst.painting.plan import Plan
from layered_nst.painting.state import State
from layered_nst.recipe import Recipe
from layered_nst.scene.provenance import Inputs, recipe_hash, versions
from layered_nst.scene.scene import Scene
from layered_nst.strategies.checkpoints import check_replaceable, load_state, save_state, sweep

# On a slow disk, or for a print, checkpoints are rarer than was asked for: writing them may take
# this share of the time.
MOST_SHARE = 0.05
LARGE = 0.5e9
"""Bytes of a state past which nothing goes on while it is written: it would be held beside those
that follow."""


def belonging(scene: Scene, plan: Plan, inputs: Inputs) -> dict[str, str]:
    """What a checkpoint of this run can go on with and no other: the same bytes come of it.

    Returns:
        Hashes and versions, each named so that "another NAME" can be read.
    """
    now, (height, width) = versions(), scene.size
    return {
        "photo": inputs.photo,
        "size": f"{width}×{height}",
        "version of torch": now["torch"],
        "version of layered-nst": now["layered-nst"],
        "device": inputs.device,
        "encoder or segmenter": str(inputs.models),
        **({"version of a plug-in": str(inputs.plugins)} if inputs.plugins else {}),
        "recipe, or to other styles or masks": _recipe(scene.recipe, plan, inputs),
    }


def _recipe(recipe: Recipe, plan: Plan, inputs: Inputs) -> str:
    """Hash of all of a recipe that the canvas depends on."""
    optimize = recipe.optimize.model_copy(update={"checkpoint": 0.0})
    neutral: dict[str, Any] = {"name": "", "output": type(recipe.output)(), "optimize": optimize}
    stated = recipe_hash(recipe.model_copy(update=neutral), dict(inputs.files.values()))
    return text_hash(f"{stated} {plan}")


class Keeper:
    """Keeps the last state of a run, and writes it to a file every few seconds.

    Writing goes on beside the work, but for what is large. A file that cannot be written is a
    LayeredNstWarning, once.

    Args:
        path: of the checkpoint; None writes nothing.
        belongs: what it belongs to.
        every: seconds between checkpoints; 0 writes none.
        picture: name of the file that the picture is to become, if that is known.
    """

    def __init__(
        self, path: Path | None, belongs: Mapping[str, str], *, every: float, picture: str = ""
    ) -> None:
        self.path, self.belongs, self.every = path, belongs, every
        self.picture = picture
        self.written: Path | None = None
        self._last: State | None = None
        self._error: Exception | None = None
        self._warned = False
        self._writer: Thread | None = None
        self._due = time.monotonic() + every

    def begin(self, *, resume: bool, device: torch.device | str) -> State | None:
        """Look at what lies at the path, before the work and not after it.

        Returns:
            The state to go on from; None if the work starts at its beginning, by a
            LayeredNstWarning where that may not be what the user wants.

        Raises:
            CheckpointError: it cannot be gone on from.
            OutputError: it would be replaced, and is no checkpoint.
        """
        if self.path is None or not self.path.exists():
            if resume:
                _warn(f"{self.path or 'resume'}: no checkpoint there; the work starts afresh")
            return None
        if resume:
            return self._resumed(self.path, device)
        if self.every:
            check_replaceable(self.path)
        _warn(f"{self.path}: left by a run that did not end; only `resume` would go on from it")
        return None

    def _resumed(self, path: Path, device: torch.device | str) -> State:
        state = load_state(path, self.belongs, device=device)
        self.written = path
        _warn(f"{path}: the work goes on from there ({state.place})")
        return state

    def __call__(self, state: State) -> None:
        """Take the state after a step."""
        if self.path is None or not self.every:
            return
        self._last = state
        if time.monotonic() >= self._due and not self._busy:
            self._finish()
            if _bytes(state) > LARGE:
                self._write(self.path, state)
                self._finish()
            else:
                self._writer = Thread(target=self._write, args=(self.path, state))
                self._writer.start()

    @property
    def _busy(self) -> bool:
        return self._writer is not None and self._writer.is_alive()

    def write_last(self) -> Path | None:
        """Write the last state, if there is one.

        Returns:
            The checkpoint of this run that is there now, None without one.
        """
        self._finish()
        if self.path is not None and self._last is not None:
            self._write(self.path, self._last)
            self._finish()
        return self.written

    def _write(self, path: Path, state: State) -> None:
        started = time.monotonic()
        try:
            sweep(path)
            save_state(path, state, self.belongs, picture=self.picture)
            self.written = path
        except (OutputError, MemoryError, RuntimeError) as error:
            # A way back is not worth the hours that are behind.
            self._error = error
        now = time.monotonic()
        self._due = now + max(self.every, (now - started) / MOST_SHARE)

    def _finish(self) -> None:
        """Wait for the writer, and say what has gone wrong; the file may be written next time."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._error is not None and not self._warned:
            self._warned = True
            _warn(f"no checkpoint for now: {self._error}")
        self._error = None


def _bytes(value: Any) -> int:
    """Of all tensors in a state, whatever holds them; those that are held twice count twice."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, State):
        return sum(_bytes(getattr(value, part.name)) for part in fields(value))
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_bytes, value))
    return 0


def _warn(sentence: str) -> None:
    warnings.warn(sentence, LayeredNstWarning, stacklevel=4)
