"""Count a kept run again by other labels of the same images: no images, no weights, no torch."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from rexnet_hub.errors import UsageError
from rexnet_hub.imagenet.data.protocols import PROTOCOLS
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.imagenet.evidence.predictions import Predictions, render_predictions
from rexnet_hub.imagenet.evidence.record import Record

#: What a run on ImageNet's validation set can be counted by again, by the word for it on the command line.
RESCORED = {known.rescored_by: known for known in PROTOCOLS.values() if known.of}


def rescore(record: Record, predictions: Predictions, labels: str) -> tuple[Record, Predictions]:
    """Count a run on the whole validation set by ReaL's labels: any of an image's is right.

    In the predictions each image has one label: of those that are right the one that was ranked first, so
    that they are counted as any others. Images without ReaL labels are left out.

    Args:
        labels: One of `RESCORED`.

    Raises:
        UsageError: It is not a run on the whole set, whose order is known.
    """
    if not (record.complete and record.benchmark.is_imagenets):
        stated = f"{record.model} was run on {record.data}"
        raise UsageError(f"{stated}: --rescore {labels} needs all 50,000 images of ImageNet's validation set")
    known = RESCORED[labels]
    right = [real for _, real in read_table()]
    rows = [row for row, real in enumerate(right) if real]
    top5 = predictions.top5[rows]
    nearest = [
        next((label for label in ranked if label in right[row]), right[row][0])
        for row, ranked in zip(rows, top5.tolist(), strict=True)
    ]
    benchmark = replace(record.benchmark, dataset=known.name, split=None)
    head = replace(predictions.head, images=len(rows), benchmark=benchmark)
    counted = Predictions(head=head, labels=np.array(nearest, np.uint16), top5=top5)
    names = {f"ILSVRC2012_val_{row + 1:08d}.JPEG" for row in rows}
    of_images = record.data.rpartition("labels official, ")[2]
    return replace(
        record,
        top1_count=counted.top1_count,
        top5_count=counted.top5_count,
        images=len(rows),
        data=f"{known.name}, {len(rows):,} images, {known.words}; {of_images}",
        benchmark=benchmark,
        unreadable=tuple(name for name in record.unreadable if name in names),
        predictions_sha256=hashlib.sha256(render_predictions(counted)).hexdigest(),
    ), counted
