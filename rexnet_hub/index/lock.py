"""Read and write what machines measured of each model: `lock.json`, beside the index.

Every part is optional: what is absent has not been measured. Written by commands, never by hand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

from rexnet_hub.errors import IndexReadError, UsageError, file_problems
from rexnet_hub.identity import Facts
from rexnet_hub.index.entry import Claim, Entry
from rexnet_hub.index.spellings import is_same_place
from rexnet_hub.layout import (
    EVIDENCE_FOLDER,
    LOCK_FILE,
    PACKAGE_DIR,
    evidence_names,
    find_index_dir,
    golden_name,
    is_evidence,
    is_repo_id,
    real_path,
)
from rexnet_hub.records import (
    Count,
    Rule,
    Sha256,
    Text,
    UnfitError,
    once,
    parse_json,
    parse_record,
    render_problem,
)

VERSION = 1
#: No network here takes a larger picture, and one of this size still fits into a machine's memory.
MAX_SIDE_PX = 4096
#: The convention whose count stands for "the" MACs of a model, where several were measured.
PREFERRED_MACS = "conv_linear"
_Side = Annotated[
    int, Rule(range(1, MAX_SIDE_PX + 1).__contains__, f"a whole number of pixels, 1 to {MAX_SIDE_PX}")
]
_Commit = Annotated[str, Rule(re.compile(r"[0-9a-f]{40}").fullmatch, "40 lower-case hexadecimal digits")]
_RepoId = Annotated[str, Rule(is_repo_id, "OWNER/NAME as the Hub takes it")]
_Problem = tuple[tuple[str | int, ...], str]
Day = Annotated[str, Rule(re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch, "a day as YYYY-MM-DD")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFile:
    """A file: its full SHA-256, its size, and of weights the fingerprint that no container changes."""

    sha256: Sha256
    size_bytes: Count
    fingerprint: Text | None = None

    @classmethod
    def of(cls, facts: Facts, fingerprint: str | None = None) -> MeasuredFile:
        """Make the record of a file's facts; those of a receipt have the fingerprint themselves."""
        assert facts.size_bytes is not None  # of a file that was read
        known = fingerprint or getattr(facts, "fingerprint", None)
        return cls(sha256=facts.sha256, size_bytes=facts.size_bytes, fingerprint=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTensors:
    """A state dict: how many tensors, and their bytes."""

    count: Count
    size_bytes: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSizes:
    """The sizes of files of exactly these tensors: torch's legacy container, and canonical safetensors."""

    legacy_bytes: Count
    safetensors_bytes: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMacs:
    """Multiply-accumulates of one picture of `input_px` squared, and what counted them."""

    count: Count
    input_px: _Side
    counter: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredHub:
    """The place where the model was published."""

    repo_id: _RepoId
    commit: _Commit
    tag: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One time that the model was published: when (YYYY-MM-DD, UTC), as which commit, with which weights."""

    date: Day
    repo_id: _RepoId
    commit: _Commit
    weights_sha256: Sha256
    tag: Text | None = None


#: The metrics that an evaluation counts.
COUNTED = ("top1", "top5")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEvaluation:
    """An exact evaluation: right guesses among the images of a data set, and the digest of its record.

    It is in a lock only with that record and its predictions beside it; `lock --record` alone enters it.
    """

    record_sha256: Sha256
    dataset: Text
    split: Text | None = None
    images: Count
    top1_count: Count
    top5_count: Count

    def __post_init__(self) -> None:
        """Refuse counts that no evaluation gives."""
        if not self.top1_count <= self.top5_count <= self.images:
            raise ValueError("counts more top-1 than top-5, or more than there are images")

    @property
    def place(self) -> tuple[str, str | None]:
        """Data set and split, to be compared with others'."""
        return self.dataset, self.split

    def percent(self, name: str) -> Decimal | None:
        """Return one of `COUNTED` in percentage points; None of no images."""
        right = int(getattr(self, f"{name}_count"))
        return Decimal(100 * right) / self.images if self.images else None

    @property
    def file_names(self) -> tuple[str, str]:
        """What its record and predictions are called, beside the lock and in a repo."""
        return evidence_names(self.record_sha256)

    def find_problem(self, model: str, folder: Path) -> str | None:
        """Return why a folder does not hold the record and predictions of these numbers; None if it does.

        The predictions are not counted here: `imagenet.evidence.record.recount` does.
        """
        record, predictions = (folder / name for name in self.file_names)
        if missing := [str(file) for file in (record, predictions) if not file.is_file()]:
            return f"is stated without its evidence: {' and '.join(missing)} missing"
        with file_problems(record, "cannot be read"):
            data = record.read_bytes()
        try:
            facts = parse_json(data)
            place = facts.get("benchmark") or {"dataset": "ImageNet", "split": "validation"}
            names = ("images", "top1_count", "top5_count")
            own = {"model": model} | {name: getattr(self, name) for name in names}
            same = all(facts.get(name) == value for name, value in own.items())
            same = same and is_same_place(self.place, (place.get("dataset"), place.get("split")))
        except (ValueError, AttributeError, TypeError):
            same = False
        is_it = same and hashlib.sha256(data).hexdigest() == self.record_sha256
        return None if is_it else f"is not what {record} states"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of one model; None or empty where nothing was.

    Attributes:
        macs: By convention, such as `conv_linear`, `torch_flop_counter` or `fvcore`.
        published: Every time that it was, the latest last; `hub` is where it is now.
        witnesses: The place of each that agreed with the files that were measured, by algorithm and digest.
        golden: The SHA-256 of what its network answers to two inputs, a file beside the lock.
    """

    released: MeasuredFile | None = None
    safetensors: MeasuredFile | None = None
    parameters: Count | None = None
    tensors: MeasuredTensors | None = None
    expected_sizes: MeasuredSizes | None = None
    macs: Mapping[str, MeasuredMacs] = field(default_factory=dict)
    hub: MeasuredHub | None = None
    published: tuple[Publication, ...] = ()
    evaluations: tuple[MeasuredEvaluation, ...] = once("evaluation", as_list=True)
    witnesses: Mapping[str, Text] = field(default_factory=dict)
    golden: Sha256 | None = None

    @property
    def evidence(self) -> tuple[str, ...]:
        """What its files beside the lock are called."""
        names = [name for run in self.evaluations for name in run.file_names]
        return (*names, *([golden_name(self.golden)] if self.golden else ()))

    @property
    def preferred_macs(self) -> MeasuredMacs | None:
        """The count under our own convention, else under the first by name."""
        return self.macs.get(PREFERRED_MACS) or next((self.macs[name] for name in sorted(self.macs)), None)

    def figure(self, name: str) -> int | Decimal | None:
        """Return what was measured of a figure, as queries name it; None where nothing was."""
        if name == "macs":
            return self.preferred_macs.count if self.preferred_macs else None
        if name == "file_size":
            return self.released.size_bytes if self.released else None
        return self.parameters if name == "parameters" else None

    def reproduces(self, claim: Claim | None) -> bool:
        """Return whether a file of the tensors in torch's legacy container has the size that is claimed."""
        sizes = self.expected_sizes
        return bool(sizes and claim and claim.field == "file_size" and claim.value == sizes.legacy_bytes)

    def of_standin(self) -> Measured:
        """Return what is true of random numbers in the released shape too: no file, run or publication."""
        same = replace(self, released=None, safetensors=None, evaluations=(), golden=None)
        return replace(same, hub=None, published=(), witnesses={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The measurements, by model name."""

    models: Mapping[str, Measured] = field(default_factory=dict)

    def of(self, name: str) -> Measured:
        """Return what was measured of a model; an empty record where nothing was."""
        return self.models.get(name, Measured())

    def of_entry(self, entry: Entry) -> Measured:
        """Return what was measured of an entry of the index; of a repo's own it has nothing."""
        return Measured() if entry.is_in_repo else self.of(entry.name)

    @property
    def repos(self) -> dict[str, str]:
        """The repo on the Hub of each model that was published."""
        return {name: measured.hub.repo_id for name, measured in self.models.items() if measured.hub}

    def with_model(self, name: str, measured: Measured) -> Lock:
        """Return a lock in which one model's measurements are these."""
        return Lock(models={**self.models, name: measured})


def measurements(measured: Measured) -> list[tuple[str, str | int]]:
    """List what was measured of a model by dotted name, such as `macs.conv_linear.count`."""
    return list(flatten(_dropped(asdict(measured))))


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """List what is in mappings, lists and tuples, by dotted name."""
    value = value._asdict() if hasattr(value, "_asdict") else value
    if not isinstance(value, dict | list | tuple):
        yield name, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flatten(inner, f"{name}.{key}" if name else str(key))


def find_lock() -> Path:
    """Return the path of the lock of the zoo's own index; it may not exist yet."""
    place = find_index_dir()
    return (place if place.is_dir() else place.parent) / LOCK_FILE


def read_lock(path: Path | str | None = None) -> Lock:
    """Read a lock; without a path the zoo's own, where a lock that does not exist is an empty one.

    Raises:
        FileProblem: A named file does not exist or cannot be read.
        IndexReadError: It is not a lock, or states an accuracy without its evidence; each key that is wrong
            is named, with its line.
    """
    file = find_lock() if path is None else Path(path)
    if path is None and not file.exists():
        return Lock()
    return read_beside(Lock, file, lambda lock: _find_unproven(lock, file.parent / EVIDENCE_FOLDER))


_Kind = TypeVar("_Kind")


def read_beside(
    kind: type[_Kind], file: Path, check: Callable[[_Kind], Iterable[_Problem]] = lambda record: ()
) -> _Kind:
    """Read a file of JSON beside the index as a record, and check that.

    Raises:
        FileProblem: It cannot be read.
        IndexReadError: It is none; each key that is wrong is named, with its line.
    """
    try:
        with file_problems(file, "cannot be read"):
            text = file.read_text(encoding="utf-8")
        record = parse_record(kind, text, version=("version", VERSION))
        if problems := list(check(record)):
            raise UnfitError(problems)
        return record
    except UnfitError as error:
        placed = [(*_find_line(text, at), render_problem(at, what)) for at, what in error.problems]
        raise IndexReadError("\n".join(f"{file}:{line}:{at}: {what}" for line, at, what in placed)) from None
    except json.JSONDecodeError as error:
        raise IndexReadError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except ValueError as error:
        what = kind.__name__.lower()
        raise IndexReadError(f"{file}: not JSON of a {what}: {error}") from None


def _find_unproven(lock: Lock, folder: Path) -> Iterator[_Problem]:
    """List the accuracies and golden logits that no file bears out."""
    for name, measured in lock.models.items():
        for number, run in enumerate(measured.evaluations):
            if problem := run.find_problem(name, folder):
                advice = "take it out, and enter it with rexnet-hub lock NAME --record FILE"
                yield ("models", name, "evaluations", number), f"{problem}; {advice}"
        if measured.golden:
            file = folder / golden_name(measured.golden)
            with file_problems(file, "cannot be read"):
                data = file.read_bytes() if file.is_file() else b""
            if hashlib.sha256(data).hexdigest() != measured.golden:
                advice = "take it out, and enter it with rexnet-hub lock NAME --repo DIR"
                yield ("models", name, "golden"), f"is not the SHA-256 of {file}; {advice}"


def find_evidence_dir() -> Path:
    """Return the folder of records and predictions beside the zoo's own lock; it may not exist yet."""
    return find_lock().parent / EVIDENCE_FOLDER


def find_in_lock(*keys: str) -> str:
    """Return the place of a part of the zoo's own lock, such as `find_in_lock(name, "released")`."""
    file = find_lock()
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return f"{file}:{_find_line(text, ('models', *keys))[0]}, {'.'.join(keys)}"


def require_own_index(*places: Path) -> None:
    """Refuse to write into an installed package: the next install overwrites or deletes it.

    Args:
        places: What would be written to; without them the zoo's own index.

    Raises:
        UsageError: One lies in the package.
    """
    for place in places or (find_index_dir(),):
        if real_path(place).is_relative_to(PACKAGE_DIR):
            raise UsageError(
                f"{place} is the installed package's: the next install would delete what is written to it. "
                "Stand in a zoo of your own, which rexnet-hub init DIR begins, or name its index with --index"
            )


def require_unpublished(name: str, advice: str) -> None:
    """Refuse to change for others what they may load by its name.

    Raises:
        UsageError: The model was published.
    """
    measured = read_lock().of(name)
    if measured.hub is not None or measured.published:
        place = measured.hub.repo_id if measured.hub else measured.published[-1].repo_id
        raise UsageError(f"{name} was published as {place}, and others may load it: {advice}")


def update_lock(change: Callable[[Lock], Lock]) -> Path:
    """Read the zoo's own lock, change it and write it, while no other process can; return its path.

    Evidence that it then states no more is removed, also where the change fails.

    Raises:
        UsageError: It is an installed package's.
        FileProblem, IndexReadError: It cannot be read or written.
    """
    from rexnet_hub.whole_files import locked

    require_own_index()
    file = find_lock()
    with locked(file.resolve()):
        lock = read_lock()
        try:
            changed = change(lock)
            write_lock(changed, file)
            lock = changed
        finally:  # what a change that fails has kept already goes too
            sweep_evidence(lock)
    return file


def sweep_evidence(lock: Lock) -> None:
    """Remove the evidence beside the zoo's own lock that it states no more.

    Raises:
        FileProblem: One cannot be removed.
    """
    stated = {name for measured in lock.models.values() for name in measured.evidence}
    for each in find_evidence_dir().glob("*"):
        if is_evidence(each.name) and each.name not in stated and not each.is_dir():
            with file_problems(each, "cannot be removed"):
                each.unlink()


def write_lock(lock: Lock, path: Path | str) -> None:
    """Write a lock whole, with sorted keys: the same lock gives the same bytes.

    Raises:
        FileProblem: It cannot be written; what was there is as it was.
    """
    from rexnet_hub.whole_files import write_whole

    write_whole(Path(path), render_lock(lock).encode())


def render_lock(lock: Lock) -> str:
    """Render a lock as the text of its file."""
    models = {name: _dropped(asdict(measured)) for name, measured in lock.models.items()}
    document = {"version": VERSION, "models": models}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _dropped(value: Any) -> Any:
    """Convert tuples to lists, and leave out what was not measured."""
    if isinstance(value, tuple):
        return [_dropped(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _dropped(inner) for key, inner in value.items() if inner not in (None, {}, ())}


_LIST, _NEXT = re.compile(r'(?:"[^"]*"\s*:\s*)?\[\s*'), re.compile(r"\s*,\s*")


def _find_line(text: str, keys: tuple[str | int, ...]) -> tuple[int, int]:
    """Find line and column of a key: each is looked for after the one that holds it, an item by number."""
    place = 0
    for key in keys:
        if isinstance(key, str):
            start = text.find(json.dumps(key, ensure_ascii=False), place)
            place = place if start < 0 else start
        elif opened := _LIST.match(text, place):
            place = opened.end()
            for _ in range(key):
                end = json.JSONDecoder().raw_decode(text, place)[1]
                place = found.end() if (found := _NEXT.match(text, end)) else place
    return text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
