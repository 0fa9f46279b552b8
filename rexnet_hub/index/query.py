"""Ask the index in one small language: `top1>=79 params<10M`, `name:rexnet_* and not license:mit`.

    query   = all { "or" all }
    all     = one { ["and"] one }              side by side means and
    one     = "not" one | "(" query ")" | NAME OP VALUE
    OP      = "<" | "<=" | ">" | ">=" | "=" | "!=" | ":"
    VALUE   = text without spaces and parentheses, or in single or double quotes

On a number `:` is `=`, and VALUE may end in `%`, `k`, `M`, `G`, `B`, `T`; of bytes also in `kB`, `MB`, `GB`,
`KiB`, `MiB`, `GiB`. On text `=` is `:`: letter case does not matter, `*` is any text, `?` one character,
and a list matches when one of its items does. What nobody claimed or measured is unknown: it meets no
comparison, and neither does its `not`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rexnet_hub.errors import UsageError
from rexnet_hub.index.entry import Entry

if TYPE_CHECKING:
    from rexnet_hub.index.lock import Lock

#: Short words for fields.
ALIASES = {"params": "parameters", "size": "file_size", "data": "training_data", "techniques": "training_techniques"}
#: What is text; everything else that a query may name is a number.
TEXT_NAMES = (
    "name",
    "title",
    "collection",
    "license",
    "id",
    "architecture",
    "tasks",
    "training_data",
    "training_techniques",
    "training_resources",
    "training_time",
    "interpolation",
    "optimizer",
    "lr_schedule",
    "auto_augment",
    "dataset",
    "task",
)
#: Decimal units, as letters' case has it; `m` and `g` are let pass for `M` and `G`.
UNITS = {
    "": 1,
    "%": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "b": 10**9,
    "t": 10**12,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}

Measurable = Decimal | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison: a name, an operator, and the number or the pattern that it is held against."""

    name: str
    operator: str
    number: Decimal | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Several parts under `and` or `or`, or one under `not`."""

    word: str
    parts: tuple[Condition | Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed query; one without a word in it is met by every entry."""

    text: str
    tree: Condition | Group | None

    def meets(self, entry: Entry, *, measured: Lock | None = None) -> bool | None:
        """Say whether an entry meets the query; None when what it asks for is unknown."""
        return True if self.tree is None else _judge(self.tree, entry, measured)


def number_names() -> tuple[str, ...]:
    """List the names of numbers that a query may compare."""
    from rexnet_hub.index.fields import BOUNDS, FIELDS

    kinds = set(BOUNDS) - {"numbers"}
    return ("macs", *(row.name for row in FIELDS if row.owner in ("metadata", "metrics") and row.kind in kinds))


def find_number(entry: Entry, name: str, measured: Lock | None = None) -> Measurable | None:
    """Look a number up: measured where it was, else claimed, else None."""
    if measured is not None and name in ("macs", "parameters"):
        found = measured.of(entry.name)
        if name == "parameters" and found.parameters is not None:
            return found.parameters
        if name == "macs" and found.preferred_macs is not None:
            return found.preferred_macs.count
    claim = entry.metadata.get(name) or entry.metric(name)
    if claim is None:
        claim = next((c for label, c in entry.metadata.items() if label.lower().replace(" ", "_") == name), None)
    value = None if claim is None else claim.value
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


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
    query: Query | str = "",
    *,
    sort: str | Sequence[str] | None = None,
    measured: Lock | None = None,
) -> tuple[Entry, ...]:
    """Pick the entries that meet a query, in their order or sorted.

    Args:
        entries: Such as an index's models.
        query: Parsed or as text.
        sort: A name, `-name` for the greatest first, several in a list or with commas between; what is
            unknown comes last.
        measured: What machines measured; preferred to claims.

    Raises:
        UsageError: The query or a sort key is not one.
    """
    asked = parse_query(query) if isinstance(query, str) else query
    found = [entry for entry in entries if asked.meets(entry, measured=measured)]
    keys = sort.split(",") if isinstance(sort, str) else list(sort or ())
    for key in reversed([key.strip() for key in keys if key.strip()]):
        found = _sorted(found, key.removeprefix("-"), key.startswith("-"), measured)
    return tuple(found)


def _sorted(entries: list[Entry], key: str, greatest_first: bool, measured: Lock | None) -> list[Entry]:
    name = ALIASES.get(key, key)
    _require_known(name, key, 0)
    if name in TEXT_NAMES:
        told = {id(entry): find_texts(entry, name) for entry in entries}
        known = [entry for entry in entries if told[id(entry)]]
        known.sort(key=lambda entry: told[id(entry)], reverse=greatest_first)
    else:
        numbers = {id(entry): find_number(entry, name, measured) for entry in entries}
        known = [entry for entry in entries if numbers[id(entry)] is not None]
        known.sort(key=lambda entry: numbers[id(entry)] or 0, reverse=greatest_first)
    kept = {id(entry) for entry in known}
    return known + [entry for entry in entries if id(entry) not in kept]


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
    names = [ALIASES.get(name, name) for name in (more, less)]
    for name in names:
        _require_known(name, name, 0)
    numbers = [(entry, *(find_number(entry, name, measured) for name in names)) for entry in entries]
    known = [(entry, good, cost) for entry, good, cost in numbers if good is not None and cost is not None]
    return tuple(
        entry
        for entry, good, cost in known
        if not any(g >= good and c <= cost and (g > good or c < cost) for _, g, c in known)
    )


def _judge(tree: Condition | Group, entry: Entry, measured: Lock | None) -> bool | None:
    """Judge by three values: true, false, unknown."""
    if isinstance(tree, Condition):
        return _compare(tree, entry, measured)
    verdicts = [_judge(part, entry, measured) for part in tree.parts]
    if tree.word == "not":
        return None if verdicts[0] is None else not verdicts[0]
    deciding = tree.word == "or"
    if deciding in verdicts:
        return deciding
    return None if None in verdicts else not deciding


def _compare(condition: Condition, entry: Entry, measured: Lock | None) -> bool | None:
    if condition.pattern is not None:
        texts = find_texts(entry, condition.name)
        if not texts:
            return None
        matched = any(_matches(condition.pattern, text) for text in texts)
        return matched != (condition.operator == "!=")
    found, number = find_number(entry, condition.name, measured), condition.number
    if found is None or number is None:
        return None
    return {
        "<": found < number,
        "<=": found <= number,
        ">": found > number,
        ">=": found >= number,
        "=": found == number,
        ":": found == number,
        "!=": found != number,
    }[condition.operator]


def _matches(pattern: str, text: str) -> bool:
    """Match with `*` and `?`, in time that grows with both lengths only."""
    pattern, text = pattern.lower(), text.lower()
    here = star = anchor = 0
    seen_star = False
    for_text = 0
    while for_text < len(text):
        if here < len(pattern) and pattern[here] == "*":
            seen_star, star, anchor, here = True, here, for_text, here + 1
        elif here < len(pattern) and pattern[here] in ("?", text[for_text]):
            here, for_text = here + 1, for_text + 1
        elif seen_star:
            anchor += 1
            here, for_text = star + 1, anchor
        else:
            return False
    return not pattern[here:].strip("*")


# Parsing

_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z_][\w.-]*)|(?P<operator><=|>=|!=|[<>=:])"
    r"|(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<other>\S))"
)
_VALUE = re.compile(r"\s*(?:(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<bare>[^\s()]+))")
_QUANTITY = re.compile(r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,2})?)\s*([A-Za-z%]*)")
_MAX_DEPTH = 50


class _Wrong(Exception):  # noqa: N818 - becomes a UsageError with a caret
    def __init__(self, place: int, what: str) -> None:
        super().__init__(what)
        self.place, self.what = place, what


def parse_query(text: str) -> Query:
    """Parse a query.

    Raises:
        UsageError: It is not one; a caret stands under the mistake.
    """
    parser = _Parser(text)
    try:
        tree = parser.any_of(0) if text.strip() else None
        parser.require_end()
    except _Wrong as wrong:
        raise UsageError(f"{wrong.what}\n  {text}\n  {' ' * wrong.place}^") from None
    return Query(text=text, tree=tree)


class _Parser:
    """Reads the grammar above, one token ahead."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def _peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.place)

    def _next_word(self) -> str:
        match = self._peek()
        return match["word"].lower() if match and match["word"] and not self._is_name(match) else ""

    def _is_name(self, match: re.Match[str]) -> bool:
        """Whether an operator follows, so that even `or` is a name."""
        after = _TOKEN.match(self.text, match.end())
        return bool(after and after["operator"])

    def _at(self) -> int:
        return len(self.text) - len(self.text[self.place :].lstrip())

    def require_end(self) -> None:
        """Refuse what is left over."""
        if self.text[self.place :].strip():
            raise _Wrong(self._at(), "this closes nothing" if self.text[self._at()] == ")" else "this was not expected")

    def any_of(self, depth: int) -> Condition | Group:
        """Read parts with `or` between."""
        parts = [self._all_of(depth)]
        while self._next_word() == "or":
            self.place = self._peek().end()  # type: ignore[union-attr]
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Group(word="or", parts=tuple(parts))

    def _all_of(self, depth: int) -> Condition | Group:
        parts = [self._one(depth)]
        while (match := self._peek()) and not match["close"] and self._next_word() != "or":
            if self._next_word() == "and":
                self.place = match.end()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Group(word="and", parts=tuple(parts))

    def _one(self, depth: int) -> Condition | Group:
        match = self._peek()
        if depth > _MAX_DEPTH:
            raise _Wrong(self._at(), f"nested deeper than {_MAX_DEPTH}")
        if match is None:
            raise _Wrong(len(self.text), "the query ends too early: expected is a comparison such as top1>=79")
        if self._next_word() == "not":
            self.place = match.end()
            return Group(word="not", parts=(self._one(depth + 1),))
        if match["open"]:
            opened, self.place = self._at(), match.end()
            inner = self.any_of(depth + 1)
            closing = self._peek()
            if closing is None or not closing["close"]:
                raise _Wrong(opened, "this parenthesis is not closed")
            self.place = closing.end()
            return inner
        if not match["word"]:
            raise _Wrong(self._at(), "expected is a name, such as top1 or params")
        return self._condition(match)

    def _condition(self, match: re.Match[str]) -> Condition:
        at, said = match.start("word"), match["word"]
        self.place = match.end()
        name = said.lower().replace("-", "_")
        name = ALIASES.get(name, name)
        operator = self._peek()
        if operator is None or not operator["operator"]:
            raise _Wrong(at, f"{said!r} is compared with nothing: expected is one such as name:{said}* or top1>=79")
        try:
            _require_known(name, said, at)
        except UsageError as error:
            raise _Wrong(at, str(error)) from None
        self.place = operator.end()
        value = _VALUE.match(self.text, self.place)
        if value is None:
            raise _Wrong(len(self.text), f"expected is a value after {said}{operator['operator']}")
        at_value = value.start("quoted") if value["quoted"] else value.start("bare")
        self.place = value.end()
        told = value["bare"] if value["quoted"] is None else value["quoted"][1:-1]
        if name in TEXT_NAMES:
            if operator["operator"] not in ("=", "!=", ":"):
                raise _Wrong(operator.start("operator"), f"{said} is text; it can be compared with `:`, `=` and `!=`")
            return Condition(name=name, operator=operator["operator"], pattern=told)
        return Condition(name=name, operator=operator["operator"], number=_quantity(told, at_value))


def _quantity(told: str, at: int) -> Decimal:
    match = _QUANTITY.fullmatch(told)
    if match is None:
        raise _Wrong(at, f"{told!r} is not a number")
    unit = match[2].lower()
    if unit not in UNITS:
        raise _Wrong(at + match.start(2), f"{match[2]!r} is no unit; there are k, M, G, T, %, kB, MB, GB, KiB, MiB, GiB")
    return Decimal(match[1]) * UNITS[unit]


def _require_known(name: str, said: str, at: int) -> None:
    """Refuse a name that no field has.

    Raises:
        UsageError: None has; the nearest is named.
    """
    known = [*TEXT_NAMES, *number_names(), *ALIASES]
    if name in known:
        return
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
    raise UsageError(f"{said!r} is no name that can be asked for. {hint}")
