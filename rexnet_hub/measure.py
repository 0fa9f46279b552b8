"""Measure what can be measured of a model without its images: counts, sizes, digests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rexnet_hub import __version__
from rexnet_hub.errors import MismatchError, UsageError
from rexnet_hub.index import Entry, Lock, Measured
from rexnet_hub.index.lock import (
    PREFERRED_MACS,
    MeasuredFile,
    MeasuredMacs,
    MeasuredSizes,
    MeasuredTensors,
    measurements,
)
from rexnet_hub.index.network import entry_network, entry_tensors
from rexnet_hub.layout import RECEIPT_FILE, WEIGHTS_FILE
from rexnet_hub.standins.make import is_standin
from rexnet_hub.standins.sizes import legacy_size_bytes, safetensors_size_bytes, tensor_bytes
from rexnet_hub.weights.digest import digest_file, require_sha256
from rexnet_hub.weights.receipt import read_receipt

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


def measure_model(entry: Entry, *, checkpoint: Path | None = None, repo: Path | None = None) -> Measured:
    """Measure one model from its network, and from its files where they are here.

    Args:
        checkpoint: The released file: its size and digest.
        repo: The staged repo: its weights' size, digest and fingerprint.

    Raises:
        UsageError: A file holds stand-in weights, which are nobody's measurement.
        MismatchError: The file is not the released one, or the weights are not their receipt's.
        IndexReadError, UnknownModelError: The entry does not say which network it is.
    """
    for path in (checkpoint, repo):
        if path is not None and is_standin(path):
            raise UsageError(f"{path}: holds stand-in weights, which say nothing of {entry.name}")
    tensors = entry_tensors(entry)
    parameters, macs = count_network(entry)
    measured = Measured(
        parameters=parameters,
        tensors=MeasuredTensors(count=len(tensors), size_bytes=tensor_bytes(tensors)),
        expected_sizes=MeasuredSizes(
            legacy_bytes=legacy_size_bytes(tensors), safetensors_bytes=safetensors_size_bytes(tensors)
        ),
        macs=macs,
    )
    if checkpoint is not None:
        measured = replace(measured, released=_measure_released(entry, checkpoint))
    if repo is not None:
        measured = replace(measured, safetensors=_measure_weights(repo))
    return measured


def _measure_released(entry: Entry, checkpoint: Path) -> MeasuredFile:
    """Digest the released file, if it is the one that the entry names."""
    found, released = digest_file(checkpoint), entry.released
    prefix = (released.digest_prefix if released else None) or ""
    size_bytes = released.size_bytes if released else None
    if not found.sha256.startswith(prefix) or size_bytes not in (None, found.size_bytes):
        raise MismatchError(
            checkpoint,
            what="its SHA-256 and size",
            stated=f"{prefix}…, {size_bytes} bytes",
            found=f"{found.sha256[:8]}…, {found.size_bytes} bytes",
            advice=f"It is not the released file of {entry.name}: nothing is recorded of it.",
        )
    return MeasuredFile(**asdict(found))


def _measure_weights(repo: Path) -> MeasuredFile:
    """Digest a repo's weights, if they are the ones that its receipt is of."""
    found, output = digest_file(repo / WEIGHTS_FILE), read_receipt(repo / RECEIPT_FILE).output
    require_sha256(repo / WEIGHTS_FILE, stated=output.sha256, found=found.sha256)
    return MeasuredFile(**asdict(found), fingerprint=output.fingerprint)


def count_network(entry: Entry) -> tuple[int, dict[str, MeasuredMacs]]:
    """Count an entry's parameters, and its operations by every counter that is installed.

    Returns:
        The trainable parameters; and by the name of its convention each count for one picture:
        `conv_linear` (ours: one multiply-add is one), `torch_flop_counter` (torch's: counts two for each)
        and, with fvcore installed, `fvcore` (one for each, batch norms and pooling counted too).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from rexnet_hub.nets.counts import count_macs, count_parameters

    input_px = entry.preprocessing.input_px
    with torch.device("meta"):
        network = entry_network(entry)
        picture = torch.zeros(1, 3, input_px, input_px)
        with FlopCounterMode(display=False) as counter:
            network(picture)
        counts = {
            PREFERRED_MACS: (count_macs(network, input_px=input_px), f"rexnet_hub {__version__}"),
            TORCH_FLOPS: (counter.get_total_flops(), f"torch {torch.__version__.partition('+')[0]}"),
        }
    if (total := _count_by_fvcore(entry)) is not None:
        counts[FVCORE] = total
    macs = {
        name: MeasuredMacs(count=count, input_px=input_px, counter=by) for name, (count, by) in counts.items()
    }
    return count_parameters(network), macs


def _count_by_fvcore(entry: Entry) -> tuple[int, str] | None:
    import importlib.metadata
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about how fvcore traces
        try:
            from fvcore.nn import FlopCountAnalysis  # type: ignore[import-untyped]
        except ImportError:
            return None
        input_px = entry.preprocessing.input_px
        analysis = FlopCountAnalysis(entry_network(entry), torch.zeros(1, 3, input_px, input_px))
        total = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return int(total), f"fvcore {importlib.metadata.version('fvcore')}"


def compare_lock(
    entries: Sequence[Entry],
    lock: Lock,
    *,
    everything: bool = True,
    checkpoint: Path | None = None,
    repo: Path | None = None,
) -> tuple[Disagreement, ...]:
    """Measure again what can be, and name every number that lock or claim says otherwise.

    Counts are compared, not the releases of the counters.

    Args:
        everything: Whether `entries` are the whole index, so that another model in the lock is one too many.
        checkpoint, repo: Files of the one entry, as in `measure_model`.
    """
    found: list[Disagreement] = []
    for entry in entries:
        found += compare_claims(entry, lock.of(entry.name))
        locked = dict(measurements(lock.of(entry.name)))
        for what, measured in measurements(measure_model(entry, checkpoint=checkpoint, repo=repo)):
            if not what.endswith(".counter") and locked.get(what) != measured:
                found.append(
                    Disagreement(model=entry.name, what=what, locked=locked.get(what), measured=measured)
                )
    strangers = lock.models.keys() - {entry.name for entry in entries} if everything else ()
    gone = (
        Disagreement(model=name, what="the model", locked="there is one", measured="none in the index")
        for name in sorted(strangers)
    )
    return (*found, *gone)


def compare_claims(entry: Entry, measured: Measured) -> Iterator[Disagreement]:
    """Compare an entry's claims with what the lock holds of it, and yield each that differs."""
    for name in ("top1", "top5", "parameters", "file_size"):
        claim, locked = entry.metadata.get(name) or entry.metric(name), measured.figure(name)
        if claim is None or locked is None or (agreement := claim.compare(locked)).holds:
            continue
        stated, by = f"{claim.text}, which {agreement}", f"the index ({claim.location}) says"
        yield Disagreement(model=entry.name, what=name, locked=locked, measured=stated, by=by)


def merge_measured(old: Measured, new: Measured) -> Measured:
    """Put new measurements over old ones; what was not measured again stays."""
    fresh = {field.name: value for field in fields(new) if (value := getattr(new, field.name))}
    return replace(old, **{**fresh, "macs": {**old.macs, **new.macs}})
