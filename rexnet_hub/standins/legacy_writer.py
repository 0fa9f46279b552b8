"""Write torch's legacy container without torch: a flat OrderedDict of dense tensors.

The opcodes are those that `torch.save(..., _use_new_zipfile_serialization=False)` writes, memo
entries and all, so the file has exactly the size of torch's. Only the storages' keys differ from
run to run there (they are addresses, of fourteen digits on 64-bit Linux); here they count up.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rexnet_hub.weights.checkpoint.legacy import MAGIC_NUMBER, PROTOCOL_VERSION
from rexnet_hub.weights.checkpoint.manifest import dense_stride
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.safetensors_file import TensorSpec

_FIRST_KEY = 94_000_000_000_000
_MACHINE = {
    "protocol_version": PROTOCOL_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


@dataclass(slots=True)
class _Pickler:
    """The opcodes of one pickle, with its memo: what was written once is fetched the next time."""

    parts: list[bytes] = field(default_factory=lambda: [b"\x80\x02"])
    memo: dict[str, int] = field(default_factory=dict)
    places: int = 0

    def put(self) -> int:
        place, self.places = self.places, self.places + 1
        self.parts.append(b"q" + bytes([place]) if place < 256 else b"r" + struct.pack("<I", place))
        return place

    def get(self, name: str) -> bool:
        place = self.memo.get(name)
        if place is not None:
            self.parts.append(b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place))
        return place is not None

    def text(self, text: str, *, known: bool = False) -> None:
        if known and self.get(text):
            return
        data = text.encode()
        self.parts.append(b"X" + struct.pack("<I", len(data)) + data)
        place = self.put()
        if known:
            self.memo[text] = place

    def name(self, module: str, name: str) -> None:
        if not self.get(f"{module} {name}"):
            self.parts.append(f"c{module}\n{name}\n".encode())
            self.memo[f"{module} {name}"] = self.put()

    def number(self, number: int) -> None:
        if number < 256:
            self.parts.append(b"K" + bytes([number]))
        elif number < 65536:
            self.parts.append(b"M" + struct.pack("<H", number))
        else:
            self.parts.append(b"J" + struct.pack("<i", number))

    def numbers(self, numbers: tuple[int, ...]) -> None:
        if len(numbers) > 3:
            self.parts.append(b"(")
        for number in numbers:
            self.number(number)
        self.parts.append({0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(numbers), b"t"))
        if numbers:
            self.put()

    def empty_ordered_dict(self) -> None:
        self.name("collections", "OrderedDict")
        self.parts.append(b")R")
        self.put()

    def tensor(self, tensor: TensorSpec, key: str) -> None:
        storage = DTYPES[tensor.dtype].storage
        if storage is None:
            raise ValueError(f"torch's legacy container has no {tensor.dtype}")
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.parts.append(b"((")
        self.text("storage", known=True)
        self.name("torch", storage)
        self.text(key)
        self.text("cpu", known=True)
        self.number(tensor.size_bytes // DTYPES[tensor.dtype].item_bytes)
        self.parts.append(b"Nt")
        self.put()
        self.parts.append(b"Q")
        self.number(0)
        self.numbers(tensor.shape)
        self.numbers(dense_stride(tensor.shape))
        self.parts.append(b"\x89")
        self.empty_ordered_dict()
        self.parts.append(b"t")
        self.put()
        self.parts.append(b"R")
        self.put()


def storage_keys(count: int) -> list[str]:
    """Return each tensor's storage a key, ascending."""
    return [str(_FIRST_KEY + 64 * index) for index in range(count)]


def render_preamble(tensors: Iterable[TensorSpec]) -> bytes:
    """Render all that stands before the first storage."""
    listed = list(tensors)
    keys = storage_keys(len(listed))
    body = _Pickler()
    body.empty_ordered_dict()
    # The pickler writes dict items in runs of a thousand.
    for start in range(0, len(listed), 1000):
        body.parts.append(b"(")
        for tensor, key in zip(listed[start : start + 1000], keys[start : start + 1000], strict=True):
            body.text(tensor.name)
            body.tensor(tensor, key)
        body.parts.append(b"u")
    body.parts.append(b".")
    before = b"".join(pickle.dumps(thing, protocol=2) for thing in (MAGIC_NUMBER, PROTOCOL_VERSION, _MACHINE))
    return before + b"".join(body.parts) + pickle.dumps(keys, protocol=2)


def render_count(tensor: TensorSpec) -> bytes:
    """Render what stands before a storage's items: how many there are."""
    return struct.pack("<q", tensor.size_bytes // DTYPES[tensor.dtype].item_bytes)


def specs_of(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[TensorSpec]:
    """Turn a table of tensors into specs, in its order."""
    return [
        TensorSpec(name=name, dtype=dtype, shape=tuple(shape)) for name, (dtype, shape) in tensors.items()
    ]
