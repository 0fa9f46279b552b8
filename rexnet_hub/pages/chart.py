"""The accuracy-against-cost picture: scales, ticks, the Pareto front, an SVG for readers without scripts."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        """How far along the axis a value stands, in 0..1."""
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


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """Keep the points that no other beats: cheaper and as accurate, or as cheap and more accurate."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return tuple(front)


def radius(size: float, largest: float) -> float:
    """Return the radius whose circle has an area in proportion to `size`."""
    return max(SMALLEST_RADIUS, LARGEST_RADIUS * math.sqrt(size / largest)) if largest else SMALLEST_RADIUS


def draw_svg(
    points: Sequence[Point], *, x_label: str, y_label: str, unit: float, here: str | None = None
) -> str:
    """Draw the picture as one line of SVG that follows the page's colours; empty without points.

    Args:
        points: What to draw.
        x_label: Of the cost, with its unit.
        y_label: Of the accuracy.
        unit: What one of `x_label`'s units amounts to, such as 1e6.
        here: The name of a point to stress.
    """
    if not points:
        return ""
    x_axis, y_axis = round_axis([p.x / unit for p in points]), round_axis([p.y for p in points])
    largest = max(p.size for p in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x_axis.share(x / unit) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (1 - y_axis.share(y)) * (HEIGHT - TOP - BOTTOM)

    names = ", ".join(f"{p.name} {p.y:g} %" for p in points[:12])
    parts = [
        f'<svg class="hub-picture" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(f"{y_label} against {x_label}: {names}")}">'
    ]
    for tick in x_axis.ticks:
        across, _ = place(tick * unit, y_axis.low)
        parts.append(f'<path class="grid" d="M{across:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in y_axis.ticks:
        _, down = place(x_axis.low * unit, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {down:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{tick:g}</text>')
    front = [place(p.x, p.y) for p in pareto_front(points)]
    parts.append('<path class="front" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in front) + '"/>')
    for point in points:
        across, down = place(point.x, point.y)
        stress = ' class="here"' if point.name == here else ""
        parts.append(
            f'<circle{stress} cx="{across:.1f}" cy="{down:.1f}" r="{radius(point.size, largest):.2f}"/>'
        )
        if len(points) <= 40:
            side = radius(point.size, largest) + 5
            end = across > WIDTH * 0.75
            anchor = (
                f'x="{across - side if end else across + side:.1f}" text-anchor="{"end" if end else "start"}"'
            )
            parts.append(f'<text {anchor} y="{down + 4:.1f}">{html.escape(point.name)}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    parts.append(
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text></svg>"
    )
    return "".join(parts)
