"""Prepare one model for the pages of the site: its figures, its row in tables, its record."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rexnet_hub.addresses import HubFile, parse_hub_file
from rexnet_hub.agreement import Standing
from rexnet_hub.index import Entry
from rexnet_hub.index.fields import FIELDS, query_name
from rexnet_hub.index.grammar import (
    ALIASES,
    COUNTED,
    KEYS,
    KINDS,
    MEANT,
    RESULT_NAMES,
    TEXT_NAMES,
    UNITS,
    UNITS_OF,
    number_names,
)
from rexnet_hub.index.ledger import Ledger, Row, list_rows
from rexnet_hub.index.lock import Lock, Measured, MeasuredFile
from rexnet_hub.index.query import find_asked, find_number, find_texts
from rexnet_hub.index.scores import list_scores
from rexnet_hub.index.spellings import SPELLINGS, SPLITS
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.pages.facts import Fact, coloured, list_facts, release_doubt
from rexnet_hub.pages.families import collection_title, is_known
from rexnet_hub.pages.snippets import find_timm_repo
from rexnet_hub.pages.text import file_name, markdown, plain

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """One model for the site.

    Attributes:
        measured: What the lock has of it.
        facts: Its figures by key.
        file: What its page is called, without an ending.
        family_file: What its collection's page is called; empty where it is in none.
        ledger: What each place states of it.
    """

    entry: Entry
    measured: Measured
    facts: Mapping[str, Fact]
    file: str
    family_file: str
    ledger: Sequence[Row] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name

    @property
    def family(self) -> str | None:
        """The name of its collection."""
        return self.entry.collection.name if self.entry.collection else None

    @property
    def license(self) -> str:
        """The licence of the weights."""
        return str(self.entry.named_license.value) if self.entry.named_license else NOT_STATED

    @property
    def repo_id(self) -> str | None:
        """Its repo on the Hub; None before it is published."""
        return self.measured.hub.repo_id if self.measured.hub else None

    @property
    def loads_by_name(self) -> bool:
        """Whether there is a place that its weights are fetched from."""
        return bool(self.repo_id or self.entry.source_urls)

    @property
    def repo_elsewhere(self) -> str | None:
        """The repo on the Hub that timm and transformers load; None where they read a folder, or cannot."""
        return self.repo_id or find_timm_repo(self.entry)

    @functools.cached_property
    def standings(self) -> set[str]:
        """The words for how figures stand that its page uses."""
        shown = [fact.standing for fact in self.facts.values()]
        return {word for word in Standing if any(text.startswith(word) for text in shown)}

    def cell(self, key: str, up: str = "") -> str:
        """Render one cell of a table of models, as Markdown; `up` leads from its page to the overview."""
        match key:
            case "name":
                return f"[{markdown(self.name)}]({up}models/{self.file}.md)"
            case "collection":
                family = self.entry.collection
                page = f"{up}families/{self.family_file}.md"
                return f"[{collection_title(family)}]({page})" if family else NOT_STATED
            case "license":
                return markdown(self.license)
            case _:
                fact = self.facts[key]
                shown = f"{fact.short.removesuffix(' %')} {markdown(fact.where)}".strip()
                return f"{coloured(fact.sign)} {shown}" if fact.sign else NOT_STATED

    @functools.cached_property
    def files(self) -> list[dict[str, Any]]:
        """The released file and the safetensors made of it; None where something was not recorded yet."""
        stated, converted = self.entry.released, self.measured.safetensors
        hub = self.measured.hub
        ours = HubFile(hub.repo_id, hub.commit, WEIGHTS_FILE).download if hub else None
        is_made = is_known(self.entry) and not (stated and stated.file_name.endswith(".safetensors"))
        files = [file_row(WEIGHTS_FILE, converted, ours)] if converted or is_made else []
        if stated:
            at_hub = parse_hub_file(stated.url)
            url = at_hub.download if at_hub else stated.url
            released = file_row(stated.file_name, self.measured.released, url)
            files.insert(0, {**released, "size_bytes": released["size_bytes"] or stated.size_bytes})
        return files

    @property
    def doubt(self) -> str:
        """What makes it doubtful which file was released, in words; empty where nothing does."""
        return release_doubt(self.entry, self.measured)

    @property
    def search_words(self) -> str:
        """What a search finds the model by, as HTML: what its entry says in words, its figures, its files."""
        texts = (text for name in TEXT_NAMES for text in find_asked(self.entry, name))
        stated = (fact for fact in self.facts.values() if fact.standing)
        figures = (f"{fact.label} {fact.measured or fact.claimed}" for fact in stated)
        files = (f"{row['name']} {row['sha256'] or ''}".strip() for row in self.files)
        return html.escape(" \u00b7 ".join(dict.fromkeys((*texts, *figures, *files))), quote=False)

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """The model as JSON: claims as numbers, measurements and sources beside them."""
        entry = self.entry
        return {
            "name": entry.name,
            "collection": self.family,
            "architecture": entry.architecture,
            "license": str(entry.named_license.value) if entry.named_license else None,
            "page": f"models/{self.file}.html",
            "weights_url": entry.released.url if entry.released else None,
            "hub_repo": self.repo_id,
            "files": self.files,
            "witnesses": {witness.claim.text: witness.name for witness in entry.witnesses},
            "figures": {key: fact_record(fact) for key, fact in self.facts.items()},
            "ledger": [asdict(row) for row in self.ledger],
            "metadata": {name: plain(claim.value) for name, claim in entry.metadata.items()},
        }


def file_row(name: str, file: MeasuredFile | None, url: str | None) -> dict[str, Any]:
    """Return a file's name, address, size and digest; None where they were not recorded yet."""
    known = {"size_bytes": file.size_bytes, "sha256": file.sha256} if file else {}
    return {"name": name, "url": url, "size_bytes": None, "sha256": None, **known}


def fact_record(fact: Fact) -> dict[str, Any]:
    """Return a figure as JSON."""
    return {
        "value": plain(fact.value),
        "dataset": fact.dataset or None,
        "standing": fact.standing or None,
        "agreement": str(fact.agreement) if fact.agreement else None,
        "as_published": fact.claimed,
        "stated_by": fact.stated_by.url or fact.stated_by.words if fact.stated_by else None,
        "also_stated_by": [{"url": s.url, "words": s.words, "value": s.value} for s in fact.second_sources],
        "measured": fact.measured,
        "also_measured": list(fact.also_measured),
        "record": fact.record,
        "how": fact.how,
        "command": fact.command,
    }


def query_names(entries: Sequence[Entry]) -> dict[str, Any]:
    """List the words of the query language and the spellings of what entries name, for the browser."""
    tables = {"split": SPLITS} | dict.fromkeys(("dataset", "training_data"), SPELLINGS)
    there = {n: {KEYS[n](text) for entry in entries for text in find_texts(entry, n)} for n in KEYS}
    spellings = {
        name: {word: KEYS[name](word) for word in tables[name] if KEYS[name](word) in there[name]}
        for name in KEYS
    }
    metrics = [row.name for row in FIELDS if row.owner == "metrics"]
    words = {"aliases": ALIASES, "text": list(TEXT_NAMES), "number": list(number_names())}
    units = {kind: list(UNITS_OF.get(kind, UNITS)) for kind in sorted({*KINDS.values()})}
    meant = {"kinds": KINDS, "units": units, "counted": COUNTED, "meant": MEANT}
    return {**words, "metrics": metrics, "result": RESULT_NAMES, "spellings": spellings, **meant}


def query_record(entry: Entry, lock: Lock) -> dict[str, Any]:
    """Return what a query can ask of an entry: `find_number`, `find_asked`, each result with its numbers."""
    results: dict[tuple[str, ...], dict[str, Any]] = {}
    for score in list_scores(entry, lock.of(entry.name)):
        place = tuple(text or "" for text in (*score.place, score.result and score.result.task))
        own = results.setdefault(place, dict(zip(RESULT_NAMES, place, strict=True)) | {"number": {}})
        if (value := score.value) is not None:
            own["number"].setdefault(query_name(score.metric), plain(value))
    own_names = (query_name(label) for label in entry.metadata)
    numbers = (
        (name, find_number(entry, name, lock)) for name in dict.fromkeys((*number_names(), *own_names))
    )
    texts = ((name, find_asked(entry, name)) for name in TEXT_NAMES)
    return {
        "name": entry.name,
        "number": {name: plain(value) for name, value in numbers if value is not None},
        "text": {name: list(words) for name, words in texts if words},
        "results": list(results.values()),
    }


def view_models(entries: Sequence[Entry], lock: Lock, ledger: Ledger | None = None) -> tuple[ModelView, ...]:
    """Make every view."""
    families = dict.fromkeys(entry.collection.name for entry in entries if entry.collection)
    family_files = dict(
        zip(
            families,
            _file_names((name.replace(" ", "-") for name in families), taken=("index",)),
            strict=True,
        )
    )
    return tuple(
        ModelView(
            entry=entry,
            measured=(measured := lock.of(entry.name)),
            facts={fact.key: fact for fact in list_facts(entry, measured)},
            file=file,
            family_file=family_files[entry.collection.name] if entry.collection else "",
            ledger=list_rows(entry, measured, ledger or Ledger()),
        )
        for entry, file in zip(entries, _file_names(entry.name for entry in entries), strict=True)
    )


def _file_names(names: Iterable[str], taken: Iterable[str] = ()) -> Iterator[str]:
    """Name a file for each; two whose names make one get numbers, so that no page hides another."""
    counts = dict.fromkeys(taken, 1)
    for name in map(file_name, names):
        counts[name.lower()] = count = counts.get(name.lower(), 0) + 1
        yield name if count == 1 else f"{name}--{count}"
