"""Render problems for people, for programs and for GitHub's annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rexnet_hub.index.problems import Problem
from rexnet_hub.terminal import printable


def render_problems(problems: Iterable[Problem], style: str = "text") -> str:
    """Render problems, one a line, or as one JSON document.

    Args:
        problems: In the order in which they are shown.
        style: `text`, `json` or `github`.
    """
    if style == "json":
        return json.dumps([_record(problem) for problem in problems], indent=2, ensure_ascii=False) + "\n"
    line = _annotation if style == "github" else _line
    return "".join(f"{line(problem)}\n" for problem in problems)


def _line(problem: Problem) -> str:
    shown = printable(str(problem))
    return shown if problem.fix is None else f"{shown} [fixable]"


def _record(problem: Problem) -> dict[str, object]:
    fix = problem.fix
    return {
        "file": str(problem.location.file),
        "line": problem.location.line,
        "column": problem.location.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "fix": None if fix is None else {"old": fix.old, "new": fix.new},
    }


def _annotation(problem: Problem) -> str:
    """Write a workflow command; what would end a property or the line is escaped as GitHub has it."""
    place = problem.location
    properties = {"file": place.file, "line": place.line, "col": place.column, "title": problem.code}
    told = ",".join(f"{name}={_escape(str(value), in_property=True)}" for name, value in properties.items())
    return f"::{problem.severity} {told}::{_escape(problem.message)}"


def _escape(text: str, *, in_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
