"""Read the Hub's card metadata: as a model index, or as plain values; and table how it names what we name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.index.fields import find_field, is_slip, key_name
from rexnet_hub.index.problems import Fix, Flaw
from rexnet_hub.index.reading.compose import compose, resolve
from rexnet_hub.index.reading.source import Node, YamlSource, find_blocks
from rexnet_hub.index.reading.values import LANGUAGE, OUR_LICENSES, as_number, find_dataset_problem, is_null
from rexnet_hub.index.spellings import HUB_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

_OUR_DATASETS = {theirs: ours for ours, names in HUB_NAMES.items() for theirs in names}
#: Characters of metadata of others that are read; ours are some hundreds.
MAX_FRONT_MATTER = 100_000


def task_id(name: str) -> str:
    """Write a task's name as the Hub's id: `Image Classification` is `image-classification`."""
    return "-".join(name.lower().split())


def task_name(identifier: str) -> str:
    """Write a task's id as a name: the inverse of `task_id` for names in title case."""
    return identifier.replace("-", " ").title()


def metric_id(label: str) -> tuple[str, dict[str, int]]:
    """Return the Hub's id of a metric and the arguments that tell it from its siblings."""
    row = find_field("metrics", label)
    if row is not None and row.name in ("top1", "top5"):
        return "accuracy", {"top_k": 5} if row.name == "top5" else {}
    return key_name(label), {}


def read_front_matter(card: str) -> dict[str, Any]:
    """Read a card's metadata, whoever wrote it; an empty mapping where none can be read in bounds."""
    return {key: value for key, (value, _) in read_fields(card).items()}


def read_fields(card: str) -> dict[str, tuple[Any, int]]:
    """Read a card's metadata as of `read_front_matter`, each field with where in the card its key begins."""
    source = YamlSource(Path("README.md"), card.encode("utf-8", "replace"))
    front = next(iter(find_blocks(source.text)), None)
    if front is None or front.kind != "front" or front.end - front.start > MAX_FRONT_MATTER:
        return {}
    try:
        node = compose(source, front.start, front.end)
        values = _plain(node, set()) if node and node.pairs else {}
    except Flaw:
        return {}
    return {key.value: (values[key.value], key.start) for key, _ in node.pairs} if node else {}


def _plain(node: Node, seen: set[int]) -> Any:
    """Convert a node into plain values; a node met twice is an alias: some lines of them hold gigabytes."""
    if id(node) in seen:
        raise Flaw("too-large", "an alias", node.start)
    seen.add(id(node))
    if node.kind == "mapping":
        values = {key.value: _plain(value, seen) for key, value in node.pairs if key.kind == "scalar"}
        if len(values) < len(node.pairs):
            raise Flaw("not-yaml", "a key that is no word, or there twice", node.start)
        return values
    if node.kind == "list":
        return [_plain(item, seen) for item in node.items]
    kind = resolve(node.value) if node.plain and node.tag is None else "str"
    if kind in ("int", "float") and (number := as_number(node.value)) is not None:
        return int(number) if kind == "int" else float(number)
    if kind == "bool" and node.value.lower() in ("true", "false"):  # no is Norwegian: the Hub reads YAML 1.2
        return node.value.lower() == "true"
    return None if kind == "null" else node.value


def from_front_matter(front: Node, report: Callable[..., None]) -> Node | None:
    """Convert a card's front matter into an index node; None when it carries no model index.

    Each value keeps its own place. A card speaks of one model, so its licence, data sets and task are that
    model's.

    Args:
        report: Takes what the Hub would not read: code, node, message, fix.
    """
    parts = _parts(front)
    if "model_index" not in parts:
        return None
    key, listed = parts["model_index"]
    if key.text != "model-index":
        fix = Fix(old=key.raw, new="model-index")
        report("hub-metadata", key, f"the Hub reads 'model-index' and passes over {key.text!r}", fix)
    if listed.kind == "mapping" or not any("name" in _parts(item) for item in listed.items):
        return listed  # The public format under the Hub's key, as its library reads it.
    _check_lists(parts, report)
    items = []
    for item in listed.items:
        if any(key.text in ("name", "results") for key, _ in item.pairs):
            _check_shape("model", item, report)
    for item in listed.items:
        pairs = []
        for key, value in item.pairs:
            if key_name(key.text) == "results" and value.kind == "list":
                results = [_result(result) for result in value.items]
                value = Node(value.source, "list", results, value.start, value.end)
            pairs.append((key, value))
        if len(listed.items) == 1:
            pairs += _card_wide(front, parts)
        items.append(_mapping(item, pairs))
    models = Node(front.source, "list", items, listed.start, listed.end)
    return _mapping(front, [(_text(key, "Models"), models)])


#: The Hub's own schema of a card's model-index: of each mapping its keys, those needed with a `!`,
#: and what stands there: a mapping, with `[]` a list of them, or where nothing is said whatever there is.
_SHAPES = {
    "model": {"name!": "", "results!": "result[]"},
    "result": {"task!": "task", "dataset!": "dataset", "metrics!": "metric[]", "source": "source"},
    "task": {"type!": "", "name": ""},
    "dataset": {"type!": "", "name!": "", **dict.fromkeys(("config", "split", "revision", "args"), "")},
    "metric": {
        "type!": "",
        "value!": "",
        **dict.fromkeys(("name", "config", "args", "verified", "verifyToken"), ""),
    },
    "source": {"url!": "", "name": ""},
}
#: What the Hub reads as lists of texts.
_LISTS = ("tags", "datasets", "metrics", "language")
#: What else the Hub reads of a card.
_FIELDS = (*_LISTS, "license", "license_name", "license_link", "library_name", "pipeline_tag", "base_model")


def _check_shape(shape: str, node: Node, report: Callable[..., None]) -> None:
    """Report where a mapping is not as the Hub and its client have it: they refuse it, or pass over it."""
    if node.kind != "mapping":
        message = f"expected a {shape}: a mapping with {_required(shape)}; the Hub refuses else"
        report("hub-metadata", node, message)
        return
    known = {key.rstrip("!"): what for key, what in _SHAPES[shape].items()}
    found = {key.text: value for key, value in node.pairs}
    lacking = [key for key in _required(shape).split(", ") if key not in found or is_null(found[key])]
    if lacking:
        report("hub-metadata", node, f"this {shape} has no {' and no '.join(lacking)}; the Hub refuses it")
    for key, value in node.pairs:
        what = known.get(key.text)
        if what is None:
            report("hub-metadata", key, f"the Hub passes over {key.text!r}; a {shape} has {', '.join(known)}")
        elif what.endswith("[]") and value.kind != "list" and not is_null(value):
            each = f"each with {_required(what[:-2])}"
            message = f"expected a list of {key.text}, {each}; the Hub refuses anything else"
            report("hub-metadata", value, message)
        elif what and not is_null(value):
            for item in value.items if what.endswith("[]") else [value]:
                _check_shape(what.removesuffix("[]"), item, report)


def _required(shape: str) -> str:
    return ", ".join(key.rstrip("!") for key in _SHAPES[shape] if key.endswith("!"))


def _check_lists(parts: dict[str, tuple[Node, Node]], report: Callable[..., None]) -> None:
    """Report what some reader of YAML takes for no text, where the Hub wants texts."""
    for key, _ in parts.values():
        named = (f for f in _FIELDS if is_slip(key_name(key.text), f) or key.text in (f[:-1], f"{f}s"))
        if key.text not in _FIELDS and (meant := next(named, None)):
            report("hub-metadata", key, f"the Hub passes over {key.text!r}. Did you mean {meant!r}?")
    for key, value in (parts[word] for word in _LISTS if word in parts):
        for item in value.items or [value]:
            if key.text == "datasets" and item.text and (problem := find_dataset_problem(item.text)):
                report("hub-metadata", item, problem)
            elif key.text == "language" and item.text and not LANGUAGE.fullmatch(item.text):
                report("hub-metadata", item, f"{item.text[:60]!r} is no code of a language, such as en")
            read = resolve(item.text) if item.kind == "scalar" and item.plain else "str"
            if read in ("int", "float", "timestamp", "bool") and not is_null(item):
                differs = read == "timestamp" or item.text.lower() in ("yes", "no", "on", "off")
                code = "read-differently" if differs else "hub-metadata"
                fix = Fix(old=item.raw, new=f"'{item.raw}'")
                report(code, item, f"{item.text} of {key.text} is read as no text by YAML 1.1: quote it", fix)


def _card_wide(front: Node, parts: dict[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    pairs, metadata = [], []
    if "license" in parts:
        key, value = parts["license"]
        pairs.append((_text(key, "License"), _reworded(value, OUR_LICENSES)))
    if "datasets" in parts:
        key, value = parts["datasets"]
        items = [_reworded(item, _OUR_DATASETS) for item in value.items] or [_reworded(value, _OUR_DATASETS)]
        data = Node(value.source, "list", items, value.start, value.end)
        metadata.append((_text(key, "Training Data"), data))
    if "pipeline_tag" in parts:
        key, value = parts["pipeline_tag"]
        metadata.append((_text(key, "Tasks"), _text(value, task_name(value.text))))
    return [*pairs, (_text(metadata[0][0], "Metadata"), _mapping(front, metadata))] if metadata else pairs


def _result(result: Node) -> Node:
    """Flatten task, dataset and source, and give each metric its name."""
    parts = _parts(result)
    if "task" not in parts or parts["task"][1].kind != "mapping":
        return result
    pairs = _task(*parts["task"])
    if "dataset" in parts:
        pairs += _dataset(*parts["dataset"])
    if "metrics" in parts:
        pairs += _metrics(*parts["metrics"])
    if "source" in parts:
        inner = _parts(parts["source"][1])
        pairs += [(_text(inner[n][0], f"Source {n}"), inner[n][1]) for n in ("url", "name") if n in inner]
    return _mapping(result, pairs)


def _task(key: Node, node: Node) -> list[tuple[Node, Node]]:
    inner = _parts(node)
    kind, name = inner.get("type"), inner.get("name")
    if name is None:
        return [(key, _text(kind[1], task_name(kind[1].text)))] if kind else []
    pairs = [(key, name[1])]
    if kind is not None and kind[1].text != task_id(name[1].text):
        pairs.append((_text(kind[0], "Task Type"), kind[1]))
    return pairs


def _dataset(key: Node, node: Node) -> list[tuple[Node, Node]]:
    inner = _parts(node)
    name, kind = inner.get("name"), inner.get("type")
    pairs = []
    if (shown := name or kind) is not None:
        ours = _reworded(shown[1], _OUR_DATASETS)
        pairs.append((key, ours))
        if kind is not None and kind[1].text != HUB_NAMES.get(ours.text, (ours.text,))[0]:
            pairs.append((_text(kind[0], "Dataset Type"), kind[1]))
    if "split" in inner:
        pairs.append((_text(inner["split"][0], "Split"), inner["split"][1]))
    words = [word for word in ("config", "revision", "args") if word in inner]
    return pairs + [(_text(inner[word][0], f"Dataset {word}"), inner[word][1]) for word in words]


def _metrics(key: Node, node: Node) -> list[tuple[Node, Node]]:
    metrics, types = [], []
    for item in node.items or [node]:
        inner = _parts(item)
        if "value" not in inner or ("name" not in inner and "type" not in inner):
            continue
        named = inner.get("name")
        label = _text(named[1], named[1].text) if named else _metric_label(inner)
        metrics.append((label, inner["value"][1]))
        if "type" in inner and inner["type"][1].text != metric_id(label.text)[0]:
            types.append((label, inner["type"][1]))
    pairs = [(key, _mapping(node, metrics))]
    return [*pairs, (_text(key, "Metric Types"), _mapping(node, types))] if types else pairs


def _metric_label(inner: dict[str, tuple[Node, Node]]) -> Node:
    kind = inner["type"][1]
    if kind.text == "accuracy":
        top = _parts(inner["args"][1]).get("top_k") if "args" in inner else None
        return _text(kind, f"Top {top[1].text if top else 1} Accuracy")
    return _text(kind, kind.text)


def _parts(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key_name(key.text): (key, value) for key, value in node.pairs if key.kind == "scalar"}


def _text(node: Node, text: str) -> Node:
    """Return another word in the same place; it counts as quoted, since it is text."""
    return Node(node.source, "scalar", text, node.start, node.end, plain=False)


def _reworded(node: Node, words: dict[str, str]) -> Node:
    return _text(node, words[node.text]) if node.kind == "scalar" and node.text in words else node


def _mapping(node: Node, pairs: list[tuple[Node, Node]]) -> Node:
    return Node(node.source, "mapping", pairs, node.start, node.end)
