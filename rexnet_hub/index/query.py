"""Ask the index: pick entries by a query, sort them, and find those that no other beats."""

from __future__ import annotations

from decimal import Decimal

from rexnet_hub.index.grammar import ALIASES, TEXT_NAMES, Condition, Group, parse_tree, require_known
from rexnet_hub.index.records import record

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rexnet_hub.index.entry import Entry
    from rexnet_hub.index.lock import Lock

Measurable = Decimal | int


@record
class Query:
    """A parsed query; one without a word in it is met by every entry."""

    text: str
    tree: Condition | Group | None

    def meets(self, entry: Entry, *, measured: Lock | None = None) -> bool | None:
        """Say whether an entry meets the query; None when what it asks for is unknown."""
        return True if self.tree is None else _judge(self.tree, entry, measured)


def parse_query(text: str, *, is_known: Callable[[str], bool] | None = None) -> Query:
    """Parse a query.

    Args:
        text: In the language that `grammar` states.
        is_known: Whether some entry has a number of this name, where the table of fields has none.

    Raises:
        UsageError: It is not one; a caret stands under the mistake.
    """
    return Query(text=text, tree=parse_tree(text, is_known or (lambda name: False)))


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
        claim = next(
            (c for label, c in entry.metadata.items() if label.lower().replace(" ", "_") == name), None
        )
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
    entries = tuple(entries)

    def is_claimed(name: str) -> bool:
        return any(find_number(entry, name) is not None for entry in entries)

    asked = parse_query(query, is_known=is_claimed) if isinstance(query, str) else query
    found = [entry for entry in entries if asked.meets(entry, measured=measured)]
    keys = sort.split(",") if isinstance(sort, str) else list(sort or ())
    for key in reversed([key.strip() for key in keys if key.strip()]):
        name = ALIASES.get(key.removeprefix("-"), key.removeprefix("-"))
        if not is_claimed(name):
            require_known(name, key.removeprefix("-"))
        found = _sorted(found, name, key.startswith("-"), measured)
    return tuple(found)


def _sorted(entries: list[Entry], name: str, greatest_first: bool, measured: Lock | None) -> list[Entry]:
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
        require_known(name, name)
    more, less = names
    numbers = [(e, find_number(e, more, measured), find_number(e, less, measured)) for e in entries]
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
