"""Plan where the text of an index file changes, and what is to stand there.

A plan is the first character that goes, the one behind the last, and the new text: in the file's own style,
comments around it left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import yaml

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.reading.compose import resolve
from rexnet_hub.index.reading.source import Node, YamlSource
from rexnet_hub.index.reading.values import is_null, reads_as_number

Span = tuple[int, int, str]


class Verbatim(str):
    """A text that is written as it stands, such as a number whose last digit counts."""

    __slots__ = ()


def plan_model(root: Node, models: Node | None, model: Mapping[str, Any]) -> Span:
    """Plan a new model behind the last; `models` is what stands under `Models` now.

    Raises:
        IndexReadError: It is no list.
    """
    source, column = root.source, root.location.column - 1
    if models is not None and models.kind == "list":
        return plan_item(models, model)
    if models is None and is_flow(root):
        return plan_insertion(root, "Models", [model], is_first=False)
    if models is None:
        at, head = _end_of_item(source, _last_end(root), column), ["Models:"]
    elif is_null(models) and is_flow(root):
        return models.start, models.end, " " * (not models.raw) + _flow(source, [model])
    elif is_null(models):
        at, head = _line_after(source, models.end), []
    else:
        raise IndexReadError(f"{models.location}: Models is not a list, so nothing can be added to it")
    return at, at, _as_lines(source, at, [*head, *_dump([model])], column)


def plan_item(items: Node, value: Any) -> Span:
    """Plan a new last item of a list, behind the comments of the one before."""
    source = items.source
    if is_flow(items):
        at = items.items[-1].end if items.items else items.start + 1
        return at, at, (", " if items.items else "") + _flow(source, value)
    column = items.location.column - 1
    at = _end_of_item(source, _last_end(items), column)
    return at, at, _as_lines(source, at, _dump([value]), column)


def plan_insertion(mapping: Node, key: str, value: Any, *, is_first: bool) -> Span:
    """Return where a new key goes: of a model behind its first one, else behind the last."""
    source, pairs = mapping.source, mapping.pairs
    if is_flow(mapping):
        at = pairs[-1][1].end if pairs else mapping.start + 1
        text = f"{_flow(source, key)}: {_flow(source, value)}"
        return at, at, (", " if pairs else "") + text
    at = _line_after(source, _last_end(pairs[0 if is_first else -1][1]))
    return at, at, _as_lines(source, at, _dump({key: value}), mapping.location.column - 1)


def plan_replacement(mapping: Node, key: Node, old: Node, value: Any) -> Span:
    """Return what is replaced: the value alone, or of a longer one in a block all of its lines."""
    source = mapping.source
    is_line = old.kind == "scalar" and old.raw[:1] not in ("|", ">") and not isinstance(value, Mapping | list)
    if is_line and not is_flow(mapping) and old.raw[:1] not in ("'", '"') and "\n" not in str(value):
        return old.start, old.end, " " * (not old.raw) + _yaml([value])[2:].rstrip("\n")
    if is_line or is_flow(mapping) or is_flow(old):
        return old.start, old.end, " " * (not old.raw) + _flow(source, value, old.raw[:1])
    start, end, _ = plan_removal(mapping, key, old)
    return start, end, _as_lines(source, start, _dump({key.value: value}), mapping.location.column - 1)


def plan_removal(mapping: Node, key: Node, old: Node) -> Span:
    """Plan that a key goes, with its value.

    Raises:
        IndexReadError: More than it stands on its line.
    """
    source = mapping.source
    if is_flow(mapping):
        spans = [Node(source, "scalar", "", k.start, v.end) for k, v in mapping.pairs]
        start, end = _flow_span(spans, next(i for i, (k, _) in enumerate(mapping.pairs) if k is key))
        return start, end, ""
    start = source.text.rfind("\n", 0, key.start) + 1
    if source.text[start : key.start].strip():
        problem = "begins an item of a list, on the line of its dash"
        raise IndexReadError(f"{key.location}: {key.text} {problem}; edit it by hand")
    return start, _line_after(source, _last_end(old)), ""


def plan_item_removal(items: Node, number: int) -> Span:
    """Plan that an item of a list goes, with the comments inside it.

    Raises:
        IndexReadError: More than it stands on its line.
    """
    source, node = items.source, items.items[number]
    if is_flow(items):
        return *_flow_span(items.items, number), ""
    start = source.text.rfind("\n", 0, node.start) + 1
    dash = source.text[start : node.start]
    if dash.strip() != "-":
        raise IndexReadError(f"{node.location}: more than it stands on its line; remove it by hand")
    return start, _end_of_item(source, _last_end(node), len(dash) - len(dash.lstrip())), ""


def _flow_span(nodes: list[Node], number: int) -> tuple[int, int]:
    """Return the span of one of several between commas, with the comma that goes with it."""
    if number:
        return nodes[number - 1].end, nodes[number].end
    return nodes[0].start, nodes[1].start if nodes[1:] else nodes[0].end


def is_flow(node: Node) -> bool:
    """Return whether a mapping or list stands in braces or brackets."""
    return node.source.text[node.start : node.start + 1] in ("[", "{")


def _last_end(node: Node) -> int:
    """Find the end of the last thing written in a block, comments after it not counted."""
    while node.kind != "scalar" and node.value:
        if is_flow(node):
            return node.end
        node = node.items[-1] if node.kind == "list" else node.pairs[-1][1]
    return node.end


def _line_after(source: YamlSource, end: int) -> int:
    """Find the beginning of the next line; a block scalar's end is one already."""
    if end and source.text[end - 1] == "\n":
        return end
    newline = source.text.find("\n", end)
    return len(source.text) if newline < 0 else newline + 1


def _end_of_item(source: YamlSource, end: int, column: int) -> int:
    """Find the end of a list's item, or of a file's mapping: comments below, deeper than it, are its own."""
    at = end = _line_after(source, end)
    for line in source.text[at:].splitlines(keepends=True):
        at += len(line)
        if (text := line.lstrip()).startswith("#") and len(line) - len(text) > column:
            end = at
        elif text:
            break
    return end


def _as_lines(source: YamlSource, at: int, lines: Iterable[str], column: int) -> str:
    """Render lines as the file has them, to stand at a place of it."""
    newline = "\r\n" if "\r\n" in source.text else "\n"
    text = "".join(f"{' ' * column}{line}{newline}" for line in lines)
    return text if at == 0 or source.text[at - 1] == "\n" else newline + text


def _dump(value: Any) -> list[str]:
    return _yaml(value).splitlines()


def _flow(source: YamlSource, value: Any, quote: str = "") -> str:
    """Render a value on one line, in the quotes that the old one had."""
    if source.is_json:
        return _json(value)
    if isinstance(value, str) and (quote == '"' or "\n" in value):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and quote == "'":
        return "'" + value.replace("'", "''") + "'"
    return _yaml([value], default_flow_style=True).strip()[1:-1]


def _json(value: Any) -> str:
    """Render a value as JSON, its numbers as they stand."""
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    return json.dumps(value, ensure_ascii=False, default=_as_number)


def _yaml(value: Any, **options: Any) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, **options))


def _as_number(value: Decimal) -> int | float:
    """Convert an exact number into one that YAML and JSON write."""
    return int(value) if value.as_tuple().exponent == 0 else float(value)


class _Dumper(yaml.SafeDumper):
    """Writes block style, and quotes each text that some YAML would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "'" if reads_as_number(text) else '"' if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_verbatim(dumper: yaml.SafeDumper, text: Verbatim) -> yaml.Node:
    """Write a number as it stands: its tag is that of a number, so no quotes are put around it."""
    return dumper.represent_scalar(f"tag:yaml.org,2002:{resolve(text)}", str(text))


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Verbatim, _represent_verbatim)
_Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_data(_as_number(value)))
