"""Loss curves as SVG: logarithmic, with the levels and stages of the run behind them.

The pictures take their colors from the page: ``.c0`` to ``.c7`` are the curves, ``.grid``,
``.level`` and ``.axis`` what lies behind. Each curve carries its numbers in ``data-values``, which
a page may show beside the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from layered_nst.painting.progress import TOTAL

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, FLOOR = 46, 508, 40, 272
"""Where the curves are drawn, px; axis, names of levels and names of curves stand around it."""
COLORS = 8
LABEL_GAP = 15.0
MOST_DECADES = 6
"""A loss this many decades below the largest is as good as none and would flatten the others."""


@dataclass(frozen=True)
class Curve:
    """A name and a value for each step, NaN where the step has none."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Span:
    """Steps ``start`` to ``end``, counted from 0, the last one excluded."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class Panel:
    """Curves that are drawn together."""

    title: str
    curves: Sequence[Curve]


def panels(losses: Sequence[Mapping[str, float]]) -> list[Panel]:
    """Group the losses of a run: sums by region, each region by layer, and what is held.

    Args:
        losses: terms by dotted name after each step, such as ``style.sky.conv3_1``.
    """
    names = list(dict.fromkeys(name for step in losses for name in step))
    by_region: dict[str, list[Curve]] = {}
    for name in names:
        if name.startswith("style."):
            region, layer = name.removeprefix("style.").rsplit(".", 1)
            by_region.setdefault(region, []).append(_curve(losses, layer, [name]))
    sums = [
        _curve(losses, _called(region), [n for n in names if n.startswith(f"style.{region}.")])
        for region in by_region
    ]
    held = [n for n in names if n != TOTAL and not n.startswith("style.")]
    total = [_curve(losses, TOTAL, [TOTAL])] if TOTAL in names else []
    found = [Panel("The whole and the style of each region", [*total, *sums])]
    found += [Panel(f"{region}: style by layer", curves) for region, curves in by_region.items()]
    found.append(
        Panel(
            "What is held: content, contour, smoothness",
            [_curve(losses, _plain(name), [name]) for name in held],
        )
    )
    return [panel for panel in found if panel.curves]


def _called(region: str) -> str:
    """The name of a region's curve, told from that of the whole."""
    return f"style of {region}" if region == TOTAL else region


def _plain(name: str) -> str:
    first, _, rest = name.partition(".")
    words = "out of range" if first == "range" else first.replace("_", " ")
    return f"{words} {rest.replace('laplacian_', 'Laplacian ')}".strip()


def _curve(losses: Sequence[Mapping[str, float]], name: str, terms: Sequence[str]) -> Curve:
    def value(step: Mapping[str, float]) -> float:
        present = [step[term] for term in terms if term in step]
        return sum(present) if present else math.nan

    return Curve(name, [value(step) for step in losses])


@dataclass(frozen=True)
class _Frame:
    """Where steps and losses are drawn, px."""

    steps: int
    low: float
    high: float

    def x(self, step: float) -> float:
        share = 0.5 if self.steps < 2 else step / (self.steps - 1)
        return LEFT + share * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        span = math.log10(self.high) - math.log10(self.low)
        share = (math.log10(value) - math.log10(self.low)) / span
        return FLOOR - share * (FLOOR - TOP)


def draw(panel: Panel, *, levels: Sequence[Span] = (), stages: Sequence[Span] = ()) -> str:
    """Draw a panel as one ``<svg>`` element.

    Args:
        levels: where levels begin and end; curves are interrupted there, as each level has its own
            targets.
        stages: names of the stages of the run.

    Returns:
        The element, without scripts or references; empty if no value is above 0.
    """
    values = [v for curve in panel.curves for v in curve.values if 0 < v < math.inf]
    if not values:
        return ""
    frame = _Frame(len(panel.curves[0].values), *_range(values))
    svg = Element(
        "svg",
        {
            "class": "chart",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "img",
            "aria-label": f"{panel.title}: losses by step",
            "data-left": str(LEFT),
            "data-right": str(RIGHT),
            "data-top": str(TOP),
            "data-floor": str(FLOOR),
            "data-steps": str(frame.steps),
        },
    )
    _draw_axes(svg, frame)
    _draw_spans(svg, frame, levels, stages)
    breaks = {span.start for span in levels}
    for number, curve in enumerate(panel.curves):
        _draw_curve(svg, frame, curve, f"c{number % COLORS}", breaks)
    _draw_names(svg, frame, panel.curves)
    return ElementTree.tostring(svg, encoding="unicode")


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value drawn, a little room around them."""
    high = max(values)
    low = max(min(values), high / 10**MOST_DECADES)
    return low / 1.15, high * 1.15


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two: decades, or finer steps if there are hardly any."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        found = [m * 10.0**e for e in exponents for m in mantissas if low <= m * 10.0**e <= high]
        if len(found) >= 3:
            break
    return found


def _draw_axes(svg: Element, frame: _Frame) -> None:
    for value in _ticks(frame.low, frame.high):
        y = frame.y(value)
        _line(svg, "grid", LEFT, y, RIGHT, y)
        _text(svg, "axis tick-y", LEFT - 7, y + 4, _written(value), "end")
    for step in _round_steps(frame.steps):
        x = frame.x(step - 1)
        _text(svg, "axis tick-x", x, FLOOR + 18, str(step), "middle")
    _text(svg, "axis", RIGHT + 13, FLOOR + 18, "steps", "start")


def _written(value: float) -> str:
    if value >= 1e-3:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _round_steps(count: int) -> list[int]:
    rough = max(1.0, count / 6)
    power = 10 ** math.floor(math.log10(rough))
    every = next(int(m * power) for m in (1, 2, 5, 10) if m * power >= rough)
    return [1, *range(every, count + 1, every)] if every > 1 else list(range(1, count + 1))


def _draw_spans(
    svg: Element, frame: _Frame, levels: Sequence[Span], stages: Sequence[Span]
) -> None:
    for span in levels[1:]:
        # Half way from the last step of a level to the first of the next.
        x = frame.x(span.start - 0.5)
        _line(svg, "level", x, TOP, x, FLOOR)
    _name_spans(svg, frame, levels, "axis level-name", TOP - 7)
    _name_spans(svg, frame, stages, "axis stage-name", TOP - 24)


def _name_spans(svg: Element, frame: _Frame, spans: Sequence[Span], kind: str, y: float) -> None:
    """Write each name in the middle of its span, but none over the one before."""
    free = 0.0
    for span in spans:
        middle = (frame.x(span.start) + frame.x(span.end - 1)) / 2
        half = 3.8 * len(span.label)
        if middle - half >= free:
            _text(svg, kind, middle, y, span.label, "middle")
            free = middle + half + 5


def _draw_curve(svg: Element, frame: _Frame, curve: Curve, color: str, breaks: set[int]) -> None:
    path = SubElement(
        svg,
        "path",
        {
            "class": f"curve {color}" + (" total" if curve.name == "total" else ""),
            "d": _path(frame, curve.values, breaks),
            "data-name": curve.name,
            "data-values": " ".join("-" if math.isnan(v) else f"{v:.3g}" for v in curve.values),
        },
    )
    SubElement(path, "title").text = curve.name


def _path(frame: _Frame, values: Sequence[float], breaks: set[int]) -> str:
    """Path data; a value that a logarithmic axis cannot show interrupts the line."""
    lines: list[list[str]] = [[]]
    for step, value in enumerate(values):
        shown = frame.low <= value < math.inf
        if step in breaks or not shown:
            lines.append([])
        if shown:
            lines[-1].append(f"{frame.x(step):.2f} {frame.y(value):.2f}")
    # A line of no length is drawn as a dot, which a lone step would not be otherwise.
    return " ".join("M" + "L".join(line if len(line) > 1 else line * 2) for line in lines if line)


def _draw_names(svg: Element, frame: _Frame, curves: Sequence[Curve]) -> None:
    """Write each curve's name at its end, moved apart where they would overlap."""
    ends = sorted(
        (y, number) for number, curve in enumerate(curves) if (y := _end(frame, curve)) is not None
    )
    places = _apart([y for y, _ in ends], LABEL_GAP, FLOOR)
    for (end, number), y in zip(ends, places, strict=True):
        color = f"c{number % COLORS}" + (" total" if curves[number].name == "total" else "")
        _line(svg, f"leader {color}", RIGHT + 2, end, RIGHT + 10, y)
        name = curves[number].name
        _text(svg, f"name {color}", RIGHT + 13, y + 4, name, "start").set("data-name", name)


def _end(frame: _Frame, curve: Curve) -> float | None:
    shown = [v for v in curve.values if frame.low <= v < math.inf]
    return frame.y(shown[-1]) if shown else None


def _apart(places: Sequence[float], gap: float, most: float) -> list[float]:
    """Rising places moved as little as needed to be ``gap`` apart and at most ``most``."""
    down: list[float] = []
    for place in places:
        down.append(max(place, down[-1] + gap) if down else place)
    limit = most
    for index in range(len(down) - 1, -1, -1):
        down[index] = min(down[index], limit)
        limit = down[index] - gap
    return down


def _line(svg: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    SubElement(svg, "line", {"class": kind} | {k: f"{v:.2f}" for k, v in places.items()})


def _text(svg: Element, kind: str, x: float, y: float, text: str, anchor: str) -> Element:
    places = {"x": f"{x:.2f}", "y": f"{y:.2f}", "text-anchor": anchor}
    element = SubElement(svg, "text", {"class": kind, **places})
    element.text = text
    return element


def spans(labels: Sequence[object], name: Callable[[int], str]) -> Iterator[Span]:
    """Runs of equal labels.

    Args:
        labels: one for each step.
        name: gives the name of a run from the index of its first step.
    """
    starts = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    for start, end in pairwise([*starts, len(labels)]):
        yield Span(name(start), start, end)
