"""Parse the query language of the index: `top1>=79 params<10M`, `name:rexnet_* and not license:mit`.

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
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from rexnet_hub.errors import UsageError, suggest
from rexnet_hub.index.fields import BOUNDS, FIELDS

#: Short words for fields.
ALIASES = {
    "params": "parameters",
    "size": "file_size",
    "data": "training_data",
    "techniques": "training_techniques",
}
#: What is text; everything else that a query may name is a number.
TEXT_NAMES = (
    *("collection", "license"),
    *(r.name for r in FIELDS if r.owner in ("model", "metadata") and r.kind in ("text", "words")),
    *("dataset", "task"),
)
#: Decimal units, as letters' case has it; `m` and `g` are let pass for `M` and `G`.
UNITS = {
    "": 1, "%": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison: a name, an operator, and the number or the pattern that it compares with."""

    name: str
    operator: str
    number: Decimal | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Several parts under `and` or `or`, or one under `not`."""

    word: str
    parts: tuple[Condition | Group, ...]


def number_names() -> tuple[str, ...]:
    """List the names of numbers that a query may compare."""
    kinds = set(BOUNDS) - {"numbers"}
    rows = (row for row in FIELDS if row.owner in ("metadata", "metrics") and row.kind in kinds)
    return ("macs", *(row.name for row in rows))


_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z_][\w.-]*)|(?P<operator><=|>=|!=|[<>=:])"
    r"|(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<other>\S))"
)
_VALUE = re.compile(r"\s*(?:(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<bare>[^\s()]+))")
_QUANTITY = re.compile(r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,2})?)\s*([A-Za-z%]*)")
_MAX_DEPTH = 50


def parse_tree(text: str, is_known: Callable[[str], bool]) -> Condition | Group | None:
    """Parse a query into conditions and groups; None for one without a word in it.

    Args:
        text: In the language above.
        is_known: Whether some entry has a number of this name, where the table of fields has none.

    Raises:
        UsageError: It is not one; a caret stands under the mistake.
    """
    parser = _Parser(text, is_known)
    tree = parser.any_of(0) if text.strip() else None
    parser.require_end()
    return tree


class _Parser:
    """Reads the grammar above, one token ahead."""

    def __init__(self, text: str, is_known: Callable[[str], bool]) -> None:
        self.text, self.place, self.is_known = text, 0, is_known

    def _wrong(self, place: int, what: str) -> UsageError:
        return UsageError(f"{what}\n  {self.text}\n  {' ' * place}^")

    def _peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.place)

    def _next_word(self) -> str:
        match = self._peek()
        after = match and _TOKEN.match(self.text, match.end())
        is_name = after and after["operator"]  # then even `or` is one
        return match["word"].lower() if match and match["word"] and not is_name else ""

    def _at(self) -> int:
        return len(self.text) - len(self.text[self.place :].lstrip())

    def require_end(self) -> None:
        """Refuse what is left over."""
        if self.text[self.place :].strip():
            closes = self.text[self._at()] == ")"
            raise self._wrong(self._at(), "this closes nothing" if closes else "this was not expected")

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
            raise self._wrong(self._at(), f"nested deeper than {_MAX_DEPTH}")
        if match is None:
            problem = "the query ends too early: expected is a comparison such as top1>=79"
            raise self._wrong(len(self.text), problem)
        if self._next_word() == "not":
            self.place = match.end()
            return Group(word="not", parts=(self._one(depth + 1),))
        if match["open"]:
            opened, self.place = self._at(), match.end()
            inner = self.any_of(depth + 1)
            closing = self._peek()
            if closing is None or not closing["close"]:
                raise self._wrong(opened, "this parenthesis is not closed")
            self.place = closing.end()
            return inner
        if not match["word"]:
            raise self._wrong(self._at(), "expected is a name, such as top1 or params")
        return self._condition(match)

    def _condition(self, match: re.Match[str]) -> Condition:
        at, word = match.start("word"), match["word"]
        self.place = match.end()
        name = word.lower().replace("-", "_")
        name = ALIASES.get(name, name)
        operator = self._peek()
        if operator is None or not operator["operator"]:
            problem = f"{word!r} is compared with nothing: expected is one such as name:{word}* or top1>=79"
            raise self._wrong(at, problem)
        try:
            if not self.is_known(name):
                require_known(name, word)
        except UsageError as error:
            raise self._wrong(at, str(error)) from None
        self.place = operator.end()
        value = _VALUE.match(self.text, self.place)
        if value is None:
            raise self._wrong(len(self.text), f"expected is a value after {word}{operator['operator']}")
        at_value = value.start("quoted") if value["quoted"] else value.start("bare")
        self.place = value.end()
        wanted = value["bare"] if value["quoted"] is None else value["quoted"][1:-1]
        if name in TEXT_NAMES:
            if operator["operator"] not in ("=", "!=", ":"):
                problem = f"{word} is text; it can be compared with `:`, `=` and `!=`"
                raise self._wrong(operator.start("operator"), problem)
            return Condition(name=name, operator=operator["operator"], pattern=wanted)
        return Condition(name=name, operator=operator["operator"], number=self._quantity(wanted, at_value))

    def _quantity(self, text: str, at: int) -> Decimal:
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise self._wrong(at, f"{text!r} is not a number")
        unit = match[2].lower()
        if unit not in UNITS:
            raise self._wrong(
                at + match.start(2),
                f"{match[2]!r} is no unit; there are k, M, G, T, %, kB, MB, GB, KiB, MiB, GiB",
            )
        return Decimal(match[1]) * UNITS[unit]


def require_known(name: str, word: str) -> None:
    """Refuse a name that no field has.

    Raises:
        UsageError: None has; the nearest is named.
    """
    known = [*TEXT_NAMES, *number_names(), *ALIASES]
    if name not in known:
        raise UsageError(f"{word!r} is no name that can be asked for. {suggest(name, known)}")
