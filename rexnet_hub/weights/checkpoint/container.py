"""Recognise a file of weights by its bytes, and list the tensors of its state dict."""

from __future__ import annotations

from rexnet_hub.weights.checkpoint.manifest import Manifest, require_sound
from rexnet_hub.weights.digest import MAX_FILE_BYTES, ByteSource
from rexnet_hub.weights.safetensors_file import read_safetensors


def list_tensors(source: ByteSource, *, wrapper: str | None = None) -> Manifest:
    """List the tensors of a legacy, zip or safetensors file.

    Runs in the process that calls it; `sandbox.list_in_child` is the guarded way.

    Raises:
        CheckpointError: The file is none of the three, or not sound.
    """
    if source.size_bytes > MAX_FILE_BYTES:
        raise source.refuse(f"has {source.size_bytes} bytes; more than {MAX_FILE_BYTES} are not read here")
    if is_safetensors(source):
        if wrapper is not None:
            raise source.refuse(f"is a safetensors file: it has nothing under {wrapper!r}")
        return require_sound(source, read_safetensors(source))
    # Who reads no pickle loads no reader of it.
    from rexnet_hub.weights.checkpoint import pickled

    return require_sound(source, pickled.list_pickled(source, wrapper))


def is_safetensors(source: ByteSource) -> bool:
    """Return whether a file begins as a safetensors file does: a length, then a header of JSON."""
    return source.size_bytes > 8 and source.read(8, 1) == b"{"
