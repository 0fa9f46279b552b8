"""Table the kinds of number a tensor can hold, each in all the spellings that files use."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtype:
    """One kind of number.

    Attributes:
        name: As torch says it without its prefix, such as `float32`.
        code: As a safetensors header says it, such as `F32`.
        storage: The class name in a torch pickle, such as `FloatStorage`; None where torch has none.
        rank: The place in the canonical order of a safetensors file; higher comes first.
        view: The letter of an unsigned integer as wide as one item, for `memoryview.cast`.
        suspects: Top bytes that a NaN or an infinity may have; empty where every value is finite.
    """

    name: str
    code: str
    item_bytes: int
    storage: str | None
    rank: int
    view: Literal["B", "H", "I", "Q"]
    suspects: bytes = b""


def _dtypes() -> Mapping[str, Dtype]:
    # The ranks follow the order of `Dtype` in safetensors 0.8: descending rank, then name.
    half_suspects = bytes(b for b in range(256) if b & 0x7C == 0x7C)
    rows: tuple[tuple[str, str, int, str | None, int, Literal["B", "H", "I", "Q"], bytes], ...] = (
        ("bool", "BOOL", 1, "BoolStorage", 0, "B", b""),
        ("uint8", "U8", 1, "ByteStorage", 1, "B", b""),
        ("int8", "I8", 1, "CharStorage", 2, "B", b""),
        ("int16", "I16", 2, "ShortStorage", 3, "H", b""),
        ("uint16", "U16", 2, None, 4, "H", b""),
        ("float16", "F16", 2, "HalfStorage", 5, "H", half_suspects),
        ("bfloat16", "BF16", 2, "BFloat16Storage", 6, "H", b"\x7f\xff"),
        ("int32", "I32", 4, "IntStorage", 7, "I", b""),
        ("uint32", "U32", 4, None, 8, "I", b""),
        ("float32", "F32", 4, "FloatStorage", 9, "I", b"\x7f\xff"),
        ("float64", "F64", 8, "DoubleStorage", 10, "Q", b"\x7f\xff"),
        ("int64", "I64", 8, "LongStorage", 11, "Q", b""),
        ("uint64", "U64", 8, None, 12, "Q", b""),
    )
    return {
        name: Dtype(
            name=name, code=code, item_bytes=size, storage=storage, rank=rank, view=view, suspects=suspects
        )
        for name, code, size, storage, rank, view, suspects in rows
    }


DTYPES: Mapping[str, Dtype] = _dtypes()
BY_CODE: Mapping[str, Dtype] = {dtype.code: dtype for dtype in DTYPES.values()}
BY_STORAGE: Mapping[str, Dtype] = {dtype.storage: dtype for dtype in DTYPES.values() if dtype.storage}


def count_strange(dtype: Dtype, data: bytes) -> int:
    """Count the items that are not proper values: NaN, infinity, a bool that is neither 0 nor 1.

    Looks at the top byte of each item first, which clears almost every chunk of real weights at once.
    """
    if dtype.name == "bool":
        return len(data.translate(None, b"\x00\x01"))
    top_bytes = data[dtype.item_bytes - 1 :: dtype.item_bytes]
    if not any(suspect in top_bytes for suspect in dtype.suspects):
        return 0
    # All exponent bits set is what makes a NaN or an infinity (IEEE 754; bfloat16 is the top of a float32).
    mask = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF << 52}[dtype.name]
    items = struct.unpack(f"<{len(top_bytes)}{dtype.view}", data)
    return sum(item & mask == mask for item in items)


def widen_to_float32(dtype: Dtype, data: bytes) -> bytes:
    """Return the same numbers as float32: exact for the halves, rounded to nearest for float64."""
    if dtype.name == "float32":
        return data
    if dtype.name == "bfloat16":
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return bytes(wide)
    letter = {"float16": "e", "float64": "d"}[dtype.name]
    values = struct.unpack(f"<{len(data) // dtype.item_bytes}{letter}", data)
    # An array stores a C cast: a double out of range becomes an infinity, which the finite check finds.
    narrow = array("f", values)
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        narrow.byteswap()
    return narrow.tobytes()
