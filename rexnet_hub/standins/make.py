"""Make stand-in checkpoints: the exact names, shapes and byte size of a released file, seeded values."""

from __future__ import annotations

import hashlib
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from rexnet_hub.errors import UsageError
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.nets.state_dict import TensorTable
from rexnet_hub.standins.legacy_writer import render_count, render_preamble, specs_of
from rexnet_hub.weights.checkpoint.container import is_safetensors
from rexnet_hub.weights.checkpoint.manifest import Manifest, require_sound
from rexnet_hub.weights.checkpoint.sandbox import list_in_child
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource, open_source, private_copy
from rexnet_hub.weights.safetensors_file import TensorSpec, read_safetensors
from rexnet_hub.weights.tensor_bytes import MARK, is_mark, tensor_chunks
from rexnet_hub.whole_files import write_whole

# Root mean square of a number that is uniform in [1, 2).
_RMS_OF_MANTISSA = math.sqrt(7 / 3)
_SMALL_RMS = 0.05


def write_standin(folder: Path, *, tensors: TensorTable, seed: int, stem: str) -> Path:
    """Write a stand-in for a released checkpoint, in torch's legacy container.

    The values make a healthy network (weights scaled by fan-in, norms near the identity) and carry
    the mark that `is_standin` finds. The same arguments give the same file.

    Args:
        folder: Where to write; it must exist.
        tensors: Name to dtype and shape, in the order of the file; float32 and int64 only, with at
            least one `num_batches_tracked` to bear the mark.
        seed: Of the values.
        stem: What the file's name begins with; the first eight digits of its own SHA-256 follow.

    Raises:
        FileProblem: The file cannot be written.
        UsageError: The tensors cannot be those of a network with batch norms.
    """
    specs = specs_of(tensors)
    if not any(_is_counter(spec) for spec in specs) or {s.dtype for s in specs} - {"float32", "int64"}:
        problem = "a stand-in needs float32 and int64 tensors and a num_batches_tracked to bear its mark"
        raise UsageError(problem)
    data = b"".join(_file_chunks(specs, random.Random(seed)))
    file = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    write_whole(file, data)
    return file


def is_standin(path: Path) -> bool:
    """Return whether a checkpoint, a safetensors file or a repo folder holds stand-in weights.

    Raises:
        FileProblem: There is no such file.
        CheckpointError: The file is not sound, so nothing can be decided.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    with open_source(file) as source:
        if is_safetensors(source):
            return _has_mark(source, require_sound(source, read_safetensors(source)))
    with private_copy(file) as (copy, _):
        return _has_mark(copy, list_in_child(copy))


def _has_mark(source: ByteSource, manifest: Manifest) -> bool:
    scalars = (tensor for tensor in manifest.tensors if not tensor.shape)
    return any(is_mark(t.dtype, t.shape, b"".join(tensor_chunks(source, t))) for t in scalars)


def _is_counter(spec: TensorSpec) -> bool:
    return spec.name.endswith("num_batches_tracked") and spec.dtype == "int64" and spec.shape == ()


def _file_chunks(specs: list[TensorSpec], generator: random.Random) -> Iterator[bytes]:
    yield render_preamble(specs)
    norms = {spec.name.removesuffix("num_batches_tracked") for spec in specs if _is_counter(spec)}
    for spec in specs:
        yield render_count(spec)
        if spec.dtype == "int64":
            yield struct.pack("<q", MARK) * (spec.size_bytes // 8)
            continue
        for start in range(0, spec.size_bytes, CHUNK_BYTES):
            yield _values(spec, norms, generator.randbytes(min(CHUNK_BYTES, spec.size_bytes - start)))


def _values(spec: TensorSpec, norms: set[str], noise: bytes) -> bytes:
    """Convert noise into numbers that suit the tensor."""
    owner, _, part = spec.name.rpartition(".")
    if part == "running_var" or (part == "weight" and f"{owner}." in norms):
        return _near_one(noise)
    if len(spec.shape) > 1:
        # Keeps the size of a signal through a convolution and the gates after it (He et al. 2015).
        return _around_zero(noise, math.sqrt(2 / math.prod(spec.shape[1:])))
    return _around_zero(noise, _SMALL_RMS)


def _near_one(noise: bytes) -> bytes:
    """Return float32 in [1, 1.125): the exponent of 1, the four highest mantissa bits 0."""
    data = bytearray(noise)
    data[3::4] = b"\x3f" * (len(noise) // 4)
    data[2::4] = noise[2::4].translate(bytes(0x80 | byte & 0x07 for byte in range(256)))
    return bytes(data)


def _around_zero(noise: bytes, rms: float) -> bytes:
    """Return float32 of either sign with this root mean square.

    Sign and mantissa are noise. The exponent is one of two, four-fold apart, so often the larger
    that the mean square comes out right.
    """
    exponent = math.floor(math.log2(rms / _RMS_OF_MANTISSA))
    ratio = rms / (_RMS_OF_MANTISSA * 2.0**exponent)  # in [1, 2)
    larger = round(128 * (ratio**2 - 1) / 15)
    field = exponent + 127
    top = bytes(byte & 0x80 | (field >> 1) + (byte & 0x7F < larger) for byte in range(256))
    next_byte = bytes((field & 1) << 7 | byte & 0x7F for byte in range(256))
    data = bytearray(noise)
    data[3::4] = noise[3::4].translate(top)
    data[2::4] = noise[2::4].translate(next_byte)
    return bytes(data)
