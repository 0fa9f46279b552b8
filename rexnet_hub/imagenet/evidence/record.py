"""Read and render what an accuracy was measured on and with, and check it against its predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rexnet_hub.errors import OutputExistsError, RecordError, UsageError, file_problems
from rexnet_hub.imagenet.data.classes import OF_BEFORE, Benchmark
from rexnet_hub.imagenet.data.dataset import Sample, list_problems, read_file
from rexnet_hub.index import Entry, Measured, Preprocessing
from rexnet_hub.index.lock import Lock, MeasuredEvaluation, find_evidence_dir, find_lock
from rexnet_hub.layout import PREDICTIONS_SUFFIX, RECORD_SUFFIX
from rexnet_hub.records import Count, Sha256, Text, parse_record
from rexnet_hub.whole_files import whole_files

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
RECORD_VERSION = 1
DEVICE_TYPES, DTYPE_NAMES = ("cpu", "cuda"), ("fp32", "bf16", "fp16")
#: The packages whose releases can change a bit of an answer.
DECISIVE = ("torch", "pillow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine, versions and settings of a run; together with the data, all that its numbers depend on.

    Attributes:
        device_type: `cpu` or `cuda`; the same bits can be had on one type only.
        dtype: `fp32`, or `bf16` or `fp16` for autocast.
        tile_images: Images that went through the network at a time, always in the same company.
        processes: How many there were; no number depends on it.
    """

    device_type: str
    device_name: Text
    dtype: str
    channels_last: bool
    compiled: bool
    tile_images: int
    processes: int
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what no evaluation runs on."""
        if self.device_type not in DEVICE_TYPES or self.dtype not in DTYPE_NAMES:
            raise ValueError(f"{self.device_type} in {self.dtype} is nothing that a run is done with")
        if missing := [name for name in DECISIVE if not self.versions.get(name)]:
            raise ValueError(f"does not state the version of {', '.join(missing)}")

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {self.versions[name]}" for name in DECISIVE)
        return f"{self.device_type} ({self.device_name}), {versions}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One model's accuracy, and everything that it was measured with.

    Attributes:
        weights_sha256: Of its weights file, as the caller stated it.
        fingerprint: Of its weights in whatever layout, as the caller stated it.
        tensors_sha256: Of the tensors that were in the network, measured.
        images: Images counted, unreadable ones included.
        data: What the images are, in words.
        benchmark: Data set, split and list of classes; in records of before ImageNet's.
        complete: Whether they are the whole set: of ImageNet by count and class, else by class.
        sample: How they were drawn, where they are a sample.
        unreadable: Names of images that could not be decoded; they count as wrong.
        manifest_sha256: Of the list of all images with their digests and labels.
        tar_bytes: The size of a tar of the images, or of all that they are a sample of; of ImageNet's it is
            published. None where it is not known, and in records of before.
        seconds: Wall time of the pass, in which other models may have been evaluated too; a run
            that was interrupted counts the last stretch only.
    """

    model: str
    weights_sha256: Sha256 | None
    fingerprint: str | None
    tensors_sha256: Sha256
    top1_count: Count
    top5_count: Count
    images: Count
    data: str
    complete: bool
    sample: Sample | None
    unreadable: tuple[str, ...]
    manifest_sha256: Sha256
    predictions_sha256: Sha256
    preprocessing: Preprocessing
    machine: Machine
    seconds: float
    command: str
    benchmark: Benchmark = OF_BEFORE
    tar_bytes: Count | None = None

    def __post_init__(self) -> None:
        """Refuse counts that no evaluation gives."""
        if not 0 <= self.top1_count <= self.top5_count <= self.images != 0:
            raise ValueError("the counts are not top1_count <= top5_count <= images")

    def count(self, metric: str) -> int:
        """Return the images that are right by `top1` or `top5`."""
        return int(getattr(self, f"{metric}_count"))

    @property
    def top1_percent(self) -> float:
        """In percentage points."""
        return 100 * self.top1_count / self.images

    @property
    def top5_percent(self) -> float:
        """In percentage points."""
        return 100 * self.top5_count / self.images

    @property
    def is_fair_sample(self) -> bool:
        """Whether the images are a sample of the whole set, as far as its size is known the official one."""
        if self.tar_bytes is not None and not self.is_anchored:
            return False
        if self.sample is None or self.sample.of_whole is not None:
            return self.sample is not None and bool(self.sample.of_whole)
        known = self.benchmark.protocol
        return known is not None and self.sample.drawn_from == known.images

    @property
    def is_anchored(self) -> bool:
        """Whether the images have the size of the official archive, where one is published."""
        archive = self.benchmark.protocol and self.benchmark.protocol.source.archive
        return not archive or archive.size_bytes == self.tar_bytes

    @property
    def may_enter_index(self) -> bool:
        """Whether the number is the model's accuracy: in fp32, on every image of the official set."""
        return self.complete and self.is_anchored and not self.unreadable and self.machine.dtype == "fp32"

    @property
    def conditions(self) -> str:
        """The conditions that are printed wherever a number of it is."""
        lost = f", {len(self.unreadable)} unreadable counted wrong" if self.unreadable else ""
        return f"on {self.data}{lost}, {self.machine.dtype}"

    def __str__(self) -> str:
        return (
            f"{self.model}: top-1 {self.top1_percent:.3f} % ({self.top1_count:,}), "
            f"top-5 {self.top5_percent:.3f} % ({self.top5_count:,}) {self.conditions}"
        )


def render_record(record: Record) -> str:
    """Write a record as JSON, as `record.schema.json` describes it."""
    document = {"record_version": RECORD_VERSION, **asdict(record)}
    if record.benchmark == OF_BEFORE:  # read from a file without it, whose digest the lock may have
        del document["benchmark"]
    if record.tar_bytes is None:
        del document["tar_bytes"]
    if record.sample is not None and record.sample.of_whole is None:
        del document["sample"]["of_whole"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_record(file: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: It is not one; all that is missing or foreign is named.
        FileProblem: It cannot be read.
    """
    try:
        return parse_record(Record, read_file(file), version=("record_version", RECORD_VERSION))
    except ValueError as error:
        raise RecordError(file, f"is not a record of an evaluation: {error}") from None


def require_new(models: Sequence[str], folder: Path | None) -> None:
    """Refuse two records of one name, and in a folder one that is there.

    Raises:
        UsageError: Two models have one name.
        OutputExistsError: A record is there already.
    """
    if twice := sorted({model for model in models if models.count(model) > 1}):
        raise UsageError(f"two models are named {', '.join(twice)}")
    for file in (folder / f"{model}{RECORD_SUFFIX}" for model in models if folder):
        if file.exists():
            raise OutputExistsError(file, "is a record already; delete it or choose another folder")


def keep_run(folder: Path, record: Record, predictions: bytes) -> None:
    """Write a run's record and predictions, both or none."""
    with file_problems(folder, "cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    files = (folder / f"{record.model}{end}" for end in (PREDICTIONS_SUFFIX, RECORD_SUFFIX))
    with whole_files(*files) as (answers, facts):
        answers.write(predictions)
        facts.write(render_record(record).encode())


def predictions_of(record: Path) -> Path:
    """Return the predictions file of a record's.

    Raises:
        UsageError: The file is not named as a record.
    """
    if not record.name.endswith(RECORD_SUFFIX):
        raise UsageError(f"{record}: a record's name ends in {RECORD_SUFFIX}")
    return record.with_name(record.name.removesuffix(RECORD_SUFFIX) + PREDICTIONS_SUFFIX)


def recount(file: Path) -> Record:
    """Read a run's record and recompute its counts from the predictions beside it: no images, no weights.

    Raises:
        RecordError: Something does not agree; all that does not is listed.
        FileProblem: One cannot be read.
        UsageError: The file is not named as a record.
    """
    from rexnet_hub.imagenet.evidence.predictions import UNREADABLE, read_predictions  # they import numpy

    predictions_file = predictions_of(file)
    record, predictions = read_record(file), read_predictions(predictions_file)
    head, digest = predictions.head, hashlib.sha256(read_file(predictions_file)).hexdigest()
    unreadable = int((predictions.top5[:, 0] == UNREADABLE).sum())
    pairs = (
        ("the top-1 count", record.top1_count, predictions.top1_count),
        ("the top-5 count", record.top5_count, predictions.top5_count),
        ("the number of images", record.images, head.images),
        ("the number of unreadable images", len(record.unreadable), unreadable),
        ("the model", record.model, head.model),
        ("the benchmark", record.benchmark, head.benchmark),
        ("the digest of the predictions' tensors", record.tensors_sha256, head.tensors_sha256),
        ("the digest of the predictions' images", record.manifest_sha256, head.manifest_sha256),
        ("being complete", record.complete, record.complete and predictions.is_complete),
        ("the digest of the predictions", record.predictions_sha256, digest),
    )
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    if problems := [f"{what} is {value}, the record says {stated}" for what, stated, value in differing]:
        raise RecordError(file, list_problems(problems))
    return record


def recount_locked(
    model: str, measured: Measured, *folders: Path
) -> Iterator[tuple[MeasuredEvaluation, Record | RecordError]]:
    """Recount each evaluation that a lock states of a model, from the first folder that has its record.

    Yields:
        The evaluation, and its record or what is wrong with it.
    """
    for run in measured.evaluations:
        folder = next((each for each in folders if (each / run.file_names[0]).is_file()), folders[-1])
        file = folder / run.file_names[0]
        try:
            if problem := run.find_problem(model, folder):
                raise RecordError(file, problem)
            yield run, recount(file)
        except RecordError as error:
            yield run, error


def require_counted(lock: Lock, entries: Iterable[Entry]) -> None:
    """Recount every accuracy that the zoo's own lock states.

    Args:
        entries: The models as they are now.

    Raises:
        RecordError: A record does not agree with its predictions, or is of other weights or another input
            than the model has now; all that are wrong are named.
    """
    folder, now, wrong = find_evidence_dir(), {entry.name: entry for entry in entries}, list[str]()
    for name, measured in lock.models.items():
        for run, found in recount_locked(name, measured, folder):
            if isinstance(found, RecordError):
                wrong.append(str(found))
            elif problem := _find_other(found, now.get(name), measured):
                advice = "take it out, or enter a new run with rexnet-hub lock NAME --record FILE"
                wrong.append(str(RecordError(folder / run.file_names[0], f"{problem}; {advice}")))
    if wrong:
        raise RecordError(find_lock(), "\n".join(["states what was not counted:", *wrong]))


def _find_other(record: Record, entry: Entry | None, measured: Measured) -> str:
    """Return what a run in the lock was of that the model is no more, in words; empty if all is as it was."""
    pairs = {}
    if measured.safetensors is not None:
        pairs["weights_sha256"] = (record.weights_sha256, measured.safetensors.sha256)
    if entry is not None and not entry.unstated_input:
        stated, own = asdict(record.preprocessing), asdict(entry.preprocessing)
        pairs |= {name: (value, own[name]) for name, value in stated.items()}
    wrong = (f"{name} {one}, now it is {own}" for name, (one, own) in pairs.items() if one != own)
    return list_problems([f"is a run with {each}" for each in wrong])
