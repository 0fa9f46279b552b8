"""Read model-index files, and all that they import, into nodes of models and collections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rexnet_hub.index.entry import Claim, Entry, Location
from rexnet_hub.index.fields import find_field, key_name
from rexnet_hub.index.problems import Flaw, Problem
from rexnet_hub.index.reading.build import Builder
from rexnet_hub.index.reading.compose import compose
from rexnet_hub.index.reading.contradictions import check_entries, check_names
from rexnet_hub.index.reading.hub_metadata import from_front_matter
from rexnet_hub.index.reading.inherit import inherit, join_names, join_siblings, place_results
from rexnet_hub.index.reading.opening import MARKDOWN_SUFFIXES, SUFFIXES, Files
from rexnet_hub.index.reading.source import Node, YamlSource, find_blocks
from rexnet_hub.index.reading.values import is_null
from rexnet_hub.layout import LEDGER_FILE, LOCK_FILE, RECEIPT_FILE, ROOT_NAMES, is_repo_id, real_path

_INDEX_KEYS = {"models", "collections", "import", "library"}
_MODEL_KEYS = {"paper", "code", "weights", "config", "readme", "metadata", "results", "in_collection"}
#: Files that import each other this deep are a mistake, not an index.
_MAX_IMPORT_DEPTH = 50


class Reader:
    """Builds models and collections file by file, then drops the nodes; compares all at the end."""

    def __init__(self, top: Path) -> None:
        self.files = Files(top)
        self.problems: list[Problem] = []
        self.builder = Builder(self.problems, self.files.exists)
        self.models: list[Entry] = []
        self.collections: list[Entry] = []
        self.parts: list[Entry] = []
        self.library: Claim | None = None
        self.taken: set[Path] = set()
        self.stack: list[Path] = []
        self.roots: dict[Path, list[Node]] = {}  # of files that models name by path, each maybe many times

    # Files

    def read_folder(self, folder: Path) -> None:
        """Read the file that is a folder's own index, else each of its files."""
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError as error:
            message = f"cannot be listed: {error.strerror}"
            self.builder.report("unreadable-file", Location(folder, 1, 1), message)
            return
        own = [name for name in ROOT_NAMES if name in names][:1]
        written = (LOCK_FILE, LEDGER_FILE, RECEIPT_FILE, "record.json")  # of models, and no entry of one
        every = [name for name in names if name.lower().endswith(SUFFIXES) and not name.endswith(written)]
        for name in own or every:
            self.read_file(folder / name, Location(folder / name, 1, 1), is_asked_for=bool(own))

    def read_file(self, file: Path, place: Location, *, is_asked_for: bool = True) -> None:
        """Read a file's models and collections; `place` is whoever named it."""
        real = real_path(file)
        if real in self.stack:
            loop = " imports ".join(path.name for path in [*self.stack[self.stack.index(real) :], real])
            self.builder.report("import-cycle", place, f"the import leads back to itself: {loop}")
            return
        if real in self.taken or len(self.stack) >= _MAX_IMPORT_DEPTH:
            return
        self.taken.add(real)
        before = len(self.problems)
        page = file if file.suffix.lower() in MARKDOWN_SUFFIXES else None
        self.stack.append(real)
        took = [self._take(node, page) for node in self.compose_file(file, place)]
        self.stack.pop()
        is_page_of_other_things = page is not None and not is_asked_for
        if not any(took) and len(self.problems) == before and not is_page_of_other_things:
            of_page = "no `<!-- Type: model-index -->` comment or card metadata"
            what = of_page if page else "no Models or Collections"
            self.builder.report("empty-index", Location(file, 1, 1), f"there is nothing to read here: {what}")

    def compose_file(self, file: Path, place: Location) -> list[Node]:
        """Compose each block of a file; what is wrong with it becomes problems."""
        source = None
        try:
            if not file.suffix.lower().endswith(SUFFIXES):
                problem = f"{file.name} is no model-index file: {', '.join(SUFFIXES)} are"
                raise Flaw("unreadable-file", problem)
            source = self.files.read(file)
            return list(self._blocks(source))
        except Flaw as flaw:
            self._report_flaw(flaw, file, place, source)
            return []

    def _report_flaw(self, flaw: Flaw, file: Path, place: Location, source: YamlSource | None) -> None:
        if flaw.offset is None:
            self.builder.report(flaw.code, place, flaw.message)
            return
        if source is None:  # Not UTF-8: the place is counted in the part that is.
            source = YamlSource(file, (file.read_bytes().decode("utf-8", "replace")).encode())
        self.builder.report(flaw.code, source.place(flaw.offset), flaw.message)

    def _blocks(self, source: YamlSource) -> Iterator[Node]:
        if source.file.suffix.lower() not in MARKDOWN_SUFFIXES:
            if (node := compose(source)) is not None:
                yield node
            return
        for block in find_blocks(source.text):
            if block.is_cut:
                message = "`-->` ends the comment here, and the index with it; write the arrow otherwise"
                self.builder.report("cut-comment", source.place(block.end), message)
            try:
                node = compose(source, block.start, block.end)
            except Flaw as flaw:
                # A comment that only looks like YAML may be any text.
                is_index = block.kind == "front" and "model-index" in source.text[: block.end]
                if block.kind == "marked" or is_index:
                    self._report_flaw(flaw, source.file, Location(source.file, 1, 1), source)
                continue
            if block.kind == "front":
                node = from_front_matter(node, self.builder.report) if node is not None else None
            if node is not None and (block.kind != "likely" or _names(node) & (_INDEX_KEYS | _MODEL_KEYS)):
                yield node

    # Nodes

    def _take(self, root: Node, page: Path | None) -> bool:
        """Collect the models and collections of a root node; false when it holds none."""
        if root.kind == "list":
            if any(_names(item) & {"task", "metrics"} for item in root.items):
                self.parts.append(self.builder.part("results", root))
            else:
                self._take_models(root, page)
            return bool(root.items)
        names = _names(root)
        if not names & _INDEX_KEYS:
            if "results" in names or ("name" in names and names & _MODEL_KEYS):
                self._build(root, self.models, page)
            elif "metrics" in names or any(find_field("metadata", name) for name in names):
                self.parts.append(self.builder.part("results" if "metrics" in names else "metadata", root))
            else:
                return False
            return True
        sections = self.builder.pairs("index", root)
        if "collections" in sections:
            for item in self._items("collections", sections["collections"][2]):
                self._build(item, self.collections)
        if "models" in sections:
            self._take_models(sections["models"][2], page)
        if "library" in sections and self.library is None:
            row, key, node = sections["library"]
            for item in self._items("library", node)[:1]:
                self.library = self.builder.claim((row, key, item), {})
        if "import" in sections:
            self._import(sections["import"][2])
        return bool(sections.keys() & {"models", "collections", "import"})

    def _take_models(self, node: Node, page: Path | None) -> None:
        for item in self._items("models", node):
            self._build(item, self.models, page if item.source is node.source else None)

    def _build(self, node: Node, entries: list[Entry], page: Path | None = None) -> None:
        if (entry := self.builder.entry(self._complete(node), page)) is not None:
            entries.append(entry)

    def _items(self, section: str, node: Node) -> list[Node]:
        """List the mappings that a section means: given inline, as one, as a list, or by path."""
        if is_null(node):
            return []
        if node.kind == "mapping":
            return [node]
        if node.kind == "list":
            return [mapping for item in self.builder.items(node) for mapping in self._items(section, item)]
        mappings = []
        for root in self._roots(node):
            sections = {key_name(key.text): value for key, value in root.pairs}
            inner = sections.get(section, sections.get(section.removesuffix("s")))
            mappings += self._guarded(root, section, root if inner is None else inner)
        return mappings

    def _guarded(self, root: Node, section: str, node: Node) -> list[Node]:
        real = root.source.file.resolve()
        if real in self.stack or len(self.stack) >= _MAX_IMPORT_DEPTH:
            self.builder.report("import-cycle", root, f"{real.name} names itself, through other files or not")
            return []
        self.stack.append(real)
        try:
            return self._items(section, node)
        finally:
            self.stack.pop()

    def _complete(self, node: Node) -> Node:
        """Replace what a model names by path: its Metadata, its Results."""
        pairs = []
        for key, value in node.pairs:
            name = key_name(key.text) if key.kind == "scalar" else ""
            if name == "metadata":
                value = self._metadata(value)
            elif name == "results" and not is_null(value):
                items = self._items("results", value)
                value = Node(value.source, "list", items, value.start, value.end)
            pairs.append((key, value))
        return Node(node.source, "mapping", pairs, node.start, node.end)

    def _metadata(self, node: Node) -> Node:
        """Merge metadata given as a list or by path, and unwrap `Metadata: {Metadata: …}`."""
        if node.kind == "mapping":
            if len(node.pairs) == 1 and key_name(node.pairs[0][0].text) == "metadata":
                return self._metadata(node.pairs[0][1])
            return node
        if is_null(node) or (node.kind == "scalar" and not node.text.lower().endswith(SUFFIXES)):
            return node
        parts = self._roots(node) if node.kind == "scalar" else node.items
        if node.kind == "scalar" and any(part.source.file.resolve() in self.stack for part in parts):
            self.builder.report("import-cycle", node, "this file names itself as its Metadata")
            return Node(node.source, "mapping", [], node.start, node.end)
        merged: list[tuple[Node, Node]] = []
        for part in parts:
            self.stack.append(part.source.file.resolve())
            inner = self._metadata(part)
            self.stack.pop()
            if inner.kind != "mapping" and not is_null(inner):
                self.builder.refuse(inner, "Metadata as a mapping, a list of them, or a path")
            later = {key_name(key.text) for key, _ in inner.pairs}  # what one part says twice stays twice
            merged = [*(pair for pair in merged if key_name(pair[0].text) not in later), *inner.pairs]
        return Node(node.source, "mapping", merged, node.start, node.end)

    def _roots(self, node: Node) -> list[Node]:
        """Compose the files that a path or pattern means, against the file that wrote it."""
        roots = []
        for file in self._find(node):
            if (real := real_path(file)) not in self.roots:
                self.roots[real] = self.compose_file(file, node.location)
            roots += self.roots[real]
        return roots

    def _import(self, node: Node) -> None:
        """Read what other files hold: one path or pattern, or a list of them."""
        for item in node.items if node.kind == "list" else [node]:
            if item.kind == "scalar" and item.text and not is_null(item):
                for file in self._find(item):
                    self.read_file(file, item.location)
            elif not is_null(item):
                self.builder.refuse(item, "the path of a file to import")

    def _find(self, node: Node) -> tuple[Path, ...]:
        folder = node.source.file.parent
        try:
            if "://" in node.text:
                raise Flaw("import-missing", f"{node.text[:80]!r} is an address; only files are read")
            if files := self.files.find(folder, node.text):
                return files
            where = folder if str(folder) != "." else "this folder"
            raise Flaw("import-missing", f"no file is called {node.text!r}, from {where} or the root")
        except Flaw as flaw:
            self.builder.report(flaw.code, node, flaw.message)
            return ()

    # Entries

    def read_own(self, file: Path, model: Mapping[str, Any]) -> dict[str, Any]:
        """Build the model that a repo's receipt states; give the arguments of an `Index`."""
        text = json.dumps({"receipt": 1, "model": model}, indent=1)  # as the receipt begins
        source = YamlSource(file, text.encode())
        entries: list[Entry] = []
        try:
            ((_, _), (_, stated)) = compose(source).pairs  # type: ignore[union-attr]
            entries += map(place_results, filter(None, [self.builder.entry(stated)]))
        except Flaw as flaw:
            self._report_flaw(flaw, file, Location(file, 1, 1), source)
        named = [str(base) for entry in entries for base in entry.said("base_model") or ()]
        bases = [Entry(name=name, location=Location(file, 1, 1)) for name in named if not is_repo_id(name)]
        check_names([*entries, *bases], self.builder.report)
        check_entries([*entries, *bases], [], self.builder.report)  # wherever the bases are
        return {"models": tuple(entries), "collections": (), "problems": tuple(self.problems)}

    def finish(self, first: Path, *, count_all: bool) -> dict[str, Any]:
        """Merge models with their collections, compare all with each other; give an `Index`'s arguments."""
        models, collections, parts = self.models, self.collections, self.parts
        stated = inherit(models, collections, self.builder.report)
        check_names(stated, self.builder.report)
        entries = [place_results(entry) for entry in join_names(stated, self.builder.report)]
        check_entries(entries, [*collections, *parts], self.builder.report, count_all=count_all)
        if not entries and not collections and not parts and not self.problems:
            message = "there is no model and no collection here"
            self.builder.report("empty-index", Location(first, 1, 1), message)
        once = dict.fromkeys(self.problems)  # a part is read by itself, and with the model that names it
        return {
            "models": tuple(join_siblings(entries)),
            "collections": tuple(collections),
            "problems": tuple(sorted(once, key=lambda problem: (problem.location, problem.code))),
            "library": self.library,
            "parts": tuple(parts),
        }


def _names(node: Node) -> set[str]:
    return {key_name(key.text) for key, _ in node.pairs}
