"""What is claimed of a model beside what was measured, as card and page both print it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rexnet_hub.index import Claim, Entry
from rexnet_hub.pages.text import link, markdown, number, shell

#: How the words of a fact's standing are meant; only what we measured ourselves is ever green.
STANDINGS = {
    "measured": "measured here, and the claim agrees to its last published digit",
    "differs": "measured here, and the claim does not agree",
    "second source": "claimed, and another published table states it too; not measured here",
    "claimed": "claimed; not measured here",
}

#: The convention that the table's MACs are counted by, where it was measured.
MACS_CONVENTION = "conv_linear"


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
    how: str = ""
    command: str = ""
    standing: str = ""


def list_facts(entry: Entry, measured: Any = None) -> tuple[Fact, ...]:
    """List the figures that people compare models by; what nobody states or measured stays empty."""
    return (
        _accuracy(entry, measured, "top1", "Top-1 accuracy"),
        _accuracy(entry, measured, "top5", "Top-5 accuracy"),
        _parameters(entry, measured),
        _macs(entry, measured),
        _file_size(entry, measured),
    )


def _accuracy(entry: Entry, measured: Any, name: str, label: str) -> Fact:
    claim = entry.metric(name)
    run = getattr(measured, "evaluation", None)
    right = getattr(run, name, None) if run else None
    found = Decimal(100 * right) / run.images if right is not None else None
    seconds = tuple(
        Source(
            words=_snapshot_words(snapshot.url, snapshot.date), url=snapshot.url, value=percent(other.value)
        )
        for result in entry.results
        for snapshot in result.snapshots
        if (other := snapshot.metrics.get(name)) is not None
    )
    return Fact(
        key=name,
        label=label,
        value=found if found is not None else _value(claim),
        claimed=percent(claim.value) if claim and claim.value is not None else None,
        stated_by=_stated_by(claim),
        second_sources=seconds,
        measured=f"{found:.3f} % ({right:,} of {run.images:,} images)" if found is not None else None,
        how="images of ImageNet-1k's validation set whose right class is the first guess"
        if name == "top1"
        else "images of ImageNet-1k's validation set whose right class is among the first five guesses",
        command=f"rexnet-hub evaluate {shell(entry.name)} --data DIR",
        standing=_standing(claim, found, bool(seconds)),
    )


def _parameters(entry: Entry, measured: Any) -> Fact:
    claim = entry.metadata.get("parameters")
    found = getattr(measured, "parameters", None)
    return Fact(
        key="parameters",
        label="Parameters",
        value=found if found is not None else _value(claim),
        claimed=number(claim.value) if claim and claim.value is not None else None,
        stated_by=_stated_by(claim),
        measured=number(found) if found is not None else None,
        how="trainable numbers of the network; the batch norms' running statistics are not among them",
        command=f"rexnet-hub verify {shell(entry.name)}",
        standing=_standing(claim, found),
    )


def _macs(entry: Entry, measured: Any) -> Fact:
    claim = entry.metadata.get("flops")
    counts = getattr(measured, "macs", None) or {}
    found = counts[MACS_CONVENTION].count if MACS_CONVENTION in counts else None
    shown = "; ".join(
        f"{number(macs.count)} ({name}, {macs.input_px} px)" for name, macs in sorted(counts.items())
    )
    return Fact(
        key="macs",
        label="FLOPs, as published" if found is None else "MACs",
        value=found if found is not None else _value(claim),
        claimed=number(claim.value) if claim and claim.value is not None else None,
        stated_by=_stated_by(claim),
        measured=shown or None,
        how="multiply-adds for one picture; published as FLOPs, by a counter that is not stated",
        command=f"rexnet-hub verify {shell(entry.name)}",
        standing=_standing(claim, found),
    )


def _file_size(entry: Entry, measured: Any) -> Fact:
    claim = entry.metadata.get("file_size")
    released = getattr(measured, "released", None)
    found = released.size_bytes if released else None
    return Fact(
        key="file_size",
        label="File size",
        value=found if found is not None else _value(claim),
        claimed=f"{number(claim.value)} bytes" if claim and claim.value is not None else None,
        stated_by=_stated_by(claim),
        measured=f"{number(found)} bytes" if found is not None else None,
        how="of the released file",
        command=f"rexnet-hub verify {shell(entry.name)} --weights FILE",
        standing=_standing(claim, found),
    )


def percent(value: Any) -> str:
    """Print percentage points to the digit that they were published with."""
    return f"{value} %"


def agrees(claimed: int | Decimal, found: int | Decimal) -> bool:
    """Say whether a measured value, rounded as the claim is, gives the claim."""
    if isinstance(claimed, Decimal):
        return abs(Decimal(found) - claimed) <= Decimal(5).scaleb(int(claimed.as_tuple().exponent) - 1)
    zeros = len(str(claimed)) - len(str(claimed).rstrip("0")) if claimed else 0
    return abs(2 * (found - claimed)) <= 10 ** min(zeros, 4)


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
        f"Resize the short side to {resized_px} px ({markdown(spec.interpolation)}), keep the centre square of "
        f"{spec.input_px} px, scale to 0..1, subtract the mean ({mean}) and divide by the standard deviation "
        f"({std}), channels in RGB order."
    )
