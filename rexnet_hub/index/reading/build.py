"""Build entries and collections from composed nodes, reporting each value that is not what it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rexnet_hub.index.codes import make_problem
from rexnet_hub.index.entry import ATTRIBUTES, Claim, Entry, Location, Paper, PublishedTable, Result, Witness
from rexnet_hub.index.fields import (
    Field,
    find_field,
    find_misplaced,
    find_misspelt,
    find_slip,
    key_name,
    plain_letters,
)
from rexnet_hub.index.problems import Fix, Flaw, Problem
from rexnet_hub.index.reading.compose import resolve
from rexnet_hub.index.reading.contradictions import check_weights_name
from rexnet_hub.index.reading.source import Node
from rexnet_hub.index.reading.values import (
    ARXIV,
    NEVER_EMPTY,
    is_empty,
    is_null,
    read_scalar,
    reads_as_number,
    redact_broken_url,
    unquoted_digest,
)
from rexnet_hub.index.reading.witnesses import make_witness
from rexnet_hub.terminal import redact_text

_SECTIONS = ("name", "metadata", "results", "paper", "current_paper", "sources", "witnesses")
_RESULT_SECTIONS = ("task", "dataset", "split", "metrics", "sources")
# The public format names every key of these mappings; in the others a key may be one's own.
_CLOSED_OWNERS = ("index", "paper", "snapshot", "witness")
#: The task of a result that is of a machine, which its Split names, and of no data set.
SPEED_TASK = "throughput"
_NO_TEXT = ("int", "float", "bool", "null", "timestamp")
_NO_SOURCES: Mapping[str, str] = MappingProxyType({})
_DIGEST_KEY = re.compile(r"(?:^|_)(?:sha\d*|digest|hash|checksum|md5|commit|revision)(?:$|_)")
#: A metric that is a number and something more, or a word for none.
_NO_METRIC = re.compile(
    r"[-+]?\d+(?:\.\d+)?(?:[^\d/,;±+()]+|\s*[<*†‡^].*)|\d+,\d+|none|n/?a|nan|x|[-?]+|todo|tbd", re.I
)
#: Several short items with commas between.
_SEVERAL = re.compile(r"[^,;]{2,40}(?:[,;]\s+[^,;]{2,40})+")
#: What names a file if it ends so.
_LINKED = {
    "readme": (".md", ".mdx"),
    "image": (".png", ".jpg", ".jpeg", ".svg", ".gif"),
    "config": (".py", ".pyi", ".yml", ".yaml", ".json", ".toml", ".gin"),
}

#: A key that is known: its row, its key node, its value node.
Pair = tuple[Field | None, Node, Node]


class Builder:
    """Turns nodes into records; what is wrong goes to `problems`."""

    def __init__(self, problems: list[Problem], exists: Callable[[Path, str], bool]) -> None:
        self.problems, self._exists = problems, exists
        self._unread: list[Claim] = []  # of the entry that is built

    def report(self, code: str, place: Node | Location, message: str, fix: Fix | None = None) -> None:
        """Add one problem."""
        location = place.location if isinstance(place, Node) else place
        self.problems.append(make_problem(code, location, message, fix))

    def refuse(self, node: Node, expected: str) -> None:
        """Report a value that is of another kind than expected."""
        self.report("wrong-kind", node, f"expected {expected}")

    def _report_flaw(self, node: Node, flaw: Flaw) -> None:
        fix = None if flaw.new is None else Fix(old=node.raw, new=flaw.new)
        self.report(flaw.code, node, flaw.message, fix)

    # Mappings and their keys

    def pairs(self, owner: str, node: Node) -> dict[str, Pair]:
        """Read a mapping's keys: canonical name to row, key and value. The last of a repeated key holds."""
        pairs: dict[str, Pair] = {}
        for key, value in node.pairs:
            before = len(self.problems)
            if key.kind != "scalar" or (key.plain and (not key.text or resolve(key.text) in _NO_TEXT)):
                quoted = Fix(old=key.raw, new=f"'{key.raw}'") if key.kind == "scalar" and key.raw else None
                self.report("key-not-text", key, f"the key {key.raw[:60]!r} is not text; quote it", quoted)
                continue
            self._report_secret(key)
            row = find_field(owner, key.text) if key.text == plain_letters(key.text) else None
            name = row.name if row else key.text
            folded = name if row else key_name(name)
            if folded in pairs:
                line = pairs[folded][1].location.line
                self.report("duplicate-key", key, f"{key.text!r} stands here and on line {line}; keep one")
            elif row is None:
                self._report_unknown(owner, key, node)
            is_told = owner == "index" or (row is not None and row.kind in NEVER_EMPTY)
            if is_empty(value) and not is_told and not value.source.is_json:
                message = f"{key.text!r} has nothing after it; write null if that is meant"
                self.report("empty-value", key, message)
            if len(self.problems) > before:
                self._keep_unread(row or find_misspelt(owner, key.text), key, value, before)
            pairs[folded] = (row, key, value)
        return pairs

    def _report_unknown(self, owner: str, key: Node, node: Node) -> None:
        taken = {find_field(owner, other.text) for other, _ in node.pairs}
        if near := find_misspelt(owner, key.text):
            quote, letters = "" if key.plain else key.raw[:1], key_name(key.text).replace("_", "")
            is_certain = near not in taken and (near.kind != "digest" or letters == near.name)
            message = f"{key.text!r} is no known key. Did you mean {near.label!r}?"
            if near.owner != owner:
                is_certain, message = False, f"{near.label} belongs to the model: nobody reads it in Metadata"
            fix = Fix(old=key.raw, new=f"{quote}{near.label}{quote}") if is_certain else None
            self.report("misspelt-key", key, message, fix)
        elif (near := find_slip(owner, key.text)) and near not in taken:
            fix = Fix(old=key.raw, new=near.label) if key.plain and owner != "metadata" else None
            self.report("short-name", key, f"{key.text!r} is not read as {near.label!r}: write that", fix)
        elif near := find_misplaced(owner, key.text):
            whose = {"metadata": "under Metadata", "metrics": "under the Metrics of a result"}.get(near.owner)
            where = whose or f"beside the {'Dataset' if near.owner == 'result' else 'Name'} of a {near.owner}"
            self.report("misplaced-key", key, f"{near.label!r} belongs {where}: here nobody reads it")
        elif owner in _CLOSED_OWNERS:
            message = f"{key.text!r} is not a key that the format names here; it is not read"
            self.report("unknown-key", key, message)

    def _keep_unread(self, row: Field | None, key: Node, node: Node, before: int) -> None:
        """Record what a field states if an error was reported since: nobody is to go on as if it did not."""
        problem = next((p for p in self.problems[before:] if p.severity == "error"), None)
        if problem is not None:
            claim = _claim(row.name if row else key.text, key.text, None, problem.location)
            raw = node.text if node.kind == "scalar" and node.text else redact_text(node.raw)
            raw = redact_broken_url(raw) if problem.code == "not-a-url" else raw
            text = " ".join(raw.split())[:80]
            self._unread.append(claim._replace(text=text, problem=problem.message))

    def _take_unread(self, before: int) -> dict[str, Claim]:
        """Take the figures of a table that cannot be read: the table holds them, not the model."""
        taken = {claim.field: claim for claim in self._unread[before:]}
        del self._unread[before:]
        return taken

    # Values

    def value(self, row: Field | None, node: Node, kind: str | None = None) -> Any:
        """Read a value as its field's kind; None where nothing is said or it is not of that kind."""
        kind = kind or (row.kind if row else "any")
        of_url = row.name if row is not None and row.name in ("weights", "place") else "url"
        if node.kind == "list":
            return self._list(row, kind, node)
        if node.kind == "mapping":
            is_linked = kind == "url" and row is not None and row.owner == "model"
            if kind not in ("any", "mapping") and not is_linked:
                self.refuse(node, f"{row.label if row else kind} as a value, found a mapping")
                return None
            kinds = {
                key.text: of_url if kind == "url" and key_name(key.text) == "url" else "any"
                for key, _ in node.pairs
            }
            return {key.text: self.value(None, value, kinds[key.text]) for key, value in node.pairs}
        if self._report_secret(node) and kind in ("url", "weights"):
            return None
        if kind in ("numbers", "mapping") and not is_null(node):
            what = "three numbers in a list" if kind == "numbers" else "a mapping of names to values"
            self.refuse(node, f"{what}, found {node.text[:60]!r}")
            return None
        notes: list[Flaw] = []
        try:
            is_page = row is None or row.name != "readme" or node.text.lower().endswith((".md", ".mdx"))
            as_text = kind in ("words", "spdx") or (kind == "path" and not is_page)
            value = read_scalar("text" if as_text else of_url if kind == "url" else kind, node, notes)
        except Flaw as flaw:
            notes.append(flaw.with_traceback(None))  # whose frames hold the notes
            value = None
        for note in notes:
            self._report_flaw(node, note)
        if kind == "words":
            if row is not None and row.owner == "metadata" and _SEVERAL.fullmatch(str(value)):
                message = f"{value[:80]!r} is one item; of several make a list: [{value[:80]}]"
                self.report("list-as-text", node, message)
            return None if value is None else (value,)
        return value

    def _report_secret(self, node: Node) -> bool:
        """Report a text with a secret in it, which is read without; return whether it has one."""
        if has_secret := node.kind == "scalar" and node.text != node.value:
            what = "a password, token or signature: take it out, and let it be valid no longer; the rest is"
            self.report("secret-in-url", node, f"the address holds {what} {node.text[:80]!r}")
        return has_secret

    def _list(self, row: Field | None, kind: str, node: Node) -> Any:
        if kind not in ("any", "words", "numbers"):
            if kind in ("text", "path", "spdx") and len(node.items) == 1 and node.items[0].kind == "scalar":
                return self.value(row, node.items[0])
            self.refuse(node, f"one value for {row.label if row else kind}, found a list")
            return None
        if kind == "numbers":
            return self._numbers(node)
        inner = "text" if kind == "words" else "any"
        items = [(item, self.value(None, item, inner)) for item in self.items(node)]
        kept: list[Any] = []
        for item, value in items:
            if kind == "words" and value is not None and value in kept:
                self.report("duplicate-item", item, f"{value!r} stands in this list twice; keep one")
            elif value is not None:
                kept.append(value)
        return tuple(kept)

    def _numbers(self, node: Node) -> tuple[Decimal, ...] | None:
        numbers = [self.value(None, item, "number") for item in node.items]
        if len(numbers) != 3 or None in numbers:
            self.refuse(node, f"three numbers, of red, green and blue; found {len(numbers)}")
            return None
        if any(number > 1 for number in numbers):
            message = f"{node.raw[:60]} is of pixels in 0..255, expected is of 0..1"
            self.report("unit-confusion", node, message)
            return None
        return tuple(numbers)

    def claim(self, pair: Pair, sources: Mapping[str, str], owner: str = "") -> Claim | None:
        """Read one field as a claim; None where it says nothing."""
        row, key, node = pair
        before = len(self.problems)
        is_digest = row is None and node.plain and _DIGEST_KEY.search(key_name(key.text))
        if is_digest and not is_null(node) and reads_as_number(node.text) and len(node.text) >= 6:
            self._report_flaw(node, unquoted_digest(node))
        if row is not None and row.kind in NEVER_EMPTY and is_null(node):
            self.refuse(node, f"{NEVER_EMPTY[row.kind]}, found nothing; remove the key")
        value = self.value(row, node)
        if value is None or (row is not None and row.kind == "url"):
            self._keep_unread(row, key, node, before)
        if value is None:
            return None
        if owner == "metrics" and row is None:
            is_number = type(value) is int or re.fullmatch(r"-?\d+(?:\.\d+)?", str(value))
            value = Decimal(value) if is_number else value
            if isinstance(value, str) and _NO_METRIC.fullmatch(value):
                self.report("metric-as-text", node, f"{value[:60]!r} is no number, so nobody can compare it")
        return Claim(
            row.name if row else key.text,
            key.text,
            value,
            node.text,
            *node.location,
            source=sources.get(key_name(key.text), sources.get("")),
            quote="" if node.plain or node.kind != "scalar" else node.raw[:1],
        )

    def claims(self, owner: str, node: Node, sources: Mapping[str, str] = _NO_SOURCES) -> dict[str, Claim]:
        """Read a mapping of fields."""
        claims = (self.claim(pair, sources, owner) for pair in self.pairs(owner, node).values())
        return {claim.field: claim for claim in claims if claim is not None}

    def items(self, node: Node) -> Iterator[Node]:
        """List a list's items, and report those in which nothing stands."""
        for item in node.items:
            if is_empty(item) and not item.source.is_json:
                self.report("empty-value", item, "nothing stands in this item; delete it, or write null")
            yield item

    # Models and collections

    def part(self, kind: str, node: Node) -> Entry:
        """Build an entry without a name of what a file of its own holds: `metadata`, or `results`."""
        pair = (None, node, node)
        if kind == "metadata":
            return Entry(name="", location=node.location, metadata=self._metadata(pair, _NO_SOURCES))
        return Entry(name="", location=node.location, results=self._results(pair, _NO_SOURCES))

    def entry(self, node: Node, page: Path | None = None) -> Entry | None:
        """Build a model or collection; None when it has no name. `page`: the Markdown page that holds it."""
        self._unread = []
        pairs = self.pairs("model", node)
        named = self.claim(pairs["name"], {}) if "name" in pairs else None
        if named is None or not str(named.value):
            self.report("missing-name", node, "this has no Name; a model is loaded by its name")
            return None
        sources = self._sources(pairs.get("sources"))
        kept = {name: pair for name, pair in pairs.items() if name not in _SECTIONS}
        rest: dict[str, Any] = {name: self.claim(pair, sources) for name, pair in kept.items()}
        extra = {claim.field: claim for claim in rest.values() if claim and claim.field not in ATTRIBUTES}
        self._take_url(rest, extra)
        self._check_linked(rest)
        self._unread += check_weights_name(rest.get("weights"), self.report, has_digest="sha256" in extra)
        whole = {"": str(extra["source_url"].value)} if "source_url" in extra else {}
        given = pairs.get("sources")
        if given is not None and sources:
            extra["sources"] = _claim("sources", given[1].text, sources, given[2].location)
        if page is not None and rest.get("readme") is None:
            rest["readme"] = _claim("readme", "README", page.name, node.location)
        attributes: dict[str, Any] = {name: rest.get(name) for name in ATTRIBUTES}
        return Entry(
            name=str(named.value),
            location=node.location,
            paper=self._paper(pairs.get("paper"), sources),
            current_paper=self._paper(pairs.get("current_paper"), sources),
            metadata=self._metadata(pairs.get("metadata"), whole | sources),
            results=self._results(pairs.get("results"), whole | sources),
            extra=extra,
            witnesses=self._witnesses(pairs.get("witnesses")),
            unread=tuple(self._unread),
            **attributes,
        )

    def _sources(self, pair: Pair | None) -> dict[str, str]:
        if pair is not None and pair[2].kind != "mapping":
            self.refuse(pair[2], "a mapping of fields to URLs")
        pairs = pair[2].pairs if pair else []
        urls = ((key, self.value(None, node, "url")) for key, node in pairs if node.kind == "scalar")
        return {key_name(key.text): url for key, url in urls if isinstance(url, str)}

    def _take_url(self, rest: dict[str, Claim | None], extra: dict[str, Claim]) -> None:
        """Split the address out of `Code: {URL, Version}`; what else it says is kept beside it."""
        for name in ("code", "weights"):
            claim = rest.get(name)
            if claim is None or not isinstance(claim.value, dict):
                continue
            parts = {key_name(key): value for key, value in claim.value.items()}
            url = parts.pop("url", None)
            rest[name] = None if url is None else claim._replace(value=str(url), text=str(url))
            for key, value in parts.items():
                if value is not None:
                    field, label = f"{name}_{key}", f"{claim.label} {key}"
                    extra[field] = claim._replace(field=field, label=label, value=value, text="")

    def _check_linked(self, rest: dict[str, Claim | None]) -> None:
        """Report a README, picture or config that is not there; other text may be the README itself."""
        for name, endings in _LINKED.items():
            claim = rest.get(name)
            path = "" if claim is None or claim.source == "" else str(claim.value)
            if claim is None or "://" in path or len(path) >= 256 or not path.lower().endswith(endings):
                continue
            if not self._exists(claim.location.file.parent, path):
                message = f"there is no file {path!r} beside this file, above it or under the root"
                self.report("missing-file", claim.location, message)

    def _metadata(self, pair: Pair | None, sources: Mapping[str, str]) -> dict[str, Claim]:
        if pair is None or is_null(pair[2]):
            return {}
        node = pair[2]
        if node.kind != "mapping":
            before = len(self.problems)
            self.refuse(node, "Metadata as a mapping of fields")
            self._keep_unread(*pair, before)
            return {}
        return self.claims("metadata", node, sources)

    def _paper(self, pair: Pair | None, sources: Mapping[str, str]) -> Paper | None:
        if pair is None or is_null(pair[2]):
            return None
        _, key, node = pair
        if node.kind == "list":
            self.refuse(node, "one paper, as a URL or as Title and URL")
            return None
        if node.kind == "scalar":
            title, url = None, self._paper_url(node)
        else:
            values = {claim.field: claim.value for claim in self.claims("paper", node).values()}
            title, url = values.get("title"), values.get("url")
        return Paper(title=title, url=url, location=node.location, source=sources.get(key_name(key.text)))

    def _paper_url(self, node: Node) -> str | None:
        """Read a paper's address, or its number at arXiv, which the public format's examples have."""
        match = re.fullmatch(ARXIV, node.text)
        if match and node.plain and resolve(node.text) == "float":
            message = f"YAML reads the paper's number {node.text} as a decimal: quote it"
            self.report("not-a-url", node, message, Fix(old=node.raw, new=f"'{node.raw}'"))
        if match:
            return f"https://arxiv.org/abs/{match[1]}"
        return self.value(None, node, "url")  # type: ignore[no-any-return]

    def _witnesses(self, pair: Pair | None) -> tuple[Witness, ...]:
        """Read what other places state of the weights; one that cannot be read leaves the whole unread."""
        if pair is None or is_null(pair[2]):
            return ()
        before, unread = len(self.problems), len(self._unread)
        each = "a witness: a mapping with Place, Of, Algorithm and Digest"
        witnesses = []
        for item in self._mappings(pair, "a list of witnesses", each):
            witness = make_witness(self.claims("witness", item))
            if isinstance(witness, Witness):
                witnesses.append(witness)
            else:
                self.report("unfit-witness", item, f"this witness {witness}")
        del self._unread[unread:]
        self._keep_unread(*pair, before)
        return tuple(witnesses)

    # Results

    def _results(self, pair: Pair | None, sources: Mapping[str, str]) -> tuple[Result, ...]:
        expected = "results: a list of mappings, or the path of a file that holds it"
        each = "a result: a mapping with Task, Dataset and Metrics"
        items = self._mappings(pair, expected, each, nulls=True)
        return tuple(self._result(item, sources) for item in items)

    def _mappings(
        self, pair: Pair | None, expected: str, each: str, *, nulls: bool = False
    ) -> Iterator[Node]:
        """List the mappings of a list, or the one that stands in its place; refuse whatever else is there."""
        if pair is None or is_null(pair[2]):
            return
        node = pair[2]
        for item in [node] if node.kind == "mapping" else self.items(node):
            if item.kind == "mapping":
                yield item
            elif not (nulls and is_null(item)):
                self.refuse(item, each)
        if node.kind == "scalar":
            self.refuse(node, expected)

    def _result(self, node: Node, sources: Mapping[str, str]) -> Result:
        pairs = self.pairs("result", node)
        stated = {name for name, (_, _, value) in pairs.items() if name == "metrics" or not is_null(value)}
        task = self._name(pairs.get("task"))
        needed = ("Task", *(() if key_name(task or "") == SPEED_TASK else ("Dataset",)), "Metrics")
        if lacking := [label for label in needed if label.lower() not in stated]:
            self.report("incomplete-result", node, f"this result does not say its {', '.join(lacking)}")
        whole = sources.get("")
        sources = {name: url for name, url in sources.items() if name}
        split = pairs.get("split")
        rest = [self.claim(pair, sources) for n, pair in pairs.items() if n not in _RESULT_SECTIONS]
        extra = {claim.field: claim for claim in rest if claim is not None}
        url = extra["source_url"].value if "source_url" in extra else whole
        metrics = self._metrics(pairs.get("metrics"))
        return Result(
            task=task,
            dataset=self._name(pairs.get("dataset")),
            split=self.claim(split, sources) if split else None,
            metrics={name: claim._replace(source=url) for name, claim in metrics.items()},
            location=node.location,
            snapshots=tuple(self._snapshots(pairs.get("sources"))),
            extra=extra,
        )

    def _name(self, pair: Pair | None) -> str | None:
        """Read a task or data set: its name, or a mapping that holds it."""
        if pair is None:
            return None
        if pair[2].kind == "mapping":
            parts = {key_name(key.text): value for key, value in pair[2].pairs}
            node = parts.get("name") or parts.get("type")
            if node is None:
                self.refuse(pair[2], f"a name, found {pair[2].raw[:60]!r}")
            return None if node is None else self._text(node)
        return self._text(pair[2], pair[0])

    def _text(self, node: Node, row: Field | None = None) -> str | None:
        value = self.value(row, node, "text")
        return None if value is None else str(value)

    def _metrics(self, pair: Pair | None) -> dict[str, Claim]:
        """Read metrics: a mapping, or a list of mappings with name and value, or with metrics."""
        if pair is None or is_null(pair[2]):
            return {}
        node, before = pair[2], len(self._unread)
        if node.kind == "mapping":
            return self.claims("metrics", node) | self._take_unread(before)
        if node.kind == "scalar":
            self.refuse(node, "metrics: a mapping of names to numbers")
        metrics: dict[str, Claim] = {}
        for item in node.items:
            parts = {key_name(key.text): (key, value) for key, value in item.pairs}
            if "value" in parts and ("name" in parts or "type" in parts):
                key, value = parts.get("name", parts.get("type"))[1], parts["value"][1]  # type: ignore[index]
                item = Node(node.source, "mapping", [(key, value)], item.start, item.end)
            elif item.kind != "mapping":
                self.refuse(item, "a metric: a mapping with name and value")
            for name, claim in self.claims("metrics", item).items():
                if name in metrics:
                    message = f"the metric {claim.label!r} stands here twice; keep one"
                    self.report("duplicate-key", item, message)
                metrics[name] = claim
        return metrics | self._take_unread(before)

    def _snapshots(self, pair: Pair | None) -> Iterator[PublishedTable]:
        each = "another table: a mapping with URL, Date and Metrics"
        expected = "a list of other tables, each with URL, Date and Metrics"
        for item in self._mappings(pair, expected, each):
            pairs = self.pairs("snapshot", item)
            url = self.value(pairs["url"][0], pairs["url"][2]) if "url" in pairs else None
            date = pairs.get("date")
            if url is None:
                self.refuse(item, each)
                continue
            day = self._text(date[2], date[0]) if date else None
            metrics = self._metrics(pairs.get("metrics"))
            yield PublishedTable(url=str(url), date=day, metrics=metrics, location=item.location)


def _claim(field: str, label: str, value: Any, location: Location) -> Claim:
    return Claim(field, label, value, "", *location)
