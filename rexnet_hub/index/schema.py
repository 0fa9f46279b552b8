"""Derive the JSON Schema of a model-index file from the table of fields, for editors.

It says what a file can say in one place; what only shows between places (names that exist,
files that are there, claims that contradict each other) is left to the reader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rexnet_hub.addresses import HUB_FILE
from rexnet_hub.index.fields import BOUNDS, FIELDS, Field
from rexnet_hub.index.reading.values import ARXIV, MOST, PAGE
from rexnet_hub.keys import SIGNER_PATTERN

SCHEMA_FILE = Path(__file__).with_name("schema.json")
#: The problems that the schema sees too: a test holds the two together.
SCHEMA_CODES = frozenset(
    ("wrong-kind", "out-of-range", "unit-confusion", "not-a-url", "page-as-weights", "missing-name")
) | {"digest-as-number"}

_NULL = {"type": "null"}
#: Not by the types that it may have: to some readers of YAML a date has one of its own.
_PLAIN = {"not": {"type": ["object", "array"]}}
_TEXT = {"anyOf": [_PLAIN, {"type": "array", "items": _PLAIN, "minItems": 1, "maxItems": 1}]}
_NAMED = {"type": "object", "anyOf": [{"required": [word]} for word in ("name", "Name", "type", "Type")]}
_NUMBER = r"(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?"
_WHOLE = r"\d[\d_]*(\.0*)?([eE]\+?\d{1,2})?"
_UNIT_SPAN = r"(0*(\.\d*)?|0*1(\.0*)?|\d(\.\d*)?[eE]-\d+)"
_HUNDRED = r"(0*100(\.0*)?|0*\d{1,2}(\.\d*)?|\.\d+)"
_URL = r"^(file:|https?://(?![^/?#]*\.\.)([^/?#@\s<>\"\\]*\.[^/?#@\s<>\"\\]*|localhost(:\d+)?)([/?#]|$))[^\s<>\"\\]*$"


def _quoted(pattern: str, tail: str = "") -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^\s*\+?(?=[\d.]*\d){pattern}{tail}\s*$"}


def _number(kind: str, text: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Describe a number: what is no number, NaN, is neither below a bound nor not below it."""
    low, high = BOUNDS[kind]
    bounds: dict[str, Any] = {"minimum": low, "not": {"exclusiveMaximum": low}}
    bounds |= {"exclusiveMaximum": MOST} if high is None else {"maximum": high}
    return {"anyOf": [{"type": "number", **bounds, **more}, text, _NULL]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


_PATHS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "null"]}}, _NULL]}
_LINK = {"type": "string", "pattern": _URL}
_HUB_FILE = {"type": "string", "pattern": f"^{HUB_FILE.pattern}$"}
_OF_WEIGHTS = {"anyOf": [_LINK | {"not": {"pattern": PAGE}}, _HUB_FILE]}
_ARXIV = {"type": "string", "pattern": f"^{ARXIV}$"}
_KINDS: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "path": _TEXT,
    "spdx": _TEXT,
    "words": {"anyOf": [_PLAIN, {"type": "array", "items": _TEXT}]},
    "digest": {"type": "string", "pattern": r"^\s*[0-9a-fA-F]{64}\s*$"},
    "hexadecimal": {"anyOf": [{"type": "string", "pattern": r"^\s*[0-9a-fA-F]{7,128}\s*$"}, _NULL]},
    "key": {"type": "string", "pattern": SIGNER_PATTERN},
    "url": {"anyOf": [_LINK, _ref("link"), _NULL]},
    "count": _number("count", _quoted(_WHOLE), multipleOf=1),
    "bytes": _number("bytes", _quoted(rf"0*[1-9]{_WHOLE[2:]}"), multipleOf=1),
    "number": _number("number", _quoted(_NUMBER)),
    "fraction": _number("fraction", _quoted(_UNIT_SPAN)),
    "percent": _number("percent", _quoted(_HUNDRED, r"\s*%?")),
    "numbers": {"type": ["array", "null"], "minItems": 3, "maxItems": 3},
    "mapping": {"type": ["object", "null"]},
    "any": {"type": ["object", "array", "string", "number", "boolean", "null"]},
    "sources": {"type": "object"},
    "paths": _PATHS,
    "paper": {"anyOf": [_LINK, _ARXIV, _ref("paper"), _NULL]},
    "models": _ref("models"),
    "collections": _ref("models"),
    "metadata": _ref("metadata_or_path"),
    "results": _ref("results"),
    "metrics": _ref("metrics_or_list"),
    "snapshots": _ref("snapshots"),
    "witnesses": _ref("witnesses"),
}
_KINDS["numbers"]["items"] = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _quoted(_UNIT_SPAN)]}


_WORD = {"not": {"type": ["object", "array", "null"]}, "minLength": 1}
_WORDED = {"anyOf": [*_TEXT["anyOf"], _NAMED]}
#: What one field holds otherwise than others of its kind.
_OWN_KINDS: dict[str, dict[str, Any]] = {
    "model_name": {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1, "maxItems": 1}]},
    "model_weights": {"anyOf": [_OF_WEIGHTS, _ref("weights_link"), _NULL]},
    "result_task": _WORDED,
    "result_dataset": _WORDED,
    "witness_place": {"anyOf": [_LINK, _HUB_FILE, _NULL]},
    "link": {"anyOf": [_LINK, _NULL]},
}


def build_schema() -> dict[str, Any]:
    """Build the schema: plain JSON, of draft 7, which every editor reads, and later ones take."""
    owners = {owner: _mapping(owner) for owner in {row.owner: None for row in FIELDS} if owner != "index"}
    owners["model"]["anyOf"] = [{"required": [spelling]} for spelling in ("Name", "name", "NAME")]
    owners["metrics"]["additionalProperties"] = {}
    for name, link in (("link", _LINK), ("weights_link", _OF_WEIGHTS)):
        pattern = {f"^{_any_case('URL')}$": {"anyOf": [link, _NULL]}}
        owners[name] = {"type": "object", "patternProperties": pattern}
    lists = {
        name: {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}}]}
        for name, owner in (("models", "model"), ("metadata_or_path", "metadata"), ("results", "result"))
        for one in [[_ref(owner), {"type": "string"}, _NULL]]
    }
    metrics = {"type": "array", "items": {"type": "object"}}
    lists["metrics_or_list"] = {"anyOf": [_ref("metrics"), metrics, _NULL]}
    for name, item in (("snapshots", _ref("snapshot")), ("witnesses", _ref("witness"))):
        lists[name] = {"anyOf": [item, {"type": "array", "items": item}, _NULL]}
    owners["snapshot"]["anyOf"] = [{"required": [spelling]} for spelling in ("URL", "url", "Url")]
    owners["snapshot"]["properties"]["URL"] = _LINK
    owners["snapshot"]["patternProperties"][f"^({_any_case('URL')})$"] = _LINK
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Model index",
        "description": "What is published about each model of a zoo.",
        **_mapping("index"),
        "$defs": {
            **owners,
            **lists,
            **{f"kind_{kind}": what for kind, what in (_KINDS | _OWN_KINDS).items()},
        },
    }


def render_schema() -> str:
    """Render the schema as the text of its file."""
    return json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"


def _mapping(owner: str) -> dict[str, Any]:
    """Describe a mapping: each label for completion, and once more in each spelling: editors read either."""
    rows = [row for row in FIELDS if row.owner == owner]
    units = {row.label: f" ({row.unit})" if row.unit else "" for row in rows}
    return {
        "type": "object",
        "properties": {
            row.label: {"description": row.meaning + units[row.label], **_ref(_kind(row))} for row in rows
        },
        "patternProperties": {
            f"^({'|'.join(_any_case(label) for label in (row.label, *row.aliases))})$": _ref(_kind(row))
            for row in rows
        },
    }


def _kind(row: Field) -> str:
    """Name the definition of what a field holds, where it stands."""
    own = f"{row.owner}_{row.name}"
    is_plain_url = row.kind == "url" and row.owner != "model"
    return f"kind_{own if own in _OWN_KINDS else 'link' if is_plain_url else row.kind}"


def _any_case(label: str) -> str:
    """Return a pattern that matches a label in any case and with any gap: JSON Schema knows no flags."""
    spelled = {" ": "[ _-]+", "@": "@"}
    return "".join(
        spelled.get(c, f"[{c.upper()}{c.lower()}]" if c.isalpha() else "[ _-]+" if c == "-" else c)
        for c in label
    )
