"""Make up runs: a record alone, or with the predictions that it was counted from, or stated in a lock too."""

import hashlib
import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np

from rexnet_hub.imagenet.data.classes import Benchmark, digest_labels, entry_labels
from rexnet_hub.imagenet.data.protocols import PROTOCOLS
from rexnet_hub.imagenet.evidence.predictions import Predictions, PredictionsHead, render_predictions
from rexnet_hub.imagenet.evidence.record import Machine, Record, predictions_of, read_record, render_record
from rexnet_hub.index.lock import MeasuredEvaluation

MACHINE = Machine(
    device_type="cpu",
    device_name="a CPU",
    dtype="fp32",
    channels_last=False,
    compiled=False,
    tile_images=8,
    processes=1,
    versions={"torch": "2.15.0", "pillow": "12.0.0"},
)


def made_up_run(preprocessing, **facts):
    """Record a run that says nothing odd, but for the facts."""
    usual: dict[str, Any] = {
        "model": "net",
        "weights_sha256": 64 * "b",
        "fingerprint": None,
        "tensors_sha256": 64 * "0",
        "images": 50000,
        "data": "ImageNet validation, 50,000 images",
        "complete": True,
        "sample": None,
        "unreadable": (),
        "manifest_sha256": 64 * "1",
        "tar_bytes": PROTOCOLS["ImageNet"].archive.size_bytes,
        "predictions_sha256": 64 * "2",
        "machine": MACHINE,
        "seconds": 1.5,
        "command": "rexnet-hub evaluate",
    }
    return Record(preprocessing=preprocessing, **usual | facts)


def keep_run(folder, entry, right=150, images=200, **facts):
    """Keep a made-up run of a model with as many images of each class, the first `right` of them right."""
    classes = entry.value("num_classes")
    labels = np.arange(images, dtype=np.uint16) % classes
    order = np.where(np.arange(images)[:, None] < right, [0, 1, 2, 3, 4], [1, 0, 2, 3, 4])
    guesses = (labels[:, None] + order) % classes
    place = Benchmark(
        dataset="Pets",
        split="test",
        num_classes=classes,
        labels_sha256=digest_labels(entry_labels(entry)),
    )
    head = PredictionsHead(
        model=entry.name,
        tensors_sha256=facts.get("tensors_sha256", 64 * "0"),
        manifest_sha256=64 * "1",
        images=images,
        benchmark=facts.get("benchmark", place),
    )
    predictions = Predictions(head=head, labels=labels, top5=guesses.astype(np.uint16))
    data = render_predictions(predictions)
    known = {
        "model": entry.name,
        "images": images,
        "benchmark": place,
        "data": "Pets, test",
        "top1_count": predictions.top1_count,
        "top5_count": predictions.top5_count,
        "predictions_sha256": hashlib.sha256(data).hexdigest(),
    }
    record = made_up_run(facts.pop("preprocessing", entry.preprocessing), **known | facts)
    folder.mkdir(exist_ok=True)
    file = folder / f"{entry.name}.record.json"
    file.write_text(render_record(record))
    (folder / f"{entry.name}.predictions").write_bytes(data)
    return file


def state_run(index, file):
    """Keep a run as evidence of an index, and return what its lock says of it."""
    record, sha256 = read_record(file), hashlib.sha256(file.read_bytes()).hexdigest()
    run = MeasuredEvaluation(
        record_sha256=sha256,
        dataset=record.benchmark.dataset,
        split=record.benchmark.split,
        images=record.images,
        top1_count=record.top1_count,
        top5_count=record.top5_count,
    )
    (index / "evidence").mkdir(exist_ok=True)
    for name, source in zip(run.file_names, (file, predictions_of(file)), strict=True):
        shutil.copy(source, index / "evidence" / name)
    return run


def bear_out(index, model, measured):
    """Write the least that a lock is read with: records of its counts, and empty files of predictions."""
    (index / "evidence").mkdir(exist_ok=True)
    runs = []
    for run in measured.evaluations:
        counts = {name: getattr(run, name) for name in ("images", "top1_count", "top5_count")}
        place = {"dataset": run.dataset, "split": run.split}
        data = json.dumps({"model": model, "benchmark": place} | counts).encode()
        runs.append(replace(run, record_sha256=hashlib.sha256(data).hexdigest()))
        for name, content in zip(runs[-1].file_names, (data, b""), strict=True):
            (index / "evidence" / name).write_bytes(content)
    return replace(measured, evaluations=tuple(runs))
