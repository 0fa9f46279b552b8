"""Compare what is claimed of a model with what was measured, as card and page both print it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rexnet_hub.agreement import Agreement, Standing
from rexnet_hub.identity import Identity, gather
from rexnet_hub.index import Claim, Entry, PublishedTable
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.index.lock import Measured
from rexnet_hub.pages.text import link, markdown, number, shell


@dataclass(frozen=True, kw_only=True)
class CitedSource:
    """A place that states a value: its words, its address where it has one, the value it gives."""

    words: str
    url: str | None = None
    value: str = ""

    @property
    def markdown(self) -> str:
        """The place as a link, with the value that it gives."""
        return link(self.words, self.url) + (f": {self.value}" if self.value else "")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One figure of a model.

    Attributes:
        key: As queries name it, such as `top1`.
        value: The measured number where there is one, else the claimed; None where there is neither.
        claimed: As published, to its last digit, or as written if it cannot be read; None where nothing is.
        measured: In full; None where nothing was measured.
        also_measured: What other conventions count.
        record: Where in the lock the measurement is kept, and what made it.
        how: How it is counted or was measured.
        command: What measures it again.
        standing: How the value stands, one of the words of `agreement`; empty where there is none.
        agreement: Of claim and measurement, where there are both.
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
    how: str = ""
    command: str = ""
    standing: str = ""
    agreement: Agreement | None = None

    @property
    def sources(self) -> tuple[CitedSource, ...]:
        """Who states it: the claim's own source, then others with the value that they give."""
        return ((self.stated_by,) if self.stated_by else ()) + self.second_sources


def list_facts(entry: Entry, measured: Measured | None = None) -> tuple[Fact, ...]:
    """List the figures that people compare models by; what nobody states or measured stays empty.

    Multiply-adds are only ever our own count. Published FLOPs are nobody's count that we could repeat, so no
    measurement stands beside them.
    """
    ours, name = measured or Measured(), shell(entry.name)
    verify, evaluate = f"rexnet-hub verify {name}", f"rexnet-hub evaluate {name} --data DIR"
    pictures = "images of ImageNet-1k's validation set whose right class is"
    trained = "numbers that are trained; the batch norms' running statistics are not among them"
    macs = "multiply-adds of convolutions and classifier for one picture of the stated size"
    flops = "as published; how they were counted is not stated, and no counter known to us gives them"
    return (
        _fact(entry, ours, "top1", "Top-1 accuracy", f"{pictures} the first guess", evaluate),
        _fact(entry, ours, "top5", "Top-5 accuracy", f"{pictures} among the first five guesses", evaluate),
        _fact(entry, ours, "parameters", "Parameters", trained, verify),
        _fact(entry, ours, "macs", "MACs", macs, verify),
        _fact(entry, ours, "flops", "FLOPs", flops, ""),
        _fact(entry, ours, "file_size", "File size", "of the released file", f"{verify} --weights FILE"),
    )


def _fact(entry: Entry, measured: Measured, key: str, label: str, how: str, command: str) -> Fact:
    """Compare what is claimed of a figure with what was measured."""
    claim = None if key == "macs" else entry.claim(key)
    counted = measured.figure(key)
    seconds = tuple(
        CitedSource(words=table_words(table), url=table.url, value=published(key, other.value))
        for result in entry.results
        if claim is not None and result.metrics.get(key) is claim
        for table in result.snapshots
        if (other := table.metrics.get(key)) is not None
    )
    agreement = claim.compare(counted) if claim and counted is not None and not claim.problem else None
    if claim and claim.problem:
        agreement = Agreement(standing=Standing.UNREADABLE)
    if agreement or counted is not None:
        standing = agreement.standing if agreement else Standing.MEASURED
    else:
        standing = Standing.SECOND_SOURCE if seconds else Standing.CLAIMED
    record, shown, others = _evidence(measured, key) if counted is not None else (None, None, ())
    return Fact(
        key=key,
        label=label,
        value=counted if counted is not None else claim.value if claim else None,
        claimed=(claim.text if claim.problem else published(key, claim.value)) if claim else None,
        stated_by=_stated_by(claim) if claim else None,
        second_sources=seconds,
        measured=shown,
        also_measured=others,
        record=record,
        how=how,
        command=command,
        standing=standing if claim or counted is not None else "",
        agreement=agreement,
    )


def _evidence(measured: Measured, key: str) -> tuple[str, str, tuple[str, ...]]:
    """Return where a measurement is kept, how it is printed, and what other conventions count."""
    counted, run, macs = measured.figure(key), measured.evaluation, measured.preferred_macs
    if key in ("top1", "top5") and run:
        right = run.top1_count if key == "top1" else run.top5_count
        record = f"evaluation on {run.dataset}, record {run.record_sha256[:16]}…"
        return record, f"{counted:.3f} % ({right:,} of {run.images:,} images)", ()
    if key == "macs" and macs:
        counts = sorted((name, other) for name, other in measured.macs.items() if other is not macs)
        others = tuple(f"{number(other.count)} ({name})" for name, other in counts)
        return f"macs, counted by {macs.counter} at {macs.input_px} px", number(counted), others
    return "released" if key == "file_size" else key, published(key, counted), ()


def published(key: str, value: Any) -> str:
    """Print a figure with its unit, percentage points to the digit that they were published with."""
    if key in ("top1", "top5"):
        return f"{value} %"
    return number(value) + (" bytes" if key == "file_size" else "")


def _stated_by(claim: Claim) -> CitedSource:
    """Return who states a claim: the address that the file gives, else the file itself."""
    if claim.source:
        return CitedSource(words=claim.source.partition("://")[2] or claim.source, url=claim.source)
    return CitedSource(words=f"the model index ({claim.location.file.name})")


def table_words(table: PublishedTable) -> str:
    """Return what a cited table is called: whose, its file, its date."""
    parts = table.url.split("/")
    words = f"timm's {parts[-1]}" if "pytorch-image-models" in parts else parts[-1]
    return f"{words}, {table.date}" if table.date else words


def release_doubt(entry: Entry, measured: Measured | None) -> str:
    """Return what makes it doubtful which file was released, in words; empty where nothing does."""
    if entry.released is None or (measured and measured.witnesses):
        return ""
    lock = gather("the lock", measured.released if measured else None)
    return (Identity(entry.released.statements) + lock).doubt


_METADATA = [row.name for row in FIELDS if row.owner == "metadata"]
#: What an entry says of its training, in the order of the table of fields.
TRAINING_FIELDS = _METADATA[_METADATA.index("training_techniques") : _METADATA.index("num_classes")]


def training_rows(entry: Entry) -> tuple[tuple[str, str], ...]:
    """List what the entry says of its training: the label, the value."""
    claims = [claim for name in TRAINING_FIELDS if (claim := entry.claim(name))]
    return tuple(
        (c.label, f"{c.text}, unreadable" if c.problem else c.text or number(c.value)) for c in claims
    )


def input_sentence(entry: Entry) -> str:
    """Return in one sentence how a picture becomes the network's input, as Markdown."""
    spec = entry.preprocessing
    resized_px = int(spec.input_px / spec.crop_fraction)
    mean, std = (", ".join(map(str, numbers)) for numbers in (spec.mean, spec.std))
    return (
        f"Resize the short side to {resized_px} px ({markdown(spec.interpolation)}), keep the centre square "
        f"of {spec.input_px} px, scale to 0..1, subtract the mean ({mean}) and divide by the standard "
        f"deviation ({std}), channels in RGB order."
    )
