"""What a new card changes in the one that is there: fields and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rexnet_hub.index.reading.hub_metadata import read_front_matter


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field of the card's metadata that changes; None where it is absent.

    Attributes:
        name: The field; of a metric its data set and name, such as `ImageNet-1k: Top 1 Accuracy`.
    """

    name: str
    old: str | None
    new: str | None


def compare_cards(old: str, new: str) -> tuple[FieldChange, ...]:
    """List the fields and metrics that differ between two cards."""
    before, after = _fields(old), _fields(new)
    names = sorted(before.keys() | after.keys())
    return tuple(
        FieldChange(name=name, old=before.get(name), new=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def license_of(card: str) -> str | None:
    """Read the licence in a card's metadata."""
    license_id = read_front_matter(card).get("license")
    return str(license_id) if license_id is not None else None


def _fields(card: str) -> dict[str, str]:
    front = read_front_matter(card)
    fields: dict[str, str] = {}
    for model in _list(front.pop("model-index", None)):
        for result in _list(model.get("results")):
            dataset = result.get("dataset")
            place = str(dataset.get("name") if isinstance(dataset, dict) else dataset)
            for metric in _list(result.get("metrics")):
                name = f"{place}: {metric.get('name') or metric.get('type')}"
                value = str(metric.get("value"))
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
    for key, value in front.items():
        fields[str(key)] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return fields


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
