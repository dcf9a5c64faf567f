"""Everything that a run leaves on disk: where it may go, and the writing of it.

The command line and any service ask before the work whether all of it could be written, and write
it with one call after it. The checkpoint goes last: until all else is safe, the run can end again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layered_nst.errors import Interrupted, OutputError
from layered_nst.files.targets import free_name
from layered_nst.outputs.manifest import check_manifest_path, manifest_path, write_manifest
from layered_nst.outputs.result import Result, check_format, check_sizes, check_writable
from layered_nst.picture import is_ours
from layered_nst.recipe import Recipe
from layered_nst.strategies.checkpoints import checkpoint_path, discard

if TYPE_CHECKING:
    from layered_nst.outputs.report.recorder import Recorder


@dataclass(frozen=True)
class Targets:
    """Where what a run leaves shall go.

    Attributes:
        picture: the result; its suffix names the format.
        layers: its layers, ``.ora`` or ``.psd``; None for none.
        report: folder of a page that shows the run; None for none.
        manifest: whether ``OUT.json`` says beside the picture how it was made.
        reads: files that the run reads, such as its recipe and what ``files_of`` it gives.
    """

    picture: Path
    layers: Path | None = None
    report: Path | None = None
    manifest: bool = True
    reads: Sequence[Path] = ()

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps how far it is."""
        return checkpoint_path(self.picture)

    def check(self, recipe: Recipe) -> None:
        """Refuse, before the work, what could not or must not be written.

        Raises:
            OutputError: no such folder, no permission, an unknown format or another than the
                recipe's, a file that is read, or one in the way that this program did not write.
        """
        check_writable(self.picture, keep=self.reads)
        check_format(self.picture, recipe)
        if self.manifest:
            check_manifest_path(manifest_path(self.picture))
        if self.layers is not None:
            check_writable(self.layers, holds="layers", keep=self.reads)
        if self.report is not None:
            from layered_nst.outputs.report.page import check_report_folder

            written = [self.picture, *([] if self.layers is None else [self.layers])]
            check_report_folder(self.report, keep=[*written, *self.reads])

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a size (height, width) that a format cannot hold, before the first step.

        Raises:
            OutputError: more pixels on a side than it can.
        """
        check_sizes(size, self.picture, self.layers)


@dataclass(frozen=True)
class Written:
    """The files that were written; None for those that nobody asked for."""

    picture: Path
    manifest: Path | None = None
    layers: Path | None = None
    report: Path | None = None
    proof: Path | None = None


def write_all(
    result: Result,
    targets: Targets,
    *,
    recording: Recorder | None = None,
    notes: Sequence[str] = (),
) -> Written:
    """Write all that a run leaves, and then remove its checkpoint.

    Args:
        recording: the listener of the run, for the report's film and times.
        notes: sentences from outside of the result, such as warnings about the photo.

    Raises:
        OutputError: something cannot be written; the checkpoint stays, and the sentence names it.
    """
    with _resumable(result.checkpoint):
        kept = replace(result, checkpoint=None)
        written = Written(
            picture=kept.save(targets.picture),
            manifest=_manifest(kept, targets, notes),
            layers=None if targets.layers is None else kept.save_layers(targets.layers),
            report=_report(kept, targets, recording, notes),
            proof=_proof(kept, targets),
        )
    if result.checkpoint is not None:
        discard(result.checkpoint)
    return written


def write_partial(
    stop: Interrupted,
    targets: Targets,
    *,
    recording: Recorder | None = None,
    notes: Sequence[str] = (),
) -> Written | None:
    """Write the picture so far as ``OUT.partial.png``, and the report of it.

    The checkpoint stays, for the run to go on from.

    Returns:
        None if the run was stopped before its first step.

    Raises:
        OutputError: it cannot be written.
    """
    partial: Result | None = stop.partial
    if partial is None:
        return None
    usual = targets.picture.with_name(f"{targets.picture.stem}.partial{targets.picture.suffix}")
    with _resumable(stop.checkpoint):
        path = partial.save(free_name(usual, known=is_ours, reads=targets.reads))
        return Written(path, report=_report(partial, targets, recording, notes))


@contextmanager
def _resumable(checkpoint: Path | None) -> Iterator[None]:
    """Say of what cannot be written that its work is not lost."""
    try:
        yield
    except OutputError as error:
        if checkpoint is None:
            raise
        kept = f"the work is kept in {checkpoint}, and `resume` will write it"
        raise OutputError(f"{error}; {kept}") from error


def _manifest(result: Result, targets: Targets, notes: Sequence[str]) -> Path | None:
    return write_manifest(result, targets.picture, notes=notes) if targets.manifest else None


def _proof(result: Result, targets: Targets) -> Path | None:
    """A soft proof, where the recipe asks for one: ``OUT.proof.png``, or the next free name."""
    if result.recipe.output.proof is None:
        return None
    usual = targets.picture.with_name(f"{targets.picture.stem}.proof.png")
    return result.save_proof(free_name(usual, known=is_ours, reads=targets.reads))


def _report(
    result: Result, targets: Targets, recording: Recorder | None, notes: Sequence[str]
) -> Path | None:
    if targets.report is None:
        return None
    # Its templates and highlighting take a while to import.
    from layered_nst.outputs.report.page import write_report

    return write_report(result, targets.report, recording=recording, notes=notes)
