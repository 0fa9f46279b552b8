"""Write what an entry says as the Hub's card metadata; `index/reading/hub_metadata.py` reads it back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from rexnet_hub.index import Claim, Entry
from rexnet_hub.index.entry import PublishedTable, Result
from rexnet_hub.index.reading.hub_metadata import metric_id, task_id
from rexnet_hub.index.spellings import HUB_NAMES, canonical_dataset
from rexnet_hub.layout import LICENSE_FILE, is_repo_id
from rexnet_hub.pages.facts import list_numbers, states, table_words
from rexnet_hub.pages.families import TASK, is_classifier, is_in_timm
from rexnet_hub.pages.text import one_line, plain, safe_url

Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What can only be a data set's id on the Hub; a word such as `JFT-300M` may be any name.
_DATASET_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def render_front_matter(entry: Entry, repos: Mapping[str, str], *, standin: bool = False) -> str:
    """Render the card's metadata as YAML."""
    return dump_fields(front_matter(entry, repos, standin=standin))


def dump_fields(data: Mapping[str, Any]) -> str:
    """Write fields of a card's metadata as YAML; a list that grows keeps the lines that it had."""
    is_plain = json.dumps(data, ensure_ascii=False).isprintable()
    return str(yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=is_plain, width=10**6))


def front_matter(
    entry: Entry, repos: Mapping[str, str] = MappingProxyType({}), *, standin: bool = False
) -> dict[str, Any]:
    """Build the card's metadata for the Hub, one model a card.

    Numbers are percentage points, as the entry has them (`79.49%` is 79.49, never 0.7949), and `verified` is
    never set: the Hub does that. A stand-in has no results.

    Args:
        repos: Where each model was published; of one that was not, nothing is said that takes a repo.
    """
    loaded = {"library_name": "timm"} if is_in_timm(entry) else {}
    sorts = {"pipeline_tag": TASK} if is_classifier(entry) else {}
    loaders = ["timm", "transformers"] if loaded else []
    data: dict[str, Any] = {
        **_license(entry),
        **loaded,
        **sorts,
        "tags": [*sorts.values(), *loaders, "rexnet_hub"],
        **_said(entry, repos),
    }
    names = [canonical_dataset(str(name)) for name in entry.value("training_data") or ()]
    known = [name for name in dict.fromkeys(names) if name in HUB_NAMES or _DATASET_ID.fullmatch(name)]
    if datasets := [HUB_NAMES.get(name, (name,))[0] for name in known]:
        data["datasets"] = datasets
    rows = [] if standin else list_numbers(entry)
    if results := [_result(*row) for row in rows if row[0].task and row[0].dataset and row[1]]:
        types = (metric["type"] for row in results for metric in row["metrics"])
        data["metrics"] = list(dict.fromkeys(types))
        data["model-index"] = [{"name": entry.name, "results": results}]
    return data


def _license(entry: Entry) -> dict[str, Any]:
    """Return the licence's id on the Hub; of another its name and where its text is."""
    name, text = entry.said("license_name"), entry.said("license_file")
    named = {"license": entry.license_id, "license_name": name and one_line(name)}
    link = LICENSE_FILE if text and "://" not in text else text
    return {key: value for key, value in (named | {"license_link": name and link}).items() if value}


def _said(entry: Entry, repos: Mapping[str, str]) -> dict[str, Any]:
    """Return what maintainers say in fields that the Hub has keys for."""
    bases = [repos.get(name, name) for name in entry.said("base_model") or ()]
    bases = [base for base in bases if is_repo_id(base)]
    widget = entry.said("widget")
    titled = widget.items() if isinstance(widget, dict) else ()
    pictures = [(title, url) for title, text in titled if (url := safe_url(text))]
    said = {
        "language": list(entry.said("language") or ()),
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": "finetune" if bases else "",
        "new_version": repos.get(str(entry.said("superseded_by"))),
        "widget": [{"src": url, "example_title": one_line(title)} for title, url in pictures],
    }
    return {key: value for key, value in said.items() if value}


def _result(result: Result, numbers: Iterable[Claim]) -> dict[str, Any]:
    task, dataset = str(result.task), str(result.dataset)
    extra = {name: claim.value for name, claim in result.extra.items()}
    identifier, name = HUB_NAMES.get(result.known_as, (dataset, dataset))
    types = {key: str(value) for key, value in (extra.get("metric_types") or {}).items()}
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
    elif (table := _table_of(result, numbers)) and (url := safe_url(table.url)):
        row["source"] = {"name": table_words(table), "url": url}
    return row


def _table_of(result: Result, numbers: Iterable[Claim]) -> PublishedTable | None:
    """Return the first table that states these numbers, those of them that it has; None where none does."""
    claims = list(numbers)
    for table in result.snapshots:
        pairs = [(other, claim) for claim in claims if (other := table.metrics.get(claim.field))]
        if pairs and all(not other.problem and states(other, claim) for other, claim in pairs):
            return table
    return None


def _metric(claim: Claim, types: Mapping[str, str]) -> dict[str, Any]:
    kind, arguments = metric_id(claim.label)
    kind = types.get(claim.label, kind)
    metric: dict[str, Any] = {"type": kind, "value": float(claim.value), "name": claim.label}
    return {**metric, "args": arguments} if arguments and claim.label not in types else metric
