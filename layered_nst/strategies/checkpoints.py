"""Where a run stands, on disk: all that its next step depends on."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import torch

from layered_nst.errors import CheckpointError
from layered_nst.files.atomic import replacing, unfinished
from layered_nst.files.targets import beside, check_target
from layered_nst.painting.state import State

FORMAT = 6
FORMAT_KEY = "layered-nst checkpoint"
SUFFIX = ".checkpoint"
FOREIGN = "is no checkpoint of a picture that this version reads; name another picture"


def checkpoint_path(picture: Path) -> Path:
    """Where the checkpoint of a picture goes: ``OUT.checkpoint`` beside ``OUT.png``.

    Where another picture, ``OUT.jpg``, has left its own there, it is ``OUT.png.checkpoint``.
    """
    return beside(picture, SUFFIX, owner=_picture_of)


def _picture_of(path: Path) -> str | None:
    """Name of the picture that a checkpoint is of; "" if it says none, None if it is no such."""
    try:
        return str(_read(path, mmap=True).get("picture", ""))
    except CheckpointError:
        return None


def save_state(path: Path, state: State, belongs: Mapping[str, str], *, picture: str = "") -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        belongs: what the state may go on with, by name, such as the photo's hash.
        picture: name of the file that it is to become, for whoever looks whose it is.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    values = {part.name: getattr(state, part.name) for part in fields(State)}
    plain = {**values, "descent": dict(state.descent), "losses": [*map(dict, state.losses)]}
    with replacing(path) as file:
        of = {"belongs": dict(belongs), "picture": picture}
        _save({FORMAT_KEY: FORMAT, **of, "state": plain}, file)


def _save(value: Any, file: BinaryIO) -> None:
    try:
        torch.save(value, file)
    except RuntimeError as error:
        # torch closes its archive when the file under it fails, fails at that too, and says so.
        raise error.__context__ or error from None


def load_state(
    path: Path, belongs: Mapping[str, str], *, device: torch.device | str = "cpu"
) -> State:
    """Read a checkpoint that belongs to this run.

    Args:
        belongs: as given to ``save_state``, each named so that "another NAME" can be read.
        device: where its tensors go.

    Raises:
        CheckpointError: broken, of another version of the format, or of another run.
    """
    _check_bytes(path)
    found = _read(path, device=device)
    for name, value in belongs.items():
        if found["belongs"].get(name) != value:
            raise CheckpointError(
                f"{path}: belongs to another {name}; without `resume` the work starts afresh"
            )
    try:
        return State(**found["state"])
    except TypeError as error:
        raise CheckpointError(f"{path}: is broken: {error}") from error


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file that is no checkpoint, before the work and not after it.

    Raises:
        OutputError: some other file has the checkpoint's name, or it cannot be written.
    """
    check_target(path, known=is_checkpoint, otherwise=f"is there and {FOREIGN}")


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint of a picture, in this version."""
    return _picture_of(path) is not None


def _check_bytes(path: Path) -> None:
    """torch reads an archive without looking at its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: is no checkpoint, or cut short") from error
    if damaged is not None:
        raise CheckpointError(f"{path}: is damaged: its bytes are not those that were written")


def _read(path: Path, **options: Any) -> dict[str, Any]:
    device = options.pop("device", "cpu")
    try:
        found: Any = torch.load(path, map_location=device, weights_only=True, **options)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: is no checkpoint, or broken") from error
    version = found.get(FORMAT_KEY) if isinstance(found, dict) else None
    if version is None:
        raise CheckpointError(f"{path}: is no checkpoint of a picture")
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: a checkpoint of version {version}; this program reads {FORMAT}"
        )
    return dict(found)


def discard(path: Path) -> None:
    """Remove a checkpoint that is no longer needed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    sweep(path)


def sweep(path: Path) -> None:
    """Remove what processes that were killed while they wrote a checkpoint have left."""
    with contextlib.suppress(OSError):
        for part in unfinished(path):
            part.unlink(missing_ok=True)
