"""Read what the card of a saved network says, by the fields of an index: as given, or by its receipt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rexnet_hub.errors import UsageError
from rexnet_hub.index.fields import Field, find_field
from rexnet_hub.weights.receipt import Receipt

#: Where a field stands, in `model` or `metadata`, and its label; and what it says, as JSON has it.
CardFields = dict[tuple[str, str], Any]
#: What no card says of a model, by the names of fields, and who says it.
_SAID_ELSEWHERE = {
    "the folder's": ("name",),
    "the network's own": ("id", "parameters", "num_classes", "model_args"),
    "given as labels": ("labels",),
    "several fields: give each itself": ("metadata",),
    "said by an index alone": (
        *(
            "in_collection",
            "same_as",
            "weights",
            "weights_page",
            "weights_key",
            "sha256",
            "file_size",
            "witnesses",
            "trusted_key",
        ),
        *("superseded_by", "withdrawn"),
    ),
}


def read_card(card: Mapping[str, Any]) -> CardFields:
    """Read what a card is to say; a field may be in any spelling, and one that is None says nothing.

    Raises:
        UsageError: A field is none that a card can say; all of them are named.
    """
    if not isinstance(card, Mapping) or not all(isinstance(label, str) for label in card):
        raise UsageError("card is a mapping from fields of the index to what they say")
    said: CardFields = {}
    wrong = []
    for label, value in card.items():
        row = _find_row(label)
        key = (row.owner, row.label) if row else ("model", label)
        if row and (problem := _find_problem(row, value)):
            wrong.append(f"{label} is {problem}")
        elif key in said:
            wrong.append(f"{label} is there twice")
        elif value is not None:
            try:
                said[key] = json.loads(json.dumps(value, default=_as_json, allow_nan=False))
            except (TypeError, ValueError, RecursionError) as error:
                wrong.append(f"{label} holds what no card can say: {error}")
    if wrong:
        raise UsageError(f"of the card, {'; '.join(wrong)}")
    return said


def card_of(receipt: Receipt | None) -> CardFields:
    """Return what the card of a saved network says, by the entry in its receipt; nothing of any other's."""
    model = (receipt.model if receipt else None) or {}
    metadata = model.get("Metadata")
    fields = {**(metadata if isinstance(metadata, dict) else {}), **model}
    rows = {label: _find_row(label) for label in fields}
    sayable = {label: value for label, value in fields.items() if not _find_problem(rows[label], value)}
    return read_card(sayable)


def _find_row(label: str) -> Field | None:
    return find_field("metadata", label) or find_field("model", label)


def _find_problem(row: Field | None, value: Any) -> str:
    """Return why a field is none that a card can say, in words that follow its label."""
    if row is None:
        return ""
    elsewhere = (whose for whose, names in _SAID_ELSEWHERE.items() if row.name in names)
    is_beside = row.kind == "path" and "://" not in str(value)
    return next(elsewhere, "a file beside an index; give an https address" if is_beside else "")


def _as_json(value: Any) -> Any:
    """Return a number of NumPy, torch or decimal as JSON has it."""
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no text, number, list or mapping of them")
