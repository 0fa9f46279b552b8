"""List the tensors of a file and where each one's bytes lie."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.dtypes import DTYPES

MAX_TENSORS = 10_000
MAX_DIMENSIONS = 64  # torch's own limit
MAX_NAME = 1024
HEAD_BYTES = 512  # in which a file that is not of weights shows itself
METADATA_KEY = "__metadata__"  # what a safetensors header calls what is no tensor
_NAME = re.compile(rf"(?!{METADATA_KEY}\Z)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_NAME}}}")
TORCH_SCRIPT = (
    "is a TorchScript archive: a program, not plain weights. "
    "In the program that made it, save the state dict alone: torch.save(model.state_dict(), file)"
)
_STRANGERS = (
    (b"\x1f\x8b", "is a gzip file: unpack it first"),
    (b"version https://git-lfs", "is a git-lfs pointer, not the file: fetch it with git lfs pull"),
    (b"PYTORCH1", TORCH_SCRIPT),  # of torch 1.0
    (b"<", "is a web page or XML, not weights: it was probably fetched from a wrong address"),
    (b"\x80", "is a pickle, but not one of torch's containers: save it with torch.save"),
)


@dataclass(frozen=True, kw_only=True)
class StoredBytes:
    """A run of bytes in a file: one storage of a checkpoint, or the data of a safetensors file."""

    name: str
    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, kw_only=True)
class SourceTensor:
    """A tensor as a file holds it.

    Attributes:
        name: As the file says it, a common prefix such as `module.` taken off.
        stride: In items, as torch has it.
        offset_bytes: Of the first item, from the start of the record.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    record: StoredBytes
    offset_bytes: int

    @property
    def count(self) -> int:
        """The number of items of the tensor."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """The number of bytes that the items take, side by side."""
        return self.count * DTYPES[self.dtype].item_bytes

    @property
    def is_contiguous(self) -> bool:
        """Whether the items lie side by side in C order."""
        steps = zip(self.shape, self.stride, dense_stride(self.shape), strict=True)
        return self.count == 0 or all(size == 1 or step == dense for size, step, dense in steps)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The tensors of a file, in its own order.

    Attributes:
        format: `legacy`, `zip` or `safetensors`.
        wrapper: The key of the outer dict that the tensors were under, if any.
        prefix: What was taken off every name, such as `module.`.
        left_out: What else a pickle holds, each with its kind.
    """

    format: str
    wrapper: str | None
    prefix: str
    metadata: Mapping[str, str]
    tensors: tuple[SourceTensor, ...]
    left_out: tuple[str, ...] = ()


def dense_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the stride of a tensor whose items lie side by side in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def require_sound(source: ByteSource, manifest: Manifest) -> Manifest:
    """Refuse tensors that reach out of their record, are absurd, or have odd names.

    A tensor may repeat stored items along an axis or share them with another, as torch allows, but the whole
    may not be more than four times the file and 64 MiB.

    Raises:
        CheckpointError: Names the tensor and the rule.
    """
    if not manifest.tensors:
        raise source.refuse("holds no tensor")
    if len(manifest.tensors) > MAX_TENSORS:
        raise source.refuse(f"holds {len(manifest.tensors)} tensors; more than {MAX_TENSORS} are not read")
    names: set[str] = set()
    for tensor in manifest.tensors:
        if not _NAME.fullmatch(tensor.name):
            raise source.refuse(
                f"the tensor name {tensor.name[:80]!a} is {METADATA_KEY}, or not 1 to {MAX_NAME} characters "
                "without control characters: no safetensors file can hold it"
            )
        if tensor.name in names:
            raise source.refuse(f"holds two tensors named {tensor.name[:80]!a}")
        names.add(tensor.name)
        if problem := _place_problem(source, tensor):
            raise source.refuse(f"tensor {tensor.name[:80]}: {problem}")
    total = sum(tensor.size_bytes for tensor in manifest.tensors)
    if total > 4 * source.size_bytes + (64 << 20):
        raise source.refuse(f"its tensors would take {total} bytes, far more than the file has")
    return manifest


def _place_problem(source: ByteSource, tensor: SourceTensor) -> str | None:
    record, item_bytes = tensor.record, DTYPES[tensor.dtype].item_bytes
    if len(tensor.shape) > MAX_DIMENSIONS or len(tensor.shape) != len(tensor.stride):
        return f"shape {list(tensor.shape)[:9]} and stride {list(tensor.stride)[:9]} do not belong together"
    if any(not 0 <= number < 1 << 48 for number in (*tensor.shape, *tensor.stride, tensor.offset_bytes)):
        return "a size, stride or offset is negative or absurd"
    if not 0 <= record.offset_bytes <= record.offset_bytes + record.length_bytes <= source.size_bytes:
        return f"its record {record.name} does not lie in the file"
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True))
    end_bytes = tensor.offset_bytes + (last + 1) * item_bytes
    # An empty tensor needs no bytes, so torch lets it begin anywhere.
    if tensor.count and end_bytes > record.length_bytes:
        return f"needs {end_bytes} bytes of record {record.name}, which has {record.length_bytes}"
    if tensor.count and _overlaps(tensor):
        return f"its stride {list(tensor.stride)} lets items overlap; save it with .contiguous()"
    return None


def _overlaps(tensor: SourceTensor) -> bool:
    """Return whether two items share bytes, other than by repetition along an axis, as `expand` makes it."""
    reach = 0
    for step, size in sorted(zip(tensor.stride, tensor.shape, strict=True)):
        if size > 1 and step:
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False


def find_stranger(head: bytes) -> str | None:
    """Return what a file is that is not of weights, by its first bytes, and what to do; None if unknown."""
    if not head:
        return "is empty"
    if head[257:262] == b"ustar":
        return "is a tar archive, torch's oldest format, which is not read: load and save it with torch once"
    return next((problem for start, problem in _STRANGERS if head.startswith(start)), None)
