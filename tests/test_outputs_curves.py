"""Loss curves: what is drawn is what was lost, checked by reading the picture back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from layered_nst.outputs.report.curves import Curve, Panel, Span, draw, panels, spans

SVG = "{http://www.w3.org/2000/svg}"
LOSSES = [
    {
        "style.sky.conv1_1": 4.0 / step,
        "style.sky.conv3_1": 0.5 / step**2,
        "style.old town.conv1_1": 1.0,
        "content.conv4_2": 0.1 * step,
        "total_variation": 0.02,
        "range": 0.0,
        "total": 9.0 / step,
    }
    for step in range(1, 13)
]


def drawn(panel: Panel, **options: list[Span]) -> Element:
    # Within a page the namespace is understood; read on its own it has to be said.
    text = draw(panel, **options)
    return ElementTree.fromstring(text.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))


def texts(svg: Element, kind: str) -> list[Element]:
    return [e for e in svg.iter(f"{SVG}text") if kind in e.attrib["class"].split()]


def lines(svg: Element, name: str) -> list[list[tuple[float, float]]]:
    """The points of a curve, one list for each uninterrupted line."""
    (path,) = [p for p in svg.iter(f"{SVG}path") if p.attrib["data-name"] == name]
    parts = [part for part in path.attrib["d"].split("M") if part.strip()]
    pairs = [re.findall(r"([\d.]+) ([\d.]+)", part) for part in parts]
    return [[(float(x), float(y)) for x, y in found] for found in pairs]


def number(text: str | None) -> float:
    """The number that a text says: ``0.03``, ``10⁻⁵`` or ``3·10⁻⁵``."""
    found = re.fullmatch("(?:([0-9.]+)·)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text or "")
    if not found:
        return float(text or "")
    exponent = found[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(found[1] or 1) * 10.0 ** int(exponent)


def axes(svg: Element) -> tuple[np.ndarray, np.ndarray]:
    """What the axes say: coefficients from x to steps and from y to the logarithm of losses."""
    steps = [(float(t.attrib["x"]), float(t.text or "")) for t in texts(svg, "tick-x")]
    values = [(float(t.attrib["y"]), math.log10(number(t.text))) for t in texts(svg, "tick-y")]
    grid = sorted(
        float(e.attrib["y1"]) for e in svg.iter(f"{SVG}line") if "grid" in e.attrib["class"]
    )
    labels = sorted(y for y, _ in values)
    # Numbers stand a little below their lines, all alike.
    offset = labels[0] - grid[0]
    values = [(y - offset, v) for y, v in values]
    return np.polyfit(*zip(*steps, strict=True), 1), np.polyfit(*zip(*values, strict=True), 1)


def read_back(svg: Element, name: str) -> dict[int, float]:
    to_step, to_log = axes(svg)
    points = [point for line in lines(svg, name) for point in line]
    return {
        round(float(np.polyval(to_step, x))): float(10 ** np.polyval(to_log, y)) for x, y in points
    }


def test_regions_that_are_called_like_a_loss_have_their_curves() -> None:
    names = ("total", "content", "contour", "range")
    style = {f"style.{name}.conv1_1": 2.0**power for power, name in enumerate(names)}
    step = {**style, "content.conv4_2": 0.1, "range": 0.4, "grain.fine": 0.5, "total": 99.0}
    whole, *regions, held = panels([step, step])
    first = {curve.name: curve.values[0] for curve in whole.curves}
    assert first == {"total": 99, "style of total": 1, "content": 2, "contour": 4, "range": 8}
    assert [panel.title for panel in regions] == [f"{name}: style by layer" for name in names]
    assert [curve.values[0] for curve in held.curves] == [0.1, 0.4, 0.5]


def test_losses_are_grouped_by_the_whole_each_region_and_what_is_held() -> None:
    whole, sky, town, held = panels(LOSSES)
    assert [curve.name for curve in whole.curves] == ["total", "sky", "old town"]
    assert sky.title == "sky: style by layer"
    assert [curve.name for curve in sky.curves] == ["conv1_1", "conv3_1"]
    assert [curve.name for curve in town.curves] == ["conv1_1"]
    names = [curve.name for curve in held.curves]
    assert names == ["content conv4_2", "total variation", "out of range"]
    sums = [step["style.sky.conv1_1"] + step["style.sky.conv3_1"] for step in LOSSES]
    assert list(whole.curves[1].values) == pytest.approx(sums)


@pytest.mark.parametrize("factor", [1e-5, 1.0, 300.0])
def test_points_read_back_from_the_axes_are_the_losses(factor: float) -> None:
    losses = [{name: factor * value for name, value in step.items()} for step in LOSSES]
    for panel in panels(losses)[:2]:
        svg = drawn(panel)
        for curve in panel.curves:
            found = read_back(svg, curve.name)
            wanted = dict(enumerate(curve.values, 1))
            assert found == pytest.approx(wanted, rel=0.02)


def test_higher_is_more_and_further_right_is_later() -> None:
    svg = drawn(Panel("", [Curve("falling", [100.0, 10.0, 1.0])]))
    (points,) = lines(svg, "falling")
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x1 < x2 < x3
    assert y1 < y2 < y3
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.02)


def test_a_curve_is_interrupted_between_levels_and_where_there_is_no_loss() -> None:
    values = [5.0, 4.0, 3.0, 0.0, 2.0, math.nan, 1.0, math.inf, 1.0, 1.0]
    svg = drawn(Panel("", [Curve("a", values)]), levels=[Span("64", 0, 2), Span("96", 2, 10)])
    found = [len({x for x, _ in line}) for line in lines(svg, "a")]
    assert found == [2, 1, 1, 1, 2]
    # A lone step is a line of no length, which round ends make a dot.
    assert all(len(line) >= 2 for line in lines(svg, "a"))


def test_levels_and_stages_stand_where_their_steps_are() -> None:
    labels = [("product", 64)] * 4 + [("style", 64)] * 3 + [("style", 96)] * 5
    levels = list(spans(labels, lambda i: str(labels[i][1])))
    stages = list(spans([stage for stage, _ in labels], lambda i: labels[i][0]))
    assert [(s.label, s.start, s.end) for s in levels] == [
        ("64", 0, 4),
        ("64", 4, 7),
        ("96", 7, 12),
    ]
    svg = drawn(panels(LOSSES)[0], levels=levels, stages=stages)
    to_step, _ = axes(svg)

    def steps(elements: list[Element], key: str) -> list[float]:
        return [float(np.polyval(to_step, float(e.attrib[key]))) for e in elements]

    assert [t.text for t in texts(svg, "level-name")] == ["64", "64", "96"]
    assert steps(texts(svg, "level-name"), "x") == pytest.approx([2.5, 6, 10], abs=0.02)
    assert [t.text for t in texts(svg, "stage-name")] == ["product", "style"]
    assert steps(texts(svg, "stage-name"), "x") == pytest.approx([2.5, 8.5], abs=0.02)
    borders = [e for e in svg.iter(f"{SVG}line") if e.attrib["class"] == "level"]
    assert steps(borders, "x1") == pytest.approx([4.5, 7.5], abs=0.02)


def test_names_at_the_ends_do_not_overlap_and_stay_inside() -> None:
    curves = [Curve(f"layer {i}", [10.0, 1.0 + i / 1000]) for i in range(8)]
    svg = drawn(Panel("", [*curves, Curve("low", [1.0, 0.01])]))
    places = sorted(float(t.attrib["y"]) for t in texts(svg, "name"))
    assert np.diff(places).min() >= 12
    assert places[0] > 0
    assert places[-1] < float(svg.attrib["viewBox"].split()[3])


@pytest.mark.parametrize(
    "values",
    [[1.0], [3.0] * 5, [1e-30, 1e-30], [1e12, 1e-12], [math.nan, 2.0], [2.0, math.inf, 1.0]],
    ids=str,
)
def test_any_losses_can_be_drawn(values: list[float]) -> None:
    svg = drawn(Panel("odd", [Curve("a", values)]))
    places = [v for line in lines(svg, "a") for point in line for v in point]
    assert places
    assert all(math.isfinite(v) for v in places)
    assert texts(svg, "tick-y")


@pytest.mark.parametrize("losses", [[], [{}], [{"total": 0.0}], [{"total": math.nan}]], ids=str)
def test_without_losses_nothing_is_drawn(losses: list[Mapping[str, float]]) -> None:
    assert [draw(panel) for panel in panels(losses)] in ([], [""])


def test_names_are_escaped() -> None:
    name = '<script>alert("&")</script>'
    text = draw(Panel(name, [Curve(name, [1.0, 2.0])]), stages=[Span(name, 0, 2)])
    assert "<script" not in text
    svg = ElementTree.fromstring(text)
    assert svg.attrib["aria-label"].startswith(name)


def test_terms_that_only_some_stages_have_begin_and_end_with_them() -> None:
    losses = [{"style.a.conv1_1": 1.0}] * 3 + [{"style.b.conv1_1": 2.0}] * 2
    first, second = (panel.curves[0].values for panel in panels(losses)[1:])
    assert [math.isnan(v) for v in first] == [False] * 3 + [True] * 2
    assert [math.isnan(v) for v in second] == [True] * 3 + [False] * 2
