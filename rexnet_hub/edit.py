"""Edit an entry of the index, or remove it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from rexnet_hub.errors import UsageError, suggest
from rexnet_hub.index import Entry, Index, Lock
from rexnet_hub.index.change import Draft, change_index
from rexnet_hub.index.fields import FIELDS, Field, find_field, key_name
from rexnet_hub.index.ledger import read_ledger
from rexnet_hub.index.lock import find_lock, require_unpublished
from rexnet_hub.index.reading.compose import resolve
from rexnet_hub.index.spellings import is_place, split_key
from rexnet_hub.index.text_edits import read_model, remove_figures, remove_model, set_value
from rexnet_hub.index.text_plans import Verbatim
from rexnet_hub.layout import LEDGER_FILE, labels_of
from rexnet_hub.measure import measure_model, merge_measured

#: What decides which network is measured, and on which picture.
_MEASURED = {"id", "num_classes", "image_size"}
_SECTIONS = ("models", "collections", "metadata", "results", "metrics", "paper", "sources", "witnesses")
_NUMBERS = ("count", "bytes", "number", "fraction")


def edit_entry(name: str, values: Mapping[str, str]) -> Entry:
    """Change what an entry states itself; return it as it is then.

    Args:
        values: The new text of each field, by its label in whatever spelling; an empty one removes it. Of a
            result as `top1@NAME`, or `top1@NAME/SPLIT`: on a data set that it has none on, a new one.

    Raises:
        UsageError: There is no such field, or the index would not be valid; nothing is changed.
        IndexReadError: It cannot be edited without changing something else; nothing is changed.
    """
    changed: set[str] = set()

    def change(draft: Draft) -> None:
        model = draft.index.find(name)
        # From the last place of a file on: an edit moves what stands below it.
        homes = {label: _find_home(model, label) for label in values}
        for label in sorted(values, key=lambda label: homes[label].location, reverse=True):
            entry, text = homes[label], values[label]
            file, place = entry.location.file, entry.location
            there = read_model(draft.read(file), place)
            row, steps = _find_place(entry, there, label)
            if steps[0] == "Results" and steps[1] == len(_results(there) or ()):
                if row is None or row.owner != "metrics" or not text.strip():
                    problem = "has no such result; a number begins one, as top1@NAME=79.5"
                    raise UsageError(f"{label}: {name} {problem}")
                result = _begin_result(label.partition("@")[2])
                at, new = (steps[:2], result) if _results(there) else (steps[:1], [result])
                draft.edit(file, set_value, place, at, new)
            if row is not None:
                changed.add(row.name)
            value = _parse(row, steps[-1], text) if text.strip() else None
            draft.edit(file, set_value, place, steps, value)

    def record(index: Index, lock: Lock) -> Lock:
        entry = index.find(name)
        if entry.name not in lock.models or not changed & _MEASURED:
            return lock
        measured = merge_measured(entry, lock.of(entry.name), measure_model(entry))
        return lock.with_model(entry.name, measured)

    return change_index(change, record).find(name)


def remove_entry(name: str, *, because: str | None = None) -> Entry:
    """Remove an entry, what was measured of it, and its ledger's figures; with a reason all stays, withdrawn.

    Another name alone goes without its model; a reason is the model's, by whatever name.

    Raises:
        UsageError: It was published, so others may ask for it; nothing is changed.
        IndexReadError: It cannot be removed without changing something else; nothing is changed.
    """
    removed: list[Entry] = []

    def change(draft: Draft) -> None:
        entry = draft.index.find(name)
        removed.append(entry)
        if because is not None:
            draft.edit(entry.location.file, set_value, entry.location, ["Withdrawn"], because)
            return
        require_unpublished(entry.name, "say why it goes, with --because, and they are told")
        _remove_figures(draft, name)
        if name in entry.other_names:
            removed[:] = [other for other in entry.others if other.name == name]
            draft.edit(removed[0].location.file, remove_model, removed[0].location)
            return
        if entry.others:
            others = ", ".join(entry.other_names)
            raise UsageError(f"{name} is also called {others}: remove those names first")
        if users := [other.name for other in draft.index.models if name in _mentioned(other)]:
            raise UsageError(f"{name} is named by {', '.join(users)}, as what they are of: edit them first")
        draft.edit(entry.location.file, remove_model, entry.location)
        labels = labels_of(entry.location.file, name)
        if [other.name for other in draft.index.models if other.labels_file == labels] == [name]:
            draft.write(labels, None)

    def record(index: Index, lock: Lock) -> Lock:
        gone = removed[0].name if because is None else None
        return Lock(models={key: value for key, value in lock.models.items() if key != gone})

    change_index(change, record)
    return removed[0]


def _remove_figures(draft: Draft, name: str) -> None:
    """Remove what the ledger's places state under a name; what is copied from it would lose its cause."""
    file = find_lock().with_name(LEDGER_FILE)
    figures = [(place.name, each) for place in read_ledger().places for each in place.figures]
    if copies := {f"{', '.join(each.values)} at {place}" for place, each in figures if each.of == name}:
        problem = f"figures of {'; '.join(sorted(copies))} are named as copied from {name}"
        raise UsageError(f"{file}: {problem}: edit them first")
    if any(name in each.values for _, each in figures):
        draft.edit(file, remove_figures, name)


def _mentioned(entry: Entry) -> set[Any]:
    return {entry.said("superseded_by"), *(entry.said("base_model") or ())}


def _find_home(model: Entry, label: str) -> Entry:
    """Find where a result on a data set stands: in the model's own entry, or under another name of it."""
    _, _, dataset = label.partition("@")
    stated = {result.location for other in model.others for result in other.results}

    def has(entry: Entry) -> bool:
        own = [r for r in entry.results if entry is not model or r.location not in stated]
        return any(is_place(dataset, r.dataset, str(r.split.value) if r.split else None) for r in own)

    homes = [entry for entry in (model, *model.others) if dataset and has(entry)]
    return homes[0] if homes else model


def _find_place(entry: Entry, there: Mapping[str, Any], label: str) -> tuple[Field | None, list[str | int]]:
    """Find the field that a label means, and where the entry states it, or would."""
    word, _, dataset = label.partition("@")
    for owner, steps in (("model", []), ("metadata", ["Metadata"])):
        if not dataset and (row := _find_row(owner, word)):
            return _require_editable(row), [*steps, row.label]
    if row := _find_row("metrics", word) or _find_row("result", word):
        inner = ["Metrics", row.label] if row.owner == "metrics" else [row.label]
        return _require_editable(row), [*_find_result(entry, there, label, dataset), *inner]
    for steps, holder in (([], there), (["Metadata"], there.get("Metadata"))):
        if isinstance(holder, dict) and (key := _find_key(holder, word)):
            return None, [*steps, key]
    known = [row.label for row in FIELDS if row.owner in ("model", "metadata", "result", "metrics")]
    raise UsageError(f"{entry.name} has no field {label!r}. {suggest(word, known)}")


def _find_row(owner: str, word: str) -> Field | None:
    """Find a field by its label, or by the name that queries have for it."""
    named = (row for row in FIELDS if row.owner == owner and row.name == key_name(word))
    return find_field(owner, word) or next(named, None)


def _find_key(holder: Mapping[str, Any], word: str) -> str | None:
    return next((key for key in holder if key_name(key) == key_name(word)), None)


def _require_editable(row: Field) -> Field:
    if row.name == "name":
        raise UsageError("a model keeps its Name; remove it, and add it under the other")
    if row.kind in _SECTIONS:
        raise UsageError(f"{row.label} is no single value: edit the file by hand, then rexnet-hub validate")
    return row


def _results(there: Mapping[str, Any]) -> Any:
    return there.get(_find_key(there, "Results") or "")


def _find_result(entry: Entry, there: Mapping[str, Any], label: str, dataset: str) -> list[str | int]:
    """Find the one result of the entry itself that is meant; on a data set that has none, a new last one."""
    results = _results(there) or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise UsageError(f"{label}: the results of {entry.name} are no list here: edit the file by hand")
    keys = ("Dataset", "Split")
    places = [tuple(result.get(_find_key(result, key) or "") for key in keys) for result in results]
    meant = [at for at, place in enumerate(places) if not dataset or is_place(dataset, *place)]
    if dataset and not meant:
        return ["Results", len(results)]
    if dataset and len(meant) > 1:  # without a split the one that states none
        meant = [at for at in meant if not places[at][1]] or meant
    if len(meant) != 1:
        of = ", ".join("/".join(filter(None, place)) for place in places) or "none of its own"
        advice = f"write {label.partition('@')[0]}@NAME{'/SPLIT' if dataset else ''}"
        raise UsageError(f"{label}: of which result? {entry.name} has those on {of}: {advice}")
    return ["Results", meant[0]]


def _begin_result(place: str) -> dict[str, str]:
    """Begin a result on a data set, or on the part of one that the last word of it names."""
    whole, _, part = place.rpartition("/")
    is_part = whole and split_key(part) in ("train", "validation", "test")
    of = {"Dataset": whole, "Split": part} if is_part else {"Dataset": place}
    return {"Task": "Image Classification", **of}


def _parse(row: Field | None, label: str | int, text: str) -> Any:
    """Return a value as the file is to have it: numbers to their last digit, words in a list."""
    kind = row.kind if row else "any"
    if kind in ("words", "numbers", "mapping"):
        try:
            loader = yaml.SafeLoader if kind == "mapping" else yaml.BaseLoader
            value = yaml.load(text if text[:1] in ("[", "{") else f"[{text}]", Loader=loader)
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(f"{label}: {text!r} is no list: {str(error).splitlines()[0]}") from None
        return [verbatim_number(item) for item in value] if kind == "numbers" else value
    if kind == "percent":
        return as_percent(str(label), text)
    return verbatim_number(text) if kind in (*_NUMBERS, "any") else text


def as_percent(label: str, text: str) -> str:
    """Write an accuracy in percentage points; a bare number that may be a part of 1 is asked about."""
    with contextlib.suppress(InvalidOperation):
        if 0 < Decimal(text) <= 1:
            of_hundred = f"{Decimal(text) * 100:f}".rstrip("0").rstrip(".")
            problem = f"percentage points are meant: {of_hundred}, or {text}% if it is that little"
            raise UsageError(f"{label} {text}: {problem}")
    return f"{text.removesuffix('%')}%"


def verbatim_number(text: str) -> str:
    """Return a number so that it is written as it stands."""
    return Verbatim(text) if resolve(text) in ("int", "float") else text
