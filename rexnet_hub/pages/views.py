"""What the site says of one model, ready to be printed: its figures, its row in tables, its record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rexnet_hub.index import Entry
from rexnet_hub.pages.facts import Fact, list_facts
from rexnet_hub.pages.text import file_name, short

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file of a model with its size and digest; None where they were not recorded yet."""

    name: str
    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """One model for the site.

    Attributes:
        measured: What the lock holds of it; None where nothing was measured.
        facts: Its figures by key.
        file: What its page is called, without an ending.
    """

    entry: Entry
    measured: Any
    facts: Mapping[str, Fact]
    file: str

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name

    @property
    def family(self) -> str | None:
        """The name of its collection."""
        return self.entry.collection.name if self.entry.collection else None

    @property
    def license(self) -> str:
        """The licence of the weights."""
        return str(self.entry.license.value) if self.entry.license else NOT_STATED

    @property
    def repo_id(self) -> str | None:
        """Its repo on the Hub; None before it is published."""
        hub = getattr(self.measured, "hub", None)
        return hub.repo_id if hub else None

    @property
    def ours(self) -> str:
        """Which figures we measured ourselves, in words."""
        return ", ".join(fact.label for fact in self.facts.values() if fact.measured) or "nothing yet"

    def percent(self, key: str) -> str:
        """An accuracy in percentage points, to its last published or measured digit."""
        value = self.facts[key].value
        if value is None:
            return NOT_STATED
        return f"{value:.3f}" if self.facts[key].measured else str(value)

    def short(self, key: str, unit: str = "") -> str:
        """A count in three digits."""
        value = self.facts[key].value
        return NOT_STATED if value is None else short(value, unit)

    @property
    def files(self) -> tuple[FileRow, ...]:
        """The released file and the safetensors made of it."""
        released, safetensors = (getattr(self.measured, name, None) for name in ("released", "safetensors"))
        stated = self.entry.released
        rows = []
        if stated:
            size_bytes = released.size_bytes if released else None
            sha256 = released.sha256 if released else None
            rows.append(
                FileRow(name=stated.file_name, size_bytes=size_bytes or stated.size_bytes, sha256=sha256)
            )
        rows.append(
            FileRow(
                name="model.safetensors",
                size_bytes=safetensors.size_bytes if safetensors else None,
                sha256=safetensors.sha256 if safetensors else None,
            )
        )
        return tuple(rows)

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """The model as JSON: claims as numbers, measurements and sources beside them."""
        entry = self.entry
        return {
            "name": entry.name,
            "collection": self.family,
            "architecture": entry.architecture,
            "license": str(entry.license.value) if entry.license else None,
            "page": f"models/{self.file}.html",
            "weights_url": entry.released.url if entry.released else None,
            "hub_repo": self.repo_id,
            "files": [vars(row) for row in self.files],
            "figures": {key: fact_record(fact) for key, fact in self.facts.items()},
            "metadata": {name: plain(claim.value) for name, claim in entry.metadata.items()},
        }


def fact_record(fact: Fact) -> dict[str, Any]:
    """A figure as JSON."""
    return {
        "value": plain(fact.value),
        "standing": fact.standing or None,
        "as_published": fact.claimed,
        "stated_by": fact.stated_by.url or fact.stated_by.words if fact.stated_by else None,
        "also_stated_by": [{"url": s.url, "words": s.words, "value": s.value} for s in fact.second_sources],
        "measured": fact.measured,
        "how": fact.how,
        "command": fact.command,
    }


def plain(value: Any) -> Any:
    """Turn a claim's value into what JSON holds: decimals as floats, tuples as lists."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, int | float | bool | None) else str(value)


def view_models(entries: Sequence[Entry], measured_of: Callable[[str], Any]) -> tuple[ModelView, ...]:
    """View every model; two whose names make one file name get numbers, so that no page hides another."""
    views, taken = [], dict[str, int]()
    for entry in entries:
        name = file_name(entry.name)
        taken[name.lower()] = count = taken.get(name.lower(), 0) + 1
        measured = measured_of(entry.name)
        facts = {fact.key: fact for fact in list_facts(entry, measured)}
        views.append(
            ModelView(
                entry=entry, measured=measured, facts=facts, file=name if count == 1 else f"{name}--{count}"
            )
        )
    return tuple(views)
