"""Query the index: pick models by a query, sort them, and find those that no other beats."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from rexnet_hub.index.entry import ATTRIBUTES, Entry
from rexnet_hub.index.fields import FIELDS, query_name
from rexnet_hub.index.grammar import (
    ALIASES,
    KEYS,
    RESULT_NAMES,
    TEXT_NAMES,
    Condition,
    Group,
    number_names,
    parse_tree,
    read_name,
)
from rexnet_hub.index.loading import load_index
from rexnet_hub.index.lock import Lock, read_lock
from rexnet_hub.index.scores import Score, list_scores
from rexnet_hub.index.spellings import is_place

Measurable = Decimal | int
_HOLDS: dict[str, Callable[..., bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, ":": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which result a number is asked of; the first that holds is meant.

    Attributes:
        on: The data set that was named with it, or data set and split.
        beside: The conditions on results that stand beside it.
    """

    on: str = ""
    beside: tuple[Condition, ...] = ()

    def holds(self, score: Score) -> bool:
        """Return whether a number is of such a result."""
        task = score.result.task if score.result else None
        texts = {"dataset": score.dataset, "split": score.split, "task": task}
        is_on = not self.on or is_place(self.on, score.dataset, score.split)
        return is_on and all(_match(part, filter(None, [texts[part.name]])) for part in self.beside)

    def at(self, on: str) -> Scope:
        """Return the scope of a number with which a data set was named."""
        return Scope(on=on) if on else self

    def within(self, tree: Condition | Group | None) -> Scope:
        """Return the scope of what stands under a query, or a part of one."""
        parts = tree.parts if isinstance(tree, Group) and tree.word == "and" else (tree,)
        own = [part for part in parts if isinstance(part, Condition) and part.name in RESULT_NAMES]
        beside = (*self.beside, *(part for part in own if part.operator != "!="))
        return Scope(beside=beside) if own else self


ANYWHERE = Scope()


def list_models(query: str = "", *, sort: str | None = None) -> list[str]:
    """List the names of the index's models that meet a query; what was measured is preferred to claims.

    Args:
        query: Such as `top1>=79 params<10M`; an empty one is met by all.
        sort: A figure or word to sort by, such as `params`; `-top1` puts the greatest first.

    Returns:
        The names, in the index's order where nothing sorts them.
    """
    return [entry.name for entry in select(load_index().models, query, sort=sort, measured=read_lock())]


def find_number(
    entry: Entry, name: str, measured: Lock | None = None, scope: Scope = ANYWHERE
) -> Measurable | None:
    """Find a number: measured where it was, else claimed, else None; of a result, in the scope."""
    found = find_figure(entry, name, measured, scope)
    return found if not isinstance(found, Score) else found.value


def find_figure(
    entry: Entry, name: str, measured: Lock | None = None, scope: Scope = ANYWHERE
) -> Measurable | Score | None:
    """Find a number as `find_number` does; one of a result with all that is known of it."""
    ours = None if measured is None else measured.of(entry.name)
    claim = None if scope.on else entry.metadata.get(name)
    counted = ours.figure(name) if ours and name in ("macs", "parameters") and not scope.on else None
    if counted is not None:
        return counted
    if claim is None:
        scores = (s for s in list_scores(entry, ours) if s.metric == name or query_name(s.metric) == name)
        if (score := next(filter(scope.holds, scores), None)) or scope.on:
            return score
        own = (claim for label, claim in entry.metadata.items() if query_name(label) == name)
        claim = next(own, None)
    value = None if claim is None else claim.value
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def find_texts(entry: Entry, name: str) -> tuple[str, ...]:
    """Find text, as a list; empty where nothing is claimed."""
    if name in RESULT_NAMES:
        texts = (result.part if name == "split" else getattr(result, name) for result in entry.results)
        return tuple(str(text) for text in texts if text)
    if name == "name":
        return (entry.name,)
    if name == "collection":
        return () if entry.collection is None else (entry.collection.name,)
    claim = entry.named_license if name == "license" else entry.metadata.get(name) or entry.extra.get(name)
    value = None if claim is None else claim.value
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(str(item) for item in items)


def find_asked(entry: Entry, name: str) -> tuple[str, ...]:
    """Find the texts that a query compares: of the name, the others too."""
    return (*find_texts(entry, name), *(entry.other_names if name == "name" else ()))


def find_words(entry: Entry, name: str) -> str:
    """Find what is stated of any field, its own or one's own, in words; empty where nothing is."""
    own = [claim for attribute in ATTRIBUTES if (claim := getattr(entry, attribute))]
    claims = (*entry.metadata.values(), *entry.extra.values(), *own, *entry.unread)
    words = (claim.words for claim in claims if name in (claim.field, query_name(claim.label)))
    paper = entry.paper if name == "paper" else None
    return next(words, (paper and (paper.url or paper.title)) or "")


def read_column(entries: Sequence[Entry], word: str, measured: Lock | None = None) -> tuple[str, str]:
    """Read the name of a column: whatever a query may ask for, and any field that some model states.

    Raises:
        UsageError: Nothing has that name; the nearest is named.
    """
    name = query_name(word)
    is_asked = name in TEXT_NAMES or name in ALIASES or name in number_names()
    is_stated = not is_asked and any(find_words(entry, name) for entry in entries)
    if is_stated or name in _FIELD_NAMES - {*TEXT_NAMES}:
        return name, ""
    return read_name(word, _known(entries, measured))


#: The fields of models that are columns even where no model states them.
_FIELD_NAMES = {row.name for row in FIELDS if row.owner == "model"} - {
    "name",
    "metadata",
    "results",
    "sources",
    "same_as",  # no model has it: names are asked for by `name`
}


def select(
    entries: Iterable[Entry],
    query: str = "",
    *,
    sort: str | Sequence[str] | None = None,
    measured: Lock | None = None,
) -> tuple[Entry, ...]:
    """Pick the entries that meet a query, in their order or sorted.

    Those that were withdrawn are left out, unless the query asks for `withdrawn`.

    Args:
        query: In the language that `grammar` states.
        sort: A name, `-name` for the greatest first, several in a list or with commas between; what is
            unknown comes last.
        measured: What machines measured; preferred to claims.

    Raises:
        UsageError: The query or a sort key is not one; under a mistake in the query stands a caret.
    """
    every = tuple(entries)
    tree = parse_tree(query, _known(every, measured))
    entries = every if _asks_for(tree, "withdrawn") else [e for e in every if e.said("withdrawn") is None]
    scope = ANYWHERE.within(tree)
    picked = [entry for entry in entries if tree is None or _judge(tree, entry, measured)]
    keys = sort.split(",") if isinstance(sort, str) else list(sort or ())
    for key in reversed([key.strip() for key in keys if key.strip()]):
        name, on = read_name(key.removeprefix("-"), _known(entries, measured))
        picked = _sorted(picked, name, key.startswith("-"), measured, scope.at(on))
    return tuple(picked)


def pareto(
    entries: Iterable[Entry],
    more: str = "top1",
    less: str = "macs",
    *,
    measured: Lock | None = None,
    scope: Scope = ANYWHERE,
) -> tuple[Entry, ...]:
    """Pick the entries that no other beats: as good in both numbers and better in one.

    An entry of which either number is unknown is left out.

    Raises:
        UsageError: Either name is not a number's.
    """
    entries = tuple(entries)
    asked = [read_name(word, _known(entries, measured)) for word in (more, less)]
    goods, costs = ([find_number(e, name, measured, scope.at(on)) for e in entries] for name, on in asked)
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
    tree = parse_tree(query, _known(entries, measured))
    return [True if tree is None else _judge(tree, entry, measured) for entry in entries]


def find_scope(entries: Sequence[Entry], query: str, measured: Lock | None = None) -> Scope:
    """Find which results a query speaks of, for whoever shows numbers of what it picks."""
    return ANYWHERE.within(parse_tree(query, _known(entries, measured)))


def _asks_for(tree: Condition | Group | None, name: str) -> bool:
    """Return whether a query names a field."""
    if isinstance(tree, Group):
        return any(_asks_for(part, name) for part in tree.parts)
    return tree is not None and tree.name == name


def _known(entries: Sequence[Entry], measured: Lock | None) -> Callable[[str, str], bool]:
    """Return what tells whether some entry has a number of a name, on a data set."""
    return lambda name, on: any(find_number(e, name, measured, Scope(on=on)) is not None for e in entries)


def _sorted(
    entries: list[Entry], name: str, greatest_first: bool, measured: Lock | None, scope: Scope
) -> list[Entry]:
    """Sort entries, stably; those of which the value is unknown come last."""
    is_text = name in TEXT_NAMES
    rows = [(find_texts(e, name) if is_text else find_number(e, name, measured, scope), e) for e in entries]
    known = sorted(
        (row for row in rows if row[0] not in (None, ())),
        key=lambda row: row[0],  # type: ignore[arg-type, return-value]
        reverse=greatest_first,
    )
    return [entry for _, entry in known] + [entry for value, entry in rows if value in (None, ())]


def _judge(
    tree: Condition | Group, entry: Entry, measured: Lock | None, scope: Scope = ANYWHERE
) -> bool | None:
    """Check an entry by three values: true, false, unknown."""
    if isinstance(tree, Condition) and tree.pattern is not None:
        return _match(tree, find_asked(entry, tree.name))
    if isinstance(tree, Condition):
        value = find_number(entry, tree.name, measured, scope.at(tree.on))
        return None if value is None else _HOLDS[tree.operator](value, tree.number)
    inner = scope.within(tree) if tree.word == "and" else scope
    verdicts = [_judge(part, entry, measured, inner) for part in tree.parts]
    if tree.word == "not":
        return None if verdicts[0] is None else not verdicts[0]
    deciding = tree.word == "or"
    return deciding if deciding in verdicts else None if None in verdicts else not deciding


def _match(condition: Condition, texts: Iterable[str]) -> bool | None:
    """Check a condition on texts: one of them meets the pattern, or is another spelling of it."""
    texts, wanted, key = tuple(texts), condition.pattern or "", KEYS.get(condition.name)
    pattern = wanted.lower().replace("[", "[[]")  # The language knows `*` and `?` alone.
    matches = any(fnmatchcase(text.lower(), pattern) or (key and key(text) == key(wanted)) for text in texts)
    return matches == (condition.operator != "!=") if texts else None
