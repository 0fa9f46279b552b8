"""Name what can be wrong with a model-index file: a problem is a value, not an exception."""

from __future__ import annotations

from dataclasses import dataclass

from rexnet_hub.index.entry import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A replacement that is certain: put `new` in place of `old` at the problem's place."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, where, and what to do.

    Attributes:
        code: A stable word, such as `unknown-key`.
        severity: `error` or `warning`.
    """

    code: str
    severity: str
    location: Location
    message: str
    fix: Fix | None = None

    def __str__(self) -> str:
        return f"{self.location}: {self.severity}[{self.code}]: {self.message}"
