"""Compose YAML or JSON text into nodes with their places, in bounded time and memory.

PyYAML's own composer is not used: it recurses (deep nesting ends the process), and it knows no
bound. libyaml's event stream is; each bound is held before the next event is asked for. JSON has a composer
of its own, since YAML 1.1 parsers cannot read all of it (escapes, tabs).
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import yaml
from yaml import events

from rexnet_hub.index.problems import Flaw
from rexnet_hub.index.reading.source import Node, YamlSource

# Far above any index that exists (a model takes some 90 nodes), far below what hurts.
MAX_NODES = 2_000_000
MAX_DEPTH = 50
MAX_SCALAR_CHARS = 100_000

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML 1.1 calls printable; a file with anything else is not YAML.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STANDARD_TAGS: dict[str | None, str | None] = {None: None, "!": "str"} | {
    f"tag:yaml.org,2002:{word}": word for word in ("str", "int", "float", "bool", "null", "map", "seq")
}


@functools.lru_cache(maxsize=4096)  # most values of an index stand in it many times
def resolve(text: str) -> str:
    """Return what YAML 1.1, as PyYAML reads it, takes an unquoted scalar for, such as `int`."""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(text[:1], []) + resolvers.get(None, []):
        if pattern.match(text):
            return str(tag).rpartition(":")[2]
    return "str"


def compose(source: YamlSource, start: int = 0, end: int | None = None) -> Node | None:
    """Compose one YAML document from a part of a file, or a JSON file; None where it is empty.

    Raises:
        Flaw: It is not YAML or JSON, or beyond a bound.
    """
    if source.is_json:
        return _JsonComposer(source).compose()
    text = source.text[start:end]
    if match := _UNPRINTABLE.search(text):
        what = f"the control character U+{ord(match[0]):04X}"
        raise Flaw("not-yaml", f"{what} cannot stand in YAML; delete it", start + match.start())
    try:
        return _Composer(source, start).compose(Loader(text))
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text, start) from None
    except yaml.YAMLError as error:
        raise Flaw("not-yaml", str(error).splitlines()[0], start) from None


#: What begins a value in quotes, and does not end it on its line.
_OPEN = re.compile(r"(?:[:\-,\[{][ \t]+|^[ \t]*|[\[{])(?:'(?:[^'\n]|'')*|\"(?:[^\"\\\n]|\\.)*)$", re.M)


def _not_yaml(error: yaml.MarkedYAMLError, text: str, start: int) -> Flaw:
    """Place a mistake at its cause, such as where that begins which is not closed; else where it was seen."""
    seen, began = error.problem_mark or error.context_mark, error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part)
    if began and not (error.context or "").startswith(("while parsing a block", "while scanning for")):
        return Flaw("not-yaml", what, start + began.index)
    place = seen.index if seen else 0
    line = text.rfind("\n", 0, place)
    for match in _OPEN.finditer(text, 0, max(line, 0)):
        quote = re.search("['\"]", match[0])
        closing = text.find(quote[0], match.end())  # type: ignore[index]
        if line < closing <= place:
            what = f"this quote is not closed on its line, and the next one closes it: {what}"
            return Flaw("not-yaml", what, start + match.start() + quote.start())  # type: ignore[union-attr]
    return Flaw("not-yaml", what, start + place)


class _Composer:
    """Builds the tree of one document from parser events, on a stack of its own."""

    def __init__(self, source: YamlSource, base: int) -> None:
        self.source, self.base = source, base
        self.siblings: list[Node] = []  # of the node that comes next
        self.stack: list[tuple[Node, list[Node], int, str | None]] = []
        self.anchors: dict[str, tuple[Node | None, int]] = {}
        self.size = 0  # of the tree as if every alias were written out
        self.documents = 0

    def compose(self, loader: yaml.SafeLoader) -> Node | None:
        while True:
            event: Any = loader.get_event()
            kind = type(event)
            if kind is events.ScalarEvent:
                self._scalar(event)
            elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
                self._open(event, "mapping" if kind is events.MappingStartEvent else "list")
            elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
                self._close(event)
            elif kind is events.AliasEvent:
                self._alias(event)
            elif kind is events.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    problem = "a second document begins here; a file holds one index"
                    raise self._flaw(event, "several-documents", problem)
            elif kind is events.StreamEndEvent or event is None:
                return self.siblings[0] if self.siblings else None

    def _flaw(self, event: Any, code: str, message: str) -> Flaw:
        return Flaw(code, message, self.base + event.start_mark.index)

    def _tag(self, event: Any) -> str | None:
        if event.tag not in _STANDARD_TAGS:
            problem = f"the tag {event.tag!r} is not one of plain data; delete it"
            raise self._flaw(event, "foreign-tag", problem)
        return _STANDARD_TAGS[event.tag]

    def _count(self, event: Any, nodes: int) -> None:
        self.size += nodes
        if self.size > MAX_NODES:
            problem = f"more than {MAX_NODES} values, aliases written out; split the file"
            raise self._flaw(event, "too-large", problem)

    def _scalar(self, event: Any) -> None:
        self._count(event, 1)
        if len(event.value) > MAX_SCALAR_CHARS:
            what = f"{len(event.value)} characters in one value; at most {MAX_SCALAR_CHARS} are read"
            raise self._flaw(event, "too-large", what)
        start, end = self.base + event.start_mark.index, self.base + event.end_mark.index
        tag = self._tag(event)
        node = Node(self.source, "scalar", event.value, start, end, plain=not event.style, tag=tag)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        self.siblings.append(node)

    def _open(self, event: Any, kind: str) -> None:
        self._count(event, 1)
        if len(self.stack) >= MAX_DEPTH:
            raise self._flaw(event, "too-large", f"nested deeper than {MAX_DEPTH} levels")
        self._tag(event)
        start = self.base + event.start_mark.index
        node = Node(self.source, kind, [], start, start)
        if event.anchor:
            self.anchors[event.anchor] = (None, 0)
        self.siblings.append(node)
        self.stack.append((node, self.siblings, self.size, event.anchor))
        self.siblings = node.value

    def _close(self, event: Any) -> None:
        node, self.siblings, size_before, anchor = self.stack.pop()
        node.end = self.base + event.end_mark.index
        if node.kind == "mapping":
            node.value = _merged(list(zip(node.value[::2], node.value[1::2], strict=True)))
        if anchor:
            self.anchors[anchor] = (node, self.size - size_before + 1)

    def _alias(self, event: Any) -> None:
        node, size = self.anchors.get(event.anchor, (None, -1))
        if node is None:
            why = "no anchor has that name" if size < 0 else "it would contain itself"
            raise self._flaw(event, "not-yaml", f"the alias *{event.anchor} names nothing: {why}")
        self._count(event, size)
        self.siblings.append(node)


def _merged(pairs: list[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    """Write merge keys (`<<: *shared`) out; what the mapping itself says wins."""
    shared = [value for key, value in pairs if key.plain and key.value == "<<"]
    if not shared:
        return pairs
    own = [(key, value) for key, value in pairs if not (key.plain and key.value == "<<")]
    taken = {key.text for key, _ in own}
    for mapping in (mapping for value in shared for mapping in value.items or [value]):
        fresh = [(inner, what) for inner, what in mapping.pairs if inner.text not in taken]
        own += fresh
        taken |= {inner.text for inner, _ in fresh}
    return own


_JSON_SPACE = re.compile(r"[ \t\r\n]*")
_JSON_SCALAR = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null'
)


class _JsonComposer:
    """Builds the tree of a JSON file; its depth is bounded, so it may call itself."""

    def __init__(self, source: YamlSource) -> None:
        self.source, self.text, self.at, self.size = source, source.text, 0, 0

    def compose(self) -> Node:
        root = self._value(0)
        if self._peek():
            raise self._unexpected()
        return root

    def _peek(self) -> str:
        self.at = _JSON_SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        return self.text[self.at : self.at + 1]

    def _unexpected(self) -> Flaw:
        mark = self._peek()
        what = f"{mark!r} cannot stand here in JSON" if mark else "the JSON ends before its value does"
        return Flaw("not-yaml", what, self.at)

    def _take(self, mark: str) -> None:
        if self._peek() != mark:
            raise self._unexpected()
        self.at += 1

    def _value(self, depth: int) -> Node:
        mark, start = self._peek(), self.at
        if mark not in ("{", "["):
            return self._scalar()
        self._count(depth)
        self.at += 1
        children: list[Any] = []
        end = "}" if mark == "{" else "]"
        while self._peek() != end:
            if children:
                self._take(",")
            if mark == "{":
                key = self._scalar()
                if key.plain:
                    raise Flaw("not-yaml", "a key of a JSON object must be a quoted text", key.start)
                self._take(":")
                children.append((key, self._value(depth + 1)))
            else:
                children.append(self._value(depth + 1))
        self.at += 1
        return Node(self.source, "mapping" if mark == "{" else "list", children, start, self.at)

    def _scalar(self) -> Node:
        self._peek()
        match = _JSON_SCALAR.match(self.text, self.at)
        if match is None:
            raise self._unexpected()
        start, self.at = match.span()
        self._count(0)
        if len(match[0]) > MAX_SCALAR_CHARS:
            raise Flaw("too-large", "too long a text", start)
        is_text = match[0][0] == '"'
        try:
            value = json.loads(match[0]) if is_text else match[0]
        except ValueError as error:
            raise Flaw("not-yaml", f"not JSON: {error}", start) from None
        return Node(self.source, "scalar", value, start, self.at, plain=not is_text)

    def _count(self, depth: int) -> None:
        self.size += 1
        if self.size > MAX_NODES or depth >= MAX_DEPTH:
            raise Flaw("too-large", "too many values, or nested too deep", self.at)
