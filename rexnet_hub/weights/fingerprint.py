"""Return whether two files hold the same weights, whatever their container, order or names.

The fingerprint of a set of tensors: one line for each tensor, `DTYPE SHAPE SHA256`, where DTYPE is
as torch says it (`float32`), SHAPE lists the sizes other than 1 joined by `x` (so a 1x1
convolution and the matrix of the same numbers agree; a scalar has none) and SHA256 is the digest of
the items, little-endian, in C order. The lines are sorted, each ended by a newline, after a first
line `rexnet_hub weights 1`; the SHA-256 of that text is the fingerprint.

It says nothing on which tensor has which name; `same_weights` also compares by name where the names
are the same.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.weights.checkpoint.manifest import SourceTensor
from rexnet_hub.weights.checkpoint.sandbox import opened_weights
from rexnet_hub.weights.digest import ByteSource, FileDigest
from rexnet_hub.weights.tensor_bytes import tensor_chunks

FIRST_LINE = "rexnet_hub weights 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDigest:
    """What one tensor holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def line(self) -> str:
        """The tensor without its name, as the fingerprint sees it."""
        return fingerprint_line(self.dtype, self.shape, self.sha256)


def fingerprint_line(dtype: str, shape: tuple[int, ...], sha256: str) -> str:
    """Write the line of one tensor."""
    return f"{dtype} {_sizes(shape)} {sha256}"


@functools.lru_cache(maxsize=1024)  # a network has few shapes
def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape if size != 1)


def fingerprint_of(tensors: Iterable[TensorDigest]) -> str:
    """Digest a set of tensors without regard to names and order."""
    return fingerprint_of_lines(tensor.line for tensor in tensors)


def fingerprint_of_lines(tensor_lines: Iterable[str]) -> str:
    """Digest the lines of a set of tensors."""
    lines = [FIRST_LINE, *sorted(tensor_lines)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def digest_weights(file: Path) -> tuple[FileDigest, list[TensorDigest]]:
    """Digest a legacy, zip or safetensors file as a whole, and every tensor of it, from the same bytes.

    Raises:
        FileProblem: The file cannot be read, or changed meanwhile.
        CheckpointError: The file is not sound.
    """
    with opened_weights(file) as (source, digest, manifest):
        tensors = [_digest_tensor(source, tensor) for tensor in manifest.tensors]
        return digest, tensors


def _digest_tensor(source: ByteSource, tensor: SourceTensor) -> TensorDigest:
    sha256 = hashlib.sha256()
    for chunk in tensor_chunks(source, tensor):
        sha256.update(chunk)
    return TensorDigest(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, sha256=sha256.hexdigest())


def fingerprint(file: Path) -> str:
    """Fingerprint the weights of a legacy, zip or safetensors file."""
    return fingerprint_of(digest_weights(file)[1])


def same_weights(one: Path, other: Path) -> bool:
    """Return whether two files hold the same weights.

    Where both have the same names, each name must hold the same; else the sets must be the same.
    """
    (_, first), (_, second) = digest_weights(one), digest_weights(other)
    by_name, others_by_name = ({tensor.name: tensor.line for tensor in side} for side in (first, second))
    if by_name.keys() == others_by_name.keys():
        return by_name == others_by_name
    return fingerprint_of(first) == fingerprint_of(second)
