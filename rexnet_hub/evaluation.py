"""Evaluate models on labelled images, and compare with their claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rexnet_hub.auto import load_network
from rexnet_hub.errors import UsageError, refuse_unused
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.imagenet.data.classes import Benchmark, digest_labels
from rexnet_hub.imagenet.data.dataset import IMAGENET_VALIDATION
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.imagenet.run.runner import ModelUnderTest
from rexnet_hub.index import Entry, Measured
from rexnet_hub.index.entry import IMAGENET_CLASSES
from rexnet_hub.index.scores import list_scores
from rexnet_hub.locate import find_repo, name_of
from rexnet_hub.verify import Finding
from rexnet_hub.verify.checks import is_run_of, judge_run
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
        num_classes=repo.config.num_classes,
        labels=repo.config.label_names,
    )


def find_benchmark(model: ModelUnderTest, dataset: str | None, split: str | None) -> Benchmark:
    """Find what a model is evaluated on: ImageNet's validation set, or a data set whose classes are its own.

    Raises:
        UsageError: No data set is named, and the model's classes are not ImageNet's.
    """
    if dataset is None:
        refuse_unused("ImageNet's validation set", split=split)
    if dataset is None or Benchmark(dataset=dataset, split=split).is_imagenets:
        if model.num_classes != IMAGENET_CLASSES:
            named = "name the data set, --dataset NAME"
            raise UsageError(f"{model.name} has {model.num_classes} classes, so not ImageNet's: {named}")
        return IMAGENET_VALIDATION
    sha256 = digest_labels(model.labels)
    return Benchmark(dataset=dataset, split=split, num_classes=model.num_classes, labels_sha256=sha256)


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
    scores = (score for score in list_scores(entry) if is_run_of(record, score))
    readable = ((score, score.claim) for score in scores if score.claim and not score.claim.problem)
    return tuple(judge_run(evidence, score, claim, record) for score, claim in readable)
