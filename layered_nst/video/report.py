"""A page that shows a run over a clip: films side by side, flow, steadiness over time, shots."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from layered_nst._version import __version__
from layered_nst.errors import LayeredNstError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import make_folder
from layered_nst.files.texts import readable
from layered_nst.outputs.report.page import FILES, GENERATOR, PAGE
from layered_nst.picture import fit_within, resize, to_image
from layered_nst.recipe import Output, dump_recipe
from layered_nst.video.clips import Clip
from layered_nst.video.flow import flow_of, motion
from layered_nst.video.result import VideoResult
from layered_nst.video.writing import FilmFrame, eight_bits, write_clip
from layered_nst.words import duration, pixels

SIDE = 480
"""Longest side in px of a picture of the films."""
MOST_FLOWS = 8
"""Flows that are shown, evenly over the clip."""
CURVE = (960, 240)
"""Width and height of the curve, px."""
INK, OURS, OWN, MARK = "#222222", "#1f5fbf", "#b0b0b0", "#c03030"


def write_clip_report(result: VideoResult, folder: Path, *, notes: Sequence[str] = ()) -> Path:
    """Write the page, ``FOLDER/index.html``, and return its path.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(folder / FILES)
    film = _film(result, folder / FILES)
    _save(_curve(result), folder / FILES / "steadiness.png")
    flows = _flows(result, folder / FILES)
    with replacing(folder / FILES / "recipe.yaml") as file:
        file.write(dump_recipe(result.recipe).encode())
    with replacing(folder / FILES / "frames.csv") as file:
        file.write(_table(result).encode())
    page = _page(result, film, flows, [*notes, *result.notes])
    with replacing(folder / PAGE) as file:
        file.write(page.encode())
    return folder / PAGE


def _photos(result: VideoResult) -> Iterator[Tensor]:
    """The photo of each frame, small."""
    size = fit_within(result.size, min(SIDE, max(result.size)))
    return (resize(f.picture.rgb, size) for f in result.excerpt.of(result.clip))


def _film(result: VideoResult, folder: Path) -> str:
    """A film of photo and result side by side; its name."""

    def frames() -> Iterator[FilmFrame]:
        for frame, photo in zip(result.frames(), _photos(result), strict=False):
            size = (photo.shape[2], photo.shape[1])
            ours = Image.fromarray(eight_bits(frame.pixels)).convert("RGB").resize(size)
            both = np.concatenate([np.asarray(to_image(photo)), np.asarray(ours)], 1)
            both = both[: both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2]
            yield FilmFrame(both, frame.time, frame.length, frame.file)

    silent = Clip(
        result.clip.path, result.size, result.clip.read, result.clip.rate, result.clip.base
    )

    def written(name: str) -> str:
        write_clip(folder / name, frames(), silent, output=Output(), excerpt=result.excerpt)
        return name

    try:
        return written("film.webm")
    except LayeredNstError:
        return written("film.webp")  # what is needed for films is not installed


def _flows(result: VideoResult, folder: Path) -> list[tuple[int, str]]:
    """Pictures of flow and reliability of some frames; their numbers and names."""
    count = len(result)
    chosen = {round(1 + n * (count - 2) / max(1, MOST_FLOWS - 1)) for n in range(MOST_FLOWS)}
    flow, found = flow_of(result.recipe.video.flow), []
    before: Tensor | None = None
    for number, photo in zip(range(count), _photos(result), strict=False):
        if before is not None and number in chosen:
            moving = motion(photo, before, flow)
            shown = torch.cat(
                [photo, flow_colors(moving.back), moving.reliability.expand(3, -1, -1)], 2
            )
            name = f"flow-{number:06d}.jpg"
            _save(to_image(shown), folder / name)
            found.append((number, name))
        before = photo
    return found


def flow_colors(back: Tensor) -> Tensor:
    """A flow (2, H, W) as colors (3, H, W) in [0, 1]: hue is direction, paleness is rest."""
    long = back.square().sum(0).sqrt()
    most = max(1.0, float(long.quantile(0.99)) if long.numel() < 2**24 else float(long.max()))
    hue = torch.atan2(back[1], back[0]) / (2 * torch.pi) + 0.5
    wheel = torch.stack([(6 * hue + shift) % 6 for shift in (0, 4, 2)])
    full = ((wheel - 3).abs() - 1).clamp(0, 1)
    return 1 - (long / most).clamp(0, 1) * (1 - full)


def _curve(result: VideoResult) -> Image.Image:
    """Warping error of the film and of the clip over time, with a mark at each shot."""
    width, height = CURVE
    sheet = Image.new("RGB", CURVE, "white")
    pen = ImageDraw.Draw(sheet)
    lines = result.store.lines
    across = (width - 60) / max(1, len(lines) - 1)
    highest = max([line.get(k, 0.0) for line in lines for k in ("error", "own")] or [0.0]) or 1.0

    def place(number: int, value: float) -> tuple[float, float]:
        return 50 + number * across, height - 30 - (height - 60) * value / highest

    for number, line in enumerate(lines):
        if line["key"] == number:
            x = place(number, 0)[0]
            pen.line([(x, 20), (x, height - 30)], MARK)
            pen.text((x + 3, 20), f"shot {line['shot']}", MARK)
    for key, color in (("own", OWN), ("error", OURS)):
        points = [place(n, line[key]) for n, line in enumerate(lines) if key in line]
        if len(points) > 1:
            pen.line(points, color, 2)
    pen.line([(50, height - 30), (width - 10, height - 30)], INK)
    pen.text((4, 24), f"{highest:.1e}", INK)
    pen.text((50, height - 22), "frame 0", INK)
    pen.text((width - 80, height - 22), f"frame {len(lines) - 1}", INK)
    return sheet


def _table(result: VideoResult) -> str:
    head = "frame,time,shot,seen,still,kept,error,own,seconds,finding,painting\n"
    rows = (
        f"{n},{float(t):.6f},{line['shot']},{line['seen']},{line['still']},{line['kept']},"
        f"{line.get('error', '')},{line.get('own', '')},{line['seconds']},"
        f"{line['finding_seconds']},{line['painting_seconds']}\n"
        for n, (t, line) in enumerate(zip(result.times, result.store.lines, strict=True))
    )
    return head + "".join(rows)


def _save(picture: Image.Image, path: Path) -> None:
    data = io.BytesIO()
    picture.save(data, "PNG" if path.suffix == ".png" else "JPEG", quality=90)
    with replacing(path) as file:
        file.write(data.getvalue())


def _facts(result: VideoResult) -> str:
    """The run in a sentence."""
    manifest = result.manifest["clip"]
    facts = (
        f"{len(result)} frames of {pixels(result.size)}, {result.shots} shots, painted in "
        f"{duration(result.seconds)}; warping error {manifest['warping_error']}, of the clip "
        f"itself {manifest['warping_error_of_the_clip']}"
    )
    if manifest["features_kept"] is not None:
        facts += (
            f"; of frames behind the first of a shot {manifest['kept_from_the_frame_before']:.0%} "
            f"was kept as it was and {manifest['features_kept']:.0%} of features and sums stood; "
            f"{manifest['seconds_a_frame']['later']:.2g} s each"
        )
    return facts


def _page(
    result: VideoResult, film: str, flows: Sequence[tuple[int, str]], notes: Sequence[str]
) -> str:
    def told(text: object) -> str:
        return html.escape(readable(str(text)))

    shown = (
        f'<video src="{FILES}/{film}" controls loop muted></video>'
        if film.endswith(".webm")
        else f'<img src="{FILES}/{film}" alt="photo and result">'
    )
    pictures = "".join(
        f'<figure><img src="{FILES}/{name}" alt="flow"><figcaption>frame {number}: photo, flow '
        "from the frame before, how far it is relied on</figcaption></figure>"
        for number, name in flows
    )
    items = "".join(f"<li>{told(note)}</li>" for note in dict.fromkeys(notes))
    title = told(result.recipe.name or result.clip.path.name)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{GENERATOR.decode()}
<title>{title}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
img,video{{max-width:100%}}figure{{margin:1rem 0}}figcaption{{color:#666}}</style></head><body>
<h1>{title}</h1><p>{told(_facts(result))}</p>
<h2>Clip and film</h2>{shown}
<h2>Steadiness</h2><img src="{FILES}/steadiness.png" alt="warping error over time">
<p>Blue: how far each frame is from the one before, moved by the flow; gray: the same of the clip
itself; red: where shots begin. Numbers: <a href="{FILES}/frames.csv">frames.csv</a>.</p>
<h2>Flow</h2>{pictures or "<p>Too few frames.</p>"}
<h2>Notes</h2><ul>{items or "<li>none</li>"}</ul>
<h2>Recipe</h2><p><a href="{FILES}/recipe.yaml">recipe.yaml</a></p>
<p>layered-nst {told(__version__)}</p></body></html>
"""
