"""Compose JSON text into nodes with their places; YAML 1.1 parsers cannot read all of it (escapes, tabs)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rexnet_hub.index.reading.compose import MAX_DEPTH, MAX_NODES, MAX_SCALAR_CHARS
from rexnet_hub.index.reading.flaw import Flaw
from rexnet_hub.index.reading.source import Node, Source

_JSON_TOKEN = re.compile(
    r'[ \t\r\n]*(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<word>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null)|(?P<mark>[\[\]{},:])|(?P<end>\Z))"
)


def compose_json(source: Source) -> Node | None:
    """Compose a JSON file.

    Raises:
        Flaw: It is not JSON, or beyond a bound.
    """
    tokens = _json_tokens(source)
    stack: list[Node] = []
    root: Node | None = None
    expect, count = "value", 0
    for kind, start, end in tokens:
        text = source.text[start:end]
        if kind == "end":
            if root is None or stack:
                raise Flaw("not-yaml", start, "the JSON ends before its value does")
            return root
        if kind in ("string", "word") or text in "[{":
            node = _json_node(source, kind, text, start, end)
            expect = _json_place(stack, node, expect)
            root, count = root or node, count + 1
            if node.kind != "scalar":
                stack.append(node)
                expect = "key-or-end" if node.kind == "mapping" else "value-or-end"
            if count > MAX_NODES or len(stack) > MAX_DEPTH or len(text) > MAX_SCALAR_CHARS:
                raise Flaw("too-large", start, "too many values, too deep or too long a text")
        elif (
            stack
            and text in "]}"
            and expect.endswith("end")
            and (text == "}") == (stack[-1].kind == "mapping")
        ):
            stack.pop().end = end
            expect = "comma-or-end"
        elif text == "," and stack and expect == "comma-or-end":
            expect = "key" if stack[-1].kind == "mapping" else "value"
        elif text == ":" and expect == "colon":
            expect = "value"
        else:
            raise Flaw("not-yaml", start, f"{text!r} cannot stand here in JSON")
    return None


def _json_tokens(source: Source) -> Iterator[tuple[str, int, int]]:
    place = 0
    while match := _JSON_TOKEN.match(source.text, place):
        kind = str(match.lastgroup)
        place = match.end(kind)
        yield kind, match.start(kind), place
        if kind == "end":
            return
    start = place + len(source.text[place:]) - len(source.text[place:].lstrip(" \t\r\n"))
    raise Flaw("not-yaml", start, f"{source.text[start : start + 1]!r} cannot stand here in JSON")


def _json_node(source: Source, kind: str, text: str, start: int, end: int) -> Node:
    if kind == "mark":
        return Node(source, "mapping" if text == "{" else "list", [], start, end)
    try:
        value = json.loads(text) if kind == "string" else text
    except ValueError as error:
        raise Flaw("not-yaml", start, f"not JSON: {error}") from None
    return Node(source, "scalar", value, start, end, plain=kind == "word")


def _json_place(stack: list[Node], node: Node, expect: str) -> str:
    """Put a value where it belongs; return what must follow."""
    if expect.startswith("key"):
        if node.kind != "scalar" or node.plain:
            raise Flaw("not-yaml", node.start, "a key of a JSON object must be a quoted text")
        stack[-1].pairs.append((node, node))
        return "colon"
    if not expect.startswith("value"):
        raise Flaw("not-yaml", node.start, "a comma or a closing bracket is missing before this")
    if stack and stack[-1].kind == "mapping":
        stack[-1].pairs[-1] = (stack[-1].pairs[-1][0], node)
    elif stack:
        stack[-1].items.append(node)
    return "comma-or-end" if stack else "nothing"
