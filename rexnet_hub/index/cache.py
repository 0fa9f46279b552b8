"""Keep a copy of a read index, used only while each file still has the bytes it was read from.

The file is lines of JSON: a header that names every file read with its SHA-256, every pattern with
what it matched, and the digest of the rest; what the entries share; then one line an entry, decoded
when somebody asks for it. It can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import rexnet_hub
from rexnet_hub.index.entry import Claim, Collection, Entry, Index, Location, Paper, Result, Snapshot
from rexnet_hub.index.files import Files, read_bytes
from rexnet_hub.index.problems import Fix, Problem
from rexnet_hub.index.source import Flaw
from rexnet_hub.layout import find_cache_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Between the parts of a line, and of a part: JSON writes each of them escaped.
_TAB, _RESULT, _PART, _ITEM, _PAIR = "\t", "\x1c", "\x1d", "\x1e", "\x1f"
#: Problems that a file outside the digests caused: such a reading is not kept.
_UNKEPT = {"unreadable-file", "outside-root", "too-large"}
_KEPT_COPIES = 16


class Key:
    """What is to be read, and where its copy is kept."""

    def __init__(self, paths: list[Path], root: Path) -> None:
        self.root = root
        reader = sorted(
            (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in _own_files()
        )
        told = json.dumps(
            [rexnet_hub.__version__, reader, str(Path.cwd()), str(root), [str(p) for p in paths]]
        )
        self.file = find_cache_dir() / "index" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.jsonl"


def _own_files() -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(Path(__file__).parent) if entry.name.endswith(".py")]


def make_key(paths: list[Path], root: Path) -> Key:
    """Name the copy of what these paths hold under this root, as this version reads it."""
    return Key(paths, root)


def read_cached(key: Key) -> Index | None:
    """Give the copy, if there is one, it is whole, and every file is what it was."""
    try:
        head, _, body = key.file.read_bytes().partition(b"\n")
        header = json.loads(head)
        if hashlib.sha256(body).hexdigest() != header["body"] or not _is_fresh(header, key.root):
            return None
        return _unpack_index(body.decode("ascii"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, Flaw):
        return None


def write_cached(
    key: Key, index: Index, digests: Mapping[Path, str], globs: Mapping[tuple[Path, str], tuple[Path, ...]]
) -> None:
    """Keep a copy; where that cannot be done, do nothing."""
    if any(problem.code in _UNKEPT for problem in index.problems):
        return
    body = _pack_index(index).encode()
    header = {
        "files": {str(file): digest for file, digest in digests.items()},
        "globs": [
            [str(folder), pattern, [str(f) for f in found]] for (folder, pattern), found in globs.items()
        ],
        "body": hashlib.sha256(body).hexdigest(),
    }
    temporary = key.file.with_suffix(f".{os.getpid()}.tmp")
    try:
        key.file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(json.dumps(header).encode() + b"\n" + body)
        temporary.replace(key.file)
        _sweep(key.file.parent)
    except OSError:
        _remove(temporary)


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError:
        return  # Where it could not be written, there may be none.


def _sweep(folder: Path) -> None:
    copies = sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    for file in copies[:-_KEPT_COPIES]:
        file.unlink(missing_ok=True)


def _is_fresh(header: dict[str, Any], root: Path) -> bool:
    files = Files(root)
    for name, digest in header["files"].items():
        files.require_inside(Path(name))
        if hashlib.sha256(read_bytes(Path(name))).hexdigest() != digest:
            return False
    return all(
        [str(file) for file in files.find(Path(folder), pattern)] == found
        for folder, pattern, found in header["globs"]
    )


# Packing. A record is a list; a claim's file is a number, and what is at its default at the end is left out.


class _Packer:
    def __init__(self) -> None:
        self.files: dict[Path, int] = {}

    def place(self, place: Location) -> list[int]:
        return [self.files.setdefault(place.file, len(self.files)), place.line, place.column]

    def value(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return {"n": str(value)}
        if isinstance(value, tuple):
            return [self.value(item) for item in value]
        return {"m": {k: self.value(v) for k, v in value.items()}} if isinstance(value, dict) else value

    def claim(self, claim: Claim | None) -> Any:
        if claim is None:
            return None
        value = self.value(claim.value)
        packed = [*self.place(claim.location), claim.label, value, claim.text, claim.source, claim.inherited]
        return packed[:6] if claim.source is None and not claim.inherited else packed

    def claims(self, claims: Mapping[str, Claim]) -> str:
        items = (f"{_ITEM}{_json(name)}{_PAIR}{_json(self.claim(claim))}" for name, claim in claims.items())
        return "".join(items) + _ITEM if claims else ""

    def paper(self, paper: Paper | None) -> Any:
        return paper and [*self.place(paper.location), paper.title, paper.url, paper.source]

    def result(self, result: Result) -> str:
        snapshots = [
            [*self.place(told.location), told.url, told.date, self.claims(told.metrics)]
            for told in result.snapshots
        ]
        rest = [*self.place(result.location), self.claim(result.split), snapshots, self.claims(result.extra)]
        named = _json([result.task, result.dataset])
        return _PART.join([named, self.claims(result.metrics), _json(rest)])

    def results(self, results: tuple[Result, ...]) -> str:
        return _RESULT.join(self.result(result) for result in results)

    def collection(self, told: Collection) -> list[Any]:
        return [
            told.name,
            *self.place(told.location),
            told.title,
            self.paper(told.paper),
            self.paper(told.current_paper),
            *(self.claim(claim) for claim in (told.license, told.code, told.readme)),
            self.claims(told.metadata),
            self.results(told.results),
            self.claims(told.extra),
        ]

    def entry(self, entry: Entry, collections: dict[int, int]) -> str:
        claims = (entry.license, entry.code, entry.weights, entry.config, entry.readme, entry.image)
        rest = [
            *self.place(entry.location),
            collections.get(id(entry.collection)),
            self.paper(entry.paper),
            self.paper(entry.current_paper),
            *(self.claim(claim) for claim in claims),
            self.claims(entry.extra),
        ]
        parts = [_json(entry.name), self.claims(entry.metadata), self.results(entry.results), _json(rest)]
        return _TAB.join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _pack_index(index: Index) -> str:
    packer = _Packer()
    numbers = {id(collection): number for number, collection in enumerate(index.collections)}
    lines = [packer.entry(entry, numbers) for entry in index.models]
    problems = [
        [*packer.place(p.location), p.code, p.severity, p.message, p.fix and [p.fix.old, p.fix.new]]
        for p in index.problems
    ]
    collections = [packer.collection(collection) for collection in index.collections]
    shared = {"problems": problems, "collections": collections, "files": [str(file) for file in packer.files]}
    return "\n".join([json.dumps(shared), *lines])


# Unpacking.


class _Claims(Mapping[str, Claim]):
    """Claims that are decoded when they are asked for."""

    __slots__ = ("_files", "_packed")

    def __init__(self, packed: str, files: list[Path]) -> None:
        self._packed, self._files = packed, files

    def _find(self, name: object) -> int:
        key = f"{_ITEM}{_json(name)}{_PAIR}"
        at = self._packed.find(key)
        return at if at < 0 else at + len(key)

    def __getitem__(self, name: str) -> Claim:
        at = self._find(name)
        if at < 0:
            raise KeyError(name)
        packed = json.loads(self._packed[at : self._packed.index(_ITEM, at)])
        return _claim(name, packed, self._files)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) >= 0

    def __iter__(self) -> Iterator[str]:
        return (_name(item[: item.index(_PAIR)]) for item in self._packed.split(_ITEM)[1:-1])

    def __len__(self) -> int:
        return max(0, self._packed.count(_ITEM) - 1)

    def __repr__(self) -> str:
        return repr(dict(self))


def _name(packed: str) -> str:
    """Decode a JSON text, most of which have nothing to decode."""
    return str(json.loads(packed)) if "\\" in packed else packed[1:-1]


def _value(packed: Any) -> Any:
    if type(packed) is dict:
        if "n" in packed:
            return Decimal(packed["n"])
        return {key: _value(value) for key, value in packed["m"].items()}
    return tuple(_value(item) for item in packed) if type(packed) is list else packed


def _claim(field: str, packed: list[Any], files: list[Path]) -> Claim:
    file, line, column, label, value, text, *rest = packed
    source, inherited = rest or (None, False)
    return Claim(
        field=field,
        label=label,
        value=_value(value),
        text=text,
        location=Location(files[file], line, column),
        source=source,
        inherited=inherited,
    )


def _optional(field: str, packed: list[Any] | None, files: list[Path]) -> Claim | None:
    return None if packed is None else _claim(field, packed, files)


def _paper(packed: list[Any] | None, files: list[Path]) -> Paper | None:
    if packed is None:
        return None
    file, line, column, title, url, source = packed
    return Paper(title=title, url=url, location=Location(files[file], line, column), source=source)


class _PackedResult:
    """The parts of one result that a list does not show."""

    __slots__ = ("files", "rest")

    def __init__(self, rest: str, files: list[Path]) -> None:
        self.rest, self.files = rest, files

    def fill(self, name: str) -> dict[str, Any]:
        """Decode them."""
        files = self.files
        file, line, column, split, snapshots, extra = json.loads(self.rest)
        return {
            "location": Location(files[file], line, column),
            "split": _optional("split", split, files),
            "snapshots": tuple(
                Snapshot(
                    url=url, date=date, metrics=_Claims(told, files), location=Location(files[f], at, col)
                )
                for f, at, col, url, date, told in snapshots
            ),
            "extra": _Claims(extra, files),
        }


def _results(packed: str, files: list[Path]) -> tuple[Result, ...]:
    return tuple(_result(part, files) for part in packed.split(_RESULT)) if packed else ()


def _result(packed: str, files: list[Path]) -> Result:
    named, metrics, rest = packed.split(_PART)
    task, dataset = json.loads(named)
    claims = _Claims(metrics, files)
    return Result.lazy(_PackedResult(rest, files), task=task, dataset=dataset, metrics=claims)


def _collection(packed: list[Any], files: list[Path]) -> Collection:
    name, file, line, column, title, paper, current, license_, code, readme, metadata, results, extra = packed
    return Collection(
        name=name,
        location=Location(files[file], line, column),
        title=title,
        paper=_paper(paper, files),
        current_paper=_paper(current, files),
        license=_optional("license", license_, files),
        code=_optional("code", code, files),
        readme=_optional("readme", readme, files),
        metadata=_Claims(metadata, files),
        results=_results(results, files),
        extra=_Claims(extra, files),
    )


class _PackedEntry:
    """One entry's line; decodes part by part."""

    __slots__ = ("collections", "files", "line")

    def __init__(self, line: str, files: list[Path], collections: tuple[Collection, ...]) -> None:
        self.line, self.files, self.collections = line, files, collections

    def fill(self, name: str) -> dict[str, Any]:
        """Decode the part that holds an attribute."""
        _, metadata, results, rest = self.line.split(_TAB)
        if name == "metadata":
            return {"metadata": _Claims(metadata, self.files)}
        if name == "results":
            return {"results": _results(results, self.files)}
        file, line, column, collection, paper, current, *claims, extra = json.loads(rest)
        fields = ("license", "code", "weights", "config", "readme", "image")
        return {
            "location": Location(self.files[file], line, column),
            "collection": None if collection is None else self.collections[collection],
            "paper": _paper(paper, self.files),
            "current_paper": _paper(current, self.files),
            **{f: _optional(f, claim, self.files) for f, claim in zip(fields, claims, strict=True)},
            "extra": _Claims(extra, self.files),
        }


def _unpack_index(body: str) -> Index:
    head, *lines = body.split("\n")
    shared = json.loads(head)
    files = [Path(file) for file in shared["files"]]
    collections = tuple(_collection(packed, files) for packed in shared["collections"])
    names = [_name(line[: line.index(_TAB)]) for line in lines]
    models = [
        Entry.lazy(_PackedEntry(line, files, collections), name=n)
        for n, line in zip(names, lines, strict=True)
    ]
    problems = tuple(
        Problem(
            code=code,
            severity=severity,
            location=Location(files[file], at, column),
            message=message,
            fix=fix and Fix(old=fix[0], new=fix[1]),
        )
        for file, at, column, code, severity, message, fix in shared["problems"]
    )
    return Index(models=tuple(models), collections=collections, problems=problems)
