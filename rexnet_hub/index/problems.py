"""Define the problems of a model-index file, and render them for people, programs and GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rexnet_hub.index.entry import Location
from rexnet_hub.terminal import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A replacement that is certain: put `new` in place of `old` at the problem's place."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, where, and what to do: a value that is reported; a `Flaw` is raised.

    Attributes:
        code: A stable word, such as `unknown-key`.
        severity: `error` or `warning`.
    """

    location: Location
    severity: str
    code: str
    message: str
    fix: Fix | None = None

    def __str__(self) -> str:
        return f"{self.location}: {self.severity}[{self.code}]: {self.message}"


class Flaw(Exception):  # noqa: N818 - becomes a Problem before anybody outside sees it
    """An exception that stops the reading of a file, a block or a value; caught, it becomes one `Problem`.

    Attributes:
        offset: Of the character where it is; None: the place is the value's own, or whoever named the file.
        new: What certainly is to stand in the value's place.
    """

    def __init__(self, code: str, message: str, offset: int | None = None, *, new: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.new = code, message, offset, new


def render_problems(problems: Iterable[Problem], style: str = "text") -> str:
    """Render problems, one a line, or as one JSON document.

    Args:
        style: `text`, `json` or `github`.
    """
    if style == "json":
        facts = [{**(fields := asdict(problem)).pop("location")._asdict(), **fields} for problem in problems]
        return json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n"
    line = _annotation if style == "github" else _line
    return "".join(f"{line(problem)}\n" for problem in problems)


def _line(problem: Problem) -> str:
    shown = printable(str(problem))
    return shown if problem.fix is None else f"{shown} [fixable]"


def _annotation(problem: Problem) -> str:
    """Write a workflow command; what would end a property or the line is escaped as GitHub has it."""
    place = problem.location
    properties = {"file": place.file, "line": place.line, "col": place.column, "title": problem.code}
    shown = ",".join(f"{name}={_escape(str(value), in_property=True)}" for name, value in properties.items())
    return f"::{problem.severity} {shown}::{_escape(problem.message)}"


def _escape(text: str, *, in_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
