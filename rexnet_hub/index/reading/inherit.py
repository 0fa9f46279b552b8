"""Add to each entry what its collection states and it does not, and what stands under its other names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rexnet_hub.errors import suggest
from rexnet_hub.index.entry import ATTRIBUTES, Claim, Entry, Result
from rexnet_hub.index.fields import key_name
from rexnet_hub.index.problems import Fix

Report = Callable[..., None]

#: What a collection says for the cards of its models; of the licence only where they have no other.
_SHARED = ("description", "intended_use", "limitations", "language", "base_model", "widget")
_OF_LICENSE = {"license_name", "license_file"}
#: What a result's `Dataset Args` may state of the picture, in the words of its place.
INPUTS = {"image_size": "{} px", "crop_pct": "crop {}"}


def inherit(models: Iterable[Entry], collections: Iterable[Entry], report: Report) -> list[Entry]:
    """Merge each model with its collection, wherever that was read from.

    As the public format has it: of a metadata list, the collection's items come first; of anything
    else, the model's word holds; results are joined. Unlike its library's, a merged list names
    nothing twice, and mappings on both sides are merged key by key.
    """
    by_name: dict[str, Entry] = {}
    for collection in collections:
        if (first := by_name.setdefault(collection.name, collection)) is not collection:
            message = f"{collection.name!r} is also the collection at {first.location}"
            report("duplicate-collection", collection.location, message)
    marked = {name: _as_inherited(collection) for name, collection in by_name.items()}
    return [_inherit(entry, by_name, marked, report) for entry in models]


def _inherit(entry: Entry, by_name: dict[str, Entry], marked: dict[str, Entry], report: Report) -> Entry:
    wanted = entry.extra.get("in_collection")
    if wanted is None:
        return entry
    name = str(wanted.value)
    collection = by_name.get(name)
    if collection is None:
        same = [known for known in by_name if known.lower() == name.lower()]
        is_certain, quote = len(same) == 1 and wanted.text == name, wanted.quote
        fix = Fix(old=f"{quote}{name}{quote}", new=f"{quote}{same[0]}{quote}") if is_certain else None
        message = f"no collection is named {name!r}. {suggest(name, list(by_name))}"
        report("missing-collection", wanted.location, message, fix)
        return entry
    theirs = marked[name]
    own: dict[str, Any] = {name: getattr(entry, name) for name in ATTRIBUTES}
    shared = _SHARED if own["license"] or _OF_LICENSE & entry.extra.keys() else (*_SHARED, *_OF_LICENSE)
    known = {**entry.metadata, **entry.extra, **own, **{claim.field: claim for claim in entry.unread}}
    return replace(
        entry,
        collection=collection,
        paper=entry.paper or collection.paper,
        current_paper=entry.current_paper or collection.current_paper,
        metadata=_merge(theirs, entry),
        extra={**{name: theirs.extra[name] for name in shared if name in theirs.extra}, **entry.extra},
        results=tuple(_with_source(result, collection) for result in (*theirs.results, *entry.results)),
        unread=(*entry.unread, *(claim for claim in theirs.unread if not known.get(claim.field))),
        **{name: claim or getattr(theirs, name) for name, claim in own.items()},
    )


def _as_inherited(collection: Entry) -> Entry:
    """Mark each claim of a collection as inherited, once for all its models."""
    named = {name: claim for name in ATTRIBUTES if (claim := getattr(collection, name))}
    attributes: dict[str, Any] = _inherited(named)
    return replace(
        collection,
        metadata=_inherited(collection.metadata),
        extra=_inherited(collection.extra),
        results=tuple(result._replace(metrics=_inherited(result.metrics)) for result in collection.results),
        unread=tuple(claim._replace(inherited=True) for claim in collection.unread),
        **attributes,
    )


def join_names(entries: Sequence[Entry], report: Report) -> list[Entry]:
    """Take the entries that are another's `Same As` for other names of it: their results are its own.

    Whatever else they state would be read nowhere, and is reported.
    """
    others = [entry for entry in entries if "same_as" in entry.extra]
    models = [entry for entry in entries if "same_as" not in entry.extra]
    names = [entry.name for entry in models]
    for other in others:
        claim = other.extra["same_as"]
        own = (getattr(other, name) for name in (*ATTRIBUTES, "paper", "current_paper"))
        read_nowhere = [*other.metadata.values(), *filter(None, own), *other.extra.values(), *other.unread]
        places = [each.location for each in read_nowhere if each not in (claim, other.extra.get("sources"))]
        for place in sorted(places):
            what = f"is another name of {claim.text}: Results and Witnesses alone are read of it"
            report("unfit-name", place, f"{other.name} {what}; state the rest of {claim.text}")
        if claim.value not in names:
            near = suggest(claim.text, names)
            if any(claim.value == each.name for each in others):
                near = "That is another name itself: write the model's."
            report("unfit-name", claim.location, f"no model is named {claim.text!r}. {near}")
            continue
        at = names.index(str(claim.value))
        models[at] = replace(
            models[at],
            others=(*models[at].others, other),
            results=(*models[at].results, *other.results),
            witnesses=(*models[at].witnesses, *other.witnesses),
        )
    return models


def join_siblings(entries: Sequence[Entry]) -> list[Entry]:
    """Add to each entry the models of its collection that were not withdrawn."""
    families: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.collection and not entry.said("withdrawn"):
            families.setdefault(entry.collection.name, []).append(entry)
    told = {name: tuple(models) for name, models in families.items()}
    return [
        replace(each, siblings=told.get(each.collection.name, ())) if each.collection else each
        for each in entries
    ]


def place_results(entry: Entry) -> Entry:
    """Add to each result the input that it states and that is not the model's: then its place is its own."""

    def own_input(result: Result) -> str:
        """Render what a result states of its input otherwise than the model."""
        claim = result.extra.get("dataset_args")
        args = claim.value if claim and isinstance(claim.value, dict) else {}
        stated = {key_name(key): value for key, value in args.items()}
        others = [name for name in INPUTS if stated.get(name) not in (None, entry.value(name))]
        return ", ".join(INPUTS[name].format(stated[name]) for name in others)

    inputs = [own_input(result) for result in entry.results]
    placed = (result._replace(own_input=own) for result, own in zip(entry.results, inputs, strict=True))
    return replace(entry, results=tuple(placed)) if any(inputs) else entry


def _inherited(claims: Mapping[str, Claim]) -> dict[str, Claim]:
    return {name: claim._replace(inherited=True) for name, claim in claims.items()}


def _with_source(result: Result, collection: Entry) -> Result:
    """Add where a split is from, when the collection's Sources state it."""
    sources = collection.extra.get("sources")
    url = sources.value.get("split") if sources is not None else None
    if result.split is None or result.split.source is not None or url is None:
        return result
    return result._replace(split=result.split._replace(source=url))


def _merge(collection: Entry, entry: Entry) -> dict[str, Claim]:
    merged = {**collection.metadata, **entry.metadata}
    for name in collection.metadata.keys() & entry.metadata.keys():
        value = _joined(collection.metadata[name].value, entry.metadata[name].value)
        merged[name] = entry.metadata[name]._replace(value=value)
    return merged


def _joined(shared: Any, own: Any) -> Any:
    if isinstance(shared, tuple) and all(isinstance(item, str) for item in shared):
        items = own if isinstance(own, tuple) else (own,)
        return (*shared, *(item for item in items if item not in shared))
    if isinstance(shared, dict) and isinstance(own, dict):
        return {**shared, **{key: _joined(shared.get(key), value) for key, value in own.items()}}
    return own
