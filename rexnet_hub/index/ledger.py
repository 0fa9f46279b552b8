"""Compare what public places state of the models, and say why they disagree: `ledger.json`.

Written by people, beside the index. A cause is a function that derives the stated number from ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, NamedTuple

from rexnet_hub.addresses import cite
from rexnet_hub.agreement import Standing, compare
from rexnet_hub.errors import IndexReadError, NetworkError, UnknownModelError
from rexnet_hub.index.entry import Entry
from rexnet_hub.index.fields import FIELDS, kind_of
from rexnet_hub.index.lock import PREFERRED_MACS, Day, Measured, find_lock, read_beside
from rexnet_hub.index.network import entry_plan
from rexnet_hub.index.scores import Score, list_scores
from rexnet_hub.layout import LEDGER_FILE
from rexnet_hub.nets import Network, built_in_network
from rexnet_hub.nets.family import TensorPlan
from rexnet_hub.records import Rule, Text

_NO_PLAN = TensorPlan(tensors={}, parameters=0)
_POWERS = {"": 0, "k": 3, "M": 6, "G": 9, "B": 9}
_STATED = re.compile(r"(\d+(?:\.\d+)?) ?([kMGB]?)")


class Case(NamedTuple):
    """The facts from which a cause derives a number.

    Attributes:
        stated: The number as the place gives it.
        plan: The tensors of the network.
        macs: The multiply-adds that were counted, by convention.
        original: What the place states of the model that the number may be copied from.
    """

    stated: Decimal
    plan: TensorPlan
    macs: Mapping[str, int]
    original: Decimal | None = None

    def count_numbers(self, ending: str = "") -> int:
        """Count the numbers in the tensors of this name's ending."""
        tensors = self.plan.tensors.items()
        return sum(math.prod(shape) for name, (_, shape) in tensors if re.search(ending, name))

    @property
    def biases_before_norms(self) -> int:
        """How many biases a batch norm follows at once, which takes them out again."""
        layers: dict[str, dict[str, int]] = {}
        for name, (_, shape) in self.plan.tensors.items():
            owner, _, part = name.rpartition(".")
            layers.setdefault(owner, {})[part] = math.prod(shape)
        found, before = 0, dict[str, int]()
        for layer in layers.values():
            found += before.get("bias", 0) if "running_mean" in layer and "running_mean" not in before else 0
            before = layer
        return found


class Cause(NamedTuple):
    """A reason for another number than ours: the words, of which field, how it follows from ours.

    What nobody can derive is only suspected, or unknown. A copy is derived exactly, not as rounded.
    """

    words: str
    field: str = ""
    derive: Callable[[Case], int | Decimal | None] | None = None


def _cut_off(case: Case) -> int:
    step: int = 10 ** max(int(case.stated.as_tuple().exponent), 0)
    return case.plan.parameters // step * step


SUSPECTED, UNKNOWN, COPIED = "suspected", "unknown", "copied"
CAUSES = {
    "biases_before_norms_left_out": Cause(
        "the biases that a batch norm follows are left out",
        "parameters",
        lambda case: case.plan.parameters - case.biases_before_norms,
    ),
    "running_statistics_counted": Cause(
        "running means and variances of batch norms are counted too",
        "parameters",
        lambda case: case.plan.parameters + case.count_numbers(r"\.running_(mean|var)$"),
    ),
    "whole_file_counted": Cause(
        "every number of the file is counted: running statistics and counters of batches too",
        "parameters",
        lambda case: case.count_numbers(),
    ),
    "digits_cut_off": Cause("digits are cut off, not rounded", "parameters", _cut_off),
    "macs_called_flops": Cause(
        "multiply-adds, called FLOPs", "flops", lambda case: case.macs.get(PREFERRED_MACS)
    ),
    "macs_of_fvcore": Cause(
        "multiply-adds as fvcore counts them, called FLOPs", "flops", lambda case: case.macs.get("fvcore")
    ),
    COPIED: Cause("copied from what it states of", "", lambda case: case.original),
    SUSPECTED: Cause("suspected, not checked"),
    UNKNOWN: Cause("no cause known"),
}

_FIELDS = {row.name for row in FIELDS if row.owner in ("metadata", "metrics")}
_Field = Annotated[str, Rule(_FIELDS.__contains__, "the name of a field of Metadata, or of a metric")]
_Cause = Annotated[str, Rule(CAUSES.__contains__, f"one of {', '.join(CAUSES)}")]
_Number = Annotated[str, Rule(_STATED.fullmatch, "a number as text, as it is stated: 4.838 M, 77.46")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One field of several models as a place states it, and why it is another number than ours.

    Attributes:
        values: As stated, by the model's name; of an accuracy in percentage points.
        cause: One of CAUSES, where the numbers do not agree.
        of: The model that they are copied from.
        note: What the cause's words leave open.
    """

    field: _Field
    values: Mapping[str, _Number]
    cause: _Cause | None = None
    of: Text | None = None
    note: Text | None = None

    def __post_init__(self) -> None:
        """Refuse a cause of another field, and a copy without its original or the other way round."""
        field = CAUSES[self.cause].field if self.cause else ""
        if field not in ("", self.field):
            raise ValueError(f"{self.cause} is a cause of {field}, not of {self.field}")
        if (self.cause == COPIED) != (self.of is not None):
            raise ValueError(f"`of` goes with the cause {COPIED}: it names the model that it is copied from")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A public place: its name, address at a commit, the day of that, and what it states."""

    name: Text
    figures: tuple[Figures, ...]
    url: Text | None = None
    date: Day | None = None

    def find(self, field: str, model: str) -> Decimal | None:
        """Return what it states of a model in a field."""
        stated = (each.values[model] for each in self.figures if each.field == field and model in each.values)
        return next((Decimal(_plain(text)) for text in stated), None)

    def list_stated(self, entry: Entry) -> Iterator[tuple[Figures, str]]:
        """List what it states of a model, by whichever of its names: the figures, and the text of its own."""
        for each in self.figures:
            names = (name for name in (entry.name, *entry.other_names) if name in each.values)
            yield from ((each, each.values[name]) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The figures of all places, as of the day on which they were collected."""

    collected: Day | None = None
    places: tuple[Place, ...] = ()

    def require_models(self, known: Collection[str]) -> None:
        """Refuse names of models that the index has not.

        Raises:
            IndexReadError: Each is named.
        """
        figures = [(place, each) for place in self.places for each in place.figures]
        named = {(p.name, name) for p, each in figures for name in (*each.values, each.of) if name}
        if wrong := [f"{place} states {name}" for place, name in sorted(named) if name not in known]:
            problem = f"names models that the index has not: {'; '.join(wrong)}"
            raise IndexReadError(f"{find_lock().with_name(LEDGER_FILE)}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of a model as one place states it.

    Attributes:
        date: Of the place's version, or the day on which it was seen.
        ours: What it is compared with: measured, or as our entry claims.
        standing: How the two stand to each other.
        cause: Why they differ, in words.
        holds: Whether the cause derives the number, or it agrees; None where that is not checked.
    """

    field: str
    stated: str
    place: str
    url: str | None
    date: str | None = None
    ours: str = ""
    standing: str = Standing.CLAIMED
    cause: str = ""
    holds: bool | None = None

    @property
    def judgement(self) -> str:
        """How it stands, and why."""
        return "; ".join(filter(None, (self.standing, self.cause)))


def read_ledger() -> Ledger:
    """Read the ledger beside the zoo's own index; one that does not exist is empty.

    Raises:
        FileProblem: It cannot be read.
        IndexReadError: It is none; each key that is wrong is named, with its line.
    """
    file = find_lock().with_name(LEDGER_FILE)
    return read_beside(Ledger, file) if file.exists() else Ledger()


def list_rows(entry: Entry, measured: Measured, ledger: Ledger) -> list[Row]:
    """List what is stated of a model, by field: its own claim, the tables cited there, other places."""
    scores = {score.name: score for score in list_scores(entry, measured)}
    others = list_places(entry, measured, ledger)
    cited = (name for name, score in scores.items() if score.result and score.result.snapshots)
    fields = list(dict.fromkeys(["flops", *(row.field for row in others), *cited]))
    own = [row for field in fields for row in list_own(entry, measured, field)]
    return sorted([*own, *others], key=lambda row: fields.index(row.field))


def list_own(entry: Entry, measured: Measured, field: str) -> Iterator[Row]:
    """List what the entry claims in a field, and the tables that it cites state."""
    ours = _ours(entry, measured, field)
    claim = ours.score.claim if ours.score else entry.claim(field)
    if claim is None or not isinstance(claim.value, int | Decimal):
        return
    place = cite(claim.source) if claim.source else "the index"
    row = Row(field=field, stated=claim.text, place=place, url=claim.source or claim.location.file.name)
    yield _judge(row, ours) if ours.is_measured else row
    result = ours.score.result if ours.score else None
    for table in result.snapshots if result else ():
        if (cited := table.metrics.get(claim.field)) and isinstance(cited.value, Decimal):
            of: dict[str, Any] = {"place": table.url.rpartition("/")[2], "url": table.url, "date": table.date}
            yield _judge(Row(field=field, stated=cited.text, **of), ours)


def list_places(entry: Entry, measured: Measured, ledger: Ledger) -> list[Row]:
    """List what the ledger's places state of a model."""
    rows = []
    for place in ledger.places:
        of: dict[str, Any] = {"place": place.name, "url": place.url, "date": place.date or ledger.collected}
        for figures, text in place.list_stated(entry):
            original = place.find(figures.field, figures.of) if figures.of else None
            row = Row(field=figures.field, stated=text, **of)
            rows.append(_judge(row, _ours(entry, measured, figures.field), figures, original))
    return rows


def spell(field: str, stated: str) -> set[Decimal]:
    """Return a stated number as its place may write it: in its letter's unit or in full, of 100 or of 1."""
    bare = Decimal(_plain(stated.rstrip("kMGB ")))
    of_one = {bare / 100} if kind_of(field.partition("@")[0]) == "percent" else set[Decimal]()
    return {bare, Decimal(_plain(stated))} | of_one


def _plain(stated: str) -> str:
    """Return a stated number without the letter of its unit: 4.838 M is 4.838e6."""
    found = _STATED.fullmatch(stated)
    return f"{found[1]}e{_POWERS[found[2]]}" if found and found[2] else stated.rstrip("% ").replace("_", "")


def _find_plan(entry: Entry) -> TensorPlan | None:
    """Return the tensors of an entry's network; None where they cannot be planned."""
    try:
        return entry_plan(entry)
    except (IndexReadError, NetworkError, UnknownModelError):
        return None


def count_file(entry: Entry) -> int | None:
    """Count every number in an entry's weights, as the Hub does; None where that would need torch."""
    network = built_in_network(entry.architecture)
    if network is None or entry.value("model_args") is not None:
        return None
    try:
        return _count_planned(network, entry.value("num_classes"))
    except NetworkError:
        return None


@cache  # an index names few networks, each many times
def _count_planned(network: Network, num_classes: int | None) -> int:
    plan = network.plan(num_classes=num_classes)
    return Case(stated=Decimal(), plan=plan, macs={}).count_numbers()


class _Ours(NamedTuple):
    """A figure as it is known here: the number, whether it was measured, what causes need of it."""

    number: int | Decimal | None
    is_measured: bool
    plan: TensorPlan
    macs: Mapping[str, int]
    score: Score | None = None

    def __str__(self) -> str:
        if self.number is None:
            return ""
        text = f"{self.number:,}" if isinstance(self.number, int) else f"{self.number:f}"
        return text if self.is_measured else f"{text} (claimed)"


def _ours(entry: Entry, measured: Measured, field: str) -> _Ours:
    """Find what a figure is here; operations are two for each multiply-add."""
    macs = {name: each.count for name, each in measured.macs.items()}
    if field in ("parameters", "flops"):
        plan = _find_plan(entry) if field == "parameters" else None
        operations = 2 * macs[PREFERRED_MACS] if field == "flops" and PREFERRED_MACS in macs else None
        return _Ours(plan.parameters if plan else operations, True, plan or _NO_PLAN, macs)
    score = next((each for each in list_scores(entry, measured) if each.name == field), None)
    counted = score.measured if score else measured.figure(field)
    value = score.value if score else entry.value(field)
    claimed = value if isinstance(value, int | Decimal) else None
    return _Ours(claimed if counted is None else counted, counted is not None, _NO_PLAN, macs, score)


def _judge(row: Row, ours: _Ours, figures: Figures | None = None, original: Decimal | None = None) -> Row:
    """Compare a stated number with ours and, where a cause is named, with what that derives.

    Args:
        figures: What the ledger says of it; None of the entry's own claim and the tables that it cites.
    """
    field, name, text = row.field, figures.cause if figures else None, _plain(row.stated)
    kind = "percent" if row.stated.endswith("%") else kind_of(field.partition("@")[0])
    row = replace(row, ours=str(ours))
    if ours.number is None:
        return replace(row, cause=CAUSES[name].words if name else "")
    agreement = compare(text, ours.number, kind=kind)
    row = replace(row, standing=str(agreement), holds=agreement.holds and (ours.is_measured or None))
    case = Case(stated=Decimal(text), plan=ours.plan, macs=ours.macs, original=original)
    fitting = [each for each, why in CAUSES.items() if why.field == field and _derives(why, case, kind)]
    if figures is None and field == "flops" and not agreement.holds:  # no source says how: that is looked for
        name = next(iter(fitting), UNKNOWN)
    if name is None:
        return row if agreement.holds else replace(row, cause="not so: it differs, and no cause is named")
    cause, (of, note) = CAUSES[name], (figures.of, figures.note) if figures else (None, None)
    words = " ".join(filter(None, (cause.words, of))) + (f": {note}" if note else "")
    if name == UNKNOWN and (agreement.holds or fitting):
        return replace(row, cause=f"not so: {', '.join(fitting) or 'it agrees'}", holds=False)
    if cause.derive is None:
        return replace(row, cause=words, holds=None)
    holds = not agreement.holds and _derives(cause, case, kind)
    return replace(row, cause=words if holds else f"not so: {words}", holds=holds)


def _derives(cause: Cause, case: Case, kind: str) -> bool:
    """Return whether a cause gives the stated number: a copy to its last digit, a count as it was rounded."""
    number, kind = cause.derive(case) if cause.derive else None, kind if cause.field else "setting"
    return number is not None and compare(str(case.stated), number, kind=kind).holds
