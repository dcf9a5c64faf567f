"""A page that shows a run: photo, regions, styles, result, film, losses, times and recipe."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from jinja2 import Template
from markupsafe import Markup
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer
from torch import Tensor

from layered_nst._version import __version__
from layered_nst.errors import OutputError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import probe
from layered_nst.files.texts import readable
from layered_nst.outputs.report.curves import Span, draw, panels, spans
from layered_nst.outputs.report.film import (
    chosen_frames,
    contact_sheet,
    film_of,
    write_film,
    writes_webp,
)
from layered_nst.outputs.report.recorder import FRAME_SIDE, Frame, Recorder, Step
from layered_nst.outputs.report.template import page_template
from layered_nst.outputs.result import Result
from layered_nst.picture import (
    Picture,
    fit_within,
    read_picture,
    resize_picture,
    to_image,
    write_picture,
)
from layered_nst.recipe import CustomSegmenter, Region, dump_recipe
from layered_nst.recipe.parts import PluginSegmenter
from layered_nst.regions.overlay import colors_of, overlay
from layered_nst.styles.style import StylePicture
from layered_nst.words import fine_duration

PAGE = "index.html"
FILES = "files"
"""Folder beside the page for its pictures."""
GENERATOR = b'<meta name="generator" content="layered-nst">'
"""What the head of a page says; versions are known by it, so it stays."""
PICTURE_SIDE = 1600
"""Longest side in px of the pictures on the page; the result itself may be larger."""
STYLE_SIDE = 360
STYLE_PICTURES = 6
"""A look of more pictures than this is shown by its first ones."""
CONTACTS = 12
QUALITY = 92


def check_report_folder(folder: Path, *, keep: Iterable[Path] = ()) -> None:
    """Refuse a folder that a report could not be written to, before the work and not after it.

    Args:
        folder: need not exist yet.
        keep: files that must not be replaced, such as the recipe and what it reads.

    Raises:
        OutputError: a file in its place, no permission, or a file to keep where the report would
            write, or a page or pictures that no report has left.
    """
    there = [p for p in (folder / FILES, folder, *folder.absolute().parents) if p.exists()]
    for place in there:
        if not place.is_dir():
            raise OutputError(f"{folder}: cannot be a folder: {place} is a file")
    # What is there of the page's two folders, or else the one that they would be made in.
    for place in [p for p in there if p in (folder / FILES, folder)] or there[:1]:
        _probe(place, folder)
    for path in keep:
        if _would_be_replaced(path, folder):
            raise OutputError(f"{folder}: a report here would replace {path}; name another folder")
    _check_ours(folder)


def _check_ours(folder: Path) -> None:
    page, files = folder / PAGE, folder / FILES
    foreign = page if os.path.lexists(page) else files
    if is_report(page) or (foreign == files and not (files.is_dir() and any(files.iterdir()))):
        return
    raise OutputError(f"{folder}: {foreign.name} in it is of no report; name another folder")


def is_report(page: Path) -> bool:
    """Whether a page is that of a report, of whatever version."""
    try:
        with page.open("rb") as file:
            return GENERATOR in file.read(4096)
    except OSError:
        return False


def _probe(inside: Path, folder: Path) -> None:
    try:
        probe(inside)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror})") from error


def _would_be_replaced(path: Path, folder: Path) -> bool:
    real = Path(os.path.realpath(path))
    place = Path(os.path.realpath(folder))
    return real == place / PAGE or real.parent == place / FILES


def write_report(
    result: Result,
    folder: str | Path,
    *,
    recording: Recorder | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write ``index.html`` and, beside it, ``files`` with the pictures that it shows.

    The page loads nothing from elsewhere and opens from a disk. Files of an older report are
    replaced one by one, the page last; others in the folder stay.

    Args:
        result: finished or so far.
        folder: made if it is missing.
        recording: the listener of the run; without it the page has no film, no levels and no
            times.
        notes: sentences for the user besides those of the result.

    Returns:
        The page.

    Raises:
        OutputError: the folder cannot be made or written to, holds a page of others, or the disk
            is full.
    """
    folder = Path(folder)
    check_report_folder(folder)
    try:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    shown = _Shown(result, folder / FILES)
    text = _template().render(
        title=result.recipe.name or Path(result.scene.photo.source).stem,
        result=result,
        width=result.image.width,
        height=result.image.height,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        photo=shown.photo(),
        painted=shown.painted(),
        masks=shown.masks(),
        regions=shown.regions(),
        film=shown.film(recording),
        curves=_curves(result, recording),
        losses=shown.losses(recording) if result.losses else None,
        times=_times(result, recording),
        notes=[*notes, *result.notes],
        recipe=_highlighted(dump_recipe(result.recipe)),
        recipe_file=shown.recipe(),
        versions=_versions(result),
    )
    with replacing(folder / PAGE) as file:
        file.write(readable(text).encode())
    return folder / PAGE


@cache
def _template() -> Template:
    filters = {"duration": fine_duration, "number": "{:g}".format}
    return page_template("outputs/report", filters=filters)


@dataclass(frozen=True)
class _PictureFile:
    """A picture that has been written, as the page names it."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class _Style:
    """A style of a region; one from a library may have several pictures, or none."""

    name: str
    source: str
    share: float
    pictures: Sequence[_PictureFile]


@dataclass(frozen=True)
class _RegionCard:
    """What the page says of a region."""

    name: str
    color: str
    coverage: float
    settings: Sequence[tuple[str, str]]
    styles: Sequence[_Style]


@dataclass(frozen=True)
class _Film:
    """The way to the result."""

    moving: Sequence[_PictureFile]
    contacts: _PictureFile
    still: _PictureFile
    frames: int
    every: int


class _Shown:
    """Writes the files that the page names, and says how to name them."""

    def __init__(self, result: Result, folder: Path) -> None:
        self.result, self.scene, self.folder = result, result.scene, folder

    def photo(self) -> _PictureFile:
        photo = self.scene.picture
        return self._write("photo", photo.rgb, photo.alpha, PICTURE_SIDE)

    def painted(self) -> _PictureFile:
        return self._write("result", self.result.rgb, self.result.alpha, PICTURE_SIDE)

    def masks(self) -> _PictureFile:
        picture = self.scene.picture
        size = fit_within(picture.size, min(PICTURE_SIDE, max(picture.size)))
        masks = torch.stack(
            [resize_picture(_gray(m), size).rgb[0] for m in self.scene.masks.masks.cpu()]
        )
        rgb = resize_picture(replace(picture, rgb=picture.rgb.cpu(), alpha=None), size).rgb
        names = self.scene.masks.names
        colored = read_picture(overlay(rgb, masks / masks.sum(0).clamp(min=1), names))
        return self._write("regions", colored.rgb, None, PICTURE_SIDE)

    def regions(self) -> list[_RegionCard]:
        """Top to bottom, as one sees them."""
        named = {region.name: region for region in self.result.recipe.regions}
        coverage = self.result.coverage
        colors = colors_of([*coverage])
        cards = [
            _RegionCard(
                name=name,
                color=_hex(color),
                coverage=share,
                settings=_settings(named.get(name)),
                styles=self._styles(number, name),
            )
            for number, ((name, share), color) in enumerate(
                zip(coverage.items(), colors, strict=True), 1
            )
        ]
        return cards[::-1]

    def _styles(self, number: int, name: str) -> list[_Style]:
        styles = self.scene.styles.get(name) or []
        total = sum(style.weight for style in styles)
        return [
            _Style(
                name=Path(style.source).name,
                source=style.source,
                share=style.weight / total,
                pictures=[
                    self._style_picture(f"style-{number}-{index}-{count}", picture)
                    for count, picture in enumerate(style.pictures[:STYLE_PICTURES], 1)
                ],
            )
            for index, style in enumerate(styles, 1)
        ]

    def _style_picture(self, stem: str, style: StylePicture) -> _PictureFile:
        masked = bool((style.mask < 1).any())
        return self._write(stem, style.rgb, style.mask if masked else None, STYLE_SIDE)

    def film(self, recording: Recorder | None) -> _Film | None:
        """None where nothing was recorded."""
        if recording is None or not recording.frames:
            return None
        still = self._small_result()
        film = film_of(recording.frames, still)
        moving = []
        for suffix in ("webp", "gif") if writes_webp() else ("gif",):
            write_film(self.folder / f"film.{suffix}", film)
            moving.append(_PictureFile(f"{FILES}/film.{suffix}", *still.size))
        return _Film(
            moving=moving,
            contacts=self._contacts(recording, film),
            still=self._write_image("film-still", film[-1]),
            frames=len(film),
            every=recording.every,
        )

    def _small_result(self) -> Image.Image:
        picture = Picture(self.result.rgb, self.result.alpha)
        small = resize_picture(picture, fit_within(picture.size, FRAME_SIDE))
        return to_image(small.rgb, small.alpha)

    def _contacts(self, recording: Recorder, film: Sequence[Image.Image]) -> _PictureFile:
        chosen = chosen_frames(recording.frames, CONTACTS - 1)
        place = {frame.number: index for index, frame in enumerate(recording.frames)}
        pictures = [film[place[frame.number]] for frame in chosen]
        sheet = contact_sheet([*pictures, film[-1]], [*map(_label, chosen), self._last_label()])
        return self._write_image("contact-sheet", sheet)

    def _last_label(self) -> str:
        return "result" if self.result.complete else "so far"

    def losses(self, recording: Recorder | None) -> str:
        """A table of all losses, for whoever wants the numbers."""
        file = io.StringIO()
        names = list(dict.fromkeys(name for step in self.result.losses for name in step))
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", "stage", "level", "longest_px", "seconds", *names])
        places = [_place(step) for step in recording.steps] if recording else []
        unseen = len(self.result.losses) - len(places)
        for number, losses in enumerate(self.result.losses):
            place = [""] * 4 if number < unseen else places[number - unseen]
            table.writerow([number + 1, *place, *(losses.get(name, "") for name in names)])
        return self._write_text("losses.csv", file.getvalue())

    def recipe(self) -> str:
        return self._write_text("recipe.yaml", dump_recipe(self.result.recipe))

    def _write_text(self, name: str, text: str) -> str:
        with replacing(self.folder / name) as file:
            file.write(readable(text).encode())
        return f"{FILES}/{name}"

    def _write_image(self, stem: str, image: Image.Image) -> _PictureFile:
        return self._write(stem, read_picture(image).rgb, None, max(image.size))

    def _write(self, stem: str, rgb: Tensor, alpha: Tensor | None, longest: int) -> _PictureFile:
        picture = Picture(rgb.cpu(), None if alpha is None else alpha.cpu())
        if max(picture.size) > longest:
            picture = resize_picture(picture, fit_within(picture.size, longest))
        name = f"{stem}.jpg" if alpha is None else f"{stem}.png"
        write_picture(self.folder / name, picture.rgb, alpha=picture.alpha, quality=QUALITY)
        return _PictureFile(f"{FILES}/{name}", picture.size[1], picture.size[0])


def _gray(mask: Tensor) -> Picture:
    return Picture(mask.expand(3, -1, -1))


def _hex(color: Tensor) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * value) for value in color.tolist()))


def _label(frame: Frame) -> str:
    return f"step {frame.number}, {frame.longest} px"


def _place(step: Step) -> list[Any]:
    return [step.stage, step.level, max(step.size), round(step.seconds, 3)]


def _settings(region: Region | None) -> list[tuple[str, str]]:
    """What a region was told, in the words of the recipe."""
    if region is None or not region.style:
        return []
    stated = [
        ("strength", f"{region.strength:g}"),
        ("scale", f"{region.scale:g}"),
        ("color", region.color),
        ("content", f"{region.content:g}"),
    ]
    if region.flow:
        stated.append(("flow", f"{region.flow.from_} to {region.flow.to}"))
    if region.contour:
        stated.append(("contour", f"{region.contour:g}"))
    if region.grow:
        stated.append(("grow", f"{region.grow:g} px"))
    return [*stated, ("feather", f"{region.feather:g} px")]


def _curves(result: Result, recording: Recorder | None) -> list[tuple[str, Markup]]:
    """Title and picture of each group of losses."""
    steps = recording.steps if recording else []
    unseen = len(result.losses) - len(steps)
    sizes = spans([(s.stage, s.level) for s in steps], lambda i: str(max(steps[i].size)))
    names = spans([s.stage for s in steps], lambda i: steps[i].stage)
    levels, stages = _later(sizes, unseen), _later(names, unseen)
    drawn = [
        (panel.title, draw(panel, levels=levels, stages=stages)) for panel in panels(result.losses)
    ]
    # ElementTree has escaped whatever names the recipe brought in.
    return [(title, Markup(svg)) for title, svg in drawn if svg]


def _later(found: Iterable[Span], unseen: int) -> list[Span]:
    """Spans of a recording that began after so many steps, as in a run that was resumed."""
    return [replace(span, start=span.start + unseen, end=span.end + unseen) for span in found]


@dataclass(frozen=True)
class _Time:
    """A row of the table of times."""

    stage: str
    size: str
    steps: str
    seconds: float
    share: float
    losses: str = ""


def _times(result: Result, recording: Recorder | None) -> list[_Time]:
    """Seconds of each level, before the first and after the last one; [] if none were noted."""
    if recording is None or not recording.steps:
        return []
    rows = [_Time("preparing", "", "", recording.preparing, 0.0)]
    before = 0.0
    for (stage, _), group in groupby(recording.steps, lambda s: (s.stage, s.level)):
        steps = list(group)
        rows.append(_level(stage, steps, steps[-1].seconds - before))
        before = steps[-1].seconds
    whole = len(result.losses) == len(recording.steps)
    rest = "finishing" if whole else "before it was resumed, finishing"
    rows.append(_Time(rest, "", "", max(0.0, result.seconds - before), 0.0))
    total = sum(row.seconds for row in rows) or 1.0
    return [replace(row, share=row.seconds / total) for row in rows]


def _level(stage: str, steps: Sequence[Step], seconds: float) -> _Time:
    first, last = steps[0], steps[-1]
    height, width = first.size
    count = f"{len(steps)}" if last.step == last.steps else f"{len(steps)} of {last.steps}"
    totals = [step.losses.get("total") for step in (first, last)]
    losses = " → ".join(f"{total:.3g}" for total in totals if total is not None)
    return _Time(stage, f"{width}×{height}", count, seconds, 0.0, losses)


def _highlighted(recipe: str) -> Markup:
    # Pygments escapes; the classes are styled on the page.
    return Markup(highlight(recipe, YamlLexer(), HtmlFormatter(nowrap=True)))


def _network(segmentation: CustomSegmenter | PluginSegmenter) -> str:
    if isinstance(segmentation, PluginSegmenter):
        return segmentation.part
    return str(segmentation.weights)


def _versions(result: Result) -> list[tuple[str, str]]:
    recipe, device = result.recipe, result.scene.picture.rgb.device
    segmentation, plan = recipe.segmentation, result.plan
    return [
        ("layered-nst", __version__),
        ("encoder", f"{', '.join(plan.encoders)}, in {plan.precision}"),
        (
            "segmentation",
            segmentation if isinstance(segmentation, str) else _network(segmentation),
        ),
        *((f"plug-in {n}", p["version"]) for n, p in result.manifest["plugins"].items()),
        ("torch", torch.__version__),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}, {device.type}"),
    ]
