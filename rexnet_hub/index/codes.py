"""Read the codes of problems from `codes.yml`: severity, meaning, a text that has it and one without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

from rexnet_hub.index.entry import Location
from rexnet_hub.index.problems import Fix, Problem
from rexnet_hub.terminal import redact_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of problem.

    Attributes:
        code: A stable word.
        severity: `error`, or `warning` for what may be meant; `--strict` fails on both.
        meaning: One line.
        bad: The least file that has the problem, and no other.
        good: The same file without it.
        file: What the file is called.
        beside: Other files of the example, by name.
    """

    code: str
    severity: str
    meaning: str
    bad: str
    good: str
    file: str = "index.yml"
    beside: Mapping[str, str] = field(default_factory=dict)


@cache
def read_codes() -> Mapping[str, Code]:
    """Read every kind of problem, by its code, in the order of the file."""
    text = Path(__file__).with_name("codes.yml").read_text(encoding="utf-8")
    codes = {}
    for code, facts in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).items():
        if encoding := facts.pop("bad_encoding", None):
            facts["bad"] = facts["bad"].encode(encoding).decode("utf-8", "surrogateescape")
        codes[code] = Code(code=code, **facts)
    return MappingProxyType(codes)


def make_problem(code: str, location: Location, message: str, fix: Fix | None = None) -> Problem:
    """Return a problem of a known code, with that code's severity."""
    severity = read_codes()[code].severity
    return Problem(code=code, severity=severity, location=location, message=redact_text(message), fix=fix)
