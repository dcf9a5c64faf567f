"""What a search has found, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from layered_nst.files.atomic import replacing
from layered_nst.picture.layout import ALARM, INK, PAPER, SOFT, font
from layered_nst.picture.writing import write_image
from layered_nst.training.searching.fronts import Found, Front

WIDTH, HEIGHT, MARGIN = 900, 560, 64


@dataclass(frozen=True)
class FrontTold:
    """A front in words.

    Attributes:
        front: that was found.
        chosen: the one of least error among what takes no longer than was asked; None if nothing
            was asked, or nothing is as quick.
        text: all of it.
    """

    front: Front
    chosen: Found | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        """As data that JSON can hold."""
        evolution, chance = self.front.volumes
        return {
            "front": [found.as_dict() for found in self.front.best],
            "chosen": None if self.chosen is None else self.chosen.as_dict(),
            "hypervolume": {"evolution": evolution, "chance": chance},
        }


def tell_front(front: Front, folder: Path, latency: float | None) -> FrontTold:
    """Put a front into words, and write ``front.md`` and ``front.png``.

    Args:
        latency: seconds that it may take.

    Raises:
        OutputError: they cannot be written.
    """
    quick = [found for found in front.best if latency is None or found.seconds <= latency]
    chosen = min(quick, key=lambda found: found.error) if latency and quick else None
    rows = [
        f"| `{one.form}` | {one.error:.4f} | {1000 * one.seconds:.1f} | {one.size / 1e6:.2f} |"
        for one in front.best
    ]
    evolution, chance = front.volumes
    ratio = evolution / chance if chance else float("nan")
    lines = [
        f"| form | error | ms for {front.seconds_for} | MB |",
        "|---|---|---|---|",
        *rows,
        "",
        f"hypervolume: {evolution:.4f} by evolution, {chance:.4f} by chance ({ratio:.3f})",
    ]
    if latency is not None:
        lines.append(_choice(chosen, front.best, latency))
    text = "\n".join(lines)
    with replacing(folder / "front.md") as file:
        file.write(f"{text}\n".encode())
    write_image(folder / "front.png", plot(front))
    return FrontTold(front, chosen, text)


def _choice(chosen: Found | None, best: Sequence[Found], latency: float) -> str:
    if chosen is None:
        quickest = min(found.seconds for found in best)
        return f"none takes {1000 * latency:g} ms or less; the quickest takes {1000 * quickest:.1f}"
    return f"within {1000 * latency:g} ms: teach it with `form={chosen.form}`"


def plot(front: Front) -> Image.Image:
    """Error over time: what chance has drawn, what has evolved, and the front."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(sheet)
    every = [*front.evolved, *front.drawn]
    times, errors = ([getattr(f, name) for f in every] for name in ("seconds", "error"))

    def place(found: Found) -> tuple[float, float]:
        x = (found.seconds - min(times)) / ((max(times) - min(times)) or 1)
        y = (found.error - min(errors)) / ((max(errors) - min(errors)) or 1)
        return MARGIN + x * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - y * (HEIGHT - 2 * MARGIN)

    for found, color, size in (
        *((f, SOFT, 3) for f in front.drawn),
        *((f, INK, 3) for f in front.evolved),
        *((f, ALARM, 5) for f in front.best),
    ):
        x, y = place(found)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=color)
    line: list[Found] = []  # of the front in these two
    for found in front.best:
        if not line or found.error < line[-1].error:
            line.append(found)
    draw.line([place(found) for found in line], fill=ALARM, width=2)
    across = f"{1000 * min(times):.0f} to {1000 * max(times):.0f} ms to the right"
    words = f"{across}, error {min(errors):.3f} to {max(errors):.3f} upwards"
    draw.text((MARGIN, HEIGHT - MARGIN + 20), words, INK, font(15))
    legend = "red: the front · dark: evolution · gray: chance"
    draw.text((MARGIN, 20), legend, INK, font(15))
    return sheet
