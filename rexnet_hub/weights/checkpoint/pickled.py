"""List the tensors of a torch checkpoint, whose state dict is a pickle."""

from __future__ import annotations

from rexnet_hub.weights.checkpoint.legacy import IS_LEGACY, read_legacy
from rexnet_hub.weights.checkpoint.manifest import (
    HEAD_BYTES,
    Manifest,
    SourceTensor,
    StoredBytes,
    find_stranger,
)
from rexnet_hub.weights.checkpoint.pickle_reader import TensorNote
from rexnet_hub.weights.checkpoint.wrappers import find_state_dict
from rexnet_hub.weights.checkpoint.zipped import read_zip
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.dtypes import DTYPES


def list_pickled(source: ByteSource, wrapper: str | None) -> Manifest:
    """List the tensors of a legacy or zip file.

    Raises:
        CheckpointError: The file is neither, or not sound.
    """
    head = source.read(0, min(source.size_bytes, HEAD_BYTES))
    is_zip = head.startswith(b"PK\x03\x04")
    if not is_zip and not IS_LEGACY(head):
        raise source.refuse(find_stranger(head) or "is neither a torch checkpoint nor a safetensors file")
    if source.name.lower().endswith(".safetensors"):
        raise source.refuse("is a pickle of torch's, though its name says that no code can be in it")
    if is_zip:
        value, records, has_checksums = read_zip(source)
    else:
        (value, records), has_checksums = read_legacy(source), True  # it can have none
    tensors, wrapper, prefix, left_out = find_state_dict(source, value, wrapper)
    if not has_checksums:
        left_out.append("checksums (the file states none)")
    return Manifest(
        format="zip" if is_zip else "legacy",
        wrapper=wrapper,
        prefix=prefix,
        metadata={},
        left_out=tuple(left_out),
        tensors=tuple(_place(name, note, records[note.storage.key]) for name, note in tensors.items()),
    )


def _place(name: str, note: TensorNote, record: StoredBytes) -> SourceTensor:
    return SourceTensor(
        name=name,
        dtype=note.dtype,
        shape=note.shape,
        stride=note.stride,
        record=record,
        offset_bytes=note.offset * DTYPES[note.dtype].item_bytes,
    )
