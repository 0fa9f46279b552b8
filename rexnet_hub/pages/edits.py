"""Compare and edit cards: fields and metrics that differ, lines of ours, lines that people wrote."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from rexnet_hub.index.reading.hub_metadata import read_front_matter

#: Of a card that is compared; comparing takes longer than in proportion.
MAX_LINES = 5000


def lost_lines(base: str, there: str, new: str) -> tuple[str, ...]:
    """List the lines that somebody added to what we published (`base`) and that `new` has not."""
    kept = {*base.splitlines(), *new.splitlines()}
    return tuple(line for line in dict.fromkeys(there.splitlines()) if line.strip() and line not in kept)


def replace_lines(card: str, before: str, after: str) -> str:
    """Replace in a card each of our lines that differs between two renderings; people's lines stay."""
    others: dict[str, list[str]] = {}  # a line that stands twice may become two others, in their order
    for line, other in zip(before.split("\n"), after.split("\n"), strict=True):
        others.setdefault(line, []).append(other)
    return "\n".join(others[line].pop(0) if others.get(line) else line for line in card.split("\n"))


def first_difference(own: str, there: str) -> tuple[str, str] | None:
    """Find the first of a card's own lines that is not there, and what stands in its place.

    Lines that people added between are theirs, and are no difference, up to a length that no card has. Only a
    line feed ends a line, so that no other byte passes for one.
    """
    lines, theirs = (text.removesuffix("\n").split("\n")[:MAX_LINES] for text in (own, there))
    for kind, start, end, place, until in SequenceMatcher(None, lines, theirs, autojunk=False).get_opcodes():
        if kind in ("replace", "delete") and start < end:
            return lines[start], theirs[place] if place < until else "no such line"
    return None


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
