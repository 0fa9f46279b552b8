"""Records behave as frozen, keyword-only dataclasses do: the standard library's own are the oracle."""

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest

from rexnet_hub.index.entry import Claim, Collection, Entry, Location, Result

PLACE = Location(Path("a.yml"), 3, 7)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Twin:
    """What `Claim` would be as a dataclass."""

    field: str
    label: str
    value: object
    text: str
    location: Location
    source: str | None = None
    inherited: bool = False


GIVEN = {"field": "lr", "label": "LR", "value": 1, "text": "1", "location": PLACE}


def test_a_record_equals_prints_and_hashes_as_its_twin():
    """Equality, hash, representation and fields are those of the dataclass."""
    record, twin = Claim(**GIVEN), Twin(**GIVEN)

    assert record == Claim(**GIVEN)
    assert record != Claim(**{**GIVEN, "value": 2})
    assert record != twin
    assert (hash(record) == hash(Claim(**GIVEN)), len({record, Claim(**GIVEN)})) == (True, 1)
    assert repr(record) == repr(twin).replace("Twin", "Claim")
    assert [f.name for f in dataclasses.fields(record)] == [f.name for f in dataclasses.fields(twin)]
    assert dataclasses.asdict(record) == dataclasses.asdict(twin)
    assert dataclasses.replace(record, value=2) == Claim(**{**GIVEN, "value": 2})


@pytest.mark.parametrize("kind", [Claim, Twin])
def test_a_wrong_call_is_refused(kind):
    """A missing, an unknown and a positional argument are each a TypeError, as of the dataclass."""
    with pytest.raises(TypeError):
        kind(**{name: value for name, value in GIVEN.items() if name != "text"})
    with pytest.raises(TypeError):
        kind(**GIVEN, sauce="x")
    with pytest.raises(TypeError):
        kind("lr", **GIVEN)


def test_a_record_cannot_be_changed():
    """Setting and deleting are refused, and there is no place for other attributes."""
    for act in (
        lambda: setattr(PLACE, "line", 1),
        lambda: delattr(PLACE, "line"),
        lambda: setattr(PLACE, "x", 1),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            act()
    assert PLACE.line == 3


def test_places_are_made_by_position_and_ordered():
    """A location takes its parts in order, and sorts by file, line and column."""
    assert Location(Path("a"), 1, 2) == Location(file=Path("a"), line=1, column=2)
    assert (
        sorted([Location(Path("b"), 1, 1), Location(Path("a"), 2, 1), Location(Path("a"), 1, 9)])[0].column
        == 9
    )
    assert str(PLACE) == "a.yml:3:7"


def test_defaults_are_not_shared():
    """Two records without metadata have two mappings."""
    first, second = Collection(name="a", location=PLACE), Collection(name="b", location=PLACE)

    assert first.metadata == {}
    assert first.metadata is not second.metadata


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_a_record_survives_copying(way):
    """Copies and pickles are equal."""
    entry = Entry(
        name="a",
        location=PLACE,
        results=(Result(task="t", dataset=None, split=None, metrics={}, location=PLACE),),
    )

    assert way(entry) == entry
