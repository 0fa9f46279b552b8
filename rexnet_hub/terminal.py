"""Render tables and colours for a terminal."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

COLOURS = {"holds": "32", "false": "31", "not measured": "33", "error": "31", "warning": "33"}


def printable(text: str) -> str:
    """Write out what a terminal would obey, in text that anybody may have written."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_error(message: str) -> None:
    """Print an error to standard error, line by line, with nothing in it that a terminal would obey."""
    lines = "\n".join(map(printable, f"error: {message}".split("\n")))
    print(paint(lines, stream=sys.stderr), file=sys.stderr)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Render rows in aligned columns.

    Args:
        right: Columns, counted from 0, that align to the right: numbers.
    """
    texts = (["" if cell is None else printable(str(cell)) for cell in row] for row in rows)
    cells = [list(map(str, headers)), *texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def paint(text: str, *, stream: TextIO | None = None) -> str:
    """Colour the words that mean something, on a terminal that shows colours.

    A word means something at the start of a line, between a table's columns, or before `[` or `:`.
    `NO_COLOR` switches it off, as https://no-color.org asks.
    """
    out = sys.stdout if stream is None else stream
    if out is None or not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    import re

    words = "|".join(sorted(COLOURS, key=len, reverse=True))
    places = rf"(?m)(?:(?<=^)|(?<=  )|(?<=: ))({words})(?=  |\[|:|$)"
    return re.sub(places, lambda m: f"\033[{COLOURS[m[1]]}m{m[1]}\033[0m", text)
