"""Read a tensor's items as bytes in C order, piece by piece, whatever its stride; find a stand-in's mark.

The mark, so that no one can take stand-in weights for trained ones, is a value of the batch norms' step
counters (`num_batches_tracked`, int64 scalars): their five high bytes spell STAND, which no training run
counts to. It survives conversion, renaming, a change of container, and being loaded and saved again.
"""

from __future__ import annotations

from collections.abc import Iterator

from rexnet_hub.weights.checkpoint.manifest import SourceTensor
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource
from rexnet_hub.weights.dtypes import DTYPES

MARK = int.from_bytes(b"STAND-IN", "big")


def is_mark(dtype: str, shape: tuple[int, ...], data: bytes) -> bool:
    """Return whether a tensor, given by its little-endian bytes, is a marked counter."""
    return dtype == "int64" and shape == () and data[::-1].startswith(b"STAND")


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
