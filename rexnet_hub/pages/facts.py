"""Compare what is claimed of a model with what was measured, as card and page both print it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from rexnet_hub.addresses import cite
from rexnet_hub.agreement import SIGNS, Agreement, Standing
from rexnet_hub.identity import Identity, gather
from rexnet_hub.index import Claim, Entry
from rexnet_hub.index.entry import INPUT_FIELDS, PublishedTable, Result
from rexnet_hub.index.fields import METADATA_LABELS, kind_of
from rexnet_hub.index.lock import Measured
from rexnet_hub.index.scores import Score, list_scores
from rexnet_hub.index.spellings import canonical_dataset, place_name
from rexnet_hub.layout import RECEIPT_FILE, is_repo_id
from rexnet_hub.nets import known_network
from rexnet_hub.pages.datasets import classes_words, find_dataset
from rexnet_hub.pages.families import find_obstacle, nearest
from rexnet_hub.pages.snippets import find_timm_repo
from rexnet_hub.pages.text import link, markdown, number, shell, short


class CitedSource(NamedTuple):
    """A place that states a value: its words, its address where it has one, the value it gives."""

    words: str
    url: str | None = None
    value: str = ""


class Fact(NamedTuple):
    """One figure of a model.

    Attributes:
        key: As queries name it, such as `top1`.
        value: The measured number where there is one, else the claimed; None where there is neither.
        claimed: As published, to its last digit, or as written if it cannot be read; None where nothing is.
        measured: In full; None where nothing was measured.
        also_measured: What other conventions count.
        record: Where in the lock the measurement is kept, and what made it.
        evidence: The files that a measured accuracy is counted from: record and predictions.
        how: How it is counted or was measured.
        unmeasured: What stands in place of a measurement.
        command: What measures it again.
        standing: How the value stands, one of the words of `agreement`; empty where there is none.
        agreement: Of claim and measurement, where there are both.
        dataset: Of a stated accuracy; empty of what is measured on none.
        where: What the label says of that; empty where it goes without saying.
    """

    key: str
    label: str
    value: int | Decimal | None
    claimed: str | None
    stated_by: CitedSource | None = None
    second_sources: tuple[CitedSource, ...] = ()
    measured: str | None = None
    also_measured: tuple[str, ...] = ()
    record: str | None = None
    evidence: tuple[str, ...] = ()
    how: str = ""
    unmeasured: str = "not measured yet"
    command: str = ""
    standing: str = ""
    agreement: Agreement | None = None
    dataset: str = ""
    where: str = ""

    @property
    def published(self) -> tuple[tuple[str, str], ...]:
        """The values that are published, as Markdown, each with the place that states it."""
        own = ((self.claimed, self.stated_by),) if self.claimed and self.stated_by else ()
        stated = (*own, *((source.value, source) for source in self.second_sources))
        return tuple((markdown(value), link(source.words, source.url)) for value, source in stated)

    @property
    def outcome(self) -> str:
        """What was measured and how the claim stands to it, as Markdown; else why nothing was."""
        others = f"; by other conventions {', '.join(self.also_measured)}" if self.also_measured else ""
        marks = "" if self.agreement is None or self.agreement.holds else "**"
        agreement = f", {marks}{self.agreement}{marks}" if self.agreement else ""
        return f"{self.measured or self.unmeasured}{others}{agreement}"

    @property
    def sign(self) -> str:
        """How the value stands, as a sign; empty where there is none."""
        return Standing(self.standing).sign if self.standing else ""

    @property
    def exact(self) -> str:
        """The value to its last digit, with its unit, as Markdown; empty where there is none."""
        return markdown(self.measured or self.claimed or "")

    @property
    def short(self) -> str:
        """The value as people read it, as Markdown: a count in three digits; if unreadable as written."""
        if self.value is None:
            return f"{self.exact}, {self.standing}" if self.exact else ""
        if isinstance(self.value, int):
            return short(self.value, "B" if self.key == "file_size" else "")
        return self.exact.partition(" (")[0]


class Notes(dict[str, int]):
    """The notes below a table, each once, by their words the numbers that cells cite them by."""

    def cite(self, text: str, *notes: str) -> str:
        """Return a cell's text with the numbers of its notes; an empty one is none."""
        numbers = (str(self.setdefault(note, len(self) + 1)) for note in notes if note)
        return f"{text} [{cited}]" if (cited := ", ".join(numbers)) else text


#: The element in which the site's style gives each sign its colour: shorter than a class, a thousand times.
_ELEMENTS = dict(zip(SIGNS, "bis", strict=True))


def coloured(sign: str) -> str:
    """Render a sign for the site, as HTML."""
    element = _ELEMENTS[sign]
    return f"<{element}>{sign}</{element}>"


def list_signs(facts: Iterable[Fact]) -> dict[str, str]:
    """List the signs that figures have, each with what it says."""
    used = {fact.sign for fact in facts}
    return {sign: words for sign, words in SIGNS.items() if sign in used}


def list_facts(entry: Entry, measured: Measured | None = None, *, source: str = "") -> tuple[Fact, ...]:
    """List the figures that people compare models by, and every number of the entry's results.

    What nobody states or measured stays empty. Multiply-adds are only ever our own count. Published FLOPs are
    nobody's count that we could repeat, so no measurement stands beside them.

    Args:
        source: What commands are to name instead of the entry: a folder, or a repo on the Hub by its id.
    """
    ours, source = measured or Measured(), source or entry.name
    counting = "" if find_obstacle(entry) else verifying(source)
    can_weigh = bool(entry.claim("file_size") or counting) and not (entry.is_in_repo or is_repo_id(source))
    weighing = f"{verifying(source)} --weights FILE" if can_weigh else ""
    trained = "numbers that are trained; running statistics are not among them"
    macs = "multiply-adds of convolutions and classifier for one picture of the stated size"
    flops = "how they were counted is not stated"
    size = _fact(entry, ours, "file_size", "File size", "of the released file", weighing)
    if ours.reproduces(entry.claim("file_size")) and not size.measured:
        size = size._replace(
            standing=Standing.REPRODUCED,
            unmeasured="reproduced: a file of these tensors in torch's legacy container has this size",
            record="expected_sizes",
            command=counting or weighing,
        )
    top1, top5, *others = _accuracies(entry, ours, source)
    return (
        top1,
        top5,
        _fact(entry, ours, "parameters", "Parameters", trained, counting),
        _fact(entry, ours, "macs", "MACs", macs, "" if entry.is_in_repo else counting),
        _fact(entry, ours, "flops", "FLOPs", flops, "")._replace(unmeasured=flops),
        size,
        *others,
    )


def verifying(source: str) -> str:
    """Return the command that checks every claim of a model; `source` as of `list_facts`."""
    return f"rexnet-hub verify {shell(f'hf:{source}' if is_repo_id(source) else source)}"


#: The accuracies that models are compared by: the label, and what an image is counted for.
_ACCURACIES = {
    "top1": ("Top-1 accuracy", " whose right class is the first guess"),
    "top5": ("Top-5 accuracy", " whose right class is among the first five guesses"),
}


def list_numbers(entry: Entry) -> list[tuple[Result, list[Claim]]]:
    """List the numbers of an entry's results: the card's metadata has them from here, and so has its body."""
    return [(r, [c for c in r.metrics.values() if isinstance(c.value, Decimal)]) for r in entry.results]


def _accuracies(entry: Entry, measured: Measured, source: str) -> Iterator[Fact]:
    """Describe the numbers of an entry's results, each in the words of its data set.

    Top-1 and top-5 are always among them, first on the model's own first data set.
    """
    empty = {key: Score(name=key, metric=key, dataset=None, split=None) for key in _ACCURACIES}
    scores = {score.name: score for score in list_scores(entry, measured) if _is_number(score)}
    can_load = not find_obstacle(entry)
    for key, score in (empty | scores).items():
        label, share = _ACCURACIES.get(score.metric, (score.claim.label if score.claim else key, ""))
        place = ", ".join(filter(None, score.place))
        words = find_dataset(score.dataset, score.split or "") if place else classes_words(entry)
        where = words["where"].format(place=place) if place else ""
        how = words["images"].format(place=place or "its data set") + share if share else ""
        command = words["command"].format(name=shell(source)) if share and can_load else ""
        fact = _fact(entry, measured, key, f"{label} {where}".strip(), how, command, score)
        yield fact._replace(dataset=place and canonical_dataset(score.dataset), where=where)


def _is_number(score: Score) -> bool:
    return score.value is not None or bool(score.claim and score.claim.problem)


def states(other: Claim, claim: Claim | None) -> bool:
    """Check whether another table's number is what is claimed, or rounds to it."""
    if claim is None or claim.problem:
        return False
    return claim.compare(other.value).standing in (Standing.AGREES, Standing.ROUNDED)


def _fact(
    entry: Entry, measured: Measured, key: str, label: str, how: str, command: str, score: Score | None = None
) -> Fact:
    """Compare what is claimed of a figure with what was measured."""
    claim = score.claim if score else None if key == "macs" else entry.claim(key)
    counted = score.measured if score else measured.figure(key)
    stated = score.result.extra.get("copied_from") if score and score.result else None
    origin = stated.value if stated else None
    tables = [
        (table, other)
        for table in (score.result.snapshots if score and score.result else ())
        if claim is not None and (other := table.metrics.get(claim.field)) and not other.problem
    ]
    seconds = tuple(
        CitedSource(
            words=f"{'copied from ' * (table.url == origin)}{table_words(table)}",
            url=table.url,
            value=published(claim, other.value),
        )
        for table, other in tables
        if claim is not None
    )
    is_second = any(table.url != origin and states(other, claim) for table, other in tables)
    agreement = claim.compare(counted) if claim and counted is not None and not claim.problem else None
    if claim and claim.problem:
        agreement = Agreement(standing=Standing.UNREADABLE)
    if agreement or counted is not None:
        standing = agreement.standing if agreement else Standing.MEASURED
    else:
        standing = Standing.SECOND_SOURCE if is_second else Standing.CLAIMED
    record, shown, others = (
        _evidence(entry, measured, key, score) if counted is not None else (None, None, ())
    )
    return Fact(
        key=key,
        label=label,
        value=counted if counted is not None else claim.value if claim else None,
        claimed=_claimed(claim),
        stated_by=_stated_by(claim, score.result if score else None) if claim else None,
        second_sources=seconds,
        measured=shown,
        also_measured=others,
        record=record,
        evidence=score.run.file_names if score and score.run else (),
        how=how,
        command=command,
        standing=standing if claim or counted is not None else "",
        agreement=agreement,
    )


def _evidence(
    entry: Entry, measured: Measured, key: str, score: Score | None
) -> tuple[str, str, tuple[str, ...]]:
    """Return where a measurement is kept, how it is printed, and what other conventions count."""
    if score and score.run:
        run, right = score.run, getattr(score.run, f"{score.metric}_count")
        record = f"evaluation on {place_name(*run.place)}, record {run.record_sha256[:16]}…"
        return record, f"{score.measured:.3f} % ({right:,} of {run.images:,} images)", ()
    counted, macs = measured.figure(key), measured.preferred_macs
    if key == "macs" and macs:
        counts = sorted((name, other) for name, other in measured.macs.items() if other is not macs)
        network = known_network(entry.architecture)
        whose = f", of {network.family.provider.split()[0]}'s network" if network else ""
        others = tuple(f"{number(other.count)} ({name}{whose})" for name, other in counts)
        return f"macs, counted by {macs.counter} at {macs.input_px} px", number(counted), others
    is_size = key == "file_size"
    return "released" if is_size else key, number(counted) + (" bytes" if is_size else ""), ()


def published(claim: Claim, value: Any) -> str:
    """Print a figure with its unit, percentage points to the digit that they were published with."""
    kind = kind_of(claim.field)
    if kind == "percent" or (isinstance(value, Decimal) and claim.text.rstrip().endswith("%")):
        return f"{value} %"
    return number(value) + (" bytes" if kind == "bytes" else "")


def _stated_by(claim: Claim, result: Result | None) -> CitedSource:
    """Return who states a claim: the address that the file gives, by its name, else the file itself."""
    if claim.source:
        named = result.extra.get("source_name") if result else None
        return CitedSource(words=str(named.value) if named else cite(claim.source), url=claim.source)
    file = claim.location.file.name
    return CitedSource(words=file if file == RECEIPT_FILE else f"the model index ({file})")


def _claimed(claim: Claim | None) -> str | None:
    """Return what is claimed: with its unit, or as it was written where nobody can read it."""
    if claim is None:
        return None
    return claim.text if claim.problem else published(claim, claim.value)


def list_siblings(entry: Entry) -> list[tuple[str, str | None, str, str]]:
    """List the models that stand nearest in an entry's collection: name, timm's repo, top-1, parameters.

    As published: a card that said what was measured or released of others would be another one after each.
    """
    place = next((at for at, each in enumerate(entry.siblings) if each.name == entry.name), None)
    if len(entry.siblings) < 2 or place is None:
        return []
    return [
        (
            each.name,
            find_timm_repo(each),
            _top1(each, entry),
            _claimed(each.claim("parameters")) or "not stated",
        )
        for each in nearest(entry.siblings, place)
    ]


def _top1(entry: Entry, other: Entry) -> str:
    """Return an entry's first top-1, with what it is of where another's is of something else."""
    own, its = (next((r for r in each.results if "top1" in r.metrics), None) for each in (entry, other))
    if own is None:
        return "not stated"
    on = "" if its and its.place == own.place else f" on {own.place}"
    return f"{_claimed(own.metrics['top1'])}{on}"


def table_words(table: PublishedTable) -> str:
    """Return what a cited table is called: whose, its file, its date."""
    return cite(table.url, table.date or "")


def release_doubt(entry: Entry, measured: Measured | None) -> str:
    """Return what makes it doubtful which file was released, in words; empty where nothing does."""
    if entry.released is None or (measured and measured.witnesses):
        return ""
    lock = gather("the lock", measured.released if measured else None)
    return (Identity(entry.released.statements) + lock).doubt


_METADATA = [*METADATA_LABELS]
#: What an entry says of its training, in the order of the table of fields.
TRAINING_FIELDS = _METADATA[_METADATA.index("training_techniques") : _METADATA.index("num_classes")]


def training_rows(entry: Entry) -> tuple[tuple[str, str], ...]:
    """List what the entry says of its training: the label, the value."""
    base = ", ".join(entry.said("base_model") or ())
    return (*([("Fine-tuned From", base)] if base else []), *_stated_rows(entry, TRAINING_FIELDS))


def _stated_rows(entry: Entry, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    claims = [claim for name in names if (claim := entry.claim(name))]
    own = ((c, c.words if isinstance(c.value, dict) else c.text or number(c.value)) for c in claims)
    return ((claim.label, f"{words}, unreadable" if claim.problem else words) for claim, words in own)


#: How a picture becomes a square, by the crop mode: resized to {0} px by the filter {1}, cut to {2}.
_RESIZES = {
    "center": "Resize the short side to {0} px ({1}), keep the centre square of {2}",
    "squash": "Resize both sides to {0} px ({1}), keep the centre square of {2}",
    "border": "Resize the long side to {0} px ({1}), fill up with the mean to the centre square of {2}",
}


def input_sentence(entry: Entry) -> str:
    """Return how a picture becomes the network's input, as far as it is stated, as Markdown."""
    if entry.unstated_input:
        stated = ", ".join(f"{label} {value}" for label, value in _stated_rows(entry, INPUT_FIELDS.values()))
        unstated = ", ".join(METADATA_LABELS[name] for name in entry.unstated_input if not entry.claim(name))
        return f"Stated: {markdown(stated)}. Not stated: {unstated}." if stated else "Not stated."
    spec = entry.preprocessing
    resized_px = int(spec.input_px / spec.crop_fraction)
    mean, std = (", ".join(map(str, numbers)) for numbers in (spec.mean, spec.std))
    resize = _RESIZES[spec.crop_mode].format(resized_px, markdown(spec.interpolation), spec.input_px)
    return (
        f"{resize} px, scale to 0..1, subtract the mean ({mean}) and divide by the standard "
        f"deviation ({std}), channels in RGB order."
    )
