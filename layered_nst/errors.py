"""Every way this package says no, and the exit code of each."""

from __future__ import annotations

from typing import Any


class LayeredNstError(Exception):
    """Root of all errors that this package raises on purpose.

    ``str(error)`` is one sentence for the user: the file, the key and the number at fault. It
    names an argument of this package as Python spells it, in backticks: `` `max_pixels` ``,
    `` `size=512` ``. The command line spells the same as its option.
    """

    exit_code = 1
    code = "error"
    """Names the kind of error to programs; it stays the same when sentences change."""


class RecipeError(LayeredNstError, ValueError):
    """The recipe is at fault: syntax, unknown key, wrong type or a value out of range."""

    code = "recipe"


class PictureError(LayeredNstError, ValueError):
    """A picture cannot be read, is too large, or does not fit the photo."""

    code = "picture"


class ClipError(LayeredNstError, ValueError):
    """A clip cannot be read: missing, without frames, broken, or no clip at all."""

    code = "clip"


class RegionError(LayeredNstError, ValueError):
    """A region cannot be made from this photo."""

    code = "region"


class ModelError(LayeredNstError, RuntimeError):
    """A model's weights are missing, broken or of another kind."""

    code = "model"


class LibraryError(LayeredNstError, ValueError):
    """A style library is missing, broken, of another version or encoder, or lacks a look."""

    code = "library"


class DataError(LayeredNstError, ValueError):
    """Training data is missing or malformed."""

    code = "data"


class CheckpointError(LayeredNstError, ValueError):
    """A checkpoint is missing, broken or belongs to another run."""

    code = "checkpoint"


class OutputError(LayeredNstError, OSError):
    """The result cannot be written where it should go."""

    exit_code = 3
    code = "output"


class PaintingError(LayeredNstError, ArithmeticError):
    """The loss of a picture is no number, so that nothing can be painted by it."""

    code = "painting"


class OutOfMemoryError(LayeredNstError, MemoryError):
    """The run does not fit into memory at this size."""

    exit_code = 3
    code = "memory"


class Interrupted(LayeredNstError):  # noqa: N818 - stopping is what the user wanted
    """The user stopped the run.

    Attributes:
        partial: the result so far, None before the first step.
        checkpoint: the file that a later run can go on from, None without one.
    """

    exit_code = 130
    code = "interrupted"

    def __init__(self, sentence: str, *, partial: Any = None, checkpoint: Any = None) -> None:
        super().__init__(sentence)
        self.partial, self.checkpoint = partial, checkpoint


class DeviceError(LayeredNstError, ValueError):
    """The device asked for is not on this machine."""

    exit_code = 2
    code = "device"


class ProcessError(LayeredNstError, RuntimeError):
    """A process that was forked from one that has painted cannot paint: it has not its threads."""

    exit_code = 2
    code = "process"


class BudgetError(LayeredNstError, ValueError):
    """What ``memory`` says is no amount of memory, or ``within`` no time."""

    exit_code = 2
    code = "budget"


class PluginError(LayeredNstError, ValueError):
    """A plug-in is unknown, has a name that is taken, or cannot be imported."""

    code = "plugin"


class CampaignError(LayeredNstError, ValueError):
    """A campaign's file or its ledger is missing, broken or of another version."""

    code = "campaign"


class ExecutorError(LayeredNstError, RuntimeError):
    """What shall run a campaign's jobs is not here, of another version, or does not answer."""

    exit_code = 2
    code = "executor"


class LayeredNstWarning(UserWarning):
    """Something the user should know that does not stop the run."""
