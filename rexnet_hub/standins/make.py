"""Make stand-in checkpoints: the exact names, shapes and byte size of a released file, seeded values."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import UsageError
from rexnet_hub.layout import WEIGHTS_FILE
from rexnet_hub.nets.state_dict import TensorTable
from rexnet_hub.standins.legacy_writer import render_count, render_preamble, specs_of
from rexnet_hub.weights.checkpoint.container import is_safetensors
from rexnet_hub.weights.checkpoint.manifest import Manifest, require_sound
from rexnet_hub.weights.checkpoint.sandbox import list_in_child
from rexnet_hub.weights.digest import ByteSource, open_source, private_copy
from rexnet_hub.weights.safetensors_file import TensorSpec, read_safetensors
from rexnet_hub.weights.tensor_bytes import MARK, MARK_BYTES, is_mark, tensor_chunks
from rexnet_hub.whole_files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SMALL_RMS = 0.05


def write_standin(folder: Path, *, tensors: TensorTable, seed: int, stem: str) -> Path:
    """Write a stand-in for a released checkpoint, in torch's legacy container.

    The values make a healthy network (weights scaled by fan-in, norms near the identity) and carry
    the mark that `is_standin` finds. The same arguments give the same file.

    Args:
        folder: Where to write; it must exist.
        tensors: In the order of the file; float32 and int64 only, with at least one `num_batches_tracked`
            or float32 vector to bear the mark.
        stem: What the file's name begins with; the first eight digits of its own SHA-256 follow.

    Raises:
        UsageError: The tensors are of other dtypes, or none can bear the mark.
    """
    import numpy as np

    specs = specs_of(tensors)
    if _bearer(specs) is None or {s.dtype for s in specs} - {"float32", "int64"}:
        raise UsageError("a stand-in needs float32 and int64 tensors, and a counter or a vector for its mark")
    data = b"".join(_file_chunks(specs, np.random.default_rng(seed)))
    file = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    write_whole(file, data)
    return file


def is_standin(path: Path, *, wrapper: str | None = None) -> bool:
    """Return whether a checkpoint, a safetensors file or a repo folder holds stand-in weights.

    Args:
        wrapper: The state dict that is meant, where a checkpoint has several.

    Raises:
        FileProblem: There is no such file.
        CheckpointError: The file is not sound, so nothing can be decided.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    with open_source(file) as source:
        if is_safetensors(source):
            return _has_mark(source, require_sound(source, read_safetensors(source)))
    with private_copy(file) as (copy, _):
        return _has_mark(copy, list_in_child(copy, wrapper=wrapper))


def _has_mark(source: ByteSource, manifest: Manifest) -> bool:
    small = (tensor for tensor in manifest.tensors if len(tensor.shape) < 2)
    return any(is_mark(t.dtype, t.shape, next(tensor_chunks(source, t), b"")) for t in small)


def _file_chunks(specs: list[TensorSpec], generator: np.random.Generator) -> Iterator[bytes]:
    yield render_preamble(specs)
    bearer = _bearer(specs)
    for spec in specs:
        yield render_count(spec)
        if spec.dtype == "int64":
            yield struct.pack("<q", MARK) * (spec.size_bytes // 8)
            continue
        numbers = _draw(spec, generator).astype("<f4")
        if spec is bearer:
            numbers.view("<u2")[:8:2] = struct.unpack("<4H", MARK_BYTES)
        yield numbers.tobytes()


def _bearer(specs: list[TensorSpec]) -> TensorSpec | None:
    """Find the tensor that bears the mark: a counter, else the first vector that is long enough."""
    scalars = (spec for spec in specs if (spec.dtype, spec.shape) == ("int64", ()))
    vectors = (spec for spec in specs if spec.dtype == "float32" and len(spec.shape) == 1)
    counter = next((spec for spec in scalars if spec.name.endswith("num_batches_tracked")), None)
    return counter or next((spec for spec in vectors if spec.shape[0] >= 4), None)


def _draw(spec: TensorSpec, generator: np.random.Generator) -> NDArray[np.floating]:
    """Draw numbers that suit the tensor: a norm's in 1 to 1.125, else around zero."""
    part = spec.name.rpartition(".")[2]
    drawn = generator.random(math.prod(spec.shape), "float32")  # in [0, 1)
    if part == "running_var" or (part == "weight" and len(spec.shape) == 1):
        return drawn / 8 + 1
    # Keeps the size of a signal through a convolution and the gates after it (He et al. 2015).
    rms = math.sqrt(2 / math.prod(spec.shape[1:])) if len(spec.shape) > 1 else _SMALL_RMS
    return (drawn * 2 - 1) * (math.sqrt(3) * rms)
