"""Where an unfinished training stands, on disk: one way to keep it and to take it up again."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from layered_nst.errors import ModelError
from layered_nst.files.atomic import replacing
from layered_nst.strategies.checkpoints import sweep

GENERATOR = "generator"
SEVERAL = ("classes", "pictures", "photos", "styles")
"""What is many things: other classes, but another start."""


class Stateful(Protocol):
    """A part of a training whose state a checkpoint keeps: a network, an optimizer."""

    def state_dict(self) -> Any:
        """Its state."""

    def load_state_dict(self, state: Any) -> Any:
        """Take a state up."""


def training_path(output: Path) -> Path:
    """Where the state of an unfinished training is kept: ``OUTPUT.training``."""
    return output.with_suffix(output.suffix + ".training")


def swept(output: Path) -> Path:
    """Where the checkpoint is; what an earlier run left of unfinished files is removed."""
    checkpoint = training_path(output)
    for path in (checkpoint, output):
        sweep(path)
    return checkpoint


def save_training(
    path: Path,
    parts: Mapping[str, Stateful],
    belongs: Mapping[str, Any],
    more: Mapping[str, Any],
) -> None:
    """Write a checkpoint, whole or not at all, with the state of torch's generator.

    Args:
        parts: whose states are kept, by the names under which ``restored`` gives them back.
        belongs: what the training goes on with and no other, each so named that "made with another
            NAME" can be read, such as the plan and the hash of the weights that it started from.
        more: what is given back besides, such as how many steps there were: numbers, texts, lists
            and mappings of them.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    # By way of memory: torch hides what goes wrong with a file.
    buffer = io.BytesIO()
    torch.save({**states, **more, GENERATOR: torch.get_rng_state(), **_plain(belongs)}, buffer)
    with replacing(path) as file:
        file.write(buffer.getbuffer())


@contextlib.contextmanager
def restored(path: Path, belongs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Read a checkpoint; at the end torch's generator stands where it stood.

    What fails within, such as a key that is not there or a tensor that fits nowhere, is the
    checkpoint's fault.

    Args:
        belongs: as given to ``save_training``. A checkpoint that lacks one of them, which older
            versions wrote, is taken on trust.

    Raises:
        ModelError: it is broken, or was made with others; says what to do.
    """
    saved = _read(path)
    for what, ours in _plain(belongs).items():
        if saved.get(what, ours) != ours:
            raise ModelError(
                f"{path}: made with {_other(what, saved[what], ours)}; repeat the "
                "command as it was, or remove the file to start afresh"
            )
    try:
        yield saved
        torch.set_rng_state(saved[GENERATOR])
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path) from error


def take_up(parts: Mapping[str, Stateful], saved: Mapping[str, Any]) -> None:
    """Bring the parts of a training to where a checkpoint has kept them."""
    for name, part in parts.items():
        part.load_state_dict(saved[name])


def _plain(value: Any) -> Any:
    """Mappings as dicts and tuples as lists, all the way down: as a checkpoint gives them back."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (tuple, list)) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # On what is no checkpoint of its own torch fails in any way there is.
        raise _broken(path) from error
    if not isinstance(saved, dict):
        raise _broken(path)
    return saved


def _broken(path: Path) -> ModelError:
    return ModelError(f"{path}: broken; remove it to start afresh")


def _other(what: str, theirs: Any, ours: Any) -> str:
    """What differs, in words: of a plan the numbers."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return f"{'other' if what in SEVERAL else 'another'} {what}"
    keys = [key for key in ours if theirs.get(key) != ours[key]] or [what]
    return " and ".join(f"{key} {theirs.get(key)}, not {ours.get(key)}" for key in keys)
