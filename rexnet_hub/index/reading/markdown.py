"""Find the YAML that a Markdown page carries: front matter and `<!-- Type: model-index -->` comments."""

from __future__ import annotations

import re
from typing import NamedTuple

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
    """

    start: int
    end: int
    kind: str


def find_blocks(text: str) -> list[Block]:
    """Find each stretch of YAML, in order; what stands in code is never one."""
    blocks = []
    front = re.match(r"---[ \t]*\r?\n(?:(.*?)\r?\n)??(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", text, re.S)
    if front and front[1] is not None:
        blocks.append(Block(front.start(1), front.end(1), "front"))
    for start, end in _comments(text, front.end() if front else 0):
        body = text[start:end]
        if _MARKED.search(body):
            blocks.append(Block(start, end, "marked"))
        elif _LIKELY.search(body):
            blocks.append(Block(start, end, "likely"))
    return blocks


def _comments(text: str, place: int) -> list[tuple[int, int]]:
    """List the inside of each HTML comment that no code block or code span holds."""
    found: list[tuple[int, int]] = []
    fence, in_list = "", False
    while place < len(text):
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
                    return found
                found.append((place + at + 4, close))
                end = close + 3
        place = end
    return found


def _find_opening(line: str) -> int:
    """Find `<!--` outside code spans; -1 where there is none."""
    at = line.find("<!--")
    while at >= 0 and line[:at].count("`") % 2 and "`" in line[at:]:
        at = line.find("<!--", at + 1)
    return at
