"""Read a tensor's items as bytes in C order, piece by piece, whatever its stride."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rexnet_hub.weights.checkpoint.manifest import SourceTensor
from rexnet_hub.weights.digest import CHUNK_BYTES, ByteSource
from rexnet_hub.weights.dtypes import DTYPES


def tensor_chunks(source: ByteSource, tensor: SourceTensor) -> Iterator[bytes]:
    """Return the tensor's bytes, little-endian and in C order, in pieces of whole items.

    Args:
        source: A private copy: a tensor that is not contiguous is read through a memory map.
        tensor: As a sound manifest lists it.
    """
    if tensor.count == 0:
        return iter(())
    if tensor.is_contiguous:
        return source.chunks(tensor.record.offset_bytes + tensor.offset_bytes, tensor.size_bytes)
    return _gathered_chunks(source, tensor)


def _gathered_chunks(source: ByteSource, tensor: SourceTensor) -> Iterator[bytes]:
    piece = bytearray()
    with source.mapped() as view:
        start = tensor.record.offset_bytes + tensor.offset_bytes
        for row in _rows(view[start : tensor.record.offset_bytes + tensor.record.length_bytes], tensor):
            piece += row
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


def _rows(view: memoryview, tensor: SourceTensor) -> Iterator[bytes]:
    """Read the last axis of the tensor at each place of the other axes, in pieces of a bounded size."""
    dtype = DTYPES[tensor.dtype]
    with view[: len(view) // dtype.item_bytes * dtype.item_bytes] as whole, whole.cast(dtype.view) as items:
        *outer_strides, step = tensor.stride
        longest = CHUNK_BYTES // dtype.item_bytes
        for place in itertools.product(*(range(size) for size in tensor.shape[:-1])):
            first = sum(index * stride for index, stride in zip(place, outer_strides, strict=True))
            for done in range(0, tensor.shape[-1], longest):
                count = min(longest, tensor.shape[-1] - done)
                if step == 0:
                    yield items[first : first + 1].tobytes() * count
                else:
                    begin = first + done * step
                    yield items[begin : begin + (count - 1) * step + 1 : step].tobytes()
    view.release()
