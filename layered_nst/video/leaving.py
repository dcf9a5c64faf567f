"""Everything that a run over a clip leaves: the clip, its manifest, a poster, a report."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from layered_nst.errors import Interrupted, LayeredNstWarning, OutputError
from layered_nst.files.targets import check_target, free_name, is_read
from layered_nst.outputs.manifest import check_manifest_path, manifest_in, manifest_path
from layered_nst.outputs.rerun import read_record
from layered_nst.picture import is_ours
from layered_nst.recipe import Recipe
from layered_nst.video.result import VideoResult
from layered_nst.video.writing import WRITTEN


@dataclass(frozen=True)
class ClipTargets:
    """The files that a run over a clip leaves.

    Attributes:
        clip: the film, animation or folder; its ending names its format.
        report: folder of a page that shows the run; None for none.
        manifest: whether ``OUT.json`` says beside the clip how it was made.
        reads: files that the run reads.
    """

    clip: Path
    report: Path | None = None
    manifest: bool = True
    reads: Sequence[Path] = ()

    @property
    def poster(self) -> Path:
        """The first frame as a picture, ``OUT.poster.png``, or the next name that is free."""
        name = self.clip.with_name(f"{self.clip.stem}.poster.png")
        return free_name(name, known=is_ours, reads=self.reads)

    def check(self) -> None:
        """Refuse, before the work, what could not or must not be written.

        Raises:
            OutputError: no such folder, no permission, an unknown format, a file that is read, or
                one in the way that this program did not write.
        """
        if not self.clip.suffix:
            self._check_folder()
        else:
            check_target(self.clip, formats=WRITTEN[:-1], reads=self.reads)
        if self.manifest:
            check_manifest_path(manifest_path(self.clip))
        if self.report is not None:
            from layered_nst.outputs.report.page import check_report_folder

            check_report_folder(self.report, keep=[self.clip, *self.reads])

    def _check_folder(self) -> None:
        if not self.clip.exists():
            check_target(self.clip)
            return
        if not self.clip.is_dir():
            raise OutputError(f"{self.clip}: is a file; frames are written into a folder")
        if is_read(self.clip, self.reads):
            raise OutputError(f"{self.clip}: would replace frames that are read; name another")
        if any(self.clip.iterdir()) and not _is_ours(self.clip):
            raise OutputError(f"{self.clip}: is not empty; name another folder")


@dataclass(frozen=True)
class ClipWritten:
    """The files that were written; None for those that nobody asked for."""

    clip: Path
    poster: Path | None = None
    manifest: Path | None = None
    report: Path | None = None


def write_clip_and_more(
    result: VideoResult, targets: ClipTargets, *, notes: Sequence[str] = ()
) -> ClipWritten:
    """Write all that a run leaves, and then remove the files of its frames.

    Raises:
        OutputError: something cannot be written; the frames stay, and the sentence says so.
    """
    with _resumable(result):
        clip = result.save(targets.clip)
        written = ClipWritten(
            clip=clip,
            poster=result.poster().save(targets.poster),
            manifest=result.save_manifest(clip, notes=notes) if targets.manifest else None,
            report=_report(result, targets, notes),
        )
    result.discard()
    return written


def write_partial_clip(
    stop: Interrupted, targets: ClipTargets, *, notes: Sequence[str] = ()
) -> Path | None:
    """Write the frames so far as ``OUT.partial.mp4``; they stay, for the run to go on from.

    Returns:
        None if there is no frame yet.
    """
    partial: VideoResult | None = stop.partial
    if partial is None:
        return None
    usual = targets.clip.with_name(f"{targets.clip.stem}.partial{targets.clip.suffix}")
    path = free_name(usual, known=_is_ours, reads=targets.reads)
    with _resumable(partial):
        partial.save(path)
        partial.save_manifest(path, notes=notes)
    return path


def _report(result: VideoResult, targets: ClipTargets, notes: Sequence[str]) -> Path | None:
    if targets.report is None:
        return None
    from layered_nst.video.report import write_clip_report

    return write_clip_report(result, targets.report, notes=notes)


@contextmanager
def _resumable(result: VideoResult) -> Iterator[None]:
    """Say of what cannot be written that its frames are not lost."""
    try:
        yield
    except OutputError as error:
        kept = f"its frames are kept in {result.store.folder}, and `resume` will write it"
        raise OutputError(f"{error}; {kept}") from error


def default_clip(source: Path | None, recipe: Recipe, *, named_clip: bool = False) -> Path:
    """Name the clip that ``apply`` writes into the current folder if nobody names it.

    It is called after recipe and clip, and has the clip's format if that can be written, else
    ``.mp4``; what is there of somebody else stays.

    Args:
        source: the recipe's file; None if it has none.
    """
    assert recipe.content is not None
    stem = f"{recipe.content.stem}.2"
    if source is not None:
        record = read_record(source)
        stem = source.stem if record is None else Path(record.picture).stem
        stem = f"{stem}-{recipe.content.stem}" if named_clip else stem
    wanted = Path(f"{stem}{usual_suffix(recipe.content)}")
    name = free_name(wanted, known=_is_ours, reads=[recipe.content])
    if name != wanted:
        sentence = f"{wanted} is kept: it was not painted here; this clip is {name}"
        warnings.warn(sentence, LayeredNstWarning, stacklevel=2)
    return name


def usual_suffix(clip: Path) -> str:
    """How the name of what is painted from a clip ends: as its own, if that can be written."""
    own = "" if clip.is_dir() else clip.suffix.lower()
    if own == ".png":
        return ".apng"
    return own if own in WRITTEN else ".mp4"


def _is_ours(path: Path) -> bool:
    """Whether a clip was written by this program, as its manifest says, and not changed since."""
    manifest = manifest_in(manifest_path(path))
    if manifest is None or manifest.get("output") != path.name or "clip" not in manifest:
        return False
    made = manifest_path(path).stat().st_mtime
    return os.path.lexists(path) and path.stat().st_mtime <= made + 1
