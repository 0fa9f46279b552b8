"""Read the tensors of a safetensors file, from bytes read once into private memory."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import FileProblem
from rexnet_hub.identity import Identity
from rexnet_hub.weights.checkpoint.manifest import Manifest, require_sound
from rexnet_hub.weights.digest import CHUNK_BYTES, FileDigest, Source, opened
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.known import Known, recall, remember, take_stamp
from rexnet_hub.weights.safetensors_file import read_head, read_safetensors

if TYPE_CHECKING:
    import torch


def read_tensors(file: Path, *, identity: Identity | None = None) -> dict[str, torch.Tensor]:
    """Read every tensor of a safetensors file.

    The bytes that are digested are the bytes that are handed out: they are read once into memory
    of this process, never mapped from a file that somebody else may still write. The tensors are
    parts of that one memory.

    Args:
        file: A safetensors file.
        identity: What is stated of the file; without a digest nothing is hashed, nor is what was hashed in
            this process before and cannot have changed since (see `known.py`).

    Returns:
        Tensors on the CPU, in the order of the file.

    Raises:
        FileProblem: The file cannot be read.
        CheckpointError: It is no sound safetensors file.
        MismatchError: It is not the file that is stated.
    """
    with opened(file) as descriptor:
        identity = identity or Identity()
        stamp = take_stamp(descriptor) if identity.sha256 else None
        source = Source(
            name=str(file),
            descriptor=descriptor,
            size_bytes=os.fstat(descriptor).st_size,
            leased=stamp is not None,
        )
        known = recall(stamp)
        if known is not None:
            identity.require(file, FileDigest(sha256=known.sha256, size_bytes=source.size_bytes))
            manifest, memory = known.manifest, _read_data(source, known.start_bytes)
            source.require_unchanged()
        else:
            head = read_head(source)
            manifest = require_sound(source, read_safetensors(source, head))
            digest = hashlib.sha256(head) if identity.sha256 else None
            memory = _read_data(source, len(head), digest)
            if digest is not None:
                sha256 = digest.hexdigest()
                identity.require(file, FileDigest(sha256=sha256, size_bytes=source.size_bytes))
                remember(descriptor, stamp, Known(sha256=sha256, start_bytes=len(head), manifest=manifest))
    return {
        tensor.name: view for tensor, view in zip(manifest.tensors, _views(manifest, memory), strict=True)
    }


def _read_data(source: Source, start: int, digest: hashlib._Hash | None = None) -> mmap.mmap:
    """Read what follows the header into private memory; a digest sees it too, if there is one."""
    length, at = source.size_bytes - start, 0
    memory = _reserve(length)
    view = memoryview(memory)
    # With a digest: small pieces, hashed while the cache still has them.
    piece_bytes = CHUNK_BYTES if digest else 1 << 30
    while at < length:
        count = os.preadv(source.descriptor, [view[at : at + piece_bytes]], start + at)
        if count == 0:
            raise FileProblem(source.name, "became shorter while it was read")
        if digest:
            digest.update(view[at : at + count])
        at += count
    return memory


def _reserve(length: int) -> mmap.mmap:
    """Reserve memory in large pages where the system has them: half the time of small ones."""
    memory = mmap.mmap(-1, max(length, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _views(manifest: Manifest, memory: mmap.mmap) -> list[torch.Tensor]:
    """Make each tensor from its part of the memory, with a storage of its own.

    Tensors of one storage would share its version counter, so that autograd took a batch norm's step for a
    change of every weight, and `torch.save` would refuse a storage of two dtypes.
    """
    import torch

    views = []
    for tensor in manifest.tensors:
        dtype = getattr(torch, tensor.dtype)
        if tensor.count == 0:
            view = torch.empty(0, dtype=dtype)
        else:
            view = torch.frombuffer(memory, dtype=dtype, count=tensor.count, offset=tensor.offset_bytes)
        if tensor.offset_bytes % DTYPES[tensor.dtype].item_bytes:
            view = view.clone()  # no canonical file needs this
        views.append(view.view(tensor.shape))
    return views
