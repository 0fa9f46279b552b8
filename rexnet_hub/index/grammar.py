"""Parse the query language of the index: `top1>=79 params<10M`, `name:*_100 and not license:mit`.

    query   = all { "or" all }
    all     = one { ["and"] one }              side by side means and
    one     = "not" one | "(" query ")" | NAME ["@" PLACE] OP VALUE
    PLACE   = a data set, or DATASET/SPLIT, in quotes if it has spaces
    OP      = "<" | "<=" | ">" | ">=" | "=" | "!=" | ":"
    VALUE   = text without spaces and parentheses, or in single or double quotes

On a number `:` is `=`, and VALUE may end in `%` if it is a percentage or fraction, else in `k`, `M`, `G`,
`B`, `T`; of bytes also in `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`. One that can hardly be meant, such as
`params<10`, is refused. On text `=` is `:`: letter case does not matter, `*` is any text, `?` one
character, and a list matches when one of its items does. `top1` is of the first data set that the model has
it of, or of the `dataset:`, `split:` and `task:` that stand beside it; `top1@imagenet-v2` is of that one,
whatever stands there. A data set may be written in any of its spellings. What nobody claimed or measured is
unknown: it meets no comparison, and neither does its `not`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from rexnet_hub.errors import UsageError, suggest
from rexnet_hub.index.fields import BOUNDS, FIELDS, query_name
from rexnet_hub.index.spellings import SPELLINGS, dataset_key, fold, split_key

#: Short words for fields, and the spellings of metrics.
ALIASES = {
    "params": "parameters",
    "size": "file_size",
    "data": "training_data",
    "techniques": "training_techniques",
    **{query_name(s): r.name for r in FIELDS if r.owner == "metrics" for s in (r.label, *r.aliases)},
}
#: The texts of a result: beside a metric they say which result is meant.
RESULT_NAMES = ("dataset", "split", "task")
#: What all spellings of a text share, where it has several.
KEYS: dict[str, Callable[[str], str]] = {
    "dataset": dataset_key, "training_data": dataset_key, "split": split_key,
}  # fmt: skip
#: What is text; everything else that a query may name is a number.
TEXT_NAMES = (
    *("collection", "license"),
    *(r.name for r in FIELDS if r.owner in ("model", "metadata") and r.kind in ("text", "words")
      and r.name != "same_as"),
    *RESULT_NAMES,
)  # fmt: skip
#: Decimal units, as letters' case has it; `m` and `g` are let pass for `M` and `G`.
UNITS = {
    "": 1, "%": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison: a name, an operator, and the number or the pattern that it compares with.

    Attributes:
        on: Of a result's number, the data set, or data set and split, that was named with it.
    """

    name: str
    on: str = ""
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
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<name>[^\W\d][\w.-]*(?:@(?:\"[^\"]*\"|'[^']*'|[\w./-]+))*)"
    r"(?:\s*(?P<operator>[<>=:!~≤≥≠](?:\s*[<>=!~≤≥≠])*)\s*(?:(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<bare>[^\s()]*)))?"
    r"|(?P<other>\S))"
)
_QUANTITY = re.compile(
    r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,2})?)\s*([A-Za-z%]*)", re.ASCII
)
#: What anything takes for a space: a page that a query is copied from has others than a keyboard.
_SPACE = re.compile(r"[\s\ufeff]")
_MAX_DEPTH = 50
OPERATORS = ("<", "<=", ">", ">=", "=", "!=", ":")
#: What is written for an operator elsewhere, and for a word of this language.
MEANT = {
    "=>": ">=", "=<": "<=", "≥": ">=", "≤": "<=", "==": "=", "===": "=", "<>": "!=", "≠": "!=", "!": "!=",
    "=!": "!=", "!==": "!=", ":>": ">", ":<": "<", ":=": "=", "~": ":", "=~": ":", "~=": ":",
    ">>": ">", "<<": "<",
}  # fmt: skip
_WORDS = {"&": "and", "|": "or", "!": "not", ",": "and", ";": "and", "+": "and"}


#: Whether some entry has a number of this name, on this data set if one is named.
IsKnown = Callable[[str, str], bool]


def parse_tree(text: str, is_known: IsKnown) -> Condition | Group | None:
    """Parse a query into conditions and groups; None for one without a word in it.

    Args:
        is_known: Decides of names that the table of fields has not.

    Raises:
        UsageError: It is not one; a caret stands under the mistake.
    """
    text = _SPACE.sub(" ", text)
    parser = _Parser(text, is_known)
    tree = parser.any_of(0) if text.strip() else None
    parser.require_end()
    return tree


class _Parser:
    """Reads the grammar above, one token ahead; a condition is one token."""

    def __init__(self, text: str, is_known: IsKnown) -> None:
        self.text, self.is_known = text, is_known
        self.tokens: list[re.Match[str] | None] = [*_TOKEN.finditer(text), None]
        self.place = 0

    def _wrong(self, at: int, what: str) -> UsageError:
        return UsageError(f"{what}\n  {self.text}\n  {' ' * at}^")

    def _peek(self) -> tuple[re.Match[str] | None, str, int]:
        """Return the next token, the word that it is if no operator follows, and where it begins."""
        token = self.tokens[self.place]
        if token is None:
            return None, "", len(self.text)
        word = (token["name"] or "").lower() if token["operator"] is None else ""
        return token, word, token.end() - len(token[0].lstrip())

    def require_end(self) -> None:
        """Refuse what is left over."""
        token, _, at = self._peek()
        if token:
            raise self._wrong(at, "this closes nothing" if token["close"] else "this was not expected")

    def any_of(self, depth: int) -> Condition | Group:
        """Read parts with `or` between."""
        parts = [self._all_of(depth)]
        while self._peek()[1] == "or":
            self.place += 1
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Group(word="or", parts=tuple(parts))

    def _all_of(self, depth: int) -> Condition | Group:
        parts = [self._one(depth)]
        while (token := self._peek()[0]) and not token["close"] and self._peek()[1] != "or":
            if self._peek()[1] == "and":
                self.place += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Group(word="and", parts=tuple(parts))

    def _one(self, depth: int) -> Condition | Group:
        token, word, at = self._peek()
        if depth > _MAX_DEPTH:
            raise self._wrong(at, f"nested deeper than {_MAX_DEPTH}")
        if token is None:
            raise self._wrong(at, "the query ends too early: expected is a comparison such as top1>=79")
        self.place += 1
        if word == "not":
            return Group(word="not", parts=(self._one(depth + 1),))
        if token["open"]:
            inner = self.any_of(depth + 1)
            closing, _, _ = self._peek()
            if closing is None or not closing["close"]:
                raise self._wrong(at, "this parenthesis is not closed")
            self.place += 1
            return inner
        if not token["name"]:
            meant = _WORDS.get(token["other"] or "")
            hint = f"; {token['other']!r} means nothing here: write {meant!r}" if meant else ""
            raise self._wrong(at, f"expected is a name, such as top1 or params{hint}")
        return self._condition(token, at)

    def _condition(self, token: re.Match[str], at: int) -> Condition:
        word, operator, quoted = token["name"], token["operator"], token["quoted"]
        if operator is None:
            problem = f"{word!r} is compared with nothing: expected is one such as name:{word}* or top1>=79"
            raise self._wrong(at, problem)
        if operator not in OPERATORS:
            close = "".join(operator.split())
            meant = close if close in OPERATORS else MEANT.get(close)
            hint = f"write {meant}" if meant else f"there are {' '.join(OPERATORS)}"
            raise self._wrong(token.start("operator"), f"{operator!r} is no operator; {hint}")
        try:
            name, on = read_name(word, self.is_known)
        except UsageError as error:
            raise self._wrong(at, str(error)) from None
        if not quoted and not token["bare"]:
            raise self._wrong(len(self.text), f"expected is a value after {word}{operator}")
        wanted = quoted[1:-1] if quoted else token["bare"]
        if name not in TEXT_NAMES:
            number = self._quantity(name, word, wanted, token.start("quoted" if quoted else "bare"))
            return Condition(name=name, on=on, operator=operator, number=number)
        if operator not in ("=", "!=", ":"):
            problem = f"{word} is text; it can be compared with `:`, `=` and `!=`"
            raise self._wrong(token.start("operator"), problem)
        return Condition(name=name, operator=operator, pattern=wanted)

    def _quantity(self, name: str, word: str, text: str, at: int) -> Decimal:
        """Read a number in the unit that it has; one that can hardly be meant is refused."""
        match, kind = _QUANTITY.fullmatch(text), KINDS.get(name, "any")
        if match is None:
            hint = "; conditions stand side by side, or with 'and' between" if text[-1:] in ",;&" else ""
            raise self._wrong(at, f"{text!r} is not a number{hint}")
        unit = match[2].lower()
        if unit not in UNITS or (kind != "any" and unit not in UNITS_OF.get(kind, UNITS)):
            units = [shown for shown in ("%", "k", "M", "G", "T", "kB", "MB", "GB", "KiB", "MiB", "GiB")
                     if shown.lower() in UNITS_OF.get(kind, UNITS)]  # fmt: skip
            raise self._wrong(
                at + match.start(2), f"{match[2]!r} is no unit of {word}; there are {', '.join(units)}"
            )
        number = Decimal(match[1]) * UNITS[unit]
        if kind == "fraction" and unit == "%":
            number = number.scaleb(-2)
        elif problem := _find_doubt(name, kind, number, text):
            raise self._wrong(at, f"{word} {problem}")
        return number


#: The kind of each number, and the units that some kinds have; others have any.
KINDS = {r.name: r.kind for r in FIELDS if r.owner in ("metadata", "metrics")} | {"macs": "count"}
UNITS_OF = {
    **dict.fromkeys(("percent", "fraction"), ("", "%")),
    **dict.fromkeys(("count", "number"), ("", "k", "m", "g", "b", "t")),
    "bytes": tuple(unit for unit in UNITS if unit != "%"),
}
#: What is counted one by one, and never in so few that nobody would write a unit.
COUNTED = {"parameters": "parameters", "macs": "operations", "flops": "operations", "file_size": "bytes"}


def _find_doubt(name: str, kind: str, number: Decimal, text: str) -> str:
    """Return why a number can hardly be meant; empty where it can."""
    plain = f"{number.normalize():f}"
    if kind == "percent" and 0 < number < 1 and not text.endswith("%"):
        points = f"{(100 * number).normalize():f}"
        return f"is in percentage points: write {points}, or {text}% if so little is meant"
    if kind == "percent" and not 0 <= number <= 100:
        return f"is in percentage points, from 0 to 100; {plain} is none"
    if kind == "fraction" and number > 1:
        return f"is a fraction, from 0 to 1: write {(number / 100).normalize():f}, or {plain}%"
    if name in COUNTED and 0 < number < 1000 and text[-1:].isdigit():
        few = f"{number.scaleb(-3).normalize():f}k"
        return f"is counted in {COUNTED[name]}: write {plain}M, or {few} if so few are meant"
    return ""


def read_name(word: str, is_known: IsKnown) -> tuple[str, str]:
    """Read a name as it may be typed: the canonical one, and of `top1@pets` the data set.

    Raises:
        UsageError: Nothing has that name, or none on that data set; the nearest is named.
    """
    name, on = query_name(word), ""
    if "@" in word and name not in ALIASES and not is_known(name, ""):  # a metric may have an @ of its own
        metric, _, place = word.rpartition("@")
        name, on = query_name(metric), place.strip("\"'")
    name = ALIASES.get(name, name)
    known = [*TEXT_NAMES, *number_names(), *ALIASES]
    if name not in known and not is_known(name, ""):
        raise UsageError(f"{word!r} is no name that can be asked for. {suggest(name, known)}")
    if not on or is_known(name, on):
        return name, on
    if name in known and not any(row.name == name for row in FIELDS if row.owner == "metrics"):
        raise UsageError(f"{name} is of no data set: ask for it without @{on}")
    if not {fold(on), fold(on.rpartition("/")[0])} & SPELLINGS.keys():
        near = difflib.get_close_matches(fold(on), SPELLINGS, 1)
        all_there = "; the column `data set` of `rexnet-hub list` says which there are"
        hint = f". Did you mean {near[0]!r}?" if near else all_there
        raise UsageError(f"no model has {name} on {on!r}{hint}")
    return name, on
