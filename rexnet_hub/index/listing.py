"""What can be asked of every model, in columns: the zoo as `list` shows it, without reading it again.

Of the kept text the first line says how many models there are, what is wrong with the index, and which
columns follow; then each line is one column, decoded when it is asked for. A number that is not whole is
kept as text; of texts each different one is kept once, and for each model which it is.
"""

from __future__ import annotations

import json

from rexnet_hub.index.cache import Copy, describe_origin
from rexnet_hub.index.reading.files import Files
from rexnet_hub.layout import LOCK_FILE, find_index_dir

TYPE_CHECKING = False  # As typing's own, without the time that importing it takes.
if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from rexnet_hub.index.entry import Index
    from rexnet_hub.index.lock import Lock


class Listing:
    """The columns of all models, as `query.Columns` has them.

    Attributes:
        errors: How many the index has, and what the first one is.
    """

    def __init__(self, text: str) -> None:
        head, *self._lines = text.split("\n")
        told = json.loads(head)
        self._count: int = told["models"]
        self._places = {name: place for place, name in enumerate(told["columns"])}
        self.errors: tuple[int, str] = tuple(told["errors"])
        if len(self._lines) != len(self._places):
            raise ValueError("a column is missing")

    def __len__(self) -> int:
        return self._count

    def shown(self, name: str) -> list[Any]:
        """Give a number of each as it is kept: whole, or the text of a decimal, or None."""
        place = self._places.get(f"number {name}")
        return [None] * self._count if place is None else json.loads(self._lines[place])

    def numbers(self, name: str) -> list[Decimal | int | None]:
        """As `Columns` says."""
        from decimal import Decimal

        return [Decimal(value) if type(value) is str else value for value in self.shown(name)]

    def texts(self, name: str) -> list[tuple[str, ...]]:
        """As `Columns` says."""
        place = self._places.get(f"text {name}")
        if place is None:
            return [()] * self._count
        different, rows = json.loads(self._lines[place])
        kept = [tuple(texts) for texts in different]
        return [kept[row] for row in rows]


def load_listing() -> Listing:
    """List the zoo's own models: from the copy while index and lock are what they were, else by reading.

    Raises:
        As `load_index` and `read_lock` do.
    """
    place = find_index_dir()
    root = place if place.is_dir() else place.parent
    copy = Copy("list", [place], root)
    if (kept := copy.read(Listing)) is not None:
        return kept[0]
    from rexnet_hub.index.load import load_with_origin
    from rexnet_hub.index.lock import read_lock

    index, origin = load_with_origin()
    files = Files(root)
    locks = files.find(root, LOCK_FILE)
    for file in locks:
        files.read(file)
    text = render_listing(index, read_lock())
    if origin is not None:
        lock_origin = describe_origin(files)
        copy.write(
            text,
            {
                "files": origin["files"] | lock_origin["files"],
                "globs": origin["globs"] + lock_origin["globs"],
            },
        )
    return Listing(text)


def render_listing(index: Index, lock: Lock) -> str:
    """Write the columns of an index and what was measured of its models."""
    from rexnet_hub.index.grammar import TEXT_NAMES
    from rexnet_hub.index.query import EntryColumns, plain_name

    columns = EntryColumns(index.models, lock)
    names = {"macs", "parameters"}
    for entry in index.models:
        for label in entry.metadata:
            names |= {label, plain_name(label)}
        for result in entry.results:
            names.update(result.metrics)
    lines: dict[str, list[Any]] = {}
    for name in sorted(names):
        numbers = columns.numbers(name)
        if any(number is not None for number in numbers):
            lines[f"number {name}"] = [n if n is None or type(n) is int else str(n) for n in numbers]
    for name in TEXT_NAMES:
        texts = columns.texts(name)
        different = {kept: row for row, kept in enumerate(dict.fromkeys(texts))}
        if any(different):
            lines[f"text {name}"] = [list(different), [different[kept] for kept in texts]]
    errors = index.errors
    head = {
        "models": len(index.models),
        "errors": [len(errors), str(errors[0]) if errors else ""],
        "columns": list(lines),
    }
    return "\n".join(json.dumps(part, separators=(",", ":")) for part in (head, *lines.values()))
