"""Read the text of one file, name the place of any character, find the YAML in a Markdown page."""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from rexnet_hub.index.entry import Location
from rexnet_hub.index.problems import Flaw
from rexnet_hub.terminal import redact_text


class YamlSource:
    """The text of one file, without its byte order mark.

    Attributes:
        file: As the reader was asked for it.
        is_json: Whether the file is JSON by its name.
        text: As it stands, line ends included.
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
            problem = f"byte 0x{shown} is not UTF-8; save the file as UTF-8"
            raise Flaw("not-utf8", problem, len(self.text)) from None

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return (b"\xef\xbb\xbf" if self.bom else b"") + self.text.encode()

    def place(self, offset: int) -> Location:
        """Find the place of a character."""
        if self._starts is None:
            # Lines end as editors end them; YAML 1.1 knows three more breaks, which no editor counts.
            lines = io.StringIO(f"{self.text}.", newline="")  # its end is no line of its own
            self._starts = list(accumulate(map(len, lines), initial=0))
        line = bisect_right(self._starts, offset)
        return Location(self.file, line, offset - self._starts[line - 1] + 1)

    def offset(self, line: int, column: int) -> int:
        """Find the character at a place: the inverse of `place`."""
        self.place(0)
        assert self._starts is not None
        return self._starts[line - 1] + column - 1


@dataclass(eq=False, slots=True)
class Node:
    """One composed value: a scalar, a mapping or a list.

    Attributes:
        kind: `scalar`, `mapping` or `list`.
        value: The text; or (key, value) pairs; or the items.
        text: A scalar's text, where it is an address without its secrets; else empty.
        start: First character in the source; `end` is one past the last.
        plain: Whether a scalar stands without quotes.
        tag: An explicit standard tag, such as `int` for `!!int`.
    """

    source: YamlSource
    kind: str
    value: Any
    start: int
    end: int
    plain: bool = False
    tag: str | None = None
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = redact_text(self.value) if self.kind == "scalar" else ""

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """The mapping's keys and values; of anything else, none."""
        return self.value if self.kind == "mapping" else []

    @property
    def items(self) -> list[Node]:
        """The list's items; of anything else, none."""
        return self.value if self.kind == "list" else []

    @property
    def raw(self) -> str:
        """The characters as the file has them."""
        return self.source.text[self.start : self.end]

    @property
    def location(self) -> Location:
        """Where the value begins."""
        return self.source.place(self.start)


# Markdown pages

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_LIST_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?: |$)")
_MARKED = re.compile(r"^[ \t]*['\"]?type['\"]?[ \t]*:[ \t]*['\"]?model-?index['\"]?[ \t]*\r?$", re.I | re.M)
_LIKELY = re.compile(r"^(?:models|collections|name)[ \t]*:", re.I | re.M)


class Block(NamedTuple):
    """A stretch of YAML in a page.

    Attributes:
        start: First character; `end` is one past the last.
        kind: `front` for front matter, `marked` for a comment that says `Type: model-index`,
            `likely` for one that only looks like one.
        is_cut: Whether an arrow on its last line ended it, and what was meant to follows.
    """

    start: int
    end: int
    kind: str
    is_cut: bool = False


def find_blocks(text: str) -> list[Block]:
    """Find each stretch of YAML, in order; what stands in code is never one."""
    blocks = []
    front = re.match(r"---[ \t]*\r?\n(?:(.*?)\r?\n)??(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", text, re.S)
    if front and front[1] is not None:
        blocks.append(Block(front.start(1), front.end(1), "front"))
    for start, end in _comments(text, front.end() if front else 0):
        body = text[start:end]
        is_cut = bool(body.rpartition("\n")[2].strip()) and "-->" in text[end + 3 :].partition("<!--")[0]
        if _MARKED.search(body):
            blocks.append(Block(start, end, "marked", is_cut))
        elif _LIKELY.search(body):
            blocks.append(Block(start, end, "likely", is_cut))
    return blocks


def _comments(text: str, place: int) -> Iterator[tuple[int, int]]:
    """List the inside of each HTML comment that no code block or code span holds."""
    fence, in_list, last = "", False, text.rfind("<!--")
    while place <= last:  # none begins after it: a file of labels beside the index has thousands of lines
        end = text.find("\n", place) + 1 or len(text)
        line = text[place:end]
        match = _FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
        elif match and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
        elif line.strip():
            indented = line.startswith(("    ", "\t"))
            in_list = bool(_LIST_ITEM.match(line)) or (in_list and line[0] in " \t")
            if indented and not in_list:
                place = end
                continue
            at = _find_opening(line)
            if at >= 0:
                close = text.find("-->", place + at + 4)
                if close < 0:
                    return
                yield place + at + 4, close
                end = close + 3
        place = end


def _find_opening(line: str) -> int:
    """Find `<!--` outside code spans; -1 where there is none."""
    at = line.find("<!--")
    while at >= 0 and line[:at].count("`") % 2 and "`" in line[at:]:
        at = line.find("<!--", at + 1)
    return at
