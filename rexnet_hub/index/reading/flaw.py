"""What stops the reading of a block, on its way to become a problem."""

from __future__ import annotations


class Flaw(Exception):  # noqa: N818 - becomes a Problem before anybody outside sees it
    """Something that stops the reading of a block: becomes one problem at its place."""

    def __init__(self, code: str, offset: int, message: str) -> None:
        super().__init__(message)
        self.code, self.offset, self.message = code, offset, message
