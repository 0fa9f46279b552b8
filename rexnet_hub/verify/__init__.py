"""Check every claim of an entry by measuring, one finding a claim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rexnet_hub.errors import FileProblem, IndexReadError, NetworkError, UnknownModelError
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.index import Entry, Measured
from rexnet_hub.index.ledger import Ledger
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.verify.checks import CHECKS, Check
from rexnet_hub.verify.evidence import Evidence
from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_MEASURED, Finding, require_truth
from rexnet_hub.weights.digest import digest_file

__all__ = ["FALSE", "HOLDS", "NOT_MEASURED", "Finding", "require_truth", "verify_model"]


def verify_model(
    entry: Entry,
    *,
    checkpoint: Path | None = None,
    repo: Path | None = None,
    measured: Measured | None = None,
    records: Sequence[Record] = (),
    sources: Sequence[Path] = (),
    ledger: Ledger | None = None,
) -> tuple[Finding, ...]:
    """Check one entry's claims against the network and whatever files there are.

    Args:
        entry: The model, as the index has it.
        checkpoint: The released file, if it is here, or another source of the weights.
        repo: The repo folder, if it is here.
        measured: What the lock says of the model.
        records: Runs of the model on ImageNet, each already compared with its predictions.
        sources: What is here of the weights' sources; each is known by its digest.
        ledger: What other places state, each checked by the cause that is named.

    Returns:
        One finding for each claim: it holds, is false, or was not measured.

    Raises:
        FileProblem: A file that was named is not there.
        RepoError: The repo folder is none.
    """
    if checkpoint is not None and not checkpoint.is_file():
        raise FileProblem(checkpoint, "there is no such file")
    here = {digest_file(file).sha256: file for file in (*sources, *([checkpoint] if checkpoint else []))}
    others = {sha256: file for sha256, file in here.items() if entry.source_of(sha256) != entry.released}
    if checkpoint is None or checkpoint in others.values():
        checkpoint = next((file for sha256, file in here.items() if sha256 not in others), None)
    evidence = Evidence(
        entry=entry,
        checkpoint=checkpoint,
        sources=others,
        repo=None if repo is None else read_repo(repo, as_stated=False),
        measured=measured or Measured(),
        ledger=ledger or Ledger(),
        records=tuple(record for record in records if record.model == entry.name),
    )
    return tuple(finding for check in CHECKS for finding in _run(check, evidence))


def _run(check: Check, evidence: Evidence) -> list[Finding]:
    """Run one check; what an entry does not state, or nobody can build, is not checked and stops no other."""
    try:
        return list(check(evidence))
    except (IndexReadError, NetworkError, UnknownModelError) as error:
        entry = evidence.entry
        note = f"the entry at {entry.location} cannot be compared with a network"
        texts = {"stated": entry.architecture, "found": "not checked", "note": f"{note}: {error}"}
        return [evidence.leave(check.__name__.removeprefix("check_"), **texts)]
