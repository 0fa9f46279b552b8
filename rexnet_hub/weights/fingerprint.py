"""Digest the weights of a file, whatever their container, order or names.

The fingerprint of a set of tensors: one line for each tensor, `DTYPE SHAPE SHA256`, where DTYPE is
as torch says it (`float32`), SHAPE lists the sizes other than 1 joined by `x` (so a 1x1
convolution and the matrix of the same numbers agree; a scalar has none) and SHA256 is the digest of
the items, little-endian, in C order. The lines are sorted, each ended by a newline, after a first
line `rexnet_hub weights 1`; the SHA-256 of that text is the fingerprint.

It says nothing on which tensor has which name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.records import Sha256
from rexnet_hub.weights.checkpoint.container import is_safetensors
from rexnet_hub.weights.checkpoint.manifest import SourceTensor, require_sound
from rexnet_hub.weights.checkpoint.sandbox import opened_weights
from rexnet_hub.weights.digest import ByteSource, Digester, FileDigest, open_source
from rexnet_hub.weights.safetensors_file import read_head, read_safetensors
from rexnet_hub.weights.tensor_bytes import tensor_chunks

FIRST_LINE = "rexnet_hub weights 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDigest:
    """The content of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: Sha256


def fingerprint_of(tensors: Iterable[TensorDigest]) -> str:
    """Digest a set of tensors without regard to names and order."""
    sized = ((each, "x".join(str(size) for size in each.shape if size != 1)) for each in tensors)
    lines = [FIRST_LINE, *sorted(f"{each.dtype} {sizes} {each.sha256}" for each, sizes in sized)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def digest_weights(file: Path, *, wrapper: str | None = None) -> tuple[FileDigest, list[TensorDigest]]:
    """Digest a legacy, zip or safetensors file as a whole, and every tensor of it, from the same bytes.

    Args:
        wrapper: Of a pickle with several state dicts, the keys to the one that is meant, dots between.

    Raises:
        FileProblem: The file cannot be read, or changed meanwhile.
        CheckpointError: The file is not sound.
    """
    with open_source(file) as source:
        if is_safetensors(source):  # one reading: its tensors follow one another, and nothing else follows
            head, whole = read_head(source), Digester()
            whole.update(head)
            manifest = require_sound(source, read_safetensors(source, head))
            tensors = [_digest_tensor(source, tensor, whole) for tensor in manifest.tensors]
            return whole.digest(), tensors
    with opened_weights(file, wrapper=wrapper) as (copy, digest, manifest):
        return digest, [_digest_tensor(copy, tensor) for tensor in manifest.tensors]


def _digest_tensor(source: ByteSource, tensor: SourceTensor, whole: Digester | None = None) -> TensorDigest:
    sha256 = hashlib.sha256()
    for chunk in tensor_chunks(source, tensor):
        sha256.update(chunk)
        if whole is not None:
            whole.update(chunk)
    return TensorDigest(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, sha256=sha256.hexdigest())
