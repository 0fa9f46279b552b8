"""Evaluate models on labelled images, compare with claims, fill the lock."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rexnet_hub.auto import load_network
from rexnet_hub.errors import RecordError, UsageError, file_problems, list_some, refuse_unused
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.imagenet.data.classes import Benchmark, digest_labels
from rexnet_hub.imagenet.data.dataset import IMAGENET_VALIDATION, read_file, sample_dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.evidence.predictions import read_predictions
from rexnet_hub.imagenet.evidence.record import Record, predictions_of, recount
from rexnet_hub.imagenet.evidence.verdict import LEVEL, fewest_found
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.imagenet.run.runner import ModelUnderTest
from rexnet_hub.index import Entry, Measured
from rexnet_hub.index.lock import MeasuredEvaluation, find_evidence_dir
from rexnet_hub.index.scores import list_scores
from rexnet_hub.index.spellings import IMAGENET_CLASSES, find_class_problem, is_same_place, place_name
from rexnet_hub.layout import PREDICTIONS_SUFFIX
from rexnet_hub.locate import find_repo, name_of
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.verify import FALSE, HOLDS, Finding
from rexnet_hub.verify.checks import is_run_of, judge_run
from rexnet_hub.verify.evidence import Evidence
from rexnet_hub.verify.files import require_run_of
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.whole_files import whole_files


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
    """Find what a model is evaluated on: ImageNet's validation set, or a data set that is named.

    Raises:
        UsageError: The model's classes are not ImageNet's, and no data set of its own is named; or the one
            that is named has no images of its own.
    """
    if dataset is None:
        refuse_unused("ImageNet's validation set", split=split)
    if problem := find_class_problem("ImageNet" if dataset is None else dataset, model.num_classes):
        which = "the" if dataset is None else "another"
        raise UsageError(f"{model.name} {problem}: name {which} data set, --dataset NAME")
    if dataset is None:
        named = IMAGENET_VALIDATION
    else:
        sha256 = digest_labels(model.labels)
        named = Benchmark(dataset=dataset, split=split, num_classes=model.num_classes, labels_sha256=sha256)
    if (known := named.protocol) is None:
        return named
    if known.of:
        then = f"keep a run on those (--record), then {known.command}"
        raise UsageError(f"{known.name} has {known.of}'s images: {then}")
    if model.num_classes != IMAGENET_CLASSES:
        stated = f"{model.name} has {model.num_classes} classes, so not ImageNet's"
        raise UsageError(f"{stated}: name another data set, --dataset NAME")
    if named.is_imagenets:
        return IMAGENET_VALIDATION
    return replace(named, labels_sha256=IMAGENET_VALIDATION.labels_sha256)


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


def audit_record(file: Path, data: Path, *, repo: Path | None, size: int, seed: int) -> Finding:
    """Run some images of a kept run anew, with the settings that it states, and compare each answer.

    Args:
        file: The record, its predictions beside it.
        data: The images that it is of.
        repo: The folder of the model; without it, the model is loaded by its name.
        size: How many are drawn, of each class its share.
        seed: Of the drawing; whoever kept the run must not have known it.

    Returns:
        A finding of the claim `audit`: it holds where the same five classes in the same order were answered.

    Raises:
        RecordError: It does not agree with its predictions, or the images are others.
        UsageError: It has not as many images, or is of another run's counted again.
    """
    record, kept = recount(file), read_predictions(predictions_of(file))
    if (known := record.benchmark.protocol) and known.of:
        problem = f"is counted from a run on {known.of}: audit the record of that"
        raise UsageError(f"{file}: {known.name} {problem}")
    model = replace(ready_model(record.model, str(repo or record.model)), preprocessing=record.preprocessing)
    images = read_dataset(
        data,
        allow_subset=not record.complete,
        benchmark=IMAGENET_VALIDATION if record.benchmark.is_imagenets else record.benchmark,
        class_names=model.labels,
    )
    if (sample := record.sample) is not None:
        images = sample_dataset(images, sample.size, seed=sample.seed)
    if [image.label for image in images.images] != kept.labels.tolist():
        counts = f"{len(images.images):,} with their classes are there, {kept.head.images:,} in it"
        raise RecordError(file, f"is not of the images at {data}: {counts}, or in another order")
    drawn, machine = sample_dataset(images, size, seed=seed), record.machine
    options = RunOptions(dtype=machine.dtype, channels_last=machine.channels_last, skip_unreadable=True)
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        (again,) = evaluate_models([model], drawn, options=options, out_dir=Path(scratch))
        anew = read_predictions(Path(scratch, f"{model.name}{PREDICTIONS_SUFFIX}")).top5
    places = {image.name: place for place, image in enumerate(images.images)}
    before = [kept.top5[places[image.name]] for image in drawn.images]
    rows = zip(drawn.images, before, anew, strict=True)
    wrong = [image.name for image, was, now in rows if (was != now).any()]
    share = 100 * fewest_found(size, len(images.images)) / len(images.images)
    note = f"seed {seed}; {LEVEL:.0%} of audits find answers altered for {share:.2g} % of the images"
    if again.machine != replace(machine, processes=again.machine.processes):
        note += f"; the record is of {machine}, this is {again.machine}"
    found = f"{len(wrong)} others: {list_some(wrong, 5)}" if wrong else f"the same for {size:,} images"
    return Finding(
        model=record.model,
        claim="audit",
        verdict=FALSE if wrong else HOLDS,
        stated=f"the same for {size:,} images",
        found=found,
        note=note,
    )


def enter_records(entry: Entry, measured: Measured, files: Sequence[Path], *, repo: Path | None) -> Measured:
    """Enter runs into what the lock has of a model, and keep their evidence beside the lock.

    A run takes the place of an earlier one on the same data set and split.

    Args:
        files: Records, each with its predictions beside it.
        repo: The folder whose weights were evaluated; without it, the lock states them.

    Raises:
        RecordError: A record does not agree with its predictions, or is not of this model's weights, classes
            and input, or is no accuracy; nothing was written.
        UsageError: Two are of one data set and split.
    """
    there = None if repo is None else read_repo(repo)
    evidence = Evidence(entry=entry, checkpoint=None, repo=there, measured=measured, records=())
    kept: list[tuple[MeasuredEvaluation, list[bytes]]] = []
    for file in files:
        require_run_of(evidence, record := recount(file))
        data = [read_file(each) for each in (file, predictions_of(file))]
        run = MeasuredEvaluation(
            record_sha256=hashlib.sha256(data[0]).hexdigest(),
            dataset=record.benchmark.dataset,
            split=record.benchmark.split,
            images=record.images,
            top1_count=record.top1_count,
            top5_count=record.top5_count,
        )
        if any(is_same_place(other.place, run.place) for other, _ in kept):
            place = place_name(*run.place)
            raise UsageError(f"{file}: is a second run of {entry.name} on {place}; name one")
        kept.append((run, data))
    folder = find_evidence_dir()
    for run, data in kept:
        with file_problems(folder, "cannot be written"):
            folder.mkdir(exist_ok=True)
        with whole_files(*(folder / name for name in run.file_names)) as streams:
            for stream, content in zip(streams, data, strict=True):
                stream.write(content)
        others = (other for other in measured.evaluations if not is_same_place(other.place, run.place))
        measured = replace(measured, evaluations=(*others, run))
    return measured
