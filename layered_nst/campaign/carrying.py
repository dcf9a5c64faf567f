"""Jobs that carry their files along, for workers that share no disk with the campaign.

A parcel is the resolved recipe and the bytes of all that it names. The worker lays them out in a
folder of its own, paints, and hands back the picture under the names that the campaign knows, so
that it has the very bytes that it would have had here.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layered_nst.campaign.jobs import Ending, Job, Outcome, mark_path, thumbnail_path
from layered_nst.campaign.loading import readable_recipe
from layered_nst.files.atomic import replacing
from layered_nst.files.hashes import bytes_hash
from layered_nst.files.targets import make_folder
from layered_nst.recipe import Recipe, load_recipe, named_files
from layered_nst.recipe.files import shown, with_renamed_files
from layered_nst.recipe.nodes import Place, from_plain

SHELF = "layered-nst-carried"
"""Folder for files that were carried, among the temporary ones of a worker's machine."""


@dataclass(frozen=True)
class Parcel:
    """What goes along with a job.

    Attributes:
        recipe: resolved, as data, with the paths of the campaign's machine.
        files: that the recipe names, by those paths: bytes, or what stands for them on the way.
        shown: how notes name these files there.
    """

    recipe: Mapping[str, Any]
    files: Mapping[str, Any]
    shown: Mapping[str, str]


def packed(job: Job, keep: Callable[[Path], Any] = Path.read_bytes) -> Parcel:
    """Put together what a job needs.

    Args:
        keep: what stands for a file's bytes on the way.

    Raises:
        LayeredNstError: a file that is named is not there.
        OSError: it cannot be read.
    """
    source = readable_recipe(Path(job.recipe))
    recipe = load_recipe(source, content=job.photo, overrides=job.overrides)
    stated = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    files = {str(real): keep(real) for real in map(_real, named_files(recipe).values())}
    return Parcel(stated, files, {name: shown(Path(name)) for name in files})


def _real(path: Path) -> Path:
    """The file itself; of a look, its library."""
    return path if path.is_file() else path.parent


class Carried:
    """The files of a parcel, laid out on this machine: a ``work.Source``."""

    def __init__(self, job: Job, parcel: Parcel) -> None:
        self.job, self.parcel = job, parcel
        self.root = Path(tempfile.gettempdir(), SHELF)
        self.moved = self._moved()
        self._back = {str(here): name for name, here in self.moved.items()}
        self.there = replace(
            job,
            photo=str(self.moved[job.photo]),
            recipe=str(self.moved[job.photo]),
            output=str(self.root / "out" / job.mark / Path(job.output).name),
            work=str(self.root / "work"),
        )

    def _moved(self) -> dict[str, Path]:
        """Lay out all files: masks beside the photo as they were, everything else by its bytes."""
        photo, files = Path(self.job.photo), self.parcel.files
        own = {name for name in files if Path(name).parent.parent == photo.parent}
        own = {name for name in own if Path(name).parent.suffix == ".masks"} | {self.job.photo}
        place = self.root / bytes_hash([files[name] for name in sorted(own)])[:20]
        found = {}
        for name, data in files.items():
            beside = place / Path(name).relative_to(photo.parent) if name in own else None
            found[name] = beside or self.root / bytes_hash([data])[:20] / Path(name).name
            _lay(found[name], data)
        return found

    def recipe(self, photo: Path) -> Recipe:
        """See ``Source``."""
        root = from_plain(self.parcel.recipe, Place("", None, Path("/")))
        stated = with_renamed_files(root, lambda _, path: str(self._here(path))).plain()
        if "photos" in stated:
            renamed = {str(self._here(Path(key))): of for key, of in stated["photos"].items()}
            stated["photos"] = renamed
        # Whether shapes may lie on this photo was looked at where it was packed.
        return load_recipe({**stated, "content": str(photo)})

    def _here(self, path: Path) -> Path:
        if str(path) in self.moved:
            return self.moved[str(path)]
        library = self.moved.get(str(path.parent))
        return path if library is None else library / path.name

    def as_told(self, result: Any) -> Any:
        """See ``Source``."""
        content = self._told(Path(result.recipe.content))
        told = Recipe.model_validate({**self.parcel.recipe, "content": str(content)})
        here, photo = str(self.moved[self.job.photo]), self.job.photo
        files = {
            key.replace(here, photo): (self._told(path), digest)
            for key, (path, digest) in result.inputs.files.items()
        }
        return replace(
            result,
            scene=replace(result.scene, recipe=told, notes=self._notes(result.notes)),
            inputs=replace(result.inputs, files=files),
        )

    def _notes(self, notes: Iterable[str]) -> tuple[str, ...]:
        """Sentences that name files as the campaign's machine would."""
        found = list(notes)
        for name, here in self.moved.items():
            found = [note.replace(str(here), self.parcel.shown[name]) for note in found]
        return tuple(found)

    def _told(self, path: Path) -> Path:
        """What the campaign calls a file of this machine; crops lie below its own folder."""
        if str(path) in self._back:
            return Path(self._back[str(path)])
        if str(path.parent) in self._back:
            return Path(self._back[str(path.parent)]) / path.name
        work = Path(self.there.work)
        return Path(self.job.work) / path.relative_to(work) if work in path.parents else path

    def brought(self) -> dict[str, bytes]:
        """The picture and what belongs to it, by the names of the campaign."""
        work, mark = Path(self.there.work), self.job.mark
        found = {self.job.output: Path(self.there.output).read_bytes()}
        for path in (thumbnail_path(work, mark), *(work / "crops").glob("*/*")):
            if path.suffix == ".jpg" or path.stem == Path(self.job.photo).stem:
                found[str(self._told(path))] = path.read_bytes()
        return found


def _lay(path: Path, data: bytes) -> None:
    if not path.is_file():
        make_folder(path.parent)
        with replacing(path) as file:
            file.write(data)


def paint_carried(
    job: Job, parcel: Parcel, tell: Callable[[Mapping[str, Any]], None], stop: threading.Event
) -> Outcome:
    """Paint a job from its parcel.

    Returns:
        The outcome, with the files in ``brought``.
    """
    from layered_nst.campaign.work import paint

    source = Carried(job, parcel)
    # What a try that failed on the way has left is nobody's.
    Path(source.there.output).unlink(missing_ok=True)
    outcome = paint(source.there, tell, stop, source)
    brought = source.brought()
    Path(source.there.output).unlink(missing_ok=True)
    mark_path(Path(source.there.work), source.there.mark).unlink(missing_ok=True)
    return replace(outcome, brought=brought)


def laid_down(outcome: Outcome) -> Outcome:
    """Write the files that an outcome brings, the picture last, and let go of their bytes.

    Raises:
        OutputError: one cannot be written.
    """
    if outcome.ending is Ending.DONE:
        for name, data in reversed([*outcome.brought.items()]):
            make_folder(Path(name).parent)
            with replacing(name) as file:
                file.write(data)
    return replace(outcome, brought={})
