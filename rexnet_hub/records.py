"""Read JSON into frozen records, each problem with its place.

A field is an `int`, `float`, `str`, `bool` or `Any`, one of these with a `Rule`, `X | None`, `tuple[X, ...]`,
`tuple[X, X]`, `Mapping[str, X]` or another record. One with a default may be absent; one that was renamed
says so (`once`), and its old name is read as well. What a record raises when it is made is a problem at its
place.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import MISSING, field, fields
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

MAX_BYTES = 16 << 20
T = TypeVar("T")
#: Where a value stands: the place of what it is in, and its key or number there; None for the whole.
_At = tuple[Any, str | int] | None
_Problems = list[tuple[_At, str]]
_Reader = Callable[[Any, _At, _Problems], Any]


class Rule(NamedTuple):
    """A condition on a value beyond its type, and the words for it."""

    holds: Callable[[Any], object]
    words: str


Count = Annotated[int, Rule(lambda number: 0 <= number < 1 << 63, "a whole number, from 0 to 2^63 - 1")]
Text = Annotated[str, Rule(bool, "text")]
Sha256 = Annotated[str, Rule(re.compile(r"[0-9a-f]{64}").fullmatch, "64 lower-case hexadecimal digits")]
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class UnfitError(ValueError):
    """JSON that is not what it must be.

    Attributes:
        problems: Each with the keys and numbers that lead to it.
    """

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(render_problem(*problem) for problem in problems))


def render_problem(at: tuple[str | int, ...], what: str) -> str:
    """Render a problem with its place, such as `tensors[3].name: is missing`."""
    place = "".join(f"[{key}]" if type(key) is int else f".{key}" for key in at).removeprefix(".")
    return f"{place}: {what}" if place else what


def once(name: str, *, as_list: bool = False) -> Any:
    """Make a field that had another name in files that are still read; `as_list`: it held one item."""
    usual: dict[str, Any] = {"default": ()} if as_list else {}
    return field(metadata={"once": name, "as_list": as_list}, **usual)


def parse_json(data: bytes | str) -> Any:
    """Parse JSON in which no key stands twice in an object and no number is infinite or none.

    Raises:
        ValueError: It is no such JSON.
    """
    text = data if isinstance(data, str) else data.decode()
    try:
        return json.loads(text, object_pairs_hook=_no_twins, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_record(
    kind: type[T], data: bytes | str, *, version: tuple[str, object], max_bytes: int = MAX_BYTES
) -> T:
    """Parse JSON as a record: every key of the right type, none unknown, none twice, no NaN.

    Args:
        kind: A dataclass.
        data: One JSON object.
        version: A key and the value that it must have: what kind of file this is, and of which version.
        max_bytes: How long it may be.

    Raises:
        UnfitError: It is not such a record; every problem is listed.
        ValueError: It is no JSON.
    """
    if len(data) > max_bytes:
        raise ValueError(f"it is longer than {max_bytes} bytes")
    document = parse_json(data)
    key, value = version
    stated = document.pop(key, None) if type(document) is dict else None
    if type(stated) is not type(value) or stated != value:
        raise UnfitError([((), f"it does not say {json.dumps(key)}: {json.dumps(value)}")])
    problems: _Problems = []
    record: T = _reader(cast("Hashable", kind))(document, None, problems)
    if problems:
        raise UnfitError([(_keys(at), what) for at, what in problems])
    return record


def _no_twins(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(items)
    if len(made) != len(items):
        twice = next(key for number, (key, _) in enumerate(items) if key in dict(items[:number]))
        raise ValueError(f"the key {twice[:80]!a} stands twice in one object")
    return made


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError(f"{number[:40]} is no number of JSON")
    return float(number)


def _keys(at: _At) -> tuple[str | int, ...]:
    return () if at is None else (*_keys(at[0]), at[1])


@functools.cache
def _reader(hint: Hashable) -> _Reader:
    """Make the function that reads a value of this type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _plain(inner[0], inner[1].words, inner[1].holds)
    if hint is Any:
        return lambda value, at, problems: value
    if NoneType in inner:
        present = _reader(inner[0])
        return lambda value, at, problems: None if value is None else present(value, at, problems)
    if origin is tuple:
        return _tuple(inner)
    if origin in (Mapping, dict):
        return _mapping(_reader(inner[1]))
    return _plain(hint, _WORDS[hint]) if hint in _WORDS else _record(hint)


def _plain(kind: Any, words: str, holds: Callable[[Any], object] = lambda value: True) -> _Reader:
    def read(value: Any, at: _At, problems: _Problems) -> Any:
        if kind is float and type(value) is int:
            with suppress(OverflowError):
                value = float(value)
        if type(value) is kind and holds(value):
            return value
        return _refuse(value, at, problems, words)

    return read


def _refuse(value: Any, at: _At, problems: _Problems, words: str) -> None:
    problems.append((at, f"expected {words}, found {str(value)[:70]!r}"))


def _tuple(inner: tuple[Any, ...]) -> _Reader:
    read_item, length = _reader(inner[0]), None if inner[-1] is ... else len(inner)
    words = "a list" if length is None else f"a list of {length}"

    def read(value: Any, at: _At, problems: _Problems) -> Any:
        if type(value) is not list or length not in (None, len(value)):
            return _refuse(value, at, problems, words)
        return tuple([read_item(item, (at, number), problems) for number, item in enumerate(value)])

    return read


def _mapping(read_item: _Reader) -> _Reader:
    def read(value: Any, at: _At, problems: _Problems) -> Any:
        if type(value) is not dict:
            return _refuse(value, at, problems, "an object")
        return {key: read_item(item, (at, key), problems) for key, item in value.items()}

    return read


def _record(kind: Any) -> _Reader:
    hints = get_type_hints(kind, include_extras=True)
    known = [(each.name, each.metadata, _reader(hints[each.name])) for each in fields(kind)]
    needed = {each.name for each in fields(kind) if each.default is each.default_factory is MISSING}

    def read(value: Any, at: _At, problems: _Problems) -> Any:
        if type(value) is not dict:
            return _refuse(value, at, problems, "an object")
        made, before = {}, len(problems)
        for name, facts, read_field in known:
            earlier: Any = facts.get("once")
            key: str = earlier if earlier in value and name not in value else name
            if key in value:
                item = value.pop(key)
                item = [item] if key == earlier and facts["as_list"] else item
                made[name] = read_field(item, (at, key), problems)
            elif name in needed:
                problems.append(((at, name), "is missing"))
        problems.extend(((at, key), "is not a key here") for key in value)
        try:
            return kind(**made) if len(problems) == before else None
        except ValueError as error:
            problems.append((at, str(error)))

    return read
