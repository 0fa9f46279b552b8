"""Recognise a file of weights by its bytes, find the state dict in it, and list its tensors.

The rule: a dict whose values are all tensors is the state dict. Else it is the one dict of tensors
under `state_dict`, `state_dict_ema`, `model` or `model_ema`; where there are two of them, the
caller must name one. Then `module.` and `_orig_mod.`, which torch's own wrappers put before every
name, are taken off, as long as every name has them.
"""

from __future__ import annotations

from typing import Any

from rexnet_hub.weights.checkpoint.legacy import MAGIC_BYTES, read_legacy
from rexnet_hub.weights.checkpoint.manifest import Manifest, SourceTensor, StoredBytes, require_sound
from rexnet_hub.weights.checkpoint.pickle_reader import MAX_LISTED, TensorNote
from rexnet_hub.weights.checkpoint.zipped import TORCH_SCRIPT, read_zip
from rexnet_hub.weights.digest import MAX_FILE_BYTES, ByteSource
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.safetensors_file import read_safetensors

_WRAPPERS = ("state_dict", "state_dict_ema", "model", "model_ema")
_PREFIXES = ("module.", "_orig_mod.")
_STRANGERS = (
    (b"\x1f\x8b", "is a gzip file: unpack it first"),
    (b"version https://git-lfs", "is a git-lfs pointer, not the file: fetch it with git lfs pull"),
    (b"PYTORCH1", TORCH_SCRIPT),  # of torch 1.0
    (b"<", "is a web page or XML, not weights: it was probably fetched from a wrong address"),
    (b"\x80", "is a pickle, but not one of torch's containers: save it with torch.save"),
)


def list_tensors(source: ByteSource, *, wrapper: str | None = None) -> Manifest:
    """List the tensors of a legacy, zip or safetensors file.

    Runs in the process that calls it; `sandbox.list_in_child` is the guarded way.

    Raises:
        CheckpointError: The file is none of the three, or not sound.
    """
    if source.size_bytes > MAX_FILE_BYTES:
        raise source.refuse(f"has {source.size_bytes} bytes; more than {MAX_FILE_BYTES} are not read here")
    head = source.read(0, min(source.size_bytes, 512))
    for start, container in ((b"PK\x03\x04", "zip"), (MAGIC_BYTES, "legacy")):
        if head.startswith(start):
            if source.name.lower().endswith(".safetensors"):
                raise source.refuse("is a pickle of torch's, though its name says that no code can be in it")
            return _list_checkpoint(source, container, wrapper)
    if is_safetensors(source):
        if wrapper is not None:
            raise source.refuse(f"is a safetensors file: it has nothing under {wrapper!r}")
        return require_sound(source, read_safetensors(source))
    raise source.refuse(_name_stranger(head))


def is_safetensors(source: ByteSource) -> bool:
    """Return whether a file begins as a safetensors file does: a length, then a header of JSON."""
    return source.size_bytes > 8 and source.read(8, 1) == b"{"


def _list_checkpoint(source: ByteSource, container: str, wrapper: str | None) -> Manifest:
    value, records = read_zip(source) if container == "zip" else read_legacy(source)
    tensors, wrapper, prefix = _find_state_dict(source, value, wrapper)
    manifest = Manifest(
        format=container,
        wrapper=wrapper,
        prefix=prefix,
        metadata={},
        tensors=tuple(_place(name, note, records[note.storage.key]) for name, note in tensors.items()),
    )
    return require_sound(source, manifest)


def _find_state_dict(
    source: ByteSource, value: Any, wrapper: str | None
) -> tuple[dict[str, TensorNote], str | None, str]:
    """Return the tensors by name, the key they were under, and the prefix that was taken off.

    Args:
        source: For errors.
        value: What the pickle held.
        wrapper: The key that the caller names, where a file has several.

    Raises:
        CheckpointError: There is no state dict, or more than one.
    """
    if type(value) is not dict:
        raise source.refuse(f"holds no dict of tensors, but a {_kind(value)}")
    if _is_state_dict(value):
        if wrapper is not None:
            raise source.refuse(f"holds plain tensors, nothing under {wrapper!r}")
        key = None
    else:
        key = _choose(source, value, wrapper)
        value = value[key]
    tensors, prefix = _strip(value)
    return tensors, key, prefix


def _choose(source: ByteSource, value: dict[Any, Any], wrapper: str | None) -> str:
    candidates = [key for key in _WRAPPERS if _is_state_dict(value.get(key))]
    if wrapper is not None:
        if not _is_state_dict(value.get(wrapper)):
            there = f"there: {', '.join(candidates)}" if candidates else "there is none"
            raise source.refuse(f"holds no state dict under {wrapper!r}; {there}")
        return wrapper
    if len(candidates) > 1:
        raise source.refuse(
            f"holds {len(candidates)} state dicts, under {', '.join(candidates)}: name the one that is meant"
        )
    if not candidates:
        others = [
            f"{str(key)[:80]!a} ({_kind(item)})"
            for key, item in value.items()
            if type(item) is not TensorNote
        ]
        listed = ", ".join(others[:MAX_LISTED]) or "nothing"
        more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
        raise source.refuse(f"is no state dict: beside tensors it holds {listed}{more}")
    return candidates[0]


def _is_state_dict(value: Any) -> bool:
    return (
        type(value) is dict
        and bool(value)
        and all(type(key) is str and type(item) is TensorNote for key, item in value.items())
    )


def _strip(tensors: dict[str, TensorNote]) -> tuple[dict[str, TensorNote], str]:
    prefix = ""
    while common := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(common): note for name, note in tensors.items()}
        prefix += common
    return tensors, prefix


def _kind(value: Any) -> str:
    return {TensorNote: "tensor", type(None): "None"}.get(type(value), type(value).__name__)


def _place(name: str, note: TensorNote, record: StoredBytes) -> SourceTensor:
    return SourceTensor(
        name=name,
        dtype=note.dtype,
        shape=note.shape,
        stride=note.stride,
        record=record,
        offset_bytes=note.offset * DTYPES[note.dtype].item_bytes,
    )


def _name_stranger(head: bytes) -> str:
    if not head:
        return "is empty"
    if head[257:262] == b"ustar":
        return "is a tar archive, torch's oldest format, which is not read: load and save it with torch once"
    for start, problem in _STRANGERS:
        if head.startswith(start):
            return problem
    return "is neither a torch checkpoint nor a safetensors file"
