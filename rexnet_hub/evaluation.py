"""Evaluate models on ImageNet, and compare with their claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rexnet_hub.auto import load_network
from rexnet_hub.errors import UsageError
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.imagenet.run.runner import ModelUnderTest
from rexnet_hub.index import Entry, Measured
from rexnet_hub.locate import find_repo, name_of
from rexnet_hub.verify import Finding
from rexnet_hub.verify.checks import judge_run
from rexnet_hub.verify.evidence import Evidence
from rexnet_hub.weights.digest import digest_file


def ready_model(name: str, source: str, *, trusted_key: Path | str | None = None) -> ModelUnderTest:
    """Load a model to be evaluated: an index name, a Hub repo or a folder, with its weights' digest.

    Args:
        name: What its record and predictions are called.
        trusted_key: As in `AutoModel.from_pretrained`.
    """
    repo = find_repo(source, Access(trusted_key=trusted_key))
    return ModelUnderTest(
        name=name,
        network=load_network(repo).eval(),
        preprocessing=repo.config.preprocessing,
        weights_sha256=digest_file(repo.weights).sha256,
        fingerprint=repo.receipt.output.fingerprint if repo.receipt else None,
    )


def name_sources(sources: Sequence[str]) -> dict[str, str]:
    """Return a name for each source.

    Raises:
        UsageError: Two would have one name.
    """
    named = {name_of(source): source for source in dict.fromkeys(sources)}
    if len(named) < len(set(sources)):
        raise UsageError(f"two of {', '.join(sources)} have one name, and so one record; rename a folder")
    return named


def compare_with_claims(entry: Entry, record: Record) -> tuple[Finding, ...]:
    """Compare a run of an entry's own weights with the accuracies that the entry claims."""
    evidence = Evidence(entry=entry, checkpoint=None, repo=None, measured=Measured(), records=())
    claims = ((name, entry.metric(name)) for name in ("top1", "top5"))
    return tuple(judge_run(evidence, name, claim, record) for name, claim in claims if claim is not None)
