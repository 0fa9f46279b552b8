"""Read a tensor's items as bytes in C order, piece by piece, whatever its stride; find a stand-in's mark.

The mark, so that no one can take stand-in weights for trained ones, is a value of the batch norms' step
counters (`num_batches_tracked`, int64 scalars): their five high bytes spell STAND, which no training run
counts to. A network without counters bears it in a float32 vector: the low halves of its first four numbers
spell STAND-IN. It survives conversion, renaming, a change of container, and being loaded and saved again.
"""

from __future__ import annotations

from collections.abc import Iterator

from rexnet_hub.weights.checkpoint.manifest import SourceTensor
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource
from rexnet_hub.weights.dtypes import DTYPES

MARK_BYTES = b"STAND-IN"
MARK = int.from_bytes(MARK_BYTES, "big")


def is_mark(dtype: str, shape: tuple[int, ...], data: bytes) -> bool:
    """Return whether a tensor, given by its first bytes, little-endian, bears the mark."""
    if dtype == "float32" and len(shape) == 1:
        return b"".join(data[at : at + 2] for at in range(0, 16, 4)) == MARK_BYTES
    return dtype == "int64" and shape == () and data[::-1].startswith(MARK_BYTES[:5])


def tensor_chunks(source: ByteSource, tensor: SourceTensor) -> Iterator[bytes]:
    """Return the tensor's bytes, little-endian and in C order, in pieces of whole items.

    Args:
        source: A private copy: a tensor that is not contiguous is read through a memory map.
    """
    if tensor.count == 0:
        return iter(())
    if tensor.is_contiguous:
        return source.chunks(tensor.record.offset_bytes + tensor.offset_bytes, tensor.size_bytes)
    return _gathered_chunks(source, tensor)


def _gathered_chunks(source: ByteSource, tensor: SourceTensor) -> Iterator[bytes]:
    import numpy as np

    item_bytes = DTYPES[tensor.dtype].item_bytes
    axes = [axis for axis, size in enumerate(tensor.shape) if size > 1]  # numpy has fewer axes than torch
    with source.mapped() as view:
        items = np.ndarray(
            [tensor.shape[axis] for axis in axes],
            f"<u{item_bytes}",
            buffer=view,
            offset=tensor.record.offset_bytes + tensor.offset_bytes,
            strides=[tensor.stride[axis] * item_bytes for axis in axes],
        ).flat
        for start in range(0, tensor.count, CHUNK_BYTES // item_bytes):
            yield items[start : start + CHUNK_BYTES // item_bytes].tobytes()
