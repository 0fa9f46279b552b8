"""Read model-index files into entries, each value with its file, line and column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from rexnet_hub.errors import FileProblem
from rexnet_hub.index.entry import (
    Claim,
    Collection,
    Entry,
    Index,
    Location,
    Paper,
    Result,
    Snapshot,
    percent,
)
from rexnet_hub.index.fields import find_field, key_name
from rexnet_hub.index.problems import Problem
from rexnet_hub.layout import find_index_dir

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_index(path: Path | str | None = None) -> Index:
    """Read a model-index file or a folder of them; without a path, the zoo's own.

    Raises:
        FileProblem: There is no such file or folder, or it holds no model index.
    """
    root = Path(path) if path is not None else find_index_dir()
    if not root.exists():
        raise FileProblem(root, "there is no such file or folder")
    files = (
        sorted(file for file in root.iterdir() if file.suffix in {".yml", ".yaml"})
        if root.is_dir()
        else [root]
    )
    if not files:
        raise FileProblem(root, "holds no model-index file (.yml)")
    models: list[Entry] = []
    collections: list[Collection] = []
    problems: list[Problem] = []
    for file in files:
        Reader(file, problems).read_into(models, collections)
    by_name = {collection.name: collection for collection in collections}
    inherited = tuple(_inherit(entry, by_name) for entry in models)
    return Index(models=inherited, collections=tuple(collections), problems=tuple(problems))


def _inherit(entry: Entry, collections: dict[str, Collection]) -> Entry:
    """Give an entry what its collection says and it does not."""
    wanted = entry.extra.get("in_collection")
    collection = collections.get(str(wanted.value)) if wanted else None
    if collection is None:
        return entry
    shared = {name: replace(claim, inherited=True) for name, claim in collection.metadata.items()}
    return replace(
        entry,
        collection=collection,
        paper=entry.paper or collection.paper,
        current_paper=entry.current_paper or collection.current_paper,
        license=entry.license or collection.license,
        metadata={**shared, **entry.metadata},
    )


class Reader:
    """Reads one file."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self.file, self.problems = file, problems

    def read_into(self, models: list[Entry], collections: list[Collection]) -> None:
        """Read the file's collections and models; what is wrong goes to `problems`."""
        try:
            root = yaml.compose(self.file.read_text(encoding="utf-8"), Loader=Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = Location(self.file, mark.line + 1, mark.column + 1) if mark else Location(self.file, 1, 1)
            self._problem("not-yaml", place, f"{error.problem}")
            return
        except (OSError, UnicodeDecodeError) as error:
            raise FileProblem(self.file, f"cannot be read: {error}") from error
        if not isinstance(root, yaml.MappingNode):
            self._problem(
                "empty-index", Location(self.file, 1, 1), "holds no mapping with Models or Collections"
            )
            return
        for key, node in self._pairs(root):
            if key.value == "Collections":
                collections.extend(self._collection(item) for item in node.value)
            elif key.value == "Models":
                models.extend(self._entry(item) for item in node.value)

    def _problem(self, code: str, location: Location, message: str) -> None:
        self.problems.append(Problem(code=code, severity="error", location=location, message=message))

    def _place(self, node: yaml.Node) -> Location:
        return Location(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _pairs(self, node: yaml.Node) -> Iterable[tuple[yaml.ScalarNode, yaml.Node]]:
        return node.value if isinstance(node, yaml.MappingNode) else ()

    def _claims(self, owner: str, node: yaml.Node, sources: dict[str, str]) -> dict[str, Claim]:
        """Read a mapping of fields; the values come in their field's unit."""
        claims = {}
        for key, value_node in self._pairs(node):
            row = find_field(owner, key.value)
            name = row.name if row else key.value
            claims[name] = Claim(
                field=name,
                label=key.value,
                value=self._value(row.kind if row else "any", value_node),
                text=value_node.value if isinstance(value_node, yaml.ScalarNode) else "",
                location=self._place(value_node),
                source=sources.get(key_name(key.value)),
            )
        return claims

    def _value(self, kind: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            inner = {"words": "text", "numbers": "number"}.get(kind, "any")
            return tuple(self._value(inner, item) for item in node.value)
        if isinstance(node, yaml.MappingNode):
            return {key.value: self._value("any", value) for key, value in node.value}
        text = node.value
        try:
            if kind in {"count", "bytes"}:
                return int(text)
            if kind == "percent":
                return percent(text)
            if kind in {"number", "fraction"}:
                return Decimal(text)
        except (ValueError, InvalidOperation):
            self._problem("wrong-kind", self._place(node), f"{text!r} is not a {kind}")
            return None
        return (text,) if kind == "words" else text

    def _paper(self, claim: Claim | None) -> Paper | None:
        if claim is None:
            return None
        given = claim.value if isinstance(claim.value, dict) else {"URL": claim.value}
        return Paper(
            title=given.get("Title"), url=given.get("URL"), location=claim.location, source=claim.source
        )

    def _model_fields(self, node: yaml.Node) -> dict[str, Any]:
        """Read what models and collections have in common."""
        pairs = {key_name(key.value): value for key, value in self._pairs(node)}
        sources = {}
        if "sources" in pairs:
            sources = {key_name(key.value): value.value for key, value in self._pairs(pairs["sources"])}
        claims = self._claims("model", node, sources)
        metadata, results = pairs.get("metadata"), pairs.get("results")
        return {
            "name": str(claims["name"].value) if "name" in claims else "",
            "location": self._place(node),
            "paper": self._paper(claims.get("paper")),
            "current_paper": self._paper(claims.get("current_paper")),
            "license": claims.get("license"),
            "code": claims.get("code"),
            "readme": claims.get("readme"),
            "metadata": self._claims("metadata", metadata, sources) if metadata is not None else {},
            "results": tuple(self._result(item) for item in results.value) if results is not None else (),
            "extra": claims,
        }

    def _collection(self, node: yaml.Node) -> Collection:
        fields = self._model_fields(node)
        title = fields["extra"].get("title")
        return Collection(title=title.value if title else None, **fields)

    def _entry(self, node: yaml.Node) -> Entry:
        fields = self._model_fields(node)
        named = {name: fields["extra"].get(name) for name in ("weights", "config", "image")}
        return Entry(**fields, **named)

    def _result(self, node: yaml.Node) -> Result:
        pairs = {key_name(key.value): value for key, value in self._pairs(node)}
        claims = self._claims("result", node, {})
        sources = pairs.get("sources")
        return Result(
            task=claims["task"].value if "task" in claims else None,
            dataset=claims["dataset"].value if "dataset" in claims else None,
            split=claims.get("split"),
            metrics=self._claims("metrics", pairs["metrics"], {}) if "metrics" in pairs else {},
            location=self._place(node),
            snapshots=tuple(self._snapshot(item) for item in sources.value) if sources is not None else (),
        )

    def _snapshot(self, node: yaml.Node) -> Snapshot:
        pairs = {key_name(key.value): value for key, value in self._pairs(node)}
        return Snapshot(
            url=pairs["url"].value,
            date=pairs["date"].value if "date" in pairs else None,
            metrics=self._claims("metrics", pairs["metrics"], {}),
            location=self._place(node),
        )
