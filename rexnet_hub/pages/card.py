"""An entry as the README.md of its repo."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from rexnet_hub.index import Entry, Paper
from rexnet_hub.pages.text import (
    Row,
    link,
    markdown,
    number,
    origin,
    percent_text,
    preprocessing_sentence,
    training_rows,
)

#: How the index names a data set or task -> how the Hub does.
HUB_DATASETS = {"ImageNet": ("imagenet-1k", "ImageNet-1k")}
METRICS = {"top1": "Top 1 Accuracy", "top5": "Top 5 Accuracy"}


@functools.cache
def environment() -> Environment:
    """Make the one environment of all templates: a misspelt field is an error at render time."""
    made = Environment(
        loader=PackageLoader("rexnet_hub.pages"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: text goes through `md`, addresses through `link`
    )
    made.filters |= {"md": markdown, "link": link}
    return made


def render_card(
    entry: Entry,
    *,
    repo_id: str | None = None,
    files: Sequence[Mapping[str, Any]] = (),
    standin: bool = False,
) -> str:
    """Render an entry as the README.md of its repo.

    Args:
        repo_id: Where the repo is on the Hub; without, the snippets load by the entry's name.
        files: `name`, `size_bytes` and `sha256` of each file with a known digest.
        standin: Whether the weights are random numbers in the released shape; the card then says so first.
    """
    source = repo_id or entry.name
    body = (
        environment()
        .get_template("card.md.jinja")
        .render(
            entry=entry,
            title=markdown(entry.name),
            collection_paper=entry.current_paper
            or entry.paper
            or Paper(title=None, url=None, location=entry.location),
            source=source,
            timm_source=f"hf-hub:{repo_id}" if repo_id else f"local-dir:{entry.name}",
            figures=key_figures(entry),
            results=result_rows(entry),
            preprocessing=preprocessing_sentence(entry),
            training=training_rows(entry),
            files=files,
            num_classes=entry.value("num_classes"),
            standin=standin,
        )
    )
    front = yaml.safe_dump(
        front_matter(entry, standin=standin), sort_keys=False, allow_unicode=True, width=10**6
    )
    return f"---\n{front}---\n\n{body}"


def front_matter(entry: Entry, *, standin: bool = False) -> dict[str, Any]:
    """Build the card's metadata for the Hub: percents as floats in percentage points, one model a card."""
    data: dict[str, Any] = {}
    if entry.license:
        data["license"] = str(entry.license.value).lower()
    data["library_name"] = "timm"
    data["pipeline_tag"] = "image-classification"
    data["tags"] = ["image-classification", "timm", "transformers", "rexnet_hub"]
    names = entry.value("training_data") or ()
    if datasets := [HUB_DATASETS[name][0] for name in names if name in HUB_DATASETS]:
        data["datasets"] = datasets
    if results := [] if standin else hub_results(entry):
        data["metrics"] = ["accuracy"]
        data["model-index"] = [{"name": entry.name, "results": results}]
    return data


def hub_results(entry: Entry) -> list[dict[str, Any]]:
    """Say the entry's results as the Hub's card metadata does."""
    rows = []
    for result in entry.results:
        dataset_type, dataset_name = HUB_DATASETS.get(result.dataset or "", (result.dataset, result.dataset))
        dataset = {"name": dataset_name, "type": dataset_type}
        if result.split:
            dataset["split"] = result.split.value
        metrics: list[dict[str, Any]] = []
        for name, claim in result.metrics.items():
            if name not in METRICS or claim.value is None:
                continue
            metric: dict[str, Any] = {"type": "accuracy", "value": float(claim.value), "name": METRICS[name]}
            if name == "top5":
                metric["args"] = {"top_k": 5}
            metrics.append(metric)
        row: dict[str, Any] = {
            "task": {"type": "image-classification", "name": result.task or "Image Classification"},
            "dataset": dataset,
            "metrics": metrics,
        }
        if result.snapshots:
            row["source"] = {"name": "timm results", "url": result.snapshots[0].url}
        rows.append(row)
    return rows


def key_figures(entry: Entry) -> tuple[Row, ...]:
    """List the figures that people compare models by."""
    names = ("parameters", "flops", "file_size", "image_size", "crop_pct")
    claims = [entry.metadata[name] for name in names if name in entry.metadata]
    return tuple(Row(label=c.label, value=number(c.value), origin=origin(c)) for c in claims)


def result_rows(entry: Entry) -> tuple[dict[str, str], ...]:
    """List every published metric with its source."""
    return tuple(
        {
            "dataset": result.dataset or "",
            "split": str(result.split.value) if result.split else "not stated",
            "metric": claim.label,
            "value": percent_text(claim),
            "origin": f"[table]({link(result.snapshots[0].url)})" if result.snapshots else "model index",
        }
        for result in entry.results
        for claim in result.metrics.values()
    )
