"""Hold the text of one file, and name the line and column of any place in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from rexnet_hub.index.entry import Location
from rexnet_hub.index.problems import Flaw

# Lines end as editors end them; YAML 1.1 knows three more breaks, which no editor counts.
_LINE_END = re.compile(r"\r\n|\n|\r")


class Source:
    """The text of one file, without its byte order mark.

    Attributes:
        file: As the reader was asked for it.
        is_json: Whether the file is JSON by its name.
        text: As it stands, line ends included.
        bom: Whether the file opens with a byte order mark.
    """

    __slots__ = ("_starts", "bom", "file", "is_json", "text")

    def __init__(self, file: Path, data: bytes) -> None:
        """Decode a file.

        Raises:
            Flaw: It is not UTF-8; the offset counts the characters before the first wrong byte.
        """
        self.file = file
        self.is_json = file.suffix.lower() == ".json"
        self._starts: list[int] | None = None
        self.bom = data.startswith(b"\xef\xbb\xbf")
        body = data[3:] if self.bom else data
        try:
            self.text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            self.text = body[: error.start].decode("utf-8")
            shown = body[error.start : error.start + 1].hex()
            raise Flaw(
                "not-utf8", f"byte 0x{shown} is not UTF-8; save the file as UTF-8", len(self.text)
            ) from None

    def place(self, offset: int) -> Location:
        """Name the place of a character."""
        if self._starts is None:
            self._starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        line = bisect_right(self._starts, offset)
        return Location(self.file, line, offset - self._starts[line - 1] + 1)

    def offset(self, line: int, column: int) -> int:
        """Find the character at a place: the inverse of `place`."""
        self.place(0)
        assert self._starts is not None
        return self._starts[line - 1] + column - 1


class Node:
    """One composed value: a scalar, a mapping or a list.

    Attributes:
        kind: `scalar`, `mapping` or `list`.
        value: The text; or (key, value) pairs; or the items.
        start: First character in the source; `end` is one past the last.
        plain: Whether a scalar stands without quotes.
        tag: An explicit standard tag, such as `int` for `!!int`.
    """

    __slots__ = ("end", "kind", "plain", "source", "start", "tag", "value")

    def __init__(
        self,
        source: Source,
        kind: str,
        value: object,
        start: int,
        end: int,
        *,
        plain: bool = False,
        tag: str | None = None,
    ) -> None:
        self.source, self.kind, self.start, self.end = source, kind, start, end
        self.plain, self.tag = plain, tag
        self.value: object = value

    @property
    def text(self) -> str:
        """The scalar's text."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """The mapping's keys and values; of anything else, none."""
        return self.value if self.kind == "mapping" else []  # type: ignore[return-value]

    @property
    def items(self) -> list[Node]:
        """The list's items; of anything else, none."""
        return self.value if self.kind == "list" else []  # type: ignore[return-value]

    @property
    def raw(self) -> str:
        """The characters as the file has them."""
        return self.source.text[self.start : self.end]

    @property
    def location(self) -> Location:
        """Where the value begins."""
        return self.source.place(self.start)
