"""Say an entry as the Hub's card metadata, and read such metadata as an entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Claim, Entry, Result
from rexnet_hub.index.problems import Flaw, Problem
from rexnet_hub.index.reading.build import Builder
from rexnet_hub.index.reading.compose import compose
from rexnet_hub.index.reading.hub_metadata import (
    DATASET_IDS,
    LICENSE_IDS,
    from_front_matter,
    metric_id,
    task_id,
)
from rexnet_hub.index.reading.source import YamlSource


def to_card_metadata(entry: Entry) -> dict[str, Any]:
    """Say what the Hub's card can: licence, task, data sets and `model-index`, one model a card.

    Numbers are percentage points, as the entry has them (`79.49%` is 79.49, never 0.7949), and
    `verified` is never set: the Hub does that.
    """
    metadata: dict[str, Any] = {}
    if entry.license is not None:
        word = str(entry.license.value)
        metadata["license"] = LICENSE_IDS.get(word, word)
    tasks = [result.task for result in entry.results if result.task]
    if tasks:
        metadata["pipeline_tag"] = task_id(tasks[0])
    if data := entry.value("training_data"):
        metadata["datasets"] = [DATASET_IDS.get(str(word), str(word)) for word in data]
    results = [_result(result) for result in entry.results if _can_be_said(result)]
    metadata["model-index"] = [{"name": entry.name, "results": results}]
    return metadata


def _can_be_said(result: Result) -> bool:
    """Whether a result has what the Hub asks for: a task, a data set, a metric."""
    return bool(result.task and result.dataset and result.metrics)


def _result(result: Result) -> dict[str, Any]:
    task, dataset = str(result.task), str(result.dataset)
    said = {name: claim.value for name, claim in result.extra.items()}
    types = {key: str(value) for key, value in (said.get("metric_types") or {}).items()}
    told: dict[str, Any] = {
        "task": {"type": said.get("task_type") or task_id(task), "name": task},
        "dataset": {"type": said.get("dataset_type") or DATASET_IDS.get(dataset, dataset), "name": dataset},
        "metrics": [_metric(claim, types) for claim in result.metrics.values()],
    }
    if result.split is not None:
        told["dataset"]["split"] = str(result.split.value)
    for word in ("config", "revision", "args"):
        if (value := said.get(f"dataset_{word}")) is not None:
            told["dataset"][word] = _plain(value)
    if url := said.get("source_url"):
        told["source"] = {"url": url}
        if name := said.get("source_name"):
            told["source"]["name"] = name
    return told


def _metric(claim: Claim, types: Mapping[str, str]) -> dict[str, Any]:
    kind, arguments = metric_id(claim.label)
    told: dict[str, Any] = {
        "type": types.get(claim.label, kind),
        "name": claim.label,
        "value": _plain(claim.value),
    }
    return {**told, "args": arguments} if arguments and claim.label not in types else told


def _plain(value: Any) -> Any:
    """Write exact values as JSON has them; the nearest float of a short decimal prints as that decimal."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def from_card_metadata(metadata: Mapping[str, Any], file: Path | None = None) -> Entry:
    """Read a card's metadata as an entry.

    Args:
        metadata: What the front matter holds.
        file: What to name in places; their line and column are those of the metadata as JSON.

    Raises:
        IndexReadError: It carries no model index, or one of several models; or a value is wrong.
    """
    name = file or Path("card metadata")
    data = json.dumps(metadata, default=str, ensure_ascii=False).encode()
    source = YamlSource(name.with_suffix(".json"), data)
    try:
        root = compose(source)
    except Flaw as flaw:
        raise IndexReadError(f"{name}: {flaw.message}") from None
    index = from_front_matter(root) if root is not None else None
    models = index.pairs[0][1].items if index is not None and index.pairs else []
    if len(models) != 1:
        raise IndexReadError(f"{name}: a card speaks of one model, this one of {len(models)}")
    problems: list[Problem] = []
    entry = Builder(problems, lambda folder, path: True).entry(models[0])
    if wrong := [problem for problem in problems if problem.severity == "error"]:
        raise IndexReadError("\n".join(f"{name}: {problem.code}: {problem.message}" for problem in wrong))
    if entry is None:
        raise IndexReadError(f"{name}: the model has no name")
    return entry
