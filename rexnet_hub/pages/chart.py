"""Render the accuracy-against-cost chart: scales, ticks, the Pareto front, for readers without scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rexnet_hub.index.query import find_front

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 16, 44
LARGEST_RADIUS = 18
SMALLEST_RADIUS = 4
#: More models have no labels, and circles half as wide; hub-chart.js does the same, but labels the front.
MOST_LABELS = 40
#: How wide a letter of a label is at most, on average, and how high its line.
LETTER_PX, LINE_PX = 6.8, 15
#: Costs further apart than this stand on a logarithmic axis.
WIDEST_LINEAR = 50


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model on the chart: `x` is its cost, `y` its accuracy, `size` gives the area."""

    name: str
    x: float
    y: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from its first to its last tick, linear or of powers of ten."""

    ticks: tuple[float, ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis a value stands, in 0..1."""
        ends = (self.ticks[0], value, self.ticks[-1])
        low, value, high = map(math.log10, ends) if self.is_log else ends
        return (value - low) / (high - low)


def round_axis(values: Sequence[float], *, is_cost: bool = False) -> Axis:
    """Make an axis of some five round steps that holds all values with a margin; hub-chart.js does the same.

    Costs that lie far apart stand on one of powers of ten.
    """
    low, high = min(values), max(values)
    if is_cost and 0 < low < high / WIDEST_LINEAR:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return Axis(ticks=tuple(10.0**power for power in range(first, last + 1)), is_log=True)
    span = high - low or abs(high) or 1.0
    low, high = max(low - 0.08 * span, min(low, 0)), high + 0.08 * span
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Axis(ticks=tuple(index * step for index in range(first, last + 1)))


def radius(size: float, largest: float, share: float) -> float:
    """Return this share of the radius whose circle has an area in proportion to `size`."""
    whole = max(SMALLEST_RADIUS, LARGEST_RADIUS * math.sqrt(size / largest)) if largest else SMALLEST_RADIUS
    return share * whole


def lay_out(
    points: Sequence[Point], *, x_label: str, y_label: str, unit: float, here: str | None
) -> dict[str, Any]:
    """Return where all parts of the picture stand, for its template; nothing without points.

    Args:
        x_label: Of the cost, with its unit.
        y_label: Of the accuracy.
        unit: What one of `x_label`'s units amounts to, such as 1e6.
        here: The name of a point to stress.
    """
    if not points:
        return {}
    x_axis, y_axis = round_axis([p.x / unit for p in points], is_cost=True), round_axis([p.y for p in points])
    share = 0.5 if len(points) > MOST_LABELS else 1.0
    most, right, bottom = max(p.size for p in points), WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(x: float) -> float:
        return LEFT + x_axis.share(x) * (right - LEFT)

    def down(y: float) -> float:
        return TOP + (1 - y_axis.share(y)) * (bottom - TOP)

    marks: list[dict[str, Any]] = [
        {
            "name": p.name,
            "x": across(p.x / unit),
            "y": down(p.y),
            "radius": radius(p.size, most, share),
            "label": None,
        }
        for p in points
    ]
    if share == 1:
        place_labels(marks)
    names = ", ".join(f"{p.name} {p.y:g} %" for p in points[:12])
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": right, "top": TOP, "bottom": bottom,
        "title": f"{y_label} against {x_label}: {names}",
        "x_label": x_label, "y_label": y_label, "here": here,
        "x_ticks": [(across(tick), f"{tick:g}") for tick in x_axis.ticks],
        "y_ticks": [(down(tick), f"{tick:g}") for tick in y_axis.ticks],
        "front": [(across(x / unit), down(y)) for x, y in find_front((p.x, p.y) for p in points)],
        "marks": marks,
    }  # fmt: skip


def place_labels(marks: Sequence[dict[str, Any]]) -> None:
    """Add to each mark the `label` where its name fits, as x, base line and anchor; sides as in hub-chart.js.

    A name that fits nowhere has none; how wide one is, is estimated.
    """
    taken = [(m["x"] - m["radius"], m["y"] - m["radius"], 2 * m["radius"], 2 * m["radius"]) for m in marks]
    for mark in marks:
        width, x, away = LETTER_PX * len(mark["name"]), mark["x"], mark["radius"] + 5
        middle, above, below = (mark["y"] + step for step in (-LINE_PX / 2, -away - LINE_PX, away))
        sides = {
            (x + away, "start", middle): x + away,
            (x - away, "end", middle): x - away - width,
            (x, "middle", above): x - width / 2,
            (x, "middle", below): x - width / 2,
        }
        for (at, anchor, top), left in sides.items():
            box = (left, top, width, LINE_PX)
            is_inside = (
                left >= LEFT and left + width <= WIDTH and top >= TOP and top + LINE_PX <= HEIGHT - BOTTOM
            )
            if is_inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                mark["label"] = (at, top + 0.8 * LINE_PX, anchor)
                break


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
