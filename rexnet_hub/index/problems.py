"""Name what can be wrong with a model-index file: a problem is a value, not an exception."""

from __future__ import annotations

from rexnet_hub.index.entry import Location
from rexnet_hub.index.records import record


@record
class Fix:
    """A replacement that is certain: put `new` in place of `old` at the problem's place."""

    old: str
    new: str


@record
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


class Flaw(Exception):  # noqa: N818 - becomes a Problem before anybody outside sees it
    """Something that stops the reading of a block: becomes one problem at its place."""

    def __init__(self, code: str, offset: int, message: str) -> None:
        super().__init__(message)
        self.code, self.offset, self.message = code, offset, message
