"""Evaluate models, by name or folder, on ImageNet, and compare the accuracies with their claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rexnet_hub.auto import load_network
from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.data.dataset import Dataset, sample_dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.evidence.explain import Explanation, explain_accuracy
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.network import ModelUnderTest
from rexnet_hub.imagenet.run.plan import RunOptions
from rexnet_hub.imagenet.run.progress import Progress
from rexnet_hub.index import Entry, Measured
from rexnet_hub.locate import find_repo
from rexnet_hub.verify import Finding
from rexnet_hub.verify.checks import Evidence, judge_run
from rexnet_hub.weights.digest import digest_file


def ready_model(name: str, source: str) -> ModelUnderTest:
    """Load a model to be evaluated: an index name, a Hub repo or a folder, with its weights' digest.

    Args:
        name: What its record and predictions are called.
    """
    repo = find_repo(source)
    return ModelUnderTest(
        name=name,
        network=load_network(repo).eval(),
        preprocessing=repo.config.preprocessing,
        weights_sha256=digest_file(repo.weights).sha256,
        fingerprint=repo.receipt.output.fingerprint if repo.receipt else None,
    )


def find_images(
    data: Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    allow_subset: bool = False,
    labels: Path | None = None,
    class_ids: Path | None = None,
) -> Dataset:
    """Read a validation set, or draw a sample of it, evenly over the classes.

    Args:
        labels, class_ids: As in `imagenet.layouts.read_dataset`.

    Raises:
        DatasetError: It is not the validation set, or not whole.
    """
    images = read_dataset(data, labels=labels, class_ids=class_ids, allow_subset=allow_subset)
    return images if sample is None else sample_dataset(images, sample, seed=seed)


def name_sources(sources: Sequence[str]) -> dict[str, str]:
    """Return a name for each source: an index name is its own, a folder or repo has its last part.

    Raises:
        UsageError: Two would have one name.
    """
    named = {Path(source).resolve().name if Path(source).is_dir() else Path(source).name: source
             for source in dict.fromkeys(sources)}  # fmt: skip
    if len(named) < len(set(sources)):
        raise UsageError(f"two of {', '.join(sources)} have one name, and so one record; rename a folder")
    return named


def evaluate(
    sources: Mapping[str, str],
    images: Dataset,
    *,
    options: RunOptions | None = None,
    out_dir: Path | None = None,
    cache_dir: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Record, ...]:
    """Evaluate several models in one pass; see `imagenet.evaluate.evaluate_models`.

    Args:
        sources: Name of each record -> an index name, Hub repo or folder.
    """
    models = [ready_model(name, source) for name, source in sources.items()]
    return evaluate_models(
        models, images, options=options, out_dir=out_dir, cache_dir=cache_dir, on_progress=on_progress
    )


def compare_with_claims(entry: Entry, record: Record) -> tuple[Finding, ...]:
    """Compare a run of an entry's own weights with the accuracies that the entry claims."""
    evidence = Evidence(entry=entry, checkpoint=None, repo=None, measured=Measured(), records=())
    claims = ((name, entry.metric(name)) for name in ("top1", "top5"))
    return tuple(judge_run(evidence, name, claim, record) for name, claim in claims if claim is not None)


def explain(source: str, images: Dataset, *, expected_percent: float, device: str = "cpu") -> Explanation:
    """Find which change of preprocessing gives an expected top-1; see `imagenet.explain`."""
    (name,) = name_sources([source])
    return explain_accuracy(ready_model(name, source), images, expected_percent, device=device)
