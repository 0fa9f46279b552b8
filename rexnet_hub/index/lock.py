"""Read and write what machines measured of each model: `lock.json`, beside the index.

Every part is optional: what is absent has not been measured. Written by commands, never by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, IndexReadError
from rexnet_hub.layout import LOCK_FILE, find_index_dir

VERSION = 1
#: No network here takes a larger picture, and one of this size still fits into a machine's memory.
MAX_SIDE_PX = 4096
#: The convention whose count stands for "the" MACs of a model, where several were measured.
PREFERRED_MACS = "conv_linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFile:
    """A file: its full SHA-256, its size, and of weights the fingerprint that no container changes."""

    sha256: str
    size_bytes: int
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTensors:
    """A state dict: how many tensors, and their bytes."""

    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSizes:
    """How large files of exactly these tensors are: torch's legacy container, and canonical safetensors."""

    legacy_bytes: int
    safetensors_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMacs:
    """Multiply-accumulates of one picture of `input_px` squared, and what counted them."""

    count: int
    input_px: int
    counter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredHub:
    """Where the model was published."""

    repo_id: str
    commit: str
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One time that the model was published: when (YYYY-MM-DD, UTC), as which commit, with which weights."""

    date: str
    repo_id: str
    commit: str
    weights_sha256: str
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEvaluation:
    """An exact evaluation: right guesses among images, and the digest of its record."""

    record_sha256: str
    dataset: str
    images: int
    top1_count: int
    top5_count: int

    def percent(self, name: str) -> Decimal:
        """Return `top1` or `top5` in percentage points."""
        return Decimal(100 * int(getattr(self, f"{name}_count"))) / self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one model; None or empty where nothing was.

    Attributes:
        macs: By convention, such as `conv_linear`, `torch_flop_counter` or `fvcore`.
        parameters: Trainable ones, counted.
        published: Every time that it was, the latest last; `hub` is where it is now.
    """

    released: MeasuredFile | None = None
    safetensors: MeasuredFile | None = None
    parameters: int | None = None
    tensors: MeasuredTensors | None = None
    expected_sizes: MeasuredSizes | None = None
    macs: Mapping[str, MeasuredMacs] = field(default_factory=dict)
    hub: MeasuredHub | None = None
    published: tuple[Publication, ...] = ()
    evaluation: MeasuredEvaluation | None = None

    @property
    def preferred_macs(self) -> MeasuredMacs | None:
        """The count under our own convention, else under the first by name."""
        return self.macs.get(PREFERRED_MACS) or next((self.macs[name] for name in sorted(self.macs)), None)

    def figure(self, name: str) -> int | Decimal | None:
        """Return what was measured of a figure, as queries name it; None where nothing was."""
        if name in ("top1", "top5"):
            run = self.evaluation
            return run.percent(name) if run and run.images else None
        if name == "macs":
            return self.preferred_macs.count if self.preferred_macs else None
        if name == "file_size":
            return self.released.size_bytes if self.released else None
        return self.parameters if name == "parameters" else None

    def of_standin(self) -> Measured:
        """Keep what holds of random numbers in the released shape too: no file, run or publication."""
        return replace(self, released=None, safetensors=None, evaluation=None, hub=None, published=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What was measured, by model name."""

    models: Mapping[str, Measured] = field(default_factory=dict)

    def of(self, name: str) -> Measured:
        """Give what was measured of a model; an empty record where nothing was."""
        return self.models.get(name, Measured())

    def with_model(self, name: str, measured: Measured) -> Lock:
        """Give a lock in which one model's measurements are these."""
        return Lock(models={**self.models, name: measured})


def measurements(measured: Measured) -> list[tuple[str, str | int]]:
    """List what was measured of a model by dotted name, such as `macs.conv_linear.count`."""
    return list(_flat(_dropped(asdict(measured)), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str | int]]:
    if not isinstance(value, dict | list):
        yield name, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(inner, f"{name}.{key}" if name else str(key))


def find_lock() -> Path:
    """Name the lock of the zoo's own index; it may not exist yet."""
    place = find_index_dir()
    return (place if place.is_dir() else place.parent) / LOCK_FILE


def read_lock(path: Path | str | None = None) -> Lock:
    """Read a lock; without a path the zoo's own, where a lock that does not exist is an empty one.

    Raises:
        FileProblem: A named file does not exist or cannot be read.
        IndexReadError: It is not a lock; each key that is wrong is named, with its line.
    """
    file = find_lock() if path is None else Path(path)
    if path is None and not file.exists():
        return Lock()
    try:
        text = file.read_text(encoding="utf-8")
        data = json.loads(text, object_pairs_hook=_without_repeats)
    except OSError as error:
        raise FileProblem(file, f"cannot be read: {error.strerror}") from error
    except _Repeated as error:
        raise IndexReadError(f"{file}: the key {error.args[0]!r} stands twice in one object") from None
    except json.JSONDecodeError as error:
        raise IndexReadError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise IndexReadError(f"{file}: not JSON: {error}") from None
    return _LockReader(file, text).read(data)


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
    return (
        json.dumps({"version": VERSION, "models": models}, indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
    )


def _dropped(value: Any) -> Any:
    """Turn tuples to lists, and leave out what was not measured."""
    if isinstance(value, tuple):
        return [_dropped(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _dropped(inner) for key, inner in value.items() if inner not in (None, {}, ())}


class _Repeated(Exception):  # noqa: N818 - caught a few lines above
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for number, (key, _) in enumerate(pairs):
        if any(key == earlier for earlier, _ in pairs[:number]):
            raise _Repeated(key)
    return dict(pairs)


_HEX = frozenset("0123456789abcdef")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_side(value: Any) -> bool:
    return _is_count(value) and 1 <= value <= MAX_SIDE_PX


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def _is_commit(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 40 and set(value) <= _HEX


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is not None


#: What each kind of leaf is, and how it is told.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_is_count, "a whole number, from 0 to 2^63 - 1"),
    "side": (_is_side, f"a whole number of pixels, 1 to {MAX_SIDE_PX}"),
    "text": (_is_text, "text"),
    "sha256": (_is_sha256, "64 lower-case hexadecimal digits"),
    "date": (_is_date, "a day as YYYY-MM-DD"),
    "commit": (_is_commit, "40 lower-case hexadecimal digits"),
}
#: Each record: its fields and their kinds; a `?` marks one that may be absent.
_FILE = {"sha256": "sha256", "size_bytes": "count", "fingerprint?": "text"}
_TENSORS = {"count": "count", "size_bytes": "count"}
_SIZES = {"legacy_bytes": "count", "safetensors_bytes": "count"}
_MACS = {"count": "count", "input_px": "side", "counter": "text"}
_HUB = {"repo_id": "text", "commit": "commit", "tag?": "text"}
_PUBLICATION = {
    "date": "date",
    "repo_id": "text",
    "commit": "commit",
    "weights_sha256": "sha256",
    "tag?": "text",
}
_EVALUATION = {
    "record_sha256": "sha256",
    "dataset": "text",
    "images": "count",
    "top1_count": "count",
    "top5_count": "count",
}


class _LockReader:
    """Turns the JSON into records, collecting each thing that is wrong."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.text = file, text
        self.wrong: list[str] = []

    def read(self, data: Any) -> Lock:
        version = data.get("version") if isinstance(data, dict) else None
        if type(version) is not int or version != VERSION or set(data) - {"version", "models"}:
            raise IndexReadError(
                f'{self.file}:1:1: expected {{"version": {VERSION}, "models": {{…}}}} and no other key'
            )
        models = self._mapping(data.get("models", {}), ("models",))
        read = {name: self._measured(value, ("models", name)) for name, value in models.items()}
        if self.wrong:
            raise IndexReadError("\n".join(self.wrong))
        return Lock(models=read)

    def _measured(self, value: Any, at: tuple[str, ...]) -> Measured:
        data = self._mapping(value, at)
        parts: dict[str, tuple[Any, dict[str, str]]] = {
            "released": (MeasuredFile, _FILE),
            "safetensors": (MeasuredFile, _FILE),
            "tensors": (MeasuredTensors, _TENSORS),
            "expected_sizes": (MeasuredSizes, _SIZES),
            "hub": (MeasuredHub, _HUB),
            "evaluation": (MeasuredEvaluation, _EVALUATION),
        }
        for key in data.keys() - parts.keys() - {"parameters", "macs", "published"}:
            self._say((*at, key), "is not a key of a lock")
        read = {
            key: self._record(kind, fields, data[key], (*at, key))
            for key, (kind, fields) in parts.items()
            if key in data
        }
        if (counted := read.get("evaluation")) and not (
            counted.top1_count <= counted.top5_count <= counted.images
        ):
            self._say((*at, "evaluation"), "counts more top-1 than top-5, or more than there are images")
        if "parameters" in data:
            read["parameters"] = self._leaf(data["parameters"], "count", (*at, "parameters"))
        if "published" in data:
            read["published"] = self._publications(data["published"], (*at, "published"))
        if "macs" in data:
            told = self._mapping(data["macs"], (*at, "macs"))
            read["macs"] = {
                key: self._record(MeasuredMacs, _MACS, value, (*at, "macs", key))
                for key, value in told.items()
            }
        return Measured(**read)

    def _publications(self, value: Any, at: tuple[str, ...]) -> tuple[Publication, ...]:
        if not isinstance(value, list):
            self._say(at, f"expected a list, found {str(value)[:40]!r}")
            return ()
        return tuple(self._record(Publication, _PUBLICATION, each, at) for each in value)

    def _record(self, kind: Any, fields: dict[str, str], value: Any, at: tuple[str, ...]) -> Any:
        data = self._mapping(value, at)
        known = {name.removesuffix("?"): leaf for name, leaf in fields.items()}
        for key in data.keys() - known.keys():
            self._say((*at, key), "is not a key of a lock")
        for name in fields:
            if name in known and name not in data:
                self._say((*at, name), "is missing")
        leaves = {
            key: self._leaf(data.get(key), leaf, (*at, key)) for key, leaf in known.items() if key in data
        }
        return None if self.wrong else kind(**leaves)

    def _mapping(self, value: Any, at: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._say(at, f"expected an object, found {str(value)[:40]!r}")
        return {}

    def _leaf(self, value: Any, kind: str, at: tuple[str, ...]) -> Any:
        holds, expected = _KINDS[kind]
        if not holds(value):
            self._say(at, f"expected {expected}, found {str(value)[:70]!r}")
        return value

    def _say(self, at: tuple[str, ...], what: str) -> None:
        line, column = self._place(at)
        self.wrong.append(f"{self.file}:{line}:{column}: {'.'.join(at)}: {what}")

    def _place(self, at: tuple[str, ...]) -> tuple[int, int]:
        """Find the key's place: each key is looked for after the one that holds it."""
        place = 0
        for key in at:
            found = self.text.find(json.dumps(key, ensure_ascii=False), place)
            place = place if found < 0 else found
        return self.text.count("\n", 0, place) + 1, place - self.text.rfind("\n", 0, place)
