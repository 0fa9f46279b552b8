"""Read the fields of a model index from `fields.json`: what each holds, its unit and its meaning.

The reader, the JSON Schema, the reference page and the editor all follow that table; a new
field is one row.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

#: The least and greatest value of each kind of number; None where there is no bound.
BOUNDS: dict[str, tuple[int | None, int | None]] = {
    "count": (0, None),
    "bytes": (1, None),
    "number": (0, None),
    "fraction": (0, 1),
    "numbers": (0, 1),
    "percent": (0, 100),
}


class Field(NamedTuple):
    """One field that the index knows.

    Attributes:
        name: What code uses, such as `file_size`.
        owner: Where it stands: `index`, `model` (collections too), `metadata`, `result`, `metrics`, `paper`,
            `snapshot`, `witness`.
        label: As it is written, such as `File Size`.
        kind: What it holds: text, url, path, count, bytes, number, fraction, percent, words, numbers,
            digest, hexadecimal, key, spdx, paper, sources, mapping, or a section of its own (models, …).
        unit: Of the number, if it is one.
        meaning: One line.
        aliases: Other spellings that mean the same.
        slips: Spellings without their gaps that are meant for it, and that nobody reads as it.
        likely: The least and greatest number that is not doubted.
    """

    name: str
    owner: str
    label: str
    kind: str
    meaning: str
    unit: str | None = None
    aliases: tuple[str, ...] = ()
    slips: tuple[str, ...] = ()
    likely: tuple[float, float] | None = None


def key_name(label: str) -> str:
    """Fold a key as the public format does: case and the kind of gap do not matter."""
    return "_".join(label.replace("_", " ").replace("-", " ").lower().split())


def query_name(label: str) -> str:
    """Write a key as one word of a query: `Top 1 Accuracy (efficient)` is `top_1_accuracy_efficient`."""
    return re.sub(r"[^\w@.]+", "_", label.lower()).strip("_")


_TABLE = json.loads(Path(__file__).with_name("fields.json").read_text(encoding="utf-8"))


def _read_row(owner: str, label: str, facts: dict[str, Any]) -> Field:
    more: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    return Field(**{"name": key_name(label), "owner": owner, "label": label} | more)


FIELDS = tuple(_read_row(owner, *row) for owner, rows in _TABLE.items() for row in rows.items())
METADATA_LABELS = {row.name: row.label for row in FIELDS if row.owner == "metadata"}


@cache
def _rows_by_key() -> dict[tuple[str, str], Field]:
    spellings = ((row, spelling) for row in FIELDS for spelling in (row.label, *row.aliases))
    return {(row.owner, key_name(spelling)): row for row, spelling in spellings}


@cache
def kind_of(name: str) -> str:
    """Return what a figure is to be compared as: percent, count, bytes, a `setting`; `any` of one's own."""
    row = next((row for row in FIELDS if row.owner in ("metadata", "metrics") and row.name == name), None)
    is_setting = row and row.owner == "metadata" and row.unit not in ("parameters", "operations", "bytes")
    return "setting" if is_setting else row.kind if row else "any"


@lru_cache(maxsize=4096)  # an index has few different keys, many times
def find_field(owner: str, label: str) -> Field | None:
    """Find a row by any spelling of its key; None for a custom key."""
    return _rows_by_key().get((owner, key_name(label)))


@lru_cache(maxsize=4096)
def plain_letters(text: str) -> str:
    """Write a text as it seems to be meant: nothing unseen, no curly quotes around it, no second colon."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", text) if letter.isprintable())
    return seen.rstrip(":").strip("\u201c\u201d\u2018\u2019")


def find_slip(owner: str, label: str) -> Field | None:
    """Find the field that another name is meant for, such as `top1 acc` or `Weight`."""
    word = key_name(label).replace("_", "")
    return next((row for row in FIELDS if row.owner == owner and word in row.slips), None)


#: For the section that a key stands in, those that it may have been meant for.
_ELSEWHERE = {
    "model": ("metadata", "result", "metrics"), "metadata": ("model", "result", "metrics"),
    "result": ("metrics",), "metrics": ("result", "model"),
}  # fmt: skip


def find_misplaced(owner: str, label: str) -> Field | None:
    """Find the field of another section that a key is the label of."""
    elsewhere = _ELSEWHERE.get(owner, ())
    slips = (find_slip(other, label) for other in elsewhere if other in ("metadata", "metrics"))
    return next(filter(None, (*(find_field(other, label) for other in elsewhere), *slips)), None)


#: English words that one slip inside a word sets apart from one of the table's: a key may well mean them.
_ENGLISH = frozenset({
    "clashes", "clauses", "currant", "easing", "impart", "impost", "inport", "licensee", "matric", "metic",
    "metics", "modals", "modems", "modes", "morels", "motels", "ransom", "recision", "smooching", "soothing",
    "trailing", "weighs", "wight", "wights", "wright", "wrights",
})  # fmt: skip
_LONG = 6  # letters of a word in which one slip is certain
_NEAR = 0.83  # one slip in six letters, by difflib


def find_misspelt(owner: str, label: str) -> Field | None:
    """Find the field whose label a custom key certainly misspells; None where it may mean itself.

    Certain is the same letters with another gap, or one slip inside a long word of letters: a letter lost,
    doubled or changed, or two that changed places. A key of real words means what it says. What guards is
    looked for more loosely: one slip from SHA256 is no other digest, `Trusted Keys` no key of one's own.
    """
    if (plain := plain_letters(label)) != label and (row := find_field(owner, plain)):
        return row
    wrong = key_name(label)
    sought = {"metadata": ("digest", "key"), "model": ("bytes",)}.get(owner, ())
    rows = (row for row in FIELDS if row.owner == owner or row.kind in sought)
    guards = ("digest", "key", "witnesses")
    near = (
        row
        for row in rows
        if is_slip(wrong, key_name(row.label)) or (row.kind in guards and _is_near_guard(wrong, row))
    )
    return next(near, None)


def _is_near_guard(wrong: str, row: Field) -> bool:
    """Return whether a key is near to one that guards: nobody would heed what it demands."""
    from difflib import SequenceMatcher  # Not on the way of a question, whose index has no such key.

    word, meant = wrong.replace("_", ""), row.name.replace("_", "")
    return word != "sha3256" and SequenceMatcher(None, word, meant, autojunk=False).ratio() > _NEAR


def is_slip(wrong: str, right: str) -> bool:
    """Return whether a folded key is certainly another one, with one slip in it or another gap."""
    if wrong.replace("_", "") == right.replace("_", ""):
        return True
    ours, theirs = right.split("_"), wrong.split("_")
    different = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
    if len(ours) != len(theirs) or len(different) != 1:
        return False
    word, meant = different[0]
    if len(meant) < _LONG or not word.isalpha() or word in _vocabulary() | _ENGLISH:
        return False
    # Inside: a first letter may be a unit's prefix, a last one may make a plural or a tense.
    lost = (meant[:at] + meant[at + 1 :] for at in range(1, len(meant) - 1))
    swapped = (meant[:at] + meant[at : at + 2][::-1] + meant[at + 2 :] for at in range(1, len(meant) - 1))
    doubled = (word[:at] + word[at + 1 :] for at in range(1, len(word) - 1))
    changed = [at for at in range(len(meant)) if meant[at : at + 1] != word[at : at + 1]]
    is_changed = len(word) == len(meant) and len(changed) == 1 and 0 < changed[0] < len(meant) - 1
    return word in lost or word in swapped or meant in doubled or is_changed


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for _, spelling in _rows_by_key() for word in spelling.split("_"))
