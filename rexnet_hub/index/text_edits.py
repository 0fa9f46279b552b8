"""Edit the text of index files in place, character by character: all else stays as it is.

Each edit takes a file's text and returns the new one. It is read again, and holds what it held before and the
one change, or the edit is refused: an anchor, or values in another file, are edited by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Location
from rexnet_hub.index.fields import find_field, key_name
from rexnet_hub.index.problems import Flaw, Problem
from rexnet_hub.index.reading.compose import compose
from rexnet_hub.index.reading.opening import MARKDOWN_SUFFIXES, read_bytes
from rexnet_hub.index.reading.source import Node, YamlSource, find_blocks
from rexnet_hub.index.reading.values import is_null
from rexnet_hub.index.text_plans import (
    Span,
    is_flow,
    plan_insertion,
    plan_item,
    plan_item_removal,
    plan_model,
    plan_removal,
    plan_replacement,
)

#: Where a value stands in a model: keys, and places in lists.
Steps = Sequence[str | int]


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
    after = _spliced(source, *plan_model(root, models, model))
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
            span = plan_removal(at, key, child)
        elif child is not None and key is not None:
            span = plan_replacement(at, key, child, value)
        elif at.kind == "list":
            span = plan_item(at, value)
        else:
            span = plan_insertion(at, str(step), value, is_first=not index)
        _put(expected, (*path, _key_of(key, step)), value)
        return _checked(_spliced(source, *span), expected, place)
    raise AssertionError("a value has a place")


def remove_model(source: YamlSource, place: Location) -> YamlSource:
    """Remove the model at a place from the list that it stands in, with the comments inside it.

    Raises:
        IndexReadError: It stands in no list, or the change would touch something else.
    """
    roots = _roots(source)
    path, _, items = _find_model(roots, place)
    expected = [_tree(root) for root in roots]
    if items is None or items.kind != "list" or not isinstance(number := path[-1], int):
        raise IndexReadError(f"{place}: stands in no list; remove it by hand")
    span = plan_item_removal(items, number)
    left = _at_tree(expected, path[:-1])
    del left[number]
    if not left and not is_flow(items):
        _put(expected, path[:-1], "")
    return _checked(_spliced(source, *span), expected, place)


def remove_figures(source: YamlSource, name: str) -> YamlSource:
    """Remove what the places of a ledger state of a model, and a place that then states nothing.

    Raises:
        IndexReadError: The change would touch something else.
    """
    place, (ledger,) = Location(file=source.file, line=1, column=1), [_tree(root) for root in _roots(source)]
    for at in ledger["places"]:
        for figures in at["figures"]:
            figures["values"].pop(name, None)
        at["figures"] = [figures for figures in at["figures"] if figures["values"]]
    ledger["places"] = [at for at in ledger["places"] if at["figures"]]
    while (span := _plan_figure(_find_root(source), name)) is not None:
        source = _spliced(source, *span)
    return _checked(source, [ledger], place)


def _value(mapping: Node, word: str) -> Node:
    return next(value for key, value in mapping.pairs if key.value == word)


def _plan_figure(root: Node, name: str) -> Span | None:
    """Plan that the first figure of a model goes, with what holds nothing else; None where there is none."""
    places = _value(root, "places")
    for number, place in enumerate(places.items):
        listed = _value(place, "figures")
        for at, values in enumerate(_value(figures, "values") for figures in listed.items):
            for key, value in values.pairs:
                if key.value == name and len(values.pairs) > 1:
                    return plan_removal(values, key, value)
                if key.value == name:
                    return plan_item_removal(*((listed, at) if len(listed.items) > 1 else (places, number)))
    return None


# Reading what is there


def _spliced(source: YamlSource, start: int, end: int, new: str) -> YamlSource:
    bom = b"\xef\xbb\xbf" * source.bom
    try:
        return YamlSource(source.file, bom + (source.text[:start] + new + source.text[end:]).encode())
    except UnicodeEncodeError:
        problem = f"a value to write is no text in UTF-8: {new.strip()!r}"
        raise IndexReadError(f"{source.file}: {problem}") from None


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
