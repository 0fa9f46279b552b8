"""Convert a checkpoint to safetensors, losing nothing, and write the receipt of it."""

from __future__ import annotations

import hashlib
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rexnet_hub import __version__
from rexnet_hub.errors import FileProblem, OutputExistsError, UsageError
from rexnet_hub.identity import Identity, gather
from rexnet_hub.layout import receipt_of
from rexnet_hub.nets import KeyMap, choose_key_map
from rexnet_hub.nets.state_dict import TensorTable, require_tensors
from rexnet_hub.records import MAX_BYTES
from rexnet_hub.weights.checkpoint.manifest import Manifest, SourceTensor
from rexnet_hub.weights.checkpoint.sandbox import opened_weights
from rexnet_hub.weights.digest import ByteSource, Digester, FileDigest, digest_file, write_all
from rexnet_hub.weights.dtypes import DTYPES, count_negative, count_strange, widen_to_float32
from rexnet_hub.weights.fingerprint import fingerprint_of
from rexnet_hub.weights.receipt import (
    NO_RECEIPT,
    OutputFacts,
    Receipt,
    SourceFacts,
    TensorLine,
    read_receipt,
    render_receipt,
)
from rexnet_hub.weights.safetensors_file import MAX_HEADER_BYTES, TensorSpec, canonical_order, render_header
from rexnet_hub.weights.tensor_bytes import is_mark, tensor_chunks
from rexnet_hub.whole_files import whole_files


class _Move(NamedTuple):
    """One tensor's way from the source to the output."""

    origin: SourceTensor
    target: TensorSpec


def convert_checkpoint(
    source: Path,
    out: Path,
    *,
    expected: TensorTable | None = None,
    identity: Identity | None = None,
    sha256: str | None = None,
    wrapper: str | None = None,
    as_float32: bool = False,
    allow_nonfinite: bool = False,
) -> Receipt:
    """Convert a checkpoint to a canonical safetensors file, with its receipt beside it.

    A legacy, zip or safetensors file is read without running anything of it. Nothing appears under
    the final names before every tensor was compared with its source, bit for bit; an earlier
    conversion there is replaced. The same source gives the same two files.

    Args:
        source: The checkpoint.
        out: The file to write; its folder must exist.
        expected: The network's tensors; without them the tensors are taken as they are, and the
            receipt says so.
        identity: What is stated of the source.
        sha256: The digest that it must have by the caller, all 64 digits.
        wrapper: The keys to the state dict that is meant, with dots between, where the file has several.
        as_float32: Turn other floating-point numbers into float32; else every dtype is kept.
        allow_nonfinite: Let NaN, infinity and negative variances pass.

    Returns:
        What was read, what was written, and which tensor is from where; it lies beside the file too.

    Raises:
        FileProblem: A file or folder cannot be read or written.
        MismatchError: The source is not the file that is stated, or its tensors are not.
        OutputExistsError: `out` is the source, or what bears the receipt's name is no receipt.
        CheckpointError: The source is damaged, foreign, or holds NaN, infinity or a negative variance.
        UsageError: `sha256` is no whole digest.
        StateDictError: The tensors are not the expected ones.
    """
    _require_free(source, out)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"the SHA-256 {sha256[:80]!a} is not 64 hexadecimal digits: fewer prove nothing")
    identity = ((identity or Identity()) + gather("the caller", sha256)).agreed(source)
    opening = opened_weights(source, folder=out.parent, identity=identity, wrapper=wrapper)
    with opening as (copy, digest, manifest):
        key_map, moves = _plan(copy, manifest, as_float32, expected)
        if expected is not None:
            planned = {move.target.name: (move.target.dtype, move.target.shape) for move in moves}
            require_tensors(planned, expected, file=source)
        with whole_files(out, receipt_of(out)) as (stream, receipt_stream):
            part = stream.fileno()
            stand_in = _write_tensors(copy, moves, part, allow_nonfinite)
            lines, written = _compare(copy, moves, part, out, manifest.prefix)
            receipt = Receipt(
                source=SourceFacts(
                    name=source.name,
                    sha256=digest.sha256,
                    size_bytes=digest.size_bytes,
                    format=manifest.format,
                    wrapper=manifest.wrapper,
                    prefix=manifest.prefix,
                    left_out=manifest.left_out,
                ),
                key_map=key_map.name if key_map else None,
                checked_against_network=expected is not None,
                stand_in=stand_in,
                output=OutputFacts(
                    name=out.name,
                    sha256=written.sha256,
                    size_bytes=written.size_bytes,
                    fingerprint=fingerprint_of(lines),
                ),
                tensors=tuple(lines),
                versions={"rexnet_hub": __version__, "python": ".".join(map(str, sys.version_info[:3]))},
            )
            if all(line.dtype == line.source_dtype for line in lines):  # other bits nobody states
                identity.of_tensors.require(out, receipt.output)
            text = render_receipt(receipt).encode()
            if len(text) > MAX_BYTES:
                raise copy.refuse(
                    f"has names so long that its receipt would be longer than {MAX_BYTES} bytes"
                )
            receipt_stream.write(text)
    return receipt


def find_conversion(source: Path, out: Path) -> Receipt | None:
    """Find what an earlier run made of this very source, compared with the network and whole still."""
    try:
        receipt = read_receipt(receipt_of(out))
        digests = digest_file(source).sha256, digest_file(out).sha256
    except FileProblem:
        return None
    is_same = digests == (receipt.source.sha256, receipt.output.sha256)
    return receipt if is_same and receipt.checked_against_network else None


def _require_free(source: Path, out: Path) -> None:
    """Refuse to write without a folder, over the source, or over a file that is no receipt of ours."""
    if not out.parent.is_dir():
        raise FileProblem(out.parent, "is no folder to write into")
    if out.exists() and source.exists() and out.samefile(source):
        raise OutputExistsError(out, "is the source itself; name another file")
    receipt = receipt_of(out)
    if receipt.exists():
        try:
            read_receipt(receipt)
        except FileProblem as error:
            if not error.problem.startswith(NO_RECEIPT):
                raise
            raise OutputExistsError(receipt, "is there and is no receipt; move it away") from None


def _plan(
    source: ByteSource, manifest: Manifest, as_float32: bool, expected: TensorTable | None
) -> tuple[KeyMap | None, list[_Move]]:
    """Decide what each tensor becomes, in the order of the output."""
    shapes = {tensor.name: tensor.shape for tensor in manifest.tensors}
    key_map = choose_key_map(shapes, expected, file=source.name)
    origins = {key_map.names[t.name] if key_map else t.name: t for t in manifest.tensors}
    targets = canonical_order(
        TensorSpec(
            name=name,
            dtype="float32" if as_float32 and DTYPES[tensor.dtype].is_float else tensor.dtype,
            shape=key_map.our_shape(name, tensor.shape) if key_map else tensor.shape,
        )
        for name, tensor in origins.items()
    )
    # Both ends counted: nothing lost, nothing made, whatever the map.
    items = [sum(math.prod(thing.shape) for thing in side) for side in (manifest.tensors, targets)]
    if len(targets) != len(manifest.tensors) or items[0] != items[1]:
        raise source.refuse(f"has {len(manifest.tensors)} tensors, {len(targets)} would be written")
    return key_map, [_Move(origin=origins[target.name], target=target) for target in targets]


def _target_chunks(source: ByteSource, move: _Move) -> Iterator[bytes]:
    dtype = DTYPES[move.origin.dtype]
    for chunk in tensor_chunks(source, move.origin):
        yield chunk if move.target.dtype == dtype.name else widen_to_float32(dtype, chunk)


def _write_tensors(source: ByteSource, moves: list[_Move], part: int, allow_nonfinite: bool) -> bool:
    """Write header and tensors, all proper values; return whether one bears the stand-in mark."""
    strange, stand_in = [], False
    header = render_header(move.target for move in moves)
    if len(header) > 8 + MAX_HEADER_BYTES:
        raise source.refuse(
            f"has names so long that the header would be longer than {MAX_HEADER_BYTES} bytes"
        )
    write_all(part, header)
    for move in moves:
        strange_items, target = 0, move.target
        for chunk in _target_chunks(source, move):
            strange_items += count_strange(DTYPES[target.dtype], chunk)
            if target.name.endswith("running_var"):  # of a batch norm, which takes its square root
                strange_items += count_negative(DTYPES[target.dtype], chunk)
            stand_in = stand_in or is_mark(target.dtype, target.shape, chunk)
            write_all(part, chunk)
        if strange_items and (target.dtype == "bool" or not allow_nonfinite):
            strange.append(f"{target.name} ({strange_items})")
    os.fsync(part)
    if strange:
        more = f" and {len(strange) - 10} more tensors" if len(strange) > 10 else ""
        listed = ", ".join(strange[:10]) + more
        raise source.refuse(f"holds NaN, infinity, negative variance or no proper values in {listed}")
    return stand_in


def _compare(
    source: ByteSource, moves: list[_Move], part: int, out: Path, prefix: str
) -> tuple[list[TensorLine], FileDigest]:
    """Read the written file back, compare every tensor with its source, bit for bit, and digest it."""
    size_bytes = os.fstat(part).st_size
    written = ByteSource(name=str(out), descriptor=part, size_bytes=size_bytes)
    header = render_header(move.target for move in moves)
    if written.read(0, len(header)) != header:
        raise FileProblem(out, "its header reads differently than written. Is the disk sound?")
    whole, lines = Digester(), []
    whole.update(header)
    for move in moves:
        one, target = hashlib.sha256(), move.target
        for chunk in _target_chunks(source, move):
            back = written.read(whole.size_bytes, len(chunk))
            if back != chunk:
                raise FileProblem(out, f"{target.name} reads differently than written. Is the disk sound?")
            whole.update(back)
            one.update(back)
        lines.append(_line(move, one.hexdigest(), prefix))
    if whole.size_bytes != size_bytes:
        raise FileProblem(out, f"has {size_bytes} bytes, meant are {whole.size_bytes}. Is the disk sound?")
    return lines, whole.digest()


def _line(move: _Move, sha256: str, prefix: str) -> TensorLine:
    return TensorLine(
        name=move.target.name,
        dtype=move.target.dtype,
        shape=move.target.shape,
        sha256=sha256,
        source_name=prefix + move.origin.name,
        source_dtype=move.origin.dtype,
        source_shape=move.origin.shape,
        source_stride=move.origin.stride,
        record=move.origin.record.name,
        record_offset_bytes=move.origin.record.offset_bytes,
        offset_bytes=move.origin.offset_bytes,
    )
