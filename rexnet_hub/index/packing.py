"""Write an index as JSON and read it back: a record is a list, its kind's number and then its values."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from rexnet_hub.index.entry import Claim, Collection, Entry, Index, Location, Paper, Result, Snapshot
from rexnet_hub.index.problems import Fix, Problem

_KINDS: tuple[Any, ...] = (Claim, Collection, Entry, Fix, Location, Paper, Problem, Result, Snapshot)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_FIELDS = tuple(tuple(field.name for field in fields(kind)) for kind in _KINDS)
_LOCATION = _NUMBERS[Location]


def pack_index(index: Index) -> str:
    """Write an index; what entries share, their collections and the files' names, is written once."""
    packer = _Packer(index.collections)
    parts = [packer.pack(part) for part in (index.models, index.problems, index.library)]
    collections = [packer.record(collection) for collection in index.collections]
    return json.dumps([list(map(str, packer.files)), collections, *parts], separators=(",", ":"))


def unpack_index(text: str) -> Index:
    """Read what `pack_index` wrote.

    Raises:
        ValueError, LookupError, TypeError: It is something else.
    """
    files, collections, models, problems, library = json.loads(text)
    unpacker = _Unpacker([Path(file) for file in files])
    unpacker.collections = [unpacker.unpack(collection) for collection in collections]
    return Index(
        models=unpacker.unpack(models),
        collections=tuple(unpacker.collections),
        problems=unpacker.unpack(problems),
        library=unpacker.unpack(library),
    )


class _Packer:
    """Turns records into lists; a tuple is an object with the key `t`, an exact number one with `d`."""

    def __init__(self, collections: tuple[Collection, ...]) -> None:
        self.files: dict[Path, int] = {}
        self.collections = {id(collection): number for number, collection in enumerate(collections)}

    def pack(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return {"d": str(value)}
        if isinstance(value, tuple):
            return {"t": [self.pack(item) for item in value]}
        if isinstance(value, dict):
            return {"m": {key: self.pack(inner) for key, inner in value.items()}}
        if isinstance(value, Collection):
            return {"c": self.collections[id(value)]}
        return self.record(value) if type(value) in _NUMBERS else value

    def record(self, value: Any) -> list[Any]:
        number = _NUMBERS[type(value)]
        if number == _LOCATION:
            file = self.files.setdefault(value.file, len(self.files))
            return [number, file, value.line, value.column]
        return [number, *(self.pack(getattr(value, name)) for name in _FIELDS[number])]


class _Unpacker:
    """The inverse of `_Packer`."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.collections: list[Collection] = []

    def unpack(self, value: Any) -> Any:
        if type(value) is list:
            number, *told = value
            if number == _LOCATION:
                return Location(self.files[told[0]], told[1], told[2])
            return _KINDS[number](**dict(zip(_FIELDS[number], map(self.unpack, told), strict=True)))
        if type(value) is not dict:
            return value
        ((kind, told),) = value.items()
        if kind == "t":
            return tuple(map(self.unpack, told))
        if kind == "m":
            return {key: self.unpack(inner) for key, inner in told.items()}
        return Decimal(told) if kind == "d" else self.collections[told]
