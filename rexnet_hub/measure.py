"""Measure counts, sizes and digests of a model, without images."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub import __version__
from rexnet_hub.errors import FileProblem, IndexReadError, NetworkError, UnknownModelError
from rexnet_hub.identity import Identity, gather, stated_file
from rexnet_hub.index import Entry, Lock, Measured
from rexnet_hub.index.entry import AGREES, DENIES
from rexnet_hub.index.lock import (
    PREFERRED_MACS,
    MeasuredFile,
    MeasuredMacs,
    MeasuredSizes,
    MeasuredTensors,
    find_evidence_dir,
    find_in_lock,
    measurements,
)
from rexnet_hub.index.network import entry_classes, entry_options, entry_plan
from rexnet_hub.index.scores import list_scores, list_unread
from rexnet_hub.layout import DEMO_PICTURE, RECEIPT_FILE, WEIGHTS_FILE, golden_name
from rexnet_hub.nets import find_network
from rexnet_hub.repo.folder import (
    compare_witnesses,
    read_repo,
    released_identity,
    source_identity,
    source_tensors,
)
from rexnet_hub.standins.legacy_writer import legacy_size_bytes, specs_of
from rexnet_hub.standins.make import is_standin
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.fingerprint import digest_weights, fingerprint_of
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.weights.safetensors_file import canonical_order, render_header

if TYPE_CHECKING:
    from torch import Tensor

    from rexnet_hub.nets.modules import Classifier

TORCH_FLOPS = "torch_flop_counter"
FVCORE = "fvcore"


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """One thing that the lock and something else state differently; absent is None.

    Attributes:
        by: What states the other: a measurement, the index, another part of the lock.
    """

    model: str
    what: str
    locked: Any
    measured: Any
    by: str = "measured is"

    def __str__(self) -> str:
        locked = "nothing" if self.locked is None else self.locked
        return f"{self.model}: {self.what}: the lock says {locked}, {self.by} {self.measured}"


def measure_model(
    entry: Entry, *, checkpoint: Path | None = None, repo: Path | None = None, sources: Sequence[Path] = ()
) -> Measured:
    """Measure one model from its network, and from its files where they are here.

    Args:
        checkpoint: The released file: its size and digest.
        repo: The staged repo: its weights' size, digest and fingerprint.
        sources: Other sources of the weights, whose tensors are compared with the repo's.

    Raises:
        FileProblem: A file holds stand-in weights, which are nobody's measurement.
        MismatchError: The file is not the released one, or the weights are not their receipt's.
        IndexReadError, UnknownModelError: The entry does not say which network it is.
    """
    for path in (checkpoint, repo):
        if path is not None and is_standin(path, wrapper=entry.said("weights_key")):
            raise FileProblem(path, f"holds stand-in weights, which say nothing of {entry.name}")
    tensors = entry_plan(entry).tensors
    specs = canonical_order(specs_of(tensors))
    size_bytes = sum(spec.size_bytes for spec in specs)
    input_px = entry.preprocessing.input_px
    parameters, macs = count_network(
        entry.architecture, input_px, **{"num_classes": entry_classes(entry), **entry_options(entry)}
    )
    measured = Measured(
        parameters=parameters,
        tensors=MeasuredTensors(count=len(tensors), size_bytes=size_bytes),
        expected_sizes=MeasuredSizes(
            legacy_bytes=legacy_size_bytes(tensors), safetensors_bytes=len(render_header(specs)) + size_bytes
        ),
        macs=macs,
    )
    if checkpoint is not None:
        measured = replace(measured, released=measure_released(entry, checkpoint))
    if repo is not None:
        measured = replace(measured, safetensors=measure_weights(entry, repo, sources))
    weights = repo and repo / WEIGHTS_FILE
    answers = compare_witnesses(entry, checkpoint, measured.safetensors, weights, fetched=sources)
    agreed = {witness.claim.text: witness.name for witness, answer in answers.items() if answer == AGREES}
    return replace(measured, witnesses=agreed)


def why_unmeasured(entry: Entry) -> str | None:
    """Return why a model's network cannot be measured, such as that nobody here knows it; None if it can."""
    try:
        entry_plan(entry)
        entry_classes(entry)
        entry.preprocessing  # noqa: B018 - raises where it is not stated
    except (IndexReadError, NetworkError, UnknownModelError) as error:
        return str(error)
    return None


def measure_released(entry: Entry, checkpoint: Path) -> MeasuredFile:
    """Digest the released file, if it is the one that the entry names."""
    identity = released_identity(entry, Measured()).agreed(checkpoint)
    digest = digest_file(checkpoint, identity.digests)
    identity.require(checkpoint, digest)
    return MeasuredFile.of(digest)


def measure_weights(entry: Entry, folder: Path, sources: Sequence[Path] = ()) -> MeasuredFile:
    """Digest a repo's weights, if they are the ones that its receipt is of, made from one of the sources.

    Args:
        sources: As of `measure_model`: their tensors must be the same.
    """
    digest, tensors = digest_weights(folder / WEIGHTS_FILE)
    found = MeasuredFile.of(digest, fingerprint_of(tensors))
    receipt = read_receipt(folder / RECEIPT_FILE)
    source = source_identity(entry, Measured(), entry.source_of(receipt.source.sha256))
    source.require(f"{folder / RECEIPT_FILE}, source", receipt.source)
    place = f"{folder / RECEIPT_FILE}, output"
    identity = gather("the receipt", receipt.output, place) + Identity(entry.tensor_statements)
    identity += source_tensors(entry, sources)
    identity.require(folder / WEIGHTS_FILE, found)
    return found


@functools.cache  # an index names few networks, and counting one takes seconds
def count_network(
    architecture: str, input_px: int, *, in_chans: int = 3, **options: Any
) -> tuple[int, Mapping[str, MeasuredMacs]]:
    """Count a network's parameters, and its operations by every counter that is installed.

    Returns:
        The trainable parameters; and by the name of its convention each count for one picture:
        `conv_linear` (ours: one multiply-add is one), `torch_flop_counter` (torch's: counts two for each)
        and, with fvcore installed, `fvcore` (one for each, batch norms and pooling counted too).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from rexnet_hub.nets.counts import count_macs, count_parameters

    network = find_network(architecture)
    with torch.device("meta"):
        built = network.build(in_chans=in_chans, init=False, **options).eval()
        picture = torch.zeros(1, in_chans, input_px, input_px)
        with FlopCounterMode(display=False) as counter:
            network.ask(built, picture)
        own = network.ask(count_macs, built, input_px=input_px, in_chans=in_chans)
        counts = {
            PREFERRED_MACS: (own, f"rexnet_hub {__version__}"),
            TORCH_FLOPS: (counter.get_total_flops(), f"torch {torch.__version__.partition('+')[0]}"),
        }
    whole = network.build(in_chans=in_chans, init=False, **options).eval()
    if (total := network.ask(_count_by_fvcore, whole, torch.zeros_like(picture, device="cpu"))) is not None:
        counts[FVCORE] = total
    macs = {n: MeasuredMacs(count=count, input_px=input_px, counter=by) for n, (count, by) in counts.items()}
    return count_parameters(built), macs


def _count_by_fvcore(network: Classifier, picture: Tensor) -> tuple[int, str] | None:
    import importlib.metadata
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about how fvcore traces
        try:
            from fvcore.nn import FlopCountAnalysis  # type: ignore[import-untyped]
        except ImportError:
            return None
        analysis = FlopCountAnalysis(network, picture)
        total = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return int(total), f"fvcore {importlib.metadata.version('fvcore')}"


def compare_lock(
    entries: Sequence[Entry],
    lock: Lock,
    *,
    everything: bool = True,
    unmeasured: Container[str] = (),
    checkpoint: Path | None = None,
    repo: Path | None = None,
    sources: Sequence[Path] = (),
) -> tuple[Disagreement, ...]:
    """Measure again what can be, and name every number that lock or claim says otherwise.

    Counts are compared, not the releases of the counters.

    Args:
        everything: Whether `entries` are the whole index, so that another model in the lock is one too many.
        unmeasured: Names of models that cannot be measured here.
        checkpoint, repo, sources: Files of the one entry, as in `measure_model`.
    """
    wrong: list[Disagreement] = []
    for entry in entries:
        if entry.name in unmeasured:
            continue
        measured = measure_model(entry, checkpoint=checkpoint, repo=repo, sources=sources)
        locked = lock.of(entry.name)
        wrong += compare_claims(entry, locked)
        wrong += compare_measured(entry, locked, measured)
        if repo and locked.golden:
            from rexnet_hub.golden import judge_golden  # it imports torch

            file = find_evidence_dir() / golden_name(locked.golden)
            differs = judge_golden(file, read_repo(repo), picture=DEMO_PICTURE)[0]
            wrong += [
                Disagreement(model=entry.name, what="golden", locked=file.name, measured=each)
                for each in differs
            ]
    gone = (
        Disagreement(model=name, what="the model", locked="there is one", measured="none in the index")
        for name in (find_orphans(lock, entries) if everything else ())
    )
    return (*wrong, *gone)


def find_orphans(lock: Lock, entries: Sequence[Entry]) -> list[str]:
    """List the models of a lock that left the index; one that was published stays, as it does on the Hub."""
    gone = lock.models.keys() - {entry.name for entry in entries}
    return sorted(name for name in gone if not (lock.of(name).hub or lock.of(name).published))


def compare_measured(entry: Entry, locked: Measured, measured: Measured) -> Iterator[Disagreement]:
    """Find what the lock states of a model otherwise than a measurement, the index or another part of it."""
    numbers, differs = dict(measurements(locked)), functools.partial(Disagreement, model=entry.name)
    for what, number in measurements(measured):
        if not what.endswith(".counter") and numbers.get(what) != number:
            yield differs(what=what, locked=numbers.get(what), measured=number)
    if locked.released is not None and entry.released is not None:
        own = stated_file("the lock", locked.released)
        for statement in entry.released.statements:
            if statement.contradicts(own):
                stated = f"{own.value} ({find_in_lock(entry.name, 'released')})"
                by = f"{statement.by} ({statement.place}) says"
                yield differs(what="released", locked=stated, measured=statement.value, by=by)
    weights, has_all = locked.safetensors, measured.released and measured.safetensors
    for witness, answer in entry.compare_witnesses(None, weights).items():
        if weights is not None and answer == DENIES:
            what, found = f"witnesses.{witness.claim.text}", stated_file("the lock", weights).value
            by = f"{witness.statement.by} ({witness.claim.location}) says"
            yield differs(what=what, locked=found, measured=witness.claim.text, by=by)
    asked = {each.claim.text for each in entry.witnesses if not has_all or each.is_source}
    for value in sorted(locked.witnesses.keys() - asked - set(measured.witnesses)):
        yield differs(what=f"witnesses.{value}", locked=locked.witnesses[value], measured="nothing of it")
    for what, other in _same_facts(locked, measured):
        if None not in (numbers.get(what), other) and numbers[what] != other:
            by = "another part of it says"
            yield differs(what=what, locked=numbers[what], measured=other, by=by)


def _same_facts(locked: Measured, measured: Measured) -> Iterator[tuple[str, Any]]:
    """Pair numbers of the lock with what must equal them."""
    if measured.expected_sizes is not None:
        yield "safetensors.size_bytes", measured.expected_sizes.safetensors_bytes
    if locked.safetensors is not None:
        yield "released.fingerprint", locked.safetensors.fingerprint
    if locked.published:
        last = locked.published[-1]
        yield "safetensors.sha256", last.weights_sha256
        for name in ("repo_id", "commit", "tag"):
            yield f"hub.{name}", getattr(last, name)


def compare_claims(entry: Entry, measured: Measured) -> Iterator[Disagreement]:
    """Compare an entry's claims with what the lock holds of it; yield each that differs or cannot be read."""
    scores = {score.name: score for score in list_scores(entry, measured)}
    for name, unread in list_unread(entry):
        locked = scores[name].measured if name in scores else measured.figure(name)
        stated = f"{unread.text}, which is unreadable: {unread.problem}"
        by = f"the index ({unread.location}) says"
        yield Disagreement(model=entry.name, what=name, locked=locked, measured=stated, by=by)
    counted = {n: (entry.metadata.get(n), measured.figure(n)) for n in ("parameters", "file_size")}
    rated = {name: (score.claim, score.measured) for name, score in scores.items()}
    for name, (claim, locked) in {**rated, **counted}.items():
        if claim is None or claim.problem or locked is None or (agreement := claim.compare(locked)).holds:
            continue
        stated, by = f"{claim.text}, which {agreement}", f"the index ({claim.location}) says"
        yield Disagreement(model=entry.name, what=name, locked=locked, measured=stated, by=by)


def merge_measured(entry: Entry, old: Measured, new: Measured) -> Measured:
    """Merge new measurements into old ones; what was not measured again stays.

    Witnesses that the entry has no more go, and golden logits of another input or other weights.
    """
    fresh = {field.name: value for field in fields(new) if (value := getattr(new, field.name))}
    stated = {witness.claim.text for witness in entry.witnesses}
    agreed = {value: by for value, by in {**old.witnesses, **new.witnesses}.items() if value in stated}
    merged = replace(old, **fresh | {"macs": {**old.macs, **new.macs}, "witnesses": agreed})
    if merged.golden is None:
        return merged
    from rexnet_hub.golden import is_golden_of  # it imports torch

    return merged if is_golden_of(entry, merged) else replace(merged, golden=None)
