"""Read a safetensors file strictly, and render the canonical header of one.

The canonical layout: metadata first, then the tensors by falling rank of their dtype (widest
first, as `dtypes.py` lists them), names ascending within one dtype, no gaps, the header padded with
spaces to a multiple of eight bytes. It is what safetensors 0.8 itself writes, byte for byte, so
every tensor lies on a multiple of its item size.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rexnet_hub.errors import FileProblem
from rexnet_hub.identity import Identity
from rexnet_hub.records import parse_json
from rexnet_hub.weights.checkpoint.manifest import (
    HEAD_BYTES,
    METADATA_KEY,
    Manifest,
    SourceTensor,
    StoredBytes,
    dense_stride,
    find_stranger,
    require_sound,
)
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource, FileDigest, open_source, read_at
from rexnet_hub.weights.dtypes import BY_CODE, DTYPES

if TYPE_CHECKING:
    import torch

MAX_HEADER_BYTES = 8 << 20
METADATA: Mapping[str, str] = {"format": "pt"}


class TensorSpec(NamedTuple):
    """A tensor to be written: its name, and what it holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """The number of bytes that its items take."""
        return math.prod(self.shape) * DTYPES[self.dtype].item_bytes


def canonical_order(tensors: Iterable[TensorSpec]) -> list[TensorSpec]:
    """Sort tensors as a safetensors file holds them."""
    return sorted(tensors, key=lambda tensor: (-DTYPES[tensor.dtype].rank, tensor.name))


def render_header(tensors: Iterable[TensorSpec], metadata: Mapping[str, str] = METADATA) -> bytes:
    """Render the length and the header of a file that holds these tensors in this order."""
    header: dict[str, Any] = {METADATA_KEY: dict(sorted(metadata.items()))} if metadata else {}
    at = 0
    for tensor in tensors:
        if tensor.name == METADATA_KEY:
            raise ValueError(f"no tensor of a safetensors file can be named {METADATA_KEY}")
        end = at + tensor.size_bytes
        code = DTYPES[tensor.dtype].code
        header[tensor.name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def digest_as_written(file: Path, algorithms: Iterable[str]) -> Iterator[str]:
    """Digest a file as each release of safetensors writes its tensors, without metadata and with ours.

    timm saves without. 0.3.0 pads the header with too many spaces; 0.2.8 pads none, and sorts by name alone.
    The SHA-256 that the file has itself is left out: who asks has it.
    """
    with open_source(file) as source:
        own = read_head(source)
        tensors = require_sound(source, read_safetensors(source, own)).tensors
        specs = [TensorSpec(name=each.name, dtype=each.dtype, shape=each.shape) for each in tensors]
        canonical, by_name = canonical_order(specs), sorted(specs, key=lambda spec: spec.name)
        at = {each.name: each.record.offset_bytes + each.offset_bytes for each in tensors}
        layouts = {}  # by their head, which two may have in common
        for metadata in ({}, METADATA):
            for order, release in ((canonical, ""), (canonical, "0.3.0"), (by_name, "0.2.8")):
                text = render_header(order, metadata)[8:].rstrip(b" ")
                spaces = {"0.3.0": len(text) % 8, "0.2.8": 0}.get(release, -len(text) % 8)
                layouts[struct.pack("<Q", len(text) + spaces) + text + b" " * spaces] = order
        for head, order in layouts.items():
            hashes = [hashlib.new(name) for name in algorithms if (name, head) != ("sha256", own)]
            pieces = (piece for spec in order for piece in source.chunks(at[spec.name], spec.size_bytes))
            for piece in itertools.chain([head], pieces) if hashes else ():
                for each in hashes:
                    each.update(piece)
            yield from (each.hexdigest() for each in hashes)


def read_tensors(
    file: Path, *, identity: Identity | None = None, into: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Read every tensor of a safetensors file into memory of its own, or `into` that of others.

    The file is read once and never mapped: who writes to it meanwhile changes no tensor unseen.

    Args:
        identity: What is stated of the file; without a digest nothing is checked but the header.
        into: Tensors whose memory is taken for those that have their name, dtype and shape in the file.

    Returns:
        Tensors on the CPU, in the order of the file.

    Raises:
        FileProblem: The file cannot be read.
        CheckpointError: It is no sound safetensors file.
        MismatchError: It is not the file that is stated.
    """
    import torch

    identity = identity or Identity()
    with open_source(file) as source:
        head = read_head(source)
        digest, at = hashlib.sha256(head), len(head)
        tensors = {}
        for tensor in require_sound(source, read_safetensors(source, head)).tensors:  # no gap between them
            if not hasattr(torch, tensor.dtype):  # float8_e8m0fnu came with torch 2.7
                raise source.refuse(f"holds {tensor.dtype}, which torch {torch.__version__} does not have")
            dtype, memory = getattr(torch, tensor.dtype), (into or {}).get(tensor.name)
            if memory is None or not _can_hold(memory, dtype, tensor.shape):
                memory = torch.empty(tensor.shape, dtype=dtype, device="cpu")
            items = memory.view(-1).view(torch.uint8).numpy().data
            _read_into(source, at, items, digest if identity.sha256 else None)
            tensors[tensor.name] = memory
            at += tensor.size_bytes
    if identity.sha256:
        identity.require(file, FileDigest(sha256=digest.hexdigest(), size_bytes=source.size_bytes))
    return tensors


def _can_hold(memory: torch.Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    return memory.dtype == dtype and memory.shape == shape and memory.is_contiguous() and memory.is_cpu


def _read_into(source: ByteSource, at: int, memory: memoryview, digest: hashlib._Hash | None) -> None:
    """Fill memory from a place of the file, each piece digested while the processor's cache has it."""
    while memory:
        count = _read_some(source.descriptor, memory[:CHUNK_BYTES], at)
        if count == 0:
            raise FileProblem(source.name, "became shorter while it was read")
        if digest is not None:
            digest.update(memory[:count])
        memory, at = memory[count:], at + count


def _read_some(descriptor: int, memory: memoryview, at: int) -> int:
    if sys.platform == "win32":
        chunk = read_at(descriptor, len(memory), at)
        memory[: len(chunk)] = chunk
        return len(chunk)
    return os.preadv(descriptor, [memory], at)


def read_head(source: ByteSource) -> bytes:
    """Read the length and the header of a file, not yet checked."""
    if source.size_bytes < 8:
        raise source.refuse("is cut short: no safetensors header")
    length = int.from_bytes(source.read(0, 8), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, source.size_bytes - 8):
        if stranger := find_stranger(source.read(0, min(source.size_bytes, HEAD_BYTES))):
            raise source.refuse(stranger)
        raise source.refuse(f"has a safetensors header of {length} bytes, which cannot be")
    return source.read(0, 8 + length)


def read_safetensors(source: ByteSource, head: bytes | None = None) -> Manifest:
    """Check the header: tensors in the order of their bytes.

    Args:
        head: What `read_head` gave, for a caller that must use the very same bytes.
    """
    head = read_head(source) if head is None else head
    length = len(head) - 8
    header = parse_header(source, head[8:])
    metadata = header.pop(METADATA_KEY, {})
    if type(metadata) is not dict or not all(type(text) is str for text in metadata.values()):
        raise source.refuse("its safetensors metadata is not text by name")
    data = StoredBytes(name="data", offset_bytes=8 + length, length_bytes=source.size_bytes - 8 - length)
    spans = [_read_span(source, name, fields, data) for name, fields in header.items()]
    spans.sort(key=lambda tensor: (tensor.offset_bytes, tensor.size_bytes))
    at = 0
    for tensor in spans:
        if tensor.offset_bytes != at:
            what = "overlap" if tensor.offset_bytes < at else "leave a hole"
            raise source.refuse(f"tensor {tensor.name[:80]!a}: its bytes {what} at {tensor.offset_bytes}")
        at += tensor.size_bytes
    if at != data.length_bytes:
        raise source.refuse(f"has {data.length_bytes} bytes of data, its tensors take {at}")
    return Manifest(format="safetensors", wrapper=None, prefix="", metadata=metadata, tensors=tuple(spans))


def parse_header(source: ByteSource, data: bytes) -> dict[str, Any]:
    """Parse the header's JSON: an object, padded with spaces alone."""
    body = data.rstrip(b" ")
    try:
        if not data.startswith(b"{"):
            raise ValueError("it does not begin with {")
        header = parse_json(body)
        if not body.endswith(b"}"):
            raise ValueError("it is padded with something else than spaces")
    except ValueError as error:
        raise source.refuse(f"its safetensors header is not sound: {str(error)[:120]}") from None
    assert isinstance(header, dict)
    return header


def _read_span(source: ByteSource, name: str, fields: Any, data: StoredBytes) -> SourceTensor:
    if type(fields) is not dict or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise source.refuse(f"tensor {name[:80]!a}: its fields are not dtype, shape and data_offsets")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if type(code) is not str or code not in BY_CODE:
        raise source.refuse(f"tensor {name[:80]!a}: the dtype {str(code)[:20]!a} is not read here")
    if not _are_naturals(shape) or not _are_naturals(offsets) or len(offsets) != 2:
        raise source.refuse(f"tensor {name[:80]!a}: its shape or data_offsets are not whole numbers")
    size_bytes = math.prod(shape) * BY_CODE[code].item_bytes
    if offsets[1] - offsets[0] != size_bytes:
        problem = f"tensor {name[:80]!a}: {offsets[1] - offsets[0]} bytes for a shape that takes {size_bytes}"
        raise source.refuse(problem)
    return SourceTensor(
        name=name,
        dtype=BY_CODE[code].name,
        shape=tuple(shape),
        stride=dense_stride(tuple(shape)),
        record=data,
        offset_bytes=offsets[0],
    )


def _are_naturals(numbers: Any) -> bool:
    is_list = type(numbers) is list and len(numbers) <= 64
    return is_list and all(type(number) is int and 0 <= number < 1 << 48 for number in numbers)
