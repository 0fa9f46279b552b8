"""An entry as the README.md of its repo."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from rexnet_hub.index import Entry
from rexnet_hub.index.lock import Measured
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.pages import text
from rexnet_hub.pages.facts import input_sentence, list_facts, training_rows
from rexnet_hub.pages.families import citation, find_family
from rexnet_hub.pages.snippets import predicting
from rexnet_hub.weights.digest import FileDigest
from rexnet_hub.weights.receipt import OutputFacts

#: How the index names a data set or task -> how the Hub does.
HUB_DATASETS = {"ImageNet": ("imagenet-1k", "ImageNet-1k")}
METRICS = {"top1": "Top 1 Accuracy", "top5": "Top 5 Accuracy"}

#: Characters of metadata that are read; ours are some hundreds.
MAX_FRONT_MATTER = 100_000
MAX_DEPTH = 20

Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def environment() -> Environment:
    """Make the one environment of all templates: a misspelt field is an error at render time."""
    made = Environment(
        loader=PackageLoader("rexnet_hub.pages"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: text goes through `md` or `code`, addresses through `link`
    )
    filters = (text.code, text.fenced, text.link, text.number, text.shell, text.short)
    made.filters |= {"md": text.markdown, "file_name": text.file_name} | {f.__name__: f for f in filters}
    return made


def render_card(
    entry: Entry,
    *,
    repo_id: str | None = None,
    files: Sequence[Mapping[str, Any]] = (),
    standin: bool = False,
    measured: Measured | None = None,
) -> str:
    """Render an entry as the README.md of its repo.

    Args:
        entry: The model.
        repo_id: Where the repo is on the Hub; without, the snippets load by the entry's name.
        files: `name`, `size_bytes` and `sha256` of each file with a known digest.
        standin: Whether the weights are random numbers in the released shape; the card then says so first.
        measured: What the lock holds of the model.
    """
    facts = list_facts(entry, measured)
    body = (
        environment()
        .get_template("card.md.jinja")
        .render(
            entry=entry,
            family=find_family(entry),
            facts=facts,
            accuracy_measured=any(fact.key == "top1" and fact.measured for fact in facts),
            predicting=predicting(repo_id or entry.name, repo_id=repo_id),
            preprocessing=input_sentence(entry),
            training=training_rows(entry),
            files=files,
            num_classes=entry.value("num_classes"),
            bibtex=citation(entry),
            standin=standin,
        )
    )
    front = "\n".join(yaml_lines(front_matter(entry, standin=standin)))
    return f"---\n{front}\n---\n\n{body.strip()}\n"


def derive_card(
    entry: Entry,
    weights: FileDigest | OutputFacts,
    *,
    measured: Measured | None,
    standin: bool,
    repo_id: str | None,
) -> str:
    """Render the whole card of a repo: nothing but entry, lock and weights decides a byte of it.

    Args:
        weights: What the repo's weights are, by their receipt.
        measured: What the lock says of the model; of a stand-in only what holds of one is taken.
        standin: Whether the weights are random numbers.
        repo_id: Where the repo is on the Hub.
    """
    known = measured.of_standin() if measured and standin else measured
    file = {"name": WEIGHTS_FILE, "size_bytes": weights.size_bytes, "sha256": weights.sha256}
    return render_card(entry, repo_id=repo_id, files=[file], standin=standin, measured=known)


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


def read_front_matter(card: str) -> dict[str, Any]:
    """Read a card's metadata, whoever wrote it; an empty mapping where none can be read in bounds."""
    block = card.split("---\n", 2)[1] if card.startswith("---\n") else ""
    if len(block) > MAX_FRONT_MATTER:
        return {}
    try:
        data = yaml.load(block, Loader) if _is_bounded(block) else None
        str(data)  # a number may have more digits than can be written
    except (ValueError, ArithmeticError, yaml.YAMLError):  # a date may be none
        return {}
    return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}


def _is_bounded(block: str) -> bool:
    """Say whether YAML is not deep, and has no aliases: a few lines of them can stand for gigabytes."""
    depth = 0
    for event in yaml.parse(block, Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            return False
    return True


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
        if result.snapshots and (url := text.safe_url(result.snapshots[0].url)):
            row["source"] = {"name": "timm results", "url": url}
        rows.append(row)
    return rows


def yaml_lines(value: Any) -> list[str]:
    """Lay mappings and lists out as PyYAML does, in a sixth of its time; what they hold it writes itself."""
    lines: list[str] = []
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            below = yaml_lines(inner)
            if not isinstance(inner, dict | list) or not inner:
                lines.append(f"{_scalar(key)}: {below[0]}")
                continue
            lines.append(f"{_scalar(key)}:")
            lines += [f"  {line}" for line in below] if isinstance(inner, dict) else below
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = yaml_lines(item)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
    else:
        lines.append(_scalar(value) if not isinstance(value, dict | list) else "{}" if value == {} else "[]")
    return lines


@functools.lru_cache(maxsize=4096, typed=True)
def _scalar(value: str | int | float | None) -> str:
    # On one line whatever it holds: a line break within would need to know how deep it stands.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    written = yaml.dump(value, Dumper=Dumper, default_style=style, allow_unicode=True, width=10**6)
    return written.removesuffix("\n").removesuffix("\n...")
