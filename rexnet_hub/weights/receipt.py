"""Read and render the receipt of a conversion: what came from where, digested at both ends.

`receipt.json` is one JSON object with all of these keys but `model`; receipts of before lack the last three:

- `receipt`: 1, the version of this format.
- `model`: of a network that was saved, and only there: its entry as an index would state it, with the fields
  of its card; the names of its classes are in its config.
- `source`: `name`, `size_bytes`, `sha256`; `format` (`legacy`, `zip`, `safetensors`); `wrapper` (the
  keys that it was under with dots between, or null); `prefix` (taken off every name, or empty);
  `left_out` (what else the file holds, each with its kind; null in receipts of before).
- `key_map`: `authors` if names were mapped from the authors' layout, null if they stayed.
- `checked_against_network`: whether names, dtypes and shapes were compared with a network's; once
  `held_against_network`.
- `stand_in`: whether the weights carry the mark of stand-ins.
- `output`: `name`, `size_bytes`, `sha256`, and the `fingerprint` that `fingerprint.py` defines.
- `tensors`: in the order of the output; each has `name`, `dtype`, `shape`, `sha256` as written, and
  `source_name`, `source_dtype`, `source_shape`, `source_stride`, `record`, `record_offset_bytes` (in
  the source file), `offset_bytes` (of the first item, in the record), as read.
- `versions`: `rexnet_hub`, `python`.
- `files`: the SHA-256 of each other file that was written beside it, by name: of a repo its config and card.
- `parent`: of a network that was saved: `name`, `commit` (on the Hub) and `sha256` (of the weights) of what
  it was loaded from, or the name `drawn` alone; null where a file was converted.
- `receipt_sha256`: of all that stands before it in this very file, so that a damaged receipt is seen as one.

It holds no time and no folder, so the same conversion writes the same receipt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, file_problems
from rexnet_hub.records import MAX_BYTES, Count, Sha256, once, parse_record
from rexnet_hub.weights.fingerprint import TensorDigest, fingerprint_of

VERSION = 1
NO_RECEIPT = "is not a receipt"
_SEAL = ',\n "receipt_sha256": "{}"\n}}\n'
_SEALED = re.compile(rb',\n "receipt_sha256": "([0-9a-f]{64})"\n\}\n\Z')


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """The source file, as it was read."""

    name: str
    size_bytes: Count
    sha256: Sha256
    format: str
    wrapper: str | None
    prefix: str
    left_out: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFacts:
    """The written file."""

    name: str
    size_bytes: Count
    sha256: Sha256
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentFacts:
    """The weights that a saved network had at first; of one that was drawn neither commit nor digest."""

    name: str
    commit: str | None = None
    sha256: Sha256 | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorLine(TensorDigest):
    """One tensor as written, and where it was read."""

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
    checked_against_network: bool = once("held_against_network")
    stand_in: bool
    output: OutputFacts
    tensors: tuple[TensorLine, ...]
    versions: Mapping[str, str]
    files: Mapping[str, Sha256] = field(default_factory=dict)
    parent: ParentFacts | None = None
    model: Mapping[str, Any] | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the source was a canonical safetensors file already: every byte is the source's."""
        return self.source.sha256 == self.output.sha256


def render_receipt(receipt: Receipt) -> str:
    """Render a receipt as JSON, one tensor a line, sealed by its own digest."""
    keys = _keys(receipt)
    model = keys.pop("model")
    document: dict[str, Any] = {"receipt": VERSION, **({"model": model} if model else {}), **keys}
    document |= {"source": _keys(receipt.source), "output": _keys(receipt.output), "tensors": []}
    document["parent"] = _keys(receipt.parent) if receipt.parent else None
    lines = [json.dumps(_keys(tensor)) for tensor in receipt.tensors]
    body = json.dumps(document, indent=1)
    body = body.replace('"tensors": []', '"tensors": [\n  ' + ",\n  ".join(lines) + "\n ]", 1)
    body = body.removesuffix("\n}")
    return body + _SEAL.format(hashlib.sha256(body.encode()).hexdigest())


def _keys(record: Any) -> dict[str, Any]:
    """Return a record's fields by name; `asdict` would copy every number of every shape."""
    return {each.name: getattr(record, each.name) for each in fields(record)}


def read_receipt(file: Path) -> Receipt:
    """Read a receipt; every key must be there, of its type, and no other, its bytes as it states them.

    Raises:
        FileProblem: The file cannot be read, or is not a receipt whose parts agree.
    """
    with file_problems(file, "cannot be read"), file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    try:
        return _parse(data)
    except ValueError as error:
        raise FileProblem(file, f"{NO_RECEIPT}: {str(error)[:200]}. Convert the source again") from None


def _parse(data: bytes) -> Receipt:
    if seal := _SEALED.search(data):
        data = data[: seal.start()]
        if hashlib.sha256(data).hexdigest() != seal[1].decode():
            raise ValueError("its bytes are not those of which it states the SHA-256")
        data += b"\n}\n"
    receipt = parse_record(Receipt, data, version=("receipt", VERSION))
    if fingerprint_of(receipt.tensors) != receipt.output.fingerprint:
        raise ValueError("its fingerprint is not that of its tensors")
    return receipt
