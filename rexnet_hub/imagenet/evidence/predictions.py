"""Read and render what a network answered for every image, and count it again without one."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from rexnet_hub.errors import RecordError, file_problems
from rexnet_hub.imagenet.data.classes import NO_CLASS, OF_BEFORE, Benchmark
from rexnet_hub.imagenet.data.validation import right_classes
from rexnet_hub.records import Rule, Sha256, parse_record
from rexnet_hub.whole_files import open_regular

TOP = 5
#: In place of a class: the image could not be read, and counts as wrong.
UNREADABLE = NO_CLASS

_FORMAT = "rexnet-hub predictions 1"
_DIGEST_BYTES = 32
_MAX_HEAD_BYTES = 4096
_MAX_IMAGES = 1 << 24
_MAX_BYTES = _MAX_HEAD_BYTES + _MAX_IMAGES * (1 + TOP) * 2 + _DIGEST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsHead:
    """The model and data that a predictions file is of.

    Attributes:
        tensors_sha256: Of every tensor of the network: see `runner.digest_tensors`.
        manifest_sha256: Of the data set's manifest, whose order the answers have.
        benchmark: Data set, split and classes; in files of before ImageNet's.
    """

    model: str
    tensors_sha256: Sha256
    manifest_sha256: Sha256
    images: Annotated[int, Rule(range(1, _MAX_IMAGES + 1).__contains__, "a number of images")]
    benchmark: Benchmark = OF_BEFORE


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Predictions:
    """The five likeliest classes of every image, and the true one.

    Attributes:
        labels: uint16, shape (images,).
        top5: uint16, shape (images, 5), likeliest first; of equally likely classes the lower index first.
            Of a network with fewer classes the rest is `NO_CLASS`.
    """

    head: PredictionsHead
    labels: np.ndarray
    top5: np.ndarray

    @property
    def top1_count(self) -> int:
        """Images whose likeliest class is the true one."""
        return int((self.top5[:, 0] == self.labels).sum())

    @property
    def top5_count(self) -> int:
        """Images whose true class is among the five likeliest."""
        return int((self.top5 == self.labels[:, None]).any(axis=1).sum())

    @property
    def is_complete(self) -> bool:
        """Whether the labels are those of the whole set, by their counts."""
        return self.head.benchmark.is_whole(self.labels.tolist())


def render_predictions(predictions: Predictions) -> bytes:
    """Write predictions as bytes.

    A line of JSON; the labels and then the classes, as little-endian uint16; the SHA-256 of all that.
    """
    head = json.dumps({"format": _FORMAT, **asdict(predictions.head)}, sort_keys=True) + "\n"
    arrays = (predictions.labels, predictions.top5)
    body = head.encode() + b"".join(array.astype("<u2").tobytes() for array in arrays)
    return body + hashlib.sha256(body).digest()


def read_predictions(file: Path) -> Predictions:
    """Read a predictions file.

    Raises:
        RecordError: It is damaged, cut short or of another kind.
        FileProblem: It cannot be read.
    """
    with file_problems(file, "cannot be read"), open_regular(file) as stream:
        data = stream.read(_MAX_BYTES + 1)
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    line, newline, values = body.partition(b"\n")
    if not newline or len(line) > _MAX_HEAD_BYTES or _FORMAT.encode() not in line:
        raise RecordError(file, "is not a predictions file")
    if hashlib.sha256(body).digest() != digest:
        raise RecordError(file, "is damaged or cut short: its bytes do not have the digest that it ends with")
    try:
        head = parse_record(PredictionsHead, line, version=("format", _FORMAT))
    except ValueError as error:
        raise RecordError(file, f"its head is not that of a predictions file: {error}") from None
    if len(values) != head.images * (1 + TOP) * 2:
        raise RecordError(file, f"does not hold {head.images:,} images as its head says")
    numbers = np.frombuffer(values, "<u2")
    labels, top5 = numbers[: head.images], numbers[head.images :].reshape(-1, TOP)
    if problem := _wrong_classes(labels, top5, head.benchmark):
        raise RecordError(file, problem)
    return Predictions(head=head, labels=labels, top5=top5)


def _wrong_classes(labels: np.ndarray, top5: np.ndarray, benchmark: Benchmark) -> str | None:
    """Return what no evaluation can have written."""
    num_classes, known = benchmark.num_classes, benchmark.protocol
    unreadable = (top5 == UNREADABLE).all(axis=1)
    answers, rest = top5[~unreadable, :num_classes], top5[:, num_classes:]
    if (labels >= num_classes).any() or (answers >= num_classes).any() or (rest != NO_CLASS).any():
        return f"names classes that are not 0 to {num_classes - 1}"
    ordered = np.sort(answers, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        return "names a class twice for one image"
    if benchmark.mask and not np.isin(answers, benchmark.mask).all():
        return f"ranks others than the {len(benchmark.mask)} classes of {benchmark.title}"
    right = right_classes(known.name) if known and len(labels) == known.images else None
    pairs = enumerate(zip(labels.tolist(), right or (), strict=False))
    if wrong := [at for at, (label, classes) in pairs if label not in classes]:
        where = f"{len(wrong):,} images, the first in place {wrong[0]}"
        return f"has other labels than {benchmark.title} has officially, of {where}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two networks on the same images, one by one, by their likeliest class.

    Attributes:
        changed: Places, in the manifest's order, of the images on which only one is right.
        p_value: McNemar's exact test, two-sided: how often two networks that are equally good
            would differ by this much.
    """

    complete: bool
    both_right: int
    only_first_right: int
    only_second_right: int
    both_wrong: int
    changed: tuple[int, ...]
    p_value: float


def compare_predictions(first: Predictions, second: Predictions) -> Comparison:
    """Compare two networks image by image.

    Raises:
        RecordError: They are not of the same images.
    """
    same_set = first.head.manifest_sha256 == second.head.manifest_sha256
    if not same_set or not np.array_equal(first.labels, second.labels):
        manifests = " and ".join(f"{each.head.manifest_sha256[:16]}…" for each in (first, second))
        problem = f"are not of the same images: manifest {manifests}"
        raise RecordError(f"{first.head.model} and {second.head.model}", problem)
    a, b = (p.top5[:, 0] == p.labels for p in (first, second))
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    return Comparison(
        complete=first.is_complete,
        both_right=int((a & b).sum()),
        only_first_right=only_first,
        only_second_right=only_second,
        both_wrong=int((~a & ~b).sum()),
        changed=tuple(int(i) for i in np.flatnonzero(a != b)),
        p_value=mcnemar_p_value(only_first, only_second),
    )


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Compute McNemar's exact p-value: a fair coin for each image that only one has right.

    Source:
        McNemar, Psychometrika 12 (1947), with the binomial distribution itself.
    """
    flips, fewer = only_first + only_second, min(only_first, only_second)
    tail, term = 0, 1
    for heads in range(fewer + 1):  # whole numbers: no rounding until the last step
        tail += term
        term = term * (flips - heads) // (heads + 1)
    return min(1.0, math.exp(math.log(2 * tail) - flips * math.log(2)))
