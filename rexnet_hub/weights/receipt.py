"""Keep the receipt of a conversion: what came from where, digested at both ends.

`receipt.json` is one JSON object, always with all of these keys:

- `receipt`: 1, the version of this format.
- `source`: `name`, `size_bytes`, `sha256`; `format` (`legacy`, `zip`, `safetensors`); `wrapper` (the
  key of the outer dict, or null); `prefix` (taken off every name, or empty).
- `key_map`: `authors` if names were mapped from the authors' layout, null if they stayed.
- `held_against_network`: whether names, dtypes and shapes were compared with a network's.
- `stand_in`: whether the weights carry the mark of stand-ins.
- `output`: `name`, `size_bytes`, `sha256`, and the `fingerprint` that `fingerprint.py` defines.
- `tensors`: in the order of the output; each has `name`, `dtype`, `shape`, `sha256` as written, and
  `source_name`, `source_dtype`, `source_shape`, `source_stride`, `record`, `record_offset_bytes` (in
  the source file), `offset_bytes` (of the first item, in the record), as read.
- `versions`: `rexnet_hub`, `python`.

It holds no time and no folder, so the same conversion writes the same receipt.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from rexnet_hub.errors import FileProblem
from rexnet_hub.weights.fingerprint import fingerprint_line, fingerprint_of_lines

VERSION = 1
NO_RECEIPT = "is not a receipt"
MAX_RECEIPT_BYTES = 16 << 20
_SIZES, _INT = tuple[int, ...], frozenset({int})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What the source file was."""

    name: str
    size_bytes: int
    sha256: str
    format: str
    wrapper: str | None
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFacts:
    """What the written file is."""

    name: str
    size_bytes: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorLine:
    """One tensor as written, and where it was read."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    source_name: str
    source_dtype: str
    source_shape: tuple[int, ...]
    source_stride: tuple[int, ...]
    record: str
    record_offset_bytes: int
    offset_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A whole receipt; the module's docstring says what each key means."""

    source: SourceFacts
    key_map: str | None
    held_against_network: bool
    stand_in: bool
    output: OutputFacts
    tensors: tuple[TensorLine, ...]
    versions: Mapping[str, str]


def render_receipt(receipt: Receipt) -> str:
    """Render a receipt as JSON, one tensor a line."""
    document: dict[str, Any] = {"receipt": VERSION} | _keys(receipt)
    document |= {"source": _keys(receipt.source), "output": _keys(receipt.output), "tensors": []}
    lines = [json.dumps(_keys(tensor)) for tensor in receipt.tensors]
    body = json.dumps(document, indent=1)
    return body.replace('"tensors": []', '"tensors": [\n  ' + ",\n  ".join(lines) + "\n ]", 1) + "\n"


def _keys(record: Any) -> dict[str, Any]:
    """Give a record's fields by name; `asdict` would copy every number of every shape."""
    return {name: getattr(record, name) for name in record.__slots__}


def read_receipt(file: Path) -> Receipt:
    """Read a receipt; every key must be there, of its type, and no other.

    Raises:
        FileProblem: The file cannot be read, or is not a receipt whose parts agree.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_RECEIPT_BYTES + 1)
    except OSError as error:
        raise FileProblem(file, f"cannot be read: {error.strerror}") from None
    try:
        return _parse(data)
    except (ValueError, RecursionError) as error:
        raise FileProblem(file, f"{NO_RECEIPT}: {str(error)[:200]}. Convert the source again") from None


@functools.lru_cache(maxsize=8)  # the same bytes are the same receipt, and a model is often loaded again
def _parse(data: bytes) -> Receipt:
    if len(data) > MAX_RECEIPT_BYTES:
        raise ValueError(f"it is longer than {MAX_RECEIPT_BYTES} bytes")
    document = json.loads(data, object_pairs_hook=_no_twins)
    if type(document) is not dict or document.pop("receipt", None) != VERSION:
        raise ValueError(f'it does not say "receipt": {VERSION}')
    receipt: Receipt = _build(Receipt, document, "receipt")
    lines = (fingerprint_line(line.dtype, line.shape, line.sha256) for line in receipt.tensors)
    if fingerprint_of_lines(lines) != receipt.output.fingerprint:
        raise ValueError("its fingerprint is not that of its tensors")
    return receipt


def _no_twins(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(items)) != len(items):
        raise ValueError("a key stands twice in one object")
    return dict(items)


@functools.cache  # resolving them takes longer than all the rest
def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record)


def _build(record: Any, values: Any, where: str) -> Any:
    """Build a record of ours from JSON, refusing anything but its own fields of their own types."""
    kinds = _hints(record)
    if type(values) is not dict or values.keys() != kinds.keys():
        odd = sorted(kinds.keys() ^ values) if type(values) is dict else "no object"
        raise ValueError(f"{where}: missing or unknown keys: {odd}")
    made = {}
    for name, kind in kinds.items():
        value = values[name]
        # Most are plain; a receipt has some five thousand of them.
        made[name] = value if type(value) is kind else _value(kind, value, f"{where}.{name}")
    return record(**made)


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind == _SIZES and type(value) is list and _INT.issuperset(map(type, value)):
        return tuple(value)
    if kind in (SourceFacts, OutputFacts):
        return _build(kind, value, where)
    if kind == tuple[TensorLine, ...] and type(value) is list:
        return tuple(_build(TensorLine, item, f"{where}[{at}]") for at, item in enumerate(value))
    if (
        kind == Mapping[str, str]
        and type(value) is dict
        and all(type(item) is str for item in value.values())
    ):
        return value
    if kind == str | None and (value is None or type(value) is str):
        return value
    raise ValueError(f"{where}: {str(value)[:40]!a} is not of the type that belongs there")
