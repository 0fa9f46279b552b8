"""List the kinds of number a tensor can hold, each in all the spellings that files use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Dtype(NamedTuple):
    """One kind of number.

    Attributes:
        name: As torch says it without its prefix, such as `float32`.
        code: As a safetensors header says it, such as `F32`.
        storage: The class name in a torch pickle, such as `FloatStorage`; None where torch stores bare bytes.
        rank: The place in the canonical order of a safetensors file; higher comes first.
        exponent: The bits that are all set in a NaN and in an infinity; 0 where every value is finite.
        strange: Of a dtype of one byte: the bytes that are NaN, infinity or no value at all.
        parts: The numbers in one item: a complex one has two.
    """

    name: str
    code: str
    item_bytes: int
    storage: str | None
    rank: int
    exponent: int = 0
    strange: bytes = b""
    parts: int = 1

    @property
    def is_float(self) -> bool:
        """Whether it holds real floating-point numbers."""
        return "float" in self.name


# The ranks follow the order of `Dtype` in safetensors 0.8: descending rank, then name.
_DTYPES = (
    Dtype("bool", "BOOL", 1, "BoolStorage", 0, strange=bytes(range(2, 256))),
    Dtype("uint8", "U8", 1, "ByteStorage", 1),
    Dtype("int8", "I8", 1, "CharStorage", 2),
    Dtype("float8_e5m2", "F8_E5M2", 1, None, 3, strange=bytes([*range(0x7C, 0x80), *range(0xFC, 0x100)])),
    Dtype("float8_e4m3fn", "F8_E4M3", 1, None, 4, strange=b"\x7f\xff"),  # no infinity
    # Powers of two: no sign, no 0, no infinity.
    Dtype("float8_e8m0fnu", "F8_E8M0", 1, None, 5, strange=b"\xff"),
    Dtype("float8_e4m3fnuz", "F8_E4M3FNUZ", 1, None, 6, strange=b"\x80"),  # no infinity, no -0
    Dtype("float8_e5m2fnuz", "F8_E5M2FNUZ", 1, None, 7, strange=b"\x80"),
    Dtype("int16", "I16", 2, "ShortStorage", 8),
    Dtype("uint16", "U16", 2, None, 9),
    Dtype("float16", "F16", 2, "HalfStorage", 10, 0x7C00),
    Dtype("bfloat16", "BF16", 2, "BFloat16Storage", 11, 0x7F80),  # the top of a float32
    Dtype("int32", "I32", 4, "IntStorage", 12),
    Dtype("uint32", "U32", 4, None, 13),
    Dtype("float32", "F32", 4, "FloatStorage", 14, 0x7F800000),
    Dtype("complex64", "C64", 8, "ComplexFloatStorage", 15, 0x7F800000, parts=2),
    Dtype("float64", "F64", 8, "DoubleStorage", 16, 0x7FF << 52),
    Dtype("int64", "I64", 8, "LongStorage", 17),
    Dtype("uint64", "U64", 8, None, 18),
)
DTYPES: Mapping[str, Dtype] = {dtype.name: dtype for dtype in _DTYPES}
BY_CODE: Mapping[str, Dtype] = {dtype.code: dtype for dtype in _DTYPES}
BY_STORAGE: Mapping[str, Dtype] = {dtype.storage: dtype for dtype in _DTYPES if dtype.storage}


def count_strange(dtype: Dtype, data: bytes) -> int:
    """Count the items that are not proper values: NaN, infinity, a bool that is neither 0 nor 1."""
    if dtype.item_bytes == 1:
        return len(data) - len(data.translate(None, dtype.strange))
    # The top byte of each number clears almost every chunk of real weights, without numpy.
    width = dtype.item_bytes // dtype.parts
    mask = dtype.exponent >> 8 * (width - 1)
    top_bytes = data[width - 1 :: width]
    if not mask or not any(byte in top_bytes for byte in range(256) if byte & mask == mask):
        return 0
    import numpy as np

    numbers = np.frombuffer(data, f"<u{width}").reshape(-1, dtype.parts)
    return int(np.count_nonzero((numbers & dtype.exponent == dtype.exponent).any(axis=1)))


def count_negative(dtype: Dtype, data: bytes) -> int:
    """Count the floating-point numbers below zero; -0 and NaN are not."""
    signs = data[dtype.item_bytes - 1 :: dtype.item_bytes]
    if not dtype.is_float or not signs.translate(None, bytes(range(0x80))):
        return 0
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(widen_to_float32(dtype, data), "<f4") < 0))


def widen_to_float32(dtype: Dtype, data: bytes) -> bytes:
    """Return the same numbers as float32: exact for the narrower kinds, rounded to nearest for float64."""
    import numpy as np

    if dtype.name == "bfloat16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    if dtype.item_bytes == 1:
        return _float8_values(dtype).take(np.frombuffer(data, "u1")).tobytes()
    with np.errstate(over="ignore"):  # out of range is an infinity, which `count_strange` finds
        return np.frombuffer(data, f"<f{dtype.item_bytes}").astype("<f4").tobytes()


@functools.lru_cache
def _float8_values(dtype: Dtype) -> NDArray[np.float32]:
    """Compute the number of each byte: `e4m3` is 4 bits of exponent, 3 of mantissa; `uz` has 1 more bias."""
    import numpy as np

    if dtype.name == "float8_e8m0fnu":
        return np.append(2.0 ** np.arange(-127, 128), np.nan).astype(np.float32)
    mantissa_bits = int(dtype.name[dtype.name.index("m") + 1])
    bias = (1 << 6 - mantissa_bits) - (not dtype.name.endswith("uz"))
    byte = np.arange(256)
    exponent, mantissa = (byte & 0x7F) >> mantissa_bits, byte & (1 << mantissa_bits) - 1
    size = (mantissa / (1 << mantissa_bits) + (exponent > 0)) * 2.0 ** (np.maximum(exponent, 1) - bias)
    values: NDArray[np.float64] = np.where(byte & 0x80, -size, size)
    values[list(dtype.strange)] = np.nan
    if dtype.name == "float8_e5m2":
        values[[0x7C, 0xFC]] = np.inf, -np.inf
    return values.astype(np.float32)
