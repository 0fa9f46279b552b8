"""JSON becomes a record, or every thing that is wrong with it is said at its place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from rexnet_hub.records import Count, Sha256, Text, UnfitError, once, parse_record


@dataclass(frozen=True, kw_only=True)
class Part:
    """A record within another."""

    name: Text
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A record of every kind of field."""

    count: Count
    sha256: Sha256 | None
    ratio: float
    renamed: bool = once("earlier")
    pair: tuple[float, float]
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    note: str | None = None

    def __post_init__(self):
        """Refuse what only the whole can tell."""
        if self.count > 9:
            raise ValueError("counts too many")


GOOD = {
    "count": 3,
    "sha256": "a" * 64,
    "ratio": 1,
    "renamed": True,
    "pair": [0.5, 2],
    "parts": [{"name": "a", "sizes": [1, 2]}],
    "by_name": {"b": {"name": "b"}},
}


def parse(changes, **options):
    """Parse the good document with changes; a value of `...` takes a key away."""
    document = {key: value for key, value in ({"whole": 1} | GOOD | changes).items() if value is not ...}
    return parse_record(Whole, json.dumps(document), version=("whole", 1), **options)


def test_a_record_has_the_types_that_it_states():
    """Lists are tuples, whole numbers floats where one is stated, what may be absent has its default."""
    assert parse({}) == Whole(
        count=3,
        sha256="a" * 64,
        ratio=1.0,
        renamed=True,
        pair=(0.5, 2.0),
        parts=(Part(name="a", sizes=(1, 2)),),
        by_name={"b": Part(name="b")},
    )
    assert type(parse({}).ratio) is float


def test_an_earlier_name_of_a_key_is_read():
    """A file from before a key was renamed gives the same record; with both names it is refused."""
    assert parse({"renamed": ..., "earlier": True}) == parse({})
    with pytest.raises(UnfitError, match="earlier: is not a key here"):
        parse({"earlier": True})


WRONG = {
    "count: expected a whole number, from 0 to 2^63 - 1, found '-1'": {"count": -1},
    "count: expected a whole number, from 0 to 2^63 - 1, found 'True'": {"count": True},
    "counts too many": {"count": 10},
    "sha256: expected 64 lower-case hexadecimal digits, found 'ABC'": {"sha256": "ABC"},
    "ratio: expected a number, found 'x'": {"ratio": "x"},
    "renamed: expected true or false, found '1'": {"renamed": 1},
    "earlier: expected true or false, found '1'": {"renamed": ..., "earlier": 1},
    "renamed: is missing": {"renamed": ...},
    "pair: expected a list of 2, found '[1]'": {"pair": [1]},
    "pair[1]: expected a number, found 'None'": {"pair": [1, None]},
    "parts: expected a list, found '{}'": {"parts": {}},
    "parts[0].sizes[1]: expected a whole number, found 'True'": {
        "parts": [{"name": "a", "sizes": [1, True]}]
    },
    "parts[0].name: expected text, found ''": {"parts": [{"name": ""}]},
    "parts[0]: expected an object, found '3'": {"parts": [3]},
    "by_name: expected an object, found '[]'": {"by_name": []},
    "by_name.b.name: is missing": {"by_name": {"b": {}}},
    "other: is not a key here": {"other": 1},
    'it does not say "whole": 1': {"whole": True},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_said_at_its_place(message):
    """Each thing that can be wrong is one sentence with its place."""
    with pytest.raises(UnfitError) as caught:
        parse(WRONG[message])
    assert str(caught.value) == message


def test_every_problem_is_listed():
    """Wrong, missing and unknown keys are all told at once, not the first alone."""
    with pytest.raises(UnfitError) as caught:
        parse({"count": "3", "ratio": ..., "other": 1, "parts": [{"name": 1}, {"sizes": []}]})
    assert [at for at, _ in caught.value.problems] == [
        ("count",),
        ("ratio",),
        ("parts", 0, "name"),
        ("parts", 1, "name"),
        ("other",),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"whole": 1, "a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"whole": 1, "a": NaN}', "NaN is no number"),
        ('{"whole": 1, "a": 1e999}', "1e999 is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", 'does not say "whole": 1'),
        (b"\xff", "utf-8"),
        (" " * 101, "longer than 100 bytes"),
    ],
)
def test_what_is_no_json_object_is_refused(text, message):
    """Twins, numbers that are none, depth, length and bytes that are no text are each refused."""
    with pytest.raises(ValueError, match=message):
        parse_record(Whole, text, version=("whole", 1), max_bytes=100_000 if text[:1] == "[" else 100)
