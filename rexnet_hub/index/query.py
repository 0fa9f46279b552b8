"""Query the index: pick models by a query, sort them, and find those that no other beats."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from rexnet_hub.index.entry import Entry
from rexnet_hub.index.grammar import ALIASES, TEXT_NAMES, Condition, Group, parse_tree, require_known
from rexnet_hub.index.lock import Lock, read_lock
from rexnet_hub.index.reading.read import load_index

Measurable = Decimal | int
_HOLDS: dict[str, Callable[..., bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, ":": operator.eq, "!=": operator.ne,
}  # fmt: skip


def list_models(query: str = "", *, sort: str | None = None) -> list[str]:
    """List the names of the index's models that meet a query; what was measured is preferred to claims."""
    return [entry.name for entry in select(load_index().models, query, sort=sort, measured=read_lock())]


def find_number(entry: Entry, name: str, measured: Lock | None = None) -> Measurable | None:
    """Find a number: measured where it was, else claimed, else None."""
    if measured is not None and name in ("macs", "parameters"):
        counted = measured.of(entry.name).figure(name)
        if counted is not None:
            return counted
    claim = entry.metadata.get(name) or entry.metric(name)
    if claim is None:  # One's own field, as a query writes its name.
        claims = entry.metadata.items()
        claim = next((c for label, c in claims if label.lower().replace(" ", "_") == name), None)
    value = None if claim is None else claim.value
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def find_texts(entry: Entry, name: str) -> tuple[str, ...]:
    """Find text, as a list; empty where nothing is claimed."""
    if name in ("dataset", "task"):
        return tuple(str(text) for result in entry.results if (text := getattr(result, name)))
    if name == "name":
        return (entry.name,)
    if name == "collection":
        return () if entry.collection is None else (entry.collection.name,)
    claim = entry.named_license if name == "license" else entry.metadata.get(name) or entry.extra.get(name)
    value = None if claim is None else claim.value
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(str(item) for item in items)


def select(
    entries: Iterable[Entry],
    query: str = "",
    *,
    sort: str | Sequence[str] | None = None,
    measured: Lock | None = None,
) -> tuple[Entry, ...]:
    """Pick the entries that meet a query, in their order or sorted; those that were withdrawn are left out.

    Args:
        query: In the language that `grammar` states.
        sort: A name, `-name` for the greatest first, several in a list or with commas between; what is
            unknown comes last.
        measured: What machines measured; preferred to claims.

    Raises:
        UsageError: The query or a sort key is not one; under a mistake in the query stands a caret.
    """
    entries = tuple(entry for entry in entries if entry.said("withdrawn") is None)
    verdicts = judge(entries, query, measured)
    picked = [entry for entry, verdict in zip(entries, verdicts, strict=True) if verdict]
    keys = sort.split(",") if isinstance(sort, str) else list(sort or ())
    for key in reversed([key.strip() for key in keys if key.strip()]):
        name = ALIASES.get(key.removeprefix("-"), key.removeprefix("-"))
        if not _is_claimed(entries, name, measured):
            require_known(name, key.removeprefix("-"))
        picked = _sorted(picked, name, key.startswith("-"), measured)
    return tuple(picked)


def pareto(
    entries: Iterable[Entry], more: str = "top1", less: str = "macs", *, measured: Lock | None = None
) -> tuple[Entry, ...]:
    """Pick the entries that no other beats: as good in both numbers and better in one.

    An entry of which either number is unknown is left out.

    Raises:
        UsageError: Either name is not a number's.
    """
    names = [ALIASES.get(name, name) for name in (more, less)]
    for name in names:
        require_known(name, name)
    entries = tuple(entries)
    goods, costs = ([find_number(entry, name, measured) for entry in entries] for name in names)
    points = list(zip(costs, goods, strict=True))
    front = set(find_front(point for point in points if None not in point))
    return tuple(entry for entry, point in zip(entries, points, strict=True) if point in front)


def find_front(points: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Find the points of cost and worth that no other beats, from the cheapest on."""
    front: list[tuple[Any, Any]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def judge(entries: Sequence[Entry], query: str, measured: Lock | None = None) -> list[bool | None]:
    """Check whether each entry meets a query; None where what the query asks for is unknown.

    Raises:
        UsageError: It is not a query; a caret stands under the mistake.
    """
    tree = parse_tree(query, lambda name: _is_claimed(entries, name, measured))
    return [True if tree is None else _judge(tree, entry, measured) for entry in entries]


def _is_claimed(entries: Sequence[Entry], name: str, measured: Lock | None) -> bool:
    return any(find_number(entry, name, measured) is not None for entry in entries)


def _sorted(entries: list[Entry], name: str, greatest_first: bool, measured: Lock | None) -> list[Entry]:
    """Sort entries, stably; those of which the value is unknown come last."""
    is_text = name in TEXT_NAMES
    rows = [(find_texts(e, name) if is_text else find_number(e, name, measured), e) for e in entries]
    known = sorted(
        (row for row in rows if row[0] not in (None, ())),
        key=lambda row: row[0],  # type: ignore[arg-type, return-value]
        reverse=greatest_first,
    )
    return [entry for _, entry in known] + [entry for value, entry in rows if value in (None, ())]


def _judge(tree: Condition | Group, entry: Entry, measured: Lock | None) -> bool | None:
    """Check an entry by three values: true, false, unknown."""
    if isinstance(tree, Condition):
        return _compare(tree, entry, measured) if tree.pattern is None else _match(tree, entry)
    verdicts = [_judge(part, entry, measured) for part in tree.parts]
    if tree.word == "not":
        return None if verdicts[0] is None else not verdicts[0]
    deciding = tree.word == "or"
    return deciding if deciding in verdicts else None if None in verdicts else not deciding


def _match(condition: Condition, entry: Entry) -> bool | None:
    texts = find_texts(entry, condition.name)
    pattern = (condition.pattern or "").lower().replace("[", "[[]")  # The language knows `*` and `?` alone.
    matches = any(fnmatchcase(text.lower(), pattern) for text in texts)
    return matches == (condition.operator != "!=") if texts else None


def _compare(condition: Condition, entry: Entry, measured: Lock | None) -> bool | None:
    value = find_number(entry, condition.name, measured)
    return None if value is None else _HOLDS[condition.operator](value, condition.number)
