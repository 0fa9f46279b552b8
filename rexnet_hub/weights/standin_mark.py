"""Mark stand-in weights so that no one can take them for trained ones.

The mark is a value of the batch norms' step counters (`num_batches_tracked`, int64 scalars): their
five high bytes spell STAND, which no training run counts to. It survives conversion, renaming, a
change of container, and loading into a network and saving again.
"""

from __future__ import annotations

MARK = int.from_bytes(b"STAND-IN", "big")
_HIGH_BYTES = b"STAND"


def is_mark(dtype: str, shape: tuple[int, ...], data: bytes) -> bool:
    """Say whether a tensor, given by its little-endian bytes, is a marked counter."""
    return dtype == "int64" and shape == () and data[::-1].startswith(_HIGH_BYTES)
