"""The site's data for machines: JSON, CSV, a feed of published revisions, llms.txt, the raw entries."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rexnet_hub.index import Entry
from rexnet_hub.pages.text import markdown, one_line
from rexnet_hub.pages.views import ModelView

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
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    units = {"top1": "top1_percent", "top5": "top5_percent", "file_size": "file_size_bytes"}
    standing = [f"{key}_standing" for key in CSV_COLUMNS]
    writer.writerow(["name", "license", *(units.get(key, key) for key in CSV_COLUMNS), *standing])
    for view in views:
        facts = [view.facts[key] for key in CSV_COLUMNS]
        figures = ["" if fact.value is None else fact.value for fact in facts]
        writer.writerow([_cell(view.name), _cell(view.license), *figures, *(fact.standing for fact in facts)])
    return out.getvalue()


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking text for a formula."""
    flat = one_line(text)
    return f"'{flat}" if flat[:1] in {"=", "+", "-", "@"} else flat


def feed_json(views: Sequence[ModelView]) -> str:
    """List the published revisions as a JSON Feed, one item for each model's present commit.

    Source: the format is JSON Feed 1.1; it asks for no dates and no address, so none is made up.
    """
    items = [
        {
            "id": f"urn:rexnet-hub:{hub.repo_id}:{hub.commit}",
            "title": f"{view.name} is at {hub.commit[:12]}",
            "url": f"models/{view.file}.html",
            "content_text": f"{hub.repo_id} at commit {hub.commit}: "
            + ", ".join(f"{row.name} sha256 {row.sha256 or 'not recorded yet'}" for row in view.files),
        }
        for view in views
        if (hub := view.measured.hub)
    ]
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "rexnet_hub: published revisions",
        "items": items,
    }
    return as_json(feed)


def llms_txt(views: Sequence[ModelView]) -> str:
    """List what a language model should read, in the form of llmstxt.org."""
    lines = [
        "# rexnet_hub",
        "",
        "> A ReXNet model zoo. Every number states where it is from and whether it was measured here.",
        "",
        'Load a model: `from rexnet_hub import AutoModel; AutoModel.from_pretrained("NAME")`.',
        "",
        "## Models",
        "",
    ]
    for view in views:
        size = view.short("parameters")
        figures = f"top-1 {view.percent('top1')} %, {size} parameters, licence {markdown(view.license)}"
        lines.append(f"- [{markdown(view.name)}](models/{view.file}.card.txt): {figures}")
    lines += ["", "## Data", "", "- [All models](models.json): every claim, source and measurement"]
    return "\n".join(lines) + "\n"


@functools.lru_cache(maxsize=64)
def _lines(file: Path) -> tuple[str, ...]:
    return tuple(file.read_text(encoding="utf-8").splitlines())


def raw_entry(entry: Entry) -> str | None:
    """Cut an entry's own lines out of its YAML file; None where it stands in another kind of file."""
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
