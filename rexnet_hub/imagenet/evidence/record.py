"""Keep what an accuracy was measured on, with what and how, and hold it against its predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rexnet_hub.errors import RecordError, UsageError
from rexnet_hub.imagenet.data.dataset import Sample, list_problems
from rexnet_hub.imagenet.evidence.predictions import (
    UNREADABLE,
    Predictions,
    read_bytes,
    read_predictions,
    write_bytes,
)
from rexnet_hub.index import Preprocessing

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
RECORD_VERSION = 1
RECORD_SUFFIX, PREDICTIONS_SUFFIX = ".record.json", ".predictions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run ran on and how; together with the data, all that its numbers depend on.

    Attributes:
        device_type: `cpu` or `cuda`; the same bits can be had on one type only.
        device_name: As the system names it.
        dtype: `fp32`, or `bf16` or `fp16` for autocast.
        channels_last: Whether the network ran in that memory format.
        compiled: Whether `torch.compile` was used.
        tile_images: Images that went through the network at a time, always in the same company.
        processes: How many there were; no number depends on it.
        versions: Of what was used, by package.
    """

    device_type: str
    device_name: str
    dtype: str
    channels_last: bool
    compiled: bool
    tile_images: int
    processes: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One model's accuracy, and everything that it was measured with.

    Attributes:
        model: Its name.
        weights_sha256: Of its weights file, as the caller stated it.
        fingerprint: Of its weights in whatever layout, as the caller stated it.
        tensors_sha256: Of the tensors that were in the network, measured.
        top1_count: Images whose likeliest class was the true one.
        top5_count: Images whose true class was among the five likeliest.
        images: Images counted, unreadable ones included.
        data: What the images are, in words.
        complete: Whether they are the whole validation set, by count and class.
        sample: How they were drawn, where they are a sample.
        unreadable: Names of images that could not be decoded; they count as wrong.
        manifest_sha256: Of the list of all images with their digests and labels.
        predictions_sha256: Of the predictions file.
        preprocessing: The pixels that were used.
        machine: What it ran on.
        seconds: Wall time of the pass, in which other models may have been evaluated too; a run
            that was interrupted counts the last stretch only.
        command: What was typed.
    """

    model: str
    weights_sha256: str | None
    fingerprint: str | None
    tensors_sha256: str
    top1_count: int
    top5_count: int
    images: int
    data: str
    complete: bool
    sample: Sample | None
    unreadable: tuple[str, ...]
    manifest_sha256: str
    predictions_sha256: str
    preprocessing: Preprocessing
    machine: Machine
    seconds: float
    command: str

    @property
    def top1_percent(self) -> float:
        """In percentage points."""
        return 100 * self.top1_count / self.images

    @property
    def top5_percent(self) -> float:
        """In percentage points."""
        return 100 * self.top5_count / self.images

    @property
    def may_enter_index(self) -> bool:
        """Whether the number is the model's accuracy: in fp32, on every image of the whole set."""
        return self.complete and not self.unreadable and self.machine.dtype == "fp32"

    @property
    def conditions(self) -> str:
        """What must be said wherever a number of it is."""
        lost = f", {len(self.unreadable)} unreadable counted wrong" if self.unreadable else ""
        return f"on {self.data}{lost}, {self.machine.dtype}"

    def __str__(self) -> str:
        return (
            f"{self.model}: top-1 {self.top1_percent:.3f} % ({self.top1_count:,}), "
            f"top-5 {self.top5_percent:.3f} % ({self.top5_count:,}) {self.conditions}"
        )


def render_record(record: Record) -> str:
    """Write a record as JSON, as `record.schema.json` describes it."""
    return (
        json.dumps({"record_version": RECORD_VERSION, **asdict(record)}, indent=2, ensure_ascii=False) + "\n"
    )


def write_record(file: Path, record: Record) -> None:
    """Write a record to a file, whole or not at all."""
    write_bytes(file, render_record(record).encode())


def read_record(file: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: It is not one; all that is missing or foreign is named.
        FileProblem: It cannot be read.
    """
    try:
        raw = json.loads(read_bytes(file))
    except ValueError as error:
        raise RecordError(file, f"is not JSON ({error})") from error
    if not isinstance(raw, dict) or raw.pop("record_version", None) != RECORD_VERSION:
        raise RecordError(file, f"is not a record of an evaluation, version {RECORD_VERSION}")
    if isinstance(raw.get("preprocessing"), dict):
        raw["preprocessing"].setdefault("crop_mode", "center")  # older records do not say it
    parts = (
        ("", Record, raw),
        ("machine.", Machine, raw.get("machine")),
        ("sample.", Sample, raw.get("sample")),
    )
    nested = (*parts, ("preprocessing.", Preprocessing, raw.get("preprocessing")))
    problems = [problem for prefix, kind, part in nested for problem in _wrong_keys(prefix, kind, part)]
    problems += _wrong_values(raw) if not problems else []
    if problems:
        raise RecordError(file, list_problems(problems))
    pixels, sample = raw["preprocessing"], raw["sample"]
    return Record(
        **raw
        | {
            "unreadable": tuple(raw["unreadable"]),
            "preprocessing": Preprocessing(**pixels | {k: tuple(pixels[k]) for k in ("mean", "std")}),
            "machine": Machine(**raw["machine"]),
            "sample": Sample(**sample) if sample else None,
        }
    )


def _wrong_keys(prefix: str, kind: type, part: Any) -> list[str]:
    """List a part's missing and foreign keys."""
    if part is None and kind is Sample:
        return []
    if not isinstance(part, dict):
        return [f"{prefix.removesuffix('.')} is not an object"]
    known = {field.name for field in fields(kind)}
    missing = [f"{prefix}{name} is missing" for name in sorted(known - part.keys())]
    return missing + [f"{prefix}{name} is not known" for name in sorted(part.keys() - known)]


def _wrong_values(raw: dict[str, Any]) -> list[str]:
    """List the values that no run can have written."""
    counts = {name: raw[name] for name in ("top1_count", "top5_count", "images")}
    problems = [
        f"{name} is not a count: {value!r}" for name, value in counts.items() if type(value) is not int
    ]
    if not problems and not 0 <= raw["top1_count"] <= raw["top5_count"] <= raw["images"] != 0:
        problems.append("the counts are not top1_count <= top5_count <= images")
    digests = {name: raw[name] for name in ("tensors_sha256", "manifest_sha256", "predictions_sha256")}
    problems += [
        f"{n} is not a SHA-256: {v!r}"
        for n, v in digests.items()
        if not (isinstance(v, str) and len(v) == 64)
    ]
    problems += [] if isinstance(raw["unreadable"], list) else ["unreadable is not a list"]
    return problems


def recount(record: Path) -> Record:
    """Read a run's record and recompute its counts from the predictions beside it: no images, no weights.

    Args:
        record: The `.record.json`; its predictions lie beside it.

    Raises:
        RecordError: They do not agree.
        UsageError: The file is not named as a record.
    """
    if not record.name.endswith(RECORD_SUFFIX):
        raise UsageError(f"{record}: a record's name ends in {RECORD_SUFFIX}")
    predictions = record.with_name(record.name.removesuffix(RECORD_SUFFIX) + PREDICTIONS_SUFFIX)
    if not predictions.is_file():
        raise RecordError(record, f"has no predictions beside it: {predictions.name} is missing")
    return check_record(record, predictions)


def check_record(
    record_file: Path,
    predictions_file: Path,
    *,
    weights_sha256: str | None = None,
    manifest_sha256: str | None = None,
) -> Record:
    """Recompute a record's accuracy from its predictions: no images, no weights, no torch.

    Args:
        record_file: The record.
        predictions_file: What the network answered.
        weights_sha256: Of the weights that the record must be of, where they are known.
        manifest_sha256: Of the images that the record must be of, where they are known.

    Raises:
        RecordError: Something does not agree; all that does not is listed.
    """
    record, predictions = read_record(record_file), read_predictions(predictions_file)
    digest = hashlib.sha256(read_bytes(predictions_file)).hexdigest()
    pairs = (
        *_recount(record, predictions),
        ("the digest of the predictions", record.predictions_sha256, digest),
        ("the digest of the weights", record.weights_sha256, weights_sha256 or record.weights_sha256),
        ("the digest of the data set", record.manifest_sha256, manifest_sha256 or record.manifest_sha256),
    )
    if problems := [
        f"{what} is {found}, the record says {stated}" for what, stated, found in pairs if stated != found
    ]:
        raise RecordError(record_file, list_problems(problems))
    return record


def _recount(record: Record, predictions: Predictions) -> tuple[tuple[str, Any, Any], ...]:
    """Pair what the record says with what the predictions say."""
    head = predictions.head
    unreadable = int((predictions.top5[:, 0] == UNREADABLE).sum())
    return (
        ("the top-1 count", record.top1_count, predictions.top1_count),
        ("the top-5 count", record.top5_count, predictions.top5_count),
        ("the number of images", record.images, head.images),
        ("the number of unreadable images", len(record.unreadable), unreadable),
        ("the model", record.model, head.model),
        ("the digest of the predictions' tensors", record.tensors_sha256, head.tensors_sha256),
        ("the digest of the predictions' images", record.manifest_sha256, head.manifest_sha256),
        ("being complete", record.complete, record.complete and predictions.is_complete),
    )
