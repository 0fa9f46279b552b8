"""Edit the text of index files in place, character by character: all else stays as it is.

Each edit takes a file's text and returns the new one. It is read again, and holds what it held before and the
one change, or the edit is refused: an anchor, or values in another file, are edited by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Location
from rexnet_hub.index.fields import find_field, key_name
from rexnet_hub.index.problems import Flaw, Problem
from rexnet_hub.index.reading.compose import compose, resolve
from rexnet_hub.index.reading.opening import MARKDOWN_SUFFIXES, read_bytes
from rexnet_hub.index.reading.source import Node, YamlSource, find_blocks
from rexnet_hub.index.reading.values import is_null, reads_as_number

#: Where a value stands in a model: keys, and places in lists.
Steps = Sequence[str | int]


class Verbatim(str):
    """A text that is written as it stands, such as a number whose last digit counts."""

    __slots__ = ()


def read_index_file(file: Path) -> YamlSource:
    """Read a file that is to be edited.

    Raises:
        IndexReadError: It cannot be read.
    """
    try:
        return YamlSource(file, read_bytes(file))
    except Flaw as flaw:
        message = flaw.message if flaw.message.startswith(str(file)) else f"{file}: {flaw.message}"
        raise IndexReadError(message) from None


def apply_fixes(source: YamlSource, problems: Iterable[Problem]) -> YamlSource:
    """Apply the certain fixes of problems, from the end of the file to its beginning.

    Raises:
        IndexReadError: The file is no longer what the problems were found in.
    """
    edits = {}
    for problem in problems:
        assert problem.fix is not None
        start = source.offset(problem.location.line, problem.location.column)
        edits[start] = problem.fix
        if not source.text.startswith(problem.fix.old, start):
            raise IndexReadError(f"{problem.location}: the file changed since it was checked; run again")
    for start in sorted(edits, reverse=True):
        source = _spliced(source, start, start + len(edits[start].old), edits[start].new)
    return source


def append_model(source: YamlSource, model: Mapping[str, Any]) -> YamlSource:
    """Append a model to a file's `Models:`, behind the comments of the last one.

    Args:
        source: A YAML, JSON or Markdown file that has, or can have, a list of models.
        model: As the file would state it: `Name`, `Metadata`…; `Decimal`s are written exactly.

    Raises:
        IndexReadError: The file's models are not a list that can be added to.
    """
    root = _find_root(source)
    models = _models(root)
    if models is not None and models.kind == "list":
        plan = _plan_item(models, model)
    elif models is None and _is_flow(root):
        plan = _plan_insertion(root, "Models", [model], is_first=False)
    else:
        plan = _plan_block(source, root, models, model)
    after = _spliced(source, *plan)
    try:
        added = _models(_find_root(after))
    except (Flaw, IndexReadError) as error:
        problem = f"cannot be added to without rewriting it: {error}"
        raise IndexReadError(f"{source.file}: {problem}") from None
    old = [] if models is None else [_tree(item) for item in models.items]
    if added is None or [_tree(item) for item in added.items[:-1]] != old or len(added.items) != len(old) + 1:
        problem = "cannot be added to without rewriting it; give Models as a list of mappings"
        raise IndexReadError(f"{source.file}: {problem}")
    return after


def read_model(source: YamlSource, place: Location) -> Any:
    """Return what the model at a place says itself, each scalar as its text.

    Raises:
        IndexReadError: The model stands elsewhere.
    """
    return _tree(_find_model(_roots(source), place).node)


def as_read(model: Mapping[str, Any]) -> Any:
    """Return a model as it would be read once it is appended to a file."""
    models = _models(_find_root(append_model(YamlSource(Path("index.yml"), b"Models: \n"), model)))
    assert models is not None
    return _tree(models.items[0])


def set_value(source: YamlSource, place: Location, steps: Steps, value: Any) -> YamlSource:
    """Write a value of the model at a place: over the old one, or as a new key or item; None removes the key.

    The old one's style, and comments beside it, stay.

    Raises:
        IndexReadError: The model stands elsewhere, or the change would touch something else.
    """
    roots = _roots(source)
    path, at, _ = _find_model(roots, place)
    expected = [_tree(root) for root in roots]
    for index, step in enumerate(steps):
        key, child = _child(at, step)
        is_last = index == len(steps) - 1
        if not is_last and child is not None and child.kind != "scalar":
            path, at = (*path, _key_of(key, step)), child
            continue
        if child is not None and not is_last and not is_null(child):
            raise IndexReadError(f"{child.location}: stands in another file, {child.text}: edit it there")
        if value is None and (child is None or key is None or not is_last):
            raise IndexReadError(f"{place}: has no {step} of its own, so there is nothing to remove")
        for inner in reversed(steps[index + 1 :]):
            value = {inner: value}
        if value is None and child is not None and key is not None:
            start, end, new = _plan_removal(at, key, child)
        elif child is not None and key is not None:
            start, end, new = _plan_replacement(at, key, child, value)
        elif at.kind == "list":
            start, end, new = _plan_item(at, value)
        else:
            start, end, new = _plan_insertion(at, str(step), value, is_first=not index)
        _put(expected, (*path, _key_of(key, step)), value)
        return _checked(_spliced(source, start, end, new), expected, place)
    raise AssertionError("a value has a place")


def remove_model(source: YamlSource, place: Location) -> YamlSource:
    """Remove the model at a place from the list that it stands in, with the comments inside it.

    Raises:
        IndexReadError: It stands in no list, or the change would touch something else.
    """
    roots = _roots(source)
    path, node, items = _find_model(roots, place)
    expected = [_tree(root) for root in roots]
    if items is None or items.kind != "list" or not isinstance(number := path[-1], int):
        raise IndexReadError(f"{place}: stands in no list; remove it by hand")
    if _is_flow(items):
        start, end = _flow_span(items.items, number)
    else:
        start = source.text.rfind("\n", 0, node.start) + 1
        dash = source.text[start : node.start]
        if dash.strip() != "-":
            raise IndexReadError(f"{place}: more than it stands on its line; remove it by hand")
        end = _end_of_item(source, _last_end(node), len(dash) - len(dash.lstrip()))
    left = _at_tree(expected, path[:-1])
    del left[number]
    if not left and not _is_flow(items):
        _put(expected, path[:-1], "")
    return _checked(_spliced(source, start, end, ""), expected, place)


# Reading what is there


def _spliced(source: YamlSource, start: int, end: int, new: str) -> YamlSource:
    bom = b"\xef\xbb\xbf" * source.bom
    try:
        return YamlSource(source.file, bom + (source.text[:start] + new + source.text[end:]).encode())
    except UnicodeEncodeError:
        raise IndexReadError(
            f"{source.file}: a value to write is no text in UTF-8: {new.strip()!r}"
        ) from None


def _roots(source: YamlSource) -> list[Node]:
    """Compose each index in a file: of a Markdown page, in its marked comments."""
    try:
        if source.file.suffix.lower() not in MARKDOWN_SUFFIXES:
            roots = [compose(source)]
        else:
            blocks = [block for block in find_blocks(source.text) if block.kind == "marked"]
            roots = [compose(source, block.start, block.end) for block in blocks]
    except Flaw as flaw:
        raise IndexReadError(f"{source.place(flaw.offset or 0)}: {flaw.message}") from None
    return [root for root in roots if root is not None]


def _find_root(source: YamlSource) -> Node:
    """Find the index that is added to: the first that has Models, else the first."""
    mappings = [node for node in _roots(source) if node.kind == "mapping"]
    if not mappings:
        raise IndexReadError(f"{source.file}: holds no model index to add to")
    return next((node for node in mappings if _models(node) is not None), mappings[0])


def _models(root: Node) -> Node | None:
    return next((value for key, value in root.pairs if key_name(key.text) == "models"), None)


class _Found(NamedTuple):
    """A node, the way to it from the roots, and what holds it."""

    path: tuple[str | int, ...]
    node: Node
    holder: Node | None


def _find_model(roots: list[Node], place: Location) -> _Found:
    """Find the mapping that begins at a place."""
    for found in _walk(enumerate(roots), (), None):
        if found.node.kind == "mapping" and found.node.location == place:
            return found
    raise IndexReadError(f"{place}: is not where this can be edited; edit the file by hand")


def _walk(
    children: Iterable[tuple[str | int, Node]], path: tuple[str | int, ...], holder: Node | None
) -> Iterator[_Found]:
    for step, node in children:
        yield _Found((*path, step), node, holder)
        inner = [(key.value, value) for key, value in node.pairs] or enumerate(node.items)
        yield from _walk(inner, (*path, step), node)


def _child(node: Node, step: str | int) -> tuple[Node | None, Node | None]:
    """Find a key and its value, however the key is spelt; or an item of a list."""
    if isinstance(step, int):
        return None, node.items[step] if step < len(node.items) else None
    names = {key_name(step), *(_canonical(step))}
    for key, value in node.pairs:
        if key_name(key.text) in names or names & set(_canonical(key.text)):
            return key, value
    return None, None


def _canonical(label: str) -> tuple[str, ...]:
    rows = (find_field(owner, label) for owner in ("model", "metadata", "result", "metrics"))
    return tuple(row.name for row in rows if row)


def _key_of(key: Node | None, step: str | int) -> str | int:
    return step if key is None else str(key.value)


# What is in it, without places


def _tree(node: Node) -> Any:
    if node.kind == "mapping":
        return {key.value: _tree(value) for key, value in node.pairs}
    return [_tree(item) for item in node.items] if node.kind == "list" else node.value


def _at_tree(tree: Any, path: Steps) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _put(tree: Any, path: Steps, value: Any) -> None:
    *way, last = path
    holder = _at_tree(tree, way)
    if value is None:
        del holder[last]
    elif isinstance(holder, list) and last == len(holder):
        holder.append(_texts(value))
    else:
        holder[last] = _texts(value)


def _texts(value: Any) -> Any:
    """Return a value as it is read: every number is its text."""
    if isinstance(value, Mapping):
        return {key: _texts(inner) for key, inner in value.items()}
    return [_texts(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _checked(after: YamlSource, expected: list[Any], place: Location) -> YamlSource:
    """Refuse a text that holds anything else than what is expected of it."""
    try:
        if [_tree(root) for root in _roots(after)] == expected:
            return after
        problem = "others share it, or it is written in a way that cannot be edited alone"
    except IndexReadError as error:
        problem = str(error)
    raise IndexReadError(f"{place}: edit it by hand, lest something else change: {problem}")


# Where the new text goes, and what it is


def _plan_block(
    source: YamlSource, root: Node, models: Node | None, model: Mapping[str, Any]
) -> tuple[int, int, str]:
    """Return where the first model of a file goes, and its lines."""
    column = root.location.column - 1
    if models is None:
        at, head = _end_of_item(source, _last_end(root), column), ["Models:"]
    elif is_null(models) and _is_flow(root):
        return models.start, models.end, " " * (not models.raw) + _flow(source, [model])
    elif is_null(models):
        at, head = _line_after(source, models.end), []
    else:
        raise IndexReadError(f"{models.location}: Models is not a list, so nothing can be added to it")
    return at, at, _as_lines(source, at, [*head, *_dump([model])], column)


def _plan_item(items: Node, value: Any) -> tuple[int, int, str]:
    """Return where a new last item of a list goes, behind the comments of the one before."""
    source = items.source
    if _is_flow(items):
        at = items.items[-1].end if items.items else items.start + 1
        return at, at, (", " if items.items else "") + _flow(source, value)
    column = items.location.column - 1
    at = _end_of_item(source, _last_end(items), column)
    return at, at, _as_lines(source, at, _dump([value]), column)


def _plan_insertion(mapping: Node, key: str, value: Any, *, is_first: bool) -> tuple[int, int, str]:
    """Return where a new key goes: of a model behind its first one, else behind the last."""
    source, pairs = mapping.source, mapping.pairs
    if _is_flow(mapping):
        at = pairs[-1][1].end if pairs else mapping.start + 1
        text = f"{_flow(source, key)}: {_flow(source, value)}"
        return at, at, (", " if pairs else "") + text
    at = _line_after(source, _last_end(pairs[0 if is_first else -1][1]))
    return at, at, _as_lines(source, at, _dump({key: value}), mapping.location.column - 1)


def _plan_replacement(mapping: Node, key: Node, old: Node, value: Any) -> tuple[int, int, str]:
    """Return what is replaced: the value alone, or of a longer one in a block all of its lines."""
    source = mapping.source
    is_line = old.kind == "scalar" and old.raw[:1] not in ("|", ">") and not isinstance(value, Mapping | list)
    if is_line and not _is_flow(mapping) and old.raw[:1] not in ("'", '"') and "\n" not in str(value):
        return old.start, old.end, " " * (not old.raw) + _yaml([value])[2:].rstrip("\n")
    if is_line or _is_flow(mapping) or _is_flow(old):
        return old.start, old.end, " " * (not old.raw) + _flow(source, value, old.raw[:1])
    start, end, _ = _plan_removal(mapping, key, old)
    return start, end, _as_lines(source, start, _dump({key.value: value}), mapping.location.column - 1)


def _plan_removal(mapping: Node, key: Node, old: Node) -> tuple[int, int, str]:
    source = mapping.source
    if _is_flow(mapping):
        spans = [Node(source, "scalar", "", k.start, v.end) for k, v in mapping.pairs]
        start, end = _flow_span(spans, next(i for i, (k, _) in enumerate(mapping.pairs) if k is key))
        return start, end, ""
    start = source.text.rfind("\n", 0, key.start) + 1
    if source.text[start : key.start].strip():
        problem = "begins an item of a list, on the line of its dash"
        raise IndexReadError(f"{key.location}: {key.text} {problem}; edit it by hand")
    return start, _line_after(source, _last_end(old)), ""


def _flow_span(nodes: list[Node], number: int) -> tuple[int, int]:
    """Return the span of one of several between commas, with the comma that goes with it."""
    if number:
        return nodes[number - 1].end, nodes[number].end
    return nodes[0].start, nodes[1].start if nodes[1:] else nodes[0].end


def _is_flow(node: Node) -> bool:
    return node.source.text[node.start : node.start + 1] in ("[", "{")


def _last_end(node: Node) -> int:
    """Find the end of the last thing written in a block, comments after it not counted."""
    while node.kind != "scalar" and node.value:
        if _is_flow(node):
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
