"""Read the tensors of a safetensors file: the bytes that are digested are those that are returned."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import FileProblem
from rexnet_hub.weights.checkpoint.manifest import require_sound
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource, opened, require_sha256
from rexnet_hub.weights.safetensors_file import read_head, read_safetensors

if TYPE_CHECKING:
    import torch


def read_tensors(file: Path, *, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read every tensor of a safetensors file into memory of its own, aligned as torch aligns it.

    The file is read once and never mapped: who writes to it meanwhile changes no tensor unseen.

    Args:
        file: A safetensors file.
        sha256: The full digest that the file must have; without one nothing is checked but the header.

    Returns:
        Tensors on the CPU, in the order of the file.

    Raises:
        FileProblem: The file cannot be read.
        CheckpointError: It is no sound safetensors file.
        MismatchError: It does not have the stated digest.
    """
    import torch

    with opened(file) as descriptor:
        source = ByteSource(name=str(file), descriptor=descriptor, size_bytes=os.fstat(descriptor).st_size)
        head = read_head(source)
        digest, at = hashlib.sha256(head), len(head)
        tensors = {}
        for tensor in require_sound(source, read_safetensors(source, head)).tensors:  # no gap between them
            memory = torch.empty(tensor.size_bytes, dtype=torch.uint8)
            _read_into(source, at, memory.numpy().data, digest if sha256 else None)
            tensors[tensor.name] = memory.view(getattr(torch, tensor.dtype)).view(tensor.shape)
            at += tensor.size_bytes
    if sha256 is not None:
        require_sha256(file, stated=sha256, found=digest.hexdigest())
    return tensors


def _read_into(source: ByteSource, at: int, memory: memoryview, digest: hashlib._Hash | None) -> None:
    """Fill memory from a place of the file, each piece digested while the processor's cache has it."""
    while memory:
        count = os.preadv(source.descriptor, [memory[:CHUNK_BYTES]], at)
        if count == 0:
            raise FileProblem(source.name, "became shorter while it was read")
        if digest is not None:
            digest.update(memory[:count])
        memory, at = memory[count:], at + count
