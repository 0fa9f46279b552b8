"""Ask the index: pick models by a query, sort them, and find those that no other beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from rexnet_hub.index.entry import Entry
from rexnet_hub.index.grammar import ALIASES, TEXT_NAMES, Condition, Group, parse_tree, require_known
from rexnet_hub.index.lock import Lock

Measurable = Decimal | int
Verdicts = list[bool | None]


class Columns(Protocol):
    """What can be asked of several models: a value of each, in one order."""

    def __len__(self) -> int:
        """Count the models."""

    def numbers(self, name: str) -> Sequence[Measurable | None]:
        """Give a number of each; None where it is unknown."""

    def texts(self, name: str) -> Sequence[tuple[str, ...]]:
        """Give a text of each, as a list; empty where nothing is claimed."""


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """The columns of entries, and of what machines measured of them."""

    entries: Sequence[Entry]
    measured: Lock | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def numbers(self, name: str) -> list[Measurable | None]:
        """As `Columns` says."""
        return [find_number(entry, name, self.measured) for entry in self.entries]

    def texts(self, name: str) -> list[tuple[str, ...]]:
        """As `Columns` says."""
        return [find_texts(entry, name) for entry in self.entries]


def find_number(entry: Entry, name: str, measured: Lock | None = None) -> Measurable | None:
    """Look a number up: measured where it was, else claimed, else None."""
    if measured is not None and name in ("macs", "parameters"):
        counted = measured.of(entry.name).figure(name)
        if counted is not None:
            return counted
    claim = entry.metadata.get(name) or entry.metric(name)
    if claim is None:
        claim = next((c for label, c in entry.metadata.items() if plain_name(label) == name), None)
    value = None if claim is None else claim.value
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def plain_name(label: str) -> str:
    """Give a field's name as a query writes it."""
    return label.lower().replace(" ", "_")


def find_texts(entry: Entry, name: str) -> tuple[str, ...]:
    """Look text up, as a list; empty where nothing is claimed."""
    if name in ("dataset", "task"):
        return tuple(str(found) for result in entry.results if (found := getattr(result, name)))
    if name == "name":
        return (entry.name,)
    if name == "collection":
        return () if entry.collection is None else (entry.collection.name,)
    claim = entry.license if name == "license" else entry.metadata.get(name) or entry.extra.get(name)
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
    """Pick the entries that meet a query, in their order or sorted.

    Args:
        entries: Such as an index's models.
        query: In the language that `grammar` states.
        sort: A name, `-name` for the greatest first, several in a list or with commas between; what is
            unknown comes last.
        measured: What machines measured; preferred to claims.

    Raises:
        UsageError: The query or a sort key is not one; under a mistake in the query stands a caret.
    """
    entries = tuple(entries)
    rows = pick(EntryColumns(entries, measured), query, sort=sort)
    return tuple(entries[row] for row in rows)


def pareto(
    entries: Iterable[Entry], more: str = "top1", less: str = "macs", *, measured: Lock | None = None
) -> tuple[Entry, ...]:
    """Pick the entries that no other beats: as good in both numbers and better in one.

    An entry of which either number is unknown is left out.

    Args:
        entries: Such as an index's models.
        more: The number of which more is better.
        less: The number of which less is better.
        measured: What machines measured; preferred to claims.

    Raises:
        UsageError: Either name is not a number's.
    """
    entries = tuple(entries)
    rows = pick_unbeaten(EntryColumns(entries, measured), range(len(entries)), more, less)
    return tuple(entries[row] for row in rows)


def pick(columns: Columns, query: str, *, sort: str | Sequence[str] | None = None) -> list[int]:
    """Pick rows as `select` picks entries."""
    rows = [row for row, verdict in enumerate(judge(columns, query)) if verdict]
    keys = sort.split(",") if isinstance(sort, str) else list(sort or ())
    for key in reversed([key.strip() for key in keys if key.strip()]):
        name = ALIASES.get(key.removeprefix("-"), key.removeprefix("-"))
        if not _is_claimed(columns, name):
            require_known(name, key.removeprefix("-"))
        rows = _sorted(rows, name, key.startswith("-"), columns)
    return rows


def pick_unbeaten(columns: Columns, rows: Sequence[int], more: str, less: str) -> list[int]:
    """Pick among some rows as `pareto` picks entries."""
    names = [ALIASES.get(name, name) for name in (more, less)]
    for name in names:
        require_known(name, name)
    goods, costs = (columns.numbers(name) for name in names)
    pairs = {(costs[row], goods[row]) for row in rows}
    known = [(cost, good) for cost, good in pairs if cost is not None and good is not None]
    best: Measurable | None = None
    unbeaten = set()
    # From the cheapest on, a row is unbeaten if it is better than all that cost no more.
    for cost, good in sorted(known, key=lambda pair: (pair[0], -pair[1])):
        if best is None or good > best:
            best = good
            unbeaten.add((cost, good))
    return [row for row in rows if (costs[row], goods[row]) in unbeaten]


def judge(columns: Columns, query: str) -> Verdicts:
    """Say of each row whether it meets a query; None where what the query asks for is unknown.

    Raises:
        UsageError: It is not a query; a caret stands under the mistake.
    """
    tree = parse_tree(query, lambda name: _is_claimed(columns, name))
    return [True] * len(columns) if tree is None else _judge(tree, columns)


def _is_claimed(columns: Columns, name: str) -> bool:
    return any(number is not None for number in columns.numbers(name))


def _sorted(rows: list[int], name: str, greatest_first: bool, columns: Columns) -> list[int]:
    """Sort rows, stably; those of which the value is unknown come last."""
    values = columns.texts(name) if name in TEXT_NAMES else columns.numbers(name)
    known = [row for row in rows if values[row] not in (None, ())]
    unknown = [row for row in rows if values[row] in (None, ())]
    return sorted(known, key=lambda row: values[row], reverse=greatest_first) + unknown  # type: ignore[arg-type, return-value]


def _judge(tree: Condition | Group, columns: Columns) -> Verdicts:
    """Judge every row by three values: true, false, unknown."""
    if isinstance(tree, Condition):
        return _match_all(tree, columns) if tree.pattern is not None else _compare_all(tree, columns)
    parts = [_judge(part, columns) for part in tree.parts]
    if tree.word == "not":
        return [None if verdict is None else not verdict for verdict in parts[0]]
    deciding = tree.word == "or"
    return [
        deciding if deciding in verdicts else None if None in verdicts else not deciding
        for verdicts in zip(*parts, strict=True)
    ]


def _match_all(condition: Condition, columns: Columns) -> Verdicts:
    pattern, wanted = condition.pattern or "", condition.operator != "!="
    verdicts: dict[tuple[str, ...], bool | None] = {(): None}  # few values are many models'
    for texts in set(columns.texts(condition.name)):
        if texts:
            verdicts[texts] = any(_matches(pattern, text) for text in texts) == wanted
    return [verdicts[texts] for texts in columns.texts(condition.name)]


def _compare_all(condition: Condition, columns: Columns) -> Verdicts:
    number = condition.number
    assert number is not None
    holds: Callable[[Measurable], bool] = {
        "<": number.__gt__,
        "<=": number.__ge__,
        ">": number.__lt__,
        ">=": number.__le__,
        "=": number.__eq__,
        ":": number.__eq__,
        "!=": number.__ne__,
    }[condition.operator]
    return [None if found is None else holds(found) for found in columns.numbers(condition.name)]


def _matches(pattern: str, text: str) -> bool:
    """Match with `*` and `?`, in time that grows with both lengths only."""
    pattern, text = pattern.lower(), text.lower()
    at = in_text = 0
    star, retry = -1, 0  # Where the last `*` stands, and from where it is tried again.
    while in_text < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, retry, at = at, in_text, at + 1
        elif at < len(pattern) and pattern[at] in ("?", text[in_text]):
            at, in_text = at + 1, in_text + 1
        elif star >= 0:
            retry += 1
            at, in_text = star + 1, retry
        else:
            return False
    return not pattern[at:].strip("*")
