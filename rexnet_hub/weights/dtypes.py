"""List the kinds of number a tensor can hold, each in all the spellings that files use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Dtype(NamedTuple):
    """One kind of number.

    Attributes:
        name: As torch says it without its prefix, such as `float32`.
        code: As a safetensors header says it, such as `F32`.
        storage: The class name in a torch pickle, such as `FloatStorage`; None where torch has none.
        rank: The place in the canonical order of a safetensors file; higher comes first.
        exponent: The bits that are all set in a NaN and in an infinity; 0 where every value is finite.
    """

    name: str
    code: str
    item_bytes: int
    storage: str | None
    rank: int
    exponent: int = 0


# The ranks follow the order of `Dtype` in safetensors 0.8: descending rank, then name.
_DTYPES = (
    Dtype("bool", "BOOL", 1, "BoolStorage", 0),
    Dtype("uint8", "U8", 1, "ByteStorage", 1),
    Dtype("int8", "I8", 1, "CharStorage", 2),
    Dtype("int16", "I16", 2, "ShortStorage", 3),
    Dtype("uint16", "U16", 2, None, 4),
    Dtype("float16", "F16", 2, "HalfStorage", 5, 0x7C00),
    Dtype("bfloat16", "BF16", 2, "BFloat16Storage", 6, 0x7F80),  # the top of a float32
    Dtype("int32", "I32", 4, "IntStorage", 7),
    Dtype("uint32", "U32", 4, None, 8),
    Dtype("float32", "F32", 4, "FloatStorage", 9, 0x7F800000),
    Dtype("float64", "F64", 8, "DoubleStorage", 10, 0x7FF << 52),
    Dtype("int64", "I64", 8, "LongStorage", 11),
    Dtype("uint64", "U64", 8, None, 12),
)
DTYPES: Mapping[str, Dtype] = {dtype.name: dtype for dtype in _DTYPES}
BY_CODE: Mapping[str, Dtype] = {dtype.code: dtype for dtype in _DTYPES}
BY_STORAGE: Mapping[str, Dtype] = {dtype.storage: dtype for dtype in _DTYPES if dtype.storage}


def count_strange(dtype: Dtype, data: bytes) -> int:
    """Count the items that are not proper values: NaN, infinity, a bool that is neither 0 nor 1."""
    if dtype.name == "bool":
        return len(data.translate(None, b"\x00\x01"))
    # The top byte of each item clears almost every chunk of real weights, without numpy.
    mask = dtype.exponent >> 8 * (dtype.item_bytes - 1)
    top_bytes = data[dtype.item_bytes - 1 :: dtype.item_bytes]
    if not mask or not any(byte in top_bytes for byte in range(256) if byte & mask == mask):
        return 0
    import numpy as np

    items = np.frombuffer(data, f"<u{dtype.item_bytes}")
    return int(np.count_nonzero(items & dtype.exponent == dtype.exponent))


def widen_to_float32(dtype: Dtype, data: bytes) -> bytes:
    """Return the same numbers as float32: exact for the halves, rounded to nearest for float64."""
    import numpy as np

    if dtype.name == "bfloat16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    with np.errstate(over="ignore"):  # out of range is an infinity, which `count_strange` finds
        return np.frombuffer(data, f"<f{dtype.item_bytes}").astype("<f4").tobytes()
