"""Read the Hub's card metadata as the public format: the same nodes under the keys that it names."""

from __future__ import annotations

from rexnet_hub.index.fields import find_field, key_name
from rexnet_hub.index.reading.source import Node

#: Data sets and licences that the Hub calls otherwise: our word to its id.
DATASET_IDS = {"ImageNet": "imagenet-1k"}
LICENSE_IDS = {
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
}


def task_id(name: str) -> str:
    """Write a task's name as the Hub's id: `Image Classification` is `image-classification`."""
    return "-".join(name.lower().split())


def task_name(identifier: str) -> str:
    """Write a task's id as a name: the inverse of `task_id` for names in title case."""
    return identifier.replace("-", " ").title()


def metric_id(label: str) -> tuple[str, dict[str, int]]:
    """Give the Hub's id of a metric and the arguments that tell it from its siblings."""
    row = find_field("metrics", label)
    if row is not None and row.name == "top1":
        return "accuracy", {}
    if row is not None and row.name == "top5":
        return "accuracy", {"top_k": 5}
    return key_name(label), {}


def from_front_matter(front: Node) -> Node | None:
    """Turn a card's front matter into an index node; None when it carries no model index.

    Each value keeps its own place. A card speaks of one model, so its licence and data sets are that model's.
    """
    said = _said(front)
    listed = said.get("model_index")
    if listed is None:
        return None
    if listed[1].kind == "mapping" or not any("name" in _said(item) for item in listed[1].items):
        return listed[1]  # The public format under the Hub's key, as its library reads it.
    items = []
    for item in listed[1].items:
        pairs = _model(item)
        if len(listed[1].items) == 1:
            pairs += _card_wide(front, said)
        items.append(_mapping(item, pairs))
    models = Node(front.source, "list", items, listed[1].start, listed[1].end)
    return _mapping(front, [(_key(listed[0], "Models"), models)])


def _model(item: Node) -> list[tuple[Node, Node]]:
    pairs = []
    for key, value in item.pairs:
        if key_name(key.text) == "results" and value.kind == "list":
            results = [_result(result) for result in value.items]
            value = Node(value.source, "list", results, value.start, value.end)
        pairs.append((key, value))
    return pairs


def _card_wide(front: Node, said: dict[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    pairs = []
    if "license" in said:
        key, value = said["license"]
        ours = {theirs: word for word, theirs in LICENSE_IDS.items()}
        pairs.append((_key(key, "License"), _reworded(value, ours)))
    if "datasets" in said:
        key, value = said["datasets"]
        ours = {theirs: word for word, theirs in DATASET_IDS.items()}
        items = [_reworded(item, ours) for item in value.items] or [_reworded(value, ours)]
        data = Node(value.source, "list", items, value.start, value.end)
        metadata = _mapping(front, [(_key(key, "Training Data"), data)])
        pairs.append((_key(key, "Metadata"), metadata))
    return pairs


def _result(result: Node) -> Node:
    """Flatten task, dataset and source, and give each metric its name."""
    said = _said(result)
    if "task" not in said or said["task"][1].kind != "mapping":
        return result
    pairs: list[tuple[Node, Node]] = []
    pairs += _task(*said["task"])
    if "dataset" in said:
        pairs += _dataset(*said["dataset"])
    if "metrics" in said:
        pairs += _metrics(*said["metrics"])
    if "source" in said:
        inner = _said(said["source"][1])
        pairs += [(_key(inner[n][0], f"Source {n}"), inner[n][1]) for n in ("url", "name") if n in inner]
    return _mapping(result, pairs)


def _task(key: Node, node: Node) -> list[tuple[Node, Node]]:
    inner = _said(node)
    kind, name = inner.get("type"), inner.get("name")
    if name is None:
        return [(key, _text(kind[1], task_name(kind[1].text)))] if kind else []
    pairs = [(key, name[1])]
    if kind is not None and kind[1].text != task_id(name[1].text):
        pairs.append((_key(kind[0], "Task Type"), kind[1]))
    return pairs


def _dataset(key: Node, node: Node) -> list[tuple[Node, Node]]:
    inner = _said(node)
    name, kind = inner.get("name"), inner.get("type")
    shown = name or kind
    pairs = [(key, shown[1])] if shown else []
    if (
        kind is not None
        and shown is not None
        and kind[1].text != DATASET_IDS.get(shown[1].text, shown[1].text)
    ):
        pairs.append((_key(kind[0], "Dataset Type"), kind[1]))
    if "split" in inner:
        pairs.append((_key(inner["split"][0], "Split"), inner["split"][1]))
    for word in ("config", "revision", "args"):
        if word in inner:
            pairs.append((_key(inner[word][0], f"Dataset {word}"), inner[word][1]))
    return pairs


def _metrics(key: Node, node: Node) -> list[tuple[Node, Node]]:
    metrics, types = [], []
    for item in node.items:
        inner = _said(item)
        if "value" not in inner or ("name" not in inner and "type" not in inner):
            continue
        named = inner.get("name")
        label = _text(named[1], named[1].text) if named else _metric_label(item, inner)
        metrics.append((label, inner["value"][1]))
        if "type" in inner and inner["type"][1].text != metric_id(label.text)[0]:
            types.append((label, inner["type"][1]))
    found = [(key, _mapping(node, metrics))]
    return [*found, (_key(key, "Metric Types"), _mapping(node, types))] if types else found


def _metric_label(item: Node, inner: dict[str, tuple[Node, Node]]) -> Node:
    kind = inner["type"][1]
    if kind.text == "accuracy":
        top = _said(inner["args"][1]).get("top_k") if "args" in inner else None
        return _text(kind, f"Top {top[1].text if top else 1} Accuracy")
    return _text(kind, kind.text)


def _said(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key_name(key.text): (key, value) for key, value in node.pairs if key.kind == "scalar"}


def _key(node: Node, text: str) -> Node:
    return _text(node, text)


def _text(node: Node, text: str) -> Node:
    """The same place under another word; it counts as quoted, since it is text."""
    return Node(node.source, "scalar", text, node.start, node.end, plain=False)


def _reworded(node: Node, words: dict[str, str]) -> Node:
    return _text(node, words[node.text]) if node.kind == "scalar" and node.text in words else node


def _mapping(node: Node, pairs: list[tuple[Node, Node]]) -> Node:
    return Node(node.source, "mapping", pairs, node.start, node.end)
