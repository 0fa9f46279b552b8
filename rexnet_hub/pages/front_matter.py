"""Write what an entry says as the Hub's card metadata; `index/reading/hub_metadata.py` reads it back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from rexnet_hub.index import Claim, Entry, Result
from rexnet_hub.index.reading.hub_metadata import DATASETS, metric_id, task_id
from rexnet_hub.pages.facts import table_words
from rexnet_hub.pages.text import plain, safe_url

Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What can only be a data set's id on the Hub; a word such as `JFT-300M` may be any name.
_DATASET_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def render_front_matter(entry: Entry, *, standin: bool = False) -> str:
    """Render the card's metadata as YAML."""
    return dump_fields(front_matter(entry, standin=standin))


def dump_fields(data: Mapping[str, Any]) -> str:
    """Write fields of a card's metadata as YAML; a list that grows keeps the lines that it had."""
    is_plain = json.dumps(data, ensure_ascii=False).isprintable()
    return str(yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=is_plain, width=10**6))


def front_matter(entry: Entry, *, standin: bool = False) -> dict[str, Any]:
    """Build the card's metadata for the Hub, one model a card.

    Numbers are percentage points, as the entry has them (`79.49%` is 79.49, never 0.7949), and `verified` is
    never set: the Hub does that. A stand-in has no results.
    """
    data: dict[str, Any] = {}
    if entry.license:
        data["license"] = str(entry.license.value).lower()
    data["library_name"] = "timm"
    data["pipeline_tag"] = "image-classification"
    data["tags"] = ["image-classification", "timm", "transformers", "rexnet_hub"]
    names = [str(name) for name in entry.value("training_data") or ()]
    known = [name for name in names if name in DATASETS or _DATASET_ID.fullmatch(name)]
    if datasets := [DATASETS.get(name, (name,))[0] for name in known]:
        data["datasets"] = datasets
    rows = [] if standin else [_result(result) for result in entry.results if result.task and result.dataset]
    if results := [row for row in rows if row["metrics"]]:
        types = (metric["type"] for row in results for metric in row["metrics"])
        data["metrics"] = list(dict.fromkeys(types))
        data["model-index"] = [{"name": entry.name, "results": results}]
    return data


def _result(result: Result) -> dict[str, Any]:
    task, dataset = str(result.task), str(result.dataset)
    extra = {name: claim.value for name, claim in result.extra.items()}
    identifier, name = DATASETS.get(dataset, (dataset, dataset))
    types = {key: str(value) for key, value in (extra.get("metric_types") or {}).items()}
    numbers = [claim for claim in result.metrics.values() if isinstance(claim.value, Decimal)]
    row: dict[str, Any] = {
        "task": {"type": extra.get("task_type") or task_id(task), "name": task},
        "dataset": {"name": name, "type": extra.get("dataset_type") or identifier},
        "metrics": [_metric(claim, types) for claim in numbers],
    }
    if result.split is not None:
        row["dataset"]["split"] = str(result.split.value)
    for word in ("config", "revision", "args"):
        if (value := extra.get(f"dataset_{word}")) is not None:
            row["dataset"][word] = plain(value)
    if url := safe_url(extra.get("source_url") or ""):
        row["source"] = {"url": url}
        if words := extra.get("source_name"):
            row["source"]["name"] = words
    elif result.snapshots and (url := safe_url(result.snapshots[0].url)):
        row["source"] = {"name": table_words(result.snapshots[0]), "url": url}
    return row


def _metric(claim: Claim, types: Mapping[str, str]) -> dict[str, Any]:
    kind, arguments = metric_id(claim.label)
    kind = types.get(claim.label, kind)
    metric: dict[str, Any] = {"type": kind, "value": float(claim.value), "name": claim.label}
    return {**metric, "args": arguments} if arguments and claim.label not in types else metric
