"""Hand out the tensors of a safetensors file, from bytes read once into private memory."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import FileProblem
from rexnet_hub.weights.digest import CHUNK_BYTES, Source, opened, require_sha256
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.manifest import Manifest, require_sound
from rexnet_hub.weights.safetensors_file import read_head, read_safetensors

if TYPE_CHECKING:
    import torch


def read_tensors(file: Path, *, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read every tensor of a safetensors file.

    The bytes that are digested are the bytes that are handed out: they are read once into memory
    of this process, never mapped from a file that somebody else may still write. The tensors are
    views of that one memory.

    Args:
        file: A safetensors file.
        sha256: The full digest that the file must have; without one nothing is hashed.

    Returns:
        Tensors on the CPU, in the order of the file.

    Raises:
        FileProblem: The file cannot be read.
        CheckpointError: It is no sound safetensors file.
        MismatchError: It does not have the stated digest.
    """
    with opened(file) as descriptor:
        size_bytes = os.fstat(descriptor).st_size
        source = Source(name=str(file), descriptor=descriptor, size_bytes=size_bytes)
        head = read_head(source)
        manifest = require_sound(source, read_safetensors(source, head))
        memory, found = _read_data(source, head, digest=sha256 is not None)
    if sha256 is not None:
        require_sha256(file, stated=sha256, found=found)
    return {
        tensor.name: view for tensor, view in zip(manifest.tensors, _views(manifest, memory), strict=True)
    }


def _read_data(source: Source, head: bytes, *, digest: bool) -> tuple[torch.Tensor, str]:
    """Read the data into one tensor of bytes; give it and the digest of the whole file."""
    import torch

    sha256, length = hashlib.sha256(head), source.size_bytes - len(head)
    memory = _reserve(length)
    view, at = memoryview(memory), 0
    while at < length:
        # With a digest: small pieces, hashed while the cache still has them.
        count = os.preadv(
            source.descriptor, [view[at : at + (CHUNK_BYTES if digest else 1 << 30)]], len(head) + at
        )
        if count == 0:
            raise FileProblem(source.name, "became shorter while it was read")
        if digest:
            sha256.update(view[at : at + count])
        at += count
    return torch.frombuffer(memory, dtype=torch.uint8)[:length], sha256.hexdigest()


def _reserve(length: int) -> mmap.mmap:
    """Reserve memory in large pages where the system has them: half the time of small ones."""
    memory = mmap.mmap(-1, max(length, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _views(manifest: Manifest, memory: torch.Tensor) -> list[torch.Tensor]:
    import torch

    views = []
    for tensor in manifest.tensors:
        dtype = getattr(torch, DTYPES[tensor.dtype].name)
        data = memory[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]
        if tensor.offset_bytes % DTYPES[tensor.dtype].item_bytes:
            data = data.clone()  # no canonical file needs this
        # `.data`: each tensor with a version counter of its own; else autograd takes a batch norm's step for
        # a change of every weight in the same memory.
        views.append(data.view(dtype).view(tensor.shape).data)
    return views
