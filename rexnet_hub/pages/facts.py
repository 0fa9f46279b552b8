"""What is claimed of a model beside what was measured, as card and page both print it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rexnet_hub.index import Claim, Entry
from rexnet_hub.index.lock import Measured
from rexnet_hub.pages.text import link, markdown, number, shell

#: How the words of a fact's standing are meant; only what we measured ourselves is ever green.
STANDINGS = {
    "measured": "measured here, and the claim agrees to its last published digit",
    "differs": "measured here, and the claim does not agree",
    "second source": "published, and another table states it too; not measured here",
    "claimed": "published; not measured here",
}


@dataclass(frozen=True, kw_only=True)
class Source:
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
        claimed: As published, to its last digit; None where nothing is published.
        measured: In full; None where nothing was measured.
        also_measured: What other conventions count.
        record: Where in the lock the measurement is kept, and what made it.
        how: How it is counted or was measured.
        command: What measures it again.
        standing: One of STANDINGS; empty where there is no value.
    """

    key: str
    label: str
    value: int | Decimal | None
    claimed: str | None
    stated_by: Source | None = None
    second_sources: tuple[Source, ...] = ()
    measured: str | None = None
    also_measured: tuple[str, ...] = ()
    record: str | None = None
    how: str = ""
    command: str = ""
    standing: str = ""

    @property
    def sources(self) -> tuple[Source, ...]:
        """Who states it: the claim's own source, then others with the value that they give."""
        return ((self.stated_by,) if self.stated_by else ()) + self.second_sources


def list_facts(entry: Entry, measured: Measured | None = None) -> tuple[Fact, ...]:
    """List the figures that people compare models by; what nobody states or measured stays empty.

    Args:
        entry: The model.
        measured: What the lock holds of it.
    """
    ours = measured or Measured()
    return (
        _accuracy(entry, ours, "top1", "Top-1 accuracy", "the first guess"),
        _accuracy(entry, ours, "top5", "Top-5 accuracy", "among the first five guesses"),
        _parameters(entry, ours),
        _macs(entry, ours),
        _flops(entry),
        _file_size(entry, ours),
    )


def _accuracy(entry: Entry, measured: Measured, name: str, label: str, where: str) -> Fact:
    claim = entry.metric(name)
    found, shown, record = None, None, None
    if run := measured.evaluation:
        right = run.top1_count if name == "top1" else run.top5_count
        found = Decimal(100 * right) / run.images
        shown = f"{found:.3f} % ({right:,} of {run.images:,} images)"
        record = f"evaluation on {run.dataset}, record {run.record_sha256[:16]}…"
    seconds = tuple(
        Source(words=_snapshot_words(table.url, table.date), url=table.url, value=percent(other.value))
        for result in entry.results
        for table in result.snapshots
        if (other := table.metrics.get(name)) is not None
    )
    return Fact(
        key=name,
        label=label,
        value=_value(claim) if found is None else found,
        claimed=None if _value(claim) is None else percent(_value(claim)),
        stated_by=_stated_by(claim),
        second_sources=seconds,
        measured=shown,
        record=record,
        how=f"images of ImageNet-1k's validation set whose right class is {where}",
        command=f"rexnet-hub evaluate {shell(entry.name)} --data DIR",
        standing=_standing(claim, found, bool(seconds)),
    )


def _parameters(entry: Entry, measured: Measured) -> Fact:
    return _counted(
        entry,
        "parameters",
        "Parameters",
        measured.parameters,
        kept_as="parameters",
        how="numbers that are trained; the batch norms' running statistics are not among them",
        command=f"rexnet-hub verify {shell(entry.name)}",
    )


def _file_size(entry: Entry, measured: Measured) -> Fact:
    return _counted(
        entry,
        "file_size",
        "File size",
        measured.released.size_bytes if measured.released else None,
        kept_as="released",
        how="of the released file",
        command=f"rexnet-hub verify {shell(entry.name)} --weights FILE",
        unit=" bytes",
    )


def _counted(
    entry: Entry,
    key: str,
    label: str,
    found: int | None,
    *,
    kept_as: str,
    how: str,
    command: str,
    unit: str = "",
) -> Fact:
    """Put a claimed count beside the counted one."""
    claim = entry.metadata.get(key)
    return Fact(
        key=key,
        label=label,
        value=_value(claim) if found is None else found,
        claimed=None if _value(claim) is None else number(_value(claim)) + unit,
        stated_by=_stated_by(claim),
        measured=None if found is None else number(found) + unit,
        record=None if found is None else kept_as,
        how=how,
        command=command,
        standing=_standing(claim, found),
    )


def _macs(entry: Entry, measured: Measured) -> Fact:
    """Multiply-adds are only ever our own count: what is published is FLOPs, a fact of its own."""
    preferred = measured.preferred_macs
    counts = [(name, macs) for name, macs in sorted(measured.macs.items()) if macs is not preferred]
    return Fact(
        key="macs",
        label="MACs",
        value=preferred.count if preferred else None,
        claimed=None,
        measured=number(preferred.count) if preferred else None,
        record=f"macs, counted by {preferred.counter} at {preferred.input_px} px" if preferred else None,
        also_measured=tuple(f"{number(macs.count)} ({name})" for name, macs in counts),
        how="multiply-adds of convolutions and classifier for one picture of the stated size",
        command=f"rexnet-hub verify {shell(entry.name)}",
        standing="measured" if preferred else "",
    )


def _flops(entry: Entry) -> Fact:
    """Published FLOPs are nobody's count that we could repeat, so no measurement stands beside them."""
    claim = entry.metadata.get("flops")
    return Fact(
        key="flops",
        label="FLOPs",
        value=_value(claim),
        claimed=None if _value(claim) is None else number(_value(claim)),
        stated_by=_stated_by(claim),
        how="as published; how they were counted is not stated, and no counter known to us gives them",
        standing=_standing(claim, None),
    )


def percent(value: Any) -> str:
    """Print percentage points to the digit that they were published with."""
    return f"{value} %"


def agrees(claimed: int | Decimal, found: int | Decimal) -> bool:
    """Say whether a measured value, rounded as the claim is, gives the claim."""
    if isinstance(claimed, Decimal):
        return abs(Decimal(found) - claimed) <= Decimal(5).scaleb(int(claimed.as_tuple().exponent) - 1)
    zeros = len(str(claimed)) - len(str(claimed).rstrip("0")) if claimed else 0
    return bool(abs(2 * (found - claimed)) <= 10 ** min(zeros, 4))


def _value(claim: Claim | None) -> Any:
    return claim.value if claim else None


def _standing(claim: Claim | None, found: int | Decimal | None, has_second_source: bool = False) -> str:
    claimed = _value(claim)
    if found is not None:
        return "measured" if claimed is None or agrees(claimed, found) else "differs"
    if claimed is None:
        return ""
    return "second source" if has_second_source else "claimed"


def _stated_by(claim: Claim | None) -> Source | None:
    """Say who states a claim: the address that the file gives, else the file itself."""
    if claim is None:
        return None
    if claim.source:
        return Source(words=claim.source.partition("://")[2] or claim.source, url=claim.source)
    return Source(words=f"the model index ({claim.location.file.name})")


def _snapshot_words(url: str, date: str | None) -> str:
    parts = url.split("/")
    words = f"timm's {parts[-1]}" if "pytorch-image-models" in parts else parts[-1]
    return f"{words}, {date}" if date else words


#: What an entry says of its training, in the order of the table of fields.
TRAINING_FIELDS = (
    "training_data",
    "training_techniques",
    "training_resources",
    "training_time",
    "optimizer",
    "lr_schedule",
    "epochs",
    "warmup_epochs",
    "batch_size",
    "lr",
    "momentum",
    "weight_decay",
    "dropout",
    "label_smoothing",
    "random_erasing",
    "auto_augment",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a list: what, how much."""

    label: str
    value: str


def training_rows(entry: Entry) -> tuple[Row, ...]:
    """List what the entry says of its training."""
    claims = (entry.metadata.get(name) for name in TRAINING_FIELDS)
    return tuple(Row(label=c.label, value=c.text or number(c.value)) for c in claims if c is not None)


def input_sentence(entry: Entry) -> str:
    """Say in one sentence how a picture becomes the network's input, as Markdown."""
    spec = entry.preprocessing
    resized_px = int(spec.input_px / spec.crop_fraction)
    mean, std = (", ".join(map(str, numbers)) for numbers in (spec.mean, spec.std))
    return (
        f"Resize the short side to {resized_px} px ({markdown(spec.interpolation)}), keep the centre square "
        f"of {spec.input_px} px, scale to 0..1, subtract the mean ({mean}) and divide by the standard "
        f"deviation ({std}), channels in RGB order."
    )
