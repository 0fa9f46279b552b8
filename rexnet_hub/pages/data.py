"""Render the site's data for machines: JSON, CSV, a feed of changes, the raw entries."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rexnet_hub.index import Entry
from rexnet_hub.pages.views import ModelView
from rexnet_hub.terminal import csv_lines

CSV_COLUMNS = ("top1", "top5", "parameters", "macs", "flops", "file_size")


def as_json(value: Any) -> str:
    """Print JSON for people and machines alike."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def models_json(views: Sequence[ModelView]) -> str:
    """List every model with its claims, measurements and sources, one line a model."""
    lines = (json.dumps(view.record, ensure_ascii=False) for view in views)
    return '{"models": [\n' + ",\n".join(lines) + "\n]}\n"


def models_csv(views: Sequence[ModelView]) -> str:
    """List every model's figures, one row a model, each figure with its standing."""
    units = {"top1": "top1_percent", "top5": "top5_percent", "file_size": "file_size_bytes"}
    standing = [f"{key}_standing" for key in CSV_COLUMNS]
    columns = (units.get(key, key) for key in CSV_COLUMNS)
    rows: list[list[object]] = [["name", "license", *columns, *standing, "top1_dataset"]]
    for view in views:
        facts = [view.facts[key] for key in CSV_COLUMNS]
        figures = [(fact.claimed or "") if fact.value is None else fact.value for fact in facts]
        standings = (fact.standing for fact in facts)
        rows.append([view.name, view.license, *figures, *standings, view.facts["top1"].dataset])
    return csv_lines(rows) + "\n"


def feed_json(views: Sequence[ModelView]) -> str:
    """List every change of a published model as a JSON Feed, the latest first: what it was, what it is.

    Source: the format is JSON Feed 1.1; an item's time is the day that the lock gives, at midnight UTC.
    """
    items = [item for view in views for item in _changes(view)]
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "rexnet_hub: changes to published models",
        "items": sorted(items, key=lambda item: item["date_published"], reverse=True),
    }
    return as_json(feed)


def _changes(view: ModelView) -> Iterator[dict[str, Any]]:
    """List what each publication of a model changed, the latest first."""
    published = view.measured.published
    for before, now in reversed([*zip((None, *published), published, strict=False)]):
        same = before is not None and before.weights_sha256 == now.weights_sha256
        what = "has a new card or new settings" if same else "has new weights" if before else "is published"
        weights = "the same weights" if same else f"weights sha256 {now.weights_sha256}"
        tagged = f", tagged {now.tag}" if now.tag else ""
        was = f", before {before.weights_sha256}" if before and not same else ""
        yield {
            "id": f"urn:rexnet-hub:{now.repo_id}:{now.commit}",
            "title": f"{view.name} {what}",
            "url": f"models/{view.file}.html",
            "date_published": f"{now.date}T00:00:00Z",
            "content_text": f"{now.repo_id} at commit {now.commit}{tagged}: {weights}{was}",
        }


@functools.lru_cache(maxsize=64)
def _lines(file: Path) -> tuple[str, ...]:
    return tuple(file.read_text(encoding="utf-8").splitlines())


def raw_entry(entry: Entry) -> str | None:
    """Read an entry's own lines out of its YAML file; None where it stands in another kind of file."""
    place = entry.location
    if place.file.suffix not in {".yml", ".yaml"} or not place.file.is_file():
        return None
    lines, indent = _lines(place.file), place.column - 1
    end = place.line
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) >= indent
    ):
        end += 1
    cut = [line[indent:] for line in lines[place.line - 1 : end]]
    return "\n".join(cut).rstrip()
