"""Write an index as lines of JSON, for `unpacking` to read value by value.

A record is a list; a claim's file is a number, and what is at its default at the end is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rexnet_hub.index.entry import Claim, Collection, Entry, Index, Location, Paper, Result
from rexnet_hub.index.unpacking import ITEM, PAIR, PART, RESULT, TAB


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
        text = None if claim.text == str(claim.value) else claim.text
        packed = [*self.place(claim.location), claim.label, value, text, claim.source, claim.inherited]
        return packed[:6] if claim.source is None and not claim.inherited else packed

    def claims(self, claims: Mapping[str, Claim]) -> str:
        items = (f"{ITEM}{_json(name)}{PAIR}{_json(self.claim(claim))}" for name, claim in claims.items())
        return "".join(items) + ITEM if claims else ""

    def paper(self, paper: Paper | None) -> Any:
        return paper and [*self.place(paper.location), paper.title, paper.url, paper.source]

    def result(self, result: Result) -> str:
        snapshots = [
            [*self.place(told.location), told.url, told.date, self.claims(told.metrics)]
            for told in result.snapshots
        ]
        rest = [*self.place(result.location), self.claim(result.split), snapshots, self.claims(result.extra)]
        named = _json([result.task, result.dataset])
        return PART.join([named, self.claims(result.metrics), _json(rest)])

    def results(self, results: tuple[Result, ...]) -> str:
        return RESULT.join(self.result(result) for result in results)

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
        return TAB.join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def pack_index(index: Index) -> str:
    """Write an index as lines: what the entries share, then one line an entry."""
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
