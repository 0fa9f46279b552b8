"""Measure what an entry is compared with, each part once, when a check first needs it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from rexnet_hub.errors import CheckpointError, RecordError
from rexnet_hub.identity import Identity
from rexnet_hub.imagenet.evidence.record import Record, recount_locked
from rexnet_hub.index import Claim, Entry, Measured
from rexnet_hub.index.entry import Witness
from rexnet_hub.index.ledger import Ledger
from rexnet_hub.index.lock import MeasuredEvaluation, MeasuredFile, find_evidence_dir
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.repo.folder import Repo, compare_witnesses, released_identity
from rexnet_hub.standins.make import is_standin
from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_MEASURED, Finding
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import FileDigest, digest_file
from rexnet_hub.weights.fingerprint import TensorDigest, digest_weights, fingerprint_of
from rexnet_hub.weights.receipt import Receipt

NEEDS_FILE = "needs the released file: rexnet-hub fetch, or --weights"
FETCH_ALL = "needs each source: rexnet-hub fetch NAME --all"
NEEDS_REPO = "needs the repo: rexnet-hub stage, then --repo"
NEEDS_WEIGHTS = "a run is of some weights: name them with --repo, or lock them"
NEEDS_LOCK = "not in the lock yet: rexnet-hub lock"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that an entry can be compared with.

    Attributes:
        checkpoint: The released file.
        repo: The staged or downloaded repo folder.
        measured: What the lock says.
        records: Runs of this model that were named.
        sources: Other sources of the weights, by digest.
        ledger: What other places state.
    """

    entry: Entry
    checkpoint: Path | None
    repo: Repo | None
    measured: Measured
    records: tuple[Record, ...]
    sources: Mapping[str, Path] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    @cached_property
    def locked_runs(self) -> tuple[tuple[MeasuredEvaluation, Record | RecordError], ...]:
        """Each evaluation in the lock, recounted: from the repo, else from beside the lock."""
        folders = (*([self.repo.folder] if self.repo else ()), find_evidence_dir())
        return tuple(recount_locked(self.entry.name, self.measured, *folders))

    @property
    def runs(self) -> tuple[Record, ...]:
        """The runs that were named, and those of the lock."""
        locked = (found for _, found in self.locked_runs if isinstance(found, Record))
        return (*self.records, *(record for record in locked if record not in self.records))

    @cached_property
    def released_digest(self) -> FileDigest | None:
        """The digest of the released file, if it is here."""
        return digest_file(self.checkpoint) if self.checkpoint else None

    @cached_property
    def weights_digests(self) -> tuple[FileDigest, list[TensorDigest]] | None:
        """The digest of the repo's weights and of each of their tensors, if they are here."""
        return digest_weights(self.repo.weights) if self.repo else None

    @cached_property
    def weights(self) -> MeasuredFile | None:
        """The identity of the repo's weights; without a repo, what the lock states of them."""
        if self.weights_digests is None:
            return self.measured.safetensors
        digest, tensors = self.weights_digests
        return MeasuredFile.of(digest, fingerprint_of(tensors))

    @cached_property
    def witnesses(self) -> dict[Witness, str]:
        """What each witness says of the files, or of what is locked; without a repo the file is converted."""
        entry, fetched = self.entry, [*self.sources.values()]
        if fetched and (self.has_standin_checkpoint or self.has_standin_weights):
            fetched = []
        checkpoint = self.checkpoint or (None if self.repo else next(iter(fetched), None))
        if self.repo is not None:
            return compare_witnesses(entry, checkpoint, self.weights, self.repo.weights, fetched=fetched)
        if checkpoint is None or not entry.witnesses:
            return entry.compare_witnesses(self.measured.released, self.measured.safetensors)
        with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
            out = Path(scratch, WEIGHTS_FILE)
            try:
                output = convert_checkpoint(
                    checkpoint, out, wrapper=entry.said("weights_key"), allow_nonfinite=True
                ).output
            except CheckpointError:  # no weights: only the bytes of the file can be asked of
                return compare_witnesses(entry, checkpoint)
            return compare_witnesses(entry, checkpoint, output, out, fetched=fetched)

    @cached_property
    def has_standin_checkpoint(self) -> bool:
        """Whether the released file is a stand-in."""
        return self.checkpoint is not None and is_standin(
            self.checkpoint, wrapper=self.entry.said("weights_key")
        )

    def find_source(self, receipt: Receipt | None) -> Path | None:
        """Return the file that a repo's receipt is of, if it is here; without a receipt the released one."""
        sha256 = receipt.source.sha256 if receipt else None
        is_other = self.entry.source_of(sha256) != self.entry.released
        return self.sources.get(str(sha256)) if is_other else self.checkpoint

    @cached_property
    def has_standin_weights(self) -> bool:
        """Whether the repo's weights are a stand-in's."""
        return self.repo is not None and is_standin(self.repo.weights)

    @cached_property
    def released_identity(self) -> Identity:
        """The identity of the released file, as index and lock state it."""
        return released_identity(self.entry, self.measured)

    def compare(
        self, claim: str, *, stated: Any, found: Any, note: str, holds: bool | None = None
    ) -> Finding:
        """Make the finding of a claim that was measured; without `holds`, equality decides."""
        verdict = HOLDS if (stated == found if holds is None else holds) else FALSE
        texts = {"stated": str(stated), "found": str(found), "note": note}
        return Finding(model=self.entry.name, claim=claim, verdict=verdict, **texts)

    def compare_claim(self, name: str, claim: Claim, measured: int | Decimal, *, note: str) -> Finding:
        """Make the finding of a published number that was measured; the note begins with how they agree."""
        agreement = claim.compare(measured)
        shown = str(measured) if isinstance(measured, int) else f"{measured:f}%"
        note = f"{agreement}; {note}"
        return self.compare(name, stated=claim.text, found=shown, holds=agreement.holds, note=note)

    def leave(self, claim: str, *, stated: Any, note: str, found: str = "") -> Finding:
        """Make the finding of a claim that was not measured, with what it would take."""
        texts = {"stated": str(stated), "found": found, "note": note}
        return Finding(model=self.entry.name, claim=claim, verdict=NOT_MEASURED, **texts)
