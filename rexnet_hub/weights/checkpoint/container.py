"""Recognise a file of weights by its bytes, and list the tensors of its state dict."""

from __future__ import annotations

from rexnet_hub.weights.checkpoint.legacy import IS_LEGACY, read_legacy
from rexnet_hub.weights.checkpoint.manifest import (
    HEAD_BYTES,
    Manifest,
    SourceTensor,
    StoredBytes,
    find_stranger,
    require_sound,
)
from rexnet_hub.weights.checkpoint.pickle_reader import TensorNote
from rexnet_hub.weights.checkpoint.wrappers import find_state_dict
from rexnet_hub.weights.checkpoint.zipped import read_zip
from rexnet_hub.weights.digest import MAX_FILE_BYTES, ByteSource
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.safetensors_file import read_safetensors


def list_tensors(source: ByteSource, *, wrapper: str | None = None) -> Manifest:
    """List the tensors of a legacy, zip or safetensors file.

    Runs in the process that calls it; `sandbox.list_in_child` is the guarded way.

    Raises:
        CheckpointError: The file is none of the three, or not sound.
    """
    if source.size_bytes > MAX_FILE_BYTES:
        raise source.refuse(f"has {source.size_bytes} bytes; more than {MAX_FILE_BYTES} are not read here")
    head = source.read(0, min(source.size_bytes, HEAD_BYTES))
    if head.startswith(b"PK\x03\x04") or IS_LEGACY(head):
        if source.name.lower().endswith(".safetensors"):
            raise source.refuse("is a pickle of torch's, though its name says that no code can be in it")
        return _list_checkpoint(source, "zip" if head.startswith(b"PK") else "legacy", wrapper)
    if is_safetensors(source):
        if wrapper is not None:
            raise source.refuse(f"is a safetensors file: it has nothing under {wrapper!r}")
        return require_sound(source, read_safetensors(source))
    raise source.refuse(find_stranger(head) or "is neither a torch checkpoint nor a safetensors file")


def is_safetensors(source: ByteSource) -> bool:
    """Return whether a file begins as a safetensors file does: a length, then a header of JSON."""
    return source.size_bytes > 8 and source.read(8, 1) == b"{"


def _list_checkpoint(source: ByteSource, container: str, wrapper: str | None) -> Manifest:
    if container == "zip":
        value, records, has_checksums = read_zip(source)
    else:
        (value, records), has_checksums = read_legacy(source), True  # it can have none
    tensors, wrapper, prefix, left_out = find_state_dict(source, value, wrapper)
    if not has_checksums:
        left_out.append("checksums (the file states none)")
    manifest = Manifest(
        format=container,
        wrapper=wrapper,
        prefix=prefix,
        metadata={},
        left_out=tuple(left_out),
        tensors=tuple(_place(name, note, records[note.storage.key]) for name, note in tensors.items()),
    )
    return require_sound(source, manifest)


def _place(name: str, note: TensorNote, record: StoredBytes) -> SourceTensor:
    return SourceTensor(
        name=name,
        dtype=note.dtype,
        shape=note.shape,
        stride=note.stride,
        record=record,
        offset_bytes=note.offset * DTYPES[note.dtype].item_bytes,
    )
