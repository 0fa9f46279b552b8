"""Read a packed index: entries whose parts, and claims, are decoded when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from rexnet_hub.index.entry import Claim, Collection, Entry, Index, Location, Paper, Result, Snapshot
from rexnet_hub.index.problems import Fix, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Between the parts of a line, and of a part: JSON writes each of them escaped.
TAB, RESULT, PART, ITEM, PAIR = "\t", "\x1c", "\x1d", "\x1e", "\x1f"


#: Decodes the JSON that begins at a place, wherever it ends.
_decode = json.JSONDecoder().raw_decode


class _Claims(Mapping[str, Claim]):
    """Claims that are decoded when they are asked for."""

    __slots__ = ("_files", "_packed")

    def __init__(self, packed: str, files: list[Path]) -> None:
        self._packed, self._files = packed, files

    def _find(self, name: object) -> int:
        key = f'{ITEM}"{name}"{PAIR}' if str(name).isidentifier() else f"{ITEM}{json.dumps(name)}{PAIR}"
        at = self._packed.find(key)
        return at if at < 0 else at + len(key)

    def __getitem__(self, name: str) -> Claim:
        at = self._find(name)
        if at < 0:
            raise KeyError(name)
        return _claim(name, _decode(self._packed, at)[0], self._files)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) >= 0

    def __iter__(self) -> Iterator[str]:
        return (_name(item[: item.index(PAIR)]) for item in self._packed.split(ITEM)[1:-1])

    def __len__(self) -> int:
        return max(0, self._packed.count(ITEM) - 1)

    def __repr__(self) -> str:
        return repr(dict(self))


def _name(packed: str) -> str:
    """Decode a JSON text, most of which have nothing to decode."""
    return str(json.loads(packed)) if "\\" in packed else packed[1:-1]


def _value(packed: Any) -> Any:
    """Decode a value; exact numbers are texts under a key of their own."""
    if type(packed) is dict:
        if "n" in packed:
            return Decimal(packed["n"])
        return {key: _value(value) for key, value in packed["m"].items()}
    return tuple(_value(item) for item in packed) if type(packed) is list else packed


def _claim(field: str, packed: list[Any], files: list[Path]) -> Claim:
    file, line, column, label, value, text, *rest = packed
    source, inherited = rest or (None, False)
    told = _value(value)
    return Claim(
        field=field,
        label=label,
        value=told,
        text=str(told) if text is None else text,
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
    return tuple(_result(part, files) for part in packed.split(RESULT)) if packed else ()


def _result(packed: str, files: list[Path]) -> Result:
    named, metrics, rest = packed.split(PART)
    task, dataset = _decode(named)[0]
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
        _, metadata, results, rest = self.line.split(TAB)
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


def unpack_index(body: str) -> Index:
    """Read what `pack_index` wrote; each entry decodes its own line when it is asked."""
    head, *lines = body.split("\n")
    shared = json.loads(head)
    files = [Path(file) for file in shared["files"]]
    collections = tuple(_collection(packed, files) for packed in shared["collections"])
    names = [_name(line[: line.index(TAB)]) for line in lines]
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
