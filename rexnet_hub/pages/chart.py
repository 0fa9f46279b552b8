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


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model on the chart: `x` is its cost, `y` its accuracy, `size` gives the area."""

    name: str
    x: float
    y: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A linear scale from `low` to `high` with its ticks."""

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> tuple[float, ...]:
        """The round values on the axis."""
        first, last = round(self.low / self.step), round(self.high / self.step)
        return tuple(index * self.step for index in range(first, last + 1))

    def share(self, value: float) -> float:
        """Return how far along the axis a value stands, in 0..1."""
        return (value - self.low) / (self.high - self.low)


def round_axis(values: Sequence[float]) -> Axis:
    """Make an axis of some five round steps that holds all values with a margin; hub.js does the same."""
    low, high = min(values), max(values)
    span = high - low or abs(high) or 1.0
    low, high = max(low - 0.08 * span, min(low, 0)), high + 0.08 * span
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999999)
    return Axis(low=math.floor(low / step) * step, high=math.ceil(high / step) * step, step=step)


def radius(size: float, largest: float) -> float:
    """Return the radius whose circle has an area in proportion to `size`."""
    return max(SMALLEST_RADIUS, LARGEST_RADIUS * math.sqrt(size / largest)) if largest else SMALLEST_RADIUS


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
    x_axis, y_axis = round_axis([p.x / unit for p in points]), round_axis([p.y for p in points])
    largest, right, bottom = max(p.size for p in points), WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(x: float) -> float:
        return LEFT + x_axis.share(x) * (right - LEFT)

    def down(y: float) -> float:
        return TOP + (1 - y_axis.share(y)) * (bottom - TOP)

    names = ", ".join(f"{p.name} {p.y:g} %" for p in points[:12])
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": right, "top": TOP, "bottom": bottom,
        "title": f"{y_label} against {x_label}: {names}",
        "x_label": x_label, "y_label": y_label, "here": here,
        "x_ticks": [(across(tick), f"{tick:g}") for tick in x_axis.ticks],
        "y_ticks": [(down(tick), f"{tick:g}") for tick in y_axis.ticks],
        "front": [(across(x / unit), down(y)) for x, y in find_front((p.x, p.y) for p in points)],
        "marks": [
            {"name": p.name, "x": across(p.x / unit), "y": down(p.y), "radius": radius(p.size, largest)}
            for p in points
        ],
    }  # fmt: skip
