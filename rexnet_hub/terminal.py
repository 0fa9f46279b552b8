"""Print text, tables and JSON, inert and without secrets."""

from __future__ import annotations

import json
import os
import re
import sys

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TextIO

COLOURS = {"holds": "32", "false": "31", "not measured": "33", "error": "31", "warning": "33"}

#: Who an address logs in, also one without a scheme or with slashes that are none: `u:p@host/`, `//u:p@host`.
_USER = re.compile(
    r"(?:(?<=:/)|(?<=//)|(?<=:\\\\)\\*)[^/\\?#\s]*(?=@)"
    r"|(?<![^\s'\"`(<\[])(?!['\"`(<\[])(?=[^\s/\\@:]{1,200}:)[^\s/\\@]{1,500}(?=@[^\s/\\@]{1,200}[/\\])"
)
#: Each `name=value` of an address's query or fragment.
_PARTS = re.compile(r"(?<=[?&;#])([^=?&;#\s]*)=[^?&;#\s\"'<>)]*")
#: Names of values that open a door, in small letters without what parts their words.
_SECRET_NAME = re.compile(
    r"x(?:amz|goog|oss)\w*|sig|key|auth|pwd|pass|jwt|sas|\w*(?:token|secret|password|passwd|signature"
    r"|credentials?|apikey|accesskey(?:id)?|authorization)"
)


def redact_text(text: str) -> str:
    """Replace what is secret in the addresses in a text: user names, passwords, tokens and signatures."""
    text = _USER.sub("…", text) if "@" in text else text
    return _PARTS.sub(_redact, text) if ":/" in text else text


def _redact(part: re.Match[str]) -> str:
    from urllib.parse import unquote

    word = re.sub(r"[^a-z0-9]", "", unquote(part[1]).lower())
    return f"{part[1]}=…" if _SECRET_NAME.fullmatch(word) else part[0]


def printable(text: str) -> str:
    """Write out what a terminal would obey, in text that anybody may have written; secrets are replaced."""
    text = redact_text(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, noun: str) -> str:
    """Write how many there are: "1 model", "2 models"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def show(*lines: object, stream: TextIO | None = None) -> None:
    """Print lines, each as `printable` has it; their verdicts get colours where there are any."""
    for line in lines:
        print(paint(printable(str(line)), stream=stream), file=stream or sys.stdout)


def show_lines(text: str, *, stream: TextIO | None = None) -> None:
    """Print lines of our own, such as a table's, in which a text of others never has a line to itself."""
    show(*text.split("\n"), stream=stream)


def show_json(document: Any, *, stream: TextIO | None = None) -> None:
    """Print a JSON document, a text of one or what it is of, with JSON's own escapes of what is not inert."""
    text = document if isinstance(document, str) else json.dumps(document, indent=2, ensure_ascii=False)
    text = redact_text(text.rstrip("\n"))
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    print("".join(shown), file=stream or sys.stdout)


def print_error(message: str) -> None:
    """Print an error to standard error; its further lines are indented, so that none looks like an error."""
    show_lines(f"error: {message}".replace("\n", "\n  "), stream=sys.stderr)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Render rows in aligned columns.

    Args:
        right: Columns, counted from 0, that align to the right: numbers.
    """
    texts = (["" if cell is None else printable(str(cell)) for cell in row] for row in rows)
    cells = [list(map(str, headers)), *texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    pads = [str.rjust if index in right else str.ljust for index in range(len(widths))]
    padded = ([pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)] for row in cells)
    lines = ["  ".join(row).rstrip() for row in padded]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Render rows as CSV; text that a spreadsheet would take for a formula begins with a quote."""
    import csv
    import io

    def cell(value: object) -> object:
        text = printable(value) if isinstance(value, str) else ""
        return f"'{text}" if text[:1] in {"=", "+", "-", "@"} and text else text or value

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().rstrip("\n")


def noted_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render rows as wide as the terminal: the last cell is a note, which stands below where it does not fit.

    The cell before it goes on in further lines where it is too long for one.
    """
    import textwrap

    columns = terminal_columns()
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    fixed = [max(map(len, column)) + 2 for column in zip(headers, *cells, strict=True)][:-2]
    notes = (len(row[-1]) for row in cells)
    beside = max(len(headers[-1]), *(length for length in notes if length <= columns // 4), 0)
    room = max(columns - sum(fixed) - 2 - beside, 20)
    parts = [textwrap.wrap(row[-2], room, break_on_hyphens=False) or [""] for row in cells]
    firsts = ([*row[:-2], part[0]] for row, part in zip(cells, parts, strict=True))
    head, rule, *lines = table(headers[:-1], firsts).split("\n")
    shown = [f"{head.ljust(len(rule))}  {headers[-1]}", f"{rule}  ---"]
    # A command, path or address in it can be copied as it stands.
    below = textwrap.TextWrapper(
        columns, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    for line, row, part in zip(lines, cells, parts, strict=True):
        is_beside = len(rule) + 2 + len(row[-1]) <= columns
        shown.append(f"{line.ljust(len(rule))}  {row[-1]}".rstrip() if is_beside else line)
        shown += [" " * sum(fixed) + more for more in part[1:]]
        if not is_beside:
            shown += below.wrap(row[-1])
    return "\n".join(shown)


def terminal_columns() -> int:
    """Return how wide the terminal is: as COLUMNS says, else as it says itself, else 80."""
    if (columns := os.environ.get("COLUMNS", "")[:9]).isdecimal() and int(columns):
        return int(columns)
    try:
        # One of 0 columns, such as a container's, does not know.
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # there is no terminal
        return 80


def has_terminal() -> bool:
    """Return whether what is printed goes to a terminal: programs leave COLUMNS to those that they start."""
    return sys.stdout is not None and sys.stdout.isatty()


def paint(text: str, *, stream: TextIO | None = None) -> str:
    """Colour the words that mean something, on a terminal that shows colours.

    A word means something at the start of a line, between a table's columns, or before `[` or `:`.
    `NO_COLOR` switches it off, as https://no-color.org asks.
    """
    out = sys.stdout if stream is None else stream
    if out is None or not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    words = "|".join(sorted(COLOURS, key=len, reverse=True))
    places = rf"(?m)(?:(?<=^)|(?<=  )|(?<=: ))({words})(?=  |\[|:|$)"
    return re.sub(places, lambda m: f"\033[{COLOURS[m[1]]}m{m[1]}\033[0m", text)
