"""List the numbers of a model's results: each of a data set, a split and a metric, claimed or measured."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from rexnet_hub.index.entry import Claim, Entry, Result
from rexnet_hub.index.lock import COUNTED, Measured, MeasuredEvaluation
from rexnet_hub.index.spellings import is_same_place, place_name, short_part


class Score(NamedTuple):
    """One number of a model's results.

    Attributes:
        name: The metric alone on the first data set that the model has it of: what a bare `top1` means.
            Of any other with its place in short, such as `top1@CIFAR-10/test`: without a crop, of a machine
            its first words.
        metric: Its canonical name, such as `top1`, or its label where we know none.
        dataset, split: As they were stated; with the split an input of its own, such as 288 px.
        result: What states it; None where only the lock has it.
        claim: Likewise; what nobody can read has a problem.
        run: The evaluation in the lock that counted it.
    """

    name: str
    metric: str
    dataset: str | None
    split: str | None
    result: Result | None = None
    claim: Claim | None = None
    run: MeasuredEvaluation | None = None

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Data set and split, to be compared with others'."""
        return self.dataset, self.split

    @property
    def measured(self) -> Decimal | None:
        """What was measured, in percentage points."""
        return self.run.percent(self.metric) if self.run else None

    @property
    def value(self) -> Decimal | None:
        """The number: measured where it was, else as claimed; None where nobody can read it."""
        claimed = self.claim.value if self.claim else None
        return self.measured if self.run else claimed if isinstance(claimed, Decimal) else None


def list_scores(entry: Entry, measured: Measured | None = None) -> Iterator[Score]:
    """List the numbers of an entry's results, in their order, then what was measured that nobody claims."""
    runs = [run for run in measured.evaluations if run.images] if measured else []
    named, claimed = set[str](), set[tuple[MeasuredEvaluation, str]]()

    def name(metric: str, place: str) -> str:
        word = metric if metric not in named else f"{metric}@{place}"
        while word in named:  # two results of one place
            word += "#"
        named.add(word)
        return word

    for result in entry.results:
        split = result.part
        place = result.dataset, split
        own = next((run for run in runs if is_same_place(run.place, place)), None)
        for metric, claim in result.metrics.items():
            run = own if metric in COUNTED else None
            claimed |= {(run, metric)} if run else set()
            yield Score(
                name=name(metric, place_name(result.dataset, short_part(result.dataset, split))),
                metric=metric,
                dataset=result.dataset,
                split=split,
                result=result,
                claim=claim,
                run=run,
            )
    for run in runs:
        for metric in (metric for metric in COUNTED if (run, metric) not in claimed):
            known_as = name(metric, place_name(*run.place))
            yield Score(name=known_as, metric=metric, dataset=run.dataset, split=run.split, run=run)


def list_unread(entry: Entry) -> Iterator[tuple[str, Claim]]:
    """List what an entry states that nobody can read, each by the name that a query has for it."""
    yield from ((claim.field, claim) for claim in entry.unread)
    yield from ((s.name, s.claim) for s in list_scores(entry) if s.claim and s.claim.problem)
    for table in (table for result in entry.results for table in result.snapshots):
        yield from ((f"{name}_cited", claim) for name, claim in table.metrics.items() if claim.problem)
